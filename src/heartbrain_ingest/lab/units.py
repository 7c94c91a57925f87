"""Conversion between the units of lab.yml, by the library pint."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from heartbrain_ingest.lab.rules import LabRules
from heartbrain_ingest.lab.values import CellError

if TYPE_CHECKING:
    import pint

SIGNIFICANT_DIGITS = 6


def convert(value: float, unit: str, standard: str, molar_mass: float | None, rules: LabRules) -> float:
    """Convert a value to the standard unit of its analyte.

    Parameters
    ----------
    unit, standard
        UCUM codes, entries of `units`.
    molar_mass
        g/mol; needed between mass and amount of substance.

    Returns
    -------
    The value, to six significant digits; untouched where the units are the same.

    Raises
    ------
    CellError
        LAB_UNKNOWN_UNIT: the two measure different things.
    """
    if unit == standard:
        return value
    factor = _factor(rules.units[unit].pint, rules.units[standard].pint, molar_mass)
    return float(f"{value * factor:.{SIGNIFICANT_DIGITS}g}")


@functools.lru_cache(maxsize=1024)
def _factor(unit: str, standard: str, molar_mass: float | None) -> float:
    import pint  # noqa: PLC0415 - two thirds of a second that only a laboratory table should cost

    registry = _registry()
    source: Any = registry.Quantity(registry.parse_expression(unit))
    target: Any = registry.Quantity(registry.parse_expression(standard))
    ways = [source]
    if molar_mass is not None:
        mass_of_amount = registry.Quantity(molar_mass, "g/mol")
        ways += [source * mass_of_amount, source / mass_of_amount]
    for way in ways:
        try:
            return float(way.to(target.units).magnitude / target.magnitude)
        except pint.DimensionalityError:
            continue
    raise CellError("LAB_UNKNOWN_UNIT")


@functools.cache
def _registry() -> pint.UnitRegistry[Any]:
    import pint  # noqa: PLC0415

    registry: pint.UnitRegistry[Any] = pint.UnitRegistry()
    # Biological activity is a dimension of its own: an international unit is no enzyme unit.
    registry.define("international_unit = [biological_activity] = IU")
    return registry
