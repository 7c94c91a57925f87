"""What BIDS asks for is read from its schema."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbrain_ingest.bids.expressions import NotKnownError, Partial, evaluate
from heartbrain_ingest.bids.schema import conforms, load_schema

CONTEXT = {
    "suffix": "bold",
    "extension": ".nii.gz",
    "sidecar": {"EchoTime": 0.03, "SliceTiming": [0.0, 0.5], "PhaseEncodingDirection": "j-"},
    "associations": {},
    "nifti_header": Partial(dim=[4, 64, 64, 30, 100, 1, 1, 1]),
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('suffix == "bold"', True),
        ("suffix != 'bold'", False),
        ("match(extension, '\\.nii(\\.gz)?$')", True),
        ('!("IntendedFor" in sidecar)', True),
        ('type(sidecar.VolumeTiming) == "null"', True),
        ("sidecar.TotalReadoutTime ||\nsidecar.EffectiveEchoSpacing\n", None),
        ('"bval" in associations && suffix == "dwi"', False),
        ("nifti_header.dim[0] == 4", True),
        ("nifti_header.dim[index(['i', 'j', 'k'], sidecar.PhaseEncodingDirection[0]) + 1]", 64),
        ("max(sidecar.SliceTiming) <= 0.5", True),
        ("length(sidecar.SliceTiming) == nifti_header.dim[3]", False),
        ("sidecar.EchoTime2 - sidecar.EchoTime1 >= 0.0001", False),
        ("intersects([suffix], ['dwi', 'epi'])", False),
        ("allequal(sorted(sidecar.SliceTiming), sidecar.SliceTiming)", True),
    ],
)
def test_an_expression_of_the_schema_has_its_value(expression, value):
    assert evaluate(expression, CONTEXT) == value


@pytest.mark.parametrize(
    "expression", ["nifti_header.pixdim[4] > 1", "dataset.datatypes", "exists(sidecar.X, 'subject')", "1 +"]
)
def test_what_naming_can_not_know_is_neither_true_nor_false(expression):
    with pytest.raises(NotKnownError):
        evaluate(expression, CONTEXT)


def test_every_selector_and_check_of_mri_can_be_read():
    unreadable = set()
    for requirement in load_schema().requirements:
        for expression in (*requirement.selectors, *requirement.checks):
            try:
                evaluate(expression, CONTEXT | {"datatype": "func", "modality": "mri", "entities": {}})
            except NotKnownError as error:
                if str(error) == expression:
                    unreadable.add(expression)
    assert unreadable == set()


@pytest.mark.parametrize(
    ("field", "value", "good"),
    [
        ("EchoTime", 0.03, True),
        ("EchoTime", 0, False),
        ("EchoTime", [0.01, 0.02], True),
        ("EchoTime", [0.01, -1], False),
        ("M0Type", "Included", True),
        ("M0Type", "included", False),
        ("BackgroundSuppression", 1, False),
        ("ReceiveCoilName", 3, False),
        ("SliceTiming", [0.0, 0.5], True),
    ],
)
def test_a_field_must_be_what_its_definition_says(field, value, good):
    from bidsschematools.schema import load_schema as load  # noqa: PLC0415

    assert conforms(value, load().to_dict()["objects"]["metadata"][field]) is good


@given(
    st.dictionaries(st.sampled_from(["run", "acq", "ce", "echo", "part", "sub", "task"]), st.text("abc123", min_size=1))
)
def test_entities_stand_in_the_order_of_bids(entities):
    order = load_schema().entity_order
    *parts, suffix = load_schema().file_name(entities, "bold").split("_")
    assert suffix == "bold"
    assert [part.partition("-")[0] for part in parts] == [entity for entity in order if entity in entities]


def test_importing_the_package_does_not_load_the_schema_or_heavy_libraries():
    code = "import json, sys, heartbrain_ingest.bids; print(json.dumps(sorted(sys.modules)))"
    loaded = set(
        json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    )
    assert not loaded & {"bidsschematools", "bids", "pandas", "numpy", "nibabel", "pydicom"}
