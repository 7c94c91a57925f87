"""From a result to every input and its DICOM files, and back; as text and as an RO-Crate."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from linkahead.queries import query
from rocrate.rocrate import ROCrate

from heartbrain_ingest import provenance
from heartbrain_ingest.cli import main
from heartbrain_ingest.crates import write_crate
from tests.postprocessing.conftest import Bridged


@pytest.fixture
def finished(bridged: Bridged) -> tuple[Bridged, str]:
    """Give a site with one result, and its request."""
    archive = bridged.settings.folders.archive
    (image,) = archive.rglob("*_T1w.nii.gz")
    sidecar = image.with_name(image.name.replace(".nii.gz", ".json"))
    name = json.loads(sidecar.read_text())["SourceSeries"]
    folder = image.parents[3] / "sourcedata" / "dicom"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as series:
        series.writestr("00001.dcm", b"first")
        series.writestr("00002.dcm", b"second")
    total = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_text(f"{total}  {name}\n")
    (request,) = bridged.request()
    bridged.until_settled(request)
    return bridged, request


def heartbrain(site: Bridged, *words: str) -> Result:
    return CliRunner().invoke(main, ["--settings", str(site.folder / "heartbrain.yml"), *words])


def test_one_walk_leads_from_a_result_to_the_checksums_of_its_dicom_files(finished: tuple[Bridged, str]) -> None:
    site, request = finished
    archive = site.settings.folders.archive
    found = provenance.trace(archive, provenance.only_result(archive, request))
    assert [one.place.rsplit(".", 2)[-1] for one in found.inputs] == ["json", "gz"]
    assert all(one.is_unchanged for one in found.inputs)
    image = found.inputs[1]
    assert image.sent == hashlib.sha256((archive / image.place.lstrip("/")).read_bytes()).hexdigest()
    assert image.series is not None
    assert image.series.recorded == image.series.present != ""
    assert [(one.name, one.sha256) for one in image.series.members] == [
        ("00001.dcm", hashlib.sha256(b"first").hexdigest()),
        ("00002.dcm", hashlib.sha256(b"second").hexdigest()),
    ]
    shown = heartbrain(site, "explain", request)
    assert shown.exit_code == 0, shown.output
    for text in (f"request {request}", image.sent, image.series.recorded, "2 DICOM files", "checksum-report 1.0"):
        assert text in shown.output
    assert "CHANGED" not in shown.output


def test_one_query_leads_from_an_image_to_all_its_results(finished: tuple[Bridged, str]) -> None:
    site, _ = finished
    (second,) = site.request(words=["algorithm=sha512"])
    site.until_settled(second)
    (image,) = query("FIND T1WeightedImage")
    assert len(query(f"FIND AnalysisResult WHICH REFERENCES {image.id}")) == 2


def test_an_input_or_a_series_that_was_changed_since_is_told(finished: tuple[Bridged, str]) -> None:
    site, request = finished
    archive = site.settings.folders.archive
    (image,) = archive.rglob("*_T1w.nii.gz")
    image.chmod(0o644)
    image.write_bytes(image.read_bytes() + b"more")
    (series,) = archive.rglob("sourcedata/dicom/*mprage*.zip") or archive.rglob("sourcedata/dicom/*.zip")
    with zipfile.ZipFile(series, "a") as more:
        more.writestr("00003.dcm", b"third")
    shown = heartbrain(site, "explain", request)
    assert shown.output.count("IT WAS CHANGED SINCE") == 2
    image.unlink()
    assert "IT IS GONE" in heartbrain(site, "explain", request).output


def test_a_crate_holds_the_result_and_names_all_it_was_made_of(finished: tuple[Bridged, str], tmp_path: Path) -> None:
    site, request = finished
    target = tmp_path / "crate.zip"
    shown = heartbrain(site, "crate", request, str(target))
    assert shown.exit_code == 0, shown.output
    with zipfile.ZipFile(target) as file:
        names = set(file.namelist())
        graph = json.loads(file.read("ro-crate-metadata.json"))["@graph"]
        report = file.read("report.json")
    assert names >= {
        "report.json",
        "result.json",
        "specification.json",
        "manifest.json",
        "logs/stdout.txt",
        "README.md",
    }
    parts = {one["@id"]: one for one in graph}
    assert parts["report.json"]["sha256"] == hashlib.sha256(report).hexdigest()
    (action,) = [one for one in graph if one["@type"] == "CreateAction"]
    assert request in action["name"]
    assert parts[action["instrument"]["@id"]]["version"] == "1.0"
    objects = [parts[one["@id"]] for one in action["object"]]
    (image,) = [one for one in objects if one["name"].endswith(".nii.gz")]
    series = parts[image["isBasedOn"]["@id"]]
    assert [parts[one["@id"]]["sha256"] for one in series["hasPart"]] == [
        hashlib.sha256(content).hexdigest() for content in (b"first", b"second")
    ]
    assert "report.json" in {one["@id"] for one in action["result"]}
    assert not any(name.endswith(".nii.gz") for name in names)
    assert heartbrain(site, "crate", request, str(target)).exit_code == 2


def test_a_crate_can_be_read_back(finished: tuple[Bridged, str], tmp_path: Path) -> None:
    site, request = finished
    archive = site.settings.folders.archive
    found = provenance.trace(archive, provenance.only_result(archive, request))
    crate = ROCrate(write_crate(found, tmp_path / "crate"))
    assert crate.name == found.folder.name
    files = [path for path in found.folder.rglob("*") if path.is_file()]
    assert len(list(crate.data_entities)) == len(files)


def test_a_new_version_keeps_both_results_and_says_what_differs(finished: tuple[Bridged, str]) -> None:
    site, request = finished
    functions = site.centre.home / "functions"
    again = heartbrain(site, "run", "checksum-report", "--where", "FIND T1WeightedImage", "--dry-run")
    assert f"{request} has a result" in again.output
    entry = functions / "checksum-report" / "function.yml"
    shutil.copy(entry, functions / "old.yml")
    entry.write_text(entry.read_text().replace('version: "1.0"', 'version: "1.1"'), encoding="utf-8")
    site.centre.tick()
    (second,) = site.request()
    site.until_settled(second)
    assert len(site.results) == len(query("FIND AnalysisResult")) == 2
    shown = heartbrain(site, "explain", request, "--beside", second).output
    assert "Version: 1.0 | 1.1" in shown
    assert "inputs" not in shown


@pytest.mark.parametrize("what", ["R-000000000000", "*", "", "../../etc"])
def test_a_name_that_no_result_has_gives_none(finished: tuple[Bridged, str], what: str) -> None:
    archive = finished[0].settings.folders.archive
    assert provenance.find_results(archive, what) == []
    with pytest.raises(provenance.NoResultError):
        provenance.only_result(archive, what)
