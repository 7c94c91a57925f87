"""Files of several channels (BIOPAC, BrainVision): which channel is what, and the recordings they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heartbrain_ingest.physio.recording import Clock, Kind, Recording, RecordingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heartbrain_ingest.physio.rules import PhysioRules

#: What amplifiers call a unit -> UCUM. A unit is free text there, so one that is not in this list is not kept.
UNITS = {
    "v": "V",
    "volt": "V",
    "volts": "V",
    "mv": "mV",
    "millivolts": "mV",
    "uv": "uV",
    "microvolts": "uV",
    "nv": "nV",
    "us": "uS",
    "usiemens": "uS",
    "microsiemen": "uS",
    "microsiemens": "uS",
    "%": "%",
    "percent": "%",
    "mmhg": "mm[Hg]",
    "bpm": "/min",
    "c": "Cel",
    "deg c": "Cel",
}
#: Two volumes of a series are no closer than this; edges of a trigger that follow faster are one.
SHORTEST_TR_S = 0.05


@dataclass(frozen=True, kw_only=True)
class NamedSignal:
    """One channel as the file holds it. The name is free text: it is compared and never kept."""

    name: str
    #: UCUM; empty where the file names none that is known.
    unit: str
    #: Samples per second, Hz.
    rate: float
    #: Shape (samples,).
    values: NDArray[np.float64]


def make_recordings(
    channels: Sequence[NamedSignal],
    rules: PhysioRules,
    *,
    start_ms: float | None,
    source: str,
    scanner_s: Sequence[float] = (),
) -> tuple[Recording, ...]:
    """Make one recording of the channels of one kind and sampling rate.

    Parameters
    ----------
    start_ms
        When the first sample was taken, milliseconds since midnight on the clock of the recording computer; None where
        the file does not tell.
    scanner_s
        Seconds from the first sample to each mark that the scanner set. Without any, the channels named under
        `scanner_triggers` in physio.yml are searched for rising edges.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: no channel has a name that physio.yml knows.
    """
    marks = np.asarray(scanner_s, dtype=np.float64)
    groups: dict[tuple[str, float, int], list[NamedSignal]] = {}
    unknown = False
    for channel in channels:
        if not len(channel.values):
            continue
        if not len(marks) and rules.scanner_mark(channel.name) is not None:
            marks = _edges(channel)
        kind = rules.kind_of_channel(channel.name)
        if kind is None:
            unknown = True
        else:
            groups.setdefault((kind, channel.rate, len(channel.values)), []).append(channel)
    if not groups:
        raise RecordingError("PHYSIO_UNREADABLE", "no channel has a name that physio.yml knows")
    issues = ("PHYSIO_UNKNOWN_CHANNEL",) if unknown else ()
    parts: dict[str, int] = {}
    recordings = []
    for (kind, rate, count), members in groups.items():
        rule = rules.channels[kind]
        parts[kind] = parts.get(kind, 0) + 1
        first_ms = start_ms or 0.0
        recordings.append(
            Recording(
                kind=kind,
                part=parts[kind],
                sampling_frequency=rate,
                start_ms=first_ms,
                stop_ms=first_ms + 1000.0 * count / rate,
                clock=Clock.NONE if start_ms is None else Clock.OWN,
                samples=_finite(np.stack([channel.values for channel in members], axis=1)),
                triggers=None,
                columns=column_names(rule.columns, len(members)),
                units=tuple(channel.unit or rule.units for channel in members),
                source=source,
                scanner_triggers=_marked(marks, rate, count) if len(marks) else None,
                issues=issues,
            )
        )
        issues = ()
    return tuple(sorted(recordings, key=lambda one: (one.kind == Kind.TRIGGER, one.kind, one.part)))


def column_names(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Give `count` channel names: those of the rules, then numbered ones."""
    return names[:count] + tuple(f"{names[0]}_{index + 1}" for index in range(len(names), count))


def _finite(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take what is no number (an amplifier out of its range) for a gap."""
    return np.where(np.isfinite(samples), samples, np.nan)


def _edges(channel: NamedSignal) -> NDArray[np.float64]:
    """Give the seconds at which a trigger line rises through the middle of its range."""
    known = channel.values[np.isfinite(channel.values)]
    if not known.size or not known.max() > known.min():
        return np.empty(0)
    low, high = float(known.min()), float(known.max())
    above = channel.values > (low + high) / 2
    edges = np.flatnonzero(above[1:] & ~above[:-1]) + 1
    times = edges / channel.rate
    apart: NDArray[np.float64] = times[np.diff(times, prepend=-np.inf) >= SHORTEST_TR_S]
    return apart


def _marked(seconds: NDArray[np.float64], rate: float, count: int) -> NDArray[np.bool_]:
    # The first sample at or after the mark; clocks have digits enough for a millionth of a sample.
    places = np.ceil(seconds * rate - 1e-6).astype(np.int64)
    marks = np.zeros(count, dtype=np.bool_)
    marks[places[(places >= 0) & (places < count)]] = True
    return marks


def known_unit(text: str) -> str:
    """Give the UCUM code of what an amplifier calls a unit; empty where nobody knows it."""
    folded = text.replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u").strip().casefold()
    return UNITS.get(folded, "")
