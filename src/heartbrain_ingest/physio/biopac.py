"""BIOPAC AcqKnowledge recordings (`.acq`), by the library bioread."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from heartbrain_ingest.physio.channels import Channel, make_recordings
from heartbrain_ingest.physio.recording import Recording, RecordingError

if TYPE_CHECKING:
    from heartbrain_ingest.physio.rules import PhysioRules


def read_biopac(path: Path, rules: PhysioRules) -> tuple[Recording, ...]:
    """Read the recordings of a file.

    Its clock is that of the first marker, in UTC; it counts where physio.yml names the `time_zone` of the scanner.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: the file is damaged or holds no known channel.
    """
    import bioread  # noqa: PLC0415 - only where such a file is met

    logging.getLogger("bioread").setLevel(logging.CRITICAL)  # what is wrong with a file is said by its code
    try:
        content: Any = bioread.read_file(str(path))
        channels = [_channel(one) for one in content.channels]
        begin = _begin(content, rules.time_zone)
    except Exception:  # noqa: BLE001 - a damaged file raises anything from the parser; the message may quote it
        raise RecordingError("PHYSIO_UNREADABLE", "the AcqKnowledge file can't be read") from None
    return make_recordings(channels, rules, begin=begin, source=f"biopac {content.graph_header.file_revision}")


def _channel(channel: Any) -> Channel:
    values = np.asarray(channel.data, dtype=np.float64)
    return Channel(
        name=str(channel.name), unit=str(channel.units), rate=float(channel.samples_per_second), values=values
    )


def _begin(content: Any, time_zone: str | None) -> datetime | None:
    first = next((one for one in content.event_markers or () if one.sample_index == 0 and one.date_created_utc), None)
    if time_zone is None or first is None:
        return None
    moment: datetime = first.date_created_utc.astimezone(ZoneInfo(time_zone)).replace(tzinfo=None)
    return moment
