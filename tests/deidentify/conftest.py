"""What the tests of de-identification share: the site's own rules, a key, and a header full of identifiers."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from heartbrain_ingest import dicom
from heartbrain_ingest.deidentify import (
    Deidentifier,
    IdentifierCollector,
    Pseudonyms,
    Rules,
    Subject,
    load_rules,
)

SUBJECT = Subject("K7Q2ABCD", -1234)


@pytest.fixture(scope="session")
def rules(project_root: Path) -> Rules:
    return load_rules(project_root / "crawler_config" / "deidentification.yml")


@pytest.fixture(scope="session")
def pseudonyms(tmp_path_factory: pytest.TempPathFactory) -> Pseudonyms:
    return Pseudonyms.create(tmp_path_factory.mktemp("key") / "key.yml")


@pytest.fixture
def deidentifier(rules: Rules, pseudonyms: Pseudonyms) -> Deidentifier:
    return Deidentifier(rules, pseudonyms)


def make_header(**values: object) -> Dataset:
    """Give an MR header as a scanner leaves it; values by keyword go over the usual ones."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = "1.3.12.2.1107.5.2.43.67060.202107151402279031405802"
    dataset.StudyInstanceUID = "1.3.12.2.1107.5.2.43.67060.30000021071511110887300000006"
    dataset.SeriesInstanceUID = "1.3.12.2.1107.5.2.43.67060.202107151401342432605723.0.0.0"
    dataset.StudyDate = "20210715"
    dataset.AcquisitionDateTime = "20210715140135.917500+0200"
    dataset.AcquisitionTime = "140135.917500"
    dataset.Modality = "MR"
    dataset.Manufacturer = "SIEMENS"
    dataset.InstitutionName = "Universitätsmedizin Fallersleben"
    dataset.ReferringPhysicianName = "Watson^John^^Dr."
    dataset.OperatorsName = "Hudson^Martha"
    dataset.StudyDescription = "Head^Neuro Adler 15.07.2021"
    dataset.SeriesDescription = "t1_mprage_sag_Adler"
    dataset.PatientName = "Adler^Irene"
    dataset.PatientID = "HB-48151623"
    dataset.PatientBirthDate = "19281030"
    dataset.PatientAge = "092Y"
    dataset.PatientSex = "F"
    dataset.PatientWeight = 61
    dataset.DeviceSerialNumber = "67060"
    dataset.ProtocolName = "t1_mprage_sag"
    dataset.RepetitionTime = 400
    dataset.ImageComments = "b=2000(0.445,0.000,0.895)"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def as_file(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """Write a header as the bytes of a file."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.ImplementationClassUID = UID("1.2.276.0.7230010.3.0.3.6.4")
    dataset.file_meta.SourceApplicationEntityTitle = "MRC35131"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def nested(keyword: str, item: Dataset) -> Sequence:
    """Give a sequence with one item that holds a sequence with one item."""
    outer = Dataset()
    setattr(outer, keyword, Sequence([item]))
    return Sequence([outer])


CleanBytes = Callable[[Dataset], bytes]
Clean = Callable[[Dataset], Dataset]


@pytest.fixture
def clean_bytes(deidentifier: Deidentifier) -> CleanBytes:
    """Write a header, read it as the pipeline does, and de-identify it by the identifiers that it holds."""

    def run(dataset: Dataset) -> bytes:
        file = dicom.read(as_file(dataset))
        collector = IdentifierCollector()
        collector.add(file)
        return deidentifier.deidentify(file, SUBJECT, collector.identifiers)

    return run


@pytest.fixture
def clean(clean_bytes: CleanBytes) -> Clean:
    """Give what pydicom reads from the de-identified file of a header."""
    return lambda dataset: pydicom.dcmread(io.BytesIO(clean_bytes(dataset)))
