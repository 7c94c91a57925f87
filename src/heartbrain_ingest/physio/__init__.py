"""Physiology recordings: read what the monitors leave, match it to the images, write BIDS tables."""

from typing import TYPE_CHECKING, Any

from heartbrain_ingest.physio.matching import (
    ImageSpan,
    Match,
    MatchResult,
    at_time,
    clock_notes,
    match_recordings,
    scan_duration,
    with_uuids,
)
from heartbrain_ingest.physio.names import LOG_ENDING, LONGEST_HEADER, find_image_uuid
from heartbrain_ingest.physio.reader import Format, find_format, read_log, read_recordings
from heartbrain_ingest.physio.recording import Clock, Kind, Recording, RecordingError
from heartbrain_ingest.physio.rules import PhysioRules, RecordingName, identify, load_rules
from heartbrain_ingest.physio.sessions import SessionSpan, find_session
from heartbrain_ingest.physio.writer import Written, choose_parts, physio_stem, table_path, write_bids, write_whole

if TYPE_CHECKING:
    from heartbrain_ingest.physio.headers import Names, find_names
    from heartbrain_ingest.physio.log import Log, interpret
    from heartbrain_ingest.physio.store import load_log, store_log

#: Where the names live that need numpy, or time; loaded when asked for.
_HOMES = {
    "Log": "log",
    "Names": "headers",
    "find_names": "headers",
    "interpret": "log",
    "load_log": "store",
    "store_log": "store",
}

__all__ = [
    "LOG_ENDING",
    "LONGEST_HEADER",
    "Clock",
    "Format",
    "ImageSpan",
    "Kind",
    "Log",
    "Match",
    "MatchResult",
    "Names",
    "PhysioRules",
    "Recording",
    "RecordingError",
    "RecordingName",
    "SessionSpan",
    "Written",
    "at_time",
    "choose_parts",
    "clock_notes",
    "find_format",
    "find_image_uuid",
    "find_names",
    "find_session",
    "identify",
    "interpret",
    "load_log",
    "load_rules",
    "match_recordings",
    "physio_stem",
    "read_log",
    "read_recordings",
    "scan_duration",
    "store_log",
    "table_path",
    "with_uuids",
    "write_bids",
    "write_whole",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as said above

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
