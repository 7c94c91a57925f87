"""The catalogue of issue codes: what can be wrong with input data, what it means and what to do about it.

Bad input is data, not an exception: it is recorded with one of these codes and the run goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a code does to the thing it is given to."""

    #: Recorded, nothing else happens.
    INFO = "info"
    #: Published all the same; the steward should look.
    WARNING = "warning"
    #: Not published; kept in the quarantine or the inbox until someone decides.
    QUARANTINE = "quarantine"


@dataclass(frozen=True, kw_only=True)
class Issue:
    """One entry of the catalogue."""

    #: What happens to the data.
    severity: Severity
    #: What the code means, for a data steward.
    meaning: str
    #: The one next action.
    action: str


def _info(meaning: str, action: str = "Nothing to do.") -> Issue:
    return Issue(severity=Severity.INFO, meaning=meaning, action=action)


def _warning(meaning: str, action: str) -> Issue:
    return Issue(severity=Severity.WARNING, meaning=meaning, action=action)


def _quarantine(meaning: str, action: str) -> Issue:
    return Issue(severity=Severity.QUARANTINE, meaning=meaning, action=action)


ISSUES: dict[str, Issue] = {
    # inbox
    "NOT_DICOM": _info("The file is neither DICOM nor a physiology log nor a laboratory table."),
    "EMPTY_FILE": _quarantine("The file has no content.", "Send it again from the scanner, or discard it."),
    "UNREADABLE_FILE": _quarantine("The file can't be opened.", "Give the ingest user permission to read it."),
    "LINK_OUTSIDE": _quarantine(
        "A link that leads out of the inbox, or nowhere; it is not followed.", "Put the file itself into the inbox."
    ),
    "NOT_A_FILE": _quarantine("A pipe, socket or device; it is not opened.", "Take it out of the inbox."),
    "UNSAFE_NAME": _quarantine(
        "A name in the archive leads out of its folder (`..`); nothing of it was unpacked.",
        "Find out who made it; unpack it yourself and put the files into the inbox.",
    ),
    "TOO_LARGE": _quarantine(
        "The compressed file unpacks to more than the settings allow.", "Unpack it yourself, or raise the limit."
    ),
    "DAMAGED_ARCHIVE": _quarantine("The compressed file is damaged or encrypted.", "Send it again."),
    "ARCHIVE_UNPACKED": _info("A zip or tar file; its members are accounted for one by one."),
    "ARCHIVE_DEPTH": _quarantine("An archive in an archive in an archive.", "Unpack it yourself."),
    "TRUNCATED_DICOM": _quarantine("The DICOM file ends before its data do.", "Send the series again."),
    "INVALID_DICOM": _quarantine("The file claims to be DICOM but can't be parsed.", "Send the series again."),
    "DUPLICATE_INSTANCE": _info("A byte-identical copy of an instance that is already there."),
    "CONFLICTING_INSTANCE": _quarantine(
        "Two different files carry the same SOPInstanceUID.", "Find out which one is right and send it alone."
    ),
    "REPLACED_INSTANCE": _info("The steward chose another file for this instance."),
    "DIRECTORY_FILE": _info("A DICOMDIR: an index of other files; they are read directly."),
    "FILE_GROWING": _info(
        "The file looks unfinished and is young: it is still being written, or its transfer stopped.",
        "Nothing; it is judged when it has been quiet for inbox.quiet_minutes.",
    ),
    "RELEASED": _info("The steward wants the file to be looked at again; the next run does."),
    "DISCARDED": _info("The steward does not want the file; `heartbrain quarantine explain` gives the reason."),
    "INSTANCE_COUNT": _info("The header announces another number of instances than arrived."),
    # what is not an image
    "NO_PIXEL_DATA": _info("The object holds no image (a report, a protocol, a presentation state)."),
    "NOT_MR_IMAGE": _quarantine(
        "The object is not an MR image (a waveform, another modality).",
        "Publish it by hand if the study needs it; otherwise discard it.",
    ),
    "MR_SPECTROSCOPY": _quarantine(
        "The object holds spectra in a layout that can't be converted (an old private one), or damaged ones.",
        "Keep the original files if the study needs them, and send them again where they may be damaged.",
    ),
    "BURNED_IN_TEXT": _quarantine(
        "The pixels may show text that names the patient.", "Look at the picture; discard it or blank the text."
    ),
    "SECONDARY_CAPTURE": _quarantine(
        "A capture of a screen or of a film: its pixels may show who the patient is.",
        "Discard it; if the study needs it, publish it by hand after looking at it.",
    ),
    "SCREEN_IMAGE": _quarantine(
        "The header calls the image a screen, a protocol or a report.", "Look at the picture; discard or release it."
    ),
    "TEXT_IN_PIXELS": _quarantine(
        "A row of letters was found in the pixels.",
        "Look at the picture; discard it, or release it if it names nobody.",
    ),
    "UNSEARCHED_PIXELS": _quarantine(
        "The image may show text, and its compressed pixels can't be searched here.",
        "Look at the picture and release it, or send it uncompressed.",
    ),
    "ENCAPSULATED_DOCUMENT": _quarantine("A document (PDF, CDA, 3D model) packed into DICOM.", "Discard it."),
    "STRUCTURED_REPORT": _quarantine("A report: people write names and findings there.", "Discard it."),
    "ULTRASOUND": _quarantine("Ultrasound images show the patient's name at the border.", "Discard it."),
    "RADIOTHERAPY_OBJECT": _quarantine("A plan, structure or dose of radiotherapy.", "Discard it."),
    # identity
    "NO_STUDY_UID": _quarantine("The header holds no StudyInstanceUID.", "Send the study again."),
    "SUBJECT_CONFLICT": _warning(
        "One PatientID came with two birth dates or sexes: they are two subjects.",
        "Check the registration at the scanner; correct and send again if it is one person.",
    ),
    "STUDY_REUSED": _warning(
        "One StudyInstanceUID came with dates more than a day apart: they are sessions of their own.",
        "Nothing if they are two visits; otherwise correct the date and send the files again.",
    ),
    "UNDATED_SESSION": _warning(
        "The session has no valid date and is published as undated.", "Nothing, or add the date and send it again."
    ),
    # conversion
    "NOT_CONVERTIBLE": _quarantine("dcm2niix can't make an image of the series.", "Check the series on the scanner."),
    "NO_GEOMETRY": _quarantine(
        "The series has no position or orientation in space, so no image can be made of it.",
        "Nothing if it is a screen copy or a scout; otherwise send the series again.",
    ),
    "CONVERSION_TIMEOUT": _quarantine(
        "dcm2niix did not end in the time that the settings allow.", "Raise conversion.timeout_minutes."
    ),
    "FIDELITY": _quarantine(
        "The image made of the de-identified files differs from the one made of the original files.",
        "Report it with the name of the scanner and its software version.",
    ),
    "DEFACING_FAILED": _quarantine(
        "The face could not be taken out of an anatomical image; neither it nor its DICOM is published.",
        "Look at `heartbrain doctor`; try the program by hand, or choose another one in defacing.tool.",
    ),
    # naming
    "UNCLASSIFIED": _warning(
        "No rule names this series; it is stored under sourcedata/unclassified.",
        "Add a rule to crawler_config/bids_rules.yml.",
    ),
    "NO_PICTURE": _warning(
        "No picture could be drawn of an image; the image itself is published.",
        "Look at the image with a viewer; its numbers or its geometry may be damaged.",
    ),
    "BIDS_INCOMPLETE": _warning(
        "The image lacks what BIDS requires for its kind; it is stored under sourcedata/incomplete.",
        "Nothing, or set the missing field in its rule in crawler_config/bids_rules.yml.",
    ),
    # audit
    "LEAK": _quarantine(
        "An identifier of the input was found in what was about to be published.",
        "Extend crawler_config/deidentification.yml so that the named place is cleaned.",
    ),
    "INVALID_SIDECAR": _quarantine("A sidecar or table can't be parsed.", "Report it with the name of the scanner."),
    # deliveries
    "INTERNAL_ERROR": _quarantine(
        "The program failed on this delivery; the others were not affected.",
        "Report it with the line of the log; the files stay in the inbox and are tried again with new files.",
    ),
    "REVISION_FAILED": _quarantine(
        "The file came for a published session, and a part of what is published could not be made again with it; that "
        "stays published as it is.",
        "Mend what `heartbrain quarantine explain` names for the session, then release its files.",
    ),
    "TARGET_TAKEN": _quarantine(
        "Where the delivery is to be published there is a folder that the ledger does not know: the state folder was "
        "restored from an older backup, or somebody put it there.",
        "Put the newest backup of the state folder back; without one, take that folder out of the archive. Then "
        "release the files.",
    ),
    "DUPLICATE_TABLE": _info("The same laboratory table came before, byte by byte, under the same rules."),
    "FILE_GONE": _info("The file was taken out of the inbox before it was published."),
    "DUPLICATE_RECORDING": _info("A byte-identical copy of a recording that is already there."),
    "PHYSIO_PART": _info("The file is a part of a recording (markers, samples, triggers) that another file opens."),
    "LAB_NOTHING_USABLE": _quarantine(
        "No row of the laboratory table can be taken over.",
        "Check that its subjects are known (their sessions come first) and that lab.yml describes its columns.",
    ),
    "LATE_FILES": _warning(
        "Files arrived for a session that is already published.", "Nothing: a new revision holds them."
    ),
    # physiology
    "PHYSIO_UNREADABLE": _quarantine(
        "The physiology file holds no samples, no clock or no known format.", "Export it again from the monitor."
    ),
    "PHYSIO_NO_SESSION": _quarantine(
        "No session fits the recording's name, day and clock; it stays in the inbox.",
        "Name the file as crawler_config/physio.yml describes, or add a pattern there.",
    ),
    "PHYSIO_AMBIGUOUS": _quarantine(
        "Several sessions, or several recordings of one kind for the same image, fit equally well.",
        "Name the file after the subject and the day, or remove the copy.",
    ),
    "PHYSIO_TRUNCATED": _warning(
        "The log ends without its end mark.", "Copy it again from the monitor if it is longer."
    ),
    "PHYSIO_UNKNOWN_CODE": _warning(
        "The log holds codes between its samples that nobody has described; they were taken out.",
        "Look at the drawing of the recording; report it with the software version of the scanner.",
    ),
    "PHYSIO_UNKNOWN_CHANNEL": _warning(
        "The recording has a channel that crawler_config/physio.yml does not name; it was not taken over.",
        "Add its name to a kind under `channels`, or a kind of your own.",
    ),
    "PHYSIO_CLOCK": _warning(
        "The recording has another clock than the scanner's and no scanner trigger that puts it right.",
        "Don't trust StartTime to the second; record the scanner's trigger on a channel of its own.",
    ),
    "PHYSIO_GONE": _warning(
        "A recording that an early version of the program published is gone from the inbox: it was carried over.",
        "Put the recording into the inbox again if later images or changed rules need it.",
    ),
    "PHYSIO_NO_CLOCK": _warning(
        "The recording tells no time, so it belongs to no image; it is stored whole.",
        "Give the time in its name (crawler_config/physio.yml), or record the scanner's trigger.",
    ),
    "PHYSIO_RATE": _warning(
        "The log's own clock disagrees with the sampling rate in crawler_config/physio.yml.",
        "Check the entry `rates` for this software version.",
    ),
    # what is published, looked at again
    "PUBLISHED_GONE": _warning(
        "What the ledger knows as published is no more in the archive.",
        "Put it back from a backup; without it the session can't be made again.",
    ),
    "WITHHELD_GONE": _warning(
        "DICOM that is stored and not published (it shows a face) is no more in state/withheld.",
        "Put it back from a backup; without it the session can't be made again from what is stored.",
    ),
    "STATEMENT_CONTRADICTED": _warning(
        "A statement in crawler_config/bids_rules.yml contradicts what the scanner wrote; the scanner's word stands.",
        "Correct its `when`, or take the statement out.",
    ),
    # laboratory
    "LAB_UNREADABLE": _quarantine(
        "The table can't be opened or has no known header.", "Describe it in crawler_config/lab.yml."
    ),
    "LAB_UNKNOWN_SUBJECT": _warning(
        "The row's subject has no pseudonym here.", "Ask the laboratory for the right PatientID."
    ),
    "LAB_UNKNOWN_ANALYTE": _warning("The row's analyte is not described.", "Add it to crawler_config/lab.yml."),
    "LAB_UNKNOWN_MATERIAL": _warning(
        "The row's material is not described, or the analyte is not measured in it.",
        "Add it to crawler_config/lab.yml.",
    ),
    "LAB_UNKNOWN_UNIT": _warning(
        "The row's unit is missing, not described, or can't be converted.", "Add it to crawler_config/lab.yml."
    ),
    "LAB_INVALID_VALUE": _warning("The row's value is no number and no known mark.", "Ask the laboratory."),
    "LAB_AMBIGUOUS_NUMBER": _warning(
        "The value reads differently with a decimal comma and a decimal point.",
        "Set `decimal` for the table in crawler_config/lab.yml.",
    ),
    "LAB_IMPOSSIBLE_VALUE": _warning(
        "The value lies outside what is possible for the analyte.", "Ask the laboratory; often the unit is wrong."
    ),
    "LAB_INVALID_DATE": _warning("The row has no date of sampling that can be read.", "Ask the laboratory."),
    "LAB_REPLACED": _warning(
        "A value that an earlier table gave is another one in this table; the new one counts.",
        "Look into replaced.tsv of the delivery; ask the laboratory if the change is not meant.",
    ),
    "LAB_DUPLICATE": _info("The row repeats another one."),
    "LAB_CONTRADICTION": _warning(
        "Two rows give one sample different values; both are refused.", "Ask the laboratory."
    ),
    # crawl
    "UNKNOWN_SIDECAR_FIELD": _info(
        "A sidecar field is not in the data model; it is kept in the property OtherSidecarFields.",
        "Add it to crawler_config/datamodel.yml if it should be asked for by name.",
    ),
    "UNFIT_SIDECAR_VALUE": _info(
        "A sidecar field is of another type than the data model says; it is kept in the property OtherSidecarFields."
    ),
    "OVERSIZED_SIDECAR_FIELD": _warning(
        "A sidecar field is too large for the database; it is in the sidecar file only.", "Nothing."
    ),
    "UNKNOWN_RECORD_TYPE": _warning(
        "The sidecar names a RecordType that the data model does not have there; a more general one was used.",
        "Correct the rule in crawler_config/bids_rules.yml or add the RecordType to crawler_config/datamodel.yml.",
    ),
    "INVALID_LABORATORY_ROW": _warning(
        "A row of a published laboratory table lacks subject, material or analyte.", "Report it with the table's name."
    ),
    "REPEATED_LABORATORY_VALUE": _warning(
        "A published laboratory table has one analyte of a sample twice; the last row counts.", "Ask the laboratory."
    ),
    "INVALID_RESULT_TABLE": _warning(
        "A table of a result can't become records, or not all of it; the table itself is published.",
        "Correct the function (docs/howto-function.md, step 4) and run a new version of it.",
    ),
    "FUNCTION_UNAVAILABLE": _warning(
        "A rule would ask for a function that the computing centre can't run at the moment; the log and "
        "`heartbrain run --list` say why. Nothing was asked for.",
        "Tell who runs the agent there, or switch the rule off in crawler_config/postprocessing.yml; the next run "
        "asks by itself once the function can run.",
    ),
    "OLDER_REVISION": _warning(
        "The database knows a later revision of this session; the older one was not crawled again.", "Nothing."
    ),
}
