"""The headers of a Siemens VE11 scanner, with everything in them that must not leave the hospital."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import MRImageStorage

from sample_data.csa import Tag, encode
from sample_data.images import PHASE_INTERCEPT, PHASE_SLOPE, Volume
from sample_data.people import Person, Site, Visit
from sample_data.protocol_text import protocol_text
from sample_data.protocols import Kind, Protocol

UID_ROOT = "1.3.12.2.1107.5.2.43"
MODEL = "Prisma_fit"
CONTRAST_AGENT = "Gadovist"
_DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"


@dataclass(frozen=True, kw_only=True)
class SeriesContext:
    """One series of one visit: who, where, when, what."""

    site: Site
    person: Person
    visit: Visit
    protocol: Protocol
    number: int
    start: datetime
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    reference_image_uid: str

    def moment(self, seconds: float) -> datetime:
        """Give the time `seconds` after the start of the series."""
        return self.start + timedelta(seconds=seconds)


def dicom_time(moment: datetime) -> str:
    """Format a time as DICOM TM with microseconds."""
    return f"{moment:%H%M%S.%f}"


def shared_header(context: SeriesContext, volume: Volume) -> Dataset:
    """Give the elements that all files of a series have in common."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = MRImageStorage
    dataset.Modality = "MR"
    dataset.Manufacturer = "SIEMENS"
    dataset.ManufacturerModelName = MODEL
    _place(dataset, context)
    _patient(dataset, context)
    _times(dataset, context)
    _acquisition(dataset, context)
    _geometry(dataset, context, volume)
    _private(dataset, context, volume)
    return dataset


def _place(dataset: Dataset, context: SeriesContext) -> None:
    site, visit = context.site, context.visit
    dataset.InstitutionName = site.institution
    dataset.InstitutionAddress = site.address
    dataset.InstitutionalDepartmentName = site.department
    dataset.StationName = site.station
    dataset.DeviceSerialNumber = site.device_serial
    dataset.SoftwareVersions = "syngo MR E11"
    dataset.ReferringPhysicianName = site.referring_physicians[0]
    dataset.ReferringPhysicianTelephoneNumbers = site.telephone
    dataset.PerformingPhysicianName = site.performing_physician
    dataset.NameOfPhysiciansReadingStudy = site.reading_physician
    dataset.PhysiciansOfRecord = site.referring_physicians[1]
    dataset.OperatorsName = list(site.operators)
    dataset.RequestingPhysician = site.requesting_physician
    dataset.AccessionNumber = visit.accession_number
    dataset.StudyID = visit.study_id
    reader = Dataset()
    reader.PersonIdentificationCodeSequence = Sequence(
        [_code("88123", "99LOCAL", site.reading_physician.split("^")[0])]
    )
    reader.InstitutionName = site.institution
    dataset.PhysiciansReadingStudyIdentificationSequence = Sequence([reader])


def _patient(dataset: Dataset, context: SeriesContext) -> None:
    person = context.person
    dataset.PatientName = person.name
    dataset.PatientID = person.patient_id
    dataset.PatientBirthDate = f"{person.birth_date:%Y%m%d}"
    dataset.PatientSex = person.sex
    dataset.PatientAge = f"{person.age(context.visit.start.date()):03d}Y"
    dataset.PatientSize = f"{person.size_m:.2f}"
    dataset.PatientWeight = f"{person.weight_kg:.1f}"
    dataset.OtherPatientIDs = list(person.other_ids)
    other = Dataset()
    other.PatientID = person.other_ids[0]
    other.IssuerOfPatientID = "KIS Göhrenfels"
    dataset.OtherPatientIDsSequence = Sequence([other])
    dataset.PatientBirthName = person.birth_name
    dataset.PatientAddress = person.address
    dataset.PatientTelephoneNumbers = person.telephone
    dataset.Occupation = person.occupation
    dataset.PatientInsurancePlanCodeSequence = Sequence([_code("INS1", "99LOCAL", person.insurance)])
    dataset.PatientComments = person.comment
    dataset.AdditionalPatientHistory = f"Z.n. Synkope, Hausarzt {context.site.referring_physicians[1].split('^')[0]}"
    dataset.ImageComments = f"{person.family_name} unruhig"


def _times(dataset: Dataset, context: SeriesContext) -> None:
    start, visit, site = context.start, context.visit, context.site
    day = f"{start:%Y%m%d}"
    for keyword in ("InstanceCreationDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(dataset, keyword, day)
    dataset.StudyTime = dicom_time(visit.start)
    dataset.SeriesTime = dicom_time(start)
    dataset.StudyInstanceUID = context.study_uid
    dataset.SeriesInstanceUID = context.series_uid
    dataset.FrameOfReferenceUID = context.frame_of_reference_uid
    dataset.SeriesNumber = context.number
    dataset.StudyDescription = "HeartBrain^Kopf"
    dataset.PerformedProcedureStepStartDate = day
    dataset.PerformedProcedureStepStartTime = dicom_time(visit.start)
    dataset.PerformedProcedureStepID = f"MR{visit.start:%Y%m%d%H%M%S}"
    dataset.PerformedProcedureStepDescription = "HeartBrain^Kopf"
    dataset.RequestedProcedureDescription = "MRT Schädel"
    dataset.CommentsOnThePerformedProcedureStep = f"Befund an {site.referring_physicians[0].split('^')[0]}"
    request = Dataset()
    request.AccessionNumber = visit.accession_number
    request.ReferencedStudySequence = Sequence([_reference(_DETACHED_STUDY, context.study_uid)])
    request.RequestingPhysician = site.requesting_physician
    request.ScheduledProcedureStepDescription = f"MRT Kopf {context.person.family_name}"
    request.ScheduledProcedureStepID = f"SPS{visit.study_id}"
    request.RequestedProcedureID = f"RP{visit.study_id}"
    dataset.RequestAttributesSequence = Sequence([request])
    dataset.ReferencedImageSequence = Sequence([_reference(MRImageStorage, context.reference_image_uid)])


def _acquisition(dataset: Dataset, context: SeriesContext) -> None:
    protocol = context.protocol
    dataset.SeriesDescription = protocol.description
    dataset.ProtocolName = protocol.description
    dataset.BodyPartExamined = "BRAIN"
    dataset.ScanningSequence = protocol.scanning_sequence.split("\\")
    dataset.SequenceVariant = protocol.sequence_variant.split("\\")
    dataset.ScanOptions = protocol.scan_options.split("\\") if protocol.scan_options else ""
    dataset.MRAcquisitionType = protocol.acquisition_type
    dataset.AngioFlag = "N"
    dataset.RepetitionTime = f"{protocol.repetition_ms:g}"
    if protocol.inversion_ms is not None:
        dataset.InversionTime = f"{protocol.inversion_ms:g}"
    dataset.NumberOfAverages = "1"
    dataset.ImagingFrequency = "123.261672"
    dataset.ImagedNucleus = "1H"
    dataset.MagneticFieldStrength = "3"
    dataset.NumberOfPhaseEncodingSteps = protocol.rows
    dataset.EchoTrainLength = protocol.echo_train
    dataset.PercentSampling = "100"
    dataset.PercentPhaseFieldOfView = "100"
    dataset.PixelBandwidth = str(protocol.pixel_bandwidth)
    dataset.TransmitCoilName = "Body"
    along_rows = protocol.phase_axis == "ROW"
    dataset.AcquisitionMatrix = (
        [0, protocol.columns, protocol.rows, 0] if along_rows else [protocol.columns, 0, 0, protocol.rows]
    )
    dataset.InPlanePhaseEncodingDirection = protocol.phase_axis
    dataset.FlipAngle = f"{protocol.flip_degrees:g}"
    dataset.VariableFlipAngleFlag = "N"
    dataset.SAR = "0.15387313984988"
    dataset.dBdt = "0"
    dataset.PatientPosition = "HFS"
    if protocol.contrast:
        dataset.ContrastBolusAgent = CONTRAST_AGENT
        dataset.ContrastBolusRoute = "IV"
        dataset.ContrastBolusVolume = f"{context.person.weight_kg / 10:.1f}"
        dataset.ContrastBolusTotalDose = f"{context.person.weight_kg / 10:.1f}"
        dataset.ContrastBolusStartTime = dicom_time(context.moment(-300.0))
        dataset.ContrastBolusIngredient = "GADOLINIUM"
        dataset.ContrastBolusIngredientConcentration = "1"


def _geometry(dataset: Dataset, context: SeriesContext, volume: Volume) -> None:
    protocol, slab = context.protocol, volume.slab
    dataset.SliceThickness = f"{protocol.thickness:.6g}"
    if protocol.acquisition_type == "2D" and protocol.slices > 1:
        dataset.SpacingBetweenSlices = f"{protocol.spacing:.6g}"
    dataset.PositionReferenceIndicator = ""
    dataset.PixelSpacing = [f"{slab.pixel:.6g}"] * 2
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.WindowCenterWidthExplanation = "Algo1"
    if protocol.kind is Kind.FIELD_PHASE:
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = PHASE_INTERCEPT, PHASE_SLOPE, "US"


def _private(dataset: Dataset, context: SeriesContext, volume: Volume) -> None:
    protocol, person = context.protocol, context.person
    mr = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    mr.add_new(0x08, "CS", "IMAGE NUM 4")
    mr.add_new(0x09, "LO", "1.0")
    if protocol.mosaic:
        mr.add_new(0x0A, "US", volume.slab.slices)
    mr.add_new(0x0F, "SH", "Fast")
    mr.add_new(0x11, "SH", "No")
    mr.add_new(0x12, "SL", [0, 0, -1296])
    mr.add_new(0x13, "SL", [0, 0, -1296])
    mr.add_new(0x14, "IS", ["0", "0", "0"])
    mr.add_new(0x17, "DS", "1")
    mr.add_new(0x18, "IS", str(_dwell_ns(protocol)))
    if protocol.phase_bandwidth:
        mr.add_new(0x28, "FD", protocol.phase_bandwidth)
    if protocol.mosaic and volume.slice_times is not None:
        mr.add_new(0x29, "FD", [float(time) for time in volume.slice_times])
    csa = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    csa.add_new(0x08, "CS", "IMAGE NUM 4")
    csa.add_new(0x09, "LO", f"{context.start:%Y%m%d}")
    csa.add_new(0x18, "CS", "MR")
    csa.add_new(0x19, "LO", f"{context.start:%Y%m%d}")
    csa.add_new(0x20, "OB", encode(_series_tags(context, volume)))
    medcom = dataset.private_block(0x0029, "SIEMENS MEDCOM HEADER", create=True)
    medcom.add_new(0x31, "LO", f"4.0.{context.site.device_serial}300")
    medcom.add_new(0x34, "CS", "DB TO DICOM")
    medcom.add_new(0x08, "CS", "MEDCOM 1")
    medcom.add_new(0x09, "LO", "VB10A 20030626")
    medcom.add_new(0x10, "OB", f"<patient>{person.name}</patient><id>{person.patient_id}</id>".encode("latin-1"))
    dataset.private_block(0x0029, "SIEMENS MEDCOM HEADER2", create=True).add_new(0x60, "LO", "com")
    text = dataset.private_block(0x0051, "SIEMENS MR HEADER", create=True)
    text.add_new(0x08, "CS", "IMAGE NUM 4")
    text.add_new(0x09, "LO", "1.0")
    text.add_new(0x0A, "LO", f"TA {round(protocol.duration_s) // 60:02d}:{round(protocol.duration_s) % 60:02d}")
    text.add_new(0x0B, "LO", f"{protocol.rows}*{protocol.columns}")
    text.add_new(0x0C, "LO", f"FoV {protocol.rows * protocol.pixel:g}*{protocol.columns * protocol.pixel:g}")
    text.add_new(0x0F, "LO", "HEA;HEP")
    text.add_new(0x12, "SH", "TP 0")
    text.add_new(0x13, "SH", "+LPH")
    text.add_new(0x17, "SH", f"SL {protocol.thickness:.1f}")


def _series_tags(context: SeriesContext, volume: Volume) -> Iterable[Tag]:
    person, protocol = context.person, context.protocol
    text = protocol_text(
        protocol=protocol,
        volume=volume,
        person=person,
        site=context.site,
        frame_uid=context.reference_image_uid,
    )
    age = person.age(context.start.date())
    tags = (
        Tag("UsedPatientWeight", "IS", 1, round(person.weight_kg)),
        Tag("PatReinPattern", "ST", 1, f"1;HFS;{person.weight_kg:.2f};{age:.2f};3;0;2;-2048984740"),
        Tag("MrPhoenixProtocol", "UN", 1, text),
    )
    if protocol.kind is Kind.REAL_TIME:  # its many small files are to stay small
        return tags
    return (
        *tags,
        Tag("SequenceFileOwner", "SH", 1, "USER" if "Customer" in protocol.sequence_file else "SIEMENS"),
        Tag("MrProtocolVersion", "IS", 1, 51130001),
        Tag("PositivePCSDirections", "SH", 1, "+LPH"),
        Tag("ReadoutOS", "FD", 1, 2.0),
        Tag("LongModelName", "LO", 1, "NUMARIS/4"),
        Tag("SliceArrayConcatenations", "IS", 1, 1),
        Tag("CoilString", "LO", 1, "HEA;HEP"),
        Tag("GradientMode", "SH", 1, "Fast"),
        Tag("EchoTrainLength", "IS", 1, protocol.echo_train),
    )


def image_tags(context: SeriesContext, volume: Volume, index: int) -> list[Tag]:
    """Give the CSA image header's entries of slice `index` (0 for a mosaic)."""
    protocol, slab = context.protocol, volume.slab
    position = slab.mosaic_position() if protocol.mosaic else slab.position(index)
    tags = [
        Tag("ProtocolSliceNumber", "IS", 1, index),
        Tag("RealDwellTime", "IS", 1, _dwell_ns(protocol)),
        Tag("PhaseEncodingDirectionPositive", "IS", 1, protocol.phase_positive),
        Tag("SliceNormalVector", "FD", 3, *_clean(slab.normal)),
        Tag("TimeAfterStart", "DS", 1, volume.start_s),
        Tag("SlicePosition_PCS", "FD", 3, *_clean(position)),
    ]
    if protocol.kind is not Kind.REAL_TIME:
        tags.append(Tag("ICE_Dims", "LO", 1, f"X_{volume.echo}_1_1_1_1_1_{index + 1}_1_1_1_1_1"))
        tags.append(Tag("SliceMeasurementDuration", "DS", 1, protocol.repetition_ms))
        tags.append(Tag("AcquisitionMatrixText", "SH", 1, f"{protocol.rows}*{protocol.columns}"))
        tags.append(Tag("ImaCoilString", "LO", 1, "HEA;HEP"))
    if protocol.mosaic:
        tags.append(Tag("NumberOfImagesInMosaic", "US", 1, slab.slices))
        if volume.slice_times is not None:
            tags.append(Tag("MosaicRefAcqTimes", "FD", 0, *_clean(volume.slice_times)))
    if protocol.phase_bandwidth:
        tags.append(Tag("BandwidthPerPixelPhaseEncode", "FD", 1, protocol.phase_bandwidth))
    if volume.b_value is not None:
        tags.append(Tag("B_value", "IS", 1, volume.b_value))
        tags.append(Tag("DiffusionDirectionality", "CS", 1, "DIRECTIONAL" if volume.direction else "NONE"))
        if volume.direction:
            tags.append(Tag("DiffusionGradientDirection", "FD", 3, *_clean(volume.direction)))
            tags.append(Tag("B_matrix", "FD", 6, *b_matrix(volume.b_value, volume.direction)))
    return tags


def b_matrix(b_value: int, direction: tuple[float, float, float]) -> tuple[float, ...]:
    """Give the six different entries of the b-matrix (xx, xy, xz, yy, yz, zz), s/mm2."""
    x, y, z = direction
    return _clean(b_value * one for one in (x * x, x * y, x * z, y * y, y * z, z * z))


def _clean(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(float(value), 8) + 0.0 for value in values)


def _dwell_ns(protocol: Protocol) -> int:
    """Give the time between samples before oversampling is taken away, ns: 1 / (bandwidth * columns * 2)."""
    return round(1e9 / protocol.pixel_bandwidth / protocol.columns / 2 / 100) * 100


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _reference(sop_class: str, uid: str) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = sop_class
    reference.ReferencedSOPInstanceUID = uid
    return reference
