"""The steward's `lab.yml`: how tables are laid out, what the analytes are, which units there are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from heartbrain_ingest.errors import RulesError
from heartbrain_ingest.yaml_model import read_model

K = TypeVar("K", bound=str)
Role = Literal["subject", "date", "time", "analyte", "value", "unit", "material", "sex", "comment", "reference"]


def normalise(text: str) -> str:
    """Fold case, width and spaces, so that headers and names compare as people read them."""
    return re.sub(r"[\s_.:-]+", " ", unicodedata.normalize("NFKC", text)).strip().casefold()


def normalise_unit(text: str) -> str:
    """Fold spaces and the two micro signs; case stays, as `mmol` and `Mmol` differ."""
    return unicodedata.normalize("NFKC", re.sub(r"\s+", "", text)).replace("μ", "µ")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReferenceRule(_Strict):
    """A reference range in the analyte's standard unit."""

    sex: Literal["F", "M"] | None = Field(default=None, description="For whom; none: for everybody.")
    age: tuple[float, float | None] | None = Field(
        default=None, description="From this age in years up to below that one (null: no end); none: for adults."
    )
    low: float | None = Field(default=None, description="Lower limit.")
    high: float | None = Field(default=None, description="Upper limit.")


class MethodRule(_Strict):
    """An analyte in one kind of material."""

    id: str | None = Field(default=None, description="Identifier where it differs from that of the analyte.")
    materials: tuple[str, ...] = Field(min_length=1, description="Materials of the sample.")
    loinc: str = Field(pattern=r"^\d{1,6}-\d$", description="LOINC code.")
    unit: str = Field(description="Standard unit (UCUM), an entry of `units`.")
    accepts: tuple[str, ...] = Field(
        default=(), description="Only these units are of this method; none: all that can be converted."
    )
    possible: tuple[float, float] = Field(description="Values outside are refused, in the standard unit.")
    reference: tuple[ReferenceRule, ...] = Field(default=(), description="The first that fits sex and age counts.")


class AnalyteRule(_Strict):
    """What a laboratory measures."""

    names: tuple[str, ...] = Field(min_length=1, description="How tables call it; case and spaces don't count.")
    molar_mass: float | None = Field(default=None, gt=0, description="g/mol, for conversion between mass and amount.")
    methods: tuple[MethodRule, ...] = Field(min_length=1, description="The first that fits material and unit counts.")
    source: str | None = Field(default=None, description="Where LOINC code and ranges come from; none: `source` above.")
    reviewed: date | Literal[False] = Field(
        default=False, description="Day on which your laboratory confirmed LOINC code and ranges; false: nobody did."
    )


class UnitRule(_Strict):
    """A unit."""

    pint: str = Field(description="The unit as the library pint writes it, possibly with a factor.")
    spellings: tuple[str, ...] = Field(default=(), description="Other ways to write it.")


class LabRules(_Strict):
    """All of `lab.yml`."""

    columns: dict[Role, tuple[str, ...]] = Field(description="Role of a column -> headers.")
    identifying: tuple[str, ...] = Field(description="Headers of columns that are never read.")
    decimal: Literal["auto", "comma", "point"] = Field(
        default="auto", description="Decimal sign; auto: told from the table itself."
    )
    date_formats: tuple[str, ...] = Field(min_length=1, description="How dates in text cells are written (strptime).")
    time_formats: tuple[str, ...] = Field(min_length=1, description="How times in text cells are written (strptime).")
    sexes: dict[Literal["F", "M", "O"], tuple[str, ...]] = Field(default={}, description="How tables write the sex.")
    materials: dict[str, tuple[str, ...]] = Field(description="Material -> names in cells and sheet names.")
    marks: dict[str, tuple[str, ...]] = Field(description="Qualifier -> texts that stand in place of a number.")
    comments: dict[str, tuple[str, ...]] = Field(description="Code -> words in the comment column.")
    adult_age: float = Field(default=18, ge=0, description="Years from which a range without `age` is used.")
    source: str = Field(default="", description="Where LOINC codes and ranges come from, unless an analyte says it.")
    units: dict[str, UnitRule] = Field(description="UCUM code -> unit.")
    analytes: dict[str, AnalyteRule] = Field(description="Identifier -> analyte.")

    @model_validator(mode="after")
    def _consistent(self) -> LabRules:
        for role in ("subject", "date"):
            if role not in self.columns:
                raise ValueError(f"columns: no header for {role}")
        for name, analyte in self.analytes.items():
            for method in analyte.methods:
                if unknown := {method.unit, *method.accepts} - set(self.units):
                    raise ValueError(f"analytes.{name}: units {sorted(unknown)} are not described in `units`")
                if unknown := set(method.materials) - set(self.materials):
                    raise ValueError(f"analytes.{name}: materials {sorted(unknown)} are not described in `materials`")
        for what, names in (("analytes", self.analyte_of), ("units", self.unit_of), ("materials", self.material_of)):
            if not names:
                raise ValueError(f"{what}: none described")
        return self

    @property
    def unreviewed(self) -> tuple[str, ...]:
        """Give the analytes whose code and ranges no laboratory has confirmed."""
        return tuple(name for name, analyte in self.analytes.items() if not analyte.reviewed)

    @cached_property
    def role_of(self) -> dict[str, Role]:
        """Normalised header -> role."""
        return _invert("columns", self.columns, normalise)

    @cached_property
    def dropped(self) -> frozenset[str]:
        """Normalised headers that are never read."""
        return frozenset(map(normalise, self.identifying))

    @cached_property
    def analyte_of(self) -> dict[str, str]:
        """Normalised name -> identifier."""
        return _invert("analytes", {name: (name, *rule.names) for name, rule in self.analytes.items()}, normalise)

    @cached_property
    def unit_of(self) -> dict[str, str]:
        """Spelling without spaces -> UCUM code."""
        spellings = {code: (code, *rule.spellings) for code, rule in self.units.items()}
        return _invert("units", spellings, normalise_unit)

    @cached_property
    def material_of(self) -> dict[str, str]:
        """Normalised name -> material."""
        return _invert("materials", {name: (name, *names) for name, names in self.materials.items()}, normalise)

    @cached_property
    def mark_of(self) -> dict[str, str]:
        """Normalised text -> qualifier."""
        return _invert("marks", self.marks, normalise)

    @cached_property
    def sex_of(self) -> dict[str, str]:
        """Normalised text -> F, M or O."""
        return _invert("sexes", {name: (name, *names) for name, names in self.sexes.items()}, normalise)


def load_rules(path: Path) -> LabRules:
    """Read `lab.yml`.

    Raises
    ------
    RulesError
        The file is missing, is not YAML, or holds an unknown key, a wrong value or a name with two meanings.
    """
    return read_model(path, LabRules, RulesError)


def _invert(what: str, names: Mapping[K, Iterable[str]], fold: Callable[[str], str]) -> dict[str, K]:
    meaning: dict[str, K] = {}
    for key, texts in names.items():
        for text in texts:
            if meaning.setdefault(fold(text), key) != key:
                raise ValueError(f"{what}: {text!r} means both {meaning[fold(text)]} and {key}")
    return meaning
