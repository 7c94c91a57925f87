"""Pictures show what is in the image, the right way round, with the same bytes every time."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from heartbrain_ingest.pictures import draw_pictures, picture_stem
from heartbrain_ingest.pictures.png import encode_png


def decode(path: Path) -> NDArray[np.uint8]:
    """Read a PNG whose rows have the filter "up", checking every checksum."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    place, chunks = 8, {}
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        assert struct.unpack(">I", content[place + 8 + length : place + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        place += 12 + length
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert depth == 8
    samples = {0: 1, 2: 3}[colour]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + width * samples)
    assert set(rows[:, 0]) == {2}
    pixels = np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8)
    return pixels.reshape(height, width, samples).squeeze()


def write(path: Path, voxels: NDArray[Any], affine: NDArray[np.float64] | None = None) -> Path:
    image: Any = nibabel.Nifti1Image
    image(voxels, np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine).to_filename(path)
    return path


def test_a_single_volume_has_a_picture_of_three_planes(tmp_path: Path) -> None:
    image = write(tmp_path / "a.nii", np.full((20, 30, 10), 100, np.int16))
    (path,) = draw_pictures(image, tmp_path / "qc" / "a")
    assert path.name == "a_planes.png"
    # Sagittal 30 x 10, coronal 20 x 10, axial 20 x 30 voxels, the longer edge of each 256 pixels.
    assert decode(path).shape == (256, 256 + 4 + 256 + 4 + 171)


def test_the_right_of_the_patient_is_on_the_right_the_nose_up_and_the_head_up(tmp_path: Path) -> None:
    voxels = np.zeros((32, 32, 32), np.int16)
    voxels[24:, 24:, 24:] = 1000  # right, front, top
    voxels[16, 16, 16] = 1
    for affine, turned in (
        (np.diag([2.0, 2, 2, 1]), voxels),
        (np.diag([-2.0, 2, 2, 1]), voxels[::-1]),
        (np.array([[0, 2.0, 0, 0], [0, 0, 2, 0], [2, 0, 0, 0], [0, 0, 0, 1]]), np.moveaxis(voxels, 2, 0)),
    ):
        spread = turned.copy()
        middle = [size // 2 for size in spread.shape]
        for axis in range(3):  # the same corner in the plane through the middle
            index: list[Any] = [slice(None)] * 3
            index[axis] = middle[axis]
            spread[tuple(index)] = np.maximum(spread[tuple(index)], turned.max(axis=axis))
        (path,) = draw_pictures(write(tmp_path / "a.nii", spread, affine), tmp_path / "a")
        pixels = decode(path)
        sagittal, coronal, axial = pixels[:, :256], pixels[:, 260:516], pixels[:, 520:]
        for plane in (sagittal, coronal, axial):
            assert plane[20, 235] > 200
            assert max(plane[235, 20], plane[235, 235], plane[100, 40]) < 20


def test_the_mean_and_the_temporal_ratio_of_a_series_are_those_of_its_voxels(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    series = np.zeros((16, 16, 16, 40), np.float64)
    series[:, :8] = 1000 + rng.normal(0, 10, (16, 8, 16, 40))
    series[:, 8:] = 1000 + rng.normal(0, 100, (16, 8, 16, 40))
    planes, mean, ratio = draw_pictures(write(tmp_path / "a.nii", series.astype(np.int16)), tmp_path / "a")
    assert [path.name for path in (planes, mean, ratio)] == ["a_planes.png", "a_mean.png", "a_tsnr.png"]
    axial = decode(mean)[:, 520:]
    assert axial[:100].mean() == pytest.approx(axial[156:].mean(), rel=0.05)
    axial = decode(ratio)[:, 520:].astype(float)
    assert axial[156:].mean() / axial[:100].mean() == pytest.approx(10, rel=0.2)  # 100 against 10


def test_what_never_changes_has_no_ratio_and_a_few_bright_voxels_don_t_darken_the_rest(tmp_path: Path) -> None:
    series = np.full((16, 16, 16, 5), 100, np.int16)
    series[8, 8, 8] = 30_000
    planes, _, ratio = draw_pictures(write(tmp_path / "a.nii", series), tmp_path / "a")
    assert not decode(ratio)[40:, 40:].any()  # but for the letter at the edge
    assert decode(planes)[:, :256].mean() > 200


@pytest.mark.parametrize(
    "voxels",
    [
        np.zeros((8, 8, 8), np.int16),
        np.full((8, 8, 8), np.nan, np.float32),
        np.array([[[np.inf, -np.inf]]], np.float32).repeat(8, 0).repeat(8, 1),
        np.ones((8, 8, 8), np.complex64) * 3j,
        np.arange(64, dtype=np.float32).reshape(8, 8),
        np.ones((8, 8, 1, 5, 2), np.int16),
        np.ones((1, 1, 1), np.uint8),
        np.ones((2, 2, 9), np.uint16),
    ],
)
def test_odd_images_have_pictures_too(tmp_path: Path, voxels: NDArray[Any]) -> None:
    written = draw_pictures(write(tmp_path / "a.nii", voxels), tmp_path / "a")
    assert written
    assert all(decode(path).size for path in written)


def test_a_colour_map_stays_in_colour(tmp_path: Path) -> None:
    voxels = np.zeros((16, 16, 16), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    voxels["R"] = 250
    (path,) = draw_pictures(write(tmp_path / "a.nii", voxels), tmp_path / "a")
    assert decode(path)[128, 128].tolist() == [250, 0, 0]


def test_the_same_image_gives_the_same_bytes_whatever_the_order_of_its_axes_in_memory(tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(0, 4096, (24, 20, 16, 300), dtype=np.int16)
    first = draw_pictures(write(tmp_path / "a.nii", voxels), tmp_path / "a")
    second = draw_pictures(write(tmp_path / "b.nii", np.asfortranarray(voxels)), tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_picture_of_one_pixel_is_the_same_on_every_machine() -> None:
    assert encode_png(np.array([[7]], np.uint8)).hex() == (
        "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
        "3a7e9b550000000d494441547801010200fdff0207000d000a1d63ee7c0000000049454e44ae426082"
    )


def test_no_two_images_share_a_picture() -> None:
    name = "sub-A_ses-1_FA"
    places = [
        PurePosixPath("sub-A/ses-1/dwi", name),
        PurePosixPath("sourcedata/dwi", name),
        PurePosixPath("sourcedata/derived/dwi", name),
        PurePosixPath("derivatives/scanner/sub-A/ses-1/dwi", name),
    ]
    stems = [picture_stem(place) for place in places]
    assert len(set(stems)) == len(places)
    assert {stem.parts[:4] for stem in stems} == {("derivatives", "qc", "sub-A", "ses-1")}
