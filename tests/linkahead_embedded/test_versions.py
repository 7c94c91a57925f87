"""ANY VERSION OF, on a sample that was heavy, then light, then renamed."""

from __future__ import annotations

from typing import Any

import pytest

from linkahead_embedded.lql.parser import parse
from linkahead_embedded.lql.planner import Planner
from linkahead_embedded.lql.versions import all_versions
from linkahead_embedded.storage import Database
from tests.linkahead_embedded.conftest import Site

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def samples(client: Any) -> dict[str, int]:
    client.Container().extend(
        [
            client.RecordType("Person"),
            client.RecordType("Sample"),
            client.Property("mass", datatype=client.DOUBLE, unit="g"),
            client.Property("colour", datatype=client.TEXT),
            client.Property("owner", datatype="Person"),
        ]
    ).insert()
    ann = client.Record("Ann").add_parent("Person").insert()
    bob = client.Record("Bob").add_parent("Person").insert()
    first = client.Record("first").add_parent("Sample").add_property("mass", 10).add_property("colour", "red")
    first.add_property("owner", ann).insert()
    second = client.Record("second").add_parent("Sample").add_property("mass", 2).insert()
    first.get_property("mass").value = 1
    first.get_property("owner").value = bob.id
    first.update()
    first.name = "renamed"
    first.remove_property("colour")
    first.update()
    return {"first": first.id, "second": second.id, "ann": ann.id, "bob": bob.id}


def found(client: Any, query: str) -> list[tuple[int, str]]:
    return [(one.id, one.name) for one in client.execute_query(query)]


def test_without_any_version_only_the_present_counts(client: Any, samples: dict[str, int]) -> None:
    assert found(client, "FIND Sample WITH mass=10") == []
    assert found(client, "FIND RECORD WITH name=first") == []


def test_each_version_that_matches_is_found_with_the_id_of_its_entity(client: Any, samples: dict[str, int]) -> None:
    first, second = samples["first"], samples["second"]
    assert found(client, "FIND ANY VERSION OF Sample") == [
        (first, "first"),
        (first, "first"),
        (first, "renamed"),
        (second, "second"),
    ]
    assert found(client, "FIND ANY VERSION OF Sample WITH mass=10") == [(first, "first")]
    assert found(client, "FIND ANY VERSION OF RECORD WITH name=first") == [(first, "first")] * 2
    assert found(client, "FIND ANY VERSION OF Sample WITH mass<5 g") == [
        (first, "first"),
        (first, "renamed"),
        (second, "second"),
    ]
    assert client.execute_query("COUNT ANY VERSION OF Sample WITH colour=red") == 2


def test_conditions_have_to_hold_for_one_and_the_same_version(client: Any, samples: dict[str, int]) -> None:
    assert found(client, "FIND ANY VERSION OF Sample WITH mass=10 AND name=renamed") == []
    assert found(client, "FIND ANY VERSION OF Sample WITH mass=1 AND NOT colour") == [(samples["first"], "renamed")]


def test_references_of_the_past_are_followed(client: Any, samples: dict[str, int]) -> None:
    first = samples["first"]
    assert found(client, "FIND ANY VERSION OF Sample WHICH REFERENCES Ann") == [(first, "first")]
    assert found(client, "FIND ANY VERSION OF Sample WITH owner=Bob") == [(first, "first"), (first, "renamed")]
    assert found(client, "FIND ANY VERSION OF Person WHICH IS REFERENCED BY Sample") == [
        (samples["ann"], "Ann"),
        (samples["bob"], "Bob"),
    ]
    assert found(client, "FIND Person WHICH IS REFERENCED BY Sample") == [(samples["bob"], "Bob")]


def test_an_archived_version_says_which_one_it_is(client: Any, samples: dict[str, int]) -> None:
    heavy = client.execute_query("FIND ANY VERSION OF Sample WITH mass=10", unique=True)
    assert not heavy.version.is_head
    assert heavy.get_property("mass").value == 10
    present = client.Record(id=samples["first"]).retrieve()
    assert present.version.is_head
    assert heavy.version.id != present.version.id
    again = client.get_connection().retrieve(["Entity", f"{samples['first']}@{heavy.version.id}"]).read()
    assert b">10.0</Property>" in again


def test_columns_and_pages_of_versions(client: Any, samples: dict[str, int]) -> None:
    rows = client.execute_query("SELECT mass FROM ANY VERSION OF Sample")
    assert [one.get_property("mass").value for one in rows] == [10, 1, 1, 2]
    pages = client.execute_query("FIND ANY VERSION OF Sample", page_length=3)
    assert [[one.name for one in page] for page in pages] == [["first", "first", "renamed"], ["second"]]


def test_a_query_for_all_versions_leaves_no_trace_on_the_next(client: Any, samples: dict[str, int]) -> None:
    for _ in range(2):
        assert client.execute_query("COUNT ANY VERSION OF Sample") == 4
        assert client.execute_query("COUNT Sample") == 2
    client.Record("third").add_parent("Sample").insert()
    client.Record(id=samples["first"]).delete()
    assert found(client, "FIND ANY VERSION OF Sample WITH mass=10") == []


@pytest.mark.parametrize(
    "condition", ["colour=red", "mass=10", "colour LIKE 're*'", "name=first", "mass=10 AND colour=red", "owner IS NULL"]
)
def test_versions_are_looked_up_in_indexes(site: Site, samples: dict[str, int], condition: str) -> None:
    database = Database(site.database)
    with database.read() as connection, all_versions(connection):
        plan = Planner(connection, "tester").plan(parse(f"FIND ANY VERSION OF Sample WITH {condition}"))
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {plan.text}", plan.parameters)]
    database.close()
    assert any("old_" in step for step in steps)
    assert [step for step in steps if step.startswith(("SCAN main.", "MATERIALIZE")) or "AUTOMATIC" in step] == []
