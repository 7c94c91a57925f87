from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from heartbrain_ingest.filesystem import pack, pack_file, packing


@pytest.mark.parametrize("at_once", [10**9, 10])
def test_the_same_content_gives_the_same_bytes_without_name_or_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(packing, "AT_ONCE", at_once)
    (tmp_path / "Müller.nii").write_bytes(b"voxels" * 1000)
    for name in ("a", "b"):
        pack_file(tmp_path / "Müller.nii", tmp_path / name / "x.nii.gz", level=6)
    first, second = ((tmp_path / name / "x.nii.gz").read_bytes() for name in ("a", "b"))
    assert first == second
    assert gzip.decompress(first) == b"voxels" * 1000
    assert first[3] == 0, "no file name"
    assert first[4:8] == bytes(4), "no time"


def test_what_is_packed_from_memory_is_as_what_is_packed_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"abc" * 5000)
    pack_file(tmp_path / "plain", tmp_path / "a.gz", level=3)
    pack(b"abc" * 5000, tmp_path / "b.gz", level=3)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_nothing_is_packed_too(tmp_path: Path) -> None:
    pack(b"", tmp_path / "empty.gz")
    assert gzip.decompress((tmp_path / "empty.gz").read_bytes()) == b""
