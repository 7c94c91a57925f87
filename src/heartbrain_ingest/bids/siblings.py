"""What only the other images of a session tell: echoes, magnitude and phase, single-band partners, rival protocols."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from heartbrain_ingest.bids.drafts import Draft
from heartbrain_ingest.bids.facts import normalise, protocol_words
from heartbrain_ingest.bids.rules import make_label
from heartbrain_ingest.bids.schema import BidsSchema

# A series whose images are these becomes, where it has two echoes, those.
_TWO_ECHOES = {"magnitude1": ("magnitude1", "magnitude2"), "phasediff": ("phase1", "phase2")}
# Words of a protocol's name that other entities say already.
_DIRECTION_WORDS = frozenset({"ap", "pa", "lr", "rl", "si", "is", "hf", "fh", "sbref", "sb", "ref", "e1", "e2"})
_RUN_WORD = re.compile(r"run\d*")
_REFERENCE_WORDS = frozenset({"sbref", "sb", "ref"})


def separate_echoes(drafts: Iterable[Draft], schema: BidsSchema) -> None:
    """Tell the echoes of one series apart: magnitude1/2 and phase1/2 of field maps, ``echo-<n>`` elsewhere."""
    for series in _grouped(
        drafts, lambda draft: (draft.candidate.series_uid, draft.datatype, draft.suffix, draft.is_phase)
    ):
        times = sorted({draft.echo_time for draft in series if draft.echo_time is not None})
        pair = _TWO_ECHOES.get(series[0].suffix) if series[0].is_raw and series[0].datatype == "fmap" else None
        for draft in series:
            if draft.echo_time is None:
                continue
            number = times.index(draft.echo_time) + 1
            if pair and len(times) == len(pair):
                draft.suffix = pair[number - 1]
            elif not pair and len(times) > 1 and schema.allows(draft.datatype, draft.suffix, "echo"):
                draft.entities["echo"] = str(number)


def separate_parts(drafts: Sequence[Draft], schema: BidsSchema) -> None:
    """Mark phase (real, imaginary) images, and the magnitude images that belong to them."""
    able = [draft for draft in drafts if draft.is_raw and schema.allows(draft.datatype, draft.suffix, "part")]
    with_parts = set()
    for draft in able:
        if draft.facts["part"] != "mag":
            with_parts.add(_without_part(draft))
            draft.entities["part"] = draft.facts["part"]
            if draft.is_phase and "Units" not in draft.sidecar:
                # dcm2niix keeps the scanner's numbers (-4096..4095 and the like) and says so where it does not.
                draft.metadata["Units"] = "arbitrary"
    for draft in able:
        if draft.facts["part"] == "mag" and _without_part(draft) in with_parts:
            draft.entities["part"] = "mag"


def pair_references(drafts: Sequence[Draft]) -> None:
    """Give each single-band reference the entities of the series it was made for: the next one of its name."""
    ordered = sorted(drafts, key=lambda item: item.order)
    for index, reference in enumerate(ordered):
        if reference.suffix != "sbref" or not reference.is_raw:
            continue
        partners = [
            draft
            for draft in [*ordered[index + 1 :], *reversed(ordered[:index])]
            if draft.is_raw
            and draft.datatype == reference.datatype
            and draft.suffix in {"bold", "dwi"}
            and _base(draft) == _base(reference)
        ]
        if partners:
            own = {key: label for key, label in reference.entities.items() if key in {"echo", "part"}}
            theirs = {key: label for key, label in partners[0].entities.items() if key not in {"echo", "part", "run"}}
            reference.entities = {**theirs, **own}


def separate_protocols(drafts: Iterable[Draft], schema: BidsSchema) -> None:
    """Give ``acq`` to images of different protocols, and ``rec`` to reconstructions, that would get one name."""
    for rivals in _grouped(drafts, lambda draft: draft.family):
        words = {draft.candidate.key: _protocol(draft) for draft in rivals}
        common = frozenset.intersection(*(frozenset(names) for names in words.values()))
        if len({tuple(names) for names in words.values()}) > 1:
            for draft in rivals:
                label = "".join(word for word in words[draft.candidate.key] if word not in common)
                if label and "acq" not in draft.entities and schema.allows(draft.datatype, draft.suffix, "acq"):
                    draft.entities["acq"] = label
    for twins in _grouped(drafts, lambda draft: (draft.family, draft.slot, draft.candidate.acquisition_time)):
        kinds = [_image_type(draft) for draft in twins]
        if not twins[0].candidate.acquisition_time or len({frozenset(kind) for kind in kinds}) != len(twins):
            continue
        shared = frozenset.intersection(*(frozenset(kind) for kind in kinds))
        for draft, kind in zip(twins, kinds, strict=True):
            label = "".join(token for token in kind if token not in shared)
            if label and schema.allows(draft.datatype, draft.suffix, "rec"):
                draft.entities["rec"] = label


def _protocol(draft: Draft) -> list[str]:
    name = draft.candidate.header.get("ProtocolName") or draft.candidate.sidecar.get("ProtocolName")
    words = normalise(str(name)).split() if name else protocol_words(draft.candidate)
    return [word for word in dict.fromkeys(words) if word not in _DIRECTION_WORDS and not _RUN_WORD.fullmatch(word)]


def _image_type(draft: Draft) -> list[str]:
    """Give what ImageType says of the reconstruction (ND, NORM, DIS2D, W, F, IN_PHASE ...) as labels."""
    listed = draft.candidate.header.get("ImageType") or draft.candidate.sidecar.get("ImageType") or ()
    return [make_label(str(entry)).lower() for entry in ([listed] if isinstance(listed, str) else listed)]


def _base(draft: Draft) -> tuple[str, ...]:
    return tuple(word for word in protocol_words(draft.candidate) if word not in _REFERENCE_WORDS)


def _without_part(draft: Draft) -> tuple[Any, ...]:
    return (
        draft.datatype,
        draft.suffix,
        tuple(sorted((k, v) for k, v in draft.entities.items() if k not in {"part", "run"})),
    )


def _grouped(drafts: Iterable[Draft], key: Any) -> list[list[Draft]]:
    groups: dict[Any, list[Draft]] = {}
    for draft in sorted(drafts, key=lambda item: item.order):
        groups.setdefault(key(draft), []).append(draft)
    return list(groups.values())
