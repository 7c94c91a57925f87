"""Which recording belongs to which image: overlap on the scanner's clock."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from heartbrain_ingest.physio.names import read_image_uuid
from heartbrain_ingest.physio.recording import MS_PER_DAY, Clock, Recording

if TYPE_CHECKING:
    from heartbrain_ingest.physio.rules import PhysioRules

SECONDS_PER_DAY = MS_PER_DAY / 1000.0
#: Marks that are so regular, as a share of the repetition time, are one for each volume; fewer volumes tell nothing.
REGULAR = 0.05
LEAST_VOLUMES = 4


@dataclass(frozen=True, kw_only=True)
class ImageSpan:
    """When an image was acquired."""

    #: The image file.
    path: Path
    #: First volume, seconds since midnight (DICOM AcquisitionTime).
    start_s: float
    #: From the first volume's beginning to the last one's end, seconds.
    duration_s: float
    #: The UUID that a CMRR sequence wrote into the image's header, if any; an identifier, never published.
    uuid: str | None = field(default=None, repr=False)
    #: Number of volumes.
    volumes: int = 1

    @property
    def stop_s(self) -> float:
        """End of the last volume; more than a day's seconds if that is after midnight."""
        return self.start_s + self.duration_s


def with_uuids(images: Sequence[ImageSpan], sources: Sequence[Path | None]) -> tuple[ImageSpan, ...]:
    """Give the images with the UUID that stands in one original DICOM file of each."""
    found = {source: read_image_uuid(source) for source in set(sources) if source is not None}
    return tuple(
        image if source is None else replace(image, uuid=found[source])
        for image, source in zip(images, sources, strict=True)
    )


@dataclass(frozen=True, kw_only=True)
class Match:
    """A recording and an image that it covers at least in part."""

    #: On the scanner's clock, as far as it can be put there.
    recording: Recording
    #: The recording as it was read.
    source: Recording
    image: ImageSpan
    #: The part of the image's time that the recording's samples cover, 0 to 1.
    overlap_fraction: float


@dataclass(frozen=True, kw_only=True)
class MatchResult:
    """What `match_recordings` found."""

    #: In the order of the recordings, then of the images.
    matches: tuple[Match, ...]
    #: Recordings that compete for an image with another one of their kind (PHYSIO_AMBIGUOUS); they are kept whole only.
    ambiguous: tuple[Recording, ...]


def overlap_seconds(recording: Recording, image: ImageSpan) -> float:
    """Seconds that the samples of a recording and an image share, midnight in between or not; 0 without a clock."""
    if recording.clock is Clock.NONE:
        return 0.0
    return max(_overlap(recording.start_s + day, recording.duration_s, image) for day in _days())


def overlap_fraction(recording: Recording, image: ImageSpan) -> float:
    """Give the part of an image's time that a recording's samples cover, 0 to 1."""
    shared = overlap_seconds(recording, image)
    return min(1.0, shared / image.duration_s) if image.duration_s > 0 else 0.0


def day_offset(recording: Recording, image: ImageSpan) -> float:
    """Seconds to add to the recording's clock (-86400, 0 or 86400) so that it overlaps the image most."""
    return max(_days(), key=lambda day: _overlap(recording.start_s + day, recording.duration_s, image))


def match_recordings(recordings: Sequence[Recording], images: Sequence[ImageSpan], rules: PhysioRules) -> MatchResult:
    """Match the recordings of one session to its images.

    A UUID that both carry decides; else they must share `minimal_overlap` seconds, or half the image where that is
    shorter. A recording that spans several images matches each. Of two recordings of one kind, the one that covers more
    of the image takes it; if they cover the same to within a second, it's ambiguous and none does.

    A recording whose clock is not the scanner's is moved first: so that the scan ends when the log says so, or so that
    the scanner's marks fall on the volumes. The matches hold the moved recordings.
    """
    candidates: dict[tuple[int, str, int], list[tuple[int, float]]] = {}
    moved: dict[tuple[int, int], Recording] = {}
    for index, recording in enumerate(recordings):
        for place, image in _possible(recording, images, rules):
            aligned = align(recording, image, rules)
            shared = overlap_seconds(aligned, image)
            if _belongs(recording, image, shared, rules):
                moved[index, place] = aligned
                candidates.setdefault((place, recording.kind, recording.part), []).append((index, shared))
    won: set[tuple[int, int]] = set()
    ambiguous: set[int] = set()
    for (place, _, _), rivals in candidates.items():
        best = max(shared for _, shared in rivals)
        close = [(index, shared) for index, shared in rivals if best - shared < 1.0]
        if len(close) > 1:
            ambiguous.update(index for index, _ in close)
        else:
            won.add((close[0][0], place))
    matches = tuple(
        Match(
            recording=moved[index, place],
            source=recordings[index],
            image=images[place],
            overlap_fraction=overlap_fraction(moved[index, place], images[place]),
        )
        for index, place in sorted(won)
    )
    return MatchResult(matches=matches, ambiguous=tuple(recordings[i] for i in sorted(ambiguous)))


def _possible(recording: Recording, images: Sequence[ImageSpan], rules: PhysioRules) -> list[tuple[int, ImageSpan]]:
    """Give the images that a recording can be of.

    That is the one that ended when the log did, where the log was made with one scan, and the only one whose volumes
    fit the marks of the scanner, where the file tells no time.
    """
    numbered = list(enumerate(images))
    if recording.uuid and any(image.uuid for image in images):
        return [(place, image) for place, image in numbered if image.uuid in {None, recording.uuid}]
    if recording.clock is Clock.NONE:
        fitting = [(place, image) for place, image in numbered if len(_trains(recording, image)) == 1]
        return fitting if len(fitting) == 1 else []
    if recording.scan_end_s is None:
        return numbered
    end = recording.start_s + recording.scan_end_s
    near = [
        (gap, place)
        for place, image in numbered
        if (gap := min(abs(end + day - image.stop_s) for day in _days())) <= rules.clock_tolerance
        and image.duration_s <= recording.scan_end_s + rules.clock_tolerance
        and image.volumes > 1
    ]
    return [numbered[min(near)[1]]] if near else []


def at_time(recording: Recording, time_s: int | None) -> Recording:
    """Let a recording without a clock begin when its name says, in seconds since midnight."""
    if recording.clock is not Clock.NONE or time_s is None:
        return recording
    return _moved(recording, float(time_s), Clock.OWN)


def align(recording: Recording, image: ImageSpan, rules: PhysioRules) -> Recording:
    """Move a recording of another clock by what it knows of the scan; one that knows nothing stays where it is."""
    if recording.clock not in {Clock.OWN, Clock.NONE}:
        return recording
    if recording.scan_end_s is not None:
        return _moved(recording, image.stop_s - recording.scan_end_s, Clock.SCAN_END)
    trains = _trains(recording, image)
    if recording.clock is Clock.NONE:
        return _moved(recording, image.start_s - trains[0], Clock.MARKS) if len(trains) == 1 else recording
    day = day_offset(recording, image)
    near = [(abs(recording.start_s + day + first - image.start_s), first) for first in trains]
    near = [one for one in near if one[0] <= rules.clock_tolerance]
    return _moved(recording, image.start_s - min(near)[1], Clock.MARKS) if near else recording


def _trains(recording: Recording, image: ImageSpan) -> list[float]:
    """Give the seconds from the first sample to the first of as many regular marks as the image has volumes."""
    import numpy as np  # noqa: PLC0415 - loaded by whatever read the recording

    if recording.scanner_triggers is None or image.volumes < LEAST_VOLUMES:
        return []
    marks = np.flatnonzero(recording.scanner_triggers) / recording.sampling_frequency
    repetition = image.duration_s / image.volumes
    if len(marks) < image.volumes:
        return []
    steps = np.diff(marks)
    is_regular = np.abs(steps - repetition) <= max(REGULAR * repetition, 2.0 / recording.sampling_frequency)
    # A train is a run of regular steps.
    borders = np.flatnonzero(~np.concatenate(([False], is_regular, [False])))
    return [float(marks[before]) for before, after in itertools.pairwise(borders) if after - before == image.volumes]


def _moved(recording: Recording, start_s: float, clock: Clock) -> Recording:
    shift = 1000.0 * start_s - recording.start_ms
    return replace(recording, start_ms=recording.start_ms + shift, stop_ms=recording.stop_ms + shift, clock=clock)


def clock_notes(recording: Recording, matches: Sequence[Match]) -> tuple[str, ...]:
    """Give the issue codes of a recording whose clock is not the scanner's and that nothing puts right."""
    if any(match.recording.clock is Clock.OWN for match in matches):
        return ("PHYSIO_CLOCK",)
    return ("PHYSIO_NO_CLOCK",) if recording.clock is Clock.NONE and not matches else ()


def scan_duration(sidecar: Mapping[str, object], volumes: int) -> float | None:
    """Give how long an image took, in seconds, from its sidecar; None where that can't be told.

    `AcquisitionDuration` of a single volume is that of the scan; of several it may be that of one of them. Spectra are
    sums of many measurements (`NumberOfTransients`), each as long as the repetition time.
    """
    transients = sidecar.get("NumberOfTransients")
    if isinstance(transients, int):
        volumes = max(volumes, transients)
    repetition, whole = sidecar.get("RepetitionTime"), sidecar.get("AcquisitionDuration")
    steps = [float(one) for one in (repetition, whole) if isinstance(one, int | float) and one > 0]
    if not steps:
        return None
    series = volumes * steps[0]
    return max(series, float(whole)) if isinstance(whole, int | float) else series


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
        triggers=None if recording.triggers is None else recording.triggers[first:last],
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
