"""The steward's `physio.yml`: names of recordings, sampling rates, channels; and the interpreter of the names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from heartbrain_ingest.errors import RulesError
from heartbrain_ingest.physio.recording import Kind
from heartbrain_ingest.yaml_model import read_model

KNOWN_GROUPS = frozenset({"patient_id", "date", "time", "kind"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NameRule(_Strict):
    """How a file or folder name tells whose recording it is."""

    id: str = Field(description="Name of the rule, for `heartbrain explain`.")
    pattern: str = Field(description="Regular expression with the groups patient_id, date, time, kind (all optional).")
    date_format: str = Field(default="%Y%m%d", description="How the group `date` is written (strptime).")
    time_format: str = Field(default="%H%M%S", description="How the group `time` is written (strptime).")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if unknown := set(groups) - KNOWN_GROUPS:
            raise ValueError(f"unknown groups {sorted(unknown)}; known are {sorted(KNOWN_GROUPS)}")
        if not groups:
            raise ValueError("the pattern names none of the groups patient_id, date, time, kind")
        return pattern


class ChannelRule(_Strict):
    """How the channels of one kind of recording are called."""

    recording: str = Field(pattern=r"^[A-Za-z0-9]+$", description="Value of the BIDS entity `recording-`.")
    record_type: str = Field(description="RecordType in LinkAhead.")
    columns: tuple[str, ...] = Field(min_length=1, description="Channel names, in the order of the file.")
    units: str = Field(default="arbitrary", description="Unit of the channels when the file names none.")
    description: str = Field(description="One line for the sidecar.")
    band: tuple[float, float] | None = Field(
        default=None, description="Pass band in Hz in which beats or breaths are looked for; none: no peaks."
    )
    slowest: float = Field(default=30.0, gt=0, description="Lowest rate that is believed, 1/min.")
    fastest: float = Field(default=200.0, gt=0, description="Highest rate that is believed, 1/min.")
    detector: Literal["wave", "ecg"] = Field(
        default="wave", description="wave: each cycle has one top; ecg: each beat has one steep complex of either sign."
    )


class RateRule(_Strict):
    """The sampling rate of one kind of log; the first rule that fits counts."""

    version: str = Field(default=".*", description="Regular expression that the log's version text fits as a whole.")
    kinds: tuple[Kind, ...] = Field(default=tuple(Kind), description="Kinds of recording that the rule is for.")
    rate: float = Field(gt=0, description="Samples per second and channel, Hz.")


class PhysioRules(_Strict):
    """All of `physio.yml`."""

    names: tuple[NameRule, ...] = Field(description="Tried in order; the first that fits counts.")
    extensions: dict[str, Kind] = Field(description="File name extension of a PMU log -> kind.")
    channels: dict[Kind, ChannelRule] = Field(description="Names, units and peak search for each kind.")
    rates: tuple[RateRule, ...] = Field(description="Nominal sampling rates.")
    rate_tolerance: float = Field(
        default=0.02, gt=0, lt=0.5, description="Relative difference between nominal and measured rate that is normal."
    )
    minimal_overlap: float = Field(
        default=1.0, ge=0, description="Seconds that recording and image must share before they belong together."
    )
    margin: float = Field(
        default=0.0, ge=0, description="Seconds before and after the image that a cut recording keeps."
    )

    @field_validator("channels")
    @classmethod
    def _complete(cls, channels: dict[Kind, ChannelRule]) -> dict[Kind, ChannelRule]:
        if missing := [kind.value for kind in Kind if kind not in channels]:
            raise ValueError(f"no entry for {missing}")
        return channels


@dataclass(frozen=True, kw_only=True)
class RecordingName:
    """What a name says. Identifying: it never leaves the inbox."""

    #: PatientID as in the DICOM header, if the name holds it.
    patient_id: str | None = field(repr=False)
    #: Day of the recording (not shifted), if the name holds it.
    day: date | None = field(repr=False)
    #: Seconds since midnight, if the name holds a time.
    time_s: int | None
    #: Which rule read it.
    rule: str


def load_rules(path: Path) -> PhysioRules:
    """Read `physio.yml`.

    Raises
    ------
    RulesError
        The file is missing, is not YAML, or holds an unknown key or a wrong value; the message names the place.
    """
    return read_model(path, PhysioRules, RulesError)


def identify(path: PurePosixPath | Path, rules: PhysioRules) -> RecordingName | None:
    """Read subject and day from the path of a recording, relative to the inbox.

    Parameters
    ----------
    path
        The path; patterns are searched in it with `/` between its parts.

    Returns
    -------
    The first rule's reading, or None when no rule fits (a name whose date is none does not fit).
    """
    text = path.as_posix()
    for rule in rules.names:
        match = re.search(rule.pattern, text)
        if match is None:
            continue
        groups = match.groupdict()
        try:
            day = _parse(groups.get("date"), rule.date_format)
            time = _parse(groups.get("time"), rule.time_format)
        except ValueError:
            continue
        return RecordingName(
            patient_id=groups.get("patient_id") or None,
            day=day.date() if day else None,
            time_s=time.hour * 3600 + time.minute * 60 + time.second if time else None,
            rule=rule.id,
        )
    return None


def _parse(text: str | None, form: str) -> datetime | None:
    return datetime.strptime(text, form) if text else None  # noqa: DTZ007 - the scanner's local clock has no zone
