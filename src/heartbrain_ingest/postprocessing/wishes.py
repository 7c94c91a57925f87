"""What a person may want of a request: that it ends, or that it is tried once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from heartbrain_ingest.postprocessing.linkahead_store import LinkAheadStore
from heartbrain_ingest.postprocessing.requests import WORDS, Status


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a wish."""

    name: str
    text: str
    is_granted: bool


def wish_for(names: Sequence[str], wish: Status) -> list[Answer]:
    """Write a wish into requests.

    Parameters
    ----------
    names
        Names or numbers of requests.
    wish
        `Status.CANCEL` or `Status.RETRY`.
    """
    store = LinkAheadStore()
    return [_wish_for(store, name, wish) for name in names]


def _wish_for(store: LinkAheadStore, name: str, wish: Status) -> Answer:
    request = store.get(name)
    if request is None:
        return Answer(name=name, text=f"{name}: there is no such request", is_granted=False)
    if request.is_settled == (wish is Status.CANCEL):
        text = "it is over" if request.is_settled else "it is still under way; cancel it first"
        return Answer(name=name, text=f"{name}: {text} ({request.status})", is_granted=False)
    written = store.update(replace(request, status=wish, message=WORDS[wish]), request)
    text = WORDS[wish] if written else "it changed at this moment; try again"
    return Answer(name=name, text=f"{name}: {text}", is_granted=written is not None)
