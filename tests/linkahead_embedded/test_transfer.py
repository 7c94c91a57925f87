from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import linkahead
import pytest
from linkahead.cached import cache_clear

from linkahead_embedded.backup import back_up
from linkahead_embedded.bootstrap import close_application, connect_client
from linkahead_embedded.errors import DatabaseUnusableError
from linkahead_embedded.transfer import Exported, Imported, TransferError, export_entities, import_entities
from tests.linkahead_embedded.conftest import serving

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the client leaves uploads open
]


@contextmanager
def connected(folder: Path, transport: str = "in-process") -> Iterator[Any]:
    """An embedded LinkAhead in a folder of its own, under the official client."""
    (folder / "files").mkdir(parents=True, exist_ok=True)
    database = folder / "linkahead.db"
    cache_clear()
    if transport == "http":
        with serving(database, folder / "files") as url:
            linkahead.configure_connection(url=url, username="tester", password="secret", password_method="plain")
            yield linkahead
            linkahead.get_connection()._delegate_connection._session.close()
    else:
        connect_client(database, folder / "files", "tester")
        yield linkahead
    close_application(database)


def fill(client: Any, folder: Path) -> None:
    """A bit of everything: types that need each other, circles of records, lists, nulls, dates, files, odd text."""
    types = client.Container()
    base = client.RecordType("Base").add_property("note", importance="OBLIGATORY")
    person = client.RecordType("Person").add_parent(base, inheritance="NONE")
    sample = client.RecordType("Sample").add_parent(base, inheritance="ALL")
    types.extend(
        [
            client.Property("note", datatype=client.TEXT, description="free text"),
            client.Property("length", datatype=client.DOUBLE, unit="mm"),
            client.Property("when", datatype=client.DATETIME),
            client.Property("friend", datatype="Person"),
            client.Property("owners", datatype=client.LIST("Person")),
            client.Property("raw", datatype=client.FILE),
            client.Property("tags", datatype=client.LIST(client.TEXT)),
            base,
            person.add_property("friend"),
            sample.add_property("length", unit="cm", importance="RECOMMENDED").add_property("owners"),
        ]
    )
    types.insert()
    upload, linked = folder / "upload.bin", folder / "files" / "a b" / "linked.txt"
    upload.write_bytes(bytes(range(256)) * 40)
    linked.parent.mkdir()
    linked.write_text("in place", encoding="utf-8")
    uploaded = client.File("uploaded", path="/in/upload.bin", file=str(upload)).insert()
    client.File(path="/a b/linked.txt").insert()
    ann = client.Record("Ann").add_parent("Person").add_property("note", "")
    bob = client.Record("Bob").add_parent("Person").add_property("note", 'é & <"x"> \n 2nd line')
    ann.add_property("friend", bob)
    bob.add_property("friend", ann)
    client.Container().extend([ann, bob]).insert()
    for number in range(3):
        one = client.Record(f"S{number}").add_parent("Sample").add_property("note", None)
        one.add_property("length", number + 0.1).add_property("owners", [ann, bob] if number else [])
        one.add_property("when", "2024-05").add_property("raw", uploaded).add_property("tags", ["a", "", "c"])
        one.insert()
    second = client.execute_query("FIND Sample WITH name=S1", unique=True)
    second.description = "changed once"
    second.update()


def described(client: Any) -> dict[str, Any]:
    """Everything in the database, with names instead of ids."""
    entities = [one for one in client.execute_query("FIND ENTITY") if one.id >= 100]
    names = {one.id: f"{type(one).__name__} {one.name or one.path}" for one in entities}

    def shown(value: Any) -> Any:
        if isinstance(value, list):
            return [shown(one) for one in value]
        return names.get(value, value) if isinstance(value, int) else value

    return {
        names[one.id]: {
            "description": one.description,
            "datatype": str(one.datatype),
            "unit": one.unit,
            "path": one.path,
            "checksum": getattr(one, "checksum", None),
            "size": getattr(one, "size", None),
            "parents": [names[parent.id] for parent in one.parents],
            "properties": [
                (prop.name, names[prop.id], prop.description, str(prop.datatype), prop.unit, shown(prop.value))
                for prop in one.properties
            ],
            "importances": [one.get_importance(prop.name) for prop in one.properties],
        }
        for one in entities
    }


@pytest.mark.parametrize("transport", ["in-process", "http"])
def test_a_database_moves_with_its_references_files_and_model(tmp_path: Path, transport: str) -> None:
    old, new, folder = tmp_path / "old", tmp_path / "new", tmp_path / "export"
    with connected(old, transport) as client:
        fill(client, old)
        before = described(client)
        assert export_entities(folder, with_files=True) == Exported(entities=17, files=2)
    assert (folder / "files" / "a b" / "linked.txt").read_text(encoding="utf-8") == "in place"
    with connected(new, transport) as client:
        client.RecordType("there before").insert()
        assert import_entities(folder) == Imported(inserted=17, matched=0, skipped=0)
        after = described(client)
        assert after.pop("RecordType there before")
        assert after == before
        ann = client.execute_query("FIND Person WITH name=Ann", unique=True)
        assert client.execute_query(f"FIND Person WITH friend={ann.id}", unique=True).name == "Bob"
        raw = client.execute_query("FIND FILE WHICH IS STORED AT /in/upload.bin", unique=True)
        target = raw.download(str(tmp_path / "down.bin"))
        assert Path(target).read_bytes() == bytes(range(256)) * 40
    ids = dict(line.split("\t") for line in (folder / "ids.tsv").read_text(encoding="ascii").splitlines())
    assert len(ids) == 17
    assert all(int(old_id) != int(new_id) for old_id, new_id in ids.items())


def readers_may(client: Any, name: str, permission: str) -> bool:
    acl = client.execute_query(f"FIND ENTITY WITH name={name}", unique=True).retrieve(flags={"ACL": None}).acl
    return bool(acl.is_permitted("readers", permission))


@pytest.mark.parametrize("transport", ["in-process", "http"])
def test_access_control_lists_move_and_nothing_else_changes_when_they_come_again(
    tmp_path: Path, transport: str
) -> None:
    with connected(tmp_path / "old", transport) as client:
        fill(client, tmp_path / "old")
        for name in ("Ann", "uploaded", "Sample"):
            one = client.execute_query(f"FIND ENTITY WITH name={name}", unique=True)
            one.retrieve_acl()
            one.acl.grant(role="readers", permission="RETRIEVE:ENTITY")
            one.acl.deny(role="readers", permission="DELETE")
            one.update_acl()
        before = described(client)
        export_entities(tmp_path / "export", with_files=True)
    assert (tmp_path / "export" / "entities.xml").read_text(encoding="utf-8").count("<EntityACL>") == 3
    with connected(tmp_path / "new", transport) as client:
        import_entities(tmp_path / "export")
        for name in ("Ann", "uploaded", "Sample"):
            assert readers_may(client, name, "RETRIEVE:ENTITY")
            assert not readers_may(client, name, "DELETE")
        assert not readers_may(client, "Bob", "RETRIEVE:ENTITY")
        assert described(client) == before
        ann = client.execute_query("FIND Person WITH name=Ann", unique=True)
        ann.description = "changed after the move"
        ann.update()
        assert import_entities(tmp_path / "export") == Imported(inserted=0, matched=0, skipped=17)
        again = client.Record(id=ann.id).retrieve()
        assert (again.description, again.version.id) == ("changed after the move", ann.version.id)
        assert readers_may(client, "Ann", "RETRIEVE:ENTITY")


def test_an_export_is_what_the_client_reads(tmp_path: Path) -> None:
    with connected(tmp_path / "old") as client:
        fill(client, tmp_path / "old")
        expected = described(client)
        export_entities(tmp_path / "export")
    read = linkahead.Container.from_xml((tmp_path / "export" / "entities.xml").read_text(encoding="utf-8"))
    assert len(read) == len(expected)
    first = next(one for one in read if one.name == "S1")
    assert first.get_property("length").value == 1.1
    assert first.get_property("tags").value == ["a", "", "c"]


def test_an_interrupted_import_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with connected(tmp_path / "old") as client:
        fill(client, tmp_path / "old")
        before = described(client)
        export_entities(tmp_path / "export")
    with connected(tmp_path / "new") as client:
        # neither uploaded nor in place: the types arrive, the files are refused
        with pytest.raises(TransferError, match=r"File /.*does not exist on the server"):
            import_entities(tmp_path / "export")
        count = client.execute_query("COUNT RECORDTYPE")
        assert count == 3
        (tmp_path / "export" / "files" / "in").mkdir(parents=True)
        (tmp_path / "export" / "files" / "in" / "upload.bin").write_bytes(bytes(range(256)) * 40)
        (tmp_path / "new" / "files" / "a b").mkdir()
        (tmp_path / "new" / "files" / "a b" / "linked.txt").write_text("in place", encoding="utf-8")
        assert import_entities(tmp_path / "export") == Imported(inserted=7, matched=0, skipped=10)
        assert described(client) == before
        assert import_entities(tmp_path / "export") == Imported(inserted=0, matched=0, skipped=17)
        assert described(client) == before


def test_types_and_files_that_the_server_has_are_used(tmp_path: Path) -> None:
    with connected(tmp_path / "old") as client:
        fill(client, tmp_path / "old")
        raw = client.execute_query("FIND FILE WHICH IS STORED AT '/a b/linked.txt'", unique=True)
        raw.add_parent("Base").add_property("note", value="of the file")
        raw.update()
        before = described(client)
        export_entities(tmp_path / "export", with_files=True)
    with connected(tmp_path / "new") as client:
        client.Property("note", datatype=client.TEXT, description="free text").insert()
        there = tmp_path / "new" / "files" / "a b" / "linked.txt"
        there.parent.mkdir()
        there.write_text("in place", encoding="utf-8")
        client.File(path="/a b/linked.txt").insert()
        assert import_entities(tmp_path / "export") == Imported(inserted=15, matched=2, skipped=0)
        assert described(client) == before


def test_a_type_that_means_something_else_on_the_server_is_refused(tmp_path: Path) -> None:
    with connected(tmp_path / "old") as client:
        fill(client, tmp_path / "old")
        export_entities(tmp_path / "export")
        with pytest.raises(TransferError, match="already"):
            export_entities(tmp_path / "export")
    with connected(tmp_path / "new") as client:
        client.Property("length", datatype=client.DOUBLE, unit="m").insert()
        with pytest.raises(TransferError, match="Property 'length' is DOUBLE mm here and DOUBLE m on the server"):
            import_entities(tmp_path / "export")
        assert client.execute_query("COUNT RECORDTYPE") == 0
        with pytest.raises(TransferError, match="no export"):
            import_entities(tmp_path)


def test_a_backup_of_a_database_in_use_has_everything_and_works_at_another_place(tmp_path: Path) -> None:
    target = tmp_path / "backup" / "linkahead.db"
    target.parent.mkdir()
    with connected(tmp_path / "old") as client:
        fill(client, tmp_path / "old")
        before = described(client)
        done = back_up(tmp_path / "old" / "linkahead.db", target)
        assert (done.entities, done.files) == (17, 1)
        assert sorted(one.name for one in target.parent.iterdir()) == ["linkahead.db", "linkahead.db.files"]
        client.Record("later").add_parent("Base").add_property("note", "x").insert()
        assert back_up(tmp_path / "old" / "linkahead.db", tmp_path / "second.db").entities == 18
    with connected(target.parent) as client:
        assert described(client) == before
        raw = client.execute_query("FIND FILE WHICH IS STORED AT /in/upload.bin", unique=True)
        assert Path(raw.download(str(tmp_path / "down.bin"))).stat().st_size == 256 * 40


def test_a_damaged_database_makes_no_backup(tmp_path: Path) -> None:
    with connected(tmp_path / "old") as client:
        fill(client, tmp_path / "old")
    database = tmp_path / "old" / "linkahead.db"
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("DELETE FROM entity WHERE name = 'Ann'")
    connection.commit()
    connection.close()
    with pytest.raises(DatabaseUnusableError, match="points to a missing entity"):
        back_up(database, tmp_path / "backup.db")
    assert not (tmp_path / "backup.db").exists()
    close_application(database)
    with pytest.raises(DatabaseUnusableError, match="no database"):
        back_up(tmp_path / "nothing.db", tmp_path / "backup.db")
