"""From a wish to requests: pre-flight, batches, and the rules that ask by themselves."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from linkahead.queries import query
from linkahead.utils.escape import escape_squoted_text

from heartbrain_ingest.crawl.client import database_errors, db
from heartbrain_ingest.errors import HeartbrainError
from heartbrain_ingest.postprocessing import bridge
from heartbrain_ingest.postprocessing.catalogue import (
    Misfit,
    as_text,
    choose,
    fill_parameters,
    function_number,
    look_up,
    misfits,
    read_parameters,
)
from heartbrain_ingest.postprocessing.errors import (
    BridgeSettingsError,
    ParametersError,
    UnavailableFunctionError,
    UnknownFunctionError,
)
from heartbrain_ingest.postprocessing.inputs import InputReader, InputRecord, job_names
from heartbrain_ingest.postprocessing.linkahead_store import RECORD_TYPE
from heartbrain_ingest.postprocessing.requests import WORDS, Status, request_name
from heartbrain_ingest.postprocessing.routes import is_in_use, routes_of
from heartbrain_ingest.postprocessing.rules import RequestRule, load_rules
from heartbrain_ingest.postprocessing.users import Users
from heartbrain_ingest.settings import Settings
from hpc_bridge.errors import BridgeError
from hpc_bridge.protocol import Description

_CHUNK = 200
_INPUTS_AT_ONCE = 40
#: Questions travel in addresses, which have an end.
_LONGEST_QUESTION = 1_000
#: A request in one of these has no result and will not get one.
_WITHOUT_RESULT = frozenset({Status.FAILED, Status.CANCELLED, Status.LOST, Status.REFUSED})


class NothingToDoError(HeartbrainError):
    """Nothing fits: look at what the question finds with `heartbrain query`."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One request to be, or why it will not be."""

    inputs: tuple[InputRecord, ...]
    #: Bytes and expected minutes of computing.
    size: int = 0
    minutes: float = 0.0
    #: What keeps it from being sent.
    misfits: tuple[Misfit, ...] = ()
    #: Name and status of a request for the same that has a result or is under way.
    existing: str = ""
    existing_status: Status | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps it from being sent, in plain words."""
        return tuple(map(str, self.misfits))

    @property
    def is_ready(self) -> bool:
        """Whether it would be registered."""
        return not self.misfits and not self.existing


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What would be asked for."""

    function: Description
    parameters: Mapping[str, Any]
    items: tuple[Item, ...]

    @property
    def ready(self) -> list[Item]:
        """Those that would be registered."""
        return [item for item in self.items if item.is_ready]

    @property
    def minutes(self) -> float:
        """Expected minutes of computing of all that would be registered."""
        return sum(item.minutes for item in self.ready)

    def as_data(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "function": self.function.name,
            "version": self.function.version,
            "parameters": dict(self.parameters),
            "minutes": round(self.minutes, 1),
            "requests": [
                {
                    "inputs": [{"id": one.id, "name": one.name} for one in item.inputs],
                    "bytes": item.size,
                    "minutes": round(item.minutes, 1),
                    "problems": list(item.problems),
                    "existing": item.existing or None,
                    "existing_status": str(item.existing_status) if item.existing_status else None,
                }
                for item in self.items
            ],
        }

    def lines(self) -> list[str]:
        """Say it in plain words."""
        ready = self.ready
        size = sum(item.size for item in ready)
        lines = [
            f"{self.function.name} {self.function.version}: {self.function.title}",
            f"{len(ready)} to run, {size / 1e6:.0f} MB, about {_duration(self.minutes)} of computing"
            + (f" ({_duration(max(item.minutes for item in ready))} the longest)" if len(ready) > 1 else ""),
        ]
        for item in self.items:
            name = ", ".join(one.name for one in item.inputs)
            if item.existing:
                state = "has a result" if item.existing_status is Status.FINISHED else "is under way"
                lines.append(f"  not again: {name}: {item.existing} {state}")
            lines += [f"  can't run: {problem}" for problem in item.problems]
        return lines


def _duration(minutes: float) -> str:
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"  # noqa: PLR2004 - minutes still say something


def find_inputs(question: str) -> list[int]:
    """Give the numbers of the records that a question finds."""
    with database_errors("asking which"):
        found = query(question)
    if isinstance(found, int):
        raise NothingToDoError("the question counts; ask with FIND")
    return [int(one.id) for one in found if one.role == "Record"]


def group_inputs(name: str) -> list[int]:
    """Give the numbers of the images of an ImageGroup.

    Raises
    ------
    NothingToDoError
        When there is no such group.
    """
    with database_errors("reading the group"):
        found = query(f"FIND RECORD 'ImageGroup' WITH name='{escape_squoted_text(name)}'")
    if len(found) != 1:
        raise NothingToDoError(f"{len(found)} groups are called {name!r}")
    prop = found[0].get_property("Images")
    values = prop.value if prop is not None and isinstance(prop.value, list) else []
    return [int(str(getattr(value, "id", value)).partition("@")[0]) for value in values]


def read_catalogue(settings: Settings, user: str) -> list[Description]:
    """Give what a user can have run.

    Raises
    ------
    BridgeSettingsError
        When no route serves the user, or its bucket can't be used.
    """
    routes = routes_of(settings)
    name = Users(routes).route_of(user)
    route = next((one for one in routes if one.name == name), None)
    if route is None:
        raise BridgeSettingsError(f"no route serves {user}")
    try:
        return bridge.open_transport(settings, route).catalogue()
    except BridgeError as problem:
        raise BridgeSettingsError(f"{route.name}: {problem}") from None


def preflight(
    settings: Settings,
    *,
    catalogue: Iterable[Description],
    function: str,
    inputs: Sequence[int],
    words: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    version: str = "",
    together: bool = False,
    again: bool = False,
    reader: InputReader | None = None,
    records: Mapping[int, InputRecord] | None = None,
) -> Preflight:
    """Find out what would run, on how much, for how long, what exists already and what is missing.

    Parameters
    ----------
    inputs
        Numbers of images or recordings.
    words
        Parameters as `name=value`.
    parameters
        Parameters as values.
    together
        One request with all inputs instead of one for each.
    again
        Ask once more for what has a result or is under way.
    reader, records
        What finds the files of inputs and what it found, if that is known already.

    Raises
    ------
    UnknownFunctionError, ParametersError
        When the function or the parameters do not fit.
    """
    description = choose(catalogue, function, version)
    given = {**(parameters or {}), **read_parameters(words, description.parameters)}
    filled = fill_parameters(description, given)
    reader = reader or bridge.input_reader(settings)
    records = reader.read(inputs) if records is None else records
    present = [records[number] for number in dict.fromkeys(inputs) if number in records]
    groups = [tuple(present)] if together and present else [(one,) for one in present]
    existing = {} if again else _existing(description, as_text(filled), [one.id for one in present])
    return Preflight(
        function=description,
        parameters=filled,
        items=tuple(_item(description, group, reader, existing) for group in groups),
    )


def _item(
    function: Description,
    group: tuple[InputRecord, ...],
    reader: InputReader,
    existing: Mapping[tuple[int, ...], tuple[str, Status]],
) -> Item:
    named = job_names(group)
    size = sum(file.size for file in named.values())
    name, status = existing.get(tuple(sorted(one.id for one in group)), ("", None))
    return Item(
        inputs=group,
        size=size,
        minutes=function.minutes.amount(size, len(named)),
        misfits=tuple(misfits(function, group, reader)),
        existing=name,
        existing_status=status,
    )


def _existing(
    function: Description, parameters: str, inputs: Sequence[int]
) -> dict[tuple[int, ...], tuple[str, Status]]:
    """Give the requests for the same function, version and parameters by their inputs."""
    found: list[Any] = []
    same_work = (
        f"Function='{escape_squoted_text(function.name)}' "
        f"AND (FunctionVersion='{escape_squoted_text(function.version)}' OR Status='{Status.NEW}')"
    )
    if len(parameters) <= _LONGEST_QUESTION:
        same_work += f" AND Parameters='{escape_squoted_text(parameters)}'"
    with database_errors("looking for requests like these"):
        # So that the answer stays as small as what is asked for, however many requests there ever were.
        for start in range(0, len(inputs), _INPUTS_AT_ONCE):
            meant = " OR ".join(f"Inputs={number}" for number in inputs[start : start + _INPUTS_AT_ONCE])
            found += query(f"FIND RECORD '{RECORD_TYPE}' WITH {same_work} AND ({meant})")
    same: dict[tuple[int, ...], tuple[str, Status]] = {}
    for record in found:
        facts = {prop.name: prop.value for prop in record.get_properties()}
        try:
            status = Status(str(facts.get("Status")))
        except ValueError:
            continue
        if status in _WITHOUT_RESULT or facts.get("Parameters") != parameters:
            continue
        values = facts.get("Inputs") or []
        numbers = sorted(int(str(getattr(value, "id", value)).partition("@")[0]) for value in values)
        key = tuple(numbers)
        if key not in same or status is Status.FINISHED:
            same[key] = (record.name or str(record.id), status)
    return same


def register(plan: Preflight, *, user: str, moment: datetime | None = None, token: str = "") -> list[str]:
    """Insert the requests of a pre-flight; give their names.

    Parameters
    ----------
    user
        Who asks.
    moment
        When; now by default.
    token
        What makes this wish this one: with the same token the same requests are made once, however often it is said.
    """
    now = moment or datetime.now(UTC)
    wishes = _wishes(plan, plan.ready, user=user, mark=token or now.isoformat())
    known = _known_names([wish.name for wish in wishes]) if token else set()
    _insert(plan.function.name, [wish for wish in wishes if wish.name not in known], user=user, now=now)
    return [wish.name for wish in wishes]


def registered_before(plan: Preflight, *, user: str, token: str) -> list[str]:
    """Give the names of the requests of a pre-flight that were made with the same token."""
    wishes = _wishes(plan, plan.items, user=user, mark=token)
    return sorted(_known_names([wish.name for wish in wishes]))


def _wishes(plan: Preflight, items: Iterable[Item], *, user: str, mark: str) -> list[_Wish]:
    text = as_text(plan.parameters)
    function = plan.function
    return [
        _Wish(
            name=request_name(function.name, function.version, text, mark, user, *_ids(item)),
            inputs=tuple(_ids(item)),
            version=function.version,
            parameters=text,
        )
        for item in items
    ]


def _ids(item: Item) -> list[int]:
    return [one.id for one in item.inputs]


@dataclass(frozen=True, kw_only=True)
class _Wish:
    name: str
    inputs: tuple[int, ...]
    version: str
    parameters: str


def _insert(function: str, wishes: Sequence[_Wish], *, user: str, now: datetime) -> list[str]:
    if not wishes:
        return []
    number = function_number(function)
    with database_errors("inserting requests"):
        for start in range(0, len(wishes), _CHUNK):
            records = []
            for wish in wishes[start : start + _CHUNK]:
                record = db.Record(name=wish.name).add_parent(RECORD_TYPE)
                record.add_property(name="Function", value=number)
                record.add_property(name="FunctionVersion", value=wish.version)
                record.add_property(name="Inputs", value=list(wish.inputs), datatype="LIST<Acquisition>")
                record.add_property(name="Parameters", value=wish.parameters)
                record.add_property(name="Status", value=str(Status.NEW))
                record.add_property(name="StatusMessage", value=WORDS[Status.NEW])
                record.add_property(name="SubmittedBy", value=user)
                record.add_property(name="RequestTime", value=now.strftime("%Y-%m-%dT%H:%M:%S+0000"))
                records.append(record)
            # Names of requests are their own; nobody else's record has to be looked at.
            db.Container().extend(records).insert(unique=False)
    return [wish.name for wish in wishes]


def own_user_name() -> str:
    """Give who asks at this machine's command line."""
    return getpass.getuser()


def register_by_rules(
    settings: Settings, *, moment: datetime | None = None, waiting: dict[str, str] | None = None
) -> dict[str, int]:
    """Ask for what the rules in postprocessing.yml ask for; done again it asks for nothing.

    Parameters
    ----------
    moment
        When it is asked for  [default: now].
    waiting
        Takes, by rule, why what it would ask for can't be run at the moment; the next call tries again.

    Returns
    -------
    dict[str, int]
        Number of new requests by rule. Empty when no computing centre offers anything.
    """
    rules = load_rules(settings)
    enabled = [rule for rule in rules.rules if rule.enabled]
    if not enabled or not is_in_use(settings):
        return {}
    bridge.connect(settings)
    if Users(routes_of(settings)).route_of(RULES_USER) is None:
        return {}
    catalogue = read_catalogue(settings, RULES_USER)
    now = moment or datetime.now(UTC)
    made: dict[str, int] = {}
    for rule in enabled:
        try:
            made[rule.name] = _apply_rule(settings, rule, catalogue, most=rules.at_most_per_run, now=now)
        except UnavailableFunctionError as problem:
            if waiting is not None:
                waiting[rule.name] = problem.detail
        except (UnknownFunctionError, ParametersError):
            continue  # offered later, or elsewhere
    return {name: count for name, count in made.items() if count}


#: Who asks when a rule asks.
RULES_USER = "rules"


def _apply_rule(
    settings: Settings, rule: RequestRule, catalogue: Sequence[Description], *, most: int, now: datetime
) -> int:
    function = look_up(catalogue, rule.function, rule.version)
    filled = fill_parameters(function, rule.parameters)
    conditions = f"({rule.condition}) AND " if rule.condition else ""
    inputs = find_inputs(
        f"FIND RECORD '{rule.record_type}' WITH {conditions}"
        f"NOT (REFERENCED BY {RECORD_TYPE} WITH Function='{rule.function}')"
    )
    if inputs and function.unavailable:
        raise UnavailableFunctionError(f"{rule.function}: {function.unavailable}")
    ready: list[Item] = []
    for start in range(0, len(inputs), _CHUNK):
        ready += preflight(
            settings,
            catalogue=catalogue,
            function=rule.function,
            inputs=sorted(inputs)[start : start + _CHUNK],
            parameters=rule.parameters,
            version=rule.version,
        ).ready
        if len(ready) >= most:
            break
    text = as_text(filled)
    wishes = [
        # The same image gets the same name again, after a database was set up anew as well.
        _Wish(
            name=request_name(rule.function, function.version, text, item.inputs[0].files[0].place),
            inputs=tuple(_ids(item)),
            version=function.version,
            parameters=text,
        )
        for item in ready[:most]
    ]
    known = _known_names([wish.name for wish in wishes])
    return len(_insert(rule.function, [wish for wish in wishes if wish.name not in known], user=RULES_USER, now=now))


def _known_names(names: Sequence[str]) -> set[str]:
    known: set[str] = set()
    with database_errors("looking requests up"):
        for start in range(0, len(names), 20):
            conditions = " OR ".join(f"name='{name}'" for name in names[start : start + 20])
            known |= {one.name for one in query(f"FIND RECORD '{RECORD_TYPE}' WITH {conditions}")}
    return known
