from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from heartbrain_ingest.inbox import read_content, walk
from heartbrain_ingest.inbox.files import UnpackedTooLargeError


def _names(root: Path) -> list[str]:
    return [os.path.relpath(found.path, root.resolve()) for found in walk(root)]


def test_every_file_is_found_in_a_fixed_order_whatever_the_shape_of_the_folders(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/deep/er/x", "z", ".hidden", "a/y"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "empty").mkdir()
    assert _names(tmp_path) == [".hidden", "z", "a/y", "a/deep/er/x", "b/1", "b/2"]


def test_a_file_that_only_says_complete_is_no_input(tmp_path: Path) -> None:
    (tmp_path / ".complete").touch()
    assert _names(tmp_path) == []


def test_one_file_can_be_an_inbox(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"123")
    found = next(walk(tmp_path / "one"))
    assert (found.path, found.size, found.readable) == (str((tmp_path / "one").resolve()), 3, True)


def test_links_out_of_the_inbox_and_into_nothing_can_not_be_read(tmp_path: Path) -> None:
    inbox, outside = tmp_path / "inbox", tmp_path / "outside"
    inbox.mkdir()
    outside.write_text("secret")
    (inbox / "file").write_text("x")
    for name, target in (("out", outside), ("nothing", inbox / "gone"), ("up", tmp_path), ("in", inbox / "file")):
        (inbox / name).symlink_to(target)
    assert {Path(found.path).name: found.readable for found in walk(inbox)} == {
        "file": True,
        "in": True,
        "nothing": False,
        "out": False,
        "up": False,
    }


def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert [found.readable for found in walk(tmp_path)] == [False]


def test_a_folder_that_can_not_be_opened_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "x").write_text("x")
    scan = os.scandir

    def refuse(path: str) -> Any:  # the superuser of a test machine may open everything
        if str(path).endswith("locked"):
            raise PermissionError
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert {Path(found.path).name: found.readable for found in walk(tmp_path)} == {"locked": False, "x": True}


def test_packed_content_is_unpacked_and_plain_content_stays(tmp_path: Path) -> None:
    plain, packed, twice = (tmp_path / name for name in ("plain", "packed", "twice"))
    plain.write_bytes(b"abc" * 100)
    packed.write_bytes(gzip.compress(b"abc" * 100))
    twice.write_bytes(gzip.compress(b"abc") + gzip.compress(b"def"))
    assert read_content(str(plain), limit=10**6) == read_content(str(packed), limit=10**6) == b"abc" * 100
    assert read_content(str(twice), limit=10**6) == b"abcdef"


@pytest.mark.parametrize("parts", [1, 3])
def test_a_bomb_is_stopped_at_the_limit(tmp_path: Path, parts: int) -> None:
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(bytes(1000)) * parts)
    assert len(read_content(str(bomb), limit=1000 * parts)) == 1000 * parts
    with pytest.raises(UnpackedTooLargeError):
        read_content(str(bomb), limit=1000 * parts - 1)


def test_content_that_ends_early_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(os.urandom(1000))[:-20])
    with pytest.raises(zlib.error):
        read_content(str(path), limit=10**6)
