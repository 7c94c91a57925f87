"""Physiology in DICOM: waveform objects (PS3.3 A.34, C.10.9) and the raw-data objects of the CMRR sequences."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from heartbrain_ingest.physio.channels import known_unit
from heartbrain_ingest.physio.cmrr import read_cmrr_payload
from heartbrain_ingest.physio.log import Log, Signal
from heartbrain_ingest.physio.recording import Kind, RecordingError, since_midnight_ms

if TYPE_CHECKING:
    from pydicom import Dataset

CMRR_PAYLOAD = (0x7FE1, 0x1010)
#: Names of leads (PS3.16 CID 3001), as far as their code meanings hold one.
LEAD = re.compile(r"(?i:lead)\s(I{1,3}|aV[RLF]|V\d{1,2}[RL]?|[ADEFHIJMSXYZ]|CM\d|MCL\d?)(?:\s.*)?")
#: Waveform storage SOP classes (PS3.4 B.5), by the beginning of their UID.
KIND_OF_CLASS = {
    "1.2.840.10008.5.1.4.1.1.9.1.": Kind.ECG,
    "1.2.840.10008.5.1.4.1.1.9.5.1": Kind.PULSE,
    "1.2.840.10008.5.1.4.1.1.9.6.1": Kind.RESPIRATION,
}


def read_dicom(path: Path) -> Log:
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
            return _waveforms(dataset)
        if CMRR_PAYLOAD in dataset and "PHYSIO" in (dataset.get("ImageType") or ()):
            return read_cmrr_payload(bytes(dataset[CMRR_PAYLOAD].value), int(dataset.AcquisitionNumber))
    except RecordingError:
        raise
    except Exception:  # noqa: BLE001 - a damaged object raises anything from the parser; the message may quote it
        raise RecordingError("PHYSIO_UNREADABLE", "the DICOM object is damaged") from None
    raise RecordingError("PHYSIO_UNREADABLE", "the DICOM object holds no physiology")


def _waveforms(dataset: Dataset) -> Log:
    """Give the original multiplex groups; derived ones (a median beat) have no place on the clock."""
    import numpy as np  # noqa: PLC0415

    kind = next((kind for prefix, kind in KIND_OF_CLASS.items() if str(dataset.SOPClassUID).startswith(prefix)), None)
    if kind is None:
        raise RecordingError("PHYSIO_UNREADABLE", "the waveform is of no known kind")
    begin = _begin(dataset)
    signals = []
    for index, group in enumerate(dataset.WaveformSequence):
        if group.get("WaveformOriginality") != "ORIGINAL":
            continue
        samples = np.asarray(dataset.waveform_array(index), dtype=np.float64)
        channels = group.ChannelDefinitionSequence
        if not float(group.SamplingFrequency) > 0 or len(channels) != samples.shape[1]:
            raise RecordingError("PHYSIO_UNREADABLE", "the waveform has no sampling rate, or no channel for a column")
        signals.append(
            Signal(
                kind=kind,
                rate=float(group.SamplingFrequency),
                start_ms=since_midnight_ms(begin) + float(group.get("MultiplexGroupTimeOffset") or 0.0),
                counts=samples,
                columns=tuple(_lead(channel) for channel in channels),
                units=tuple(_unit(channel) for channel in channels),
            )
        )
    if not signals:
        raise RecordingError("PHYSIO_UNREADABLE", "the DICOM object holds no original waveform")
    return Log(source="dicom-waveform", signals=tuple(signals), day=begin.date())


def _begin(dataset: Dataset) -> datetime:
    text = str(dataset.get("AcquisitionDateTime") or "").split("+")[0]
    for form in ("%Y%m%d%H%M%S.%f", "%Y%m%d%H%M%S"):
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - local clock, as the images'
        except ValueError:
            continue
    raise RecordingError("PHYSIO_UNREADABLE", "the waveform has no AcquisitionDateTime")


def _lead(channel: Dataset) -> str:
    """Name a lead after its standard code meaning ("Lead aVR" -> `ecg_aVR`); free labels may hold anything."""
    sources = channel.get("ChannelSourceSequence") or ()
    meaning = str(sources[0].get("CodeMeaning") or "") if sources else ""
    found = LEAD.fullmatch(meaning)
    return f"ecg_{found[1]}" if found else ""


def _unit(channel: Dataset) -> str:
    units = channel.get("ChannelSensitivityUnitsSequence") or ()
    return known_unit(str(units[0].get("CodeValue") or "")) if units else ""
