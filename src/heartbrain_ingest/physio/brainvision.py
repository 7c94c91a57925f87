"""BrainVision recordings: a header `.vhdr`, markers `.vmrk`, samples `.eeg`.

Read here and not by a library: neo 0.14 leaves the resolution of float samples out (values ten times too large in
files that pybv writes) and knows no header but in UTF-8, and mne is right but brings a hundred megabytes for it.
Source: BrainVision Core Data Format 1.0 (Brain Products).
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path, PureWindowsPath

import numpy as np

from heartbrain_ingest.physio.channels import known_unit
from heartbrain_ingest.physio.log import Log, Signal
from heartbrain_ingest.physio.recording import Clock, RecordingError, since_midnight_ms

FORMATS = {"INT_16": "<i2", "INT_32": "<i4", "IEEE_FLOAT_32": "<f4"}
SECTION = re.compile(r"^\[(?P<name>[^\]]+)\]\s*$")
MOMENT = "%Y%m%d%H%M%S%f"
LARGEST_TEXT = 64 * 1024 * 1024


def read_brainvision(path: Path) -> Log:
    """Read the channels of a `.vhdr` file and the files it names, which lie beside it.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: a part is missing or in a form that the format does not describe.
    """
    header = sections(path)
    try:
        common, binary = header["Common Infos"], header["Binary Infos"]
        count = int(common["NumberOfChannels"])
        rate = 1e6 / float(common["SamplingInterval"])
        dtype = np.dtype(FORMATS[binary["BinaryFormat"]])
        orientation = common["DataOrientation"]
        if common["DataFormat"] != "BINARY" or orientation not in {"MULTIPLEXED", "VECTORIZED"} or count < 1:
            raise RecordingError("PHYSIO_UNREADABLE", "samples as text are not read")
        about = [_channel(header["Channel Infos"][f"Ch{number}"]) for number in range(1, count + 1)]
    except (KeyError, ValueError, ZeroDivisionError):
        raise RecordingError("PHYSIO_UNREADABLE", "the header lacks what the format asks for") from None
    samples_path = _beside(path, common.get("DataFile", ""), ".eeg")
    if samples_path is None or not np.isfinite(rate):
        raise RecordingError("PHYSIO_UNREADABLE", "the file of samples is not beside the header")
    numbers = np.fromfile(samples_path, dtype=dtype)
    rows = len(numbers) // count
    table = numbers[: rows * count].reshape((rows, count) if orientation == "MULTIPLEXED" else (count, rows))
    table = table if orientation == "MULTIPLEXED" else table.T
    begin, markers = _markers(_beside(path, common.get("MarkerFile", ""), ".vmrk"), rate)
    signals = tuple(
        Signal(
            name=name,
            units=(known_unit(unit),),
            rate=rate,
            counts=table[:, index : index + 1],
            resolution=resolution,
            start_ms=None if begin is None else since_midnight_ms(begin),
        )
        for index, (name, resolution, unit) in enumerate(about)
    )
    day = None if begin is None else begin.date()
    return Log(source="brainvision", signals=signals, clock=Clock.OWN, markers=markers, day=day)


def _channel(text: str) -> tuple[str, float, str]:
    """Read `name,reference,resolution,unit,...`; a comma within a name is written as a backslash and 1."""
    fields = [*text.split(","), "", "", "", ""]
    return fields[0].replace("\\1", ","), float(fields[2] or 1.0), fields[3].strip() or "uV"


def _markers(path: Path | None, rate: float) -> tuple[datetime | None, tuple[tuple[str, float], ...]]:
    """Give when the first sample was taken, and `Type/Description` of each marker with its seconds."""
    begin: datetime | None = None
    markers = []
    for text in (sections(path) if path else {}).get("Marker Infos", {}).values():
        fields = [*text.split(","), "", "", "", "", ""]
        kind, label, place, moment = fields[0], fields[1], fields[2], fields[5]
        if not place.strip().isdigit():
            continue
        seconds = (int(place) - 1) / rate  # the format counts from one
        if kind == "New Segment":
            if begin is None and len(moment) == len("YYYYMMDDhhmmssuuuuuu") and seconds == 0:
                begin = _moment(moment)
        else:
            markers.append((f"{kind}/{label}", seconds))
    return begin, tuple(markers)


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, MOMENT)  # noqa: DTZ007 - local clock of the recording computer
    except ValueError:
        return None


def _beside(path: Path, name: str, suffix: str) -> Path | None:
    """Give a file that the header names; only its last part counts, so that no header reaches another folder."""
    last = PureWindowsPath(name.replace("$b", path.stem)).name
    for candidate in (path.with_name(last) if last else None, path.with_suffix(suffix)):
        if candidate is not None and candidate.is_file() and candidate != path:
            return candidate
    return None


def sections(path: Path) -> dict[str, dict[str, str]]:
    """Give the lines `key=value` of a header or a file of markers, by section."""
    if path.stat().st_size > LARGEST_TEXT:
        raise RecordingError("PHYSIO_UNREADABLE", "the header is too large to be one")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    sections: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        if found := SECTION.match(line):
            current = sections.setdefault(found["name"], {})
        elif "=" in line and not line.startswith(";"):
            key, _, value = line.partition("=")
            current[key.strip()] = value.strip()
    return sections
