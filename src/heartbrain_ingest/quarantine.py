"""The quarantine: what is in it, why, and what a steward can do. It is a state in the ledger; files stay in the inbox.

What the leak audit refused is kept beside it, in the quarantine folder, so that somebody can look at the place.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from heartbrain_ingest.errors import HeartbrainError
from heartbrain_ingest.filesystem import refused_folder
from heartbrain_ingest.issues import ISSUES
from heartbrain_ingest.ledger import Decision, Delivery, DeliveryState, FileRow, Ledger, Outcome, stored_path
from heartbrain_ingest.lock import exclusive
from heartbrain_ingest.settings import Settings
from heartbrain_ingest.shown import printable

#: Codes that a person may overrule who has looked at the file or the place. All others are checked again.
LOOKED_AT = {
    "BURNED_IN_TEXT": "the file is taken in although its pixels may show text",
    "SCREEN_IMAGE": "the file is taken in although its header calls it a screen",
    "TEXT_IN_PIXELS": "the file is taken in although letters were found in its pixels",
    "UNSEARCHED_PIXELS": "the file is taken in although nobody but you searched its pixels for text",
    "LEAK": "the session is published although the audit found something in the places that you looked at; anything "
    "it finds elsewhere keeps it back again",
    "CONFLICTING_INSTANCE": "this file is the right one; what is published becomes a new revision, and the other files "
    "of the instance are ignored",
}
#: Codes of series and sessions that only a change elsewhere can help.
_AGAIN = "the next run looks at it again, under the rules and settings that hold then; if the reason stands, it is back"
_SHORTEST_REASON = 8
_IN_A_LINE = 6
#: A name of fewer letters would forbid too many words.
_SHORTEST_NAME = 4


class QuarantineError(HeartbrainError):
    """Nothing was changed: see `heartbrain quarantine list` and `heartbrain quarantine explain`."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Files in quarantine that share their delivery, series and code."""

    #: `sub-X_ses-Y`, `delivery-7` for a laboratory table, None for files that are in no delivery.
    delivery: str | None
    #: Number of the series, None where there is none.
    series: int | None
    code: str
    meaning: str
    action: str
    #: What `release` would do.
    release: str
    #: Whether `release` needs the word of somebody who looked at it.
    needs_look: bool
    #: Numbers of the files in the ledger.
    files: tuple[int, ...]
    #: Their paths; only when asked for, since names in an inbox may name people.
    paths: tuple[str, ...] = ()
    #: Kind and place of what the audit found, never the value.
    places: tuple[str, ...] = ()
    #: What the audit refused, to be looked at.
    folder: str | None = None
    #: Earlier decisions, with their reasons.
    decisions: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Give it as plain data."""
        data = asdict(self)
        return data if self.paths else {name: value for name, value in data.items() if name != "paths"}

    def lines(self, *, fully: bool) -> list[str]:
        """Say it in plain words."""
        where = self.delivery or "in no session"
        series = f", series {self.series}" if self.series is not None else ""
        short = fully or len(self.files) <= _IN_A_LINE
        ids = ", ".join(map(str, self.files)) if short else f"{self.files[0]} ... {self.files[-1]}"
        count = f"{len(self.files)} file{'s' if len(self.files) != 1 else ''}"
        lines = [f"{where}{series}: {self.code}, {count} (number {ids})", f"    {self.meaning}"]
        lines += [f"    file: {printable(path)}" for path in self.paths]
        if not fully:
            return lines
        lines += [f"    what to do: {self.action}"]
        lines += [f"    found in {place}" for place in self.places]
        if self.folder:
            lines.append(f"    look at it in {self.folder} (it holds what must not be published)")
        lines.append(f"    release: {self.release}" + ("; it needs --i-looked-at-it" if self.needs_look else ""))
        lines.append("    discard: it is left aside for good; the file stays where it is")
        lines += [f"    {decision}" for decision in self.decisions]
        return lines


def listed(settings: Settings, words: Sequence[str] = (), *, with_files: bool = False) -> list[Group]:
    """Give what is in quarantine.

    Parameters
    ----------
    words
        What to give, see `selected`; everything when empty.
    with_files
        Name the files too.
    """
    with closing(Ledger(settings.ledger)) as ledger:
        rows = selected(ledger, words) if words else list(ledger.files("outcome = ?", (Outcome.QUARANTINED,)))
        groups: dict[tuple[str, int, str], list[FileRow]] = {}
        names = {delivery.id: delivery_name(delivery) for delivery in ledger.deliveries()}
        for row in rows:
            series = row.facts.get("series_number", -1) if row.kind == "dicom" else -1
            groups.setdefault((names.get(row.delivery or 0, ""), series, row.code or ""), []).append(row)
        return [
            _group(settings, ledger, name, series, code, members, with_files=with_files)
            for (name, series, code), members in sorted(groups.items())
        ]


def _group(
    settings: Settings,
    ledger: Ledger,
    name: str,
    series: int,
    code: str,
    rows: Sequence[FileRow],
    *,
    with_files: bool,
) -> Group:
    delivery = ledger.delivery_of(rows[0].delivery)
    folder = refused_folder(settings.folders.quarantine, delivery.id) if delivery else None
    decided = {
        f"{one.action} before ({one.code}): {one.reason}"
        for row in rows
        for one in (*ledger.decisions(file=row.id), *(ledger.decisions(delivery=delivery.id) if delivery else ()))
    }
    return Group(
        delivery=name or None,
        series=None if series < 0 else series,
        code=code,
        meaning=ISSUES[code].meaning,
        action=ISSUES[code].action,
        release=LOOKED_AT.get(code, _AGAIN),
        needs_look=code in LOOKED_AT,
        files=tuple(row.id for row in rows),
        paths=tuple(row.path for row in rows) if with_files else (),
        places=tuple(_places(ledger, delivery))
        if delivery and code in {"LEAK", "REVISION_FAILED", "TARGET_TAKEN"}
        else (),
        folder=str(folder) if folder and folder.is_dir() and code == "LEAK" else None,
        decisions=tuple(sorted(decided)),
    )


def delivery_name(delivery: Delivery) -> str:
    """Call a delivery as the archive does; a laboratory table by its number."""
    return f"sub-{delivery.subject}_ses-{delivery.session}" if delivery.subject else f"delivery-{delivery.id}"


def _places(ledger: Ledger, delivery: Delivery) -> list[str]:
    return [
        place for uid, _number, _code, report in ledger.series(delivery.id) if not uid for place in report["places"]
    ]


def selected(ledger: Ledger, words: Sequence[str]) -> list[FileRow]:
    """Give the files in quarantine that words name.

    Parameters
    ----------
    words
        Each the number of a file, a session (`sub-X_ses-Y`, `ses-Y`), one series of it (`ses-Y/4`), a laboratory
        delivery (`delivery-7`), a code, or the path of an input file.

    Raises
    ------
    QuarantineError
        When a word names nothing that is in quarantine.
    """
    found: dict[int, FileRow] = {}
    for word in words:
        rows = list(_named(ledger, word))
        if not rows:
            raise QuarantineError("nothing in quarantine is called so; a file, session, series or code was expected")
        found |= {row.id: row for row in rows}
    return [found[number] for number in sorted(found)]


def _named(ledger: Ledger, word: str) -> Iterator[FileRow]:
    quarantined = "outcome = 'quarantined'"
    if word.isdigit():
        yield from ledger.files(f"{quarantined} AND id = ?", (int(word),))
    elif word in ISSUES:
        yield from ledger.files(f"{quarantined} AND code = ?", (word,))
    elif match := re.fullmatch(r"(sub-\w+_ses-\w+|ses-\w+|delivery-\d+)(?:/(\d+))?", word):
        name, series = match.groups()
        for delivery in ledger.deliveries():
            if name in {delivery_name(delivery), f"ses-{delivery.session}", f"delivery-{delivery.id}"}:
                for row in ledger.files(f"{quarantined} AND delivery = ?", (delivery.id,)):
                    if series is None or row.facts.get("series_number") == int(series):
                        yield row
    else:
        yield from ledger.files(
            f"{quarantined} AND path IN (?, ?)",
            (stored_path(str(Path(word).absolute())), stored_path(str(Path(word).resolve()))),
        )


@contextmanager
def _changing(settings: Settings) -> Iterator[Ledger]:
    """Give the ledger while no run works on it; all changes or none."""
    with exclusive(settings), closing(Ledger(settings.ledger)) as ledger, ledger.transaction():
        yield ledger
        problems = ledger.inconsistencies()
        if problems:
            raise QuarantineError("; ".join(problems))


def release(settings: Settings, words: Sequence[str], reason: str | None = None) -> list[FileRow]:
    """Let the next run take files in again.

    Parameters
    ----------
    words
        See `selected`.
    reason
        What somebody saw who looked at it; needed for the codes in `LOOKED_AT`, which it overrules.

    Returns
    -------
    list of FileRow
        What was released.

    Raises
    ------
    QuarantineError
        When a reason is needed and missing, or names the patient, or one word names two files of one instance.
    """
    with _changing(settings) as ledger:
        rows = selected(ledger, words)
        overruled = [row for row in rows if row.code in LOOKED_AT]
        if overruled and len((reason or "").strip()) < _SHORTEST_REASON:
            codes = ", ".join(sorted({row.code or "" for row in overruled}))
            raise QuarantineError(f'{codes} needs somebody who looked: --i-looked-at-it "what you saw, without names"')
        _check_reason(reason or "", rows)
        _check_choice(rows)
        now = _now()
        for row in rows:
            looked = row.code in LOOKED_AT
            made = Decision(
                action="released",
                code=row.code or "",
                file=row.id,
                sha256=(row.sha256 or _digest_of(row)) if looked and row.code != "LEAK" else None,
                delivery=None,
                place=None,
                reason=(reason or "to be looked at again").strip(),
            )
            if row.code != "LEAK":
                ledger.decide(made, now)
        for delivery in _deliveries(ledger, rows):
            if any(row.delivery == delivery.id and row.code == "LEAK" for row in rows):
                for place in _places(ledger, delivery):
                    ledger.decide(
                        Decision(
                            action="released",
                            code="LEAK",
                            file=None,
                            sha256=None,
                            delivery=delivery.id,
                            place=place,
                            reason=(reason or "").strip(),
                        ),
                        now,
                    )
            ledger.set_state(delivery.id, DeliveryState.WAITING)
        ledger.settle(
            (row.id, Outcome.WAITING, None if row.delivery else "RELEASED", None, row.sha256 or _digest_of(row))
            for row in rows
        )
        return rows


def discard(settings: Settings, words: Sequence[str], reason: str) -> list[FileRow]:
    """Leave files aside for good; they stay where they are.

    Raises
    ------
    QuarantineError
        When there is no reason.
    """
    if len(reason.strip()) < _SHORTEST_REASON:
        raise QuarantineError("a reason is needed that somebody understands in ten years")
    with _changing(settings) as ledger:
        rows = selected(ledger, words)
        now = _now()
        for row in rows:
            made = Decision(
                action="discarded",
                code=row.code or "",
                file=row.id,
                sha256=None,
                delivery=None,
                place=None,
                reason=reason.strip(),
            )
            ledger.decide(made, now)
        ledger.settle((row.id, Outcome.IGNORED, "DISCARDED", None, None) for row in rows)
        gone = []
        for delivery in _deliveries(ledger, rows):
            left = next(ledger.files("delivery = ? AND outcome = ?", (delivery.id, Outcome.QUARANTINED)), None)
            if left is None:
                gone.append(refused_folder(settings.folders.quarantine, delivery.id))
                if delivery.state is DeliveryState.QUARANTINED:
                    state = DeliveryState.CRAWLED if delivery.revision else DeliveryState.DISCARDED
                    ledger.set_state(delivery.id, state)
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    return rows


def _deliveries(ledger: Ledger, rows: Sequence[FileRow]) -> list[Delivery]:
    numbers = sorted({row.delivery for row in rows if row.delivery})
    return [delivery for number in numbers if (delivery := ledger.delivery_of(number))]


def _check_reason(reason: str, rows: Sequence[FileRow]) -> None:
    """Refuse a reason that names the patient: it will stand in the certificate."""
    words = set(re.findall(r"\w+", reason.casefold()))
    for row in rows:
        texts = (row.facts.get("patient_name", ""), row.facts.get("patient_id", ""), row.facts.get("birth_date", ""))
        named = {
            word for text in texts for word in re.findall(r"[^\W_]+", text.casefold()) if len(word) >= _SHORTEST_NAME
        }
        if words & named:
            raise QuarantineError("the reason names the patient; it will be published, so say it without names")


def _check_choice(rows: Sequence[FileRow]) -> None:
    instances = [row.instance for row in rows if row.code == "CONFLICTING_INSTANCE"]
    if len(instances) != len(set(instances)):
        raise QuarantineError(
            "of two files that carry one SOPInstanceUID only one can be right; release that one alone"
        )


def _digest_of(row: FileRow) -> str | None:
    import hashlib  # noqa: PLC0415 - rarely needed

    try:
        with Path(row.path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
