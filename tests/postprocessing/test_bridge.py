"""Requests in LinkAhead come back as results: embedded LinkAhead, folder bucket, real agent, real processes."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import yaml
from linkahead.queries import count, query

from heartbrain_ingest.filesystem import check_tree, read_header
from heartbrain_ingest.postprocessing import bridge
from heartbrain_ingest.settings import load_settings
from tests.hpc_bridge.stores import MotoServer
from tests.postprocessing.conftest import Bridged, facts, requests, set_status, status


def test_a_request_comes_back_as_a_result_that_refers_to_its_inputs(bridged: Bridged) -> None:
    (name,) = bridged.request(words=["label=first try"])
    assert status(name)[0] == "new"
    report = bridged.exchange()
    assert (report.sent, report.open, report.troubles) == (1, 1, [])
    assert status(name) == ("sent", "At the computing centre, waiting to be taken up.")
    bridged.until_settled(name)
    (request,) = requests(name)
    found = facts(request)
    assert (found["Status"], found["StatusMessage"]) == ("finished", "Finished; the result is in LinkAhead.")
    assert (found["FunctionVersion"], found["SubmittedBy"], found["Attempt"]) == ("1.0", "ada", 1)
    assert json.loads(found["Parameters"]) == {"algorithm": "sha256", "label": "first try", "wait": 0}
    assert found["SchedulerID"]
    assert found["Cost"] >= 0
    assert found["RequestTime"] <= found["SubmissionTime"] <= found["EndTime"]
    (image,) = query("FIND T1WeightedImage")
    (result,) = query("FIND AnalysisResult")
    assert found["Results"] == [result.id]
    assert facts(result)["Inputs"] == [image.id]
    assert facts(result)["Request"] == request.id
    assert set(facts(result)["LogFiles"]) == set(found["LogFiles"])
    assert query(f"FIND AnalysisResult WHICH REFERENCES {image.id}")[0].id == result.id
    assert bridged.open_keys() == []
    assert bridged.exchange().lines() == ["Nothing to do: no request waits and none is at a computing centre."]


def test_a_result_folder_holds_what_is_needed_to_repeat_it(bridged: Bridged) -> None:
    (name,) = bridged.request()
    bridged.until_settled(name)
    (folder,) = bridged.results
    day = facts(requests(name)[0])["RequestTime"][:10]
    assert folder.name == f"{day}_checksum-report_{name}"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "SHA256SUMS", "history.json", "logs", "manifest.json", "report.json", "result.json"),
        "specification.json",
    ]
    archive = bridged.settings.folders.archive
    (image,) = archive.rglob("*_T1w.nii.gz")
    reported = {one["name"]: one["checksum"] for one in json.loads((folder / "report.json").read_text())["files"]}
    assert (
        reported[f"{image.parts[-4]}/{image.parts[-3]}/anat/{image.name}"]
        == hashlib.sha256(image.read_bytes()).hexdigest()
    )
    header = read_header(folder) or {}
    assert [(folder / one["file"]).resolve() for one in header["sources"]] == [image.resolve()]
    assert [one["file"] for one in header["scripts"]] == ["specification.json", "manifest.json"]
    assert header["tags"] == ["checksum-report", "finished"]
    assert [finding for finding in check_tree(archive) if finding.place.startswith("DataAnalysis")] == []
    result = json.loads((folder / "result.json").read_text())
    assert (result["Inputs"], result["Request"]) == (["/" + image.relative_to(archive).as_posix()], name)
    assert [one["path"] for one in result["Files"]] == ["SHA256SUMS", "report.json"]


def test_only_published_files_that_the_rules_name_are_sent(bridged: Bridged) -> None:
    bridged.request(where="FIND DiffusionWeightedImage")
    bridged.exchange()
    (folder,) = bridged.settings.bridge.bucket.glob("jobs/*/input")
    sent = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    stem = "sub-K7Q2ABCD/ses-20230504/dwi/sub-K7Q2ABCD_ses-20230504_dir-AP_dwi"
    assert sent == [f"{stem}.{ending}" for ending in ("bval", "bvec", "json", "nii.gz")]


def test_a_file_that_is_no_plain_file_of_a_published_folder_is_not_sent(bridged: Bridged, tmp_path: Path) -> None:
    (image,) = bridged.settings.folders.archive.rglob("*_T1w.nii.gz")
    (name,) = bridged.request()
    secret = tmp_path / "secret"
    secret.write_bytes(image.read_bytes())
    image.unlink()
    image.symlink_to(secret)
    bridged.exchange()
    assert status(name)[0] == "refused"
    assert "is not a plain file of the archive" in status(name)[1]
    assert list(bridged.settings.bridge.bucket.glob("jobs/*")) == []
    image.unlink()
    secret.rename(image)
    set_status(name, "retry")
    bridged.until_settled(name)
    assert status(name)[0] == "finished"


def test_a_folder_without_a_certificate_was_not_published_by_this_program(bridged: Bridged) -> None:
    (name,) = bridged.request()
    (certificate,) = bridged.settings.folders.archive.rglob("certificate.json")
    certificate.unlink()
    bridged.exchange()
    assert "this program did not publish" in status(name)[1]


def test_a_job_that_fails_leaves_its_logs_and_says_why(bridged: Bridged) -> None:
    script = bridged.centre.home / "functions" / "checksum-report" / "report.py"
    script.write_text("import sys; print('no such coil', file=sys.stderr); sys.exit(3)\n", encoding="ascii")
    bridged.centre.tick()
    (name,) = bridged.request()
    bridged.until_settled(name)
    (request,) = requests(name)
    assert facts(request)["Status"] == "failed"
    assert "3" in facts(request)["StatusMessage"]
    assert count("COUNT AnalysisResult") == 0
    (folder,) = bridged.results
    assert "no such coil" in (folder / "logs" / "stderr.txt").read_text()
    paths = {file.path for file in query("FIND FILE WHICH IS STORED AT '/DataAnalysis/**'")}
    assert f"/DataAnalysis/{folder.parent.name}/{folder.name}/logs/stderr.txt" in paths
    assert len(facts(request)["LogFiles"]) == len(paths)
    findings = check_tree(bridged.settings.folders.archive)
    assert [finding for finding in findings if finding.place.startswith("DataAnalysis")] == []


def test_a_failed_request_is_tried_again_when_somebody_says_so(bridged: Bridged) -> None:
    script = bridged.centre.home / "functions" / "checksum-report" / "report.py"
    good = script.read_text(encoding="utf-8")
    script.write_text("raise SystemExit(3)\n", encoding="ascii")
    bridged.centre.tick()
    (name,) = bridged.request()
    bridged.until_settled(name)
    first = facts(requests(name)[0])["Job"]
    script.write_text(good, encoding="utf-8")
    bridged.centre.tick()
    set_status(name, "retry")
    bridged.until_settled(name)
    found = facts(requests(name)[0])
    assert (found["Status"], found["Attempt"], found["Job"] != first) == ("finished", 2, True)
    assert [folder.name.rpartition("_")[2] for folder in bridged.results] == [name, "attempt-2"]


def test_a_request_is_cancelled_before_and_after_it_was_taken_up(bridged: Bridged) -> None:
    early, late, unsent = (bridged.request(words=[f"label={word}", "wait=600"])[0] for word in ("a", "b", "c"))
    set_status(unsent, "cancel")
    set_status(late, "retry")  # of a request that was never sent: it is sent
    bridged.exchange()
    assert status(unsent) == ("cancelled", "Cancelled before it was sent.")
    bridged.exchange()
    set_status(early, "cancel")
    bridged.exchange()
    bridged.exchange()
    assert status(early)[0] == "cancelled"
    for _ in range(4):
        bridged.centre.tick()
        bridged.exchange()
    assert status(late)[0] == "running"
    set_status(late, "cancel")
    bridged.exchange()
    assert status(late)[0] == "cancelling"
    bridged.until_settled(late)
    assert status(late)[0] == "cancelled"
    assert bridged.open_keys() == []


def test_what_was_inserted_by_hand_with_a_status_alone_is_completed(bridged: Bridged) -> None:
    import linkahead as db  # noqa: PLC0415 - as a script of a researcher does

    bridged.exchange()
    (function,) = query("FIND PostProcessingFunction WITH name='checksum-report'")
    assert facts(function)["FunctionTitle"] == "Checksum report"
    (image,) = query("FIND T1WeightedImage")
    record = db.Record().add_parent("PostProcessingRequest")
    record.add_property(name="Function", value=function.id).add_property(name="Status", value="new")
    record.add_property(name="Inputs", value=[image.id], datatype="LIST<Acquisition>").insert()
    bridged.exchange()
    (request,) = requests()
    assert request.name.startswith("R-")
    assert (facts(request)["FunctionVersion"], facts(request)["SubmittedBy"]) == ("1.0", "heartbrain")
    bridged.until_settled(request.name)
    assert facts(requests(request.name)[0])["Status"] == "finished"


def test_a_request_that_does_not_fit_says_what_is_wrong(bridged: Bridged) -> None:
    wrong = {
        "no inputs": ({"Inputs": None}, "names no inputs"),
        "parameters": ({"Parameters": '{"algorithm": "md5"}'}, "parameters.algorithm"),
        "not json": ({"Parameters": "{"}, "not JSON"),
        "version": ({"FunctionVersion": "9.9"}, "offered in 1.0, not in 9.9"),
    }
    for label, (changes, _text) in wrong.items():
        (name,) = bridged.request(words=[f"label={label}"])
        (record,) = requests(name)
        for prop, value in changes.items():
            if value is None:
                record.remove_property(prop)
            else:
                record.get_property(prop).value = value
        record.name = f"wrong {label}"
        record.update()
    assert bridged.exchange().refused == len(wrong)
    for label, (_changes, text) in wrong.items():
        assert status(f"wrong {label}")[0] == "refused"
        assert text in status(f"wrong {label}")[1]
    assert count("COUNT AnalysisResult") == 0


def test_the_data_of_a_job_are_deleted_from_the_bucket_after_the_retention_time(bridged: Bridged) -> None:
    (name,) = bridged.request()
    bridged.until_settled(name)
    assert bridged.exchange().swept == 0
    later = bridge.utc_now() + timedelta(days=31)
    assert bridge.Site(bridged.settings, clock=lambda: later).exchange().swept == 1
    left = sorted(path.name for path in bridged.settings.bridge.bucket.glob("jobs/*/*") if path.is_file())
    assert left == ["history.json", "receipt.json", "spec.json"]
    assert bridge.Site(bridged.settings, clock=lambda: later).exchange().swept == 0


def test_a_request_comes_back_through_an_s3_store(bridged: Bridged, tmp_path: Path) -> None:
    with MotoServer() as server:
        server.client().create_bucket(Bucket="exchange")
        bucket = {"kind": "s3", "bucket": "exchange", "prefix": "here/", **server.address(tmp_path)}
        plain = {key: str(value) for key, value in bucket.items()}
        route = {"name": "default", "users": ["*"], "bucket": plain}
        path = bridged.folder / "heartbrain.yml"
        path.write_text(yaml.safe_dump({"bridge": {"routes": [route]}}), encoding="utf-8")
        over_s3 = replace(bridged, settings=load_settings(path))
        config = bridged.centre.home / "config.yml"
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
        config.write_text(yaml.safe_dump({**content, "bucket": plain}), encoding="utf-8")
        shutil.rmtree(bridged.centre.home / "state")  # an agent that begins with this bucket
        assert bridged.centre.tick() == []
        (name,) = over_s3.request()
        over_s3.until_settled(name)
    assert status(name)[0] == "finished"
    (folder,) = bridged.results
    assert (folder / "report.json").is_file()
