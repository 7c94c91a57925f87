"""A small published tree as the ingest leaves it, and the rules that are shipped."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from heartbrain_ingest import crawl

PROJECT = "2023_HeartAndBrain"
SUBJECT = "sub-K7Q2ABCD"
SESSION = "ses-20230504"
STEM = f"{SUBJECT}_{SESSION}"


T1W = {
    "RecordType": "T1WeightedImage",
    "NamingRule": "t1w",
    "SourceSeries": "0004_t1_mprage.zip",
    "Manufacturer": "Siemens",
    "ManufacturersModelName": "Prisma",
    "MagneticFieldStrength": 3,
    "RepetitionTime": 2.3,
    "EchoTime": 0.00298,
    "FlipAngle": 9,
    "SliceThickness": 1,
    "NumberOfVolumes": 1,
    "ImageShape": [4, 4, 3, 1],
    "VoxelSize": [2.0, 2.0, 3.0],
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
    "NonlinearGradientCorrection": True,
    "SeriesDescription": " t1_mprage \r\n",
    "VendorSecretNumber": 42,
    "PartialFourier": "6/8",
}
B_VALUES = [0, 10, 20, 50, 100, 150, 400, 1000]


def _put_image(
    folder: Path,
    stem: str,
    sidecar: Mapping[str, object],
    shape: tuple[int, ...] = (4, 4, 3),
    **tables: str,
) -> Path:
    """Write a NIfTI image of zeros, its sidecar, and tables by ending (bval, bvec)."""
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / f"{stem}.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), np.diag([2.0, 2.0, 3.0, 1.0])), image)
    (folder / f"{stem}.json").write_text(json.dumps(sidecar), encoding="utf-8")
    for ending, text in tables.items():
        (folder / f"{stem}.{ending}").write_text(text, encoding="ascii")
    return image


@dataclass(frozen=True)
class Site:
    """An archive and the rules to crawl it by."""

    archive: Path
    rules: Path

    @property
    def project(self) -> Path:
        return self.archive / "ExperimentalData" / PROJECT

    def folder(self, revision: int = 1) -> Path:
        suffix = f"_rev-{revision}" if revision > 1 else ""
        return self.project / f"2023-05-04_{STEM}{suffix}"

    def path(self, file: Path) -> str:
        """Give the path of a file in LinkAhead."""
        return "/" + file.relative_to(self.archive).as_posix()

    put_image = staticmethod(_put_image)

    def put_session(self, revision: int = 1, t1w: Mapping[str, object] = T1W) -> Path:
        """Publish a session with a T1w, a diffusion, a BOLD image with an ECG, a localizer and an unclassified one."""
        folder = self.folder(revision)
        visit = folder / SUBJECT / SESSION
        _put_image(visit / "anat", f"{STEM}_acq-mprage_ce-gd_run-1_T1w", t1w)
        _put_image(
            visit / "dwi",
            f"{STEM}_dir-AP_dwi",
            {"RecordType": "DiffusionWeightedImage", "RepetitionTime": 5.1, "EchoTime": 0.07, "BValues": B_VALUES},
            shape=(4, 4, 3, len(B_VALUES)),
            bval=" ".join(map(str, B_VALUES)) + "\n",
            bvec="\n".join(" ".join("0" for _ in B_VALUES) for _ in range(3)) + "\n",
        )
        _put_image(
            visit / "func",
            f"{STEM}_task-rest_bold",
            {"RecordType": "BOLDImage", "RepetitionTime": 2, "TaskName": "rest", "SliceTiming": [0, 0.66, 1.33]},
            shape=(4, 4, 3, 5),
        )
        ecg = visit / "func" / f"{STEM}_task-rest_recording-cardiac_physio"
        with gzip.GzipFile(f"{ecg}.tsv.gz", "wb", mtime=0) as table:
            table.write(b"0.1\n0.2\n")
        Path(f"{ecg}.json").write_text(
            json.dumps(
                {
                    "RecordType": "ECGRecording",
                    "SamplingFrequency": 400,
                    "StartTime": -2.5,
                    "Columns": ["cardiac"],
                    "OverlapFraction": 0.97,
                    "MeanRate": 62.5,
                    "NumberOfPeaks": 341,
                    "cardiac": {"Units": "mV"},
                }
            ),
            encoding="utf-8",
        )
        _put_image(folder / "sourcedata" / "localizer", f"{STEM}_localizer", {"RecordType": "LocalizerImage"})
        _put_image(folder / "sourcedata" / "unclassified", f"{STEM}_desc-odd_unclassified", {"SeriesNumber": 9})
        dicom = folder / "sourcedata" / "dicom"
        dicom.mkdir()
        (dicom / "0004_t1_mprage.zip").write_bytes(b"PK\x05\x06" + bytes(18))
        (folder / "README.md").write_text("---\nresponsible: Ada Lovelace\n---\n", encoding="utf-8")
        (folder / "certificate.json").write_text("{}", encoding="utf-8")
        facts = {
            "Project": PROJECT,
            "Subject": SUBJECT,
            "Session": SESSION,
            "Date": "2023-05-04",
            "Age": 34.0,
            "Sex": "F",
            "Responsible": "Ada Lovelace",
            "Revision": revision,
            "Device": "device-3F",
            "Manufacturer": "Siemens",
            "ManufacturersModelName": "Prisma",
            "MagneticFieldStrength": 3.0,
        }
        (folder / "session.json").write_text(json.dumps(facts), encoding="utf-8")
        return folder


@pytest.fixture
def site(tmp_path: Path, project_root: Path) -> Site:
    """Give an empty archive and the shipped rules."""
    archive = tmp_path / "archive"
    archive.mkdir()
    return Site(archive=archive, rules=project_root / "crawler_config")


@pytest.fixture(scope="session")
def modelled(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Path:
    """Give the database file of an embedded LinkAhead that knows the shipped data model and nothing else."""
    folder = tmp_path_factory.mktemp("modelled")
    crawl.connect(ini=None, database=folder / "linkahead.db", file_root=folder)
    crawl.load_datamodel(project_root / "crawler_config" / "datamodel.yml")
    return folder / "linkahead.db"


@pytest.fixture
def crawled(site: Site, tmp_path: Path, modelled: Path) -> Callable[[Path], crawl.CrawlReport]:
    """Give a function that crawls a folder into an embedded LinkAhead that knows the shipped data model."""
    database = tmp_path / "linkahead.db"
    with sqlite3.connect(modelled) as source, sqlite3.connect(database) as copy:
        source.backup(copy)
    source.close()
    copy.close()
    crawl.connect(ini=None, database=database, file_root=site.archive)

    def run(folder: Path) -> crawl.CrawlReport:
        return crawl.crawl_delivery(
            folder,
            archive=site.archive,
            cfood=site.rules / "cfood.yml",
            identifiables=site.rules / "identifiables.yml",
        )

    return run
