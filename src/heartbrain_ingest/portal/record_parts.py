"""The parts of a record's page: fields in groups, files, what belongs to it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from heartbrain_ingest.portal.entity import Entity, Model, Page, Value, find
from heartbrain_ingest.portal.files import PICTURES, SHOWN, ending
from heartbrain_ingest.portal.kinds import AS_STORED
from heartbrain_ingest.portal.pages import Translate
from heartbrain_ingest.portal.record_words import N_

#: Files of a record that its page lists; a segmentation has more than anybody reads.
MOST_FILES: Final = 300
MOST_MEMBERS: Final = 100
#: Values of a list that stand in the page.
_MOST_VALUES: Final = 60
_LONG: Final = 400
_SHORT_LIST: Final = 8
_FIRST_YEAR, _LAST_YEAR = 1000, 9000
#: Lengths of edges, which stand with a cross between them.
_EDGES: Final = frozenset({"ImageShape", "VoxelSize", "AcquisitionVoxelSize"})

#: The fields that people look for, by their BIDS names; all others stand below, by name.
GROUPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (
        N_("About"),
        (
            *("Project", "Subject", "Session", "Sample", "Date", "Age", "Sex", "Responsible", "Device", "Revision"),
            *("SubjectLabel", "SessionLabel", "Material", "CollectionDate", "CollectionTime", "SampleLabel"),
            *("Function", "FunctionTitle", "FunctionVersion", "RequiredRecordType", "Request", "Inputs", "Parameters"),
            *("Status", "StatusMessage", "SubmittedBy", "RequestTime", "BeginTime", "EndTime", "Results", "Images"),
        ),
    ),
    (
        N_("Laboratory"),
        (
            *("Analyte", "MeasuredValue", "MeasuredUnit", "Qualifier", "ReferenceLow", "ReferenceHigh"),
            *("ReferenceFlag", "ReferenceSource", "OriginalValue", "OriginalUnit", "LaboratoryComment", "LOINC"),
        ),
    ),
    (
        N_("Recording"),
        (
            *("MeanRate", "NumberOfPeaks", "SignalQuality", "MeanOxygenSaturation", "OverlapFraction"),
            *("SamplingFrequency", "NumberOfSamples", "StartTime", "RecordedDuring", "ClockSource", "Columns"),
        ),
    ),
    (
        N_("Acquisition"),
        (
            *("SeriesDescription", "SeriesNumber", "AcquisitionTime", "MRAcquisitionType", "PulseSequenceType"),
            *("RepetitionTime", "EchoTime", "EchoTime1", "EchoTime2", "InversionTime", "FlipAngle"),
            *("AcquisitionDuration", "NumberOfVolumes", "BValues", "MaximumBValue", "NumberOfBValuesBelow200"),
            *("PhaseEncodingDirection", "TotalReadoutTime", "EffectiveEchoSpacing", "ParallelReductionFactorInPlane"),
            *("MultibandAccelerationFactor", "PartialFourier", "TaskName"),
            *(
                "ResonantNucleus",
                "SpectrometerFrequency",
                "SpectralWidth",
                "NumberOfSpectralPoints",
                "NumberOfTransients",
            ),
            *("MixingTime", "WaterSuppression"),
            *("ArterialSpinLabelingType", "LabelingDuration", "PostLabelingDelay", "M0Type", "BackgroundSuppression"),
        ),
    ),
    (
        N_("Geometry"),
        (
            "ImageShape",
            "MatrixSize",
            "VoxelSize",
            "SliceThickness",
            "SpacingBetweenSlices",
            "ImageOrientationText",
            "BodyPart",
        ),
    ),
    (
        N_("Scanner"),
        (
            *("Manufacturer", "ManufacturersModelName", "MagneticFieldStrength", "SoftwareVersions"),
            *("ReceiveCoilName", "DeviceSerialNumber"),
        ),
    ),
)
#: Shown elsewhere on the page.
#: What files are, by the property that refers to them.
_FILES: Final[Mapping[str, str]] = {
    "ImageFile": N_("the image (NIfTI)"),
    "SidecarFile": N_("how it was recorded (JSON)"),
    "BValueFile": N_("b-values"),
    "BVectorFile": N_("gradient directions"),
    "AslContextFile": N_("kind of each volume"),
    "DicomArchive": N_("de-identified DICOM files"),
    "PlanesPicture": N_("picture of three planes"),
    "MeanPicture": N_("picture of the mean over the volumes"),
    "TSNRPicture": N_("picture of the signal-to-noise ratio over time"),
    "TracePicture": N_("drawing of the recording"),
    "SpectrumPicture": N_("drawing of the strongest spectrum"),
    "RecordingFile": N_("samples of the recording"),
    "TableFile": N_("table of the laboratory delivery"),
    "ReadmeFile": N_("what the folder holds"),
    "CertificateFile": N_("what was done to the session and how it was checked"),
    "ResultFile": N_("the result as the function gave it"),
    "LogFiles": N_("log of the computation"),
    "OutputFiles": N_("further file"),
}
#: The same for files of a result, by what its function says of them.
_ROLES: Final[Mapping[str, str]] = {
    "report": N_("report"),
    "picture": N_("picture"),
    "table": N_("table"),
    "map": N_("map"),
    "labels": N_("regions"),
    "segmentation": N_("regions"),
    "mask": N_("mask"),
    "error": N_("uncertainty of a map"),
    "records": N_("table whose rows can be searched"),
    "description": N_("what the columns of a table mean"),
    "surface": N_("surface of the brain"),
}
#: Tables that are long and seldom read: folded until somebody opens them.
_FOLDED: Final = frozenset({"RegionMeasurement", "ResultRow"})
_BY_THE_WAY: Final = frozenset({"OutputFiles", "LogFiles"})
_ELSEWHERE: Final = frozenset({"ResultNotes", "OtherResultValues"})
#: What belongs to a record: heading, RecordType, and how it is joined to the record of the number.
_MEMBERS: Final[Mapping[str, tuple[tuple[str, str, str], ...]]] = {
    "Project": ((N_("Sessions"), "Session", "WITH Project={}"),),
    "Subject": (
        (N_("Sessions"), "Session", "WITH Subject={}"),
        (N_("Results"), "AnalysisResult", "WITH Subject={}"),
        (N_("Laboratory values"), "LaboratoryMeasurement", "WITH Subject={}"),
    ),
    "Session": (
        (N_("Images"), "MRImage", "WITH Session={}"),
        (N_("Recordings"), "PhysiologicalRecording", "WITH Session={}"),
        (N_("Results"), "AnalysisResult", "WITH Session={}"),
        (N_("Laboratory values"), "LaboratoryMeasurement", "WITH Session={}"),
    ),
    "MRImage": ((N_("Recordings during the scan"), "PhysiologicalRecording", "WITH RecordedDuring={}"),),
    "Sample": ((N_("Laboratory values"), "LaboratoryMeasurement", "WITH Sample={}"),),
    "AnalysisResult": (
        (N_("Regions"), "RegionMeasurement", "WITH Result={}"),
        (N_("All rows of its tables"), "ResultRow", "WITH Result={}"),
    ),
    "ImageGroup": ((N_("Images of the group"), "MRImage", "WHICH IS REFERENCED BY {}"),),
}
#: What is read of each.
_SELECTED: Final[Mapping[str, tuple[str, ...]]] = {
    "Session": ("Date", "Age", "ManufacturersModelName"),
    "AnalysisResult": ("FunctionVersion", "Session.Date"),
    "RegionMeasurement": ("atlas", "hemisphere", "region", "volume", "area", "mean_thickness"),
    "ResultRow": ("Result",),
    "LaboratoryMeasurement": (
        *("Analyte", "MeasuredValue", "MeasuredUnit", "Qualifier", "ReferenceFlag", "ReferenceLow", "ReferenceHigh"),
        *("Sample.CollectionDate", "Sample.Material"),
    ),
    "MRImage": (
        *("SeriesNumber", "SeriesDescription", "NumberOfVolumes", "PlanesPicture", "BIDSSuffix"),
        *("task", "acq", "ce", "dir", "rec", "run", "echo", "desc"),
    ),
    "PhysiologicalRecording": (
        *("MeanRate", "NumberOfPeaks", "OverlapFraction", "SignalQuality"),
        *("task", "acq", "ce", "dir", "rec", "run", "echo", "desc"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """The same number several times in a row."""

    times: int
    number: float


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a record, ready to be written.

    Attributes
    ----------
    texts
        What is no reference; numbers stay numbers, so that they are written as the visitor's language does.
    links
        Address and name of what it refers to.
    more
        How many values are left out.
    """

    name: str
    unit: str
    description: str
    texts: tuple[Any, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    more: int = 0
    is_long: bool = False
    #: Whether numbers are written as they are stored.
    is_exact: bool = False
    between: str = "; "


@dataclass(frozen=True, kw_only=True)
class Group:
    """Fields that belong together."""

    heading: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, kw_only=True)
class GivenFile:
    """A file to download.

    Attributes
    ----------
    what, words
        Property that refers to it, and what that means.
    is_main
        Whether people look for it.
    """

    id: int
    name: str
    size: int | None
    what: str
    words: str
    is_main: bool
    is_shown: bool
    is_picture: bool


@dataclass(frozen=True, kw_only=True)
class Members:
    """What belongs to a record."""

    heading: str
    kind: str
    page: Page
    question: str
    is_folded: bool = False


def sort_fields(
    record: Entity, names: Mapping[int, Entity], _: Translate
) -> tuple[tuple[Group, ...], tuple[Field, ...]]:
    """Put the fields of a record into groups; the second part are all others, by name.

    Parameters
    ----------
    names
        The entities that it refers to.
    """
    left = {one.name: one for one in record.values if not one.is_file and one.name not in _ELSEWHERE}
    groups = []
    for heading, wanted in GROUPS:
        chosen = tuple(_field(left.pop(name), names) for name in wanted if name in left)
        if chosen:
            groups.append(Group(heading=_(heading), fields=chosen))
    rest = tuple(_field(left[name], names) for name in sorted(left, key=str.casefold))
    return tuple(groups), rest


def list_files(
    record: Entity, files: Mapping[int, Entity], roles: Mapping[str, str], _: Translate
) -> tuple[GivenFile, ...]:
    """List the files of a record: what people look for first, else in the order of its properties.

    Parameters
    ----------
    roles
        What a function says of the files it made, by their paths.
    """
    given = [
        _given(files[one], value.name, roles.get(files[one].path, ""), _)
        for value in record.values
        if value.is_file
        for one in value.ids[:MOST_FILES]
        if one in files
    ]
    if record.role == "File":
        given.append(_given(record, "", "", _))
    order = list(_ROLES)
    paths = {one.id: one.path for one in files.values()}
    place = {one.id: order.index(role) for one in given if (role := roles.get(paths.get(one.id, ""), "")) in order}
    return tuple(sorted(given, key=lambda one: (not one.is_main, place.get(one.id, -1))))


def list_members(record: Entity, model: Model, _: Translate) -> tuple[Members, ...]:
    """Give what belongs to a subject, a session, an image, a group; of other records nothing."""
    base = next((one for one in model.line(record.kind) if one in _MEMBERS), None)
    if base is None or record.role != "Record":
        return ()
    found = []
    for heading, kind, joined in _MEMBERS[base]:
        condition = f"{kind} {joined.format(record.id)}"
        question = f"SELECT {', '.join(_SELECTED[kind])} FROM {condition}"  # noqa: S608 - LQL of our own words and a number
        page = find(question, most=MOST_MEMBERS)
        if page.total:
            members = Members(
                heading=_(heading), kind=kind, page=page, question=f"FIND {condition}", is_folded=kind in _FOLDED
            )
            found.append(members)
    return tuple(found)


def list_referring(record: Entity, _: Translate) -> Members | None:
    """Give what refers to a record of which nothing more is known."""
    question = f"FIND RECORD WHICH REFERENCES {record.id}"
    page = find(question, most=MOST_MEMBERS // 2)
    heading = _("What refers to it")
    return Members(heading=heading, kind="", page=page, question=question) if page.total else None


def _given(file: Entity, what: str, role: str, _: Translate) -> GivenFile:
    end = ending(file.file_name)
    known = _ROLES.get(role) or (_FILES.get(what) if not role else None)
    return GivenFile(
        id=file.id,
        name=file.file_name,
        size=file.size,
        what=what,
        # What a function or the data model calls it is data: only our own words are translated.
        words=_(known) if known else role or what,
        is_main=bool(role) or what not in _BY_THE_WAY,
        is_shown=end in SHOWN,
        is_picture=end in PICTURES,
    )


def _field(value: Value, names: Mapping[int, Entity]) -> Field:
    ids = value.ids
    shown = value.values[:_MOST_VALUES]
    if ids:
        links = tuple(_link(one, names.get(one)) for one in ids[:_MOST_VALUES])
        texts: tuple[Any, ...] = ()
    else:
        links, texts = (), tuple(_runs([_text(one, value.element) for one in shown]))
    return Field(
        name=value.name,
        unit=value.unit,
        description=value.description,
        texts=texts,
        links=links,
        more=len(value.values) - len(shown),
        between=" \N{MULTIPLICATION SIGN} " if value.name in _EDGES else "; ",
        is_long=any(isinstance(one, str) and len(one) > _LONG for one in texts),
        is_exact=value.name in AS_STORED,
    )


def _runs(values: Sequence[Any]) -> Iterable[Any]:
    """Write a long list of numbers by what is repeated in it."""
    if len(values) <= _SHORT_LIST or not all(isinstance(one, int | float) for one in values):
        return values
    groups = ((number, len(list(same))) for number, same in itertools.groupby(values))
    return [number if times == 1 else Run(times=times, number=number) for number, times in groups]


def _link(identifier: int, entity: Entity | None) -> tuple[str, str]:
    name = (entity.name or entity.text("Analyte")) if entity is not None else ""
    return f"/record/{identifier}", name or f"{identifier}"


def _text(value: Any, element: str) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}"
    if isinstance(value, bool | int | float):
        return value
    text = str(value)
    if element == "DATETIME":
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return text
        # Nobody was scanned then, and a clock elsewhere has no such time.
        if not _FIRST_YEAR < moment.year < _LAST_YEAR:
            return text
        return moment if len(text) > len("2015-01-24") else moment.date()
    return text


def is_day(value: object) -> bool:
    """Tell whether a value is a day without a time."""
    return isinstance(value, date) and not isinstance(value, datetime)


def referred(records: Iterable[Entity], *, files: bool) -> Sequence[int]:
    """Give the ids that records refer to, as far as their pages show them: of files or of anything else."""
    most = MOST_FILES if files else _MOST_VALUES
    return [one for record in records for value in record.values if value.is_file == files for one in value.ids[:most]]
