"""What a later revision of a folder does to the records that the earlier one made.

The crawler moves a record over that is identified again, but it never takes anything away: a parent, a property or a
record that the new revision no longer has would stay. What is taken away here stays in the history of the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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

    #: Ids of records that lost a parent or a property.
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
    superseded: list[Any] = []
    changed: list[Any] = []
    for record in adapter.group(ACQUISITION, "Session", stored.id):
        successor = acquired.get(record.name)
        if successor is None:
            record.parents.clear()
            record.add_parent(SUPERSEDED)
            superseded.append(record)
        elif _strip(record, successor, view):
            changed.append(record)
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


def _strip(record: Any, successor: Any, view: ModelView) -> bool:
    """Take away parents and properties that the successor lacks; tell whether there were any."""
    wanted = {parent.name for parent in successor.parents}
    surplus = [parent for parent in record.parents if parent.name not in wanted]
    of_model: Mapping[str, object] = {
        name: kind for parent in record.parents for name, kind in view.of_record_type.get(parent.name, {}).items()
    }
    kept = {prop.name for prop in successor.properties}
    dropped = [prop.name for prop in record.properties if prop.name in of_model and prop.name not in kept]
    if surplus:
        record.parents.clear()
        for parent in successor.parents:
            record.add_parent(parent.name)
    for name in dropped:
        record.remove_property(name)
    return bool(surplus or dropped)
