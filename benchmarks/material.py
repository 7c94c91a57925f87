"""What is taken in: one folder for all, and the same files sorted by session for the programs that need that."""

from __future__ import annotations

import csv
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

#: A series of the sample study whose first file alone is a whole volume (a mosaic).
ONE_FILE_SERIES = "ep2d_bold_rest"
#: The second input: series, and slices of each, of 256 x 256 voxels as scanners send them.
SLICES_SERIES, SLICES, SLICES_SMALL, MATRIX = 4, 600, 20, 256
#: What a BIDS label can't have.
NO_LABEL = re.compile("[^A-Za-z0-9]")


@dataclass(frozen=True, kw_only=True)
class Session:
    """The files of one study in a folder of their own, hard links to those of the whole folder.

    The label is a BIDS one: letters and digits, a number and where the files were delivered.
    """

    label: str
    folder: Path
    files: int


@dataclass(frozen=True, kw_only=True)
class Material:
    """An input.

    Attributes
    ----------
    folder
        All files, as they were delivered.
    sessions
        The same files sorted by StudyInstanceUID.
    unsorted
        Files that are in no session: without a DICOM header.
    """

    folder: Path
    files: int
    megabytes: float
    sessions: tuple[Session, ...]
    unsorted: int


def make_material(work: Path, *, small: bool, shared: Path | None) -> tuple[Material, Material]:
    """Make the input, and a second one of a single file, below an empty folder.

    Parameters
    ----------
    work
        Where to; nothing of it is timed.
    small
        The small edition of the sample study.
    shared
        Folder of reference data, whose `dicom/<set>/dicom/` are added; None leaves them out.
    """
    from sample_data import generate  # noqa: PLC0415 - numpy, not needed to print a help text

    truth = generate(work / "study", small=small)
    whole = work / "input"
    whole.mkdir()
    (work / "study" / "inbox" / "EXPORT").rename(whole / "sample")
    for folder in sorted(shared.glob("dicom/*/dicom")) if shared else []:
        shutil.copytree(folder, whole / folder.parent.name)
    series = truth["subjects"][0]["sessions"][0]["series"]
    number = next(one["number"] for one in series if one["description"] == ONE_FILE_SERIES)
    with (work / "study" / "truth" / "files.tsv").open(encoding="utf-8", newline="") as table:
        first = next(
            row
            for row in csv.DictReader(table, delimiter="\t")
            if row["session"] == "1" and int(row["series"]) == number
        )
    single = work / "single"
    (single / "sample").mkdir(parents=True)
    shutil.copyfile(whole / "sample" / Path(first["file"]).name, single / "sample" / "0001")
    return describe(whole, work / "sessions"), describe(single, work / "single_session")


def make_slices(work: Path, *, small: bool) -> tuple[Material, Material]:
    """Make an input of large single slices, and a second one of a single file, below an empty folder.

    The headers are those of the T1-weighted series of the sample study; the images are a smooth object with noise,
    so that they compress as measured ones do.
    """
    import numpy as np  # noqa: PLC0415 - not needed to print a help text
    from pydicom import dcmread  # noqa: PLC0415 - the same
    from pydicom.uid import generate_uid  # noqa: PLC0415 - the same

    from sample_data import generate  # noqa: PLC0415 - the same

    generate(work / "study", small=True)
    headers = (dcmread(path) for path in sorted((work / "study" / "inbox" / "EXPORT").rglob("*")) if path.is_file())
    header = next(one for one in headers if "mprage" in str(one.get("SeriesDescription", "")))
    normal = np.cross(header.ImageOrientationPatient[:3], header.ImageOrientationPatient[3:])
    corner = np.array(header.ImagePositionPatient, dtype=float)
    rows, columns = np.mgrid[:MATRIX, :MATRIX] / MATRIX - 0.5
    head = 800 * np.exp(-(rows**2 + columns**2) / 0.15)
    noise = np.random.default_rng(1)
    whole = work / "input"
    header.Rows = header.Columns = MATRIX
    for number in range(1, SLICES_SERIES + 1):
        header.SeriesInstanceUID = generate_uid(entropy_srcs=[str(number)])
        header.SeriesNumber = number
        folder = whole / "sample" / f"{number:04d}"
        folder.mkdir(parents=True)
        for index in range(SLICES_SMALL if small else SLICES):
            folds = 1 + 0.3 * np.sin(30 * rows + index / 20) * np.cos(25 * columns)
            image = np.clip(head * folds + noise.normal(0, 25, head.shape), 0, 4095).astype("<u2")
            uid = generate_uid(entropy_srcs=[str(number), str(index)])
            header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = uid
            header.InstanceNumber = index + 1
            header.ImagePositionPatient = [f"{value:.6g}" for value in corner + 0.9 * index * normal]
            header.PixelData = image.tobytes()
            header.save_as(folder / f"{index + 1:05d}.dcm")
    (work / "single" / "sample").mkdir(parents=True)
    shutil.copyfile(whole / "sample" / "0001" / "00001.dcm", work / "single" / "sample" / "0001")
    return describe(whole, work / "sessions"), describe(work / "single", work / "single_session")


def describe(folder: Path, sorted_into: Path) -> Material:
    """Count a folder's files and sort them by session, reading each once: afterwards all are in the page cache."""
    from pydicom import dcmread  # noqa: PLC0415 - the same
    from pydicom.errors import InvalidDicomError  # noqa: PLC0415 - the same

    members: dict[str, list[Path]] = {}
    files = size = unsorted = 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        files += 1
        size += len(path.read_bytes())
        try:
            study = dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"]).get("StudyInstanceUID")
        except InvalidDicomError:
            unsorted += 1
            continue
        members.setdefault(str(study or ""), []).append(path)
    sessions = []
    for number, paths in enumerate(members.values(), start=1):
        delivered_in = paths[0].relative_to(folder).parts[0]
        target = sorted_into / f"S{number:02d}{NO_LABEL.sub('', delivered_in)}"
        target.mkdir(parents=True)
        for index, path in enumerate(paths, start=1):
            os.link(path, target / f"{index:05d}.dcm")
        sessions.append(Session(label=target.name, folder=target, files=len(paths)))
    return Material(folder=folder, files=files, megabytes=size / 1e6, sessions=tuple(sessions), unsorted=unsorted)
