"""A folder in DataAnalysis becomes one record, whatever function made it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from linkahead.common.models import Query
from linkahead.queries import count, query

from heartbrain_ingest import crawl
from tests.crawl.conftest import PROJECT, STEM, Site

Crawl = Callable[[Path], crawl.CrawlReport]
DWI = f"/ExperimentalData/{PROJECT}/2023-05-04_{STEM}/sub-K7Q2ABCD/ses-20230504/dwi/{STEM}_dir-AP_dwi.nii.gz"
T1W = DWI.replace(f"dwi/{STEM}_dir-AP_dwi", f"anat/{STEM}_acq-mprage_ce-gd_run-1_T1w")
VALUES = [
    {"name": "mean_f", "value": 0.12, "unit": None},
    {"name": "mean_D", "value": 0.001, "unit": "mm^2/s"},
    {"name": "mean_Dstar", "value": 10, "unit": "um^2/ms"},
    {"name": "voxels", "value": 4711, "unit": None},
]


def put_result(site: Site, *, name: str = "2026-06-01_ivim_R-1", **changes: Any) -> Path:
    folder = site.archive / "DataAnalysis" / PROJECT / name
    (folder / "logs").mkdir(parents=True)
    for file in ("logs/stdout.txt", "logs/stderr.txt", "maps/f.nii.gz", "README.md"):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(file, encoding="ascii")
    content = {
        "ResultType": "IVIMAnalysis",
        "Function": "ivim",
        "Version": "1.0",
        "Request": "R-1",
        "Parameters": {"bounds": [0, 1]},
        "Digest": "cd" * 32,
        "ContainerDigest": "ab" * 32,
        "Inputs": [DWI],
        "Values": VALUES,
        "Notes": [{"code": "FEW", "text": "Only 2 b-values are low."}, {"code": "DIM", "text": "The image is dim."}],
        "Files": [{"path": "maps/f.nii.gz", "role": "map"}, {"path": "../../../../secret", "role": "none"}],
    }
    (folder / "result.json").write_text(json.dumps({**content, **changes}), encoding="utf-8")
    return folder


def facts(record: Any) -> dict[str, Any]:
    return {prop.name: prop.value for prop in record.get_properties()}


def test_a_result_is_found_by_its_values_and_refers_to_what_it_was_made_of(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    first = crawled(put_result(site))
    (result,) = query("FIND IVIMAnalysis WITH mean_f > 0.1 AND WHICH REFERENCES Subject WITH name='sub-K7Q2ABCD'")
    found = facts(result)
    assert (result.name, found["FunctionVersion"], found["ContainerDigest"]) == (
        "2026-06-01_ivim_R-1",
        "1.0",
        "ab" * 32,
    )
    assert found["FunctionDigest"] == "cd" * 32
    assert (found["mean_f"], found["mean_D"], "mean_Dstar" in found) == (0.12, 0.001, False)
    assert found["ResultNotes"] == "Only 2 b-values are low.\nThe image is dim."
    assert json.loads(found["OtherResultValues"])["mean_Dstar"] == {"value": 10, "unit": "um^2/ms"}
    (image,) = query("FIND DiffusionWeightedImage WHICH IS REFERENCED BY IVIMAnalysis")
    assert found["Inputs"] == [image.id]
    assert query("FIND PostProcessingFunction")[0].id == found["Function"]
    assert query("FIND PostProcessingRequest")[0].id == found["Request"]
    assert (len(found["LogFiles"]), len(found["OutputFiles"])) == (2, 1)
    assert first.inserted == 8
    again = crawled(site.archive / "DataAnalysis" / PROJECT / result.name)
    assert (again.inserted, again.updated) == (0, 0)


def test_a_function_that_nobody_foresaw_needs_no_new_rule(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    report = crawled(put_result(site, ResultType="CoffeeReading", Function="coffee"))
    assert [warning.code for warning in report.warnings] == ["UNKNOWN_RECORD_TYPE"]
    (result,) = query("FIND AnalysisResult")
    assert [parent.name for parent in result.parents] == ["AnalysisResult"]
    assert json.loads(facts(result)["OtherResultValues"])["voxels"] == {"value": 4711, "unit": None}


def test_a_result_of_two_images_of_one_session_refers_to_both_and_to_the_session(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    images, sessions = count("COUNT MRImage"), count("COUNT Session")
    crawled(put_result(site, Inputs=[DWI, T1W]))
    (result,) = query("FIND IVIMAnalysis")
    assert len(facts(result)["Inputs"]) == 2
    assert facts(result)["Session"] == query("FIND Session")[0].id
    assert (count("COUNT MRImage"), count("COUNT Session")) == (images, sessions)


def test_what_a_failed_job_left_becomes_files_and_no_result(site: Site, crawled: Crawl) -> None:
    folder = put_result(site)
    (folder / "result.json").unlink()
    crawled(folder)
    assert count("COUNT AnalysisResult") == 0
    assert [file.path for file in query("FIND FILE WHICH IS STORED AT '/DataAnalysis/**'")] == [
        f"/DataAnalysis/{PROJECT}/2026-06-01_ivim_R-1/logs/{name}.txt" for name in ("stderr", "stdout")
    ]


def test_the_crawl_of_a_result_asks_for_no_other_result_of_its_project(
    site: Site, crawled: Crawl, monkeypatch: pytest.MonkeyPatch
) -> None:
    crawled(site.put_session())
    crawled(put_result(site))
    asked: list[str] = []
    answer = Query.execute

    def note(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(str(self.q))
        return answer(self, *args, **kwargs)

    monkeypatch.setattr(Query, "execute", note)
    crawled(put_result(site, name="2026-06-02_ivim_R-2", Request="R-2"))
    about = [question for question in asked if "AnalysisResult" in question]
    assert about
    assert all("2026-06-02_ivim_R-2" in question for question in about)
