"""The part of JSON Schema (2020-12) that parameters are described with; anything else in a schema is refused.

Both sides check by this one interpreter, so what the portal accepts the agent accepts.
"""

from __future__ import annotations

import math
import re
from typing import Any

from hpc_bridge.errors import CatalogueError, ParameterError

#: Longest text where the schema says nothing.
DEFAULT_MAX_LENGTH = 1000
DEFAULT_MAX_ITEMS = 1000

_NOTES = {"title", "description", "default", "unit", "examples", "$schema", "$comment"}
_WORDS = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems", "uniqueItems"},
    "string": {"minLength", "maxLength", "pattern"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "boolean": set(),
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def check_schema(schema: dict[str, Any], place: str = "parameters") -> None:
    """Refuse a schema that says more than this interpreter understands.

    Raises
    ------
    CatalogueError
        Naming the place.
    """
    if not isinstance(schema, dict):
        raise CatalogueError(f"{place}: not a schema")
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in _WORDS:
        raise CatalogueError(f"{place}: type must be one of {', '.join(_WORDS)}")
    if unknown := set(schema) - _NOTES - _WORDS[kind] - {"type", "enum"}:
        raise CatalogueError(f"{place}: not understood: {', '.join(sorted(unknown))}")
    if "pattern" in schema:
        try:
            re.compile(schema["pattern"])
        except (re.error, TypeError):
            raise CatalogueError(f"{place}: pattern is no regular expression") from None
    if kind == "object":
        if schema.get("additionalProperties", False) is not False:
            raise CatalogueError(f"{place}: additionalProperties can't be allowed")
        properties = schema.get("properties", {})
        for name, child in properties.items():
            if not _NAME.fullmatch(name):
                raise CatalogueError(f"{place}: {name!r} is no parameter name")
            check_schema(child, f"{place}.{name}")
        if missing := set(schema.get("required", ())) - set(properties):
            raise CatalogueError(f"{place}: required but not described: {', '.join(sorted(missing))}")
    if kind == "array":
        check_schema(schema.get("items", {}), f"{place}[]")
    if "default" in schema:
        try:
            check_value(schema["default"], schema, place)
        except ParameterError as problem:
            raise CatalogueError(f"the default does not fit: {problem.detail}") from None


def fill(parameters: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Check parameters against a function's schema and give them with the defaults filled in.

    Raises
    ------
    ParameterError
        Naming the place and the rule, never the value.
    """
    whole = schema or {"type": "object"}
    filled = {
        **{name: child["default"] for name, child in whole.get("properties", {}).items() if "default" in child},
        **parameters,
    }
    check_value(filled, whole, "parameters")
    return filled


def check_value(value: Any, schema: dict[str, Any], place: str) -> None:
    """Check one value; raise ParameterError where it does not fit."""
    _CHECKS[schema["type"]](value, schema, place)
    if "enum" in schema and not any(value == one and type(value) is type(one) for one in schema["enum"]):
        raise ParameterError(f"{place}: not one of the values that it may have")


def _object(value: Any, schema: dict[str, Any], place: str) -> None:
    if not isinstance(value, dict):
        raise ParameterError(f"{place}: must be an object")
    properties = schema.get("properties", {})
    if unknown := [name for name in value if name not in properties]:
        raise ParameterError(f"{place}: unknown: {', '.join(repr(name[:40]) for name in sorted(unknown)[:5])}")
    if missing := [name for name in schema.get("required", ()) if name not in value]:
        raise ParameterError(f"{place}: missing: {', '.join(missing)}")
    for name, one in value.items():
        check_value(one, properties[name], f"{place}.{name}")


def _array(value: Any, schema: dict[str, Any], place: str) -> None:
    if not isinstance(value, list):
        raise ParameterError(f"{place}: must be a list")
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", DEFAULT_MAX_ITEMS):
        raise ParameterError(f"{place}: has too many or too few items")
    for index, one in enumerate(value):
        check_value(one, schema["items"], f"{place}[{index}]")
    if schema.get("uniqueItems") and any(one in value[:index] for index, one in enumerate(value)):
        raise ParameterError(f"{place}: an item occurs twice")


def _string(value: Any, schema: dict[str, Any], place: str) -> None:
    if not isinstance(value, str):
        raise ParameterError(f"{place}: must be text")
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", DEFAULT_MAX_LENGTH):
        raise ParameterError(f"{place}: is too long or too short")
    if "\x00" in value:
        raise ParameterError(f"{place}: has a null character")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        raise ParameterError(f"{place}: does not have the form {schema['pattern']}")


def _number(value: Any, schema: dict[str, Any], place: str) -> None:
    whole = schema["type"] == "integer"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise ParameterError(f"{place}: must be {'a whole number' if whole else 'a number'}")
    if not math.isfinite(value):
        raise ParameterError(f"{place}: must be finite")
    unit = f" {schema['unit']}" if "unit" in schema else ""
    if "minimum" in schema and value < schema["minimum"]:
        raise ParameterError(f"{place}: must be at least {schema['minimum']}{unit}")
    if "maximum" in schema and value > schema["maximum"]:
        raise ParameterError(f"{place}: must be at most {schema['maximum']}{unit}")
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        raise ParameterError(f"{place}: must be more than {schema['exclusiveMinimum']}{unit}")
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        raise ParameterError(f"{place}: must be less than {schema['exclusiveMaximum']}{unit}")
    if "multipleOf" in schema and not math.isclose(
        value / schema["multipleOf"], round(value / schema["multipleOf"]), abs_tol=1e-9
    ):
        raise ParameterError(f"{place}: must be a multiple of {schema['multipleOf']}{unit}")


def _boolean(value: Any, _: dict[str, Any], place: str) -> None:
    if not isinstance(value, bool):
        raise ParameterError(f"{place}: must be true or false")


_CHECKS = {
    "object": _object,
    "array": _array,
    "string": _string,
    "number": _number,
    "integer": _number,
    "boolean": _boolean,
}
