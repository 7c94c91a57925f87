"""Files leave the archive by their entity, for who may see it, and run nothing in anybody's browser."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from heartbrain_ingest.crawl.client import db
from heartbrain_ingest.portal.app import DIARY
from heartbrain_ingest.portal.files import find_published
from tests.portal.looking import as_steward, hide, only, output_of
from tests.portal.site import SampleSite, Visit


@pytest.fixture(scope="module")
def image(clara: Visit) -> Any:
    """Give the file of a T1-weighted image."""
    record = only(clara, "FIND RECORD T1WeightedImage")
    with as_steward(clara):
        return db.File(id=record.get_property("ImageFile").value).retrieve()


@pytest.fixture(scope="module")
def result(clara: Visit) -> Any:
    return only(clara, "FIND RECORD IVIMAnalysis")


@pytest.fixture
def archive(sample_site: SampleSite) -> Path:
    return sample_site.settings.folders.archive


def test_a_file_comes_whole_with_its_name_and_type(clara: Visit, image: Any, archive: Path) -> None:
    answer = clara.client.get(f"/file/{image.id}")
    assert answer.content == (archive / image.path.lstrip("/")).read_bytes()
    assert answer.headers["content-type"] == "application/gzip"
    assert answer.headers["content-disposition"] == f'attachment; filename="{Path(image.path).name}"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize(
    ("wanted", "part"),
    [("bytes=0-9", slice(0, 10)), ("bytes=100-199", slice(100, 200)), ("bytes=-16", slice(-16, None))],
)
def test_a_range_gives_just_these_bytes(clara: Visit, image: Any, archive: Path, wanted: str, part: slice) -> None:
    whole = (archive / image.path.lstrip("/")).read_bytes()
    answer = clara.client.get(f"/file/{image.id}", headers={"range": wanted})
    assert answer.status_code == 206
    assert answer.content == whole[part]
    assert re.fullmatch(rf"bytes \d+-\d+/{len(whole)}", answer.headers["content-range"])


def test_a_range_behind_the_end_is_refused(clara: Visit, image: Any) -> None:
    assert clara.client.get(f"/file/{image.id}", headers={"range": "bytes=999999999-"}).status_code == 416


def test_a_question_for_the_head_alone_gets_the_size(clara: Visit, image: Any) -> None:
    answer = clara.client.head(f"/file/{image.id}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == image.size


@pytest.mark.parametrize(
    "path",
    [
        "/file/0",
        "/file/99999999",
        "/file/999999999999999999999999",
        "/file/-1",
        "/file/1e3",
        "/file/",
        "/file/..%2f..%2fheartbrain.yml",
        "/file/%2fetc%2fpasswd",
        "/file/ExperimentalData",
    ],
)
def test_nothing_but_the_number_of_a_file_leads_to_one(clara: Visit, path: str) -> None:
    assert clara.client.get(path).status_code == 404


def test_a_record_is_no_file(clara: Visit, result: Any) -> None:
    assert clara.client.get(f"/file/{result.id}").status_code == 404


def test_who_may_not_see_the_entity_gets_no_file_while_another_does(
    sample_site: SampleSite, clara: Visit, result: Any
) -> None:
    secret = output_of(clara, result, "param-S0_dwimap.nii.gz")
    hide(clara, secret.id, role="readonly")
    leo = Visit(sample_site.settings).log_in("leo")
    for _turn in range(3):
        assert leo.client.get(f"/file/{secret.id}").status_code == 404
        assert clara.client.get(f"/file/{secret.id}").status_code == 200
    assert secret.path not in leo.get(f"/record/{result.id}").text
    assert f'/file/{secret.id}"' not in leo.get(f"/record/{result.id}").text
    assert f'/file/{secret.id}"' in clara.get(f"/record/{result.id}").text


def test_nobody_gets_a_file_without_the_log_in(sample_site: SampleSite, image: Any) -> None:
    assert Visit(sample_site.settings).get(f"/file/{image.id}").status_code == 303


@pytest.mark.parametrize("end", ["-report_dwi.html", "-maps_dwi.png"])
def test_what_a_browser_shows_of_a_result_is_in_a_sandbox(clara: Visit, result: Any, end: str) -> None:
    file = output_of(clara, result, end)
    for query, kind in (("", "attachment"), ("?show", "inline")):
        answer = clara.client.get(f"/file/{file.id}{query}")
        policy = answer.headers["content-security-policy"]
        assert answer.headers["content-disposition"].startswith(kind)
        assert policy.startswith("sandbox;")
        assert "script" not in policy
        assert "allow-" not in policy
        assert "default-src 'none'" in policy


def test_a_drawing_is_shown_in_the_sandbox_too(clara: Visit) -> None:
    recording = only(clara, "FIND RECORD ECGRecording")
    drawing = recording.get_property("TracePicture").value
    answer = clara.client.get(f"/file/{drawing}?show")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["content-security-policy"].startswith("sandbox;")


@pytest.mark.parametrize("end", ["dwimap.nii.gz", "_dwi.bval"])
def test_what_no_browser_shows_is_a_download_even_if_it_is_asked_to_show_it(clara: Visit, end: str) -> None:
    file = only(clara, f"FIND FILE WHICH IS STORED AT '/**{end}'")
    assert clara.client.get(f"/file/{file.id}?show").headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "place",
    [
        "/../site/heartbrain.yml",
        "/ExperimentalData/../../heartbrain.yml",
        "/ExperimentalData/../../state/linkahead.db",
        "//etc/passwd",
        "/etc/passwd",
        "ExperimentalData/x",
        "/DataAnalysis",
        "/DataAnalysis/\0",
        "/DataAnalysis/" + "x" * 5000,
        "/Elsewhere/file.txt",
    ],
)
def test_only_what_lies_below_the_published_trees_is_published(archive: Path, place: str) -> None:
    (archive / "Elsewhere").mkdir(exist_ok=True)
    (archive / "Elsewhere" / "file.txt").write_text("not published", encoding="utf-8")
    assert find_published(archive, place) is None


def test_a_link_that_leads_out_of_the_archive_and_a_pipe_are_not_published(
    archive: Path, sample_site: SampleSite
) -> None:
    folder = archive / "DataAnalysis"
    (folder / "out").symlink_to(sample_site.file)
    (folder / "state").symlink_to(sample_site.settings.folders.state)
    (folder / "round").symlink_to(folder / "round")
    os.mkfifo(folder / "pipe")
    try:
        places = ("/DataAnalysis/out", "/DataAnalysis/state/linkahead.db", "/DataAnalysis/round", "/DataAnalysis/pipe")
        assert [find_published(archive, place) for place in places] == [None, None, None, None]
    finally:
        for name in ("out", "state", "round", "pipe"):
            (folder / name).unlink()


def test_a_file_that_is_gone_from_the_archive_is_said_to_be(clara: Visit, result: Any, archive: Path) -> None:
    file = output_of(clara, result, "param-failure_desc-mask_dwimap.json")
    path = archive / file.path.lstrip("/")
    content = path.read_bytes()
    path.unlink()
    try:
        answer = clara.get(f"/file/{file.id}")
        assert answer.status_code == 404
        assert "not in the archive" in answer.text
        assert clara.get(f"/record/{result.id}").status_code == 200
    finally:
        path.write_bytes(content)


def test_each_download_stands_in_the_diary(clara: Visit, image: Any, sample_site: SampleSite) -> None:
    clara.client.get(f"/file/{image.id}", headers={"range": "bytes=0-9"})
    last = (sample_site.settings.folders.logs / DIARY).read_text(encoding="utf-8").splitlines()[-1]
    said = json.loads(last)
    assert (said["user"], said["action"], said["file"], said["path"]) == ("clara", "download", image.id, image.path)
    assert said["range"] == "bytes=0-9"
