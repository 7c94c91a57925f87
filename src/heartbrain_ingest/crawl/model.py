"""The LinkAhead data model: what the steward's YAML file says, and how it gets into a database that may hold data.

A model is loaded in an additive way: new RecordTypes, new Properties, further properties of a RecordType, changed
descriptions go in; what would change the meaning of stored values is refused with the list of what would break.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caosadvancedtools.models.data_model import DataModel
from caosadvancedtools.models.parser import parse_model_from_yaml

from heartbrain_ingest.crawl.client import database_errors, db
from heartbrain_ingest.crawl.values import PropertyType
from heartbrain_ingest.errors import DatabaseError, RulesError

Entity = Any
"""An entity of the official client, which has no type information."""


@dataclass(frozen=True, kw_only=True)
class ModelView:
    """What the converters need to know of the data model."""

    #: Every property by name, in the type and unit of its definition.
    properties: dict[str, PropertyType]
    #: For each RecordType, the properties that it or a RecordType above it asks for.
    of_record_type: dict[str, dict[str, PropertyType]]
    #: For each RecordType, itself and all RecordTypes above it.
    ancestors: dict[str, frozenset[str]]

    def is_below(self, name: str, base: str) -> bool:
        """Tell whether a RecordType is the base or below it."""
        return base in self.ancestors.get(name, frozenset())

    def type_of(self, name: str, record_type: str) -> PropertyType | None:
        """Give the type that a property has in records of a RecordType; None if the model does not know it."""
        own = self.of_record_type.get(record_type, {}).get(name)
        if own is not None:
            return own
        # A field of another kind of image (an ASL field beside a T1w image) keeps the type it has there.
        for properties in self.of_record_type.values():
            if name in properties:
                return properties[name]
        return self.properties.get(name)


def parse_datamodel(path: Path) -> dict[str, Entity]:
    """Read a data model file with the official parser.

    Parameters
    ----------
    path
        A file in the YAML format of caosadvancedtools.

    Returns
    -------
    dict[str, Entity]
        RecordTypes and Properties by name.

    Raises
    ------
    RulesError
        The file can't be read or is no data model.
    """
    try:
        model: dict[str, Entity] = parse_model_from_yaml(str(path))
    except Exception as error:  # the parser raises nearly every built-in exception
        raise RulesError(f"{path}: {error}") from error
    return model


#: What files say, by their digest: reading one takes most of a second.
_views: dict[str, ModelView] = {}


def _view(model: Mapping[str, Entity]) -> ModelView:
    properties = {name: _type_of(entity) for name, entity in model.items() if entity.role == "Property"}
    ancestors: dict[str, frozenset[str]] = {}
    record_types = {name: entity for name, entity in model.items() if entity.role == "RecordType"}

    def climb(name: str) -> frozenset[str]:
        if name not in ancestors:
            above = [climb(parent.name) for parent in record_types[name].parents if parent.name in record_types]
            ancestors[name] = frozenset({name}.union(*above))
        return ancestors[name]

    of_record_type = {
        name: {
            prop.name: _type_of(prop) for above in sorted(climb(name)) for prop in record_types[above].get_properties()
        }
        for name in record_types
    }
    return ModelView(properties=properties, of_record_type=of_record_type, ancestors=ancestors)


def view_datamodel(path: Path) -> ModelView:
    """Read a data model file for the converters; a file that did not change is read once per process."""
    digest = _digest(path)
    if digest not in _views:
        _views[digest] = _view(parse_datamodel(path))
    return _views[digest]


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RulesError(f"{path}: {error.strerror}") from error


def _datatype_name(datatype: object) -> str:
    if datatype is None:
        return ""
    name = getattr(datatype, "name", None)
    return name if isinstance(name, str) else str(datatype)


def _type_of(entity: Entity) -> PropertyType:
    name = _datatype_name(entity.datatype)
    is_list = name.startswith("LIST<")
    return PropertyType(element=name[5:-1] if is_list else name, is_list=is_list, unit=entity.unit or None)


def load_datamodel(path: Path, *, marker: Path | None = None) -> bool:
    """Bring the data model of a file into the database.

    Parameters
    ----------
    path
        The steward's data model file.
    marker
        Where to remember which model was loaded last; a model that did not change is then not compared again.

    Returns
    -------
    bool
        Whether anything changed in the database.

    Raises
    ------
    RulesError
        The file is no data model.
    DatabaseError
        The database can't be reached, or holds data that the changed model would break; nothing was changed then.
    """
    digest = _digest(path)
    with database_errors(f"loading {path.name}"):
        if marker is not None and _is_loaded(marker, digest):
            return False
        model = parse_datamodel(path)
        _views.setdefault(digest, _view(model))
        changed = _synchronize(model)
    if marker is not None:
        last = next(name for name in reversed(model) if model[name].role == "RecordType")
        marker.write_text(f"{digest} {last}\n", encoding="utf-8")
    return changed


def _is_loaded(marker: Path, digest: str) -> bool:
    """Tell whether the marked model is this one, and the database has it: it may have been set up anew since."""
    if not marker.is_file():
        return False
    marked, _, record_type = marker.read_text(encoding="utf-8").strip().partition(" ")
    return marked == digest and bool(record_type) and db.count(f"COUNT RECORDTYPE WITH name='{record_type}'") > 0


def _synchronize(model: dict[str, Entity]) -> bool:
    """Insert what is missing, extend what is there; refuse what would break stored data, before anything is written."""
    known = {entity.name.lower(): entity for entity in DataModel.get_existing_entities(list(model.values()))}
    changed = []
    conflicts: list[str] = []
    for name, entity in model.items():
        stored = known.get(name.lower())
        if stored is not None and _extend(stored, entity, conflicts):
            changed.append(stored)
    if conflicts:
        raise DatabaseError("the data model would break stored data: " + "; ".join(conflicts))
    new = [entity for name, entity in model.items() if name.lower() not in known]
    _take_ids(model, known.values())
    if new:
        container = db.Container().extend(new)
        container.insert()
        _take_ids(model, container)
    for stored in changed:
        for prop in stored.get_properties():
            if prop.id is None:
                prop.id = model[prop.name].id
        for parent in stored.parents:
            if parent.id is None:
                parent.id = model[parent.name].id
    if changed:
        db.Container().extend(changed).update()
    return bool(new or changed)


def _take_ids(model: Mapping[str, Entity], valid: Iterable[Entity]) -> None:
    """Give a model's entities, their properties and parents the ids of the entities of the same name."""
    ids = {entity.name.lower(): entity.id for entity in valid}
    for entity in model.values():
        for one in (entity, *entity.get_properties(), *entity.get_parents()):
            if one.name.lower() in ids:
                one.id = ids[one.name.lower()]


def _extend(stored: Entity, wanted: Entity, conflicts: list[str]) -> bool:
    """Bring what the file adds into an entity of the database; tell whether it changed."""
    if stored.role != wanted.role:
        conflicts.append(f"{wanted.name} is a {stored.role} in the database and a {wanted.role} in the file")
        return False
    changed = False
    if (wanted.description or "") != (stored.description or ""):
        stored.description = wanted.description
        changed = True
    if wanted.role == "Property":
        return _retype(stored, wanted, wanted.name, conflicts) or changed
    for prop in wanted.get_properties():
        there = stored.get_property(prop.name)
        if there is None:
            stored.add_property(
                name=prop.name,
                datatype=_datatype_name(prop.datatype) or None,
                unit=prop.unit,
                description=prop.description,
                importance=wanted.get_importance(prop.name),
            )
            changed = True
            continue
        changed |= _retype(there, prop, f"{wanted.name}.{prop.name}", conflicts)
        if prop.description and prop.description != there.description:
            there.description = prop.description
            changed = True
    parents = {parent.name.lower() for parent in stored.parents}
    for parent in wanted.parents:
        if parent.name.lower() not in parents:
            # Copies no property: the model calls all of them recommended.
            stored.add_parent(name=parent.name, inheritance=db.OBLIGATORY)
            changed = True
    return changed


def _retype(stored: Entity, wanted: Entity, label: str, conflicts: list[str]) -> bool:
    """Change type and unit of a property that no record uses; note a conflict if one does."""
    types = _datatype_name(stored.datatype), _datatype_name(wanted.datatype)
    units = stored.unit or "", wanted.unit or ""
    if types[0] == types[1] and units[0] == units[1]:
        return False
    used = db.count(f"COUNT RECORD WITH '{wanted.name}'")
    if used:
        before = " ".join(filter(None, (types[0], units[0])))
        after = " ".join(filter(None, (types[1], units[1])))
        conflicts.append(f"{label} is {before} in {used} records and {after} in the file")
        return False
    stored.datatype = wanted.datatype
    stored.unit = wanted.unit
    return True
