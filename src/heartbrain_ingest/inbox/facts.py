"""Read from a file's header what is needed to sort it: what it is, and which session and series it belongs to."""

from __future__ import annotations

import hashlib
import io
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from heartbrain_ingest.inbox.files import GZIP_MAGIC, FoundFile, UnpackedTooLargeError, read_content

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MR_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.4",  # MR Image Storage
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image Storage
        "1.2.840.10008.5.1.4.1.1.4.3",  # Enhanced MR Color Image Storage
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image Storage
    }
)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DICOMDIR_CLASS = "1.2.840.10008.1.3.10"
_PIXEL_GROUP = b"\xe0\x7f"
_HEAD = 4096


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


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFacts:
    """What one input file is."""

    found: FoundFile
    #: "dicom", "physio", "lab" or "other".
    kind: str
    #: An issue code when the file goes no further.
    code: str | None = None
    dicom: DicomFacts | None = None
    sha256: str | None = None

    def facts(self) -> dict[str, Any]:
        """Give the header facts as plain data for the ledger."""
        return asdict(self.dicom) if self.dicom else {}


def classify_files(files: Iterable[FoundFile], *, limit: int) -> Iterable[tuple[FileFacts, Dataset | None]]:
    """Read the header of each file and say what the file is.

    Parameters
    ----------
    files
        Files of the inbox.
    limit
        Largest number of bytes that one compressed file may unpack to.

    Yields
    ------
    The facts, and for an image that goes on the header they come from (without pixels).
    """
    from pydicom import config  # noqa: PLC0415 - costs 0.3 s, which `heartbrain --help` need not pay

    config.settings.reading_validation_mode = config.IGNORE
    for found in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield _classify(found, limit)


def _classify(found: FoundFile, limit: int) -> tuple[FileFacts, Dataset | None]:
    if not found.readable:
        return FileFacts(found=found, kind="other", code="UNREADABLE_FILE"), None
    if found.size == 0:
        return FileFacts(found=found, kind="other", code="EMPTY_FILE"), None
    try:
        with open(found.path, "rb") as file:  # noqa: PTH123 - called for every input file; a str needs no Path
            head = file.read(_HEAD)
            if head.startswith(GZIP_MAGIC):
                content = read_content(found.path, limit=limit)
                return _classify_stream(found, content[:_HEAD], io.BytesIO(content), len(content))
            return _classify_stream(found, head, file, found.size)
    except UnpackedTooLargeError:
        return FileFacts(found=found, kind="other", code="TOO_LARGE"), None
    except zlib.error:
        return FileFacts(found=found, kind="other", code="DAMAGED_ARCHIVE"), None
    except OSError:
        return FileFacts(found=found, kind="other", code="UNREADABLE_FILE"), None


def _classify_stream(found: FoundFile, head: bytes, stream: BinaryIO, size: int) -> tuple[FileFacts, Dataset | None]:
    if not looks_like_dicom(head):
        return _classify_other(found), None
    from pydicom import dcmread  # noqa: PLC0415 - see classify_files

    stream.seek(0)
    try:
        dataset = dcmread(stream, stop_before_pixels=True, force=True)
        facts = _facts(dataset)
    except Exception:  # noqa: BLE001 - a damaged file can raise anything from the parser; it is data, not a fault of ours
        return FileFacts(found=found, kind="dicom", code="INVALID_DICOM", sha256=_digest(stream)), None
    stream_position = stream.tell()
    stream.seek(stream_position)
    has_pixels = stream_position < size and stream.read(2) in {_PIXEL_GROUP, _PIXEL_GROUP[::-1]}
    code = _refuse(dataset, facts, has_pixels=has_pixels)
    digest = _digest(stream) if code else None
    result = FileFacts(found=found, kind="dicom", code=code, dicom=facts, sha256=digest)
    return result, None if code else dataset


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
        group = int.from_bytes(head[0:2], order)  # type: ignore[arg-type]
        element = int.from_bytes(head[2:4], order)  # type: ignore[arg-type]
        if group in {0x0002, 0x0008} and element <= 0x0070:  # noqa: PLR2004 - what PS3.6 defines at the start of these groups
            length = int.from_bytes(head[4:8], order)  # type: ignore[arg-type]
            if (head[4:6].isalpha() and head[4:6].isupper()) or length <= 256:  # noqa: PLR2004 - first elements are short
                return True
    return False


def _classify_other(found: FoundFile) -> FileFacts:
    from pathlib import Path  # noqa: PLC0415 - keeps the hot path free of it

    from heartbrain_ingest.lab import is_lab_table  # noqa: PLC0415 - only when such a file is met
    from heartbrain_ingest.physio import is_physio_log  # noqa: PLC0415 - the same

    path = Path(found.path)
    with path.open("rb") as file:
        digest = _digest(file)
    if is_physio_log(path):
        return FileFacts(found=found, kind="physio", sha256=digest)
    if is_lab_table(path):
        return FileFacts(found=found, kind="lab", sha256=digest)
    return FileFacts(found=found, kind="other", code="NOT_DICOM", sha256=digest)


def _facts(dataset: Dataset) -> DicomFacts:
    def text(keyword: str) -> str:
        value = dataset.get(keyword)
        return "" if value is None else str(value).strip(" \0")

    def number(keyword: str) -> int:
        try:
            return int(dataset.get(keyword) or 0)
        except (TypeError, ValueError):
            return 0

    geometry = "ImageOrientationPatient" in dataset or "SharedFunctionalGroupsSequence" in dataset
    return DicomFacts(
        study=text("StudyInstanceUID"),
        series=text("SeriesInstanceUID"),
        instance=text("SOPInstanceUID"),
        patient_id=text("PatientID"),
        patient_name=text("PatientName"),
        birth_date=text("PatientBirthDate"),
        sex=text("PatientSex"),
        study_date=text("StudyDate") or text("SeriesDate") or text("AcquisitionDate") or text("ContentDate"),
        study_time=text("StudyTime") or text("SeriesTime"),
        series_number=number("SeriesNumber"),
        instance_number=number("InstanceNumber"),
        study_description=text("StudyDescription"),
        station_name=text("StationName"),
        announced=number("ImagesInAcquisition") or number("NumberOfSeriesRelatedInstances"),
        has_geometry=geometry,
    )


def _refuse(dataset: Dataset, facts: DicomFacts, *, has_pixels: bool) -> str | None:
    sop_class = str(dataset.get("SOPClassUID") or "")
    meta_class = str(getattr(dataset, "file_meta", {}).get("MediaStorageSOPClassUID") or "")
    if DICOMDIR_CLASS in {sop_class, meta_class}:
        return "DIRECTORY_FILE"
    if len(dataset) == 0:
        return "INVALID_DICOM"
    if not has_pixels:
        modality = str(dataset.get("Modality") or "")
        # A radiotherapy object or a waveform has no pixels either, but is no by-product of an MR session.
        return "NOT_MR_IMAGE" if modality.startswith("RT") or "WaveformSequence" in dataset else "NO_PIXEL_DATA"
    if str(dataset.get("BurnedInAnnotation") or "").strip().upper() == "YES":
        return "BURNED_IN_TEXT"
    is_mr = str(dataset.get("Modality") or "").strip() == "MR"
    is_capture = sop_class.startswith(SECONDARY_CAPTURE)
    if not (sop_class in MR_CLASSES or is_mr) or (is_capture and not facts.has_geometry):
        return "NOT_MR_IMAGE"
    if not facts.study:
        return "NO_STUDY_UID"
    if not facts.series or not facts.instance:
        return "INVALID_DICOM"
    return None


def _digest(stream: BinaryIO) -> str:
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()
