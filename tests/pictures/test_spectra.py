"""The drawing of a spectrum: peaks stand where chemistry has them, and the same spectrum gives the same bytes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from heartbrain_ingest.convert import convert_folder
from heartbrain_ingest.pictures import draw_pictures
from tests.pipeline import spectra
from tests.pipeline.scans import write


@pytest.fixture
def image(tmp_path: Path) -> Path:
    write(spectra.make_siemens(), tmp_path / "in" / "0.dcm")
    (made,) = convert_folder(tmp_path / "in", tmp_path / "out", 60.0).images
    return made.nifti


def _peaks(drawing: str) -> list[float]:
    """Give the chemical shifts of the peaks of a drawing in ppm, the highest first."""
    path = re.search(r'class="line" d="([^"]+)"', drawing)
    assert path is not None
    points: dict[int, int] = {}
    for across, down, rest in re.findall(r"[ML](\d+) (\d+)((?:V\d+)*)", path[1]):
        points[int(across)] = min([int(down), *map(int, re.findall(r"\d+", rest))])
    columns = sorted(points)
    heights = np.array([points[column] for column in columns])
    tops = [at for at in range(5, len(columns) - 5) if heights[at] == heights[at - 5 : at + 6].min() < 180]
    ticks = [(float(shift), int(x)) for x, shift in re.findall(r'<text x="(\d+)"[^>]*middle">([\d.]+)<', drawing)]
    slope, offset = np.polyfit([x for _, x in ticks], [shift for shift, _ in ticks], 1)
    found = sorted(tops, key=lambda at: heights[at])
    return [round(float(slope * columns[at] + offset), 2) for at in found]


def test_the_peaks_of_the_metabolites_stand_at_their_chemical_shifts(image: Path, tmp_path: Path) -> None:
    (drawing,) = draw_pictures(image, tmp_path / "qc" / "sub-1_svs")
    assert drawing.name == "sub-1_svs_spectrum.svg"
    peaks = _peaks(drawing.read_text(encoding="ascii"))
    for shift in (2.01, 3.03, 3.2):
        assert min(abs(peak - shift) for peak in peaks) < 0.03
    assert abs(peaks[0] - 2.01) < 0.03, "the highest one"


def test_the_same_spectrum_gives_the_same_bytes_and_no_long_number(image: Path, tmp_path: Path) -> None:
    first, second = (draw_pictures(image, tmp_path / name / "one")[0].read_bytes() for name in "ab")
    assert first == second
    assert not re.search(rb"\d{4}", first.replace(b"http://www.w3.org/2000/svg", b""))


@pytest.mark.parametrize("signal", [np.zeros((1, 1, 1, 64)), np.ones((1, 1, 1, 1)), np.full((2, 1, 1, 8, 3), 1e30)])
def test_an_odd_spectrum_is_drawn_as_well(signal: Any, tmp_path: Path) -> None:
    made = nibabel.nifti1.Nifti1Image(signal.astype(np.complex64), np.eye(4))  # type: ignore[no-untyped-call]
    made.header["intent_name"] = b"mrs_v0_11"
    made.to_filename(tmp_path / "odd.nii")
    (drawing,) = draw_pictures(tmp_path / "odd.nii", tmp_path / "odd")
    assert drawing.read_text(encoding="ascii").endswith("</svg>\n")
