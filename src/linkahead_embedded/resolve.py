"""From what a request says to what it means: parents, properties, datatypes and values of a batch.

The order inside a batch: ids are given to all first, then datatypes of abstract entities, then parents, properties,
inheritance, values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .catalog import Catalog, LookupFailedError
from .errors import Code, ValueFormatError
from .model import (
    INHERITED,
    NULL_VALUE,
    Base,
    Datatype,
    EntityDraft,
    EntityInfo,
    Importance,
    Message,
    ParentDraft,
    PropertyDraft,
    PropertySpec,
    Role,
    Typed,
)
from .render import property_opening
from .values import parse_value, split_reference

_SpecKey = tuple[str | None, str | None, str | None, str | None, str | None, str | None, Role | None]
_DEFAULT_IMPORTANCE = {Role.RECORD_TYPE: Importance.SUGGESTED}


class Resolver:
    """Resolves the drafts of one transaction; errors are noted where they belong."""

    def __init__(self, catalog: Catalog, known_parents: dict[int, set[int]] | None = None) -> None:
        self._catalog = catalog
        self._known_parents = known_parents or {}
        self._specs: dict[_SpecKey, PropertySpec | LookupFailedError] = {}
        self._parents: dict[tuple[str | None, str | None], EntityInfo] = {}

    def resolve(self, drafts: list[EntityDraft]) -> None:
        """Resolve all drafts; afterwards each has its parents, specs and typed values, or error messages."""
        for draft in drafts:
            self._resolve_type(draft)
        for draft in drafts:
            self._resolve_parents(draft)
        for draft in drafts:
            for prop in draft.properties:
                self._resolve_property(draft, prop)
        for draft in _parents_first(drafts, self._catalog):
            self._inherit(draft)
        references: list[tuple[PropertyDraft, Typed]] = []
        for draft in drafts:
            self._resolve_content(draft)
            for prop in draft.properties:
                spec = prop.spec
                if spec is None:
                    continue
                if not prop.typed:
                    self._resolve_values(prop, spec.datatype)
                if spec.datatype.code >= Base.REFERENCE:
                    references.extend((prop, value) for value in prop.typed if value.target is not None)
        self._check_targets(references)

    def _resolve_type(self, draft: EntityDraft) -> None:
        if draft.datatype is None:
            return
        try:
            draft.resolved_type = self._catalog.datatype(draft.datatype)
        except LookupFailedError as problem:
            draft.messages.append(problem.message)

    def _resolve_parents(self, draft: EntityDraft) -> None:
        seen: set[int] = set()
        for parent in draft.parents:
            key = (parent.id, parent.name)
            info = self._parents.get(key)
            if info is None:
                try:
                    info = self._catalog.resolve(parent.id, parent.name, *_parent_roles(draft))
                except LookupFailedError as problem:
                    parent.messages.append(problem.message)
                    continue
                self._parents[key] = info
            if info.id == draft.id:
                parent.messages.append(Message("Error", Code.PARENT_CYCLE, "An entity can't be its own parent."))
                continue
            parent.target, parent.name = info.id, info.name
            seen.add(info.id)
        if len(seen) < len(draft.parents):
            draft.parents = _without_repeats(draft.parents)

    def _resolve_property(self, draft: EntityDraft, prop: PropertyDraft) -> None:
        key = (prop.id, prop.name, prop.description, prop.datatype, prop.unit, prop.importance, draft.role)
        spec = self._specs.get(key)
        if spec is None:
            try:
                spec = self._spec(draft, prop)
            except LookupFailedError as problem:
                spec = problem
            self._specs[key] = spec
        if isinstance(spec, LookupFailedError):
            prop.messages.append(spec.message)
        else:
            prop.spec = spec

    def _spec(self, draft: EntityDraft, prop: PropertyDraft) -> PropertySpec:
        """Complete a property from its abstract property; what the request gives explicitly wins."""
        catalog = self._catalog
        info = catalog.resolve(prop.id, prop.name, Role.PROPERTY, Role.RECORD_TYPE)
        importance = (prop.importance or _DEFAULT_IMPORTANCE.get(draft.role or Role.RECORD, Importance.FIX)).upper()
        if importance not in Importance.__members__:
            raise LookupFailedError(Code.MALFORMED_REQUEST, f"Unknown importance '{importance[:40]}'.")
        if prop.datatype is not None:
            datatype = catalog.datatype(prop.datatype)
        elif info.datatype is not None:
            datatype = info.datatype
        elif info.role in (Role.RECORD_TYPE, Role.RECORD):
            datatype = Datatype(info.id, is_list=False)
        elif info.role is Role.FILE:
            datatype = Datatype(Base.FILE, is_list=False)
        else:
            raise LookupFailedError(Code.NO_DATATYPE, f"The property '{info.name}' has no datatype.")
        name_override = prop.name if prop.id and prop.name and prop.name != info.name else None
        description_override = prop.description if prop.description and prop.description != info.description else None
        name, description = name_override or info.name, description_override or info.description
        unit = prop.unit or info.unit
        return PropertySpec(
            property=info.id,
            name=name or "",
            description=description,
            name_override=name_override,
            description_override=description_override,
            datatype=datatype,
            unit=unit,
            importance=importance,
            opening=property_opening(info.id, name, description, catalog.type_name(datatype), unit, importance),
        )

    def _inherit(self, draft: EntityDraft) -> None:
        """Copy properties from parents, as the inheritance flags ask; for Records the flag has no effect.

        On an entity that was retrieved before, the client sets the flags itself, so that they mean nothing on parents
        it had already. An entity that was made from a model is sent without a version, and there they are meant: else
        a second synchronisation would remove what the first inherited.
        """
        if draft.role not in (Role.RECORD_TYPE, Role.PROPERTY):
            return
        own = {prop.spec.property for prop in draft.properties if prop.spec is not None}
        known = self._known_parents.get(draft.id, set()) if draft.is_resent else set()
        for parent in draft.parents:
            wanted = INHERITED.get(parent.inheritance or "", frozenset())
            if parent.target is None or parent.target in known or not wanted:
                continue
            for spec, values in self._catalog.statements(parent.target):
                if spec.importance in wanted and spec.property not in own:
                    own.add(spec.property)
                    draft.properties.append(
                        PropertyDraft(
                            None, spec.name, None, None, None, spec.importance, spec=replace(spec), typed=list(values)
                        )
                    )

    def _resolve_content(self, draft: EntityDraft) -> None:
        """Type the default value of an abstract property."""
        if draft.values is None or draft.role is Role.QUERY_TEMPLATE:
            return
        if draft.resolved_type is None:
            if any(value and value.strip() for value in draft.values):
                draft.error(Code.NO_DATATYPE, "The entity has a value but no datatype.")
            draft.values = None
            return
        carrier = PropertyDraft(None, None, None, None, None, None, values=draft.values)
        self._resolve_values(carrier, draft.resolved_type)
        draft.messages.extend(carrier.messages)
        draft.typed = carrier.typed

    def _resolve_values(self, prop: PropertyDraft, datatype: Datatype) -> None:
        texts = prop.values
        if texts is None:
            prop.typed = [NULL_VALUE]
            return
        if len(texts) > 1 and not datatype.is_list:
            prop.messages.append(Message("Error", Code.BAD_VALUE, "Several values for a property that is no list."))
            return
        code = datatype.code
        try:
            if code >= Base.REFERENCE:
                prop.typed = [self._reference(text, code) for text in texts]
            else:
                prop.typed = [
                    NULL_VALUE if text is None or (not text and code != Base.TEXT) else parse_value(text, code)
                    for text in texts
                ]
        except ValueFormatError as problem:
            prop.messages.append(Message("Error", Code.BAD_VALUE, f"Cannot parse value: {problem}"))
        except LookupFailedError as problem:
            prop.messages.append(problem.message)

    def _reference(self, text: str | None, code: int) -> Typed:
        if not text or not text.strip():
            return NULL_VALUE
        split = split_reference(text)
        if split is not None:
            number, version = split
            if number < 0:
                draft = self._catalog.draft_of(str(number))
                if draft is None:
                    raise LookupFailedError(
                        Code.ENTITY_DOES_NOT_EXIST, f"The reference {number} names no entity of this request."
                    )
                number = draft.id
            return Typed(target=number, lexical=f"{number}{version}" if version else None)
        return Typed(target=self._target_by_name(text.strip(), code))

    def _target_by_name(self, name: str, code: int) -> int:
        candidates = [one for one in self._catalog.by_name(name) if self._fits(one, code)]
        if not candidates:
            raise LookupFailedError(Code.ENTITY_DOES_NOT_EXIST, f"The referenced entity does not exist: '{name[:80]}'.")
        if len(candidates) > 1:
            raise LookupFailedError(
                Code.AMBIGUOUS_NAME, f"The reference '{name[:80]}' is ambiguous: {len(candidates)} entities."
            )
        return candidates[0]

    def _fits(self, target: int, code: int) -> bool:
        """Tell whether an entity may be the value of a reference of a type."""
        if code == Base.REFERENCE:
            return True
        if code == Base.FILE:
            info = self._catalog.info(target)
            return info is not None and info.role is Role.FILE
        return code == target or code in self._catalog.ancestors(target)

    def _check_targets(self, references: list[tuple[PropertyDraft, Typed]]) -> None:
        targets = {
            value.target
            for _, value in references
            if value.target is not None and value.target not in self._catalog.batch
        }
        stored = self._catalog.existing(targets) if targets else {}
        fitting: dict[tuple[int, int], bool] = {}
        for prop, value in references:
            target, spec = value.target, prop.spec
            if target is None or spec is None:
                continue
            if target not in stored and target not in self._catalog.batch:
                prop.messages.append(
                    Message("Error", Code.ENTITY_DOES_NOT_EXIST, f"The referenced entity {target} does not exist.")
                )
                continue
            key = (target, spec.datatype.code)
            if key not in fitting:
                fitting[key] = self._fits(target, spec.datatype.code)
            if not fitting[key]:
                expected = self._catalog.type_name(Datatype(spec.datatype.code, is_list=False))
                prop.messages.append(
                    Message("Error", Code.WRONG_REFERENCE_TYPE, f"The referenced entity {target} is no {expected}.")
                )


def _parent_roles(draft: EntityDraft) -> tuple[Role, ...]:
    return (Role.PROPERTY, Role.RECORD_TYPE) if draft.role is Role.PROPERTY else (Role.RECORD_TYPE,)


def _without_repeats(parents: list[ParentDraft]) -> list[ParentDraft]:
    kept: dict[int, ParentDraft] = {}
    refused = []
    for parent in parents:
        if parent.target is None:
            refused.append(parent)
        else:
            kept.setdefault(parent.target, parent)
    return list(kept.values()) + refused


def _parents_first(drafts: list[EntityDraft], catalog: Catalog) -> Iterator[EntityDraft]:
    """Give each draft after those that it inherits from; cycles are met by the validation later."""
    done: set[int] = set()
    for root in drafts:
        stack = [(root, False)]
        while stack:
            draft, is_expanded = stack.pop()
            if is_expanded:
                yield draft
            elif draft.id not in done:
                done.add(draft.id)
                stack.append((draft, True))
                stack.extend(
                    (above, False)
                    for parent in draft.parents
                    if parent.target and (above := catalog.batch.get(parent.target))
                )
