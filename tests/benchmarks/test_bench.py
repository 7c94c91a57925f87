from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest

from benchmarks.contenders import PEERS, Dcm2bids, Heudiconv
from benchmarks.material import make_material, make_slices


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_smallest_bench_measures_ours_beside_dcm2niix(project_root: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "benchmarks", "--small", "--json", "--work", str(tmp_path)]
    done = subprocess.run(argv, cwd=project_root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["input"]["files"] == 384
    assert data["input"]["sessions"] == 2
    rows = {row["name"]: row for row in data["rows"]}
    assert list(rows) == ["copy + sha256", "dcm2niix", "heartbrain"]
    assert {row["files"] for row in rows.values()} == {384}
    assert {row["note"] for row in rows.values()} == {""}
    assert rows["heartbrain"]["images"] == rows["dcm2niix"]["images"] > 20
    assert data["again_s"] > 0
    assert sum(data["stages"]["worker_s"].values()) > 0
    assert data["stages"]["main_s"]["crawl_delivery"] > 0
    assert list(tmp_path.iterdir()) == []


def test_the_peers_get_the_same_files_sorted_by_session(tmp_path: Path) -> None:
    whole, single = make_material(tmp_path, small=True, shared=None)
    assert len(whole.sessions) == 2
    assert sum(one.files for one in whole.sessions) == whole.files == 384
    original = {path.stat().st_ino for path in whole.folder.rglob("*") if path.is_file()}
    handed = {path.stat().st_ino for one in whole.sessions for path in one.folder.iterdir()}
    assert handed == original
    assert (single.files, len(single.sessions)) == (1, 1)
    for peer in (Dcm2bids(), Heudiconv()):
        commands = peer.commands(whole, tmp_path / "out")
        assert [command.session for command in commands] == ["S01sample", "S02sample"]
        assert sum(command.files for command in commands) == 384


def test_the_large_slices_are_series_of_different_images_in_one_session(tmp_path: Path) -> None:
    whole, single = make_slices(tmp_path, small=True)
    assert (whole.files, len(whole.sessions), single.files) == (80, 1, 1)
    paths = sorted(path for path in whole.folder.rglob("*") if path.is_file())
    headers = [pydicom.dcmread(path) for path in paths]
    assert Counter(header.SeriesNumber for header in headers) == {1: 20, 2: 20, 3: 20, 4: 20}
    assert len({header.SOPInstanceUID for header in headers}) == len({header.PixelData for header in headers}) == 80
    assert {header.pixel_array.shape for header in headers} == {(256, 256)}
    assert len({tuple(header.ImagePositionPatient) for header in headers}) == 20


def test_the_heuristic_names_every_series_and_the_sample_study_by_bids() -> None:
    spec = importlib.util.spec_from_file_location("heuristic", PEERS / "heuristic.py")
    assert spec is not None
    assert spec.loader is not None
    heuristic = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(heuristic)
    described = [
        "localizer",
        "t1_mprage_sag_p2_iso",
        "t1_mprage_sag_p2_iso_KM",
        "t2_tse_tra",
        "t2_tirm_tra_dark-fluid",
        "ep2d_diff_ivim_16b",
        "ep2d_bold_rest",
        "gre_field_mapping",
        "SpinEchoFieldMap_AP",
        "SpinEchoFieldMap_PA",
        "rt_flash_csf",
        None,
    ]
    series = [
        SimpleNamespace(series_id=f"{number}", series_description=text, image_type=("ORIGINAL", "PRIMARY", "M"))
        for number, text in enumerate(described)
    ]
    found = heuristic.infotodict(series)
    assert sum(len(members) for members in found.values()) == len(described)
    folders = Counter(key[0].split("/")[1] for key, members in found.items() for _ in members)
    assert folders == {"anat": 4, "dwi": 1, "func": 1, "fmap": 3, "misc": 3}
