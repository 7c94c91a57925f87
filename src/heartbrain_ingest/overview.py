"""What a data steward wants to know: how things stand, and where a file or series went and why."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from heartbrain_ingest.bids import load_naming_rules
from heartbrain_ingest.inbox.files import arrival_time
from heartbrain_ingest.issues import ISSUES, Severity
from heartbrain_ingest.ledger import Delivery, DeliveryState, Ledger, Outcome, stored_path
from heartbrain_ingest.lock import lock_owner
from heartbrain_ingest.postprocessing.routes import is_in_use
from heartbrain_ingest.retrial import retrial_lines
from heartbrain_ingest.settings import Settings
from heartbrain_ingest.withheld import Withheld


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A delivery that is not complete, or that no run has taken up yet."""

    name: str
    files: int
    #: Seconds since its newest file came; None when its files are gone.
    quiet_s: float | None
    #: (series number, files that are there, number that a header announced or 0); headers announce wrong numbers.
    series: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Status:
    """How a site stands."""

    #: Deliveries by state.
    deliveries: dict[str, int]
    #: Input files by outcome.
    files: dict[str, int]
    #: Files that need a decision, by code.
    quarantine: dict[str, int]
    #: Files left aside by rule, by code.
    ignored: dict[str, int]
    #: Paths of the files in quarantine by code; only when asked for, since names in an inbox may name people.
    paths: dict[str, list[str]]
    #: What came and is not published yet.
    waiting: tuple[Waiting, ...] = ()
    #: A session is complete when it was quiet for so long. Unit: seconds.
    quiet_s: float = 0.0
    #: Published sessions that a steward should look at, by code.
    noted: dict[str, list[str]] = field(default_factory=dict)
    #: Who works on the site at this moment, in plain words.
    running: str | None = None
    #: Requests by status.
    requests: dict[str, int] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "deliveries": self.deliveries,
            "files": self.files,
            "quarantine": self.quarantine,
            "ignored": self.ignored,
            "waiting": [asdict(one) for one in self.waiting],
            "noted": self.noted,
            "running": self.running,
            "requests": self.requests,
            **({"paths": self.paths} if self.paths else {}),
        }


def site_status(settings: Settings, *, with_files: bool = False, with_requests: bool = True) -> Status:
    """Count what the ledger holds.

    Parameters
    ----------
    settings
        The site.
    with_files
        Name the files in quarantine.
    with_requests
        Count the requests; this connects the process's LinkAhead client.
    """
    ledger = Ledger(settings.ledger)
    paths: dict[str, list[str]] = {}
    try:
        counts = ledger.counts()
        for row in ledger.files("outcome = ?", (Outcome.QUARANTINED,)) if with_files else ():
            paths.setdefault(row.code or "", []).append(row.path)
        states = Counter(str(delivery.state) for delivery in ledger.deliveries())
        waiting = tuple(_waiting(ledger, one) for one in ledger.deliveries(DeliveryState.WAITING))
        noted = {code: names for code, names in ledger.noted().items() if names}
    finally:
        ledger.close()
    owner, held = lock_owner(settings)
    files: Counter[str] = Counter()
    for (outcome, _code), count in counts.items():
        files[outcome] += count
    return Status(
        deliveries=dict(sorted(states.items())),
        files=dict(sorted(files.items())),
        quarantine={code: count for (outcome, code), count in sorted(counts.items()) if outcome == Outcome.QUARANTINED},
        paths=paths,
        waiting=waiting,
        quiet_s=settings.inbox.quiet_minutes * 60,
        noted=noted,
        running=owner.described() if held and owner else None,
        requests=_requests(settings) if with_requests else {},
        ignored={code: count for (outcome, code), count in sorted(counts.items()) if outcome == Outcome.IGNORED},
    )


def _requests(settings: Settings) -> dict[str, int]:
    if not is_in_use(settings):
        return {}
    from heartbrain_ingest.postprocessing.following import request_counts  # noqa: PLC0415 - loads the client

    return request_counts(settings)


def _waiting(ledger: Ledger, delivery: Delivery) -> Waiting:
    newest = max(map(arrival_time, ledger.waiting_paths(delivery.id)), default=0.0)
    series = tuple(ledger.arrived(delivery.id))
    return Waiting(
        name=_name(delivery) if delivery.subject else f"laboratory table {delivery.id}",
        files=len(ledger.waiting_paths(delivery.id)),
        quiet_s=time.time() - newest if newest else None,
        series=series,
    )


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Where something went and why."""

    #: What was asked about, as the archive calls it; an input file is called by its number in the ledger.
    subject: str
    lines: tuple[str, ...]


def explain(settings: Settings, what: str) -> list[Explanation]:
    """Say where a file or a series went and which rule decided it.

    Parameters
    ----------
    settings
        The site.
    what
        Path of an input file, or a published file, folder, series archive or part of one of their names.
    """
    ledger = Ledger(settings.ledger)
    try:
        path = Path(what)
        rows = list(ledger.files("path = ?", (stored_path(str(path.resolve())),)))
        if not rows and path.exists():
            rows = list(ledger.files("path = ?", (stored_path(str(path.absolute())),)))
        if not rows and "/" not in what and what:
            rows = list(ledger.files("path LIKE ? ESCAPE '!'", (f"%/{_escaped(stored_path(what))}",)))
        if rows:
            return [_explain_file(ledger, row.id, settings) for row in rows]
        return _explain_published(ledger, what.rstrip("/"), settings) if what.strip("/") else []
    finally:
        ledger.close()


def _escaped(text: str) -> str:
    """Take their meaning from the characters that LIKE knows."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _explain_file(ledger: Ledger, identifier: int, settings: Settings) -> Explanation:
    row = next(ledger.files("id = ?", (identifier,)))
    lines = [f"outcome: {row.outcome}"]
    lines += _code_lines(row.code)
    if row.destination:
        lines.append(f"place: {row.destination}")
    lines += [f"{one.action} before ({one.code}): {one.reason}" for one in ledger.decisions(file=row.id)]
    delivery = ledger.delivery_of(row.delivery)
    if delivery:
        lines.append(f"delivery: {_name(delivery)} ({delivery.state})")
        for uid, number, code, report in ledger.series(delivery.id):
            if uid == row.series:
                lines += _series_lines(number, code, report, _retrial(settings, delivery, report.get("archive")))
    return Explanation(subject=f"input file {row.id}", lines=tuple(lines))


def _explain_published(ledger: Ledger, what: str, settings: Settings) -> list[Explanation]:
    found = []
    name = what.rpartition("/")[2]
    for delivery in ledger.deliveries():
        whole = delivery.folder is not None and delivery.folder.endswith(what)
        for uid, number, code, report in ledger.series(delivery.id):
            texts = [report.get("archive") or "", *(image["path"] or "" for image in report.get("images", []))]
            if whole or any(name in text for text in texts) or what in {str(number), report.get("description")}:
                lines = [f"delivery: {_name(delivery)} ({delivery.state})"]
                lines += _series_lines(number, code, report, _retrial(settings, delivery, report.get("archive")))
                title = f"series {number}" if uid else "audit"
                found.append(Explanation(subject=title, lines=tuple(lines)))
    return found


def _name(delivery: Delivery) -> str:
    return delivery.folder or f"sub-{delivery.subject} ses-{delivery.session}"


def _code_lines(code: str | None) -> list[str]:
    if not code:
        return []
    issue = ISSUES[code]
    lines = [f"{code}: {issue.meaning}"]
    return lines if issue.severity is Severity.INFO else [*lines, f"what to do: {issue.action}"]


def _retrial(settings: Settings, delivery: Delivery, archive: str | None) -> Callable[[dict[str, Any]], list[str]]:
    """Give what says why no earlier rule named an image, as far as the delivery is published."""
    folder = settings.folders.archive / delivery.folder if delivery.folder else None
    if folder is None or not folder.is_dir():
        return lambda _: []
    rules = load_naming_rules(settings.rules("bids_rules.yml"))
    # Where the DICOM of the series is, unless it is published.
    kept = Withheld(settings.withheld).of(delivery.folder or "") / archive if archive else None
    return lambda image: retrial_lines(rules, folder, image["path"], image["rule"], kept) if image["path"] else []


def _series_lines(
    number: int | None, code: str | None, report: dict[str, Any], tried: Callable[[dict[str, Any]], list[str]]
) -> list[str]:
    lines = [f"series {number}: {report.get('description') or 'without description'}"]
    lines += _code_lines(code)
    lines += [f"found in {place}" for place in report.get("places", [])]
    if report.get("announced") and report["announced"] != report["instances"]:
        lines.append(f"{report['instances']} instances came, the header announced {report['announced']}")
    if report.get("fidelity"):
        differing = ", ".join(report.get("differences", []))
        lines.append(f"fidelity check: {report['fidelity']}" + (f" ({differing})" if differing else ""))
    for image in report.get("images", []):
        lines.append(f"rule {image['rule']} -> {image['path']} ({image['record_type']})")
        lines += [f"  stated by {name}" for name in image.get("stated", [])]
        lines += _code_lines(image["code"])
        lines += [f"  {finding}" for finding in image.get("findings", [])]
        lines += [f"  {line}" for line in tried(image)]
    return lines
