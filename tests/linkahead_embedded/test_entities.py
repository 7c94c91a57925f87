"""What the official client writes, reads, changes and deletes."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from linkahead.exceptions import (
    EntityDoesNotExistError,
    EntityHasNoDatatypeError,
    TransactionError,
    UniqueNamesError,
    UnqualifiedParentsError,
    UnqualifiedPropertiesError,
)

from tests.linkahead_embedded.conftest import Site

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def refused(transaction: Any) -> TransactionError:
    with pytest.raises(TransactionError) as refusal:
        transaction()
    return refusal.value


@pytest.fixture
def model(client: Any) -> Any:
    client.Container().extend(
        [
            client.Property("text", datatype=client.TEXT, description="a text"),
            client.Property("whole", datatype=client.INTEGER),
            client.Property("real", datatype=client.DOUBLE, unit="mm"),
            client.Property("flag", datatype=client.BOOLEAN),
            client.Property("when", datatype=client.DATETIME),
            client.Property("texts", datatype=client.LIST(client.TEXT)),
            client.Property("reals", datatype=client.LIST(client.DOUBLE)),
            client.Property("related", datatype=client.REFERENCE),
            client.Property("document", datatype=client.FILE),
            client.RecordType("Thing"),
            client.RecordType("Person"),
        ]
    ).insert()
    return client


def round_trip(client: Any, **values: Any) -> dict[str, Any]:
    record = client.Record().add_parent("Thing")
    for name, value in values.items():
        record.add_property(name, value)
    record.insert()
    stored = client.Record(id=record.id).retrieve()
    return {prop.name: prop.value for prop in stored.properties}


def test_values_of_every_datatype_come_back_as_they_were_written(model: Any) -> None:
    written = {
        "text": 'Grüße, "x" <&> \' \\ *',
        "whole": -(2**40),
        "real": 1e-07,
        "flag": True,
        "when": "2020-01-02T03:04:05.678+0100",
        "texts": ["a", "", None, "ä"],
        "reals": [1.0, 2.5],
    }
    assert round_trip(model, **written) == written


def test_dates_keep_the_form_in_which_they_were_written(model: Any) -> None:
    for text in ("2020", "2020-05", "2020-05-06", "2020-05-06 07:08:09", "2020-05-06T07:08:09.123456789Z"):
        assert round_trip(model, when=text) == {"when": text}
    assert round_trip(model, when=date(2020, 1, 2)) == {"when": "2020-01-02"}
    assert round_trip(model, when=datetime(2020, 1, 2, 3, 4, 5, 678, tzinfo=UTC)) == {
        "when": "2020-01-02 03:04:05.000678+00:00"
    }


def test_numbers_that_are_none_or_endless_survive(model: Any) -> None:
    assert math.isnan(round_trip(model, real=float("nan"))["real"])
    assert round_trip(model, real=float("-inf")) == {"real": float("-inf")}
    assert round_trip(model, real=5) == {"real": 5.0}
    back = round_trip(model, reals=[float("nan"), 1.0])["reals"]
    assert math.isnan(back[0])
    assert back[1] == 1.0


def test_null_and_the_empty_text_are_two_things(model: Any) -> None:
    assert round_trip(model, text=None, whole=None, texts=[]) == {"text": None, "whole": None, "texts": None}
    assert round_trip(model, text="") == {"text": ""}


def test_a_property_is_completed_from_its_abstract_property(model: Any) -> None:
    record = model.Record("r").add_parent("Thing").add_property("real", 1).insert()
    prop = record.get_property("real")
    assert (prop.datatype, prop.unit, prop.id) == ("DOUBLE", "mm", model.Property("real").retrieve().id)
    assert (
        model.Record("q").add_parent("Thing").add_property("text", "x").insert().get_property("text").description
        == "a text"
    )


def test_what_a_record_says_itself_about_a_property_wins(model: Any) -> None:
    record = model.Record("r").add_parent("Thing").add_property("real", 1, unit="cm").insert()
    assert record.retrieve().get_property("real").unit == "cm"


def test_a_batch_may_refer_to_itself_in_any_order(client: Any) -> None:
    prop = client.Property("size", datatype=client.DOUBLE)
    sub, base = client.RecordType("Sub"), client.RecordType("Base")
    sub.add_parent(base)
    base.add_property(prop)
    first, second = client.Record("first").add_parent(sub), client.Record("second").add_parent(sub)
    first.add_property(base, second, datatype=client.LIST(base))
    second.add_property("size", 2)
    client.Container().extend([first, second, sub, base, prop]).insert()
    assert client.Record("first").retrieve().get_property("Base").value == [second.id]
    assert client.Record("first").retrieve().get_property("Base").datatype == "LIST<Base>"


def test_types_inherit_by_importance(client: Any) -> None:
    for name in ("a", "b", "c", "d"):
        client.Property(name, datatype=client.TEXT).insert()
    base = client.RecordType("Base")
    for name, importance in zip(
        "abcd", (client.OBLIGATORY, client.RECOMMENDED, client.SUGGESTED, client.FIX), strict=True
    ):
        base.add_property(name, importance=importance)
    base.insert()

    def inherited(flag: Any) -> str:
        child = client.RecordType(f"child of {flag}").add_parent("Base", inheritance=flag).insert()
        return "".join(prop.name for prop in child.properties)

    assert inherited(client.ALL) == "abc"
    assert inherited(client.SUGGESTED) == "abc"
    assert inherited(client.RECOMMENDED) == "ab"
    assert inherited(client.OBLIGATORY) == "a"
    assert inherited(client.NONE) == ""


def test_an_inherited_property_that_is_removed_stays_removed(client: Any) -> None:
    client.Property("a", datatype=client.TEXT).insert()
    client.RecordType("Base").add_property("a", importance=client.OBLIGATORY).insert()
    child = client.RecordType("Child").add_parent("Base", inheritance=client.OBLIGATORY).insert()
    child = client.RecordType("Child").retrieve()
    child.remove_property("a")
    child.update()
    assert [prop.name for prop in client.RecordType("Child").retrieve().properties] == []


def test_a_record_without_an_obligatory_property_is_refused_unless_the_request_says_otherwise(client: Any) -> None:
    client.Property("a", datatype=client.TEXT).insert()
    client.RecordType("Base").add_property("a", importance=client.OBLIGATORY).insert()
    client.RecordType("Sub").add_parent("Base", inheritance=client.NONE).insert()
    error = refused(lambda: client.Record("r").add_parent("Sub").insert())
    assert "obligatory property is missing: 'a'" in str(error)
    assert client.execute_query("COUNT Base") == 0
    client.Record("r").add_parent("Sub").insert(flags={"force-missing-obligatory": "ignore"})
    warned = client.Record("s").add_parent("Sub").insert(flags={"force-missing-obligatory": "warn"})
    assert ["obligatory" in str(message) for message in warned.get_warnings()] == [True]


def test_a_name_in_use_is_refused_whatever_its_case_or_role(model: Any) -> None:
    error = refused(lambda: model.RecordType("TEXT").insert())
    assert error.has_error(UniqueNamesError)
    batch = model.Container().extend(
        [model.Record("same").add_parent("Thing"), model.Record("Same").add_parent("Thing")]
    )
    assert refused(batch.insert).has_error(UniqueNamesError)
    assert model.execute_query("COUNT RECORD") == 0


def test_equal_names_are_possible_where_uniqueness_is_not_asked_for(model: Any) -> None:
    for _ in range(2):
        model.Record("same").add_parent("Thing").insert(unique=False)
    assert len(model.execute_query("FIND same")) == 2


def test_every_kind_of_wrong_reference_is_refused_and_leaves_no_trace(model: Any) -> None:
    def attempt(**values: Any) -> TransactionError:
        record = model.Record("r").add_parent("Thing")
        for name, value in values.items():
            record.add_property(name, value)
        return refused(model.Container().extend([model.Record("companion").add_parent("Thing"), record]).insert)

    assert attempt(no_such_property=1).has_error(UnqualifiedPropertiesError)
    assert attempt(no_such_property=1).has_error(EntityDoesNotExistError)
    assert attempt(related=987654).has_error(EntityDoesNotExistError)
    assert attempt(related="nobody").has_error(EntityDoesNotExistError)
    assert attempt(whole="five").has_error(UnqualifiedPropertiesError)
    assert attempt(flag="maybe").has_error(UnqualifiedPropertiesError)
    assert attempt(when="yesterday").has_error(UnqualifiedPropertiesError)
    assert attempt(when="2020-02-30").has_error(UnqualifiedPropertiesError)
    assert refused(model.Record("r").add_parent("NoType").insert).has_error(UnqualifiedParentsError)
    assert refused(model.Property("p").insert).has_error(EntityHasNoDatatypeError)
    assert model.execute_query("COUNT RECORD") == 0


def test_a_reference_must_be_of_the_type_that_the_property_wants(model: Any) -> None:
    model.Property("owner", datatype="Person").insert()
    ann = model.Record("Ann").add_parent("Person").insert()
    stone = model.Record("stone").add_parent("Thing").insert()
    model.Record("a").add_parent("Thing").add_property("owner", ann).insert()
    model.Record("b").add_parent("Thing").add_property("owner", "Ann").insert()
    assert "is no Person" in str(refused(model.Record("c").add_parent("Thing").add_property("owner", stone).insert))
    assert "is no FILE" in str(refused(model.Record("c").add_parent("Thing").add_property("document", stone).insert))


def test_parents_can_not_form_a_cycle(client: Any) -> None:
    client.Container().extend(
        [client.RecordType("A"), client.RecordType("B").add_parent("A"), client.RecordType("C").add_parent("B")]
    ).insert()
    top = client.RecordType("A").retrieve()
    top.add_parent("C")
    assert "cycle" in str(refused(top.update))
    first, second = client.RecordType("X"), client.RecordType("Y")
    first.add_parent(second)
    second.add_parent(first)
    assert "cycle" in str(refused(client.Container().extend([first, second]).insert))
    assert client.execute_query("COUNT RECORDTYPE A") == 3


def test_an_update_replaces_the_whole_state_and_makes_a_version(model: Any) -> None:
    record = (
        model.Record("r", description="old")
        .add_parent("Thing")
        .add_property("text", "x")
        .add_property("whole", 1)
        .insert()
    )
    first = record.version.id
    record = model.Record("r").retrieve()
    record.description = "new"
    record.remove_property("whole")
    record.get_property("text").value = "y"
    record.update()
    stored = model.Record("r").retrieve(flags={"history": None})
    assert (stored.description, {prop.name: prop.value for prop in stored.properties}) == ("new", {"text": "y"})
    assert [version.id for version in stored.version.predecessors] == [first]
    assert stored.version.is_head


def test_an_old_version_is_retrieved_by_its_id(model: Any) -> None:
    record = model.Record("r").add_parent("Thing").add_property("text", "x").insert()
    first = record.version.id
    record.get_property("text").value = "y"
    record.update()
    for version in (first, "HEAD~1"):
        answer = model.get_connection().retrieve(["Entity", f"{record.id}@{version}"]).read().decode()
        assert ">x</Property>" in answer
        assert 'head="true"' not in answer


def test_an_update_that_changes_nothing_keeps_the_version(model: Any) -> None:
    record = model.Record("r").add_parent("Thing").add_property("text", "x").insert()
    version = record.version.id
    model.Record("r").retrieve().update()
    assert model.Record("r").retrieve().version.id == version


def test_renaming_a_type_shows_wherever_it_is_used(model: Any) -> None:
    model.Property("owner", datatype="Person").insert()
    ann = model.Record("Ann").add_parent("Person").insert()
    model.Record("a").add_parent("Thing").add_property("owner", ann).insert()
    person = model.RecordType("Person").retrieve()
    person.name = "Human"
    person.update()
    assert [parent.name for parent in model.Record("Ann").retrieve().parents] == ["Human"]
    assert model.Record("a").retrieve().get_property("owner").datatype == "Human"
    assert model.Property("owner").retrieve().datatype == "Human"
    assert {entity.name for entity in model.execute_query("FIND Human")} == {"Ann"}


def test_moving_a_type_below_another_moves_its_records_in_queries(model: Any) -> None:
    model.Record("Ann").add_parent("Person").insert()
    person = model.RecordType("Person").retrieve()
    person.add_parent("Thing")
    person.update()
    assert {entity.name for entity in model.execute_query("FIND Thing")} == {"Ann"}
    person.remove_parent("Thing")
    person.update()
    assert model.execute_query("COUNT Thing") == 0


def test_what_is_still_used_can_not_be_deleted_but_all_of_it_together_can(model: Any) -> None:
    model.Property("owner", datatype="Person").insert()
    ann = model.Record("Ann").add_parent("Person").insert()
    thing = model.Record("a").add_parent("Thing").add_property("owner", ann).insert()
    for used in (model.RecordType("Person"), model.Property("owner"), model.Record("Ann")):
        assert "still required" in str(refused(used.retrieve().delete))
    model.Container().extend([thing, ann, model.Property("owner").retrieve()]).delete()
    model.RecordType("Person").retrieve().delete()
    assert model.execute_query("COUNT RECORD") == 0


def test_deleting_something_unknown_deletes_nothing(model: Any) -> None:
    record = model.Record("a").add_parent("Thing").insert()
    batch = model.Container().extend([model.Record(id=record.id), model.Record(id=987654)])
    assert refused(batch.delete).has_error(EntityDoesNotExistError)
    assert model.execute_query("COUNT Thing") == 1


def test_missing_entities_come_back_with_an_error_beside_those_that_exist(model: Any) -> None:
    container = model.Container().extend([model.Property(name="text"), model.Property(name="nix")])
    found = container.retrieve(raise_exception_on_error=False, sync=False)
    assert {entity.name: entity.is_valid() for entity in found} == {"text": True, "nix": False}
    assert refused(lambda: model.Record(id=987654).retrieve()).has_error(EntityDoesNotExistError)


def test_internal_properties_are_there_and_can_not_be_changed(client: Any) -> None:
    for name in ("name", "description", "unit"):
        internal = client.Property(name=name).retrieve()
        assert internal.id < 100
        assert internal.datatype == "TEXT"
    internal.description = "mine"
    assert "Internal" in str(refused(internal.update))
    assert "Internal" in str(refused(internal.delete))


def test_info_names_the_user_and_counts(model: Any) -> None:
    info = model.Info()
    assert info.user_info.name == "tester"
    assert info.user_info.roles == ["administration"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the client leaves the file open
def test_an_uploaded_file_comes_back_byte_for_byte(site: Site, tmp_path: Path) -> None:
    client = site.client
    source = tmp_path / "süß €.bin"
    content = bytes(range(256)) * 5000
    source.write_bytes(content)
    client.RecordType("Thing").insert()
    stored = (
        client.File("ein Näme", path="/größe/ä b.bin", file=str(source), description="çdé" * 50)
        .add_parent("Thing")
        .insert()
    )
    assert stored.size == len(content)
    again = client.execute_query("FIND FILE WHICH IS STORED AT '/größe/ä b.bin'", unique=True)
    target = tmp_path / "down.bin"
    assert Path(again.download(str(target))).read_bytes() == content
    assert again.description == "çdé" * 50
    moved = client.File(id=stored.id).retrieve()
    moved.path = "/elsewhere.bin"
    moved.update()
    assert Path(moved.download(str(target))).read_bytes() == content
    moved.delete()
    assert client.execute_query("COUNT FILE") == 0


def test_a_file_is_linked_in_place_and_never_out_of_the_root(site: Site, tmp_path: Path) -> None:
    client = site.client
    (site.root / "sub").mkdir()
    (site.root / "sub" / "a.txt").write_text("hello", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (site.root / "way_out").symlink_to(tmp_path)
    linked = client.File(path="/sub/a.txt").insert()
    assert linked.size == 5
    assert linked.checksum.startswith("9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca7")
    assert Path(linked.download(str(tmp_path / "x"))).read_text(encoding="utf-8") == "hello"
    for path in ("/sub/../../secret.txt", "/../secret.txt", "/way_out/secret.txt", "/sub", "/none", "", "/"):
        assert refused(client.File(path=path).insert).code == 12
    assert "already exists" in str(refused(client.File(path="/sub/a.txt").insert))
    linked.delete()
    assert (site.root / "sub" / "a.txt").exists()
