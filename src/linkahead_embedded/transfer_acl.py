"""Access control lists on their way to another server."""

from __future__ import annotations

from collections.abc import Iterable

from lxml import etree

ACL = "EntityACL"
Rule = tuple[str, str | None, str | None, bool, frozenset[str | None]]


def rules(acl: etree._Element | None) -> frozenset[Rule]:
    """Give what a list says, apart from how it is written."""
    return frozenset(
        (
            str(one.tag),
            one.get("role"),
            one.get("username"),
            (one.get("priority") or "").lower() == "true",
            frozenset(permission.get("name") for permission in one),
        )
        for one in (() if acl is None else acl)
        if one.tag in ("Grant", "Deny")
    )


def keep_own(element: etree._Element, common: frozenset[Rule]) -> None:
    """Drop the list of an entity that has only what the server gives every entity."""
    for acl in element.findall(ACL):
        if rules(acl) == common:
            element.remove(acl)


def without(elements: Iterable[etree._Element]) -> None:
    """Drop the lists: an insert has none in the client's language, an update brings them."""
    for element in elements:
        for acl in element.findall(ACL):
            element.remove(acl)
