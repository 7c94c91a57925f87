from __future__ import annotations

from pathlib import Path
from typing import Any

import linkahead
import pytest
from linkahead.common import administration as admin
from linkahead.exceptions import (
    HTTPClientError,
    HTTPForbiddenError,
    HTTPResourceNotFoundError,
    LinkAheadException,
    LoginFailedError,
    TransactionError,
)

from tests.linkahead_embedded.conftest import Site, serving

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_users_and_roles_come_and_go(client: Any) -> None:
    admin._insert_role("readers", "who only look")
    assert b"who only look" in admin._retrieve_role("readers")
    with pytest.raises(HTTPClientError):
        admin._insert_role("readers", "again")
    # the process-wide user has no row in the database until a server was started on it
    admin._insert_user("root", password="abcdefgh1", status="ACTIVE")
    admin._set_roles("root", ["administration"])
    admin._insert_user("ann", password="abcdefgh1", status="ACTIVE", email="a@example.org")
    with pytest.raises(HTTPClientError):
        admin._insert_user("ann", password="abcdefgh1")
    with pytest.raises(HTTPClientError):
        admin._insert_user("bob", password="short")
    assert b"a@example.org" in admin._retrieve_user("ann")
    assert admin._set_roles("ann", ["readers"]) == {"readers"}
    assert admin._get_roles("ann", realm="PAM") == {"readers"}
    with pytest.raises(HTTPClientError):
        admin._delete_role("readers")
    admin._update_user("ann", status="INACTIVE")
    assert b"INACTIVE" in admin._retrieve_user("ann")
    admin._delete_user("ann")
    admin._delete_role("readers")
    with pytest.raises(HTTPResourceNotFoundError):
        admin._retrieve_user("ann")
    with pytest.raises(HTTPResourceNotFoundError):
        admin._retrieve_role("readers")


def test_permission_rules_are_kept(client: Any) -> None:
    admin._insert_role("readers", "who only look")
    rules = {admin.PermissionRule("Grant", "TRANSACTION:RETRIEVE"), admin.PermissionRule("Deny", "TRANSACTION:*", True)}
    admin._set_permissions("readers", rules)
    assert {str(rule) for rule in admin._get_permissions("readers")} == {str(rule) for rule in rules}


def test_server_properties_are_kept(client: Any) -> None:
    admin.set_server_property("COLOUR", "blue & green")
    assert admin.get_server_property("COLOUR") == "blue & green"


def as_user(url: str, name: str, password: str) -> None:
    linkahead.configure_connection(url=url, username=name, password=password, password_method="plain")


def test_a_reader_reads_and_nobody_else_gets_in(tmp_path: Path) -> None:
    with serving(tmp_path / "linkahead.db", tmp_path) as url:
        as_user(url, "tester", "secret")
        linkahead.RecordType("Thing").insert()
        admin._insert_user("ann", password="abcdefgh1")
        admin._set_roles("ann", ["readonly"])
        admin._insert_user("guest", password="abcdefgh1")
        as_user(url, "ann", "abcdefgh1")
        assert linkahead.Info().user_info.name == "ann"
        assert linkahead.execute_query("COUNT RECORDTYPE Thing") == 1
        for forbidden in (
            linkahead.RecordType("Other").insert,
            linkahead.RecordType("Thing").retrieve().update,
            linkahead.RecordType("Thing").retrieve().delete,
            lambda: admin._retrieve_user("ann"),
        ):
            with pytest.raises(HTTPForbiddenError):
                forbidden()
        as_user(url, "guest", "abcdefgh1")
        with pytest.raises(HTTPForbiddenError):
            linkahead.execute_query("COUNT RECORDTYPE Thing")
        as_user(url, "ann", "wrong password")
        with pytest.raises(LoginFailedError):
            linkahead.execute_query("COUNT RECORDTYPE Thing")
        linkahead.configure_connection(url=url, password_method="unauthenticated")
        with pytest.raises((LoginFailedError, LinkAheadException)):
            linkahead.execute_query("COUNT RECORDTYPE Thing")
        as_user(url, "tester", "secret")
        admin._set_permissions("anonymous", [admin.PermissionRule("Grant", "TRANSACTION:RETRIEVE")])
        linkahead.configure_connection(url=url, password_method="unauthenticated")
        assert linkahead.execute_query("COUNT RECORDTYPE Thing") == 1
        linkahead.get_connection()._delegate_connection._session.close()


def test_an_access_control_list_hides_and_protects_one_entity(tmp_path: Path) -> None:
    with serving(tmp_path / "linkahead.db", tmp_path) as url:
        as_user(url, "tester", "secret")
        linkahead.RecordType("Thing").insert()
        hidden = linkahead.Record("hidden").add_parent("Thing").insert()
        fixed = linkahead.Record("fixed").add_parent("Thing").insert()
        admin._insert_role("writers", "who write")
        admin._set_permissions("writers", [admin.PermissionRule("Grant", "TRANSACTION:*")])
        admin._insert_user("ann", password="abcdefgh1")
        admin._set_roles("ann", ["writers"])
        for record, permission in ((hidden, "RETRIEVE:ENTITY"), (fixed, "UPDATE:*"), (fixed, "DELETE")):
            record.retrieve_acl()
            record.deny(role="writers", permission=permission)
            record.update_acl()
        as_user(url, "ann", "abcdefgh1")
        assert {record.name for record in linkahead.execute_query("FIND Thing")} == {"fixed"}
        with pytest.raises(TransactionError):
            linkahead.Record(id=hidden.id).retrieve()
        mine = linkahead.Record(id=fixed.id).retrieve()
        mine.description = "changed"
        with pytest.raises(TransactionError):
            mine.update()
        with pytest.raises(TransactionError):
            mine.delete()
        linkahead.get_connection()._delegate_connection._session.close()


def test_a_selected_column_tells_nothing_of_an_entity_that_is_hidden(tmp_path: Path) -> None:
    with serving(tmp_path / "linkahead.db", tmp_path) as url:
        as_user(url, "tester", "secret")
        linkahead.Property("price", datatype="DOUBLE").insert()
        linkahead.RecordType("Thing").insert()
        linkahead.RecordType("Box").insert()
        things = [linkahead.Record(name).add_parent("Thing").add_property("price", 5.0) for name in ("hidden", "open")]
        for thing in things:
            thing.insert()
            linkahead.Record(f"box of {thing.name}").add_parent("Box").add_property("Thing", thing.id).insert()
        both = linkahead.Record("box of both").add_parent("Box")
        both.add_property("Thing", [thing.id for thing in things], datatype=linkahead.LIST("Thing")).insert()
        admin._insert_role("readers", "who read")
        admin._set_permissions("readers", [admin.PermissionRule("Grant", "TRANSACTION:RETRIEVE")])
        admin._insert_user("ann", password="abcdefgh1")
        admin._set_roles("ann", ["readers"])
        things[0].retrieve_acl()
        things[0].deny(role="readers", permission="RETRIEVE:ENTITY")
        things[0].update_acl()
        question = "SELECT Thing.name, Thing.price FROM Box"
        assert linkahead.get_connection().retrieve(["Entity"], {"query": question}).read().count(b">5.0<") == 4
        as_user(url, "ann", "abcdefgh1")
        answer = linkahead.get_connection().retrieve(["Entity"], {"query": question}).read()
        assert answer.count(b">5.0<") == 2
        assert b'name="hidden"' not in answer
        linkahead.get_connection()._delegate_connection._session.close()


def test_all_entity_permissions_are_listed(client: Any) -> None:
    answer = client.get_connection().retrieve(["EntityPermissions"]).read()
    assert b'<Permission name="UPDATE:PROPERTY:ADD"' in answer


def test_a_folder_is_imported_by_link_once(site: Site) -> None:
    client = site.client
    for name in ("in/a.txt", "in/b.dat", "in/deep/c.txt"):
        (site.root / name).parent.mkdir(parents=True, exist_ok=True)
        (site.root / name).write_text(name, encoding="utf-8")
    (site.root / "in" / "link.txt").symlink_to("/etc/hostname")
    flag = {"InsertFilesInDir": "-p imported -e \\.dat$ /in"}
    preview = client.Container().retrieve(unique=False, raise_exception_on_error=True, flags=flag)
    assert sorted(file.path for file in preview) == ["/imported/in/a.txt", "/imported/in/deep/c.txt"]
    assert client.execute_query("COUNT FILE") == 0
    inserted = client.Container().insert(unique=False, raise_exception_on_error=False, flags=flag)
    assert sum(file.size for file in inserted) == len("in/a.txt") + len("in/deep/c.txt")
    assert {file.path for file in client.execute_query("FIND FILE WHICH IS STORED AT /imported/**")} == {
        "/imported/in/a.txt",
        "/imported/in/deep/c.txt",
    }
    client.Container().insert(unique=False, raise_exception_on_error=False, flags=flag)
    assert client.execute_query("COUNT FILE") == 2
