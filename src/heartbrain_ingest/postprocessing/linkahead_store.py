"""Requests as records in LinkAhead: whoever inserts one with the status `new` has asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from linkahead.queries import query
from linkahead.utils.escape import escape_squoted_text

from heartbrain_ingest.crawl.client import database_errors, db, value_of
from heartbrain_ingest.postprocessing.requests import ACTIVE, OWN_NAME, WORDS, Request, parse_status, request_name

RECORD_TYPE = "PostProcessingRequest"
FUNCTION_TYPE = "PostProcessingFunction"
_CHUNK = 200

#: Property of the record by field of the request, for what the bridge writes.
_TEXTS = {
    "FunctionVersion": "version",
    "Parameters": "parameters",
    "Status": "status",
    "StatusMessage": "message",
    "Job": "job",
    "SchedulerID": "scheduler_id",
    "SubmittedBy": "submitted_by",
}
_TIMES = {
    "RequestTime": "requested",
    "SubmissionTime": "submitted",
    "BeginTime": "began",
    "EndTime": "ended",
}
_NUMBERS = {"Progress": "progress", "Cost": "cost", "Attempt": "attempt"}
_REFERENCES = {"Results": ("results", "LIST<AnalysisResult>"), "LogFiles": ("logs", "LIST<FILE>")}


class LinkAheadStore:
    """The requests of some users.

    Parameters
    ----------
    serves
        Says of a LinkAhead user's name whether this store gives that user's requests.
    own_user
        The user that the bridge itself is in LinkAhead: what it inserts says in `SubmittedBy` who asked. None: what
        stands there is taken as it is, to be shown, not to be acted on.
    owner
        Gives whose a request is, from its number and who claims it.
    """

    def __init__(
        self,
        serves: Callable[[str], bool] = lambda user: True,  # noqa: ARG005
        *,
        own_user: str | None = None,
        owner: Callable[[int, str], str] = lambda number, claimed: claimed,  # noqa: ARG005
    ) -> None:
        self._serves = serves
        self._own_user = own_user
        self._owner = owner

    def active(self) -> list[Request]:
        """Ask for all requests that are not settled; one without a name of its own gets one."""
        conditions = " OR ".join(f"Status='{status}'" for status in sorted(ACTIVE))
        with database_errors("reading the requests"):
            found = list(query(f"FIND RECORD '{RECORD_TYPE}' WITH {conditions}"))
            named = [self._named(record) for record in sorted(found, key=lambda one: int(one.id))]
            names = _names_around(named)
        requests = [self._request(record, names) for record in named]
        return [request for request in requests if self._serves(request.submitted_by)]

    def of_job(self, job: str) -> Request | None:
        """Ask for the request with a job."""
        with database_errors("reading a request"):
            found = query(f"FIND RECORD '{RECORD_TYPE}' WITH Job='{escape_squoted_text(job)}'")
            if not found:
                return None
            names = _names_around(found[:1])
        return self._request(found[0], names)

    def get(self, name: str) -> Request | None:
        """Ask for the request with a name or a number."""
        condition = f"id={int(name)}" if name.isdecimal() else f"name='{escape_squoted_text(name)}'"
        with database_errors("reading a request"):
            found = query(f"FIND RECORD '{RECORD_TYPE}' WITH {condition}")
            names = _names_around(found)
        return self._request(found[0], names) if len(found) == 1 else None

    def read(self, records: Sequence[Any]) -> list[Request]:
        """Give the requests of records that were found already; their order stays."""
        with database_errors("reading the requests"):
            names = _names_around(records)
        return [self._request(record, names) for record in records]

    def update(self, changed: Request, seen: Request) -> Request | None:
        """Write what differs; LinkAhead can't compare and write at once, so little time lies between."""
        with database_errors("writing a request"):
            record = _retrieve(seen.id)
            if _revision(record) != seen.revision:
                return None
            if not _apply(record, changed):
                return seen
            record.update(unique=False)
            fresh = _retrieve(seen.id)
            names = _names_around([fresh])
        return self._request(fresh, names)

    def _request(self, record: Any, names: dict[int, str]) -> Request:
        attempt = value_of(record, "Attempt")
        status = parse_status(value_of(record, "Status"))
        return Request(
            id=int(record.id),
            name=record.name or "",
            function=names.get(_reference(record, "Function") or 0, ""),
            version=_text(record, "FunctionVersion"),
            parameters=_text(record, "Parameters"),
            inputs=_references(record, "Inputs"),
            status=status,
            message=_text(record, "StatusMessage") or WORDS[status],
            attempt=int(attempt) if attempt else 1,
            job=_text(record, "Job"),
            project=names.get(_reference(record, "Project") or 0, ""),
            submitted_by=self._asker(record),
            requested=_time(record, "RequestTime") or _inserted(record),
            submitted=_time(record, "SubmissionTime"),
            began=_time(record, "BeginTime"),
            ended=_time(record, "EndTime"),
            progress=_number(record, "Progress"),
            scheduler_id=_text(record, "SchedulerID"),
            cost=_number(record, "Cost"),
            results=_references(record, "Results"),
            logs=_references(record, "LogFiles"),
            revision=_revision(record),
        )

    def _asker(self, record: Any) -> str:
        """Give who asked: whom LinkAhead names, unless that is the bridge itself, which wrote it down."""
        written = _text(record, "SubmittedBy")
        user = getattr(record.version, "username", None) or ""
        claimed = written or user if self._own_user is None or user in {"", self._own_user} else user
        return self._owner(int(record.id), claimed)

    def _named(self, record: Any) -> Any:
        """Give a request that has no name of its own one; the same from every exchange that sees it so."""
        if _text(record, "Job"):
            return record
        name = record.name
        if name and OWN_NAME.fullmatch(name):
            return record
        if name:
            others = query(f"FIND RECORD '{RECORD_TYPE}' WITH name='{escape_squoted_text(name)}'")
            if len(others) == 1 or min(int(one.id) for one in others) == int(record.id):
                return record
        record.name = request_name(record.id, _revision(record))
        record.update(unique=False)
        return _retrieve(int(record.id))


def _retrieve(number: int) -> Any:
    # The client keeps answers by id: a request must be as it is now.
    container = db.Container().append(db.Record(id=number))
    container.retrieve(unique=False)
    return container[0]


def _apply(record: Any, changed: Request) -> bool:
    """Bring a request into its record; say whether anything differed."""
    touched = False
    for name, field in _TEXTS.items():
        value = str(getattr(changed, field))
        touched |= value != _text(record, name) and _set(record, name, value or None)
    for name, field in _TIMES.items():
        moment: datetime | None = getattr(changed, field)
        text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000") if moment else None
        touched |= _moment(text) != _time(record, name) and _set(record, name, text)
    for name, field in _NUMBERS.items():
        number = getattr(changed, field)
        touched |= number != _number(record, name) and _set(record, name, number)
    for name, (field, datatype) in _REFERENCES.items():
        targets = getattr(changed, field)
        touched |= targets != _references(record, name) and _set(record, name, list(targets) or None, datatype)
    project = _number_of_project(changed.project)
    if project is not None and project != _reference(record, "Project"):
        touched |= _set(record, "Project", project)
    return touched


def _number_of_project(name: str) -> int | None:
    found = query(f"FIND RECORD 'Project' WITH name='{escape_squoted_text(name)}'") if name else []
    return int(found[0].id) if len(found) == 1 else None


def _set(record: Any, name: str, value: object, datatype: str | None = None) -> bool:
    prop = record.get_property(name)
    if value is None:
        if prop is not None:
            record.remove_property(name)
        return prop is not None
    if prop is not None:
        prop.value = value
    elif datatype is not None:
        record.add_property(name=name, value=value, datatype=datatype)
    else:
        record.add_property(name=name, value=value)
    return True


def _text(record: Any, name: str) -> str:
    return str(value_of(record, name) or "")


def _number(record: Any, name: str) -> float | None:
    value = value_of(record, name)
    return None if value is None else float(value)


def _time(record: Any, name: str) -> datetime | None:
    return _moment(value_of(record, name))


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _inserted(record: Any) -> datetime | None:
    # Only as good as the version is the first one; written down as RequestTime when the request is sent.
    moment = _moment(getattr(record.version, "date", None))
    return moment.replace(microsecond=0) if moment else None


def _reference(record: Any, name: str) -> int | None:
    return next(iter(_references(record, name)), None)


def _references(record: Any, name: str) -> tuple[int, ...]:
    value = value_of(record, name)
    values = value if isinstance(value, list) else [value]
    numbers = (str(getattr(one, "id", one)).partition("@")[0] for one in values if one is not None)
    return tuple(int(number) for number in numbers if number.isdecimal())


def _revision(record: Any) -> str:
    return str(getattr(record.version, "id", "") or "")


def _names_around(records: Iterable[Any]) -> dict[int, str]:
    """Give the names of the functions and projects of requests by number."""
    numbers = (_reference(record, name) for record in records for name in ("Function", "Project"))
    wanted = sorted({number for number in numbers if number is not None})
    names: dict[int, str] = {}
    for start in range(0, len(wanted), _CHUNK):
        container = db.Container().extend([db.Record(id=one) for one in wanted[start : start + _CHUNK]])
        container.retrieve(unique=False, raise_exception_on_error=False)
        names |= {int(one.id): one.name or "" for one in container}
    return names
