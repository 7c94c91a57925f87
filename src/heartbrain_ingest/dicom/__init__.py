"""DICOM files as bytes: found, taken apart, put together, without decoding what nobody asks for."""

from heartbrain_ingest.dicom.files import (
    DicomFile,
    DicomFileError,
    DirectoryFileError,
    EmptyFileError,
    NotDicomError,
    TruncatedDicomError,
    read,
    read_header,
)

__all__ = [
    "DicomFile",
    "DicomFileError",
    "DirectoryFileError",
    "EmptyFileError",
    "NotDicomError",
    "TruncatedDicomError",
    "read",
    "read_header",
]
