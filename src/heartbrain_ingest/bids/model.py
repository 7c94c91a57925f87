"""The records that naming takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

#: Code of an image that no rule names.
UNCLASSIFIED = "UNCLASSIFIED"
#: Code of an image that has a BIDS kind but lacks what BIDS requires for it.
BIDS_INCOMPLETE = "BIDS_INCOMPLETE"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One NIfTI image that dcm2niix wrote, before it has a name."""

    #: Stable name of the image: ``<series number>/<dcm2niix stem>``.
    key: str
    #: SeriesInstanceUID of the series it was made of.
    series_uid: str
    #: SeriesNumber.
    series_number: int
    #: AcquisitionTime, ``HH:MM:SS.ffffff`` or ``HHMMSS.ffffff``; empty when unknown. It orders the runs.
    acquisition_time: str
    #: DICOM keyword -> plain value of the first instance, de-identified; ``ASLContext`` as a list, one entry a volume
    #: (see `perfusion.read_asl_context`).
    header: Mapping[str, Any]
    #: What dcm2niix wrote into the sidecar (BIDS names, seconds).
    sidecar: Mapping[str, Any]
    #: Number of voxels along i, j, k and, for a series of volumes, of volumes.
    shape: tuple[int, ...]
    #: Size of a voxel along i, j, k in mm.
    voxel_size: tuple[float, float, float]
    #: The b-value of each volume in s/mm²; empty without a .bval file.
    b_values: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What a rule says of an image."""

    #: BIDS datatype (``anat``, ``dwi`` ...), None without a BIDS name.
    datatype: str | None
    #: Last part of the name (``T1w``, ``localizer`` ...).
    suffix: str
    #: Short entity name -> label, without sub and ses.
    entities: Mapping[str, str]
    #: RecordType of the record in LinkAhead.
    record_type: str
    #: Folder below the published session folder for what has no BIDS name; for a computed image that has one, the
    #: derivative dataset (``derivatives/scanner``); None for what belongs to the raw dataset.
    folder: str | None
    #: Fields to merge into the sidecar.
    metadata: Mapping[str, Any]
    #: Id of the rule.
    rule: str
    #: Issue code, None when all is well.
    code: str | None
    #: True when the rule says that the image is not published.
    ignored: bool = False


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One rule that was looked at for an image."""

    #: Id of the rule.
    rule: str
    #: True for the rule that names the image.
    matched: bool
    #: The first selector that did not hold, with the value it met.
    failed_selector: str | None


@dataclass(frozen=True, kw_only=True)
class NamedImage:
    """An image with its final name in the session."""

    #: The image.
    candidate: Candidate
    #: What the rule said, with the final entities, folder and code.
    naming: Naming
    #: Path without extension, relative to the published session folder; None when the rule ignores the image.
    path: PurePosixPath | None
    #: Fields to merge into the sidecar.
    metadata: Mapping[str, Any]
    #: Further text files of the image: path relative to the published session folder -> content.
    tables: Mapping[PurePosixPath, str] = field(default_factory=dict)
    #: Whether .bval and .bvec may stand beside the image: BIDS refuses them beside references and computed maps.
    b_table: bool = True
    #: Which requirements of BIDS the image does not meet, when it was moved out of the dataset for that.
    findings: tuple[str, ...] = ()
    #: Issue codes of what is published all the same.
    notes: tuple[str, ...] = ()
