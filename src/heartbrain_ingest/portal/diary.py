"""Who asked, ran, cancelled and downloaded what: one line of JSON each, for whoever must answer for it."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from starlette.requests import Request

from heartbrain_ingest.portal.pages import visitor_of

#: More than the longest question has.
_MOST_TEXT = 10_000
_LAST_SECONDS = 3_600.0


class Diary:
    """The file that is only added to.

    Parameters
    ----------
    file
        Where it lies; made with mode 0600.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def write(self, user: str, action: str, **what: object) -> None:
        """Add one line."""
        facts = {key: value[:_MOST_TEXT] if isinstance(value, str) else value for key, value in what.items()}
        line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "user": user[:100], "action": action, **facts}
        with self._lock:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with open(self._file, "a", encoding="utf-8", opener=_private) as stream:
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")


def note(request: Request, action: str, **what: object) -> None:
    """Write down what the visitor does: `note(request, "run", function=..., inputs=...)`."""
    visitor = visitor_of(request)
    diary: Diary = request.app.state.diary
    diary.write(visitor.name if visitor else "", action, **what)


def note_view(request: Request, action: str, *, is_part: bool, **what: object) -> None:
    """Write down what the visitor looks at.

    Parameters
    ----------
    is_part
        Whether this is more of a page that may be open already: then only what is another than the last is written.
    """
    visitor = visitor_of(request)
    last: dict[str, object] = (
        {} if visitor is None else visitor.cache.get((action, "noted"), dict, seconds=_LAST_SECONDS)
    )
    if not is_part or last != what:
        last.clear()
        last.update(what)
        note(request, action, **what)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
