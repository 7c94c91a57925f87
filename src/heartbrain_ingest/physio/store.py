"""Logs without whom they name, as they are published: enough to read them again after physio.yml changed.

A zip file of `log.json` and one NumPy file for the samples of each signal, its events and its volumes. All of it is
made anew of numbers, of fixed words and of the names of channels and markers; nothing of the original text is copied.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from heartbrain_ingest.physio.log import Log, Signal
from heartbrain_ingest.physio.recording import Clock, RecordingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heartbrain_ingest.physio.rules import PhysioRules

FIXED_TIME = (1980, 1, 1, 0, 0, 0)
ABOUT = "log.json"
LONGEST_NAME = 40
#: What recorders write for a trigger input: `Response/R128`, `Stimulus/S  7`, `Toggle/T  1_on`.
CODED_MARKER = re.compile(r"(?!Comment)[A-Z][a-z]{0,15}( [A-Z][a-z]{0,15})?/[A-Za-z]{0,2} {0,3}\d{1,4}(_o(n|ff))?")
OTHER_MARKER = "other"
PLACES = ("samples", "events", "volumes")


def store_log(log: Log, path: Path, rules: PhysioRules, clean: Callable[[str], str]) -> None:
    """Write a log without whom it names.

    Parameters
    ----------
    log
        Its UUID is a keyed one.
    rules
        Of the name of a marker that they know, what they know it by is kept; and names that are letters and a number.
        All others go: people write remarks there.
    clean
        Takes the identifiers of the session out of the name of a channel.
    """
    about: dict[str, Any] = {
        "Source": log.source,
        "Version": log.version,
        "Clock": str(log.clock),
        "IsUtc": log.is_utc,
        "IsClocked": log.is_clocked,
        "ScanEnd": log.scan_end,
        "MeasurementUuid": log.uuid,
        "Issues": list(log.issues),
        "Markers": [[_marker(label, rules, clean), seconds] for label, seconds in log.markers],
        "Signals": [_about(signal, clean) for signal in log.signals],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        _add(archive, ABOUT, (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())
        for number, signal in enumerate(log.signals, start=1):
            for place, values in zip(PLACES, (signal.counts, signal.events, signal.volumes), strict=True):
                if values is not None:
                    _add(archive, f"{number}_{place}.npy", _packed(values))


def load_log(path: Path) -> Log:
    """Read a log that was stored; it names no day.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: the file is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read(ABOUT))
            signals = tuple(_signal(archive, number, one) for number, one in enumerate(about["Signals"], start=1))
        return Log(
            source=about["Source"],
            version=about["Version"],
            signals=signals,
            clock=Clock(about["Clock"]),
            is_utc=about["IsUtc"],
            is_clocked=about["IsClocked"],
            scan_end=about["ScanEnd"],
            markers=tuple((label, seconds) for label, seconds in about["Markers"]),
            uuid=about["MeasurementUuid"],
            issues=tuple(about["Issues"]),
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        raise RecordingError("PHYSIO_UNREADABLE", "the stored log is damaged") from None


def _about(signal: Signal, clean: Callable[[str], str]) -> dict[str, Any]:
    return {
        "Kind": signal.kind,
        "Name": clean(signal.name)[:LONGEST_NAME],
        "Rate": signal.rate,
        "Resolution": signal.resolution,
        "Units": list(signal.units),
        "Columns": list(signal.columns),
        "StartMs": signal.start_ms,
        "StopMs": signal.stop_ms,
        "Part": signal.part,
    }


def _signal(archive: zipfile.ZipFile, number: int, about: dict[str, Any]) -> Signal:
    names = set(archive.namelist())

    def values(place: str) -> Any:
        name = f"{number}_{place}.npy"
        return np.load(io.BytesIO(archive.read(name)), allow_pickle=False) if name in names else None

    return Signal(
        kind=about["Kind"],
        name=about["Name"],
        rate=about["Rate"],
        resolution=about["Resolution"],
        units=tuple(about["Units"]),
        columns=tuple(about["Columns"]),
        start_ms=about["StartMs"],
        stop_ms=about["StopMs"],
        part=about["Part"],
        counts=values("samples"),
        events=values("events"),
        volumes=values("volumes"),
    )


def _marker(label: str, rules: PhysioRules, clean: Callable[[str], str]) -> str:
    kept = label if CODED_MARKER.fullmatch(label) else rules.scanner_mark(label)
    return clean(kept or "")[:LONGEST_NAME] or OTHER_MARKER


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    member = zipfile.ZipInfo(name, date_time=FIXED_TIME)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o644 << 16
    archive.writestr(member, content)


def _packed(values: NDArray[Any]) -> bytes:
    """Give the values as a NumPy file, in the smallest type that holds each of them exactly."""
    stream = io.BytesIO()
    np.save(stream, _smallest(values), allow_pickle=False)
    return stream.getvalue()


def _smallest(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind != "f":
        return values
    for dtype in ("<i2", "<i4", "<f4"):
        with np.errstate(invalid="ignore", over="ignore"):
            small = values.astype(dtype)
        if np.array_equal(small, values, equal_nan=dtype == "<f4"):
            return small
    return values
