from __future__ import annotations

from pathlib import Path

import pytest

from heartbrain_ingest.deidentify import Rules, load_rules, table
from heartbrain_ingest.deidentify.table import Action
from heartbrain_ingest.errors import RulesError


@pytest.fixture
def text(project_root: Path) -> str:
    return (project_root / "crawler_config" / "deidentification.yml").read_text(encoding="utf-8")


def load(tmp_path: Path, text: str) -> Rules:
    path = tmp_path / "deidentification.yml"
    path.write_text(text, encoding="utf-8")
    return load_rules(path)


def test_the_table_is_the_standards_own() -> None:
    names = {row.name: row for row in table.rows()}
    assert len(table.rows()) == 655
    assert names["PatientName"].basic == "Z"
    assert names["StudyDate"].options["modified_dates"] == "C"
    assert names["StationName"].options["device_identity"] == "K"


def test_an_unknown_key_is_refused_with_the_nearest_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(RulesError, match="did you mean `overrides`"):
        load(tmp_path, text.replace("overrides:", "overides:"))


def test_an_unknown_option_is_refused_with_the_nearest_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(RulesError, match="did you mean `modified_dates`"):
        load(tmp_path, text.replace("modified_dates: true", "modified_date: true"))


def test_an_unknown_attribute_is_refused_with_the_nearest_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(RulesError, match="did you mean PatientBirthDate"):
        load(tmp_path, text.replace("[PatientBirthDate]", "[PatientBirthDat]"))


@pytest.mark.parametrize(
    "attribute", ["PatientName", "PatientID", "StudyInstanceUID", "PatientBirthDate", "AccessionNumber"]
)
@pytest.mark.parametrize("action", ["keep", "clean"])
def test_rules_that_keep_a_direct_identifier_are_refused(
    tmp_path: Path, text: str, attribute: str, action: str
) -> None:
    override = f"overrides:\n  - attributes: [{attribute}]\n    action: {action}\n    reason: We like it.\n"
    with pytest.raises(RulesError, match=attribute):
        load(tmp_path, text.replace("overrides:\n", override))


@pytest.mark.parametrize("vr", ["PN", "UI", "DA"])
def test_a_vr_that_identifies_people_cant_be_kept(tmp_path: Path, text: str, vr: str) -> None:
    with pytest.raises(RulesError, match=vr):
        load(tmp_path, text.replace("  keep: [AS,", f"  keep: [{vr}, AS,"))


def test_an_override_without_a_reason_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(RulesError, match="reason"):
        load(tmp_path, text.replace("overrides:\n", "overrides:\n  - attributes: [Modality]\n    action: keep\n"))


def test_a_missing_file_and_bad_yaml_are_rules_errors(tmp_path: Path) -> None:
    with pytest.raises(RulesError):
        load_rules(tmp_path / "none.yml")
    with pytest.raises(RulesError, match="YAML"):
        load(tmp_path, "a: [")


def test_the_digest_changes_with_the_rules_and_only_with_them(tmp_path: Path, text: str, rules: Rules) -> None:
    assert load(tmp_path, "# a comment\n" + text).digest == rules.digest
    assert load(tmp_path, text.replace("device_identity: false", "device_identity: true")).digest != rules.digest
    assert len(rules.digest) == 64


def test_each_attribute_of_the_table_is_described_with_the_rule_that_decides(rules: Rules) -> None:
    described = {entry.attribute: entry for entry in rules.describe()}
    names = {attribute.strip("()") for attribute in described}
    assert {row.name.strip("()") for row in table.rows() if row.mask == 0xFFFFFFFF} <= names
    assert described["AccessionNumber"] == ("AccessionNumber", "0008,0050", Action.EMPTY, "PS3.15 basic profile: Z")
    assert described["SeriesDescription"].rule == "PS3.15 clean_descriptors: C"
    assert described["PatientID"].action is Action.SUBJECT
    assert described["PatientID"].rule.startswith("override: ")


def test_an_option_switched_off_falls_back_to_the_basic_profile(tmp_path: Path, text: str) -> None:
    rules = load(tmp_path, text.replace("clean_descriptors: true", "clean_descriptors: false"))
    assert rules.action(0x0008103E, "LO") is Action.REMOVE
    assert "113105" not in dict(rules.codes)


def test_without_safe_private_no_private_element_stays(tmp_path: Path, text: str) -> None:
    rules = load(tmp_path, text.replace("safe_private: true", "safe_private: false"))
    assert rules.private("SIEMENS CSA HEADER", 0x29) == {}


def test_attributes_that_the_standard_does_not_know_go(rules: Rules) -> None:
    assert rules.action(0x00089999, "LO") is Action.REMOVE


def test_repeating_groups_are_known_by_their_pattern(rules: Rules) -> None:
    assert rules.action(0x601E3000, "OW") is Action.REMOVE


WAYS_TO_KEEP_A_NAME = {
    "by its tag": "overrides: [{attributes: ['0010,0010'], action: keep, reason: why}]",
    "by a pattern of its group": "overrides: [{attributes: ['0010,xxxx'], action: keep, reason: why}]",
    "by a pattern of everything": "overrides: [{attributes: ['xxxx,xxxx'], action: keep, reason: why}]",
    "by a pattern of a digit": "overrides: [{attributes: ['0010,001x'], action: clean, reason: why}]",
    "by a regular expression": "overrides: [{attributes: ['Patient.*'], action: keep, reason: why}]",
    "by a name outside of the table": "overrides: [{attributes: [PersonName], action: keep, reason: why}]",
    "as a date that is not moved": "overrides: [{attributes: [StudyDate], action: keep, reason: why}]",
    "as a birth date that is moved": "overrides: [{attributes: [PatientBirthDate], action: shift, reason: why}]",
    "as a UID outside of the table": "overrides: [{attributes: [StorageMediaFileSetUID], action: keep, reason: why}]",
    "as a text outside of the table": "overrides: [{attributes: [LabelText], action: keep, reason: why}]",
    "as an identity without its option": "overrides: [{attributes: [InstitutionName], action: keep, reason: why}]",
    "as a private element of any creator": "private: [{creator: '*', group: '0029', text: ['10']}]",
    "as a private element by a pattern": "private: [{creator: 'SIEMENS.*', group: '0029', text: ['10']}]",
    "as all private elements of a creator": "private: [{creator: SIEMENS MR HEADER, group: '0019', text: ['00-FF']}]",
    "as the patient block of GE": "private: [{creator: GEMS_PATI_01, group: '0011', text: ['10']}]",
    "as Siemens' MEDCOM header": "private: [{creator: SIEMENS MEDCOM HEADER, group: '0029', text: ['10']}]",
    "as a private group by override": "overrides: [{attributes: ['0029,xxxx'], action: clean, reason: why}]",
    "as all texts": "by_vr: {keep: [LO, SH]}",
    "as all sequences": "by_vr: {keep: [SQ]}",
    "as all names": "by_vr: {clean: [PN]}",
    "as the remains of a CSA header": "csa: {text: [PatReinPattern]}",
    "as the name in a protocol": "siemens_protocol: {strings: [tPatientName]}",
    "as an image that a protocol refers to": "siemens_protocol: {strings: [tReferenceImage0]}",
    "as a pattern of the vocabulary": "vocabulary: {patterns: ['.*']}",
    "as a word of the vocabulary": "vocabulary: {patterns: ['[A-Z][a-z]+']}",
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS_TO_KEEP_A_NAME)
def test_each_way_to_keep_a_direct_identifier_is_refused(tmp_path: Path, way: str) -> None:
    part = WAYS_TO_KEEP_A_NAME[way]
    rest = "" if part.startswith("by_vr") else "\nby_vr: {}"
    with pytest.raises(RulesError, match=r"deidentification\.yml|DICOM has no"):
        load(tmp_path, f"version: '1'\noptions: {{modified_dates: true, clean_descriptors: true}}\n{part}{rest}\n")


def test_a_refusal_names_the_option_that_would_allow_it(tmp_path: Path, text: str) -> None:
    override = "overrides:\n  - attributes: [InstitutionName]\n    action: keep\n    reason: We like it.\n"
    with pytest.raises(RulesError, match=r"InstitutionName.*option `institution_identity`"):
        load(tmp_path, text.replace("overrides:\n", override))
    load(tmp_path, text.replace("institution_identity: false", "institution_identity: true"))


def test_where_the_file_and_the_dictionary_differ_in_the_vr_the_stricter_one_decides(rules: Rules) -> None:
    assert rules.action(0x00089123, "CS") is Action.REMAP  # CreatorVersionUID written as a code string
    assert rules.action(0x00180080, "LT") is Action.CLEAN  # RepetitionTime written as a text
    assert rules.action(0x00180080, "PN") is Action.REMOVE
    assert rules.action(0x00180080, "DS") is Action.KEEP
