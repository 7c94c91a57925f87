"""Real DICOM of five vendors, all sets in one inbox, beside bare dcm2niix and its reference output."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from heartbrain_ingest.issues import ISSUES
from tests.pipeline.conftest import TakenIn
from tests.pipeline.identifying import Identifying, database_texts, file_texts, identifying_by, read_header

pytestmark = [pytest.mark.slow, pytest.mark.shared_data]

TIMING = ("RepetitionTime", "EchoTime", "FlipAngle", "SliceTiming", "PhaseEncodingDirection", "TotalReadoutTime")
DCM2NIIX = str(Path(sys.executable).with_name("dcm2niix"))


@dataclass(frozen=True)
class Voxels:
    """An image as what it shows: shape, voxel values and where they lie."""

    shape: tuple[int, ...]
    digest: str
    affine: NDArray[np.float64]

    @classmethod
    def of(cls, path: Path) -> Voxels:
        image = nibabel.Nifti1Image.from_filename(path)
        data = np.asarray(image.dataobj, dtype=np.float64)
        return cls(data.shape, hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest(), image.affine)


class Images:
    """Published images, to be found by what they show."""

    def __init__(self, archive: Path) -> None:
        self._by_content: dict[tuple[tuple[int, ...], str], list[tuple[Path, Voxels]]] = defaultdict(list)
        for path in sorted(archive.rglob("*.nii.gz")):
            voxels = Voxels.of(path)
            self._by_content[voxels.shape, voxels.digest].append((path, voxels))

    def find(self, wanted: Path) -> Path | None:
        """Give a published image with the same voxels and affine."""
        voxels = Voxels.of(wanted)
        for path, other in self._by_content[voxels.shape, voxels.digest]:
            if np.allclose(voxels.affine, other.affine, rtol=1e-5, atol=1e-4):
                return path
        return None


@pytest.fixture(scope="module")
def images(real: TakenIn) -> Images:
    return Images(real.site.archive)


@pytest.fixture(scope="module")
def identifying(real: TakenIn) -> dict[str, Identifying]:
    """What the original headers hold, by the folder that their files were published in ("" for what was not)."""
    return identifying_by({row.path: row.folder or "" for row in real.site.files() if row.path.parent.name != "ref"})


@pytest.fixture(scope="module")
def bare(real: TakenIn, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """What dcm2niix makes of each original series alone, by SeriesInstanceUID."""
    root = tmp_path_factory.mktemp("bare")
    members: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(real.inbox.glob("*/dicom/**/*")):
        header = read_header(path) if path.is_file() else None
        if header is not None and "SeriesInstanceUID" in header:
            members[str(header.SeriesInstanceUID)].append(path)
    made = {}
    for number, (uid, paths) in enumerate(members.items()):
        source, target = root / f"{number}-in", root / f"{number}-out"
        source.mkdir()
        target.mkdir()
        for index, path in enumerate(paths):
            content = path.read_bytes()
            content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
            (source / f"{index:04d}.dcm").write_bytes(content)
        argv = [
            DCM2NIIX,
            "-b",
            "y",
            "-ba",
            "n",
            "-z",
            "n",
            "-g",
            "i",
            "-w",
            "2",
            "-f",
            "image",
            "-o",
            str(target),
            str(source),
        ]
        subprocess.run(argv, capture_output=True, check=False, timeout=120)
        made[uid] = sorted(target.glob("*.nii"))
        shutil.rmtree(source)
    return made


def test_every_file_is_in_the_ledger_exactly_once(real: TakenIn) -> None:
    files = {path.resolve() for path in real.inbox.rglob("*") if path.is_file()}
    rows = Counter(row.path for row in real.site.files())
    assert set(rows) == files
    assert set(rows.values()) == {1}
    assert sum(real.done.outcomes.values()) == len(files) == real.done.report["seen"]


def test_what_goes_no_further_has_a_code_of_the_catalogue(real: TakenIn) -> None:
    for row in real.site.files():
        if row.outcome in {"ignored", "quarantined"}:
            assert row.code in ISSUES
            assert row.destination is None
        else:
            assert row.code is None
            assert row.destination is not None
            assert (real.site.archive / row.destination.partition("!")[0]).is_file()


def test_every_series_that_dcm2niix_converts_is_published(
    real: TakenIn, bare: dict[str, list[Path]], images: Images
) -> None:
    assert sum(bool(made) for made in bare.values()) >= 20
    missing = {uid: [path.name for path in made if images.find(path) is None] for uid, made in bare.items()}
    outcomes = {row.series: (row.outcome, row.code) for row in real.site.files()}
    assert {outcomes[uid]: names for uid, names in missing.items() if names} == {}


def test_every_file_of_a_convertible_series_is_converted_and_every_other_one_is_refused_with_a_reason(
    real: TakenIn, bare: dict[str, list[Path]]
) -> None:
    convertible = {uid for uid, made in bare.items() if made}
    for row in real.site.files():
        if row.series in convertible:
            assert row.outcome == "converted", (row.code, row.path.parent.parent.name)
        elif row.series in bare:
            assert row.outcome in {"ignored", "quarantined"}
            assert row.code in {"NO_PIXEL_DATA", "NO_GEOMETRY", "NOT_CONVERTIBLE", "NOT_MR_IMAGE"}


def test_voxels_and_affine_are_those_of_the_reference_wherever_there_is_one(real: TakenIn, images: Images) -> None:
    references = [path for path in sorted(real.inbox.glob("*/ref/*")) if path.name.endswith((".nii", ".nii.gz"))]
    assert len(references) >= 17
    assert [path.name for path in references if images.find(path) is None] == []


def test_acquisition_parameters_are_those_that_dcm2niix_reads_from_the_original_headers(
    bare: dict[str, list[Path]], images: Images
) -> None:
    compared: Counter[str] = Counter()
    for original in (path for made in bare.values() for path in made):
        published = images.find(original)
        assert published is not None
        expected = json.loads(original.with_suffix(".json").read_text(encoding="utf-8"))
        found = json.loads(published.with_name(published.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
        for name in TIMING:
            if name in expected:
                assert found[name] == expected[name], (published.name, name)
                compared[name] += 1
    assert min(compared[name] for name in TIMING) >= 5


def test_undated_and_shared_identities_are_published_with_a_warning(real: TakenIn) -> None:
    undated = [folder for folder in real.site.sessions() if folder.name.endswith("_ses-undated")]
    assert [folder.name[:10] for folder in undated] == ["1900-01-01"]
    assert real.site.facts(undated[0])["Date"] is None
    warnings = real.done.report["warnings"]
    assert warnings["UNDATED_SESSION"] == 1
    assert warnings["SUBJECT_CONFLICT"] >= 2
    assert real.done.code == 0


def test_every_image_has_a_record_with_its_parameters_in_the_database(real: TakenIn) -> None:
    published = len(list(real.site.archive.rglob("*.nii.gz")))
    assert real.site.count("RECORD MRImage") == published
    assert real.site.count("RECORD Session") == len(real.site.sessions())
    assert real.site.count("RECORD BOLDImage WITH RepetitionTime > 0 s") >= 6
    assert real.site.count("FILE WHICH IS STORED AT '**.nii.gz'") == published


def test_no_identifier_of_the_headers_is_in_any_published_name_or_file(
    real: TakenIn, identifying: dict[str, Identifying]
) -> None:
    leaks = {
        folder: own.search(file_texts(real.site.archive / folder)) for folder, own in identifying.items() if folder
    }
    assert len(leaks) == len(real.site.sessions())
    assert {folder: hits for folder, hits in leaks.items() if hits} == {}


def test_no_identifier_of_anybody_is_in_the_database_the_log_or_the_report(
    real: TakenIn, identifying: dict[str, Identifying]
) -> None:
    everybody = Identifying()
    for own in identifying.values():
        everybody.merge(own, dates=False)
    assert len(everybody.values) > 500
    assert everybody.search(database_texts(real.site.database)) == []
    assert everybody.search(file_texts(real.site.folder / "logs")) == []
    assert everybody.search([("report", real.done.out + real.done.err)]) == []


def test_no_day_of_the_headers_is_in_the_records_of_their_session(
    real: TakenIn, identifying: dict[str, Identifying]
) -> None:
    texts = list(real.site.content())
    for folder in filter(None, identifying):
        tag = folder.rpartition("/")[2].partition("_")[2]
        own = [(tag, text) for text in texts if tag in text]
        assert own
        days = Identifying()
        days.values = {value: kind for value, kind in identifying[folder].values.items() if kind == "date"}
        assert days.search(own) == []


def test_the_search_itself_finds_what_the_originals_hold(real: TakenIn) -> None:
    originals = sorted(real.inbox.glob("*/dicom/**/*.dcm"))[:40]
    for path in originals[::10]:
        found = identifying_by({path: "one"})["one"]
        hits = found.search([("original", path.read_bytes().decode("latin-1"))])
        assert {hit.kind for hit in hits} >= {"uid", "date"}


def test_check_finds_no_problem_and_the_bids_validator_no_error(real: TakenIn) -> None:
    done = real.site.run("check", "--json")
    assert done.report["problems"] == []
    assert done.code == 0
    assert done.report["checksums"] > 20
