"""Whom the text of a recording names: header lines, remarks, journals, dates.

None of it is published, since what is stored is made anew of numbers. It joins what the DICOM headers of the session
name, so that whatever else repeats it is cleaned, and the leak audit finds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

from heartbrain_ingest.physio.names import GE_NAME
from heartbrain_ingest.physio.reader import Format, find_format
from heartbrain_ingest.physio.recording import RecordingError

#: Remarks stand at the beginning and at the end; between them are samples.
EDGE_BYTES = 4 * 1024 * 1024
#: No name is longer; what is, is a sentence.
LONGEST_VALUE = 64


class Names(StrEnum):
    """What a part of a text names."""

    PERSON = "person"
    PATIENT = "patient"
    PLACE = "place"
    CONTACT = "contact"
    DATE = "date"
    ID = "id"


_PATIENT = r"(?:patient|pat|subject|subj|proband|participant|volunteer|vp)(?:'?s)?"
_PERSON = (
    rf"{_PATIENT}[ _.-]*name",
    r"(?:first|last|family|given|sur|full|vor|nach|zu)[ _-]?name",
    r"(?<![^\W\d_] )name",  # not that of a channel
    r"operator|examiner|technician|experimenter|investigator|recorded by",
    r"physician|doctor|arzt|ärztin|untersucher(?:in)?",
)
#: The first that fits a key counts.
_KEYS = (
    (r"(?:date of birth|birth ?da(?:te|y)|dob|born|geb(?:oren|\.)?|geburts(?:datum|tag))", Names.DATE),
    (f"(?:{'|'.join(_PERSON)})", Names.PERSON),
    (rf"(?:{_PATIENT}[ _.-]*(?:id|no|nr|number|nummer|code|key)|mrn|case[ _-]?(?:no|id)|fall-?nr)", Names.PATIENT),
    (_PATIENT, Names.PERSON),
    (r"(?:hospital|institut(?:ion|e)?|clinic|klinik|klinikum|address|adresse|street|stra(?:ß|ss)e|city)", Names.PLACE),
    (r"(?:phone|tel(?:efon)?|fax|mobile|e-?mail)", Names.CONTACT),
    (r"(?:uuid|serial(?:[ _-]?(?:no|number))?|accession(?:[ _-]?(?:no|number))?)", Names.ID),
)
_FIELD = re.compile("|".join(rf"(?P<k{number}>{pattern})" for number, (pattern, _) in enumerate(_KEYS)), re.IGNORECASE)
_LEAD = r"(?:^|[\s,;#\"'<>\[({/])"
_ENTRY = re.compile(
    rf"{_LEAD}(?P<key>{_FIELD.pattern})\"?\s*[:=]\s*\"?(?P<value>[^\r\n\t;|<>\"={{}}]{{2,{LONGEST_VALUE}}})",
    re.IGNORECASE | re.MULTILINE,
)
_DATES = (
    (re.compile(r"(?<!\d)((?:19|20)\d\d)([-./_]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d{1,3}(?!\d))"), (1, 3, 4)),
    (re.compile(r"(?<!\d)(0?[1-9]|[12]\d|3[01])([-./_])(0?[1-9]|1[0-2])\2((?:19|20)\d\d)(?!\d)"), (4, 3, 1)),
    (re.compile(r"(?<!\d)(0?[1-9]|1[0-2])([-./_])(0?[1-9]|[12]\d|3[01])\2((?:19|20)\d\d)(?!\d)"), (4, 1, 3)),
)
_TITLED = re.compile(
    r"(?<!\w)(?:Dr|Prof|Mrs|Mr|Ms|Miss|Herrn?|Frau|Hr|Fr)\b\.?\s+(?:(?:Dr|Prof|med)\b\.?\s+)*"
    r"([A-ZÀ-Þ][\w'-]+(?: [A-ZÀ-Þ][\w'-]+)?)"
)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
#: A line of samples names nobody, nor does a marker that is a letter and a number.
_SAMPLES = re.compile(r"[-+\d.,eE\sA-F]*|Mk\d+=(?!Comment)[A-Z][a-z]{0,15},[A-Za-z]{0,2} {0,3}\d{1,4},[\d,]*")
_PMU_TEXT = re.compile(r"\b5002\b(.*?)\b6002\b|\b5003\b(.*)", re.DOTALL)
#: What stands for a name: HB0099.
_NUMBERED = re.compile(r"\S*\d\S*")
_WORD = re.compile(r"[^\W\d_]{2,}")


def find_names(path: Path) -> frozenset[tuple[Names, str]]:
    """Give what the text of a recording, or of a part of one, names; nothing of a file that can't be read.

    Parameters
    ----------
    path
        A file of the inbox, no DICOM object: the header of such a one tells itself.
    """
    try:
        return frozenset(found for text in _texts(path) for found in named_in(text))
    except (OSError, RecordingError):
        return frozenset()


def named_in(text: str) -> Iterator[tuple[Names, str]]:
    """Give what a text names: what follows a key such as `Patient name:`, people with a title, mails, dates."""
    for entry in _ENTRY.finditer(text):
        value = entry["value"].strip(" ,.'")
        what = next(what for number, (_, what) in enumerate(_KEYS) if entry[f"k{number}"] is not None)
        if what is Names.PERSON and (not _WORD.search(value) or _NUMBERED.fullmatch(value)):
            what = Names.PATIENT
        if what is not Names.DATE and len(value) > 1:
            yield what, value
    yield from ((Names.PERSON, found[1]) for found in _TITLED.finditer(text))
    yield from ((Names.CONTACT, found[0]) for found in _MAIL.finditer(text))
    for pattern, (year, month, day) in _DATES:
        for found in pattern.finditer(text):
            yield Names.DATE, f"{found[year]}{int(found[month]):02d}{int(found[day]):02d}"


def _texts(path: Path) -> Iterable[str]:
    form = find_format(path)
    if form is Format.BIOPAC:
        yield from _journal(path)
        return
    if form is Format.GE or GE_NAME.match(path.name):
        moment = GE_NAME.match(path.name)
        if moment is not None:
            yield f"{moment['moment'][0:2]}/{moment['moment'][2:4]}/{moment['moment'][4:8]}"
    if form is None or form is Format.DICOM:
        return
    text = _edges(path)
    if form is Format.PMU:
        yield from ("".join(filter(None, found.groups())) for found in _PMU_TEXT.finditer(text))
    elif form is Format.CMRR:
        yield "\n".join(line for line in text.splitlines() if "=" in line)
    else:
        yield "\n".join(line for line in text.splitlines() if not _SAMPLES.fullmatch(line))


def _edges(path: Path) -> str:
    """Give the text of a file: of a long one its beginning and its end."""
    with path.open("rb") as file:
        content = file.read(EDGE_BYTES)
        size = path.stat().st_size
        if size > len(content):
            file.seek(max(len(content), size - EDGE_BYTES))
            content += b"\n" + file.read()
    if b"\0" in content:
        return ""  # samples of an amplifier
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _journal(path: Path) -> Iterator[str]:
    """Give the remarks of an AcqKnowledge file: journal, markers, names of channels, days of its markers."""
    from heartbrain_ingest.physio.biopac import open_biopac  # noqa: PLC0415 - loads numpy

    content = open_biopac(path, with_samples=False)
    yield str(content.journal or "")
    for marker in content.event_markers or ():
        yield str(marker.text or "")
        if marker.date_created_utc:
            yield f"{marker.date_created_utc:%Y-%m-%d}"
    yield from (str(channel.name) for channel in content.channels)
