"""Siemens PMU logs: `.ecg .puls .resp .ext` of software VA to XA.

One line of numbers, then lines of statistics. The line holds a short header, samples, event codes and text regions:

- 5000, 6000: an event of the monitor's own detector begins, ends; no sample
- 5002 ... 6002: a region of text (versions, trigger settings, messages); it may stand between any two samples. Some
  readers drop what is ahead of the region `uiHwRevision`; the clock and the unbroken curve say that it's recorded too
- 5003: the samples end; the statistics follow, up to 6003
- ECG: the channels take turns; channel *n* is shifted by 8192 n, so each value tells its channel. Samples have 12 bits,
  so no sample of any channel looks like a code.

`LogStartMDHTime` (ms since midnight) is the clock of the images; MPCU is the console's own, and runs apart from it.
Sources: the scanner's own PMU description as cited by PhysIO (doi:10.1016/j.jneumeth.2016.10.019) and bidsphysio;
checked on real VB and VE files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heartbrain_ingest.physio.log import Log, Signal
from heartbrain_ingest.physio.recording import Kind, RecordingError

EVENT_ON = 5000
EVENT_OFF = 6000
CHANNEL_SHIFT = 13
SAMPLE_MASK = (1 << CHANNEL_SHIFT) - 1
HEADER_LENGTHS = (4, 5)
#: Leads of an ECG; the value above which nothing is a code; digits of the longest number.
MOST_CHANNELS = 4
LARGEST_CODE = 8191
LONGEST_NUMBER = 9

INFO = re.compile(r"\b5002\b(.*?)\b6002\b", re.DOTALL)
#: A region whose begin code is missing, as some VB logs write "ACQ FINISHED".
STRAY_TEXT = re.compile(r"[A-Za-z].*?\b6002\b", re.DOTALL)
END = re.compile(r"\b5003\b")
STATISTICS = re.compile(r"^\s*(?:ECG|PULS|RESP|EXT)\s+Freq Per:", re.MULTILINE)
VERSION = re.compile(r"LOGVERSION[_ ]\s*(?P<version>(?:ECG|PULSE?|RESP|EXT)?\d?\s*\d*)")
STATED_RATE = re.compile(r"(?P<signal>[A-Z]+)_SAMPLES_PER_SECOND\s*=\s*(?P<rate>\d{1,6})\b")
CLOCK = re.compile(r"^\s*Log(?P<edge>Start|Stop)(?P<clock>MDH|MPCU)Time:\s*(?P<ms>\d{1,9})\b", re.MULTILINE)

KIND_OF_WORD = {
    "ECG": Kind.ECG,
    "PULS": Kind.PULSE,
    "PULSE": Kind.PULSE,
    "RESP": Kind.RESPIRATION,
    "EXT": Kind.TRIGGER,
    "EXT2": Kind.TRIGGER,
}
#: Signals that one log interleaves without marking them: the XA sensor writes its curve and four of its coils.
INTERLEAVED = {"RESP 3": 5}


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The log, taken apart."""

    numbers: NDArray[np.int64]
    header_length: int | None
    regions: tuple[str, ...]
    clock: dict[str, int]
    is_complete: bool


def read_pmu(path: Path, extensions: Mapping[str, Kind]) -> Log:
    """Read one PMU log.

    Parameters
    ----------
    extensions
        The kind of a log that does not say it itself, by the extension of its name.

    Returns
    -------
    Raw converter counts, shape (samples, channels), on the MDH clock. An ECG frame that the end of the log cuts is
    filled with NaN.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: no samples, no clock, or not a PMU log at all.
    """
    parts = _split(path.read_bytes().decode("latin-1"))
    version = _version(parts.regions)
    kind = _kind(version, parts.regions, path.suffix.lower(), extensions)
    length = parts.header_length or HEADER_LENGTHS[kind is Kind.ECG]
    numbers, unknown = _without_unknown(parts.numbers[length:], kind, INTERLEAVED.get(version, 1))
    samples, triggers = _decode(numbers, kind, INTERLEAVED.get(version, 1))
    if not samples.size:
        raise RecordingError("PHYSIO_UNREADABLE", "the log holds no samples")
    if "StartMDH" not in parts.clock:
        raise RecordingError("PHYSIO_UNREADABLE", "the log holds no LogStartMDHTime")
    issues: tuple[str, ...] = ("PHYSIO_UNKNOWN_CODE",) if unknown else ()
    issues += () if parts.is_complete else ("PHYSIO_TRUNCATED",)
    signal = Signal(
        kind=kind,
        counts=samples,
        events=triggers,
        rate=_stated_rate(parts.regions, kind),
        start_ms=float(parts.clock["StartMDH"]),
        stop_ms=float(parts.clock["StopMDH"]) if "StopMDH" in parts.clock else None,
    )
    return Log(
        source=f"siemens-pmu {version}".rstrip(), version=version, signals=(signal,), is_clocked=True, issues=issues
    )


def _split(text: str) -> _Parts:
    first = INFO.search(text)
    ahead = len(text[: first.start()].split()) if first else 0
    stripped = INFO.sub(" ", text)
    end = END.search(stripped)
    if end:
        body, rest = stripped[: end.start()], stripped[end.end() :]
    else:
        statistics = STATISTICS.search(stripped)
        cut = statistics.start() if statistics else len(stripped)
        body, rest = stripped[:cut], stripped[cut:]
    tokens = STRAY_TEXT.sub(" ", body).split()
    if not tokens or not all(token.isascii() and token.isdigit() and len(token) <= LONGEST_NUMBER for token in tokens):
        raise RecordingError("PHYSIO_UNREADABLE", "the first line is no list of numbers")
    return _Parts(
        numbers=np.array(tokens, dtype=np.int64),
        header_length=ahead if ahead in HEADER_LENGTHS else None,
        regions=tuple(INFO.findall(text)),
        clock={found["edge"] + found["clock"]: int(found["ms"]) for found in CLOCK.finditer(rest)},
        is_complete=end is not None,
    )


def _version(regions: tuple[str, ...]) -> str:
    for region in regions:
        if found := VERSION.search(region):
            return " ".join(found["version"].split())
    return ""


def _kind(version: str, regions: tuple[str, ...], extension: str, extensions: Mapping[str, Kind]) -> Kind:
    words = [
        version.partition(" ")[0],
        *(found["signal"] for region in regions for found in STATED_RATE.finditer(region)),
    ]
    for word in words:
        if word in KIND_OF_WORD:
            return KIND_OF_WORD[word]
    if any("eTriggerMethod" in region for region in regions):
        return Kind.ECG
    try:
        return extensions[extension]
    except KeyError:
        raise RecordingError("PHYSIO_UNREADABLE", "neither the log nor its extension tells the kind") from None


def _without_unknown(numbers: NDArray[np.int64], kind: Kind, interleaved: int) -> tuple[NDArray[np.int64], bool]:
    """Take out codes that nobody has described: what is in their range is no sample.

    Samples of the coils of an XA sensor are of a width that is not known, so nothing is taken out of those logs.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: numbers that no monitor writes.
    """
    if interleaved > 1:
        return numbers, False
    counts, channel = (numbers & SAMPLE_MASK, numbers >> CHANNEL_SHIFT) if kind is Kind.ECG else (numbers, 0 * numbers)
    if numbers.size and (int(channel.max()) >= MOST_CHANNELS or int(counts.max()) > LARGEST_CODE):
        raise RecordingError("PHYSIO_UNREADABLE", "the log holds numbers that no monitor writes")
    is_known = (counts < EVENT_ON) | (numbers == EVENT_ON) | (numbers == EVENT_OFF)
    return numbers[is_known], not bool(is_known.all())


def _decode(numbers: NDArray[np.int64], kind: Kind, interleaved: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    is_code = (numbers == EVENT_ON) | (numbers == EVENT_OFF)
    values = numbers[~is_code]
    if kind is Kind.ECG:
        channel = values >> CHANNEL_SHIFT
        counts = values & SAMPLE_MASK
    else:
        channel = np.arange(values.size) % interleaved
        counts = values
    if not values.size:
        return np.empty((0, 1)), np.empty(0, dtype=np.bool_)
    # A frame ends where the channel number does not rise: a value that got lost costs one NaN, not the alignment.
    frame = np.concatenate(([0], np.cumsum(np.diff(channel) <= 0)))
    samples = np.full((int(frame[-1]) + 1, int(channel.max()) + 1), np.nan)
    samples[frame, channel] = counts
    triggers = np.zeros(len(samples), dtype=np.bool_)
    following = np.cumsum(~is_code)[numbers == EVENT_ON]
    triggers[frame[np.minimum(following, values.size - 1)]] = True
    return samples, triggers


def _stated_rate(regions: tuple[str, ...], kind: Kind) -> float | None:
    for region in regions:
        for found in STATED_RATE.finditer(region):
            if KIND_OF_WORD.get(found["signal"]) is kind and int(found["rate"]) > 0:
                return float(found["rate"])
    return None
