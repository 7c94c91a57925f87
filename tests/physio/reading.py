"""Reading files that hold one recording, as most in these tests do."""

from __future__ import annotations

from pathlib import Path

from heartbrain_ingest.physio import Format, PhysioRules, Recording, find_format, read_recordings


def read_recording(path: Path, rules: PhysioRules) -> Recording:
    """Read a file that holds one recording."""
    (recording,) = read_recordings(path, rules)
    return recording


def is_physio_log(path: Path) -> bool:
    """Say whether the inbox takes a file for a recording, or a part of one, other than a DICOM object."""
    return find_format(path) not in {None, Format.DICOM}
