"""What a site knows of its protocols and no header tells goes into the sidecar, and never against the header."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from heartbrain_ingest.bids.model import Candidate, NamedImage
from heartbrain_ingest.bids.rules import NamingRules, parse_naming_rules
from heartbrain_ingest.bids.session import name_session
from heartbrain_ingest.bids.statements import parse_statements
from heartbrain_ingest.errors import RulesError
from tests.bids.conftest import Make

AP = {"id": "site-dwi-ap", "when": {"words": {"matches": r"\bdwi\b"}}, "sidecar": {"PhaseEncodingDirection": "j-"}}
AXIAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def philips(make: Make, **sidecar: Any) -> Candidate:
    """Make a diffusion series of a scanner that tells the axis of phase encoding and not its polarity."""
    known = {"PhaseEncodingAxis": "j", "Manufacturer": "Philips", "ImageOrientationPatientDICOM": AXIAL}
    return make(
        "DWI",
        header={"Manufacturer": "Philips"},
        sidecar={**known, **sidecar},
        shape=(64, 64, 30, 7),
        b_values=(0, 50, 200, 400, 600, 800, 1000),
    )


def named(candidate: Candidate, rules: NamingRules, *statements: dict[str, Any]) -> NamedImage:
    rules = replace(rules, statements=parse_statements(list(statements), "rules"))
    (image,) = name_session([candidate], rules, subject="K7Q2ABCD", session="20230504")
    return image


def test_without_a_statement_nothing_is_said_of_a_polarity_that_no_header_tells(make: Make, rules: NamingRules) -> None:
    image = named(philips(make), rules)
    assert "PhaseEncodingDirection" not in image.metadata
    assert "StatedBy" not in image.metadata


def test_a_statement_fills_the_field_names_itself_and_decides_the_name(make: Make, rules: NamingRules) -> None:
    image = named(philips(make), rules, AP)
    assert (image.metadata["PhaseEncodingDirection"], image.metadata["StatedBy"]) == ("j-", ["site-dwi-ap"])
    assert image.path is not None
    assert "_dir-AP_" in image.path.name
    assert image.notes == ()


def test_of_two_statements_about_a_field_the_first_counts_and_others_add_theirs(make: Make, rules: NamingRules) -> None:
    other = {**AP, "id": "all-dwi", "sidecar": {"PhaseEncodingDirection": "j", "TotalReadoutTime": 0.0432}}
    image = named(philips(make), rules, AP, other)
    assert image.metadata["PhaseEncodingDirection"] == "j-"
    assert image.metadata["TotalReadoutTime"] == 0.0432
    assert image.metadata["StatedBy"] == ["site-dwi-ap", "all-dwi"]


@pytest.mark.parametrize("told", [{"PhaseEncodingDirection": "j"}, {"PhaseEncodingAxis": "i"}])
def test_what_the_scanner_wrote_stands_and_the_contradiction_has_a_code(
    make: Make, rules: NamingRules, told: dict[str, str]
) -> None:
    image = named(philips(make, **told), rules, AP)
    assert image.notes == ("STATEMENT_CONTRADICTED",)
    assert "PhaseEncodingDirection" not in image.metadata


def test_what_the_scanner_tells_too_is_not_said_twice(make: Make, rules: NamingRules) -> None:
    image = named(philips(make, PhaseEncodingDirection="j-"), rules, AP)
    assert ("StatedBy" in image.metadata, image.notes) == (False, ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sidecar": {"PhaseEncodingDirection": "AP"}}, "does not allow 'AP'; allowed are i, i-, j, j-, k, k-"),
        ({"sidecar": {"PhaseEncodingDirecton": "j-"}}, "no such field.*PhaseEncodingDirection"),
        ({"sidecar": {"TotalReadoutTime": "long"}}, "TotalReadoutTime: BIDS does not allow 'long'"),
        ({"sidecar": {}}, "expected field: value"),
        ({"sidecars": {}}, "unknown key 'sidecars'"),
        ({"when": {"word": "dwi"}}, "words"),
    ],
)
def test_a_statement_that_bids_does_not_allow_is_refused_when_the_file_is_read(
    change: dict[str, Any], message: str
) -> None:
    data = {"record_types": [], "rules": [], "statements": [{**AP, **change}]}
    with pytest.raises(RulesError, match=message):
        parse_naming_rules(data)


def test_two_statements_of_one_name_are_refused() -> None:
    with pytest.raises(RulesError, match="two statements have the id 'site-dwi-ap'"):
        parse_naming_rules({"record_types": [], "rules": [], "statements": [AP, AP]})
