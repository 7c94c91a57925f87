"""What the commands show: progress, reports in plain words, tables, and the log of a run."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from heartbrain_ingest.issues import ISSUES, Severity

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from heartbrain_ingest.overview import Status, Waiting
    from heartbrain_ingest.report import RunReport

LOG_NAME = "heartbrain.log"
_PLAIN_WIDTH = 200


class ShownProgress:
    """A progress bar on the terminal; nothing where standard error is none."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console  # noqa: PLC0415 - only where a bar is shown
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, what: str, total: int | None) -> None:
        """Show a new stage of so many steps (None: unknown)."""
        if self._bar is None:
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=total)
        self._bar.start()

    def advance(self, steps: int = 1) -> None:
        """Count steps."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, steps)


def start_log(folder: Path) -> None:
    """Send the program's log to a file; what it holds names deliveries by their pseudonyms only."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / LOG_NAME, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    own = logging.getLogger("heartbrain_ingest")
    own.setLevel(logging.INFO)
    own.addHandler(handler)
    own.propagate = False


#: What a status of requests means, for `heartbrain status`.
REQUEST_WORDS = {
    "new": "asked for; the next `heartbrain bridge` sends them",
    "sent": "at the computing centre, not taken up yet",
    "staging": "at the computing centre, their data on the way",
    "submitting": "being handed to the batch system",
    "running": "waiting or running in the batch system",
    "uploading": "done; their results are on the way",
    "cancel": "to be cancelled",
    "cancelling": "the computing centre was asked to end them",
    "retry": "to be tried again",
    "finished": "finished; their results are in LinkAhead",
    "failed": "failed; their messages and log files say why",
    "cancelled": "cancelled",
    "lost": "lost at the computing centre; `heartbrain bridge retry` tries them again",
    "refused": "not sent; their messages say what is missing",
}


def report_lines(report: RunReport, *, dry_run: bool = False) -> list[str]:
    """Say in plain words what a run did."""
    lines = []
    if report.seen == 0 and not report.published:
        lines.append(f"Nothing is new: 0 files, the inbox is empty ({report.seconds:.1f} s).")
    elif report.new == 0 and not report.published:
        lines.append(f"Nothing is new: {report.seen} files, all taken in before ({report.seconds:.1f} s).")
    else:
        lines.append(f"{report.seen} files seen, {report.new} of them new ({report.seconds:.1f} s).")
    if dry_run:
        lines.append("This was a dry run: nothing was changed. A real one would publish")
        lines += [f"  {folder}" for folder in report.announced] or ["  nothing"]
    elif report.published:
        lines.append(f"{len(report.published)} deliveries published:")
        lines += [f"  {folder}" for folder in report.published]
        lines.append(f"{report.inserted} entities new in LinkAhead, {report.updated} changed.")
    if report.waiting:
        lines.append(f"{report.waiting} deliveries are not complete yet and wait.")
    lines += [f"{count} requests made: {rule}." for rule, count in sorted(report.requests.items())]
    if report.trouble:
        lines.append(f"Records of published folders are missing; the next run tries again. {report.trouble}")
    lines += _outcome_lines(report)
    notes = {code: count for code, count in sorted(report.warnings.items()) if _severity(code) is Severity.WARNING}
    if notes:
        lines.append("Published, but worth a look:")
        for code, count in notes.items():
            lines += [f"  {count:6d}  {code}: {ISSUES[code].meaning}", f"          {ISSUES[code].action}"]
    return lines


def _outcome_lines(report: RunReport) -> list[str]:
    words = {
        "converted": "made into images, their de-identified DICOM stored",
        "stored": "stored beside the images",
        "waiting": "waiting for the rest of their delivery",
    }
    lines = ["Where the files of this inbox are:"]
    for (outcome, code), count in sorted(report.outcomes.items()):
        if not code:
            lines.append(f"  {count:6d}  {words.get(outcome, outcome)}")
        else:
            issue = ISSUES[code]
            lines.append(f"  {count:6d}  {outcome}, {code}: {issue.meaning}")
            if issue.severity is Severity.QUARANTINE:
                lines.append(f"          {issue.action}")
    total = sum(report.outcomes.values())
    lines.append(f"  {total:6d}  together: the ledger adds up.")
    elsewhere = sorted(code for code in report.kept_back if ("quarantined", code) not in report.outcomes)
    if elsewhere:
        lines.append("Kept back, of sessions whose files are in this inbox no more or in another one:")
    for code in elsewhere:
        lines += [f"  {report.kept_back[code]:6d}  {code}: {ISSUES[code].meaning}", f"          {ISSUES[code].action}"]
    return lines


def _severity(code: str) -> Severity:
    return ISSUES[code].severity


def report_data(report: RunReport) -> dict[str, Any]:
    """Give a run's report as plain data."""
    return {
        "seen": report.seen,
        "new": report.new,
        "published": report.published,
        "announced": report.announced,
        "inserted": report.inserted,
        "updated": report.updated,
        "waiting": report.waiting,
        "outcomes": [
            {"outcome": outcome, "code": code or None, "files": count}
            for (outcome, code), count in sorted(report.outcomes.items())
        ],
        "warnings": dict(sorted(report.warnings.items())),
        "refused": dict(sorted(report.refused.items())),
        "kept_back": dict(sorted(report.kept_back.items())),
        "requests": dict(sorted(report.requests.items())),
        "trouble": report.trouble,
        "seconds": round(report.seconds, 3),
    }


def status_lines(status: Status) -> list[str]:
    """Say in plain words how a site stands."""
    words = {
        "waiting": "waiting to be complete or taken up",
        "publishing": "interrupted while being published; the next run finishes them",
        "published": "published, their records still to be made",
        "crawled": "published and in LinkAhead",
        "quarantined": "refused",
        "discarded": "not wanted",
    }
    lines = [f"A run is at work: {status.running}."] if status.running else []
    lines.append("Deliveries:")
    lines += [f"  {count:6d}  {words.get(state, state)}" for state, count in status.deliveries.items()] or ["       0"]
    lines += [line for one in status.waiting for line in _waiting_lines(one, status.quiet_s)]
    lines.append("Input files:")
    lines += [f"  {count:6d}  {outcome}" for outcome, count in status.files.items()] or ["       0"]
    if status.requests:
        lines.append("Requests:")
        lines += [f"  {count:6d}  {REQUEST_WORDS.get(name, name)}" for name, count in status.requests.items()]
    if status.quarantine:
        lines.append("In quarantine:")
        for code, count in status.quarantine.items():
            lines += [f"  {count:6d}  {code}: {ISSUES[code].meaning}", f"          {ISSUES[code].action}"]
            lines += [f"          {printable(path)}" for path in status.paths.get(code, ())]
    for code, folders in status.noted.items():
        lines += [f"Worth a look, {code}: {ISSUES[code].meaning}", f"          {ISSUES[code].action}"]
        lines += [f"          {folder}" for folder in folders]
    return lines


def _waiting_lines(one: Waiting, quiet_s: float) -> list[str]:
    if one.quiet_s is None:
        when = "its files are gone"
    elif one.quiet_s >= quiet_s:
        when = "complete; the next run takes it"
    else:
        when = f"quiet for {one.quiet_s / 60:.0f} min, taken after {quiet_s / 60:.0f} min or with a file `.complete`"
    lines = [f"  {one.name}: {one.files} files wait; {when}"]
    for number, files, announced in one.series:
        other = (
            f" (a header announced {announced}; such numbers are often wrong)" if announced not in {0, files} else ""
        )
        lines.append(f"      series {number}: {files} files{other}")
    return lines


def printable(path: str) -> str:
    """Give a path as one line that every terminal takes, whatever bytes are in it."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table that fits the terminal; in a pipe every cell is whole."""
    from rich.console import Console  # noqa: PLC0415 - only where a table is shown
    from rich.table import Table  # noqa: PLC0415 - the same

    table = Table(header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in {"id", "name"})
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
