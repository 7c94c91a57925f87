"""The steward's `physio.yml`: names of recordings, sampling rates, channels; and the interpreter of the names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator

from heartbrain_ingest.errors import RulesError
from heartbrain_ingest.physio.recording import Kind, RecordingError
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
    names: tuple[str, ...] = Field(
        default=(), description="Regular expressions for what amplifiers with named channels call it; any case."
    )
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

    mean: str | None = Field(
        default=None,
        pattern=r"^[A-Z][A-Za-z0-9]*$",
        description="Property that takes the mean of the values; none: none.",
    )

    @field_validator("names")
    @classmethod
    def _all_compile(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _checked(names)


class RateRule(_Strict):
    """The sampling rate of one kind of log; the first rule that fits counts."""

    version: str = Field(default=".*", description="Regular expression that the log's version text fits as a whole.")
    kinds: tuple[str, ...] = Field(default=(), description="Kinds of recording that the rule is for; none: all.")
    rate: float = Field(gt=0, description="Samples per second and channel, Hz.")


class PhysioRules(_Strict):
    """All of `physio.yml`."""

    names: tuple[NameRule, ...] = Field(description="Tried in order; the first that fits counts.")
    extensions: dict[str, Kind] = Field(description="File name extension of a PMU log -> kind.")
    channels: dict[str, ChannelRule] = Field(description="Names, units and peak search for each kind, in this order.")
    scanner_triggers: tuple[str, ...] = Field(
        default=(), description="Regular expressions for the markers or channels of an amplifier that the scanner sets."
    )
    time_zone: str | None = Field(
        default=None, description="Where the scanner's clock is, for files whose clock is UTC (BIOPAC): Europe/Berlin."
    )
    rates: tuple[RateRule, ...] = Field(description="Nominal sampling rates.")
    rate_tolerance: float = Field(
        default=0.02, gt=0, lt=0.5, description="Relative difference between nominal and measured rate that is normal."
    )
    minimal_overlap: float = Field(
        default=1.0, ge=0, description="Seconds that recording and image must share before they belong together."
    )
    clock_tolerance: float = Field(
        default=120.0, ge=0, description="Seconds by which the clock of another computer may be off the scanner's."
    )
    margin: float = Field(
        default=0.0, ge=0, description="Seconds before and after the image that a cut recording keeps."
    )

    @field_validator("channels")
    @classmethod
    def _complete(cls, channels: dict[str, ChannelRule]) -> dict[str, ChannelRule]:
        if missing := [kind.value for kind in Kind if kind not in channels]:
            raise ValueError(f"no entry for {missing}")
        labels = [rule.recording for rule in channels.values()]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"two kinds are called {twice}: their files would have one name")
        return channels

    @field_validator("scanner_triggers")
    @classmethod
    def _all_compile(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _checked(names)

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None and name not in available_timezones():
            raise ValueError(f"{name!r} is no time zone, such as Europe/Berlin")
        return name

    def kind_of_channel(self, name: str) -> str | None:
        """Give the kind of a channel by its name in the file; the first entry with a fitting name counts."""
        for kind, rule in self.channels.items():
            if any(re.search(pattern, name, re.IGNORECASE) for pattern in rule.names):
                return kind
        return None

    def scanner_mark(self, label: str) -> str | None:
        """Give that by which a marker or channel of an amplifier is one that the scanner sets; None where it's none."""
        found = (re.search(pattern, label, re.IGNORECASE) for pattern in self.scanner_triggers)
        return next((one.group() for one in found if one), None)

    def nominal_rate(self, version: str, kind: str) -> float:
        """Give the sampling rate of a log, Hz.

        Raises
        ------
        RecordingError
            PHYSIO_UNREADABLE: no rule fits.
        """
        for rule in self.rates:
            if (not rule.kinds or kind in rule.kinds) and re.fullmatch(rule.version, version):
                return rule.rate
        raise RecordingError("PHYSIO_UNREADABLE", "no sampling rate in physio.yml fits this log")


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


def _checked(patterns: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
    return patterns


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
