"""Find out what a file is and hand it to the reader of its format."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from heartbrain_ingest.physio.recording import Recording, RecordingError

if TYPE_CHECKING:
    from heartbrain_ingest.physio.log import Log
    from heartbrain_ingest.physio.rules import PhysioRules

HEAD_BYTES = 2048
#: The first line of a PMU log: trigger method, arrhythmia mode, gate open, gate close; then text or samples.
PMU_HEAD = re.compile(r"[12]( \d{1,3}){3,4} (5002 .*|\d)")
PMU_TAIL = "LogStartMDHTime"
PMU_EXTENSIONS = {".ecg", ".puls", ".resp", ".ext"}
CMRR_HEAD = re.compile(r"^LogVersion\s*=\s*EJA_\d.*^LogDataType\s*=\s*(?P<type>\w+)", re.DOTALL | re.MULTILINE)
CMRR_INFO = "ACQUISITION_INFO"
DICOM_MAGIC = b"DICM"
DICOM_PREAMBLE = 128
#: Larger files are no recordings: a day at 10 kHz and eight channels of text.
LARGEST_BYTES = 8 * 1024**3


class Format(StrEnum):
    """How a recording is written."""

    DICOM = "dicom"
    PMU = "siemens-pmu"
    CMRR = "siemens-cmrr"
    PHILIPS = "philips"
    GE = "ge"
    BRAINVISION = "brainvision"
    BIOPAC = "biopac"
    #: Read together with the file that opens the recording: markers, samples, triggers.
    PART = "part"


def find_format(path: Path) -> Format | None:
    """Tell from name and first kilobytes in which format of physiology a file is; None for all other files.

    DICOM objects count as such, whatever they hold: the inbox groups them by their headers.
    """
    try:
        return _format(path)
    except OSError:
        return None


def read_recordings(path: Path, rules: PhysioRules) -> tuple[Recording, ...]:
    """Read every recording that a file holds; none for a part of another file's recording.

    Raises
    ------
    RecordingError
        The file is in no known format, is damaged, or holds no recording.
    """
    from heartbrain_ingest.physio.log import interpret  # noqa: PLC0415 - loads numpy

    log = read_log(path, rules)
    return () if log is None else interpret(log, rules)


def read_log(path: Path, rules: PhysioRules) -> Log | None:
    """Read what a file holds; None for a part of another file's recording.

    Raises
    ------
    RecordingError
        The file is in no known format, is damaged, or holds no signal.
    """
    try:
        form = _format(path)
        if path.stat().st_size > LARGEST_BYTES:
            raise RecordingError("PHYSIO_UNREADABLE", "the file is too large to be a recording")
        return _read(form, path, rules)
    except (OSError, MemoryError):
        raise RecordingError("PHYSIO_UNREADABLE", "the file can't be opened") from None


def _read(form: Format | None, path: Path, rules: PhysioRules) -> Log | None:
    # The readers load numpy and more; only a run that meets a recording pays for them.
    match form:
        case Format.PMU:
            from heartbrain_ingest.physio.pmu import read_pmu  # noqa: PLC0415

            return read_pmu(path, rules.extensions)
        case Format.CMRR:
            from heartbrain_ingest.physio.cmrr import read_cmrr_log  # noqa: PLC0415

            return read_cmrr_log(path)
        case Format.DICOM:
            from heartbrain_ingest.physio.dicom import read_dicom  # noqa: PLC0415

            return read_dicom(path)
        case Format.PHILIPS:
            from heartbrain_ingest.physio.philips import read_philips  # noqa: PLC0415

            return read_philips(path)
        case Format.GE:
            from heartbrain_ingest.physio.ge import read_ge  # noqa: PLC0415

            return read_ge(path)
        case Format.BRAINVISION:
            from heartbrain_ingest.physio.brainvision import read_brainvision  # noqa: PLC0415

            return read_brainvision(path)
        case Format.BIOPAC:
            from heartbrain_ingest.physio.biopac import read_biopac  # noqa: PLC0415

            return read_biopac(path)
        case Format.PART:
            return None
        case None:
            raise RecordingError("PHYSIO_UNREADABLE", "the file is in no known format of physiology")


def _format(path: Path) -> Format | None:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(max(0, file.seek(0, os.SEEK_END) - HEAD_BYTES))
        tail = file.read(HEAD_BYTES).decode("latin-1")
    if head[DICOM_PREAMBLE : DICOM_PREAMBLE + len(DICOM_MAGIC)] == DICOM_MAGIC:
        return Format.DICOM
    text = head.decode("latin-1").lstrip()
    if found := CMRR_HEAD.search(text):
        return Format.PART if found["type"] == CMRR_INFO else Format.CMRR
    if PMU_HEAD.match(text):
        # A log cut in transfer has lost its tail: then the extension decides, as a table may begin like a log.
        is_log = "LOGVERSION" in text or PMU_TAIL in tail or path.suffix.lower() in PMU_EXTENSIONS
        if is_log:
            return Format.PMU
    return _other_format(path, head, text)


def _other_format(path: Path, head: bytes, text: str) -> Format | None:
    from heartbrain_ingest.physio.names import (  # noqa: PLC0415 - only for what is not from Siemens
        BRAINVISION_HEADER,
        BRAINVISION_MARKERS,
        GE_NAME,
        PHILIPS_HEAD,
        is_biopac,
        is_brainvision_samples,
    )

    opening = text.removeprefix("\xef\xbb\xbf")
    if opening.startswith(BRAINVISION_HEADER):
        return Format.BRAINVISION
    if opening.startswith(BRAINVISION_MARKERS) or is_brainvision_samples(path):
        return Format.PART
    if PHILIPS_HEAD.search(text):
        return Format.PHILIPS
    if found := GE_NAME.match(path.name):
        is_numbers = re.match(r"\s*-?[\d.]+\s", text) is not None
        return (Format.GE if found["what"] == "Data" else Format.PART) if is_numbers else None
    return Format.BIOPAC if is_biopac(path, head) else None
