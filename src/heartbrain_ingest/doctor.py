"""What a site needs to work, looked at piece by piece; each finding says what to do."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from heartbrain_ingest.errors import HeartbrainError
from heartbrain_ingest.filesystem import memory_folder
from heartbrain_ingest.lock import lock_owner
from heartbrain_ingest.settings import Settings, load_settings
from heartbrain_ingest.site import IDENTIFIED

PACKAGE = "heartbrain-ingest"
_GIB = 2**30
#: Below it a night's sessions may not fit.
LITTLE_SPACE = 20 * _GIB
#: Below it not one does.
NO_SPACE = 2 * _GIB
#: A clock of a file server that is off by more makes quiet times wrong. Unit: seconds.
CLOCK_SKEW_S = 60.0
#: A run that is at work for longer probably hangs; one that was longer ago was missed. Unit: seconds.
LONG_RUN_S, LONG_AGO_S = 24 * 3600.0, 48 * 3600.0
_SCHEDULES = ("/etc/cron.d", "/etc/systemd/system", "/etc/crontab")


class State(StrEnum):
    """How a thing stands."""

    GOOD = "good"
    #: Something to know; nothing to do.
    NOTE = "note"
    #: It works, but somebody should look.
    WARNING = "warning"
    #: A run would fail.
    PROBLEM = "problem"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    message: str
    #: The one next action; empty when there is nothing to do.
    action: str = ""

    def line(self) -> str:
        """Say it in one line."""
        mark = {State.GOOD: "ok", State.NOTE: "note", State.WARNING: "LOOK", State.PROBLEM: "PROBLEM"}[self.state]
        return f"{mark:8}{self.what}: {self.message}" + (f" -> {self.action}" if self.action else "")

    def as_data(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


def _good(what: str, message: str) -> Finding:
    return Finding(what=what, state=State.GOOD, message=message)


def _note(what: str, message: str, action: str = "") -> Finding:
    return Finding(what=what, state=State.NOTE, message=message, action=action)


def _warning(what: str, message: str, action: str) -> Finding:
    return Finding(what=what, state=State.WARNING, message=message, action=action)


def _problem(what: str, message: str, action: str) -> Finding:
    return Finding(what=what, state=State.PROBLEM, message=message, action=action)


def examine(settings_file: Path) -> list[Finding]:
    """Look at everything; a check that fails itself is a problem, not the end."""
    found = list(_guarded("libraries", _libraries)) + list(_guarded("programs", _programs))
    try:
        settings = load_settings(settings_file)
    except HeartbrainError as error:
        return [*found, _problem("settings", str(error), "correct it; all that follows is not looked at")]
    found.append(_good("settings", str(settings_file)))
    for what, check in (
        ("rules", _rules),
        ("key", _key),
        ("folders", _folders),
        ("clock", _clock),
        ("ledger", _ledger),
        ("LinkAhead", _linkahead),
        ("lock", _lock),
        ("schedule", _schedule),
        ("defacing", _defacing),
    ):
        found += _guarded(what, check, settings)
    return found


def _guarded(what: str, check: Callable[..., Iterator[Finding]], *arguments: Any) -> Iterator[Finding]:
    try:
        yield from check(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever is broken here is what the steward wants to know
        yield _problem(what, f"can't be looked at: {type(error).__name__}: {error}", "repair what the message names")


def exit_code(findings: list[Finding]) -> int:
    """Give 2 when a run would fail, 1 when somebody should look, else 0."""
    states = {finding.state for finding in findings}
    return 2 if State.PROBLEM in states else 1 if State.WARNING in states else 0


def _libraries() -> Iterator[Finding]:
    wrong = []
    wanted = [text for text in metadata.requires(PACKAGE) or () if "extra ==" not in text]
    for text in wanted:
        match = re.match(r"([A-Za-z0-9._-]+)\s*(==|>=)?\s*([0-9.]+)?", text)
        name, relation, version = match.groups() if match else (text, None, None)
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if version and (_number(there) < _number(version) or (relation == "==" and there != version)):
            wrong.append(f"{name} {there} is there, {relation}{version} is needed")
    yield _good("Python", f"{sys.version.split()[0]}, heartbrain {metadata.version(PACKAGE)}")
    if wrong:
        yield _problem("libraries", "; ".join(wrong), "install the program again (`make demo` does)")
    else:
        yield _good("libraries", f"all {len(wanted)} are there")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _programs() -> Iterator[Finding]:
    from heartbrain_ingest.bids.validator import BidsValidator  # noqa: PLC0415 - only here
    from heartbrain_ingest.convert import tool_version  # noqa: PLC0415 - only here

    yield _good("dcm2niix", tool_version())
    program = BidsValidator(Path()).argv()[0]
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=60)
        yield _good("BIDS validator", done.stdout.strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError) as error:
        yield _problem("BIDS validator", f"does not start: {type(error).__name__}", "install the program again")


def _rules(settings: Settings) -> Iterator[Finding]:
    from heartbrain_ingest import lab, physio  # noqa: PLC0415 - only here
    from heartbrain_ingest.bids import load_naming_rules  # noqa: PLC0415 - only here
    from heartbrain_ingest.deidentify import load_rules  # noqa: PLC0415 - only here

    readers: dict[str, Callable[[Path], Any]] = {
        "deidentification.yml": load_rules,
        "bids_rules.yml": load_naming_rules,
        "physio.yml": physio.load_rules,
        "lab.yml": lab.load_rules,
    }
    plain = ("datamodel.yml", "identifiables.yml", "cfood.yml")
    good = []
    for name in (*readers, *plain):
        try:
            path = settings.rules(name)
            if name in readers:
                readers[name](path)
            elif not list(yaml.safe_load_all(path.read_text(encoding="utf-8"))):
                raise HeartbrainError("it is empty")
        except HeartbrainError as error:
            yield _problem(name, str(error), "correct it, or copy the shipped one")
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            yield _problem(name, " ".join(str(error).split()), "correct it, or copy the shipped one")
        else:
            good.append(name)
    if good:
        yield _good("rules", ", ".join(good))


def _key(settings: Settings) -> Iterator[Finding]:
    from heartbrain_ingest.deidentify import Pseudonyms  # noqa: PLC0415 - only here

    try:
        Pseudonyms.load(settings.key_file)
    except HeartbrainError as error:
        yield _problem("key", str(error), f"chmod 600 {settings.key_file}, or put the key back from the backup")
    else:
        yield _good("key", "only its owner reads it; keep a backup elsewhere")


def _folders(settings: Settings) -> Iterator[Finding]:
    folders = settings.folders
    for name, place in folders:
        path = Path(place)
        if not path.is_dir():
            # The quarantine is made when it is needed.
            missing = _note if name in {"quarantine", "logs"} else _problem
            yield missing(
                name, f"{path} is not there", f"mkdir -m 700 {path}" if name in IDENTIFIED else f"mkdir {path}"
            )
            continue
        yield from _folder(name, path)
    if (
        folders.staging.is_dir()
        and folders.archive.is_dir()
        and folders.staging.stat().st_dev != folders.archive.stat().st_dev
    ):
        yield _problem(
            "staging",
            "it lies on another file system than the archive, so no rename can publish",
            "set folders.staging to a place beside the archive",
        )
    for one in (folders.inbox, folders.state, folders.staging, folders.quarantine):
        if one.resolve().is_relative_to(folders.archive.resolve()):
            yield _problem("folders", f"{one} lies inside the archive, which others read", "move it out")
    memory = memory_folder(folders.state)
    if settings.conversion.memory_scratch_mib and memory is None:
        yield _note("memory", "no private folder in /dev/shm; the disk is used, which is slower")


def _folder(name: str, path: Path) -> Iterator[Finding]:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    wrong = []
    if status.st_uid != os.getuid():
        yield _warning(name, f"{path} belongs to user {status.st_uid}, not to who runs this", "run it as the owner")
    needed = os.R_OK | os.X_OK if name in {"crawler_config", "inbox"} else os.R_OK | os.W_OK | os.X_OK
    if not os.access(path, needed):
        yield _problem(
            name,
            f"{path} can't be {'read' if name in {'crawler_config', 'inbox'} else 'written'}",
            "correct its permissions",
        )
        return
    if os.statvfs(path).f_flag & os.ST_RDONLY and needed & os.W_OK:
        yield _problem(name, f"{path} is on a file system that is read-only", "mount it for writing")
        return
    if name in IDENTIFIED and mode & 0o077:
        wrong.append((f"others may look into it (mode {mode:04o}); it holds names", f"chmod 700 {path}"))
    if mode & 0o002:
        wrong.append((f"everybody may write into it (mode {mode:04o})", f"chmod o-w {path}"))
    free = shutil.disk_usage(path).free
    space = f"{free / _GIB:.0f} GiB free"
    if name in {"archive", "staging", "state"} and free < LITTLE_SPACE:
        report = _problem if free < NO_SPACE else _warning
        yield report(name, space, "make room; a session needs up to 10 GB in each of archive, staging and state")
    for message, action in wrong:
        yield _problem(name, message, action)
    if not wrong:
        yield _good(name, f"{path}, mode {mode:04o}, {space}")


def _clock(settings: Settings) -> Iterator[Finding]:
    newest = max((path.stat().st_mtime for path in (settings.ledger, settings.database) if path.exists()), default=0.0)
    if newest > time.time() + CLOCK_SKEW_S:
        yield _problem("clock", "the ledger was written in the future", "set the clock (timedatectl set-ntp true)")
        return
    if not os.access(settings.folders.inbox, os.W_OK):
        yield _note("clock", "the inbox can't be written to, so its clock was not compared")
        return
    with tempfile.NamedTemporaryFile(dir=settings.folders.inbox, prefix=".doctor-") as file:
        skew = Path(file.name).stat().st_mtime - time.time()
    if abs(skew) > CLOCK_SKEW_S:
        yield _warning(
            "clock", f"the inbox's file server is {skew:+.0f} s off, so quiet times are wrong", "set both clocks"
        )
    else:
        yield _good("clock", "the inbox has the time of this machine")


def _sound(path: Path) -> str | None:
    """Say what is wrong with an SQLite file; None when it is sound."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    return None if answer == "ok" else answer


def _ledger(settings: Settings) -> Iterator[Finding]:
    from heartbrain_ingest.ledger import Ledger  # noqa: PLC0415 - only here

    if not settings.ledger.exists():
        yield _note("ledger", "there is none yet; the first run makes it")
        return
    damage = _sound(settings.ledger)
    if damage:
        yield _problem("ledger", f"damaged: {damage}", "stop the runs and put the last backup back")
        return
    with closing(Ledger(settings.ledger)) as ledger:
        problems = ledger.inconsistencies()
        missing = [folder for folder in ledger.folders() if not (settings.folders.archive / folder).is_dir()]
    if problems:
        yield _problem("ledger", "; ".join(problems), "report it; nothing was deleted")
    if missing:
        yield _problem("archive", f"{len(missing)} published folders are gone, such as {missing[0]}", "restore them")
    if not problems and not missing:
        yield _good("ledger", "sound; it adds up, and every folder that it knows is there")


def _linkahead(settings: Settings) -> Iterator[Finding]:
    from heartbrain_ingest import crawl  # noqa: PLC0415 - only here

    link = settings.linkahead
    if link.ini is None:
        if not settings.database.exists():
            yield _note("LinkAhead", "the embedded one; its database is made by the first run")
            return
        damage = _sound(settings.database)
        if damage:
            yield _problem("LinkAhead", f"its database is damaged: {damage}", "put the last backup back")
            return
    try:
        crawl.connect(ini=link.ini, database=settings.database, file_root=settings.folders.archive)
    except HeartbrainError as error:
        yield _problem("LinkAhead", str(error), "records wait until it answers; nothing is lost")
        return
    yield _good("LinkAhead", f"answers ({link.ini})" if link.ini else "the embedded one; its database is sound")
    if link.ini and link.server_root is None:
        yield _warning("LinkAhead", "it is not known where the server sees the archive", "set linkahead.server_root")


def _lock(settings: Settings) -> Iterator[Finding]:
    owner, held = lock_owner(settings)
    if held and owner:
        report = _warning if time.time() - owner.since > LONG_RUN_S else _note
        yield report("lock", f"a run is at work: {owner.described()}", "look whether it still does something")
    elif held:
        yield _warning("lock", "held by a process that is not known", "look for a running heartbrain")
    elif owner:
        yield _note("lock", f"the last run ended in the middle ({owner.described()}); the next one takes over")
    else:
        yield _good("lock", "free")


def _schedule(settings: Settings) -> Iterator[Finding]:
    log = settings.folders.logs / "heartbrain.log"
    if not log.exists():
        yield _note("runs", "none yet")
    elif time.time() - log.stat().st_mtime > LONG_AGO_S:
        days = (time.time() - log.stat().st_mtime) / 86400
        yield _warning("runs", f"the last one was {days:.0f} days ago", "look whether cron or the timer still runs")
    else:
        yield _good("runs", f"the last one wrote its log {(time.time() - log.stat().st_mtime) / 3600:.0f} h ago")
    if any("heartbrain" in text for text in _schedules()):
        yield _good("schedule", "cron or a timer of this machine starts heartbrain")
    else:
        yield _note("schedule", "no cron line or timer names heartbrain", "docs/howto-steward.md shows one")


def _schedules() -> Iterator[str]:
    try:
        done = subprocess.run(["crontab", "-l"], capture_output=True, text=True, check=False, timeout=10)  # noqa: S607 - wherever it lies
        yield done.stdout
    except OSError:
        pass
    for place in map(Path, (*_SCHEDULES, str(Path.home() / ".config/systemd/user"))):
        for path in [place] if place.is_file() else sorted(place.glob("*")) if place.is_dir() else ():
            try:
                yield path.name + path.read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue


def _defacing(settings: Settings) -> Iterator[Finding]:
    from heartbrain_ingest.deidentify import defacing_problem  # noqa: PLC0415 - only here

    if problem := defacing_problem(settings):
        yield _problem("defacing", problem, "install the tool, or take it out of the settings")
