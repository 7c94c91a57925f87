"""Sidecars as typed properties: which field goes where, and what goes into the text of other fields."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from heartbrain_ingest.crawl.model import ModelView
from heartbrain_ingest.crawl.values import UnfitValueError, Value, as_json_text, fit

#: Where everything of this package is reported; `run.crawl_delivery` collects what is logged with a `code`.
LOGGER = logging.getLogger("heartbrain_ingest.crawl")

#: The TEXT property that takes what has no place of its own.
OTHER_FIELDS = "OtherSidecarFields"

#: b-values below this are what an IVIM fit needs several of (s/mm²).
_LOW_B_VALUE = 200.0


@dataclass(frozen=True, kw_only=True)
class TypedProperty:
    """One property, ready to be added to a record."""

    name: str
    value: Value
    #: Data type in the words of LinkAhead; given so that a value that turns into a list changes its type with it.
    datatype: str


def warn(code: str, path: Path, text: str) -> None:
    """Report something about a published file that the steward should see."""
    LOGGER.warning("%s: %s", path.name, text, extra={"code": code, "path": str(path)})


def read_sidecar(path: Path | None) -> dict[str, object] | None:
    """Read a JSON sidecar; None and a report if there is none or it is not a JSON object."""
    if path is None:
        return None
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        warn("INVALID_SIDECAR", path, f"the sidecar can't be read ({type(error).__name__})")
        return None
    if not isinstance(content, dict):
        warn("INVALID_SIDECAR", path, "the sidecar is not a JSON object")
        return None
    return content


def read_b_values(path: Path) -> list[float] | None:
    """Read a .bval file (one line, s/mm²); None and a report if it holds anything but numbers."""
    try:
        return [float(word) for word in path.read_text(encoding="ascii").split()]
    except (OSError, ValueError) as error:
        warn("INVALID_SIDECAR", path, f"the b-values can't be read ({type(error).__name__})")
        return None


def type_fields(
    fields: Mapping[str, object],
    *,
    record_type: str,
    view: ModelView,
    source: Path,
    skip: Iterable[str] = (),
    reserved: Iterable[str] = (),
) -> list[TypedProperty]:
    """Turn the fields of a sidecar into properties.

    Parameters
    ----------
    fields
        The sidecar.
    record_type
        RecordType of the record that takes the properties.
    view
        The data model.
    source
        The sidecar's file, for reports.
    skip
        Fields that are used otherwise.
    reserved
        Properties that come from elsewhere (the file name); a field of that name is unknown.

    Returns
    -------
    list[TypedProperty]
        Typed properties in the order of names. What the model does not know or can't hold is in the last one,
        `OtherSidecarFields`, as JSON: an unknown property name would abort the crawler's whole run.
    """
    properties: list[TypedProperty] = []
    other: dict[str, object] = {}
    known = view.properties.keys() - set(reserved)
    for name in sorted(set(fields) - set(skip)):
        value = fields[name]
        if value is None or value in ("", []):
            continue
        wanted = view.type_of(name, record_type) if name in known else None
        if wanted is None:
            other[name] = value
            continue
        try:
            fitted = fit(value, wanted)
        except UnfitValueError:
            other[name] = value
            warn("UNFIT_SIDECAR_VALUE", source, f"{name} is no {wanted}; kept as text")
            continue
        datatype = f"LIST<{wanted.element}>" if isinstance(fitted, list) else wanted.element
        properties.append(TypedProperty(name=name, value=fitted, datatype=datatype))
    if other:
        text, left_out = as_json_text(other)
        properties.append(TypedProperty(name=OTHER_FIELDS, value=text, datatype="TEXT"))
        unknown = sorted(name for name in other if name not in known)
        if unknown:
            warn("UNKNOWN_SIDECAR_FIELD", source, "not in the data model, kept as text: " + ", ".join(unknown))
        if left_out:
            warn("OVERSIZED_SIDECAR_FIELD", source, "too large for the database: " + ", ".join(left_out))
    return properties


def describe_b_values(b_values: list[float]) -> dict[str, object]:
    """Give what can be asked about a diffusion series: its b-values (s/mm²), the largest, how many low ones."""
    if not b_values:
        return {}
    return {
        "BValues": b_values,
        "MaximumBValue": max(b_values),
        "NumberOfBValuesBelow200": len({b for b in b_values if b < _LOW_B_VALUE}),
    }
