"""Names, parameters and documents that an attacker may have written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hpc_bridge.errors import CatalogueError, DocumentError, ParameterError, RefusedError
from hpc_bridge.protocol import EventRecord, JobSpec, State, check_schema, fill, keys
from hpc_bridge.protocol.documents import MAX_INPUTS, ScaledAmount
from hpc_bridge.wrapper import is_plain
from tests.hpc_bridge.stores import make_spec

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HASH = "0" * 64
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "threshold": {"type": "number", "minimum": 0, "exclusiveMaximum": 3000, "unit": "s/mm²", "default": 200},
        "model": {"type": "string", "enum": ["segmented", "full"]},
        "label": {"type": "string", "maxLength": 40},
        "steps": {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 3, "uniqueItems": True},
        "fast": {"type": "boolean"},
    },
    "required": ["model"],
}


REFUSED_NAMES = [
    "", "/etc/passwd", "..", "../x", "a/../b", "a//b", "a/", "./a", "a\x00b", "a\nb", "a\\b", "~/x", "~root", "x" * 201,
    "/".join(["d"] * 17), "a/" * 300 + "b", "\u202etxt", "a\udc80",
]  # fmt: skip
PLAIN_NAMES = ["a", "sub-1/dwi/x.nii.gz", "ü b.txt", "-rf", ".hidden", "..a", "$(id)"]


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_a_name_that_is_no_plain_relative_path_is_refused(name: str) -> None:
    with pytest.raises(RefusedError):
        keys.plain_name(name)


@pytest.mark.parametrize("name", [*REFUSED_NAMES, *PLAIN_NAMES])
def test_the_wrapper_knows_which_names_are_refused(name: str) -> None:
    assert is_plain(name) is (name in PLAIN_NAMES)


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_a_plain_name_is_taken_as_it_is(name: str) -> None:
    assert keys.plain_name(name) == name


def test_more_inputs_than_the_limit_are_refused() -> None:
    entries = [{"name": f"f{index}", "size": 0, "sha256": HASH} for index in range(MAX_INPUTS + 1)]
    with pytest.raises(DocumentError, match="inputs"):
        JobSpec.from_dict({**make_spec(NOW).to_dict(), "inputs": entries})


@pytest.mark.parametrize("names", [["a", "a"], ["a", "a/b"]])
def test_inputs_that_would_lie_on_each_other_are_refused(names: list[str]) -> None:
    entries = [{"name": name, "size": 0, "sha256": HASH} for name in names]
    with pytest.raises(DocumentError):
        JobSpec.from_dict({**make_spec(NOW).to_dict(), "inputs": entries})


@pytest.mark.parametrize(
    ("field", "value"),
    [("function", "../evil"), ("function", "a\n"), ("version", "1;rm"), ("job", "x"), ("agent", "A B"),
     ("script", "rm"), ("image", "x.sif"), ("nonce", "1"), ("created", "2026-03-01T12:00:00"), ("callback", "x" * 501)],
)  # fmt: skip
def test_a_specification_cannot_hold_what_it_may_not_say(field: str, value: str) -> None:
    with pytest.raises(DocumentError):
        JobSpec.from_dict({**make_spec(NOW).to_dict(), field: value})


def test_a_refused_document_does_not_repeat_its_values() -> None:
    with pytest.raises(DocumentError) as caught:
        JobSpec.from_dict({**make_spec(NOW).to_dict(), "version": "Erika Mustermann"})
    assert "Erika" not in str(caught.value)


def test_an_event_names_state_and_time_in_full() -> None:
    record = EventRecord(
        job=keys.job_name("s", "r", 1),
        number=1,
        event="ask",
        state="new",
        side="rdm",
        writer="x",
        nonce="0" * 32,
        time=NOW,
    )
    assert record.to_dict()["time"] == "2026-03-01T12:00:00Z"
    assert EventRecord.from_bytes(record.to_bytes()) == record


def test_job_names_tell_nothing_and_differ_by_attempt() -> None:
    names = {keys.job_name("site", "request-17", attempt) for attempt in range(5)}
    assert len(names) == 5
    assert all(keys.JOB.fullmatch(name) and "17" not in name[:3] for name in names)


def test_keys_below_open_are_read_back() -> None:
    job = keys.job_name("s", "r", 1)
    assert keys.parse_open(keys.event(job, 7)) == (job, 7, None)
    assert keys.parse_open(keys.hint(job, 7, State.RUNNING)) == (job, 7, State.RUNNING)
    assert keys.parse_open(keys.cancel(job)) == (job, None, None)
    for other in (
        "open/x/0001",
        f"open/{job}/1",
        f"open/{job}/0001.nonsense",
        f"open/{job}/0001/x",
        "open/probe-x/twice",
    ):
        assert keys.parse_open(other) is None


def test_parameters_get_their_defaults() -> None:
    assert fill({"model": "full"}, SCHEMA) == {"model": "full", "threshold": 200}


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"model": "other"},
        {"model": "full", "extra": 1},
        {"model": "full", "threshold": "1"},
        {"model": "full", "threshold": True},
        {"model": "full", "threshold": -1},
        {"model": "full", "threshold": 3000},
        {"model": "full", "threshold": float("inf")},
        {"model": "full", "label": "x" * 41},
        {"model": "full", "label": "x" * 10_000_000},
        {"model": "full", "label": "a\x00b"},
        {"model": "full", "steps": [1, 1]},
        {"model": "full", "steps": [0]},
        {"model": "full", "steps": [1, 2, 3, 4]},
        {"model": "full", "steps": 1.0},
        {"model": "full", "fast": 1},
        {"model": ["full"]},
    ],
)
def test_parameters_that_do_not_fit_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as caught:
        fill(parameters, SCHEMA)
    assert len(str(caught.value)) < 400


def test_the_unit_stands_in_what_is_said_about_a_limit() -> None:
    with pytest.raises(ParameterError, match="at least 0 s/mm²"):
        fill({"model": "full", "threshold": -1}, SCHEMA)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": True},
        {"type": "object", "properties": {"a b": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "string", "format": "uri"}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}},
        {"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}},
        {"type": "object", "required": ["a"]},
        {"type": ["string", "null"]},
        {"type": "array"},
        {"$ref": "#"},
    ],
)
def test_a_schema_that_says_more_than_is_understood_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(CatalogueError):
        check_schema(schema)


def test_resources_grow_with_the_input_up_to_a_limit() -> None:
    amount = ScaledAmount(base=10, per_gb=5, per_file=1, at_most=40)
    assert amount.amount(2_000_000_000, 3) == 23
    assert amount.amount(20_000_000_000, 3) == 40
