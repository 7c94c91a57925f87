"""A form made from a function's JSON schema, and parameters read from a form; what it says is text, never run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from heartbrain_ingest.portal.pages import Translate
from heartbrain_ingest.portal.plain import translate
from hpc_bridge.errors import ParameterError
from hpc_bridge.protocol.parameters import DEFAULT_MAX_LENGTH, check_value

PREFIX = "p."
_MOST_TEXT = 20_000
_SCALARS = frozenset({"string", "number", "integer"})
_ORDER = ("choice", "number", "text", "lines", "tick")
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One parameter, ready for the page."""

    name: str
    #: `choice`, `tick`, `number`, `text` or `lines`.
    control: str
    title: str
    description: str = ""
    unit: str = ""
    #: Text in the control; `on` for a tick.
    value: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    #: Attributes of the control, as the browser knows them.
    limits: Mapping[str, str] | None = None
    #: What it may be, in words.
    hint: str = ""
    is_required: bool = False
    error: str = ""

    @property
    def key(self) -> str:
        """Name in the form."""
        return PREFIX + self.name


class MisreadError(Exception):
    """A text that is no such value."""


def make_fields(
    schema: Mapping[str, Any], given: Mapping[str, str] | None, errors: Mapping[str, str], _: Translate
) -> list[Field]:
    """Make the fields of a form.

    Parameters
    ----------
    schema
        JSON schema of an object (the part of it that `hpc_bridge.protocol.parameters` knows).
    given
        What the visitor wrote, by name of the form; None for the defaults.
    errors
        What is wrong, by name of the parameter.
    """
    required = set(schema.get("required", ()))
    fields = []
    for name, one in schema.get("properties", {}).items():
        kind, about = one["type"], one.get("description")
        value = show_value(one.get("default"), one) if given is None else given.get(PREFIX + name, "")
        fields.append(
            Field(
                name=name,
                control=_control(one),
                title=_(one.get("title") or name),
                description=_(about) if about else "",
                unit=unit_words(one.get("unit", "")),
                value=value,
                choices=tuple((json.dumps(option), str(option)) for option in one.get("enum", ())),
                limits=_limits(one),
                hint=_hint(one, _),
                is_required=name in required and kind != "boolean",
                error=errors.get(name, ""),
            )
        )
    # A catalogue keeps no order: what most decides comes first.
    return sorted(fields, key=lambda one: (not one.is_required, _ORDER.index(one.control)))


def read_form(
    schema: Mapping[str, Any], given: Mapping[str, str], _: Translate
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read what a visitor wrote.

    Returns
    -------
    The parameters that can be read and fit, and what is wrong with the others, by name, in the visitor's language.
    """
    found: dict[str, Any] = {}
    errors: dict[str, str] = {}
    required = set(schema.get("required", ()))
    for name, one in schema.get("properties", {}).items():
        text = given.get(PREFIX + name, "")[:_MOST_TEXT]
        try:
            if one["type"] != "boolean" and not text.strip() and not _may_be_empty(one):
                if name in required or "default" in one:
                    raise MisreadError(_("something must stand here"))
                continue
            found[name] = read_value(text, one, _)
            check_value(found[name], one, name)
        except MisreadError as problem:
            errors[name] = str(problem)
        except ParameterError as problem:
            errors[name] = translate(problem.detail.partition(": ")[2], _)
        if name in errors:
            found.pop(name, None)
    return found, errors


def show_value(value: Any, schema: Mapping[str, Any]) -> str:
    """Give a value as it stands in its control; `read_value` reads it back."""
    if value is None:
        return ""
    if "enum" in schema:
        return json.dumps(value)
    kind = schema["type"]
    if kind == "boolean":
        return "on" if value else ""
    if kind == "string":
        return str(value)
    if kind == "array" and schema["items"]["type"] in {"number", "integer"}:
        return ", ".join(json.dumps(one) for one in value)
    if kind == "array" and schema["items"]["type"] == "string":
        return "\n".join(value)
    return json.dumps(value)


def read_value(text: str, schema: Mapping[str, Any], _: Translate) -> Any:
    """Read the text of a control.

    Raises
    ------
    MisreadError
        In the visitor's language.
    """
    if "enum" in schema:
        known = {json.dumps(option): option for option in schema["enum"]}
        if text not in known:
            raise MisreadError(_("not one of the values that it may have"))
        return known[text]
    kind = schema["type"]
    if kind == "boolean":
        return text == "on"
    if kind == "string":
        return text.replace("\r\n", "\n")
    if kind in _SCALARS:
        return _read_number(text, kind, _)
    inner = schema["items"]["type"] if kind == "array" else ""
    if inner in {"number", "integer"}:
        return [_read_number(word, inner, _) for word in text.replace(";", " ").replace(",", " ").split()]
    if inner == "string" and "enum" not in schema["items"]:
        return [line for line in text.replace("\r\n", "\n").split("\n") if line]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise MisreadError(_("can't be read")) from None


def _read_number(text: str, kind: str, _: Translate) -> int | float:
    # Where people write a comma before the fraction, so do some browsers.
    word = text.strip().replace(",", ".") if text.count(",") == 1 and "." not in text else text.strip()
    if len(word) > DEFAULT_MAX_LENGTH:
        raise MisreadError(_("must be a number"))
    try:
        return int(word)
    except ValueError:
        pass
    try:
        value = float(word)
    except ValueError:
        raise MisreadError(_("must be a number")) from None
    if kind == "integer":
        raise MisreadError(_("must be a whole number"))
    return value


def _may_be_empty(schema: Mapping[str, Any]) -> bool:
    if "enum" in schema:
        return False
    kind = schema["type"]
    return (kind == "string" and "default" in schema and schema.get("minLength", 0) == 0) or (
        kind == "array" and "default" in schema and schema.get("minItems", 0) == 0
    )


def _control(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "choice"
    kind = schema["type"]
    if kind == "boolean":
        return "tick"
    if kind in {"number", "integer"}:
        return "number"
    if kind == "string":
        return "text"
    return "text" if kind == "array" and schema["items"]["type"] in {"number", "integer"} else "lines"


def _limits(schema: Mapping[str, Any]) -> dict[str, str]:
    kind = schema["type"]
    limits: dict[str, Any] = {}
    if kind in {"number", "integer"}:
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        step = schema.get("multipleOf", 1 if kind == "integer" else "any")
        limits = {"min": low, "max": high, "step": step}
    elif kind == "string":
        limits = {
            "maxlength": schema.get("maxLength", DEFAULT_MAX_LENGTH),
            "minlength": schema.get("minLength"),
            "pattern": schema.get("pattern"),
        }
    return {name: str(value) for name, value in limits.items() if value is not None}


def _hint(schema: Mapping[str, Any], _: Translate) -> str:
    if "enum" in schema:
        return ""
    unit = unit_words(schema.get("unit", ""))
    after = f" {unit}" if unit else ""
    parts = []
    low, high = schema.get("minimum"), schema.get("maximum")
    more, less = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        parts.append(_("%(low)s to %(high)s") % {"low": low, "high": f"{high}{after}"})
    else:
        bounds = (
            (_("at least %s"), low),
            (_("more than %s"), more),
            (_("at most %s"), high),
            (_("less than %s"), less),
        )
        parts += [form % f"{limit}{after}" for form, limit in bounds if limit is not None]
    if schema["type"] == "array":
        is_line = _control(schema) == "text"
        parts.append(_("several numbers with blanks between them") if is_line else _("one on each line"))
    if schema["type"] == "string" and "pattern" in schema:
        parts.append(_("of the form %s") % schema["pattern"])
    if schema["type"] not in {"boolean", "array"} and schema.get("default") not in {None, ""}:
        parts.append(_("usually %s") % f"{schema['default']}{after}")
    return "; ".join(parts)


def unit_words(unit: str) -> str:
    """Write powers raised: `mm^2/s` as mm²/s."""
    head, *rest = unit.split("^")
    written = head
    for part in rest:
        digits = len(part) - len(part.lstrip("-0123456789"))
        written += part[:digits].translate(_RAISED) + part[digits:]
    return written
