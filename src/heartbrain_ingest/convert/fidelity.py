"""Compare the image made of the original files with the one made of the de-identified files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from heartbrain_ingest.convert.dcm2niix import Conversion, ConvertedImage

#: Sidecar fields on which every later analysis rests (BIDS specification, MRI metadata).
CRITICAL_FIELDS = (
    "AcquisitionMatrixPE",
    "AcquisitionTime",
    "B0FieldIdentifier",
    "BandwidthPerPixelPhaseEncode",
    "DwellTime",
    "EchoNumber",
    "EchoTime",
    "EchoTime1",
    "EchoTime2",
    "EchoTrainLength",
    "EffectiveEchoSpacing",
    "FlipAngle",
    "FrameTimesStart",
    "ImageOrientationPatientDICOM",
    "ImageType",
    "InPlanePhaseEncodingDirectionDICOM",
    "InversionTime",
    "MagneticFieldStrength",
    "MultibandAccelerationFactor",
    "ParallelReductionFactorInPlane",
    "PartialFourier",
    "PhaseEncodingAxis",
    "PhaseEncodingDirection",
    "PhaseEncodingPolarityGE",
    "PhaseEncodingSteps",
    "RepetitionTime",
    "SliceThickness",
    "SliceTiming",
    "SpacingBetweenSlices",
    "TotalReadoutTime",
    "UsePhilipsFloatNotDisplayScaling",
    "PhilipsRescaleSlope",
    "PhilipsRescaleIntercept",
    "PhilipsScaleSlope",
    # spectra
    "AcquisitionVoxelSize",
    "ChemicalShiftReference",
    "MatrixSize",
    "NumberOfSpectralPoints",
    "NumberOfTransients",
    "ResonantNucleus",
    "SpectralWidth",
    "SpectrometerFrequency",
    "VolumeAffineMatrix",
    "WaterSuppression",
)

# In the NIfTI-1 header `descrip` (80 bytes) and `aux_file` (24 bytes) are free text that may have named someone.
_FREE_TEXT = slice(148, 252)
_HEADER_SIZE = 348


def differences(original: Conversion, cleaned: Conversion) -> list[str]:
    """Say what differs between two conversions of one series.

    Compares the number of images, every header field with a meaning, the voxels byte by byte, the b-tables byte by
    byte, and the critical sidecar fields.

    Returns
    -------
    list of str
        Names of what differs, without values; empty when the two are equal.
    """
    if len(original.images) != len(cleaned.images):
        return ["number of images"]
    found: list[str] = []
    for before, after in zip(original.images, cleaned.images, strict=True):
        found += _compare(before, after)
    return sorted(set(found))


def _compare(before: ConvertedImage, after: ConvertedImage) -> list[str]:
    found = []
    if before.stem != after.stem:
        found.append("kind of image")
    if _fingerprint(before.nifti) != _fingerprint(after.nifti):
        found.append("header or voxels")
    for name, first, second in (("b-values", before.bval, after.bval), ("b-vectors", before.bvec, after.bvec)):
        if (first is None) != (second is None) or (first and second and first.read_bytes() != second.read_bytes()):
            found.append(name)
    found += [name for name in CRITICAL_FIELDS if before.sidecar.get(name) != after.sidecar.get(name)]
    return found


def _fingerprint(nifti: Path) -> bytes:
    digest = hashlib.sha256()
    with nifti.open("rb") as file:
        header = bytearray(file.read(_HEADER_SIZE))
        header[_FREE_TEXT] = bytes(_FREE_TEXT.stop - _FREE_TEXT.start)
        digest.update(header)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()
