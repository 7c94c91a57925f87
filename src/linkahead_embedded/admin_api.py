"""The resources for administration: users, roles, their permissions, and the properties of the server."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lxml import etree

from .access import ENTITY_PERMISSIONS
from .auth import ADMINISTRATION, ANONYMOUS, MAX_PASSWORD, REALM, set_password
from .errors import RequestError
from .exchange import Call, Response, answer
from .storage import Database
from .xml_codec import attribute, escape, parse_document

_NAME = re.compile(r"[\w.@+-]{1,64}")
_MIN_PASSWORD = 8
_ID_DIGITS = 18
_STATUS = frozenset({"ACTIVE", "INACTIVE"})
_PROPERTY = "server."
_TAG = re.compile(r"[A-Za-z_][\w.-]{0,99}", re.ASCII)
_PERMANENT = frozenset({ADMINISTRATION, ANONYMOUS})
_TRUE = frozenset({"true", "yes"})


class AdminApi:
    """Answers calls of administrators."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def routes(self) -> dict[tuple[str, str], Callable[[Call], Response]]:
        """Give the handlers by method and first path segment; all of them need the permission to administrate."""
        return {
            ("GET", "User"): self.get_user,
            ("POST", "User"): self.insert_user,
            ("PUT", "User"): self.update_user,
            ("DELETE", "User"): self.delete_user,
            ("GET", "UserRoles"): self.get_user_roles,
            ("PUT", "UserRoles"): self.set_user_roles,
            ("GET", "Role"): self.get_role,
            ("POST", "Role"): self.insert_role,
            ("PUT", "Role"): self.update_role,
            ("DELETE", "Role"): self.delete_role,
            ("GET", "PermissionRules"): self.get_rules,
            ("PUT", "PermissionRules"): self.set_rules,
            ("GET", "_server_properties"): self.get_properties,
            ("POST", "_server_properties"): self.set_property,
        }

    # users

    def get_user(self, call: Call) -> Response:
        """GET User/[realm/]name."""
        name = _last(call)
        with self._database.read() as connection:
            return answer(call.user, [_user_xml(connection, name)])

    def insert_user(self, call: Call) -> Response:
        """POST User: a new user with a password."""
        form = call.form
        name, password = form.get("username", ""), form.get("password", "")
        if not _NAME.fullmatch(name):
            raise RequestError(422, "A user name has letters, digits and .@+- only.")
        with self._database.write() as connection:
            if connection.execute("SELECT 1 FROM user WHERE name = ?", (name,)).fetchone() is not None:
                raise RequestError(409, "User name is already in use.")
            _accept_password(connection, name, password)
            _update_user(connection, name, form)
            return answer(call.user, [_user_xml(connection, name)])

    def update_user(self, call: Call) -> Response:
        """PUT User/[realm/]name: change what the form names."""
        name, form = _last(call), call.form
        with self._database.write() as connection:
            _user_xml(connection, name)
            if form.get("password"):
                _accept_password(connection, name, form["password"])
            _update_user(connection, name, form)
            return answer(call.user, [_user_xml(connection, name)])

    def delete_user(self, call: Call) -> Response:
        """DELETE User/name."""
        name = _last(call)
        with self._database.write() as connection:
            shown = _user_xml(connection, name)
            with _nobody_locked_out(connection):
                connection.execute("DELETE FROM user WHERE name = ?", (name,))
        return answer(call.user, [shown])

    def get_user_roles(self, call: Call) -> Response:
        """GET UserRoles/[realm/]name."""
        name = _last(call)
        with self._database.read() as connection:
            _user_xml(connection, name)
            return answer(call.user, [_roles_xml(connection, name)], is_user_first=False)

    def set_user_roles(self, call: Call) -> Response:
        """PUT UserRoles/[realm/]name: exactly the roles of the body."""
        name = _last(call)
        wanted = [role.get("name") or "" for role in parse_document(call.request.body)]
        with self._database.write() as connection:
            _user_xml(connection, name)
            for role in wanted:
                _role_xml(connection, role)
            with _nobody_locked_out(connection):
                connection.execute("DELETE FROM user_role WHERE user = ?", (name,))
                rows = [(name, role) for role in wanted]
                connection.executemany("INSERT OR IGNORE INTO user_role VALUES (?, ?)", rows)
            return answer(call.user, [_roles_xml(connection, name)], is_user_first=False)

    # roles

    def get_role(self, call: Call) -> Response:
        """GET Role/name; without a name, all roles."""
        with self._database.read() as connection:
            if call.rest:
                return answer(call.user, [_role_xml(connection, _last(call))])
            names = [row[0] for row in connection.execute("SELECT name FROM role ORDER BY name")]
            return answer(call.user, [_role_xml(connection, name) for name in names])

    def insert_role(self, call: Call) -> Response:
        """POST Role."""
        name = call.form.get("role_name", "")
        if not _NAME.fullmatch(name):
            raise RequestError(422, "A role name has letters, digits and .@+- only.")
        with self._database.write() as connection:
            if connection.execute("SELECT 1 FROM role WHERE name = ?", (name,)).fetchone() is not None:
                raise RequestError(409, "Role name is already in use.")
            connection.execute("INSERT INTO role VALUES (?, ?)", (name, call.form.get("role_description")))
            return answer(call.user, [_role_xml(connection, name)])

    def update_role(self, call: Call) -> Response:
        """PUT Role/name: another description."""
        name = _last(call)
        with self._database.write() as connection:
            _role_xml(connection, name)
            description = call.form.get("role_description")
            connection.execute("UPDATE role SET description = ? WHERE name = ?", (description, name))
            return answer(call.user, [_role_xml(connection, name)])

    def delete_role(self, call: Call) -> Response:
        """DELETE Role/name."""
        name = _last(call)
        with self._database.write() as connection:
            shown = _role_xml(connection, name)
            if name in _PERMANENT:
                raise RequestError(409, f"The role {name} can't be deleted.")
            if connection.execute("SELECT 1 FROM user_role WHERE role = ?", (name,)).fetchone() is not None:
                raise RequestError(409, "The role is still assigned to a user.")
            connection.execute("DELETE FROM role WHERE name = ?", (name,))
        return answer(call.user, [shown])

    def get_rules(self, call: Call) -> Response:
        """GET PermissionRules/role."""
        name = _last(call)
        with self._database.read() as connection:
            _role_xml(connection, name)
            return answer(call.user, _rules_xml(connection, name))

    def set_rules(self, call: Call) -> Response:
        """PUT PermissionRules/role: exactly the rules of the body."""
        name = _last(call)
        rules = [_rule(element) for element in parse_document(call.request.body)]
        with self._database.write() as connection:
            _role_xml(connection, name)
            connection.execute("DELETE FROM permission_rule WHERE role = ?", (name,))
            connection.executemany(
                "INSERT INTO permission_rule VALUES (?, ?, ?, ?, ?)",
                [(name, position, *rule) for position, rule in enumerate(rules)],
            )
            return answer(call.user, _rules_xml(connection, name))

    # the server

    def get_properties(self, call: Call) -> Response:
        """GET _server_properties; every child of the root is one."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT key, value FROM setting WHERE key LIKE 'server.%' ORDER BY key"
            ).fetchall()
        names = [(key.removeprefix(_PROPERTY), value) for key, value in rows]
        return answer(call.user, [f"<{name}>{escape(value)}</{name}>" for name, value in names], is_user_first=False)

    def set_property(self, call: Call) -> Response:
        """POST _server_properties: `key=value`."""
        for key in call.form:
            if not _TAG.fullmatch(key):
                raise RequestError(422, "A server property has letters, digits and _.- only.")
        for key, value in call.form.items():
            self._database.set_setting(_PROPERTY + key, value)
        return self.get_properties(call)


def entity_permissions(call: Call) -> Response:
    """GET EntityPermissions: all permissions there are, and the list that entities without one have."""
    listed = "".join(
        f"<Permission{attribute('name', name)}{attribute('description', text)}/>"
        for name, text in ENTITY_PERMISSIONS.items()
    )
    granted = "".join(f"<Permission{attribute('name', name)}/>" for name in ENTITY_PERMISSIONS)
    acl = f'<EntityACL><Grant priority="true" role="{ADMINISTRATION}">{granted}</Grant></EntityACL>'
    return answer(call.user, [f"<EntityPermissions>{listed}{acl}</EntityPermissions>"])


def _last(call: Call) -> str:
    """Give the name at the end of the path, behind an optional realm."""
    parts = [part for segment in call.rest for part in segment.split("/")]
    if not parts or (len(parts) > 1 and parts[0] != REALM):
        raise RequestError(404, f"There is only the realm {REALM} here.")
    return parts[-1]


def _user_xml(connection: sqlite3.Connection, name: str) -> str:
    row = connection.execute("SELECT name, status, email, entity FROM user WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise RequestError(404, "User does not exist.")
    attributes = zip(("name", "status", "email", "entity"), row, strict=True)
    return f'<User realm="{REALM}"{"".join(attribute(key, value) for key, value in attributes)}/>'


def _role_xml(connection: sqlite3.Connection, name: str) -> str:
    row = connection.execute("SELECT description FROM role WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise RequestError(404, "Role does not exist.")
    return f"<Role{attribute('name', name)}>{escape(row[0] or '')}</Role>"


def _roles_xml(connection: sqlite3.Connection, user: str) -> str:
    rows = connection.execute("SELECT role FROM user_role WHERE user = ? ORDER BY role", (user,))
    return "<Roles>" + "".join(f"<Role{attribute('name', row[0])}/>" for row in rows) + "</Roles>"


def _rules_xml(connection: sqlite3.Connection, role: str) -> list[str]:
    rows = connection.execute(
        "SELECT is_grant, permission, priority FROM permission_rule WHERE role = ? ORDER BY position", (role,)
    )
    return [
        f"<{'Grant' if is_grant else 'Deny'}{attribute('permission', permission)}"
        f"{attribute('priority', 'true' if priority else None)}/>"
        for is_grant, permission, priority in rows
    ]


def _rule(element: etree._Element) -> tuple[bool, str, bool]:
    kind = element.tag.lower() if isinstance(element.tag, str) else ""
    permission = element.get("permission")
    if kind not in {"grant", "deny"} or not permission:
        raise RequestError(422, "A rule is <Grant permission=''/> or <Deny permission=''/>.")
    return kind == "grant", permission, (element.get("priority") or "").lower() in _TRUE


def _accept_password(connection: sqlite3.Connection, user: str, password: str) -> None:
    if not _MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise RequestError(422, f"A password has {_MIN_PASSWORD} to {MAX_PASSWORD} characters.")
    set_password(connection, user, password)


def _update_user(connection: sqlite3.Connection, name: str, form: dict[str, str]) -> None:
    if "status" in form:
        if form["status"].upper() not in _STATUS:
            raise RequestError(422, "The status of a user is ACTIVE or INACTIVE.")
        with _nobody_locked_out(connection):
            connection.execute("UPDATE user SET status = ? WHERE name = ?", (form["status"].upper(), name))
    if "email" in form:
        connection.execute("UPDATE user SET email = ? WHERE name = ?", (form["email"] or None, name))
    if "entity" in form:
        entity = form["entity"]
        if entity and not (entity.isascii() and entity.isdigit() and len(entity) <= _ID_DIGITS):
            raise RequestError(422, "The entity of a user is an id.")
        connection.execute("UPDATE user SET entity = ? WHERE name = ?", (int(entity) if entity else None, name))


@contextmanager
def _nobody_locked_out(connection: sqlite3.Connection) -> Iterator[None]:
    """Refuse a change after which no active user is an administrator, if there was one before."""
    was_there = _has_administrator(connection)
    yield
    if was_there and not _has_administrator(connection):
        raise RequestError(409, "At least one active user has to keep the role administration.")


def _has_administrator(connection: sqlite3.Connection) -> bool:
    row = connection.execute(
        "SELECT 1 FROM user u JOIN user_role r ON r.user = u.name WHERE r.role = ? AND u.status = 'ACTIVE'",
        (ADMINISTRATION,),
    ).fetchone()
    return row is not None
