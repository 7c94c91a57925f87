"""BIOPAC AcqKnowledge recordings (`.acq`), by the library bioread."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from heartbrain_ingest.physio.channels import known_unit
from heartbrain_ingest.physio.log import Log, Signal
from heartbrain_ingest.physio.recording import Clock, RecordingError, since_midnight_ms


def read_biopac(path: Path) -> Log:
    """Read the channels of a file.

    Its clock is that of the first marker, in UTC; it counts where physio.yml names the `time_zone` of the scanner.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: the file is damaged.
    """
    content = open_biopac(path)
    try:
        begin = _begin(content)
        signals = tuple(_signal(one, begin) for one in content.channels)
        source = f"biopac {int(content.graph_header.file_revision)}"
    except Exception:  # noqa: BLE001 - as below
        raise RecordingError("PHYSIO_UNREADABLE", "the AcqKnowledge file can't be read") from None
    if not signals:
        raise RecordingError("PHYSIO_UNREADABLE", "the AcqKnowledge file has no channels")
    day = None if begin is None else begin.date()
    return Log(source=source, signals=signals, clock=Clock.OWN, is_utc=True, day=day)


def open_biopac(path: Path, *, with_samples: bool = True) -> Any:
    """Give what the library reads of a file.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: the file is damaged.
    """
    import bioread  # noqa: PLC0415 - only where such a file is met

    logging.getLogger("bioread").setLevel(logging.CRITICAL)  # what is wrong with a file is said by its code
    try:
        return bioread.read_file(str(path), channel_indexes=None if with_samples else [])
    except Exception:  # noqa: BLE001 - a damaged file raises anything from the parser; the message may quote it
        raise RecordingError("PHYSIO_UNREADABLE", "the AcqKnowledge file can't be read") from None


def _signal(channel: Any, begin: datetime | None) -> Signal:
    return Signal(
        name=str(channel.name),
        units=(known_unit(str(channel.units)),),
        rate=float(channel.samples_per_second),
        counts=np.asarray(channel.data, dtype=np.float64)[:, np.newaxis],
        start_ms=None if begin is None else since_midnight_ms(begin),
    )


def _begin(content: Any) -> datetime | None:
    first = next((one for one in content.event_markers or () if one.sample_index == 0 and one.date_created_utc), None)
    if first is None:
        return None
    moment: datetime = first.date_created_utc.astimezone(UTC).replace(tzinfo=None)
    return moment
