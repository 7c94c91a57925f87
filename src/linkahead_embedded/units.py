"""Units: a quantity of a query in the unit of a stored value, by way of SI."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_RELATIVE = 1e-12
"""Conversion factors are exact to about this; two quantities closer than it are equal."""


def in_stored_units(number: float, unit: str, stored: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Give each stored unit of the same dimension, with the number in it.

    An unknown unit is only equal to itself. Offsets count: 10 °C is 283.15 K.
    """
    for text in stored:
        if text == unit:
            yield text, number
            continue
        converted = convert(number, unit, text)
        if converted is not None:
            yield text, converted


def tolerance(number: float) -> tuple[float, float]:
    """Give the bounds within which a converted number counts as the same."""
    width = abs(number) * _RELATIVE
    return number - width, number + width


@lru_cache(maxsize=4096)
def convert(number: float, source: str, target: str) -> float | None:
    """Convert a number between units; None if one is unknown or the dimensions differ."""
    import pint  # noqa: PLC0415 - half a second that only queries with units should pay

    registry = _registry()
    try:
        quantity = registry.Quantity(number, _parsed(source))
        return float(quantity.to(_parsed(target)).magnitude)
    except (pint.errors.PintError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None
    except Exception as problem:
        if type(problem).__module__ in {"tokenize", "builtins"}:  # pint reads units with the tokenizer of Python
            return None
        raise


@lru_cache(maxsize=4096)
def _parsed(unit: str) -> Any:
    return _registry().parse_units(
        unit.replace("µ", "u").replace("°C", "degC").replace("°", "degree").replace("Ohm", "ohm").replace("^", "**")
    )


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint  # noqa: PLC0415 - as above

    return pint.UnitRegistry(cache_folder=None, autoconvert_offset_to_baseunit=True)
