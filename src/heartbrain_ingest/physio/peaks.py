"""Beats and breaths of a recording: where they are, how fast they come, how alike they look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heartbrain_ingest.physio.recording import Kind, Recording

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heartbrain_ingest.physio.rules import ChannelRule

FILTER_ORDER = 2
INTEGRATION_S = 0.12
LEAST_PEAKS = 2


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """What the peaks of a recording say."""

    #: Sample numbers of the peaks.
    peaks: tuple[int, ...]
    #: Mean rate, 1/min; None below two peaks.
    mean_rate: float | None
    #: Mean correlation of each cycle with the mean cycle, -1 to 1; None below two whole cycles.
    quality: float | None


NOTHING = Rhythm(peaks=(), mean_rate=None, quality=None)


def find_rhythm(recording: Recording, rule: ChannelRule) -> Rhythm:
    """Find beats or breaths by a band pass and peaks above a share of the signal's own spread.

    An ECG is differentiated, squared and integrated over 120 ms first (Pan and Tompkins 1985,
    doi:10.1109/TBME.1985.325532), so that either sign of the R wave counts; of its channels, the one with the largest
    spread in the band is used. The quality is the template correlation of Orphanidou et al. 2015
    (doi:10.1109/JBHI.2014.2338351).
    """
    if rule.band is None or recording.kind is Kind.TRIGGER:
        return NOTHING
    signal = _band_passed(recording, rule.band)
    if signal is None:
        return NOTHING
    from scipy.signal import find_peaks  # noqa: PLC0415 - half a second that only recordings should cost

    rate = recording.sampling_frequency
    shape = _energy(signal, rate) if recording.kind is Kind.ECG else signal
    spread = float(np.percentile(shape, 95) - np.percentile(shape, 5))
    found, _ = find_peaks(shape, distance=max(1, int(rate * 60.0 / rule.fastest)), prominence=0.4 * spread)
    if len(found) < LEAST_PEAKS:
        return Rhythm(peaks=tuple(map(int, found)), mean_rate=None, quality=None)
    # Pauses (a lost sensor) must not slow the rate: only intervals that can be one cycle count.
    intervals = np.diff(found) / rate
    possible = intervals[intervals <= 60.0 / rule.slowest] if rule.slowest else intervals
    mean_rate = 60.0 / float(np.mean(possible)) if len(possible) else None
    return Rhythm(peaks=tuple(map(int, found)), mean_rate=mean_rate, quality=_template_correlation(signal, found))


def _band_passed(recording: Recording, band: tuple[float, float]) -> NDArray[np.float64] | None:
    from scipy.signal import butter, sosfiltfilt  # noqa: PLC0415

    nyquist = recording.sampling_frequency / 2.0
    if band[0] >= nyquist * 0.9:
        return None
    sos = butter(FILTER_ORDER, (band[0] / nyquist, min(band[1] / nyquist, 0.9)), btype="bandpass", output="sos")
    shortest = 3 * (2 * len(sos) + 1) + 1  # what sosfiltfilt pads with
    if len(recording.samples) < max(shortest, int(2 * recording.sampling_frequency)):
        return None
    filled = _filled(recording.samples)
    flat = np.ptp(filled, axis=0) == 0
    if flat.all():
        return None
    passed: NDArray[np.float64] = sosfiltfilt(sos, filled[:, ~flat] - filled[:, ~flat].mean(axis=0), axis=0)
    best = int(np.argmax(np.std(passed, axis=0))) if recording.kind is Kind.ECG else 0
    return passed[:, best]


def _filled(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    gaps = np.isnan(samples)
    if not gaps.any():
        return samples
    filled = samples.copy()
    index = np.arange(len(samples))
    for channel in range(samples.shape[1]):
        known = ~gaps[:, channel]
        filled[:, channel] = np.interp(index, index[known], samples[known, channel]) if known.any() else 0.0
    return filled


def _energy(signal: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    width = max(1, int(INTEGRATION_S * rate))
    return np.convolve(np.gradient(signal) ** 2, np.ones(width) / width, mode="same")


def _template_correlation(signal: NDArray[np.float64], peaks: NDArray[np.int64]) -> float | None:
    half = int(np.median(np.diff(peaks)) / 2)
    whole = peaks[(peaks >= half) & (peaks + half < len(signal))]
    if len(whole) < LEAST_PEAKS or half < 1:
        return None
    cycles = np.stack([signal[peak - half : peak + half + 1] for peak in whole])
    cycles = cycles - cycles.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(cycles, axis=1)
    template = cycles.mean(axis=0)
    size = float(np.linalg.norm(template))
    usable = norms > 0
    if size == 0 or not usable.any():
        return None
    return float(np.mean(cycles[usable] @ template / (norms[usable] * size)))
