"""Make NIfTI images with sidecars of de-identified DICOM series, and prove that de-identification changed nothing."""

from heartbrain_ingest.convert.dcm2niix import Conversion, ConvertedImage, Dcm2niix, tool_version
from heartbrain_ingest.convert.fidelity import differences
from heartbrain_ingest.convert.output import finish_sidecar, store_series
from heartbrain_ingest.convert.spectra import convert_folder, is_spectra, spectra_shape

__all__ = [
    "Conversion",
    "ConvertedImage",
    "Dcm2niix",
    "convert_folder",
    "differences",
    "finish_sidecar",
    "is_spectra",
    "spectra_shape",
    "store_series",
    "tool_version",
]
