"""Every module of the official client that talks to a server, through its public functions and commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import linkahead as db
import pytest
from linkahead import administration as admin
from linkahead import apiutils, cached, high_level_api
from linkahead.common.models import get_global_acl, get_known_permissions
from linkahead.exceptions import (
    EmptyUniqueQueryError,
    EntityDoesNotExistError,
    HTTPResourceNotFoundError,
    LinkAheadException,
    LoginFailedError,
    PagingConsistencyError,
    QueryNotUniqueError,
    TransactionError,
)
from linkahead.queries import ClientQueryCache, find_paginated, query_from
from linkahead.utils import create_revision, linkahead_admin, plantuml, register_tests, reset_override
from linkahead.utils.get_entity import get_entity_by_id, get_entity_by_name, get_entity_by_path

from tests.linkahead_embedded.conftest import Site, serving

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the client leaves files open
]


@pytest.fixture
def museum(client: Any) -> dict[str, int]:
    return fill()


def fill() -> dict[str, int]:
    """Two people, two instruments, their types; ids by name."""
    types = db.Container()
    person = db.RecordType("Person", description="somebody")
    instrument = db.RecordType("Instrument").add_property("year").add_property("owner")
    guitar = db.RecordType("Guitar").add_parent("Instrument", inheritance=db.SUGGESTED)
    types.extend(
        [
            db.Property("year", datatype=db.INTEGER, description="of making"),
            db.Property("weight", datatype=db.DOUBLE, unit="kg"),
            db.Property("owner", datatype="Person"),
            db.Property("tags", datatype=db.LIST(db.TEXT)),
            person,
            instrument,
            guitar,
        ]
    )
    types.insert()
    ann, bob = db.Record("Ann").add_parent("Person"), db.Record("Bob").add_parent("Person")
    les_paul = db.Record("Les Paul").add_parent("Guitar").add_property("year", 1959).add_property("owner", ann)
    drum = db.Record("Drum").add_parent("Instrument").add_property("year", 2001).add_property("owner", bob)
    les_paul.add_property("tags", ["loud", "red"])
    db.Container().extend([ann, bob, les_paul, drum]).insert()
    return {one.name: one.id for one in (*types, ann, bob, les_paul, drum)}


def test_entities_by_their_methods(museum: dict[str, int]) -> None:
    guitar = db.Record(name="Les Paul").retrieve()
    assert guitar.id == museum["Les Paul"]
    assert guitar.has_parent(db.RecordType("Guitar", id=museum["Guitar"]))
    assert [one.name for one in guitar.get_parents_recursively()] == ["Guitar", "Instrument"]
    assert guitar.get_property_values("year") == (1959,)
    guitar.remove_value_from_property("tags", "red")
    guitar.add_property("weight", 4.5, unit="lb")
    guitar.description = "a guitar"
    guitar.update()
    again = db.Record(id=guitar.id).retrieve()
    assert again.get_property("tags").value == ["loud"]
    assert (again.get_property("weight").value, again.get_property("weight").unit) == (4.5, "lb")
    assert again.get_versionid() == guitar.get_versionid()
    again.remove_property("weight")
    again.update(strict=True)
    assert db.Record(id=guitar.id).retrieve().get_property("weight") is None
    history = db.Container().append(db.Record(id=guitar.id)).retrieve(flags={"history": None})[0]
    assert len(history.version.get_history()) == 3
    again.delete()
    assert not again.is_valid()
    with pytest.raises(TransactionError) as caught:
        db.Record(id=museum["Les Paul"]).retrieve()
    assert caught.value.has_error(EntityDoesNotExistError)


def test_copies_of_entities_are_new_ones(museum: dict[str, int]) -> None:
    copied = db.Record(name="Drum").retrieve().copy()
    copied.id, copied.name = None, "Second drum"
    copied.insert()
    assert copied.id not in museum.values()
    assert db.execute_query("COUNT Instrument WITH owner=Bob") == 2


def test_containers(museum: dict[str, int]) -> None:
    both = db.Container().extend([db.Record(name="Ann"), db.Record(name="Bob")]).retrieve()
    assert {one.id for one in both} == {museum["Ann"], museum["Bob"]}
    for one in both:
        one.description = f"this is {one.name}"
    both.update()
    assert both.get_entity_by_name("Ann").description == "this is Ann"
    assert both.get_entity_by_id(museum["Bob"]).description == "this is Bob"
    by_mix = db.Container().retrieve([museum["Ann"], "Drum"])
    assert [one.name for one in by_mix] == ["Ann", "Drum"]
    rows = db.execute_query("SELECT name, year, owner.name FROM Instrument")
    assert sorted(rows.get_property_values("name", "year", ("owner", "name"))) == [
        ("Drum", 2001, "Bob"),
        ("Les Paul", 1959, "Ann"),
    ]
    read = db.Container.from_xml(str(both))
    assert [one.id for one in read] == [one.id for one in both]
    db.Container().extend([db.Record(id=museum["Drum"]), db.Record(id=museum["Les Paul"])]).delete()
    assert db.execute_query("COUNT Instrument") == 0


def test_properties_and_types_as_entities(museum: dict[str, int]) -> None:
    weight = db.Property(name="weight").retrieve()
    assert (weight.datatype, weight.unit) == (db.DOUBLE, "kg")
    assert not weight.is_reference(server_retrieval=True)
    assert db.Property(name="owner").retrieve().is_reference(server_retrieval=True)
    weight.description = "on earth"
    weight.update()
    guitar = db.RecordType(name="Guitar").retrieve()
    assert [one.name for one in guitar.properties] == ["year", "owner"]
    assert guitar.get_importance("year") == db.RECOMMENDED
    assert db.common.datatype.get_id_of_datatype("LIST<Person>") == museum["Person"]


def test_query_templates(client: Any) -> None:
    template = db.QueryTemplate(name="Old things", query="Thing WITH year < 1960", description="before 1960")
    template.insert()
    found = db.execute_query("FIND QUERYTEMPLATE", unique=True)
    assert (found.id, found.name, found.query) == (template.id, "Old things", "Thing WITH year < 1960")
    template.query = "Thing WITH year < 1950"
    template.update()
    assert db.execute_query("FIND QUERYTEMPLATE", unique=True).query == "Thing WITH year < 1950"
    template.delete()
    assert db.execute_query("COUNT QUERYTEMPLATE") == 0


def test_queries_in_all_their_forms(museum: dict[str, int]) -> None:
    assert db.count("COUNT Instrument") == 2
    assert [one.name for one in db.find("FIND Instrument WITH year>2000")] == ["Drum"]
    assert [one.get_property("year").value for one in db.select("SELECT year FROM Guitar")] == [1959]
    assert db.execute_query("FIND Guitar", unique=True).id == museum["Les Paul"]
    with pytest.raises(EmptyUniqueQueryError):
        db.execute_query("FIND Guitar WITH year=3", unique=True)
    with pytest.raises(QueryNotUniqueError):
        db.execute_query("FIND Instrument", unique=True)
    with pytest.raises(TransactionError, match=r"[Ss]yntax"):
        db.query("FIND Guitar WITH (")
    assert db.get_entity_by(eid=museum["Ann"]).name == "Ann"
    assert db.get_entity_by(name="Les Paul").id == museum["Les Paul"]
    assert db.execute_query(query_from(eid=None, name="Ann", path=None), unique=True).id == museum["Ann"]
    request = db.Query("FIND Instrument")
    request.putFlag("cache", "false")
    assert {one.name for one in request.execute()} == {"Les Paul", "Drum"}
    assert (request.results, request.cached) == (2, False)
    assert request.etag is not None


def test_pages(museum: dict[str, int]) -> None:
    pages = list(find_paginated("FIND RECORD", page_length=3))
    assert [len(page) for page in pages] == [3, 1]
    assert sorted(one.name for page in pages for one in page) == ["Ann", "Bob", "Drum", "Les Paul"]
    assert [len(page) for page in db.execute_query("FIND RECORD", page_length=2)] == [2, 2]
    pages = db.execute_query("FIND RECORD", page_length=2)
    next(pages)
    db.Record().add_parent("Person").insert()
    with pytest.raises(PagingConsistencyError):
        next(pages)


def test_getting_one_entity(site: Site, museum: dict[str, int]) -> None:
    (site.root / "a b.txt").write_text("x", encoding="utf-8")
    stored = db.File(path="/a b.txt").insert()
    assert get_entity_by_name("Ann").id == museum["Ann"]
    assert get_entity_by_id(museum["Drum"]).name == "Drum"
    assert get_entity_by_path("/a b.txt").id == stored.id
    assert db.get_entity_by(path="/a b.txt").id == stored.id


def test_the_clients_cache(museum: dict[str, int]) -> None:
    cached.cache_clear()
    assert cached.cached_get_entity_by(name="Ann").id == museum["Ann"]
    assert cached.cached_get_entity_by(eid=museum["Bob"]).name == "Bob"
    assert len(cached.cached_query("FIND Instrument")) == 2
    hits = cached.cache_info().hits
    assert len(cached.cached_query("FIND Instrument")) == 2
    assert cached.cache_info().hits == hits + 1
    ClientQueryCache.fill({museum["Ann"]: "filled"}, kind="eid", flags={}, unique=True)
    assert cached.cached_get_entity_by(eid=museum["Bob"]).name == "Bob"
    cached.cache_clear()


def test_apiutils(museum: dict[str, int]) -> None:
    made = apiutils.new_record("Instrument", name="Flute", description="of wood", insert=True, year=1800)
    assert db.execute_query("FIND Instrument WITH year=1800", unique=True).id == made.id
    assert len(apiutils.id_query([museum["Ann"], museum["Bob"]])) == 2
    assert apiutils.get_type_of_entity_with(museum["Guitar"]) is db.RecordType
    assert apiutils.get_type_of_entity_with(museum["year"]) is db.Property
    assert apiutils.retrieve_entity_with_id(museum["Ann"]).name == "Ann"
    assert len(apiutils.retrieve_entities_with_ids(list(range(museum["Ann"], museum["Ann"] + 4)))) == 4
    first, second = db.Record(name="Drum").retrieve(), db.Record(name="Drum").retrieve()
    assert apiutils.empty_diff(first, second)
    second.get_property("year").value = 2002
    assert not apiutils.empty_diff(first, second)
    merged = apiutils.merge_entities(db.Record("Drum").add_parent("Instrument"), second)
    assert merged.get_property("year").value == 2002
    owner = first.get_property("owner")
    apiutils.resolve_reference(owner)
    assert owner.value.name == "Bob"
    flat: list[Any] = []
    apiutils.create_flat_list([first], flat)
    assert [one.name for one in flat] == ["Bob"]


def test_the_high_level_interface(museum: dict[str, int]) -> None:
    found = high_level_api.query("FIND Guitar")
    assert found[0].name == "Les Paul"
    assert found[0].year == 1959
    assert found[0].owner.name == "Ann"
    drum = high_level_api.load_external_record("Drum")
    assert drum.year == 2001
    made = high_level_api.create_record("Instrument", "Organ", year=1700)
    high_level_api.create_entity_container(made).insert()
    assert db.execute_query("FIND Instrument WITH year=1700", unique=True).name == "Organ"


def test_access_control_lists(museum: dict[str, int]) -> None:
    ann = db.Record(id=museum["Ann"])
    ann.retrieve_acl()
    ann.deny(role="readers", permission="DELETE", priority=True)
    ann.grant(role="readers", permission="RETRIEVE:*")
    ann.update_acl()
    again = db.Record(id=museum["Ann"]).retrieve(flags={"ACL": None})
    assert again.acl.get_acl_for_role("readers").is_permitted("readers", "RETRIEVE:*")
    assert not again.acl.is_permitted("readers", "DELETE")
    again.revoke_denial(role="readers", permission="DELETE", priority=True)
    again.update_acl()
    assert "DELETE" not in again.acl.get_permissions_for_role("readers")
    assert again.is_permitted("UPDATE:NAME")
    assert "RETRIEVE:ENTITY" in str(get_known_permissions())
    assert get_global_acl().is_permitted("administration", "RETRIEVE:ENTITY")


def test_users_roles_and_server_properties(client: Any) -> None:
    admin._insert_role("readers", "who only look")
    admin._update_role("readers", "who look")
    admin._insert_user("ann", password=admin.generate_password(12), status="ACTIVE", email=None, entity=None)
    admin._set_roles("ann", ["readers"])
    assert admin._get_roles("ann") == {"readers"}
    admin._set_permissions("readers", {admin.PermissionRule("Grant", "TRANSACTION:RETRIEVE")})
    assert {one._permission for one in admin._get_permissions("readers")} == {"TRANSACTION:RETRIEVE"}
    admin.set_server_property("A_KEY", "a value")
    assert admin.get_server_properties()["A_KEY"] == "a value"
    with pytest.raises(KeyError):
        admin.get_server_property("NO_KEY")


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[None]:
    """A server that a `pylinkahead.ini` names, because that is where a command takes its connection from."""
    ini = tmp_path / "pylinkahead.ini"
    with serving(tmp_path / "linkahead.db", tmp_path) as url:
        ini.write_text(f"[Connection]\nurl={url}\nusername=tester\npassword=secret\npassword_method=plain\n")
        db.configure(str(ini))
        db.configure_connection()
        yield
        db.get_connection()._delegate_connection._session.close()
        db.get_config().remove_section("Connection")


def run_admin(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    out = StringIO()
    monkeypatch.setattr(sys, "argv", ["linkahead_admin", *arguments])
    monkeypatch.setattr(sys, "stdout", out)
    linkahead_admin.main()
    monkeypatch.undo()
    return out.getvalue()


def test_the_administration_command(configured: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    museum = fill()

    def run(*arguments: str) -> str:
        return run_admin(monkeypatch, *arguments)

    run("create_role", "writers", "who write")
    assert "who write" in run("retrieve_role", "writers")
    run("update_role", "writers", "who may write")
    assert "who may write" in run("retrieve_role", "writers")
    run("create_user", "-c", "--password", "abcdefgh1", "eve", "eve@example.org")
    run("add_user_roles", "eve", "writers")
    assert run("retrieve_user_roles", "eve").strip() == "{'writers'}"
    run("set_user_entity", "eve", str(museum["Ann"]))
    assert f'entity="{museum["Ann"]}"' in run("retrieve_user", "eve")
    run("reset_user_entity", "eve")
    assert "entity=" not in run("retrieve_user", "eve")
    run("set_user_email", "eve", "other@example.org")
    run("deactivate_user", "eve")
    assert 'status="INACTIVE"' in run("retrieve_user", "eve")
    run("activate_user", "eve")
    run("set_user_password", "eve", "PAM", "another-one-1")
    run("grant_role_permissions", "writers", "TRANSACTION:INSERT")
    run("deny_role_permissions", "writers", "TRANSACTION:DELETE")
    shown = run("retrieve_role_permissions", "writers")
    assert "TRANSACTION:INSERT" in shown
    assert "TRANSACTION:DELETE" in shown
    run("revoke_role_permissions", "writers", "TRANSACTION:DELETE")
    assert "TRANSACTION:DELETE" not in run("retrieve_role_permissions", "writers")
    run("remove_user_roles", "eve", "writers")
    assert run("retrieve_user_roles", "eve").strip() == "set()"
    run("delete_user", "eve")
    assert "Cannot retrieve user" in run("retrieve_user", "eve")
    run("delete_role", "writers")
    assert "Les Paul" in run("retrieve", "-q", "FIND Guitar")
    assert "Drum" in run("retrieve", str(museum["Drum"]), "Ann")
    document = tmp_path / "entities.xml"
    document.write_text('<Insert><Record id="-1" name="Cello"><Parent name="Instrument"/></Record></Insert>')
    assert "Cello" in run("insert", str(document))
    cello = db.Record(name="Cello").retrieve()
    changed = f'<Update><Record id="{cello.id}" name="Viola"><Parent name="Instrument"/></Record></Update>'
    document.write_text(changed)
    run("update", str(document))
    assert db.Record(id=cello.id).retrieve().name == "Viola"
    db.Record(id=cello.id).delete()
    run("delete", str(museum["Drum"]))
    assert db.execute_query("COUNT Instrument") == 1


def test_permissions_of_entities_by_the_administration_command(
    configured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    museum = fill()
    assert f"{museum['Ann']}" in run_admin(monkeypatch, "retrieve_entity_acl", "FIND Person")
    run_admin(monkeypatch, "deny_entity_permissions", "FIND Person", "readers", "DELETE")
    for name in ("Ann", "Bob"):
        acl = db.Record(id=museum[name]).retrieve(flags={"ACL": None}).acl
        assert not acl.is_permitted("readers", "DELETE")


def test_revisions_and_bent_references(museum: dict[str, int]) -> None:
    create_revision.bend_references(museum["Ann"], museum["Bob"])
    assert db.Record(name="Les Paul").retrieve().get_property("owner").value == museum["Bob"]


def test_overridden_names_are_found_and_reset(museum: dict[str, int]) -> None:
    drum = db.Record(name="Drum").retrieve()
    drum.get_property("year").name = "Baujahr"
    drum.update()
    assert db.execute_query("COUNT RECORD Drum WITH Baujahr=2001") == 1
    assert db.execute_query("COUNT RECORD Drum WITH year=2001") == 1
    reset_override.reset_overrides("RECORD", "Drum", "Baujahr")
    assert db.Record(name="Drum").retrieve().get_property("year").value == 2001


def test_a_diagram_of_the_model(museum: dict[str, int]) -> None:
    model = plantuml.retrieve_substructure([db.RecordType(name="Guitar").retrieve()], 2)
    assert {one.name for one in model} >= {"Guitar", "Instrument", "Person"}
    text = plantuml.recordtypes_to_plantuml_string(model)
    assert "Instrument" in text
    assert "Guitar" in text


def test_a_registered_test_may_clear_the_database(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register_tests, "TEST_KEY", "key of this test")
    assert db.count("COUNT Entity") == 0
    admin.set_server_property("_CAOSDB_INTEGRATION_TEST_SUITE_KEY", "key of this test")
    register_tests._assure_test_is_registered()
    db.RecordType("Thing").insert()
    db.Record().add_parent("Thing").insert()
    register_tests._clear_database()
    assert db.count("COUNT Entity") == 0


def test_info(museum: dict[str, int]) -> None:
    info = db.Info()
    assert info.user_info.name == "tester"
    assert info.time_zone.zone_id == "UTC"
    assert str(info) == "Connection to LinkAhead with 4 Records."
    assert not info.debug


def test_files(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("content", encoding="utf-8")
    stored = db.File("a", path="/up/a.txt", file=str(source)).insert()
    assert Path(stored.download(str(tmp_path / "b.txt"))).read_text(encoding="utf-8") == "content"
    with (tmp_path / "c.txt").open("wb") as stream:
        digest = db.File.download_from_path(stream, "/up/a.txt")
    assert digest.hexdigest() == stored.checksum.lower()
    with pytest.raises(HTTPResourceNotFoundError):
        db.File(path="/up/none.txt").download()


def test_what_the_connection_offers(museum: dict[str, int]) -> None:
    con = db.get_connection()
    assert b"Les Paul" in con.retrieve(["Entity", str(museum["Les Paul"])]).read()
    body = b'<Insert><Record id="-1" name="raw"><Parent name="Person"/></Record></Insert>'
    assert b'name="raw"' in con.insert(["Entity"], body=body).read()
    number = db.Record(name="raw").retrieve().id
    assert b'code="10"' in con.delete(["Entity", str(number)]).read()


def test_ways_to_say_who_one_is(tmp_path: Path) -> None:
    with serving(tmp_path / "linkahead.db", tmp_path) as url:
        db.configure_connection(url=url, username="tester", password="secret", password_method="plain")
        assert db.Info().user_info.name == "tester"
        token = db.get_connection()._authenticator.auth_token
        db.configure_connection(url=url, password_method="auth_token", auth_token=token)
        assert db.Info().user_info.roles == ["administration"]
        db.get_connection()._logout()
        db.configure_connection(url=url, password_method="auth_token", auth_token=token[:-9] + '"forged"]')
        with pytest.raises(LoginFailedError):
            db.execute_query("COUNT ENTITY")
        db.configure_connection(url=url, password_method="unauthenticated")
        with pytest.raises(LinkAheadException):
            db.execute_query("COUNT ENTITY")
        db.configure_connection(url=url, username="tester", password="wrong", password_method="plain")
        with pytest.raises(LoginFailedError):
            db.execute_query("COUNT ENTITY")
        db.get_connection()._delegate_connection._session.close()
