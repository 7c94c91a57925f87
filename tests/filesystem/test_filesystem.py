from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from heartbrain_ingest.filesystem import (
    ReadmeHeader,
    check_tree,
    checksum_list,
    delivery_folder,
    publish,
    read_header,
    safe_label,
    write_readme,
)
from heartbrain_ingest.filesystem.publish import PublishError
from heartbrain_ingest.filesystem.readme import FileEntry

HEADER = ReadmeHeader(responsible=("Steward",), description="A session")


def _delivery(archive: Path, name: str = "2023-05-04_sub-A_ses-20230504", header: ReadmeHeader = HEADER) -> Path:
    folder = archive / "ExperimentalData" / "2023_HeartAndBrain" / name
    folder.mkdir(parents=True)
    write_readme(folder, header, "# Words\n")
    return folder


def test_folders_are_named_by_category_project_day_and_tag() -> None:
    tag = "sub-K7Q2_ses-20230504"
    place = "ExperimentalData/2023_HeartAndBrain"
    assert delivery_folder("2023_HeartAndBrain", date(2023, 5, 4), tag) == f"{place}/2023-05-04_{tag}"
    assert delivery_folder("2023_HeartAndBrain", date(2023, 5, 4), tag, 2) == f"{place}/2023-05-04_{tag}_rev-2"
    assert delivery_folder("2023_HeartAndBrain", None, tag) == f"{place}/1900-01-01_{tag}"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("t1_mprage sag/p2", "t1_mprage_sag_p2"),
        ("../../etc/passwd", "etc_passwd"),
        ("Schädel (nativ)", "Schadel_nativ"),
        ("_ .. _", ""),
        ("a" * 50, "a" * 40),
    ],
)
def test_free_text_becomes_a_safe_part_of_a_name(text: str, label: str) -> None:
    assert safe_label(text) == label


@given(st.text())
def test_a_safe_label_is_ascii_and_stays_when_made_again(text: str) -> None:
    label = safe_label(text)
    assert label.isascii()
    assert all(letter.isalnum() or letter == "_" for letter in label)
    assert safe_label(label) == label


def test_a_readme_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    header = ReadmeHeader(
        responsible=("Jörg: Steward",),
        description="Twice: 'quoted' # not a comment",
        sources=(FileEntry(file="a.zip", description="DICOM"),),
        results=(FileEntry(file="b.nii.gz", description="image"),),
        tags=("MRI",),
        revisionOf="2023-05-04_old",
    )
    write_readme(tmp_path, header, "# Words")
    content = read_header(tmp_path)
    assert content is not None
    assert ReadmeHeader.model_validate(content) == header
    assert (tmp_path / "README.md").read_text(encoding="utf-8").endswith("...\n\n# Words\n")


@pytest.mark.parametrize("text", ["", "# no header", "---\na: b\n", "---\n- a\n---\n", "---\na: [\n---\n"])
def test_what_is_no_header_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    assert read_header(tmp_path) is None


def test_a_header_needs_somebody_who_answers_and_a_description() -> None:
    for wrong in ({"responsible": ()}, {"description": ""}, {"surprise": 1}):
        with pytest.raises(ValidationError):
            ReadmeHeader.model_validate({"responsible": ("S",), "description": "d", **wrong})


def test_publishing_moves_the_whole_folder_by_one_rename(tmp_path: Path) -> None:
    staged, target = tmp_path / "staged", tmp_path / "archive" / "a" / "b"
    (staged / "deep").mkdir(parents=True)
    (staged / "deep" / "file").write_text("x")
    inode = (staged / "deep" / "file").stat().st_ino
    publish(staged, target)
    assert not staged.exists()
    assert (target / "deep" / "file").stat().st_ino == inode


def test_what_is_published_is_never_replaced(tmp_path: Path) -> None:
    staged, target = tmp_path / "staged", tmp_path / "target"
    for folder, text in ((staged, "new"), (target, "old")):
        folder.mkdir()
        (folder / "file").write_text(text)
    with pytest.raises(PublishError, match="already published"):
        publish(staged, target)
    assert (target / "file").read_text() == "old"
    assert (staged / "file").read_text() == "new"


def test_a_folder_that_can_not_be_published_says_what_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "staged").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(PublishError, match="look at the free space and the permissions"):
        publish(tmp_path / "staged", tmp_path / "file" / "target")


def test_checksums_are_in_the_form_of_sha256sum_and_in_a_fixed_order(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "c").write_bytes(b"abc")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert checksum_list(tmp_path) == f"{empty}  b\n{abc}  a/c\n"


def test_two_folders_are_the_same_only_with_the_same_names_and_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
        (folder / "x").write_text("x")
    os.utime(second / "x", (0, 0))
    assert checksum_list(first) == checksum_list(second)
    (second / "x").rename(second / "y")
    assert checksum_list(first) != checksum_list(second)


def test_a_good_tree_has_no_findings(tmp_path: Path) -> None:
    first = _delivery(tmp_path)
    (first / "image.nii.gz").touch()
    write_readme(first, HEADER.model_copy(update={"results": (FileEntry(file="image.nii.gz"),)}), "")
    _delivery(tmp_path, f"{first.name}_rev-2", HEADER.model_copy(update={"revisionOf": first.name}))
    assert check_tree(tmp_path) == []
    assert check_tree(tmp_path / "absent") == []


def test_each_departure_from_the_guidelines_is_found_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "Stuff").mkdir()
    _delivery(tmp_path, "someday")
    _delivery(tmp_path, "2023-05-05", HEADER.model_copy(update={"results": (FileEntry(file="gone"),)}))
    _delivery(tmp_path, "2023-05-06", HEADER.model_copy(update={"revisionOf": "2020-01-01_none"}))
    bare = _delivery(tmp_path, "2023-05-07")
    (bare / "README.md").unlink()
    wrong = _delivery(tmp_path, "2023-05-08")
    (wrong / "README.md").write_text("---\ndescription: x\n---\n", encoding="utf-8")
    (tmp_path / "ExperimentalData" / "Project").mkdir()
    found = {finding.place.rpartition("/")[2]: finding.message for finding in check_tree(tmp_path)}
    assert found == {
        "Stuff": "is none of ExperimentalData, DataAnalysis, SimulationData, Publications",
        "Project": "is not named YYYY_project",
        "someday": "is not named YYYY-MM-DD_tag",
        "2023-05-05": "README.md names gone, which is not there",
        "2023-05-06": "README.md names a revision that is not there",
        "2023-05-07": "has no README.md with a YAML header",
        "2023-05-08": "README.md: check responsible",
    }
