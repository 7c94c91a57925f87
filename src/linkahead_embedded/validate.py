"""What makes an entity unfit for the database, beyond what the resolver already noted."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .catalog import Catalog
from .errors import Code
from .model import EntityDraft, Importance, Message, Role, fold

MAX_NAME = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Rules:
    """The flags of a request that change what is refused."""

    unique_names: bool = False
    strict: bool = False
    missing_obligatory: str = "error"


def validate(drafts: list[EntityDraft], catalog: Catalog, rules: Rules) -> None:
    """Note errors and warnings on the drafts of a batch after it was resolved."""
    obligatory: dict[tuple[int, ...], dict[int, str]] = {}
    for draft in drafts:
        _check_names(draft)
        _check_cycle(draft, catalog)
        if (
            draft.role is Role.PROPERTY
            and draft.resolved_type is None
            and not any(m.kind == "Error" for m in draft.messages)
        ):
            draft.error(Code.NO_DATATYPE, "Property has no datatype.")
        if draft.role in (Role.RECORD, Role.FILE) and draft.parents:
            _check_obligatory(draft, catalog, rules, obligatory)
        _summarise(draft)
    if rules.unique_names:
        _check_unique(drafts, catalog)
    if rules.strict:
        _warnings_become_errors(drafts)


def _check_names(draft: EntityDraft) -> None:
    name = draft.name
    if draft.role in (Role.RECORD_TYPE, Role.PROPERTY, Role.QUERY_TEMPLATE) and not name:
        draft.error(Code.BAD_NAME, f"A {draft.role} needs a name.")
    if name and (len(name) > MAX_NAME or _CONTROL.search(name)):
        draft.error(Code.BAD_NAME, f"A name has at most {MAX_NAME} characters and no control characters.")
    if draft.role is Role.RECORD and not draft.parents:
        draft.error(Code.UNQUALIFIED_PARENTS, "A Record needs at least one parent.")


def _check_cycle(draft: EntityDraft, catalog: Catalog) -> None:
    for parent in draft.parents:
        if parent.target is not None and draft.id in catalog.ancestors(parent.target):
            parent.messages.append(Message("Error", Code.PARENT_CYCLE, "The parents form a cycle."))


def _check_obligatory(
    draft: EntityDraft, catalog: Catalog, rules: Rules, known: dict[tuple[int, ...], dict[int, str]]
) -> None:
    reaction = draft.flags.get("force-missing-obligatory", rules.missing_obligatory).lower()
    if reaction == "ignore":
        return
    key = tuple(parent.target for parent in draft.parents if parent.target is not None)
    if key not in known:
        types = frozenset().union(*(catalog.ancestors(one) for one in key))
        known[key] = {
            spec.property: spec.name
            for one in sorted(types)
            for spec, _ in catalog.statements(one)
            if spec.importance == Importance.OBLIGATORY
        }
    missing = (
        known[key].keys() - {prop.spec.property for prop in draft.properties if prop.spec is not None}
        if known[key]
        else ()
    )
    kind = "Warning" if reaction == "warn" else "Error"
    for prop in sorted(missing):
        draft.messages.append(
            Message(kind, Code.OBLIGATORY_MISSING, f"An obligatory property is missing: '{known[key][prop]}'.")
        )


def _summarise(draft: EntityDraft) -> None:
    """Say on the entity that the cause sits on a child, as the client expects."""
    if any(message.kind == "Error" for parent in draft.parents for message in parent.messages):
        draft.error(Code.UNQUALIFIED_PARENTS, "Entity has unqualified parents.")
    if any(message.kind == "Error" for prop in draft.properties for message in prop.messages):
        draft.error(Code.UNQUALIFIED_PROPERTIES, "Entity has unqualified properties.")


def _check_unique(drafts: list[EntityDraft], catalog: Catalog) -> None:
    catalog.expect_names(draft.name for draft in drafts if draft.name)
    for draft in drafts:
        if draft.name and fold(draft.name) and catalog.by_name(draft.name) != [draft.id]:
            draft.error(
                Code.UNIQUE_NAMES,
                f"Name is already in use: '{draft.name[:80]}'. Choose a different name or reuse the existing entity.",
            )


def _warnings_become_errors(drafts: list[EntityDraft]) -> None:
    for draft in drafts:
        draft.messages = [
            message._replace(kind="Error") if message.kind == "Warning" else message for message in draft.messages
        ]
