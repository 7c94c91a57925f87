"""What a sidecar's value becomes in a typed LinkAhead property, or why it does not fit.

The rules keep a crawl repeatable: a value is stored only in a form that the server gives back unchanged. Outer white
space and carriage returns are lost on the way through XML, NaN never equals itself, and control characters are not
allowed in XML at all; any of these would make every later crawl see a change that is none, or abort the run.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Scalar = bool | int | float | str
Value = Scalar | list[Scalar]

#: Largest INTEGER and longest TEXT (bytes of UTF-8) of a LinkAhead server (its data type documentation).
INTEGER_LIMIT = 2**31 - 1
TEXT_LIMIT = 65_535

_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


class UnfitValueError(ValueError):
    """The value can't be stored in a property of this type."""


@dataclass(frozen=True, kw_only=True)
class PropertyType:
    """The data type of a property, as the data model states it."""

    #: `TEXT`, `DOUBLE`, `INTEGER`, `BOOLEAN`, `DATETIME`, `FILE` or the name of a RecordType.
    element: str
    #: Whether the property holds a list of such elements.
    is_list: bool = False
    #: Unit of the value, if it has one.
    unit: str | None = None

    def __str__(self) -> str:
        return f"LIST<{self.element}>" if self.is_list else self.element


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise UnfitValueError
    text = clean_text(value)
    if not text or len(text.encode()) > TEXT_LIMIT:
        raise UnfitValueError
    return text


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise UnfitValueError
    if abs(value) > INTEGER_LIMIT:
        raise UnfitValueError
    return int(value)


def _double(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnfitValueError
    return float(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise UnfitValueError
    return value


def _date(value: object) -> str:
    if not isinstance(value, str) or not _DATE.fullmatch(value.strip()):
        raise UnfitValueError
    return value.strip()


_ELEMENTS: dict[str, Callable[[object], Scalar]] = {
    "TEXT": _text,
    "INTEGER": _integer,
    "DOUBLE": _double,
    "BOOLEAN": _boolean,
    "DATETIME": _date,
}


def clean_text(text: str) -> str:
    r"""Give the form of a text that survives XML: no control characters, `\n` line ends, no outer white space."""
    return _NOT_XML.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _is_structure(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict | list) for each in value))


def fit(value: object, wanted: PropertyType) -> Value:
    """Turn a JSON value into one that a property of the wanted type can hold.

    Parameters
    ----------
    value
        A value as `json.load` gives it.
    wanted
        The type in the data model. A list fits a scalar type too, element by element, as BIDS allows either for many
        fields; a single value fits a list type.

    Returns
    -------
    Value
        The value, or a list of values with at least one element.

    Raises
    ------
    UnfitValueError
        The value is of another type, empty, not finite, too large, or the property refers to a record.
    """
    convert = _ELEMENTS.get(wanted.element)
    if convert is None:
        raise UnfitValueError
    try:
        if wanted.element == "TEXT" and _is_structure(value):
            return _text(json.dumps(value, sort_keys=True))
        if isinstance(value, list):
            if not value:
                raise UnfitValueError
            return [convert(element) for element in value]
        return [convert(value)] if wanted.is_list else convert(value)
    except (OverflowError, ValueError) as error:
        raise UnfitValueError from error


def as_json_text(fields: Mapping[str, object]) -> tuple[str, list[str]]:
    """Write fields as one JSON text that a TEXT property can hold.

    Parameters
    ----------
    fields
        What the data model has no place for.

    Returns
    -------
    tuple[str, list[str]]
        The text, keys in order, and the names of the largest fields that had to be left out to stay below the limit.
    """
    kept = dict(fields)
    left_out: list[str] = []
    while True:
        # ASCII escapes keep every control character out of the XML; NaN is no JSON but readable by json.loads.
        text = json.dumps(kept, sort_keys=True, ensure_ascii=True)
        if len(text) <= TEXT_LIMIT:
            return text, left_out
        largest = max(kept, key=lambda name: len(json.dumps(kept[name])))
        left_out.append(largest)
        del kept[largest]
