"""What a later revision of a folder does to the records that the earlier one made.

The crawler moves a record over that is identified again, but it never takes anything away: a parent, a property or a
record that the new revision no longer has would stay. What is taken away here stays in the history of the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from linkahead.common.datatype import LIST, get_list_datatype
from linkahead.queries import query
from linkahead.utils.escape import escape_squoted_text

from heartbrain_ingest.crawl.client import db
from heartbrain_ingest.crawl.model import ModelView
from heartbrain_ingest.crawl.prefetch import PrefetchingAdapter

#: Images and recordings of a session, and what they become when a revision drops them.
ACQUISITION = "Acquisition"
SUPERSEDED = "SupersededAcquisition"


@dataclass(frozen=True, kw_only=True)
class Retired:
    """What was taken away."""

    #: Ids of records that lost a parent, a property or the type of a reference.
    changed: set[int] = field(default_factory=set)
    #: Names of acquisitions that the revision no longer has.
    superseded: tuple[str, ...] = ()
    #: The database knows a later revision than the crawled one.
    outdated: bool = False


def retire(entities: list[Any], *, view: ModelView, adapter: PrefetchingAdapter) -> Retired:
    """Take away what the crawled revision of a session no longer has; do nothing for a first revision.

    Parameters
    ----------
    entities
        What was read from the folder.
    view
        The data model; only properties that it gives to a RecordType are taken away, so what others have added stays.
    adapter
        Fetches the session's records.

    Returns
    -------
    Retired
        What was taken away.
    """
    acquired = {
        entity.name: entity
        for entity in entities
        if entity.role == "Record"
        and entity.parents
        and view.is_below(entity.parents[0].name, ACQUISITION)
        # An image that a recording refers to is only named.
        and entity.get_property("Project") is not None
    }
    sessions = {
        id(entity.get_property("Session").value): entity.get_property("Session").value for entity in acquired.values()
    }
    if len(sessions) != 1:
        return Retired()
    crawled = next(iter(sessions.values()))
    stored = _stored_session(crawled)
    if stored is None or _revision(stored) == _revision(crawled):
        return Retired()
    if _revision(stored) > _revision(crawled):
        return Retired(outdated=True)
    stored_records = adapter.group(ACQUISITION, "Session", stored.id)
    superseded = [record for record in stored_records if record.name not in acquired]
    gone = frozenset(record.id for record in superseded)
    changed: list[Any] = []
    for record in stored_records:
        successor = acquired.get(record.name)
        if successor is None:
            _supersede(record, view)
        # All of them in one update: none may be left with a reference that its type forbids.
        elif _release(record, gone, view) | _strip(record, successor, view):
            changed.append(record)
    known = {record.id for record in stored_records}
    changed += [record for record in _referring(gone, view) if record.id not in known and _release(record, gone, view)]
    if superseded or changed:
        db.Container().extend([*superseded, *changed]).update(unique=False)
        adapter.forget()
    return Retired(
        changed={record.id for record in changed}, superseded=tuple(sorted(record.name for record in superseded))
    )


def _stored_session(crawled: Any) -> Any:
    """Find the session in the database by the names of its project, subject and itself."""
    project = crawled.get_property("Project").value.name
    found = query(
        f"FIND RECORD 'Session' WITH name='{escape_squoted_text(crawled.name)}' "
        f"AND 'Project'='{escape_squoted_text(project)}'"
    )
    return found[0] if len(found) == 1 else None


def _revision(session: Any) -> int:
    prop = session.get_property("Revision")
    return int(prop.value) if prop is not None and prop.value is not None else 1


def _supersede(record: Any, view: ModelView) -> None:
    """Take a record out of the acquisitions; what it refers to stays, and may be superseded with it or later."""
    record.parents.clear()
    record.add_parent(SUPERSEDED)
    for prop in record.properties:
        if _holds_acquisitions(prop, view):
            _widen(prop)


def _release(record: Any, gone: frozenset[int], view: ModelView) -> bool:
    """Let a record that stays refer to none of the superseded ones by a type they have lost; tell whether it did.

    A property of the model loses the values, for the crawl that follows sets it anew. What others have added keeps them
    and its type is widened.
    """
    of_model = _of_model(record, view)
    dropped = []
    released = False
    for prop in record.properties:
        values = prop.value if isinstance(prop.value, list) else [prop.value]
        left = [value for value in values if _target(value) not in gone]
        if len(left) == len(values) or not _holds_acquisitions(prop, view):
            continue
        released = True
        if prop.name not in of_model:
            _widen(prop)
        elif left:
            prop.value = left
        else:
            dropped.append(prop.name)
    for name in dropped:
        record.remove_property(name)
    return released


def _referring(gone: frozenset[int], view: ModelView) -> list[Any]:
    """Fetch the records of the model's types that refer to one of some records.

    A crawl may write any of them, and could not after the type of a reference is no longer true: others may have let a
    session refer to its best image. Records of other types are nobody's business here.
    """
    found = {record.id: record for target in sorted(gone) for record in query(f"FIND RECORD WHICH REFERENCES {target}")}
    return [record for record in found.values() if any(parent.name in view.of_record_type for parent in record.parents)]


def _target(value: object) -> int | None:
    """Give the id that a reference names, with or without a version (`12@5f3a`)."""
    number = str(value).partition("@")[0]
    return int(number) if number.isdecimal() else None


def _holds_acquisitions(prop: Any, view: ModelView) -> bool:
    """Tell whether a property may refer to acquisitions and not to superseded ones: by its type, e.g. LIST<MRImage>."""
    datatype = str(prop.datatype)
    return view.is_below(get_list_datatype(datatype) or datatype, ACQUISITION)


def _widen(prop: Any) -> None:
    """Let a property of a record refer to anything, as the type REFERENCE does."""
    prop.datatype = db.REFERENCE if get_list_datatype(str(prop.datatype)) is None else LIST(db.REFERENCE)


def _of_model(record: Any, view: ModelView) -> frozenset[str]:
    """Give the names of the properties that the model gives to the record's types."""
    return frozenset(name for parent in record.parents for name in view.of_record_type.get(parent.name, {}))


def _strip(record: Any, successor: Any, view: ModelView) -> bool:
    """Take away parents and properties that the successor lacks; tell whether there were any."""
    wanted = {parent.name for parent in successor.parents}
    surplus = [parent for parent in record.parents if parent.name not in wanted]
    of_model = _of_model(record, view)
    kept = {prop.name for prop in successor.properties}
    dropped = [prop.name for prop in record.properties if prop.name in of_model and prop.name not in kept]
    if surplus:
        record.parents.clear()
        for parent in successor.parents:
            record.add_parent(parent.name)
    for name in dropped:
        record.remove_property(name)
    return bool(surplus or dropped)
