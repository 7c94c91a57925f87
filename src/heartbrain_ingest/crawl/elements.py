"""What belongs together in a published folder: an image or recording with its sidecar and its other files."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path

from caoscrawler.structure_elements import Directory, File, FileSystemStructureElement, StructureElement

from heartbrain_ingest.crawl.sidecars import read_sidecar

#: Files that BIDS lays beside an image under the same name.
_BESIDE_IMAGE = (".json", ".bval", ".bvec")
_IMAGE_ENDINGS = (".nii.gz", ".nii")
_RECORDING_ENDING = "_physio.tsv.gz"


class AcquisitionElement(FileSystemStructureElement):  # type: ignore[misc]  # caoscrawler has no types
    """A main file and the files that say more about it; all carry the same stem.

    Parameters
    ----------
    path
        The main file.
    stem
        Name of the main file without its endings.
    beside
        The other files, by ending.
    """

    def __init__(self, path: Path, stem: str, beside: Mapping[str, Path]) -> None:
        super().__init__(path.name, str(path))
        self.stem = stem
        self.beside = dict(beside)

    @property
    def sidecar(self) -> Path | None:
        """Give the JSON sidecar, if there is one."""
        return self.beside.get(".json")

    @functools.cached_property
    def content(self) -> dict[str, object]:
        """Give what the sidecar says; empty if there is none or it is broken, which is then reported once."""
        return read_sidecar(self.sidecar) or {}

    @property
    def files(self) -> list[Path]:
        """Give the main file and those beside it."""
        return [Path(self.path), *self.beside.values()]


class ImageElement(AcquisitionElement):
    """A NIfTI image with its sidecar and, for diffusion or perfusion, the tables of its volumes."""


class RecordingElement(AcquisitionElement):
    """A physiological recording with its sidecar, and the images that were acquired while it ran."""

    def __init__(self, path: Path, stem: str, beside: Mapping[str, Path], during: list[ImageElement]) -> None:
        super().__init__(path, stem, beside)
        self.during = during


class DuringElement(ImageElement):
    """An image seen from a recording: only who it is, not what its sidecar says."""


def group_folder(folder: Path) -> list[StructureElement]:
    """List a folder as images, recordings, other files and subfolders, each in the order of names.

    Parameters
    ----------
    folder
        A folder of the published tree; links are followed, hidden names are left out.

    Returns
    -------
    list[StructureElement]
        `ImageElement`, `RecordingElement`, and caoscrawler's `File` and `Directory` for the rest.
    """
    with os.scandir(folder) as entries:
        visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
        files = {entry.name: Path(entry.path) for entry in visible if entry.is_file()}
        folders = [Directory(entry.name, entry.path) for entry in visible if entry.is_dir()]
    taken: set[str] = set()
    images: list[ImageElement] = []
    recordings: list[RecordingElement] = []
    for name, path in files.items():
        ending = next((ending for ending in _IMAGE_ENDINGS if name.endswith(ending)), None)
        if ending is None:
            continue
        stem = name.removesuffix(ending)
        beside = {other: files[stem + other] for other in _BESIDE_IMAGE if stem + other in files}
        context = stem.removesuffix("_asl") + "_aslcontext.tsv"
        if stem.endswith("_asl") and context in files:
            beside["_aslcontext.tsv"] = files[context]
        images.append(ImageElement(path, stem, beside))
        taken.update((name, *(file.name for file in beside.values())))
    for name, path in files.items():
        if not name.endswith(_RECORDING_ENDING):
            continue
        stem = name.removesuffix(".tsv.gz")
        beside = {".json": files[stem + ".json"]} if stem + ".json" in files else {}
        scan = _without(stem, "recording")
        during = [
            DuringElement(Path(image.path), image.stem, image.beside)
            for image in images
            if _scan_of(image.stem) == scan
        ]
        recordings.append(RecordingElement(path, stem, beside, during))
        taken.update((name, *(file.name for file in beside.values())))
    others = [File(name, str(path)) for name, path in files.items() if name not in taken]
    return [*images, *recordings, *others, *folders]


def _without(stem: str, entity: str) -> str:
    """Give the stem without its suffix and one entity: what the files of one scan have in common."""
    parts = stem.split("_")[:-1]
    return "_".join(part for part in parts if not part.startswith(f"{entity}-"))


def _scan_of(stem: str) -> str:
    """Give what an image shares with a recording of its scan: BIDS records once for all echoes and parts."""
    parts = stem.split("_")[:-1]
    return "_".join(part for part in parts if not part.startswith(("echo-", "part-")))
