"""Asking: pre-flight, batches, rules, and the commands that do it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from linkahead.queries import count, query

from heartbrain_ingest.cli import main
from heartbrain_ingest.postprocessing import registration
from heartbrain_ingest.postprocessing.errors import ParametersError, UnknownFunctionError
from tests.postprocessing.conftest import Bridged, facts, requests, set_status, status

RULES = """
rules:
  - {name: every T1w is counted, function: checksum-report, record_type: T1WeightedImage, parameters: {label: by rule}}
  - name: low b-values
    function: checksum-report
    record_type: DiffusionWeightedImage
    with: NumberOfBValuesBelow200 >= 7
  - {name: of tomorrow, function: not-yet-there, record_type: T1WeightedImage}
"""


def plan(bridged: Bridged, where: str = "FIND T1WeightedImage", **more: Any) -> registration.Preflight:
    return registration.preflight(
        bridged.settings,
        catalogue=registration.read_catalogue(bridged.settings, "ada"),
        function=more.pop("function", "checksum-report"),
        inputs=registration.find_inputs(where),
        **more,
    )


def heartbrain(bridged: Bridged, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["--settings", str(bridged.folder / "heartbrain.yml"), *words])
    return done.exit_code, done.output


def test_a_preflight_says_what_would_run_and_for_how_long(bridged: Bridged) -> None:
    found = plan(bridged, "FIND MRImage WITH SidecarFile")
    assert (len(found.ready), len(found.items)) == (5, 5)
    assert found.minutes == pytest.approx(25, abs=0.1)
    assert found.lines()[1].startswith("5 to run, 0 MB, about 25 min of computing (5 min the longest)")
    assert plan(bridged, "FIND MRImage WITH SidecarFile", together=True).minutes == pytest.approx(5, abs=0.1)


def test_what_has_a_result_is_offered_instead_of_run_again(bridged: Bridged) -> None:
    (name,) = bridged.request(words=["label=x"])
    assert [item.existing for item in plan(bridged, words=["label=x"]).items] == [name]
    assert plan(bridged, words=["label=x"]).lines()[2].endswith(f"{name} is under way")
    assert len(plan(bridged, words=["label=y"]).ready) == 1
    assert len(plan(bridged, words=["label=x"], again=True).ready) == 1
    bridged.until_settled(name)
    assert plan(bridged, words=["label=x"]).lines()[2].endswith(f"{name} has a result")
    assert bridged.request(words=["label=x"]) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["algorithm=md5"], "algorithm: not one of the values"),
        (["wait=soon"], "wait: must be a number"),
        (["wait=-1"], "wait: must be at least 0 s"),
        (["nonsense=1"], "unknown: 'nonsense'"),
        (["label"], "'label' is no name=value"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_before_anything_is_asked(
    bridged: Bridged, words: list[str], said: str
) -> None:
    with pytest.raises(ParametersError, match=said):
        plan(bridged, words=words)
    with pytest.raises(UnknownFunctionError, match="no function 'brew'"):
        plan(bridged, function="brew")


def test_what_is_incomplete_is_named_and_not_asked_for(bridged: Bridged) -> None:
    (sidecar,) = bridged.settings.folders.archive.rglob("*_T1w.json")
    sidecar.unlink()
    (item,) = plan(bridged).items
    assert item.problems == (f"{item.inputs[0].name}: {sidecar.name} is not in the archive any more",)
    assert bridged.request() == []


def test_a_group_of_images_is_a_batch(bridged: Bridged) -> None:
    import linkahead as db  # noqa: PLC0415 - as a researcher's script does

    images = [image.id for image in query("FIND MRImage WITH SidecarFile")][:3]
    group = db.Record(name="my selection").add_parent("ImageGroup")
    group.add_property(name="Images", value=images, datatype="LIST<MRImage>").insert()
    code, out = heartbrain(bridged, "run", "checksum-report", "--group", "my selection", "--as", "ada", "--json")
    found = json.loads(out)
    assert (code, len(found["registered"])) == (0, 3)
    assert {facts(one)["Inputs"][0] for one in requests(*found["registered"])} == set(images)
    code, out = heartbrain(bridged, "run", "checksum-report", "--group", "no such", "--as", "ada")
    assert code == 2
    assert "0 groups are called 'no such'" in out


def test_rules_ask_once_for_each_new_image_and_only_for_what_is_offered(bridged: Bridged) -> None:
    path = bridged.settings.folders.crawler_config / "postprocessing.yml"
    path.write_text(RULES, encoding="utf-8")
    assert registration.register_by_rules(bridged.settings) == {"every T1w is counted": 1}
    assert registration.register_by_rules(bridged.settings) == {}
    (request,) = requests()
    assert json.loads(facts(request)["Parameters"])["label"] == "by rule"
    assert facts(request)["SubmittedBy"] == "rules"
    path.write_text(RULES.replace(">= 7", ">= 6"), encoding="utf-8")
    assert registration.register_by_rules(bridged.settings) == {"low b-values": 1}
    name = request.name
    request.delete()
    path.write_text(RULES, encoding="utf-8")
    registration.register_by_rules(bridged.settings)
    assert status(name)[0] == "new"  # the same image has the same request again


def test_the_commands_ask_send_follow_and_end(bridged: Bridged) -> None:
    code, out = heartbrain(bridged, "run", "--list")
    assert (code, out.split()[:2]) == (0, ["checksum-report", "1.0"])
    assert "wait [s]: how long the job waits" in heartbrain(bridged, "run", "checksum-report", "--show")[1]
    where = ("--where", "FIND T1WeightedImage", "--param", "wait=600")
    code, out = heartbrain(bridged, "run", "checksum-report", *where, "--dry-run")
    assert (code, count("COUNT PostProcessingRequest")) == (0, 0)
    assert "Nothing was asked for: this was a dry run." in out
    code, out = heartbrain(bridged, "run", "checksum-report", *where, "--json")
    (name,) = json.loads(out)["registered"]
    code, out = heartbrain(bridged, "bridge", "--json")
    assert (code, json.loads(out)["sent"]) == (0, 1)
    assert "1  at the computing centre, not taken up yet" in heartbrain(bridged, "status")[1]
    assert heartbrain(bridged, "bridge", "retry", name)[0] == 1
    assert heartbrain(bridged, "bridge", "cancel", name) == (
        0,
        f"{name}: To be cancelled; the next exchange passes it on.\n",
    )
    heartbrain(bridged, "bridge")
    code, out = heartbrain(bridged, "bridge")
    assert status(name)[0] == "cancelled"
    assert heartbrain(bridged, "bridge", "retry", name)[0] == 0
    code, out = heartbrain(bridged, "bridge", "keys")
    assert out.startswith("hpc-bridge-ed25519 ")


def test_an_edited_record_keeps_its_result_where_it_was_sent_from(bridged: Bridged, tmp_path: Path) -> None:
    (name,) = bridged.request()
    bridged.exchange()
    (record,) = requests(name)
    record.name = "renamed"
    record.get_property("Parameters").value = '{"label": "edited"}'
    record.update()
    bridged.until_settled("renamed")
    (folder,) = bridged.results
    result = json.loads((folder / "result.json").read_text())
    assert result["Parameters"]["label"] == ""  # what was signed and run
    set_status("renamed", "running")  # a lost update: the next exchange finds what is there
    bridged.until_settled("renamed")
    assert (status("renamed")[0], bridged.results) == ("finished", [folder])


def test_an_ingest_ends_with_the_requests_that_the_rules_ask_for(bridged: Bridged) -> None:
    path = bridged.settings.folders.crawler_config / "postprocessing.yml"
    path.write_text(RULES, encoding="utf-8")
    code, out = heartbrain(bridged, "ingest", "--executor", "serial", "--json")
    assert (code, json.loads(out)["requests"]) == (0, {"every T1w is counted": 1})
    code, out = heartbrain(bridged, "ingest", "--executor", "serial")
    assert (code, "requests made" in out) == (0, False)
    assert count("COUNT PostProcessingRequest") == 1
