"""What can be run: the catalogue that the agent publishes, and the records that make it choosable in LinkAhead."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from linkahead.queries import query
from linkahead.utils.escape import escape_squoted_text

from heartbrain_ingest.crawl.client import database_errors, db
from heartbrain_ingest.postprocessing.errors import ParametersError, UnknownFunctionError
from heartbrain_ingest.postprocessing.inputs import InputReader, InputRecord, job_names
from heartbrain_ingest.postprocessing.linkahead_store import FUNCTION_TYPE
from hpc_bridge.errors import ParameterError
from hpc_bridge.protocol import Description, canonical, fill


def newest(catalogue: Iterable[Description]) -> dict[str, Description]:
    """Give the newest version of each function."""
    found: dict[str, Description] = {}
    for one in catalogue:
        if one.name not in found or version_order(one.version) > version_order(found[one.name].version):
            found[one.name] = one
    return found


def version_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Give what versions are ordered by: numbers as numbers, and `1.0rc1` before `1.0`."""
    parts = re.findall(r"\d+|[A-Za-z]+", version)
    return (*((1, int(part), "") if part.isdecimal() else (-1, 0, part) for part in parts), (0, 0, ""))


def choose(catalogue: Iterable[Description], function: str, version: str = "") -> Description:
    """Give a function's entry.

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


def misfits(function: Description, records: Sequence[InputRecord], reader: InputReader) -> list[str]:
    """Say why a function can't work on some records together; empty when it can."""
    needs = function.needs
    found = [f"{record.name}: {problem}" for record in records for problem in record.problems]
    found += [
        f"{record.name} is a {record.record_type}; {function.name} takes {' or '.join(needs.record_types)}"
        for record in records
        if not reader.is_a(record, needs.record_types)
    ]
    named = job_names(records)
    found += [
        f"no file like {pattern} among the inputs"
        for pattern in needs.files
        if not any(fnmatch.fnmatchcase(name, pattern) for name in named)
    ]
    if len(named) > needs.max_files:
        found.append(f"{len(named)} files; {function.name} takes {needs.max_files}")
    size = sum(file.size for file in named.values())
    if size > needs.max_bytes:
        found.append(f"{size / 1e9:.1f} GB; {function.name} takes {needs.max_bytes / 1e9:.1f} GB")
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
