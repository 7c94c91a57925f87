"""The self-test scores a site's rules on invented identifiers, and is able to fail."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from heartbrain_ingest import dicom
from heartbrain_ingest.cli import main
from heartbrain_ingest.deidentify import Rules
from heartbrain_ingest.deidentify.recipe import Recipe
from heartbrain_ingest.deidentify.selftest import Score, run_selftest
from heartbrain_ingest.deidentify.selftest.headers import Header, vendor_headers
from heartbrain_ingest.deidentify.selftest.nodes import outer_nodes
from heartbrain_ingest.deidentify.selftest.score import Category
from heartbrain_ingest.deidentify.table import Option
from heartbrain_ingest.dicom.encoding import PIXEL_DATA

SIEMENS = [header for header in vendor_headers() if header.vendor == "Siemens"]
#: What dcm2niix and BIDS read of each header.
CRITICAL = (0x00180050, 0x00180080, 0x00180081, 0x00200032, 0x00200037, 0x00280030)
ROWS, COLUMNS, NUMBER_OF_FRAMES = 0x00280010, 0x00280011, 0x00280008


@pytest.fixture
def recipe(project_root: Path) -> dict[str, Any]:
    path = project_root / "crawler_config" / "deidentification.yml"
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def unchecked(recipe: dict[str, Any]) -> Rules:
    """Give rules that the validator would refuse."""
    return Rules(Recipe.model_validate(recipe))


def failed(score: Score) -> set[str]:
    return {failure.attribute.partition(",")[0].partition(":")[0] for failure in score.failures}


def test_the_rules_as_shipped_are_right_for_all_vendors(rules: Rules) -> None:
    score = run_selftest(rules)
    assert list(score.failed()) == []
    assert score.percent == 100.0
    assert score.required > 90_000
    assert {category for category in Category if score.required_by[category]} == set(Category)


@pytest.mark.parametrize("option", [*Option])
def test_the_rules_are_right_with_each_option_turned(recipe: dict[str, Any], option: Option) -> None:
    recipe["options"][option.value] = not recipe["options"][option.value]
    assert list(run_selftest(unchecked(recipe), SIEMENS).failed()) == []


def test_the_rules_are_right_with_no_option_and_with_all(recipe: dict[str, Any]) -> None:
    for state in (False, True):
        recipe["options"] = dict.fromkeys(map(str, Option), state)
        assert list(run_selftest(unchecked(recipe), SIEMENS).failed()) == []


def weakened(recipe: dict[str, Any], *attributes: str, action: str = "keep") -> Rules:
    recipe["overrides"].append({"attributes": [*attributes], "action": action, "reason": "a hole"})
    return unchecked(recipe)


@pytest.mark.parametrize(
    "attribute", ["PatientName", "OperatorsName", "StudyDate", "StudyInstanceUID", "InstitutionName"]
)
def test_a_kept_identifier_lowers_the_score_and_is_named(recipe: dict[str, Any], attribute: str) -> None:
    score = run_selftest(weakened(recipe, attribute), SIEMENS)
    assert attribute in failed(score)
    assert score.percent < 100


def test_a_comment_that_keeps_unknown_names_is_named(recipe: dict[str, Any]) -> None:
    score = run_selftest(weakened(recipe, "ImageComments", action="clean"), SIEMENS)
    assert failed(score) == {"ImageComments"}


def test_a_vr_that_is_kept_is_found_by_the_attributes_that_the_table_does_not_list(recipe: dict[str, Any]) -> None:
    recipe["by_vr"]["remove"].remove("PN")
    recipe["by_vr"]["keep"].append("PN")
    assert "EvaluatorName" in failed(run_selftest(unchecked(recipe), SIEMENS))


def test_a_private_list_that_keeps_too_much_is_named(recipe: dict[str, Any]) -> None:
    recipe["private"].append({"creator": "SIEMENS MR HEADER", "group": "0019", "text": ["ED", "EE"]})
    assert {"(0019"} == failed(run_selftest(unchecked(recipe), SIEMENS))


def test_a_csa_element_that_names_the_patient_is_named(recipe: dict[str, Any]) -> None:
    recipe["csa"]["text"].append("PatReinPattern")
    score = run_selftest(unchecked(recipe), SIEMENS)
    assert [failure.attribute for failure in score.failures] == ["(0029,1020): the age in a CSA header"]


def test_what_conversion_needs_is_missed_when_it_goes(recipe: dict[str, Any]) -> None:
    score = run_selftest(weakened(recipe, "RepetitionTime", "7FE0,0010", action="remove"), SIEMENS)
    assert [(failure.attribute, failure.category) for failure in score.failures] == [
        ("(0018,0080)", Category.KEPT),
        ("PixelData", Category.PIXELS),
    ]


def test_a_failure_never_shows_a_value(recipe: dict[str, Any]) -> None:
    score = run_selftest(weakened(recipe, "PatientName", "ImageComments"), SIEMENS)
    assert score.failures
    assert not any(name in json.dumps(score.as_data()).lower() for name in ("kestrowen", "ilvara", "zq"))


@pytest.mark.shared_data
@pytest.mark.parametrize(
    "name",
    [
        "siemens_skyra_ve11_bold_mosaic_ap",
        "siemens_vida_xa10_bold_enhanced",
        "ge_pioneer_mr29_dwi",
        "philips_achieva_bold",
        "uih_umr770_dwi_ap",
        "canon_galan_dwi_enhanced_ap",
    ],
)
def test_the_rules_are_right_with_real_headers(shared_data: Path, rules: Rules, name: str) -> None:
    paths = sorted(path for path in (shared_data / "dicom" / name / "dicom").rglob("*") if path.is_file())
    file = dicom.read(paths[0].read_bytes())
    small = {PIXEL_DATA: b"\1\2" * 64, ROWS: b"\x08\0", COLUMNS: b"\x08\0", NUMBER_OF_FRAMES: b"1 "}
    nodes = [replace(node, value=small.get(node.tag, node.value)) for node in outer_nodes(file)]
    kept = tuple((tag,) for tag in CRITICAL if tag in file.elements)
    header = Header(name, file.encoding, tuple(nodes), kept)
    assert list(run_selftest(rules, [header]).failed()) == []


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    assert invoke("init", str(tmp_path / "site")).exit_code == 0
    return tmp_path / "site" / "heartbrain.yml"


def test_describe_says_what_happens_and_which_rule_says_so(site: Path) -> None:
    shown = invoke("deidentify", "--describe", "PatientAge", "0008,1030", "--settings", str(site)).output
    assert "PS3.15 patient_characteristics: K" in shown
    assert "StudyDescription" in shown
    assert "2 rules" in shown


def test_describe_shows_the_exemptions_of_the_audit_as_rules(site: Path) -> None:
    found = invoke("deidentify", "--describe", "audit:", "--json", "--settings", str(site))
    rules = {entry["rule"] for entry in json.loads(found.output)["rules"]}
    assert {"audit: words", "audit: bids_terms", "audit: equipment", "audit: responsible", "audit: json_keys"} <= rules


def test_describe_names_each_attribute_of_the_standards_table(site: Path) -> None:
    found = json.loads(invoke("deidentify", "--describe", "--json", "--settings", str(site)).output)
    assert found["options"] == ["modified_dates", "safe_private", "clean_descriptors", "patient_characteristics"]
    assert len({entry["tag"] for entry in found["rules"]}) > 655


def test_the_selftest_of_a_site_ends_with_zero_or_names_what_got_through(site: Path) -> None:
    good = invoke("deidentify", "--selftest", "--settings", str(site))
    assert good.exit_code == 0
    assert "100.00 %" in good.output
    rules = site.parent / "crawler_config" / "deidentification.yml"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace("    action: vocabulary\n", "    action: clean\n"), encoding="utf-8")
    bad = invoke("deidentify", "--selftest", "--json", "--settings", str(site))
    assert bad.exit_code == 1
    failures = json.loads(bad.output)["failures"]
    assert {entry["attribute"].partition(":")[0] for entry in failures} == {"ImageComments"}


def test_a_site_whose_rules_would_keep_a_name_is_told_so(site: Path) -> None:
    rules = site.parent / "crawler_config" / "deidentification.yml"
    text = rules.read_text(encoding="utf-8")
    hole = "overrides:\n  - attributes: [PatientName]\n    action: keep\n    reason: a hole\n"
    rules.write_text(text.replace("overrides:\n", hole), encoding="utf-8")
    told = invoke("deidentify", "--selftest", "--settings", str(site))
    assert told.exit_code == 2
    assert "PatientName" in told.output
