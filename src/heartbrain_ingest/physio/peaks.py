"""Beats and breaths of a recording: where they are, how fast they come, how alike they look.

Only numpy: a band pass by Fourier transform and a search for prominent maxima need no more, and loading a library of
signal processing costs every worker more time than the search in a whole session's recordings. Found as many of the
beats of real recordings as neurokit2 and sleepecg do (docs/howto-physiology.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heartbrain_ingest.physio.recording import Recording
    from heartbrain_ingest.physio.rules import ChannelRule

INTEGRATION_S = 0.12
LEAST_PEAKS = 2
#: Shorter recordings have no rhythm.
SHORTEST_S = 2.0
#: A peak rises above its surroundings by this share of the typical height of a cycle.
PROMINENCE = 0.4
#: The typical height is measured anew so often: it follows a sensor that slips or a patient that moves.
WINDOW_CYCLES = 12


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
    if rule.band is None:
        return NOTHING
    signal = _band_passed(recording, rule)
    if signal is None:
        return NOTHING
    rate = recording.sampling_frequency
    shape = _energy(signal, rate) if rule.detector == "ecg" else signal
    found = _prominent_maxima(
        shape, distance=60.0 / rule.fastest * rate, window=WINDOW_CYCLES * 60.0 / rule.slowest * rate
    )
    if len(found) < LEAST_PEAKS:
        return Rhythm(peaks=tuple(map(int, found)), mean_rate=None, quality=None)
    # Pauses (a lost sensor) must not slow the rate: only intervals that can be one cycle count.
    intervals = np.diff(found) / rate
    possible = intervals[intervals <= 60.0 / rule.slowest]
    mean_rate = 60.0 / float(np.mean(possible)) if len(possible) else None
    return Rhythm(peaks=tuple(map(int, found)), mean_rate=mean_rate, quality=_template_correlation(signal, found))


def _band_passed(recording: Recording, rule: ChannelRule) -> NDArray[np.float64] | None:
    """Keep a band of frequencies with soft edges; None where the recording is too short, too slow or flat."""
    low, high = rule.band or (0.0, 0.0)
    rate, count = recording.sampling_frequency, len(recording.samples)
    if low >= rate / 2.0 * 0.9 or count < SHORTEST_S * rate:
        return None
    filled = _filled(recording.samples)
    filled = filled[:, np.ptp(filled, axis=0) > 0]
    if not filled.size:
        return None
    if rule.detector != "ecg":
        filled = filled[:, :1]
    # Mirrored ends keep the transform from seeing a step between the last sample and the first.
    margin = min(count - 1, int(2.0 / low * rate))
    padded = np.concatenate(
        [2 * filled[0] - filled[margin:0:-1], filled, 2 * filled[-1] - filled[-2 : -margin - 2 : -1]]
    )
    length = _fast_length(len(padded))
    spectrum = np.fft.rfft(padded - padded.mean(axis=0), length, axis=0)
    frequency = np.fft.rfftfreq(length, 1.0 / rate)
    with np.errstate(divide="ignore"):
        # The squared gain of second order Butterworth filters, run forwards and backwards.
        gain = 1.0 / (1.0 + (low / frequency) ** 4) / (1.0 + (frequency / high) ** 4)
    passed: NDArray[np.float64] = np.fft.irfft(spectrum * gain[:, np.newaxis], length, axis=0)[margin : margin + count]
    return passed[:, int(np.argmax(np.std(passed, axis=0)))]


def _fast_length(length: int) -> int:
    """Give the next length that a fast Fourier transform likes: the smallest 2^a 3^b 5^c that is not shorter."""
    best = 1 << (length - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            fitting = three << max(0, -(-length // three) - 1).bit_length()
            best = min(best, fitting)
            three *= 3
        five *= 5
    return best


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
    # The root makes the shape rise and fall with the signal, not with its square: a weak beat is still a beat.
    steepness: NDArray[np.float64] = np.sqrt(np.convolve(np.gradient(signal) ** 2, np.ones(width) / width, mode="same"))
    return steepness


def _prominent_maxima(signal: NDArray[np.float64], *, distance: float, window: float) -> NDArray[np.int64]:
    """Find maxima that rise above what surrounds them by a share of the local spread, no two closer than `distance`.

    Parameters
    ----------
    distance, window
        Samples.
    """
    rises = np.diff(signal) > 0
    tops = np.flatnonzero(rises[:-1] & ~rises[1:]) + 1
    tops = _apart(tops, signal[tops], distance)
    if not len(tops):
        return tops
    heights = signal[tops]
    valleys = np.minimum.reduceat(signal, np.concatenate(([0], tops)))
    left = _fall_before(heights.tolist(), valleys[:-1].tolist())
    right = _fall_before(heights[::-1].tolist(), valleys[:0:-1].tolist())[::-1]
    prominence = np.minimum(left, right)
    kept: NDArray[np.int64] = tops[prominence >= PROMINENCE * _local_spread(signal, tops, max(1, int(window)))]
    return kept


def _apart(tops: NDArray[np.int64], heights: NDArray[np.float64], distance: float) -> NDArray[np.int64]:
    """Keep the highest tops so that none is closer to a higher one than the distance."""
    places = tops.tolist()
    kept = [True] * len(places)
    for index in np.argsort(-heights, kind="stable").tolist():
        if not kept[index]:
            continue
        for step in (-1, 1):
            other = index + step
            while 0 <= other < len(places) and abs(places[other] - places[index]) < distance:
                kept[other] = False
                other += step
    return tops[np.array(kept, dtype=np.bool_)]


def _fall_before(heights: list[float], valleys: list[float]) -> list[float]:
    """Give how deep the signal falls between each top and the last higher one before it.

    Parameters
    ----------
    valleys
        The lowest value between each top and the one before it (for the first: since the beginning).
    """
    falls = []
    higher: list[tuple[float, float]] = []  # tops that are still higher than what follows, and the lowest value since
    for height, valley in zip(heights, valleys, strict=True):
        lowest = valley
        while higher and higher[-1][0] <= height:
            lowest = min(lowest, higher.pop()[1])
        falls.append(height - lowest)
        higher.append((height, lowest))
    return falls


def _local_spread(signal: NDArray[np.float64], at: NDArray[np.int64], window: int) -> NDArray[np.float64]:
    """Give the distance of the 5th and the 95th percentile around some samples.

    It counts at least a quarter of that of the whole, so that the noise of a lost sensor holds no beats.
    """
    blocks = np.array_split(signal, max(1, len(signal) // window))
    middles = np.cumsum([0, *(len(block) for block in blocks[:-1])]) + np.array([len(block) / 2 for block in blocks])
    spreads = np.array([np.subtract(*np.percentile(block, (95, 5))) for block in blocks])
    whole = float(np.subtract(*np.percentile(signal, (95, 5))))
    spread: NDArray[np.float64] = np.maximum(np.interp(at, middles, spreads), whole / 4)
    return spread


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
