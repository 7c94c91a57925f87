"""The page of a result that has no numbers: what its function is called, its files, the beginning of one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heartbrain_ingest.portal.entity import Entity
from heartbrain_ingest.portal.previews import preview
from heartbrain_ingest.portal.record_parts import GivenFile
from tests.portal.following import form_of
from tests.portal.looking import only, output_of
from tests.portal.site import SampleSite, Visit


@pytest.fixture(scope="module")
def report(clara: Visit, sample_site: SampleSite) -> Any:
    """Give the record of a checksum report that the sample site's centre made."""
    image = only(clara, "FIND RECORD T1WeightedImage")
    page = clara.get(f"/run?ids={image.id}&function=checksum-report").text
    answer = clara.post("/run", **form_of(page))
    assert answer.status_code == 303, answer.text[-500:]
    assert sample_site.centre.work() == 1
    return only(clara, "FIND RECORD AnalysisResult WITH Function.name='checksum-report'")


def test_it_is_called_as_its_function_and_shows_what_came_out(clara: Visit, report: Any) -> None:
    for language, heading, said in (
        ("en", "Checksum report", "This result has no numbers: what came out are files."),
        ("de", "Prüfsummen", "Dieses Ergebnis hat keine Zahlen; es besteht aus Dateien."),
    ):
        page = clara.get(f"/record/{report.id}", headers={"accept-language": language}).text
        assert re.findall(r"<h1>(.*?)</h1>", page) == [heading]
        assert said in page
        assert "<h3>SHA256SUMS</h3>" in page
        (text,) = re.findall(r'<pre class="long" tabindex="0">(.*?)</pre>', page, re.DOTALL)
        assert re.fullmatch(r"([0-9a-f]{64}  sub-\S+\n?)+", text)
        file = output_of(clara, report, "SHA256SUMS")
        assert f'href="/file/{file.id}"' in page


@pytest.fixture
def shown(tmp_path: Path) -> Callable[[dict[str, bytes]], Any]:
    """Give what stands in the page for outputs with these bytes."""

    def show(bodies: dict[str, bytes]) -> Any:
        folder = tmp_path / "DataAnalysis" / "p" / "r"
        folder.mkdir(parents=True)
        files, known = [], {}
        for number, (name, body) in enumerate(bodies.items(), start=1):
            (folder / name).write_bytes(body)
            files.append(
                GivenFile(
                    id=number,
                    name=name,
                    size=len(body),
                    what="OutputFiles",
                    words="",
                    is_main=True,
                    is_shown=False,
                    is_picture=False,
                )
            )
            known[number] = Entity(
                id=number, role="File", name=name, kind="", values=(), path=f"/DataAnalysis/p/r/{name}"
            )
        return preview(files, known, tmp_path)

    return show


def test_a_text_for_people_comes_before_one_for_programs(shown: Callable[[dict[str, bytes]], Any]) -> None:
    found = shown({"a.json": b"{}", "b.txt": b"read me\n", "c.bin": b"1", "d.txt": b""})
    assert (found.file.name, found.text, found.is_whole) == ("b.txt", "read me", True)


def test_a_long_text_is_cut_and_what_is_no_text_is_not_shown(shown: Callable[[dict[str, bytes]], Any]) -> None:
    long = "".join(f"{number}: \N{GREEK SMALL LETTER MU}\n" for number in range(5_000)).encode()
    found = shown({"a.txt": b"\xff\x00\x01", "b.txt": long})
    assert found.file.name == "b.txt"
    assert found.text.splitlines() == [f"{number}: \N{GREEK SMALL LETTER MU}" for number in range(40)]
    assert not found.is_whole


def test_outputs_that_are_no_texts_have_no_beginning(shown: Callable[[dict[str, bytes]], Any]) -> None:
    assert shown({"a.nii.gz": b"\x1f\x8b", "b.png": b"png"}) is None
