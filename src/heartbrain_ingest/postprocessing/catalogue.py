"""What can be run: the catalogue that the agent publishes, and the records that make it choosable in LinkAhead."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from linkahead.queries import query
from linkahead.utils.escape import escape_squoted_text

from heartbrain_ingest.crawl.client import database_errors, db
from heartbrain_ingest.postprocessing.errors import ParametersError, UnavailableFunctionError, UnknownFunctionError
from heartbrain_ingest.postprocessing.inputs import InputReader, InputRecord, job_names
from heartbrain_ingest.postprocessing.linkahead_store import FUNCTION_TYPE
from hpc_bridge.errors import ParameterError
from hpc_bridge.protocol import Description, canonical, fill


def newest(catalogue: Iterable[Description]) -> dict[str, Description]:
    """Give the newest version of each function that can run; of one of which none can, the newest."""
    found: dict[str, Description] = {}
    for one in catalogue:
        if one.name not in found or _rank(one) > _rank(found[one.name]):
            found[one.name] = one
    return found


def _rank(one: Description) -> tuple[bool, tuple[tuple[int, int, str], ...]]:
    return not one.unavailable, version_order(one.version)


def version_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Give what versions are ordered by: numbers as numbers, and `1.0rc1` before `1.0`."""
    parts = re.findall(r"\d+|[A-Za-z]+", version)
    return (*((1, int(part), "") if part.isdecimal() else (-1, 0, part) for part in parts), (0, 0, ""))


def choose(catalogue: Iterable[Description], function: str, version: str = "") -> Description:
    """Give the entry of a function that can run.

    Raises
    ------
    UnknownFunctionError
        When the computing centre does not offer it.
    UnavailableFunctionError
        When it can't run there at the moment.
    """
    found = look_up(catalogue, function, version)
    if found.unavailable:
        raise UnavailableFunctionError(f"{function}: {found.unavailable}")
    return found


def look_up(catalogue: Iterable[Description], function: str, version: str = "") -> Description:
    """Give a function's entry, whether it can run at the moment or not.

    Raises
    ------
    UnknownFunctionError
        When the computing centre does not offer it.
    """
    offered = [one for one in catalogue if one.name == function]
    if not offered:
        raise UnknownFunctionError(f"no function {function!r}")
    if not version:
        return newest(offered)[function]
    for one in offered:
        if one.version == version:
            return one
    others = ", ".join(sorted((one.version for one in offered), key=version_order))
    raise UnknownFunctionError(f"{function} is offered in {others}, not in {version}")


def fill_parameters(function: Description, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check parameters against the function's schema and add the defaults.

    Raises
    ------
    ParametersError
        Naming the place and the rule.
    """
    try:
        return fill(dict(given), function.parameters)
    except ParameterError as problem:
        raise ParametersError(problem.detail) from None


def as_text(parameters: Mapping[str, Any]) -> str:
    """Give parameters in their one text form, so that the same ones are found again."""
    return canonical(dict(parameters)).decode()


def read_parameters(words: Sequence[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Read `name=value` as the function's schema says: texts as they are, anything else as JSON.

    Raises
    ------
    ParametersError
        When a word is no such pair, or its value can't be read.
    """
    found: dict[str, Any] = {}
    kinds = {name: one.get("type") for name, one in schema.get("properties", {}).items()}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ParametersError(f"{name!r} is no name=value")
        try:
            found[name] = text if kinds.get(name) == "string" else json.loads(text)
        except ValueError:
            if kinds.get(name) is not None:
                raise ParametersError(f"{name}: must be a {kinds[name]}") from None
            found[name] = text  # the schema refuses the name
    return found


class Reason(Enum):
    """Why a function can't work on records."""

    #: Its files can't be sent; `have` says which and why.
    FILES = auto()
    #: It is of another kind.
    KIND = auto()
    #: No file is as the function needs it.
    NO_SUCH_FILE = auto()
    TOO_MANY_FILES = auto()
    TOO_LARGE = auto()


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """One reason, with what is there and what is needed."""

    reason: Reason
    function: str
    #: Name of the record; empty when it is about all together.
    record: str = ""
    have: str = ""
    need: str = ""

    def __str__(self) -> str:
        """Say it in plain words."""
        return {
            Reason.FILES: f"{self.record}: {self.have}",
            Reason.KIND: f"{self.record} is a {self.have}; {self.function} takes {self.need}",
            Reason.NO_SUCH_FILE: f"no file like {self.need} among the inputs",
            Reason.TOO_MANY_FILES: f"{self.have} files; {self.function} takes {self.need}",
            Reason.TOO_LARGE: f"{self.have} GB; {self.function} takes {self.need} GB",
        }[self.reason]


def misfits(function: Description, records: Sequence[InputRecord], reader: InputReader) -> list[Misfit]:
    """Say why a function can't work on some records together; empty when it can."""
    needs, name = function.needs, function.name
    found = [
        Misfit(reason=Reason.FILES, function=name, record=record.name, have=problem)
        for record in records
        for problem in record.problems
    ]
    found += [
        Misfit(
            reason=Reason.KIND,
            function=name,
            record=record.name,
            have=record.record_type,
            need=" or ".join(needs.record_types),
        )
        for record in records
        if not reader.is_a(record, needs.record_types)
    ]
    named = job_names(records)
    found += [
        Misfit(reason=Reason.NO_SUCH_FILE, function=name, need=pattern)
        for pattern in needs.files
        if not any(fnmatch.fnmatchcase(one, pattern) for one in named)
    ]
    if len(named) > needs.max_files:
        have, need = str(len(named)), str(needs.max_files)
        found.append(Misfit(reason=Reason.TOO_MANY_FILES, function=name, have=have, need=need))
    size = sum(file.size for file in named.values())
    if size > needs.max_bytes:
        have, need = f"{size / 1e9:.1f}", f"{needs.max_bytes / 1e9:.1f}"
        found.append(Misfit(reason=Reason.TOO_LARGE, function=name, have=have, need=need))
    return found


def publish_functions(catalogue: Iterable[Description]) -> int:
    """Make or refresh the records of the functions, so that a request can refer to one; give how many changed."""
    changed = 0
    with database_errors("writing the functions"):
        for name, one in sorted(newest(catalogue).items()):
            record, is_new = _function_record(name)
            facts = {
                "FunctionVersion": one.version,
                "FunctionTitle": one.title,
                "RequiredRecordType": ", ".join(one.needs.record_types) or None,
                "ParameterSchema": json.dumps(one.parameters, sort_keys=True) if one.parameters else None,
            }
            differs = False
            for prop, value in facts.items():
                stored = record.get_property(prop)
                if value is None or (stored is not None and stored.value == value):
                    continue
                differs = True
                if stored is None:
                    record.add_property(name=prop, value=value)
                else:
                    stored.value = value
            if is_new:
                record.insert(unique=False)
            elif differs:
                record.update(unique=False)
            changed += is_new or differs
    return changed


def function_number(name: str) -> int:
    """Give the number of a function's record, made when absent."""
    with database_errors("looking a function up"):
        record, is_new = _function_record(name)
        if is_new:
            record.insert(unique=False)
        return int(record.id)


def _function_record(name: str) -> tuple[Any, bool]:
    found = query(f"FIND RECORD '{FUNCTION_TYPE}' WITH name='{escape_squoted_text(name)}'")
    if found:
        return found[0], False
    return db.Record(name=name).add_parent(FUNCTION_TYPE), True
