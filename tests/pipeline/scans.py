"""Tiny MR series in DICOM, each header as a test wants it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

SIZE = 16


def uid(*parts: object) -> str:
    """Give the UID that stands for something."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return f"1.2.826.0.1.3680043.8.498.{int.from_bytes(digest[:12], 'big')}"


def make_slice(number: int, series: int = 2, **values: object) -> Dataset:
    """Give one slice of an axial T1-weighted series; values by keyword go over the usual ones, None takes one away.

    Study, series and instance UID follow from PatientID, StudyDate, series number and slice number.
    """
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    dataset.SOPClassUID = MRImageStorage
    dataset.PatientName = "Quandt^Oskar"
    dataset.PatientID = "HB0099"
    dataset.PatientBirthDate = "19710203"
    dataset.PatientSex = "M"
    dataset.StudyDate = "20230504"
    dataset.StudyTime = "101500"
    dataset.AcquisitionTime = f"1016{number:02d}.000000"
    dataset.Modality = "MR"
    dataset.Manufacturer = "SIEMENS"
    dataset.ManufacturerModelName = "Prisma"
    dataset.SeriesDescription = "t1_mprage_tra"
    dataset.ProtocolName = "t1_mprage_tra"
    dataset.ScanningSequence = ["GR", "IR"]
    dataset.SequenceVariant = ["SK", "SP", "MP"]
    dataset.MRAcquisitionType = "3D"
    dataset.SliceThickness = 2.0
    dataset.RepetitionTime = 2300.0
    dataset.EchoTime = 2.98
    dataset.InversionTime = 900.0
    dataset.FlipAngle = 9.0
    dataset.MagneticFieldStrength = 3.0
    dataset.SeriesNumber = series
    dataset.InstanceNumber = number
    dataset.ImagePositionPatient = [-16.0, -16.0, 2.0 * number]
    dataset.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = SIZE
    dataset.PixelSpacing = [2.0, 2.0]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    ramp = np.arange(SIZE * SIZE).reshape(SIZE, SIZE) + 100 * number + 7 * series
    dataset.PixelData = ramp.astype("<u2").tobytes()
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    study = (dataset.get("PatientID"), dataset.get("StudyDate"))
    if "StudyInstanceUID" not in values:
        dataset.StudyInstanceUID = uid("study", *study)
    if "SeriesInstanceUID" not in values:
        dataset.SeriesInstanceUID = uid("series", dataset.get("StudyInstanceUID"), series)
    if "SOPInstanceUID" not in values:
        dataset.SOPInstanceUID = uid("instance", dataset.SeriesInstanceUID, number)
    return dataset


def write(dataset: Dataset, path: Path) -> Path:
    """Write a data set as a DICOM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.ImplementationClassUID = UID("1.2.276.0.7230010.3.0.3.6.4")
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, slices: int = 4, series: int = 2, **values: object) -> list[Path]:
    """Write a series of slices into a folder."""
    return [
        write(make_slice(number, series, **values), folder / f"{series:02d}_{number:04d}.dcm")
        for number in range(1, slices + 1)
    ]


def write_bold(folder: Path, start: str = "1020", volumes: int = 6, series: int = 4, **values: object) -> None:
    """Write a functional series of four slices, a volume every two seconds from a minute on."""
    for number in range(4 * volumes):
        volume, place = divmod(number, 4)
        usual: dict[str, object] = {
            "SeriesDescription": "task-rest_bold",
            "ProtocolName": "task-rest_bold",
            "ScanningSequence": "EP",
            "SequenceVariant": "SK",
            "MRAcquisitionType": "2D",
            "InversionTime": None,
            "RepetitionTime": 2000.0,
            "EchoTime": 30.0,
            "AcquisitionDate": "20230504",
            "AcquisitionTime": f"{start}{2 * volume:02d}.000000",
            "AcquisitionNumber": volume + 1,
            "ImagePositionPatient": [-16.0, -16.0, 2.0 * place],
        }
        dataset = make_slice(number + 1, series, **usual | values)
        write(dataset, folder / f"{series:02d}_{number + 1:04d}.dcm")
