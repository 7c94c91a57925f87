"""Physiology recordings: read what the monitors leave, match it to the images, write BIDS tables."""

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
from heartbrain_ingest.physio.names import read_image_uuid
from heartbrain_ingest.physio.reader import Format, find_format, read_recordings
from heartbrain_ingest.physio.recording import Clock, Kind, Recording, RecordingError
from heartbrain_ingest.physio.rules import PhysioRules, RecordingName, identify, load_rules
from heartbrain_ingest.physio.sessions import SessionSpan, find_session
from heartbrain_ingest.physio.writer import Written, choose_parts, physio_stem, table_path, write_bids, write_whole

__all__ = [
    "Clock",
    "Format",
    "ImageSpan",
    "Kind",
    "Match",
    "MatchResult",
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
    "find_session",
    "identify",
    "load_rules",
    "match_recordings",
    "physio_stem",
    "read_image_uuid",
    "read_recordings",
    "scan_duration",
    "table_path",
    "with_uuids",
    "write_bids",
    "write_whole",
]
