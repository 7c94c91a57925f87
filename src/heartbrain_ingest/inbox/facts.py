"""Read from a file's header what is needed to sort it: what it is, and which session and series it belongs to."""

from __future__ import annotations

import hashlib
import io
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

from heartbrain_ingest.dicom import DicomFile, DicomFileError, read, read_header
from heartbrain_ingest.dicom.files import DICOMDIR_CLASS, MEDIA_STORAGE_SOP_CLASS
from heartbrain_ingest.dicom.screens import may_show_text, refusal
from heartbrain_ingest.inbox.archives import looks_like_archive
from heartbrain_ingest.inbox.files import GZIP_MAGIC, FoundFile, UnpackedTooLargeError, read_content

_Stream = io.FileIO | io.BytesIO | io.BufferedReader
_HEAD = 4096
#: Bytes to read of a file at first: all of most images, the header of most others.
_FIRST = 65536

_SOP_CLASS: Final = 0x00080016
_SOP_INSTANCE: Final = 0x00080018
#: Largest value of an IS, PS3.5 section 6.2.
_LARGEST_IS: Final = 2**31 - 1
_NOT_WHOLE: Final = frozenset(".eE")
_STUDY_DATE: Final = 0x00080020
_SERIES_DATE: Final = 0x00080021
_ACQUISITION_DATE: Final = 0x00080022
_CONTENT_DATE: Final = 0x00080023
_STUDY_TIME: Final = 0x00080030
_SERIES_TIME: Final = 0x00080031
_IMAGE_TYPE: Final = 0x00080008
_MODALITY: Final = 0x00080060
_STATION_NAME: Final = 0x00081010
_STUDY_DESCRIPTION: Final = 0x00081030
_PATIENT_NAME: Final = 0x00100010
_PATIENT_ID: Final = 0x00100020
_PATIENT_BIRTH_DATE: Final = 0x00100030
_PATIENT_SEX: Final = 0x00100040
_STUDY_INSTANCE: Final = 0x0020000D
_SERIES_INSTANCE: Final = 0x0020000E
_SERIES_NUMBER: Final = 0x00200011
_INSTANCE_NUMBER: Final = 0x00200013
_IMAGE_ORIENTATION: Final = 0x00200037
_IMAGES_IN_ACQUISITION: Final = 0x00201002
_SERIES_RELATED_INSTANCES: Final = 0x00201209
_WAVEFORM_SEQUENCE: Final = 0x54000100
#: Storage classes of ECG, arterial pulse and respiration waveforms (PS3.4 B.5) start so.
RECORDED_WAVEFORMS: Final = (
    "1.2.840.10008.5.1.4.1.1.9.1.",
    "1.2.840.10008.5.1.4.1.1.9.5.1",
    "1.2.840.10008.5.1.4.1.1.9.6.1",
)
_SHARED_FUNCTIONAL_GROUPS: Final = 0x52009229


@dataclass(frozen=True, kw_only=True, slots=True)
class DicomFacts:
    """What the header of one DICOM object says, in plain text; empty where it says nothing."""

    study: str
    series: str
    instance: str
    patient_id: str
    patient_name: str
    birth_date: str
    sex: str
    study_date: str
    study_time: str
    series_number: int
    instance_number: int
    study_description: str
    station_name: str
    announced: int
    has_geometry: bool


_FACTS: Final = tuple(field.name for field in fields(DicomFacts))


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """What one input file is."""

    found: FoundFile
    #: "dicom", "physio", "lab", "archive" (a zip or tar file, whose members are files of their own) or "other".
    kind: str
    #: An issue code when the file goes no further.
    code: str | None = None
    dicom: DicomFacts | None = None
    sha256: str | None = None

    def facts(self) -> dict[str, Any]:
        """Give the header facts as plain data for the ledger."""
        return {name: getattr(self.dicom, name) for name in _FACTS} if self.dicom else {}


def classify_files(files: Iterable[FoundFile], *, limit: int) -> Iterable[tuple[FileFacts, DicomFile | None]]:
    """Read the header of each file and say what the file is.

    Parameters
    ----------
    files
        Files of the inbox.
    limit
        Largest number of bytes that one compressed file may unpack to.

    Yields
    ------
    The facts, and for an image or a recording that goes on the header they come from (without pixels).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for found in files:
            yield _classify_any(found, limit)


def _classify_any(found: FoundFile, limit: int) -> tuple[FileFacts, DicomFile | None]:
    """Say what a file is; one that no reader foresaw is kept back for itself and stops no run."""
    try:
        return _classify(found, limit)
    except Exception:  # noqa: BLE001 - hospitals have files that nobody has seen; the message may quote them
        return FileFacts(found=found, kind="other", code="INVALID_DICOM"), None


def _classify(found: FoundFile, limit: int) -> tuple[FileFacts, DicomFile | None]:
    if not found.readable:
        return FileFacts(found=found, kind="other", code=found.code), None
    if found.size == 0:
        return FileFacts(found=found, kind="other", code="EMPTY_FILE"), None
    try:
        with open(found.path, "rb", buffering=0) as file:  # noqa: PTH123 - called for every input file; a str needs no Path
            head = file.read(_FIRST)
            if not head.startswith(GZIP_MAGIC):
                return _classify_stream(found, head, file, found.size)
        if looks_like_archive(_unpacked_head(head)):
            return _classify_other(found, _unpacked_head(head)), None
        content = read_content(found.path, limit=limit)
        return _classify_stream(found, content[:_HEAD], io.BytesIO(content), len(content))
    except UnpackedTooLargeError:
        return FileFacts(found=found, kind="other", code="TOO_LARGE"), None
    except zlib.error:
        return FileFacts(found=found, kind="other", code="DAMAGED_ARCHIVE"), None
    except OSError:
        return FileFacts(found=found, kind="other", code="UNREADABLE_FILE"), None


def _classify_stream(found: FoundFile, head: bytes, stream: _Stream, size: int) -> tuple[FileFacts, DicomFile | None]:
    if not looks_like_dicom(head):
        return _classify_other(found, head), None
    try:
        header = read_header(head, stream, size)
        facts = _facts(header)
    except DicomFileError as error:
        refusal = "TRUNCATED_DICOM" if error.code == "TRUNCATED_DICOM" else "INVALID_DICOM"
        return FileFacts(found=found, kind="dicom", code=refusal, sha256=_digest(stream)), None
    if _is_recording(header):
        return FileFacts(found=found, kind="physio", dicom=facts, sha256=_digest(stream)), header
    code = _refuse(header, facts)
    if code is None and may_show_text(header):
        code = _text_code(stream)
    if code is not None and found.waived and (code, _digest(stream)) in found.waived:
        code = None
    if code is None:
        return FileFacts(found=found, kind="dicom", dicom=facts), header
    return FileFacts(found=found, kind="dicom", code=code, dicom=facts, sha256=_digest(stream)), None


def _text_code(stream: _Stream) -> str | None:
    """Search the pixels of the few images that may show text; what is damaged is refused when it is cleaned."""
    from heartbrain_ingest.dicom.glyphs import text_code  # noqa: PLC0415 - loads scipy

    stream.seek(0)
    try:
        return text_code(read(stream.read()))
    except DicomFileError:
        return None


def looks_like_dicom(head: bytes) -> bool:
    """Say whether the first bytes are those of a DICOM file, with or without preamble (PS3.10 section 7.1).

    Without one, a data set starts with an element of group 0002 or 0008 in either byte order, followed by a value
    representation or a plausible length.
    """
    if head[128:132] == b"DICM":
        return True
    if len(head) < 8:  # noqa: PLR2004 - tag and length of one element
        return False
    for order in ("little", "big"):
        group = int.from_bytes(head[0:2], order)
        element = int.from_bytes(head[2:4], order)
        if group in {0x0002, 0x0008} and element <= 0x0070:  # noqa: PLR2004 - what PS3.6 defines at the start of these groups
            length = int.from_bytes(head[4:8], order)
            if (head[4:6].isalpha() and head[4:6].isupper()) or length <= 256:  # noqa: PLR2004 - first elements are short
                return True
    return False


def _unpacked_head(head: bytes) -> bytes:
    """Unpack only the first bytes of a compressed file: enough to tell a tar file from a single one."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD)
    except zlib.error:
        return b""


def _classify_other(found: FoundFile, head: bytes) -> FileFacts:
    from pathlib import Path  # noqa: PLC0415 - keeps the hot path free of it

    from heartbrain_ingest.lab import is_lab_table  # noqa: PLC0415 - only when such a file is met
    from heartbrain_ingest.physio import Format, find_format  # noqa: PLC0415 - the same

    path = Path(found.path)
    with path.open("rb") as file:
        digest = _digest(file)
    form = find_format(path)
    if form not in {None, Format.DICOM}:
        return FileFacts(found=found, kind="physio", sha256=digest, code="PHYSIO_PART" if form is Format.PART else None)
    if is_lab_table(path):
        return FileFacts(found=found, kind="lab", sha256=digest)
    if looks_like_archive(head):
        return FileFacts(found=found, kind="archive", sha256=digest)
    return FileFacts(found=found, kind="other", code="NOT_DICOM", sha256=digest)


def _facts(header: DicomFile) -> DicomFacts:
    text = header.text
    return DicomFacts(
        study=text(_STUDY_INSTANCE),
        series=text(_SERIES_INSTANCE),
        instance=text(_SOP_INSTANCE),
        patient_id=text(_PATIENT_ID),
        patient_name=text(_PATIENT_NAME),
        birth_date=text(_PATIENT_BIRTH_DATE),
        sex=text(_PATIENT_SEX),
        study_date=text(_STUDY_DATE) or text(_SERIES_DATE) or text(_ACQUISITION_DATE) or text(_CONTENT_DATE),
        study_time=text(_STUDY_TIME) or text(_SERIES_TIME),
        series_number=_number(text(_SERIES_NUMBER)),
        instance_number=_number(text(_INSTANCE_NUMBER)),
        study_description=text(_STUDY_DESCRIPTION),
        station_name=text(_STATION_NAME),
        announced=_number(text(_IMAGES_IN_ACQUISITION)) or _number(text(_SERIES_RELATED_INSTANCES)),
        has_geometry=_IMAGE_ORIENTATION in header.elements or _SHARED_FUNCTIONAL_GROUPS in header.elements,
    )


def _number(text: str) -> int:
    """Read an integer string (PS3.5 section 6.2); some write a point or several values. 0 for what is none.

    What lies outside the range of an IS is none: it fits neither a database nor a file's name.
    """
    first = text.partition("\\")[0]
    try:
        number = int(float(first)) if set(first) & _NOT_WHOLE else int(first)
    except (ValueError, OverflowError):
        return 0
    return number if abs(number) <= _LARGEST_IS else 0


def _refuse(header: DicomFile, facts: DicomFacts) -> str | None:
    sop_class = header.text(_SOP_CLASS)
    if DICOMDIR_CLASS in {sop_class, header.meta_text(MEDIA_STORAGE_SOP_CLASS)}:
        return "DIRECTORY_FILE"
    if not header.elements:
        return "INVALID_DICOM"
    if (code := refusal(header)) is not None:
        return code
    if not facts.study:
        return "NO_STUDY_UID"
    if not facts.series or not facts.instance:
        return "INVALID_DICOM"
    return None


def _is_recording(header: DicomFile) -> bool:
    """Tell whether an object is a recording that `physio` reads: a waveform, or what a CMRR sequence logged."""
    if header.is_cut_short or header.has_pixels:
        return False
    if _WAVEFORM_SEQUENCE in header.elements:
        return header.text(_SOP_CLASS).startswith(RECORDED_WAVEFORMS)
    return header.text(_MODALITY) == "MR" and "PHYSIO" in header.text(_IMAGE_TYPE).split("\\")


def _digest(stream: _Stream) -> str:
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()
