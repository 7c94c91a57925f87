"""Made objects of MR spectroscopy: those of Siemens VB to VE, and the standard's class as XA, Philips and UIH write it.

What stands in them is laid out as in real files of a Siemens Skyra (VD13), a Siemens Prisma (XA60) and a Philips
Achieva; of United Imaging no real file was at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from sample_data import csa
from tests.pipeline.scans import make_slice, uid

SPECTROSCOPY: Final = "1.2.840.10008.5.1.4.1.1.4.2"
CSA_NON_IMAGE: Final = "1.3.12.2.1107.5.9.1"
POINTS: Final = 512
#: Hz; the dwell time is 833.4 us, 2500 us / 3 as on Siemens scanners.
WIDTH: Final = 1e9 / 833400
#: MHz
FREQUENCY: Final = 123.255089
#: Chemical shifts in ppm of what is in the made spectrum, its amplitude, and its decay in 1/s.
METABOLITES: Final = ((2.01, 1000.0, 12.0), (3.03, 700.0, 12.0), (3.2, 500.0, 14.0), (4.65, 4000.0, 25.0))
#: Edges of the voxel in mm (rows, columns, slices), its centre in the patient (LPS, mm).
VOXEL: Final = (20.0, 30.0, 25.0)
CENTRE: Final = (-12.5, 30.25, 41.0)
#: An oblique plane: 20 degrees about the left-right axis.
_COS, _SIN = float(np.cos(np.pi / 9)), float(np.sin(np.pi / 9))
PLANE: Final = (1.0, 0.0, 0.0, 0.0, _COS, _SIN)
NORMAL: Final = (0.0, -_SIN, _COS)
ECHO_TIME_MS: Final = 30.0
REPETITION_TIME_MS: Final = 2000.0
TRANSIENTS: Final = 64


def make_signal(points: int = POINTS, scale: float = 1.0, reference_ppm: float = 4.65) -> NDArray[np.complex64]:
    """Give the decaying signal of some metabolites, conjugated as NIfTI-MRS has it: a higher shift turns backwards."""
    time = np.arange(points) / WIDTH
    signal = np.zeros(points, complex)
    for shift, amplitude, decay in METABOLITES:
        turn = -2j * np.pi * (reference_ppm - shift) * FREQUENCY * time
        signal += scale * amplitude * np.exp(-turn - decay * time)
    return signal.astype(np.complex64)


def as_bytes(signal: NDArray[np.complex64]) -> bytes:
    """Give real and imaginary parts by turns, as single-precision numbers."""
    return signal.astype("<c8").tobytes()


def make_siemens(
    number: int = 1, series: int = 9, matrix: tuple[int, int, int] = (1, 1, 1), patient: str = "", **values: object
) -> Dataset:
    """Give an object of Siemens VB to VE: spectra in (7FE1,xx10), all that describes them in the CSA headers.

    Parameters
    ----------
    matrix
        Columns, rows and slices of an object with several spectra.
    patient
        What the scanner's remains in the headers say of the patient.
    """
    dataset = _frame(number, series, SOPClassUID=CSA_NON_IMAGE, **values)
    non_image = dataset.private_block(0x0029, "SIEMENS CSA NON-IMAGE", create=True)
    non_image.add_new(0x08, "CS", "SPEC NUM 4")
    non_image.add_new(0x09, "LO", "syngo MR E11")
    if patient:
        non_image.add_new(0x10, "OB", f"remains of {patient} ".encode().ljust(64, b"\0"))
    header = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    header.add_new(0x08, "CS", "SPEC NUM 4")
    header.add_new(0x09, "LO", "20230504")
    header.add_new(0x10, "OB", csa.encode(_image_tags(matrix)))
    header.add_new(0x18, "CS", "MR")
    header.add_new(0x19, "LO", "20230504")
    header.add_new(0x20, "OB", csa.encode(_series_tags(patient)))
    signal = np.stack([make_signal(scale=1 + place) for place in range(int(np.prod(matrix)))])
    data = dataset.private_block(0x7FE1, "SIEMENS CSA NON-IMAGE", create=True)
    data.add_new(0x10, "OB", as_bytes(signal))
    return dataset


def make_standard(
    number: int = 1,
    series: int = 9,
    vendor: str = "siemens",
    signals: Sequence[NDArray[np.complex64]] = (),
    matrix: tuple[int, int, int] = (1, 1, 1),
    **values: object,
) -> Dataset:
    """Give an object of the class MR Spectroscopy Storage (PS3.3 section A.36.3).

    Parameters
    ----------
    signals
        What follows in SpectroscopyData, one after the other; the made signal for each voxel where none is given.
    matrix
        Columns, rows and slices.
    """
    columns, rows, slices = matrix
    dataset = _frame(number, series, SOPClassUID=SPECTROSCOPY, **values)
    names = {"siemens": "Siemens Healthineers", "philips": "Philips Medical Systems", "uih": "UIH"}
    dataset.Manufacturer = names[vendor]
    dataset.ManufacturerModelName = {"siemens": "MAGNETOM Prisma", "philips": "Ingenia", "uih": "uMR 790"}[vendor]
    dataset.SoftwareVersions = {"siemens": "syngo MR XA60", "philips": "5.7.1", "uih": "uMR_10R001"}[vendor]
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "SPECTROSCOPY", "NONE"]
    dataset.AcquisitionDateTime = f"{dataset.StudyDate}101600.000000"
    dataset.PulseSequenceName = "*svs_se" if vendor == "siemens" else "SPECTROSCOPY"
    dataset.SpectralWidth = WIDTH
    dataset.ChemicalShiftReference = 4.7
    dataset.VolumeLocalizationTechnique = "PRESS"
    dataset.AcquisitionDuration = 160.0
    dataset.TransmitterFrequency = FREQUENCY
    dataset.ResonantNucleus = "1H"
    dataset.WaterReferencedPhaseCorrection = "YES" if len(signals) > 1 else "NO"
    dataset.MRSpectroscopyAcquisitionType = "SINGLE_VOXEL" if matrix == (1, 1, 1) else "PLANE"
    dataset.NumberOfFrames = max(slices, len(signals)) if vendor == "philips" else slices
    dataset.Rows, dataset.Columns = rows, columns
    dataset.DataPointRows, dataset.DataPointColumns = 1, POINTS
    dataset.SpectroscopyAcquisitionDataColumns = POINTS
    dataset.SignalDomainColumns, dataset.DataRepresentation = "TIME", "COMPLEX"
    dataset.AcquisitionContrast = "SPECTROSCOPY"
    if vendor == "uih":
        dataset.DeviceSerialNumber = "190042"
        dataset.add_new(0x006500FF, "LO", "Image Private Header")
        dataset.add_new(0x0065FF06, "DS", list(NORMAL))
        dataset.add_new(0x0065FF07, "OF", as_bytes(make_signal(scale=9)))
        dataset.EchoTime, dataset.RepetitionTime, dataset.FlipAngle = ECHO_TIME_MS, REPETITION_TIME_MS, 90.0
        dataset.SequenceName = "svs_press"
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = list(CENTRE), list(PLANE)
        dataset.PixelSpacing, dataset.SliceThickness = [VOXEL[0], VOXEL[1]], VOXEL[2]
    across, down = PLANE[:3], PLANE[3:]
    # Slabs as Philips lists them: first, second and third side of the voxel.
    slabs = ((VOXEL[2], NORMAL), (VOXEL[0], down), (VOXEL[1], across))
    if vendor == "philips":
        slabs = ((VOXEL[0], down), (VOXEL[1], across), (VOXEL[2], NORMAL))
    dataset.VolumeLocalizationSequence = Items(
        [_item(SlabThickness=edge, SlabOrientation=list(way), MidSlabPosition=list(CENTRE)) for edge, way in slabs]
    )
    dataset.SharedFunctionalGroupsSequence = Items([_shared(matrix)])
    dataset.PerFrameFunctionalGroupsSequence = Items([_per_frame(at) for at in range(int(dataset.NumberOfFrames))])
    if not signals:
        signals = [make_signal(scale=1 + place) for place in range(columns * rows * slices)]
    stored = np.concatenate(signals)
    # Siemens XA and Philips write the signal turned the other way round.
    dataset.add_new(0x56000020, "OF", as_bytes(stored if vendor == "uih" else stored.conj()))
    return dataset


def _frame(number: int, series: int, **values: Any) -> Dataset:
    """Give what an image and a spectrum share."""
    gone = (
        *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "PixelSpacing", "BitsAllocated"),
        *("BitsStored", "HighBit", "PixelRepresentation", "PixelData", "ImagePositionPatient"),
        *("ImageOrientationPatient", "SliceThickness", "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle"),
        *("ScanningSequence", "SequenceVariant", "MRAcquisitionType"),
    )
    defaults: dict[str, Any] = {
        "ImageType": ["ORIGINAL", "PRIMARY", "SPECTROSCOPY", "NONE"],
        "SeriesDescription": "svs_se_30_pcc",
        "ProtocolName": "svs_se_30_pcc",
        "SoftwareVersions": "syngo MR E11",
        "PatientPosition": "HFS",
        "BodyPartExamined": "BRAIN",
        "FrameOfReferenceUID": uid("frame"),
    }
    return make_slice(number, series, **dict.fromkeys(gone), **(defaults | values))


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _shared(matrix: tuple[int, int, int]) -> Dataset:
    timing = _item(RepetitionTime=REPETITION_TIME_MS, FlipAngle=90.0, EchoTrainLength=1)
    field = _item(
        SpectroscopyAcquisitionPhaseRows=matrix[1],
        SpectroscopyAcquisitionDataColumns=POINTS,
        SpectroscopyAcquisitionOutOfPlanePhaseSteps=matrix[2],
        SpectroscopyAcquisitionPhaseColumns=matrix[0],
    )
    return _item(
        MRReceiveCoilSequence=Items([_item(ReceiveCoilName="HeadNeck_64", ReceiveCoilType="MULTICOIL")]),
        MRTransmitCoilSequence=Items([_item(TransmitCoilName="Body", TransmitCoilType="BODY")]),
        MRSpectroscopyFOVGeometrySequence=Items([field]),
        MRTimingAndRelatedParametersSequence=Items([timing]),
        MREchoSequence=Items([_item(EffectiveEchoTime=ECHO_TIME_MS)]),
        MRAveragesSequence=Items([_item(NumberOfAverages=TRANSIENTS)]),
        PixelMeasuresSequence=Items([_item(SliceThickness=VOXEL[2], PixelSpacing=[VOXEL[0], VOXEL[1]])]),
    )


def _per_frame(number: int) -> Dataset:
    position = [float(centre + number * VOXEL[2] * way) for centre, way in zip(CENTRE, NORMAL, strict=True)]
    timing = _item(RepetitionTime=REPETITION_TIME_MS, FlipAngle=90.0, EchoTrainLength=1)
    return _item(
        FrameContentSequence=Items([_item(StackID="1", InStackPositionNumber=number + 1)]),
        PlanePositionSequence=Items([_item(ImagePositionPatient=position)]),
        PlaneOrientationSequence=Items([_item(ImageOrientationPatient=list(PLANE))]),
        MREchoSequence=Items([_item(EffectiveEchoTime=ECHO_TIME_MS)]),
        MRTimingAndRelatedParametersSequence=Items([timing]),
    )


def _image_tags(matrix: tuple[int, int, int]) -> list[csa.Tag]:
    columns, rows, slices = matrix
    return [
        csa.Tag("EchoTime", "DS", 1, ECHO_TIME_MS),
        csa.Tag("RepetitionTime", "DS", 1, REPETITION_TIME_MS),
        csa.Tag("InversionTime", "DS", 1, 0.0),
        csa.Tag("FlipAngle", "DS", 1, 90.0),
        csa.Tag("NumberOfAverages", "DS", 1, float(TRANSIENTS)),
        csa.Tag("ImagingFrequency", "DS", 1, FREQUENCY),
        csa.Tag("ImagedNucleus", "SH", 1, "1H"),
        csa.Tag("MagneticFieldStrength", "DS", 1, 3.0),
        csa.Tag("SequenceName", "SH", 1, "*svs_se"),
        csa.Tag("TransmittingCoil", "SH", 1, "Body"),
        csa.Tag("ReceivingCoil", "SH", 1, "HeadNeck_64"),
        csa.Tag("ImaCoilString", "LO", 1, "HE1-4"),
        csa.Tag("ImagePositionPatient", "DS", 3, *_corner(columns, rows)),
        csa.Tag("ImageOrientationPatient", "DS", 6, *PLANE),
        csa.Tag("PixelSpacing", "DS", 2, VOXEL[0], VOXEL[1]),
        csa.Tag("SliceThickness", "DS", 1, VOXEL[2]),
        csa.Tag("RealDwellTime", "IS", 1, 833400),
        csa.Tag("DataPointRows", "UL", 1, 1),
        csa.Tag("DataPointColumns", "UL", 1, POINTS),
        csa.Tag("DataRepresentation", "CS", 1, "COMPLEX"),
        csa.Tag("SignalDomainColumns", "CS", 1, "TIME"),
        csa.Tag("Columns", "US", 1, columns),
        csa.Tag("Rows", "US", 1, rows),
        csa.Tag("NumberOfFrames", "IS", 1, slices),
        csa.Tag("SpectroscopyAcquisitionPhaseColumns", "UL", 1, columns),
        csa.Tag("SpectroscopyAcquisitionPhaseRows", "UL", 1, rows),
        csa.Tag("SpectroscopyAcquisitionOut-of-planePhaseSteps", "UL", 1, slices),
        csa.Tag("SpectroscopyAcquisitionDataColumns", "UL", 1, POINTS),
        csa.Tag("ResonantNucleus", "CS", 1, "1H"),
        csa.Tag("MixingTime", "DS", 1, 0.0),
        csa.Tag("VoiThickness", "FD", 1, VOXEL[2]),
        csa.Tag("VoiPhaseFoV", "FD", 1, VOXEL[0]),
        csa.Tag("VoiReadoutFoV", "FD", 1, VOXEL[1]),
        csa.Tag("VoiOrientation", "FD", 3, *NORMAL),
        csa.Tag("VoiPosition", "FD", 3, *CENTRE),
        csa.Tag("VoiInPlaneRotation", "FD", 1, 0.0),
    ]


def _corner(columns: int, rows: int) -> list[float]:
    """Give the outer corner of the first voxel, which is what Siemens writes as the position of a grid of spectra."""
    across, down = np.array(PLANE[:3]), np.array(PLANE[3:])
    return [float(one) for one in np.array(CENTRE) - columns / 2 * VOXEL[1] * across - rows / 2 * VOXEL[0] * down]


def _series_tags(patient: str) -> list[csa.Tag]:
    protocol = f"""<XProtocol>
{{
  <Name> "PhoenixMetaProtocol"
  <ParamString."tPatientName"> {{ "{patient}" }}
}}
### ASCCONV BEGIN ###
tSequenceFileName	 = 	""%SiemensSeq%\\svs_se""
tProtocolName	 = 	""svs_se_30_pcc""
lAverages	 = 	{TRANSIENTS}
alTR[0]	 = 	{round(REPETITION_TIME_MS * 1000)}
alTE[0]	 = 	{round(ECHO_TIME_MS * 1000)}
alTD[0]	 = 	{patient or 0}
sSpecPara.lVectorSize	 = 	{POINTS}
sSpecPara.lSpectralSuppression	 = 	1
sSpecPara.lAutoRefScanMode	 = 	1
sSpecPara.sVoI.dThickness	 = 	{VOXEL[2]}
sSpecPara.sVoI.dPhaseFOV	 = 	{VOXEL[0]}
sSpecPara.sVoI.dReadoutFOV	 = 	{VOXEL[1]}
sTXSPEC.asNucleusInfo[0].tNucleus	 = 	""1H""
### ASCCONV END ###
"""
    return [
        csa.Tag("UsedPatientWeight", "IS", 1, 80),
        csa.Tag("MrProtocolVersion", "IS", 1, 51130001),
        csa.Tag("CoilString", "LO", 1, "HeadNeck_64"),
        csa.Tag("MrPhoenixProtocol", "UN", 1, protocol),
        *([csa.Tag("PatReinPattern", "ST", 1, f"1;HFS;80.00;{patient}")] if patient else []),
    ]
