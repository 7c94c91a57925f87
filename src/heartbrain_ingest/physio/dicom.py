"""Physiology in DICOM: waveform objects (PS3.3 A.34, C.10.9) and the raw-data objects of the CMRR sequences."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from heartbrain_ingest.physio.cmrr import read_cmrr_payload
from heartbrain_ingest.physio.recording import MS_PER_DAY, Kind, Recording, RecordingError, since_midnight_ms
from heartbrain_ingest.physio.rules import PhysioRules

if TYPE_CHECKING:
    from pydicom import Dataset

CMRR_PAYLOAD = (0x7FE1, 0x1010)
#: Waveform storage SOP classes (PS3.4 B.5), by the beginning of their UID.
KIND_OF_CLASS = {
    "1.2.840.10008.5.1.4.1.1.9.1.": Kind.ECG,
    "1.2.840.10008.5.1.4.1.1.9.5.1": Kind.PULSE,
    "1.2.840.10008.5.1.4.1.1.9.6.1": Kind.RESPIRATION,
}


def read_dicom(path: Path, rules: PhysioRules) -> tuple[Recording, ...]:
    """Read the recordings of one DICOM object.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: the object is damaged or holds no physiology.
    """
    import pydicom  # noqa: PLC0415

    try:
        dataset = pydicom.dcmread(path)
    except Exception:  # noqa: BLE001 - the same as below
        raise RecordingError("PHYSIO_UNREADABLE", "the DICOM object can't be read") from None
    try:
        if "WaveformSequence" in dataset:
            return _waveforms(dataset, rules)
        if CMRR_PAYLOAD in dataset and "PHYSIO" in (dataset.get("ImageType") or ()):
            return read_cmrr_payload(bytes(dataset[CMRR_PAYLOAD].value), int(dataset.AcquisitionNumber), rules)
    except RecordingError:
        raise
    except Exception:  # noqa: BLE001 - a damaged object raises anything from the parser; the message may quote it
        raise RecordingError("PHYSIO_UNREADABLE", "the DICOM object is damaged") from None
    raise RecordingError("PHYSIO_UNREADABLE", "the DICOM object holds no physiology")


def _waveforms(dataset: Dataset, rules: PhysioRules) -> tuple[Recording, ...]:
    """Give the original multiplex groups; derived ones (a median beat) have no place on the clock."""
    import numpy as np  # noqa: PLC0415

    kind = next((kind for prefix, kind in KIND_OF_CLASS.items() if str(dataset.SOPClassUID).startswith(prefix)), None)
    if kind is None:
        raise RecordingError("PHYSIO_UNREADABLE", "the waveform is of no known kind")
    begin = _begin(dataset)
    recordings = []
    for index, group in enumerate(dataset.WaveformSequence):
        if group.get("WaveformOriginality") != "ORIGINAL":
            continue
        samples = np.asarray(dataset.waveform_array(index), dtype=np.float64)
        rate = float(group.SamplingFrequency)
        channels = group.ChannelDefinitionSequence
        start = since_midnight_ms(begin) + float(group.get("MultiplexGroupTimeOffset") or 0.0)
        recordings.append(
            Recording(
                kind=kind,
                sampling_frequency=rate,
                start_ms=start,
                stop_ms=(start + 1000.0 * len(samples) / rate) % MS_PER_DAY,
                samples=samples,
                triggers=None,
                columns=tuple(_channel_name(channel, place, kind, rules) for place, channel in enumerate(channels)),
                units=tuple(_unit(channel, rules.channels[kind].units) for channel in channels),
                source="dicom-waveform",
                day=begin.date(),
            )
        )
    if not recordings:
        raise RecordingError("PHYSIO_UNREADABLE", "the DICOM object holds no original waveform")
    return tuple(recordings)


def _begin(dataset: Dataset) -> datetime:
    text = str(dataset.get("AcquisitionDateTime") or "").split("+")[0]
    for form in ("%Y%m%d%H%M%S.%f", "%Y%m%d%H%M%S"):
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - local clock, as the images'
        except ValueError:
            continue
    raise RecordingError("PHYSIO_UNREADABLE", "the waveform has no AcquisitionDateTime")


def _channel_name(channel: Dataset, place: int, kind: Kind, rules: PhysioRules) -> str:
    """Name a lead after its standard code meaning ("Lead aVR" -> `ecg_aVR`); free labels may hold anything."""
    sources = channel.get("ChannelSourceSequence") or ()
    meaning = str(sources[0].get("CodeMeaning") or "") if sources else ""
    words = meaning.split()
    lead = words[-1] if len(words) > 1 and words[0] == "Lead" else ""
    if lead.isascii() and lead.isalnum():
        return f"ecg_{lead}"
    names = rules.channels[kind].columns
    return names[place] if place < len(names) else f"{names[0]}_{place + 1}"


def _unit(channel: Dataset, default: str) -> str:
    units = channel.get("ChannelSensitivityUnitsSequence") or ()
    return str(units[0].get("CodeValue") or default) if units else default
