"""Find out what a file is and hand it to the reader of its format."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from heartbrain_ingest.physio.recording import Recording, RecordingError

if TYPE_CHECKING:
    from heartbrain_ingest.physio.rules import PhysioRules

HEAD_BYTES = 1024
#: The first line of a PMU log: trigger method, arrhythmia mode, gate open, gate close; then text or samples.
PMU_HEAD = re.compile(r"[12]( \d{1,3}){3,4} (5002 .*|\d)")
PMU_TAIL = "LogStartMDHTime"
PMU_EXTENSIONS = {".ecg", ".puls", ".resp", ".ext"}
CMRR_HEAD = re.compile(r"^LogVersion\s*=\s*EJA_\d.*^LogDataType\s*=\s*\w", re.DOTALL | re.MULTILINE)
DICOM_MAGIC = b"DICM"
DICOM_PREAMBLE = 128


def is_physio_log(path: Path) -> bool:
    """Tell from the first kilobyte whether a file is a physiology log: a Siemens PMU or CMRR log.

    DICOM objects are not logs, even those that hold physiology: the inbox groups them by their headers.
    """
    try:
        return _format(path) in {"pmu", "cmrr"}
    except OSError:
        return False


def read_recordings(path: Path, rules: PhysioRules) -> tuple[Recording, ...]:
    """Read every recording that a file holds.

    Raises
    ------
    RecordingError
        The file is in no known format, is damaged, or holds no recording.
    """
    try:
        form = _format(path)
    except OSError:
        raise RecordingError("PHYSIO_UNREADABLE", "the file can't be opened") from None
    # The readers load numpy and pydicom; only a run that meets a recording pays for them.
    if form == "pmu":
        from heartbrain_ingest.physio.pmu import read_pmu  # noqa: PLC0415

        return (read_pmu(path, rules),)
    if form == "cmrr":
        from heartbrain_ingest.physio.cmrr import read_cmrr_log  # noqa: PLC0415

        return read_cmrr_log(path, rules)
    if form == "dicom":
        from heartbrain_ingest.physio.dicom import read_dicom  # noqa: PLC0415

        return read_dicom(path, rules)
    raise RecordingError("PHYSIO_UNREADABLE", "the file is in no known format of physiology")


def read_recording(path: Path, rules: PhysioRules) -> Recording:
    """Read a file that holds one recording, as every PMU log does.

    Raises
    ------
    RecordingError
        As `read_recordings`, or the file holds several.
    """
    recordings = read_recordings(path, rules)
    if len(recordings) != 1:
        raise RecordingError("PHYSIO_UNREADABLE", f"the file holds {len(recordings)} recordings, not one")
    return recordings[0]


def _format(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(max(0, file.seek(0, os.SEEK_END) - HEAD_BYTES))
        tail = file.read(HEAD_BYTES).decode("latin-1")
    if head[DICOM_PREAMBLE : DICOM_PREAMBLE + len(DICOM_MAGIC)] == DICOM_MAGIC:
        return "dicom"
    text = head.decode("latin-1").lstrip()
    if CMRR_HEAD.search(text):
        return "cmrr"
    if not PMU_HEAD.match(text):
        return None
    # A log cut in transfer has lost its tail: then the extension decides, as a table of numbers may begin like a log.
    is_log = "LOGVERSION" in text or PMU_TAIL in tail or path.suffix.lower() in PMU_EXTENSIONS
    return "pmu" if is_log else None
