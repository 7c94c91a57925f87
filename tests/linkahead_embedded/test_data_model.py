from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from caosadvancedtools.models.parser import parse_model_from_string, parse_model_from_yaml

MODEL = """
Person:
  description: a person
  obligatory_properties:
    first_name: {datatype: TEXT, description: given name}
  suggested_properties:
    email: {datatype: TEXT}
length: {datatype: DOUBLE, unit: mm, description: how long}
Base:
  recommended_properties:
    length:
Experiment:
  description: what was done
  inherit_from_suggested: [Base]
  obligatory_properties:
    date: {datatype: DATETIME}
  recommended_properties:
    Person: {datatype: LIST<Person>}
    supervisor: {datatype: Person}
    tags: {datatype: LIST<TEXT>}
    raw_data: {datatype: LIST<FILE>}
    valid: {datatype: BOOLEAN}
"""

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def versions(client: Any) -> dict[str, str]:
    return {entity.name: entity.version.id for entity in client.execute_query("FIND ENTITY WITH ID > 99")}


def test_a_second_sync_of_the_same_model_changes_nothing(client: Any) -> None:
    parse_model_from_string(MODEL).sync_data_model(noquestion=True, verbose=False)
    before = versions(client)
    assert set(before) == {
        "Person", "first_name", "email", "length", "Base", "Experiment",
        "date", "supervisor", "tags", "raw_data", "valid",
    }  # fmt: skip
    model = parse_model_from_string(MODEL)
    model.sync_data_model(noquestion=True, verbose=False)
    assert versions(client) == before


def test_a_changed_description_reaches_the_property_and_the_types_that_have_it(client: Any) -> None:
    parse_model_from_string(MODEL).sync_data_model(noquestion=True, verbose=False)
    before = versions(client)
    parse_model_from_string(MODEL.replace("given name", "the first of the names")).sync_data_model(
        noquestion=True, verbose=False
    )
    after = versions(client)
    assert {name for name in before if before[name] != after[name]} == {"first_name", "Person"}
    person = client.execute_query("FIND RECORDTYPE Person", unique=True)
    assert person.get_property("first_name").description == "the first of the names"
    assert client.execute_query("FIND PROPERTY first_name", unique=True).description == "the first of the names"


def test_types_inherit_the_properties_their_flag_asks_for(client: Any) -> None:
    parse_model_from_string(MODEL).sync_data_model(noquestion=True, verbose=False)
    experiment = client.execute_query("FIND RECORDTYPE Experiment", unique=True)
    assert [parent.name for parent in experiment.parents] == ["Base"]
    length = experiment.get_property("length")
    assert (length.datatype, length.unit, length.description) == ("DOUBLE", "mm", "how long")
    assert experiment.get_importance("length") == "RECOMMENDED"
    assert experiment.get_importance("date") == "OBLIGATORY"
    assert experiment.get_property("Person").datatype == "LIST<Person>"


def test_the_models_of_this_project_sync_twice_without_a_change(client: Any, project_root: Path) -> None:
    path = project_root / "crawler_config" / "datamodel.yml"
    parse_model_from_yaml(str(path)).sync_data_model(noquestion=True, verbose=False)
    before = versions(client)
    parse_model_from_yaml(str(path)).sync_data_model(noquestion=True, verbose=False)
    assert versions(client) == before


def test_extern_types_are_taken_from_the_server(client: Any) -> None:
    client.RecordType(name="Existing").insert()
    model = parse_model_from_string(
        "extern: [Existing, name, description, unit]\n"
        "New:\n  recommended_properties:\n    Existing: {datatype: LIST<Existing>}\n"
    )
    model.sync_data_model(noquestion=True, verbose=False)
    assert (
        client.execute_query("FIND RECORDTYPE New", unique=True).get_property("Existing").datatype == "LIST<Existing>"
    )
