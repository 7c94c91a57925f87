"""Errors in a rules file are found when it is read, with their place and the nearest right name."""

from __future__ import annotations

import pytest

from heartbrain_ingest.bids.rules import load_naming_rules, parse_naming_rules
from heartbrain_ingest.errors import RulesError


def rules_with(when=None, sets=None, **extra):
    """Make the content of a rules file with one rule."""
    sets = {"datatype": "anat", "suffix": "T1w", "RecordType": "MRImage"} if sets is None else sets
    rule = {"id": "mine", "when": {"words": {"matches": "mine"}} if when is None else when, "set": sets} | extra
    return {"record_types": ["MRImage", "BOLDImage"], "rules": [rule]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            rules_with(when={"dicom.SeriesDescripton": "x"}),
            "mine'.when.dicom.SeriesDescripton: unknown name; did you mean 'SeriesDescription'?",
        ),
        (rules_with(when={"sidecar.EchoTme": 1}), "did you mean 'EchoTime'?"),
        (rules_with(when={"volume": 1}), "when.volume: unknown field; did you mean 'volumes'?"),
        (rules_with(when={"words": {"match": "x"}}), "when.words.match: unknown operator; did you mean 'matches'?"),
        (rules_with(when={"words": {"matches": "("}}), "not a regular expression"),
        (rules_with(when={"volumes": {"min": "two"}}), "expected a number"),
        (
            rules_with(sets={"datatype": "anat", "suffix": "T1W", "RecordType": "MRImage"}),
            "BIDS has no 'T1W' in anat; did you mean 'T1w'?",
        ),
        (rules_with(sets={"datatype": "anta", "suffix": "T1w", "RecordType": "MRImage"}), "did you mean 'anat'?"),
        (rules_with(sets={"datatype": "anat", "suffix": "T1w", "RecordType": "MRimge"}), "did you mean 'MRImage'?"),
        (
            rules_with(sets={"datatype": "func", "suffix": "bold", "RecordType": "BOLDImage"}),
            "BIDS requires 'task' for bold",
        ),
        (
            rules_with(sets={"datatype": "dwi", "suffix": "dwi", "RecordType": "MRImage", "entities": {"ce": "x"}}),
            "set.entities.ce: not allowed for dwi",
        ),
        (
            rules_with(
                sets={"datatype": "anat", "suffix": "T1w", "RecordType": "MRImage", "entities": {"acq": "{lable}"}}
            ),
            "nothing is called {lable}; did you mean 'label'?",
        ),
        (rules_with(sets={"suffix": "x", "RecordType": "MRImage"}), "needs a datatype, or a folder below sourcedata/"),
        (
            rules_with(sets={"folder": "../out", "suffix": "x", "RecordType": "MRImage"}),
            "needs a datatype, or a folder below sourcedata/",
        ),
        (
            rules_with(sets={"ignore": "UNREADABLE_FIL"}),
            "unknown issue code 'UNREADABLE_FIL'; did you mean 'UNREADABLE_FILE'?",
        ),
        (rules_with(wen={}), "unknown key 'wen'; did you mean 'when'?"),
        ({"rules": []}, "record_types and rules must be lists"),
    ],
)
def test_a_mistake_is_refused_with_its_place_and_the_nearest_name(content, message):
    with pytest.raises(RulesError) as caught:
        parse_naming_rules(content)
    assert message in str(caught.value)


def test_a_mistake_in_a_file_is_told_with_its_line(tmp_path):
    path = tmp_path / "bids_rules.yml"
    path.write_text("record_types: [MRImage]\nrules:\n  - id: mine\n    when: {words: {matchs: x}}\n    set: {}\n")
    with pytest.raises(RulesError, match=r"bids_rules.yml: rule 'mine' \(line 3\).when.words.matchs"):
        load_naming_rules(path)


def test_a_key_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "bids_rules.yml"
    path.write_text("record_types: [MRImage]\nrules: []\nrules: []\n")
    with pytest.raises(RulesError, match="stands twice"):
        load_naming_rules(path)


def test_two_rules_with_one_id_are_refused():
    content = rules_with()
    with pytest.raises(RulesError, match="two rules have the id 'mine'"):
        parse_naming_rules(content | {"rules": content["rules"] * 2})


def test_named_groups_lists_ranges_and_negation_work_together(make):
    rules = parse_naming_rules(
        rules_with(
            when={
                "dicom.SeriesDescription": {"matches": r"^study_(?P<what>\w+?)_"},
                "image_type": {"contains": "nd"},
                "volumes": {"min": 2, "below": 20},
                "any": [{"manufacturer": ["ge", "siemens"]}, {"comments": {"exists": True}}],
                "not": {"dicom.ImageComments": {"exists": True}},
            },
            sets={
                "datatype": "func",
                "suffix": "bold",
                "RecordType": "BOLDImage",
                "entities": {"task": ["{name.task}", "{what}"], "acq": "{voxel_max}mm"},
                "metadata": {"TaskDescription": "Looks at {what}", "NumberOfVolumesDiscardedByUser": 2},
            },
        )
    )
    naming, _ = rules.decide(make("study_faces_1", shape=(64, 64, 30, 10)))
    assert naming.entities == {"task": "faces", "acq": "20mm"}
    assert naming.metadata == {"TaskDescription": "Looks at faces", "NumberOfVolumesDiscardedByUser": 2}
    for shape in ((64, 64, 30), (64, 64, 30, 20)):
        assert rules.decide(make("study_faces_1", shape=shape))[0].code == "UNCLASSIFIED"
    assert (
        rules.decide(make("study_faces_1", shape=(64, 64, 30, 10), header={"ImageComments": "x"}))[0].code
        == "UNCLASSIFIED"
    )


def test_a_rule_can_keep_a_series_out_with_a_code(make, name, rules):
    from heartbrain_ingest.bids.session import name_session  # noqa: PLC0415

    own = parse_naming_rules(rules_with(sets={"ignore": "NOT_MR_IMAGE"}))
    (image,) = name_session([make("mine")], own, subject="X", session="Y")
    assert image.path is None
    assert image.naming.ignored
    assert image.naming.code == "NOT_MR_IMAGE"


def test_labels_hold_letters_and_digits_only(make, name):
    image = name([make("Ünbekanntes_Protokoll (neu)")])["1/1"]
    assert image.path.name == "sub-K7Q2ABCD_ses-20230504_desc-nbekanntesprotokollneu_unclassified"
