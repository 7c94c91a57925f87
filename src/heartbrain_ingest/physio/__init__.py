"""Physiology recordings: read what the monitors leave, match it to the images, write BIDS tables."""

from heartbrain_ingest.physio.matching import ImageSpan, Match, MatchResult, match_recordings
from heartbrain_ingest.physio.reader import is_physio_log, read_recording, read_recordings
from heartbrain_ingest.physio.recording import Kind, Recording, RecordingError
from heartbrain_ingest.physio.rules import PhysioRules, RecordingName, identify, load_rules
from heartbrain_ingest.physio.sessions import SessionSpan, find_session
from heartbrain_ingest.physio.writer import physio_stem, write_bids, write_whole

__all__ = [
    "ImageSpan",
    "Kind",
    "Match",
    "MatchResult",
    "PhysioRules",
    "Recording",
    "RecordingError",
    "RecordingName",
    "SessionSpan",
    "find_session",
    "identify",
    "is_physio_log",
    "load_rules",
    "match_recordings",
    "physio_stem",
    "read_recording",
    "read_recordings",
    "write_bids",
    "write_whole",
]
