"""Make what dcm2niix writes of spectra say only what the DICOM objects say: its place, its header, its sidecar.

The signal is taken as dcm2niix gives it (NIfTI-MRS, https://doi.org/10.1002/mrm.29418: complex, time on the fourth
axis, repetitions on the fifth). It is equal to that of spec2nii 0.8 for every vendor; what differed is put right here.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heartbrain_ingest.convert.dcm2niix import Conversion, ConvertedImage, Dcm2niix
from heartbrain_ingest.dicom import DicomFileError, read
from heartbrain_ingest.dicom.spectra import CSA_NON_IMAGE_CLASS, holds_spectra

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

#: Why dcm2niix gave nothing, where it is for what the objects hold.
_INCONVERTIBLE: Final = frozenset({"NOT_CONVERTIBLE", "NO_GEOMETRY"})
#: Code of the header extension of NIfTI-MRS.
_EXTENSION: Final = 44
#: What the extension keeps: what fitting needs. Names and texts stand in the sidecar.
_EXTENSION_FIELDS: Final = frozenset(
    {"SpectrometerFrequency", "ResonantNucleus", "SpectralWidth", "EchoTime", "RepetitionTime", "InversionTime"}
    | {"MixingTime", "ExcitationFlipAngle", "TxOffset", "kSpace", "dim_5", "dim_6", "dim_7", "dim_5_info"}
    | {"dim_6_info", "dim_7_info", "dim_5_header", "dim_6_header", "dim_7_header"}
)
#: Sidecar fields of images that mean nothing here, that stand in the NIfTI header, or that are written anew.
_DROPPED: Final = frozenset(
    {"TotalReadoutTime", "EffectiveEchoSpacing", "AcquisitionMatrixPE", "ReconMatrixPE", "dim_5", "dim_6", "dim_7"}
    | {"VOI", "WaterSuppressed", "SeriesInstanceUID", "StudyInstanceUID"}
)
#: BIDS suffix (datatype mrs) to what was acquired, as BIDS calls it.
_SEQUENCES: Final = {"svs": "SVS", "mrsi": "MRSI", "unloc": "Unlocalized MRS"}
_VERIFIED: Final = ("SIEMENS", "PHILIPS", "UIH", "UNITED IMAGING")
_SIDES: Final = 3
#: mm
_CLOSE: Final = 0.01


def convert_folder(source: Path, target: Path, timeout_s: float) -> Conversion:
    """Convert a folder that holds the instances of one series, be they images or spectra.

    Raises
    ------
    ToolError
        When dcm2niix is missing or can't be started.
    OSError
        When the disk is full.
    """
    conversion = Dcm2niix(source=source, target=target, timeout_s=timeout_s).run()
    if conversion.code in _INCONVERTIBLE and _is_of_spectra(source):
        return replace(conversion, code="MR_SPECTROSCOPY")
    try:
        return finish_spectra(conversion, source)
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - damaged headers can raise anything from the parsers; the message may name a person
        return Conversion(images=(), code="MR_SPECTROSCOPY")


def _is_of_spectra(folder: Path) -> bool:
    try:
        return holds_spectra(read(min(folder.iterdir()).read_bytes()))
    except DicomFileError:
        return False


def finish_spectra(conversion: Conversion, source: Path) -> Conversion:
    """Put right what dcm2niix made of spectra; images stay as they are.

    Parameters
    ----------
    conversion
        What dcm2niix gave; files with spectra are written anew.
    source
        The folder with the instances of the series.
    """
    if not any(is_spectra(image.sidecar) for image in conversion.images):
        return conversion
    from pydicom import dcmread  # noqa: PLC0415 - loaded in the worker already

    header = dcmread(min(source.iterdir()), defer_size="64 KB")
    images = tuple(_finish(image, header) if is_spectra(image.sidecar) else image for image in conversion.images)
    return replace(conversion, images=images)


def is_spectra(sidecar: Mapping[str, Any]) -> bool:
    """Tell by its sidecar whether an image is one of spectra."""
    return "NumberOfSpectralPoints" in sidecar


def spectra_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Give the shape of an image of spectra without their points: i, j, k and, where there are any, repetitions."""
    repetitions = 1
    for size in shape[4:]:
        repetitions *= int(size)
    return (*(int(size) for size in shape[:3]), *((repetitions,) if repetitions > 1 else ()))


def _finish(image: ConvertedImage, header: Dataset) -> ConvertedImage:
    import nibabel  # noqa: PLC0415 - 0.2 s, only where images are made
    import numpy as np  # noqa: PLC0415 - the same

    nifti: Any = nibabel.load(image.nifti)
    affine, doubt = _place(nifti, header)
    is_reference = str((image.sidecar.get("BidsGuess") or ("",))[-1]).endswith("mrsref")
    suppressed = _is_suppressed(header, image.sidecar, is_reference=is_reference)
    signal = np.asarray(nifti.dataobj).copy()  # the file that it is mapped from is written anew
    fresh = nifti.header.copy()
    if affine is not None:
        code = int(fresh["sform_code"]) or 1
        fresh.set_sform(affine, code)
        fresh.set_qform(affine, code)
    fresh.extensions.clear()
    fresh.extensions.append(nibabel.nifti1.Nifti1Extension(_EXTENSION, _extension(nifti.header, signal, suppressed)))
    written: Any = nibabel.nifti1.Nifti1Image(signal, None, fresh)  # type: ignore[no-untyped-call]
    written.to_filename(image.nifti)
    sidecar = _sidecar(image.sidecar, header, fresh.get_zooms()[:_SIDES], signal.shape, suppressed, doubt)
    return replace(image, sidecar=sidecar)


def _extension(header: Any, signal: NDArray[Any], suppressed: bool | None) -> bytes:
    content: dict[str, Any] = {}
    for extension in header.extensions:
        if extension.get_code() == _EXTENSION:
            content = json.loads(bytes(extension.get_content()).rstrip(b"\0 "))
    kept = {name: value for name, value in content.items() if name in _EXTENSION_FIELDS}
    if not kept.get("InversionTime"):
        kept.pop("InversionTime", None)
    if signal.ndim <= 4:  # noqa: PLR2004 - i, j, k, time
        kept.pop("dim_5", None)
    if suppressed is not None:
        kept["WaterSuppressed"] = suppressed
    return json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()


def _sidecar(
    sidecar: Mapping[str, Any],
    header: Dataset,
    sides: Sequence[float],
    shape: Sequence[int],
    suppressed: bool | None,
    doubt: str,
) -> dict[str, Any]:
    kept = {name: value for name, value in sidecar.items() if name not in _DROPPED}
    if not kept.get("InversionTime"):
        # dcm2niix writes 0 where there is none.
        kept.pop("InversionTime", None)
    suffix = str((kept.get("BidsGuess") or ("",))[-1]).rpartition("_")[2]
    if suffix in _SEQUENCES:
        kept["ScanningSequence"] = _SEQUENCES[suffix]
    single = all(size == 1 for size in shape[:_SIDES])
    if single:
        kept["AcquisitionVoxelSize"] = [round(float(side), 4) for side in sides]
    else:
        kept.pop("AcquisitionVoxelSize", None)
        kept["MatrixSize"] = [int(size) for size in shape[:_SIDES]]
        if "VOI" in sidecar:
            kept["VolumeAffineMatrix"] = sidecar["VOI"]
    if suppressed is not None:
        kept["WaterSuppression"] = suppressed
    for keyword in ("SeriesInstanceUID", "StudyInstanceUID"):
        if header.get(keyword):
            kept[keyword] = str(header[keyword].value)
    for keyword in ("ChemicalShiftReference", "VolumeLocalizationTechnique"):
        if keyword in header and header[keyword].value not in (None, ""):
            kept[keyword] = header[keyword].value
    if doubt:
        kept["ConversionComments"] = doubt
    return kept


def _is_suppressed(header: Dataset, sidecar: Mapping[str, Any], *, is_reference: bool) -> bool | None:
    """Say whether the signal of water was suppressed; None where nothing tells (dcm2niix then says that it was)."""
    if is_reference:
        return False
    named = str(header.get("SpectrallySelectedSuppression", "")).upper()
    options = str(sidecar.get("ScanOptions", "")).upper().replace("\\", "_").split("_")
    return True if "WATER" in named or "WS" in options else None


def _place(nifti: Any, header: Dataset) -> tuple[NDArray[Any] | None, str]:
    """Give the affine of an image where dcm2niix's is wrong, and what is doubtful about it.

    Returns
    -------
    affine or None, str
        mm, RAS+; None where dcm2niix's stays. The doubt is a sentence for the reader of the sidecar.
    """
    manufacturer = str(header.get("Manufacturer", "")).upper()
    affine = nifti.header.get_best_affine()
    shape = nifti.shape[:_SIDES]
    if not int(nifti.header["sform_code"]):
        return None, "The headers do not say where these spectra were measured."
    if not manufacturer.startswith(_VERIFIED):
        return None, "Place and sign of the frequency axis were not verified for this manufacturer."
    if header.get("SOPClassUID") == CSA_NON_IMAGE_CLASS:
        if shape[2] > 1:
            return None, "The place of spectra of several slices was not verified."
        return (None if all(size == 1 for size in shape) else _csa_grid(affine, header)), ""
    if manufacturer.startswith("PHILIPS"):
        slabs = header.get("VolumeLocalizationSequence") or ()
        return None, "" if len(slabs) == _SIDES else "The header does not say the size of the voxel on all sides."
    doubt = "" if all(size == 1 for size in shape) else "The place of these spectra was not verified on real data."
    return _standard_place(affine, header, half=not manufacturer.startswith("SIEMENS")), doubt


def _standard_place(affine: NDArray[Any], header: Dataset, *, half: bool) -> NDArray[Any] | None:
    """Give the first axis the distance between columns, the second that between rows (PS3.3 section 10.7.1.3).

    dcm2niix v1.0.20260724 exchanges the two for spectra. With `half` the position is a corner of the first voxel.
    """
    import numpy as np  # noqa: PLC0415 - loaded by nibabel already

    spacing = _spacing(header)
    if spacing is None:
        return None
    rows, columns = spacing
    sides = np.linalg.norm(affine[:3, :2], axis=0)
    if abs(rows - columns) < _CLOSE or not np.allclose(sides, (rows, columns), atol=_CLOSE):
        return None
    placed = affine.copy()
    placed[:3, 0] *= columns / rows
    placed[:3, 1] *= rows / columns
    if half:
        placed[:3, 3] += 0.5 * (placed[:3, :2] - affine[:3, :2]).sum(axis=1)
    return placed


def _spacing(header: Dataset) -> tuple[float, float] | None:
    """Give PixelSpacing: mm between rows, mm between columns."""
    groups = [header]
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        groups += [item for group in (header.get(keyword) or ())[:1] for item in group.get("PixelMeasuresSequence", ())]
    for group in groups:
        spacing = group.get("PixelSpacing")
        if spacing and len(spacing) == 2:  # noqa: PLR2004 - rows and columns
            return float(spacing[0]), float(spacing[1])
    return None


def _csa_grid(affine: NDArray[Any], header: Dataset) -> NDArray[Any] | None:
    """Place a grid of Siemens VB to VE: ImagePositionPatient of its CSA header is the outer corner of the first voxel.

    So say the notes of spec2nii (notes/siemens.md), and the VoiPosition of real single voxels agrees; dcm2niix
    v1.0.20260724 is half a voxel off along axes with an odd number of voxels.
    """
    with warnings.catch_warnings():
        # nibabel warns that its readers are young.
        warnings.simplefilter("ignore")
        from nibabel.nicom.csareader import get_csa_header  # noqa: PLC0415 - few series need it

    tags = (get_csa_header(header, "image") or {}).get("tags", {})  # type: ignore[no-untyped-call]
    position = tags.get("ImagePositionPatient", {}).get("items", ())
    if len(position) != _SIDES:
        return None
    left, back, up = (float(one) for one in position)
    placed = affine.copy()
    placed[:3, 3] = (-left, -back, up)
    placed[:3, 3] += 0.5 * affine[:3, :2].sum(axis=1)
    return placed
