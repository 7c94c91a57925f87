"""What somebody may do: permission rules of roles, and access control lists of single entities.

A rule with priority beats one without, and among equals a denial beats a grant. Nothing is permitted to a role that
no rule names. On a single entity everything that the role may do at all is permitted, as long as the entity's own
list says nothing else.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from fnmatch import fnmatchcase

from lxml import etree

from .auth import ADMINISTRATION, User
from .storage import members

RETRIEVE, INSERT = "TRANSACTION:RETRIEVE", "TRANSACTION:INSERT"
UPDATE, DELETE = "TRANSACTION:UPDATE", "TRANSACTION:DELETE"
EDIT_ACL = "EDIT:ACL"
ADMINISTRATE = "ACM:ADMINISTRATE"
ENTITY_PERMISSIONS: dict[str, str] = {
    "RETRIEVE:ENTITY": "Retrieve the entity.",
    "RETRIEVE:ACL": "Retrieve its access control list.",
    "RETRIEVE:HISTORY": "Retrieve its versions.",
    "RETRIEVE:FILE": "Download its file.",
    "DELETE": "Delete the entity.",
    EDIT_ACL: "Change its access control list.",
    "UPDATE:NAME": "Change its name.",
    "UPDATE:DESCRIPTION": "Change its description.",
    "UPDATE:VALUE": "Change its value.",
    "UPDATE:DATA_TYPE": "Change its datatype.",
    "UPDATE:PARENT:ADD": "Add a parent.",
    "UPDATE:PARENT:REMOVE": "Remove a parent.",
    "UPDATE:PROPERTY:ADD": "Add a property.",
    "UPDATE:PROPERTY:REMOVE": "Remove a property.",
    "UPDATE:FILE:ADD": "Add a file.",
    "UPDATE:FILE:REMOVE": "Remove the file.",
    "UPDATE:FILE:MOVE": "Move the file.",
    "USE:AS_REFERENCE": "Reference the entity.",
    "USE:AS_PROPERTY": "Use the entity as a property.",
    "USE:AS_PARENT": "Use the entity as a parent.",
    "USE:AS_DATA_TYPE": "Use the entity as a datatype.",
}
Rule = tuple[bool, bool, str]
"""Whether it has priority, whether it grants, and the permission, perhaps with `*`."""


def decide(rules: Sequence[Rule], permission: str) -> bool | None:
    """Give the verdict of rules on a permission; None if none of them names it.

    A rule on a part of a permission, such as `UPDATE:NAME`, counts for the whole, `UPDATE`.
    """
    verdict: tuple[bool, bool] | None = None
    for has_priority, grants, pattern in rules:
        is_named = fnmatchcase(permission, pattern) or pattern.startswith(permission + ":")
        if is_named and (verdict is None or (has_priority, not grants) > verdict):
            verdict = (has_priority, not grants)
    return None if verdict is None else not verdict[1]


def may(connection: sqlite3.Connection, user: User, permission: str) -> bool:
    """Tell whether the roles of a user permit something."""
    if ADMINISTRATION in user.roles:
        return True
    clause, parameters = members(user.roles)
    rules = connection.execute(
        f"SELECT priority, is_grant, permission FROM permission_rule WHERE role IN {clause}",  # noqa: S608 - placeholders only
        parameters,
    ).fetchall()
    return bool(decide([(bool(priority), bool(grants), name) for priority, grants, name in rules], permission))


def denied(connection: sqlite3.Connection, ids: Sequence[int], permission: str, *, user: User) -> dict[int, str]:
    """Give those entities on which a permission is denied to the user, with the reason.

    The list of an entity is changed by its owner and by administrators only, unless the list itself says else.
    """
    if ADMINISTRATION in user.roles or not ids:
        return {}
    is_for_owners = permission == EDIT_ACL
    if is_for_owners:
        clause, parameters = members(sorted(set(ids)))
        rows = connection.execute(
            f"SELECT id, coalesce(acl, '<EntityACL/>'), created_by FROM entity WHERE id IN {clause}",  # noqa: S608 - placeholders only
            parameters,
        )
    else:
        rows = connection.execute("SELECT id, acl, created_by FROM entity WHERE acl IS NOT NULL")
    wanted = set(ids)
    found: dict[int, str] = {}
    for entity, acl, owner in rows:
        if entity in wanted:
            verdict = decide(_entity_rules(acl, user, is_owner=owner == user.name), permission)
            if not (owner == user.name or not is_for_owners if verdict is None else verdict):
                found[entity] = "You are not permitted to do this."
    return found


def _entity_rules(acl: str, user: User, *, is_owner: bool) -> list[Rule]:
    roles = {*user.roles, "?OTHER?", *(["?OWNER?"] if is_owner else [])}
    found: list[Rule] = []
    for element in etree.fromstring(acl):
        is_meant = element.get("role") in roles or (element.get("username") or "") == user.name
        if element.tag in ("Grant", "Deny") and is_meant:
            has_priority = (element.get("priority") or "").lower() == "true"
            found += [(has_priority, element.tag == "Grant", name) for one in element if (name := one.get("name"))]
    return found


def with_acl(connection: sqlite3.Connection, xml: str) -> str:
    """Add the access control list to the XML of an entity; without one of its own, administrators may do everything."""
    head, closing, rest = xml.partition(">")
    match = re.search(r' id="(\d{1,18})"', head)
    if match is None or head.endswith("/"):
        return xml
    row = connection.execute("SELECT acl FROM entity WHERE id = ?", (int(match[1]),)).fetchone()
    everything = "".join(f'<Permission name="{name}"/>' for name in ENTITY_PERMISSIONS)
    default = f'<EntityACL><Grant priority="true" role="{ADMINISTRATION}">{everything}</Grant></EntityACL>'
    own = default if row is None or row[0] is None else str(row[0])
    return f"{head}{closing}{own}<Permissions>{everything}</Permissions>{rest}"
