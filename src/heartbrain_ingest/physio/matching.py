"""Which recording belongs to which image: overlap on the scanner's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from heartbrain_ingest.physio.recording import MS_PER_DAY, Recording

if TYPE_CHECKING:
    from heartbrain_ingest.physio.rules import PhysioRules

SECONDS_PER_DAY = MS_PER_DAY / 1000.0


@dataclass(frozen=True, kw_only=True)
class ImageSpan:
    """When an image was acquired."""

    #: The image file.
    path: Path
    #: First volume, seconds since midnight (DICOM AcquisitionTime).
    start_s: float
    #: From the first volume's beginning to the last one's end, seconds.
    duration_s: float
    #: The UUID that a CMRR sequence wrote into the image's header, if any.
    uuid: str | None = None

    @property
    def stop_s(self) -> float:
        """End of the last volume; more than a day's seconds if that is after midnight."""
        return self.start_s + self.duration_s


@dataclass(frozen=True, kw_only=True)
class Match:
    """A recording and an image that it covers at least in part."""

    recording: Recording
    image: ImageSpan
    #: The part of the image's time that the recording's samples cover, 0 to 1.
    overlap_fraction: float
    #: Seconds that both share.
    overlap_s: float


@dataclass(frozen=True, kw_only=True)
class MatchResult:
    """What `match_recordings` found."""

    #: In the order of the recordings, then of the images.
    matches: tuple[Match, ...]
    #: Recordings that cover no image; they are kept whole only.
    unmatched: tuple[Recording, ...]
    #: Recordings that compete for an image with another one of their kind (PHYSIO_AMBIGUOUS); they are kept whole only.
    ambiguous: tuple[Recording, ...]


def overlap_seconds(recording: Recording, image: ImageSpan) -> float:
    """Seconds that the samples of a recording and an image share, midnight in between or not."""
    return max(_overlap(recording.start_s + day, recording.duration_s, image) for day in _days())


def day_offset(recording: Recording, image: ImageSpan) -> float:
    """Seconds to add to the recording's clock (-86400, 0 or 86400) so that it overlaps the image most."""
    return max(_days(), key=lambda day: _overlap(recording.start_s + day, recording.duration_s, image))


def match_recordings(recordings: Sequence[Recording], images: Sequence[ImageSpan], rules: PhysioRules) -> MatchResult:
    """Match the recordings of one session to its images.

    A UUID that both carry decides; else they must share `minimal_overlap` seconds, or half the image where that is
    shorter. A recording that spans several images matches each. Of two recordings of one kind, the one that covers more
    of the image takes it; if they cover the same to within a second, it's ambiguous and none does.
    """
    candidates: dict[tuple[int, str], list[tuple[int, float]]] = {}
    for index, recording in enumerate(recordings):
        for place, image in enumerate(images):
            shared = overlap_seconds(recording, image)
            if _belongs(recording, image, shared, rules):
                candidates.setdefault((place, recording.kind), []).append((index, shared))
    won: dict[tuple[int, int], float] = {}
    ambiguous: set[int] = set()
    for (place, _), rivals in candidates.items():
        best = max(shared for _, shared in rivals)
        close = [(index, shared) for index, shared in rivals if best - shared < 1.0]
        if len(close) > 1:
            ambiguous.update(index for index, _ in close)
        else:
            won[close[0][0], place] = close[0][1]
    matches = tuple(
        Match(
            recording=recordings[index],
            image=images[place],
            overlap_s=shared,
            overlap_fraction=min(1.0, shared / images[place].duration_s) if images[place].duration_s > 0 else 0.0,
        )
        for (index, place), shared in sorted(won.items())
    )
    matched = {index for index, _ in won}
    return MatchResult(
        matches=matches,
        unmatched=tuple(r for i, r in enumerate(recordings) if i not in matched and i not in ambiguous),
        ambiguous=tuple(recordings[i] for i in sorted(ambiguous)),
    )


def cut(recording: Recording, image: ImageSpan, margin_s: float = 0.0) -> tuple[Recording, float]:
    """Cut a recording to an image's time.

    Parameters
    ----------
    margin_s
        Seconds kept before and after the image.

    Returns
    -------
    The part, and its BIDS `StartTime`: seconds from the first volume to the part's first sample, negative when the
    recording began earlier. The first sample kept is the last one at or before the image's start.
    """
    rate = recording.sampling_frequency
    offset = recording.start_s + day_offset(recording, image) - image.start_s
    tolerance = 1e-6  # of a sample: the clock's own digits must not move a cut by one
    first = max(0, int((-offset - margin_s) * rate + tolerance))
    last = min(len(recording.samples), int((image.duration_s + margin_s - offset) * rate + tolerance) + 1)
    part = replace(
        recording,
        start_ms=recording.start_ms + 1000.0 * first / rate,
        stop_ms=recording.start_ms + 1000.0 * max(first, last) / rate,
        samples=recording.samples[first:last],
        triggers=recording.triggers[first:last],
        scanner_triggers=None if recording.scanner_triggers is None else recording.scanner_triggers[first:last],
    )
    return part, offset + first / rate


def _belongs(recording: Recording, image: ImageSpan, shared: float, rules: PhysioRules) -> bool:
    if recording.uuid and image.uuid:
        return recording.uuid == image.uuid
    return shared > 0 and shared >= min(rules.minimal_overlap, image.duration_s / 2)


def _overlap(start_s: float, duration_s: float, image: ImageSpan) -> float:
    return max(0.0, min(start_s + duration_s, image.stop_s) - max(start_s, image.start_s))


def _days() -> tuple[float, float, float]:
    return 0.0, -SECONDS_PER_DAY, SECONDS_PER_DAY
