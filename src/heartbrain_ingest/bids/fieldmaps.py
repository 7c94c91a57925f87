"""Which field map corrects which image: IntendedFor, B0FieldIdentifier, B0FieldSource, EchoTime1 and EchoTime2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from heartbrain_ingest.bids.drafts import B0_MAP, Draft

_CORRECTED = frozenset({"bold", "dwi", "sbref", "asl", "m0scan"})
_DIRECTIONS_OF_A_PAIR = 2


@dataclass(frozen=True)
class _FieldMap:
    """The images of one field map, acquired together."""

    kind: str
    images: tuple[Draft, ...]

    @property
    def start(self) -> tuple[float, int, float, str]:
        return min(image.order for image in self.images)

    @property
    def shim(self) -> Any:
        return self.images[0].sidecar.get("ShimSetting")

    @property
    def estimates_alone(self) -> bool:
        """Whether a field can be computed of these images without others."""
        directions = {image.sidecar.get("PhaseEncodingDirection") for image in self.images}
        return self.kind == "b0" or len(directions) >= _DIRECTIONS_OF_A_PAIR


def complete_echo_times(drafts: Sequence[Draft]) -> None:
    """Give phase differences the echo times of their magnitude images, where dcm2niix could not."""
    for draft in drafts:
        if not draft.is_raw or draft.datatype != "fmap" or draft.suffix != "phasediff":
            continue
        partners = [
            other
            for other in drafts
            if other.suffix in {"magnitude1", "magnitude2"} and (other.family, other.run) == (draft.family, draft.run)
        ]
        times = {other.suffix: other.echo_time for other in partners}
        sidecar = draft.sidecar
        for number in (1, 2):
            if f"EchoTime{number}" not in sidecar and times.get(f"magnitude{number}") is not None:
                draft.metadata[f"EchoTime{number}"] = times[f"magnitude{number}"]


def link_field_maps(drafts: Sequence[Draft], session: str, uri: Callable[[Draft], str]) -> None:
    """Say which images each field map is for.

    Of each kind of field map (gradient echo, opposed EPI) an image takes the last one before it, else the first one
    after it; field maps with the shim of the image come first, as another shim means another field.

    Parameters
    ----------
    drafts
        Images with a BIDS name.
    session
        Label of the session; it makes the identifiers unique within the subject.
    uri
        Gives the BIDS URI of an image.
    """
    maps = _field_maps(drafts)
    targets: dict[int, list[Draft]] = {}
    for draft in sorted(
        (item for item in drafts if item.datatype != "fmap" and item.suffix in _CORRECTED), key=lambda item: item.order
    ):
        sources = []
        for kind in ("b0", "epi"):
            index = _choose([(number, each) for number, each in enumerate(maps) if each.kind == kind], draft)
            if index is not None:
                targets.setdefault(index, []).append(draft)
                if maps[index].estimates_alone:
                    sources.append(_identifier(maps[index], index, session))
        if sources:
            draft.metadata["B0FieldSource"] = sources if len(sources) > 1 else sources[0]
    for index, each in enumerate(maps):
        for image in each.images:
            if each.estimates_alone:
                image.metadata["B0FieldIdentifier"] = _identifier(each, index, session)
            if index in targets:
                image.metadata["IntendedFor"] = [uri(target) for target in targets[index]]


def _field_maps(drafts: Sequence[Draft]) -> list[_FieldMap]:
    groups: dict[Any, list[Draft]] = {}
    for draft in sorted(drafts, key=lambda item: item.order):
        if draft.datatype == "fmap" and draft.suffix in {*B0_MAP, "epi"}:
            groups.setdefault((draft.family, draft.run), []).append(draft)
    maps = [_FieldMap("epi" if images[0].suffix == "epi" else "b0", tuple(images)) for images in groups.values()]
    return sorted(maps, key=lambda each: each.start)


def _choose(maps: Sequence[tuple[int, _FieldMap]], image: Draft) -> int | None:
    shim = image.sidecar.get("ShimSetting")
    same = [(index, each) for index, each in maps if shim is not None and each.shim == shim]
    usable = same or list(maps)
    before = [index for index, each in usable if each.start <= image.order]
    after = [index for index, each in usable if each.start > image.order]
    return before[-1] if before else after[0] if after else None


def _identifier(each: _FieldMap, index: int, session: str) -> str:
    return f"{each.kind}map{index + 1}_{session}"
