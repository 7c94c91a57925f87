"""Look whether everything that an agent needs is there, and say what to do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpc_bridge.bucket import open_bucket, probe
from hpc_bridge.catalog import image_digest, load_catalogue
from hpc_bridge.desk import Desk
from hpc_bridge.errors import BridgeError, SettingsError
from hpc_bridge.installation import open_scheduler
from hpc_bridge.offers import RUNTIMES, hindrance
from hpc_bridge.processes import run
from hpc_bridge.protocol import SigningKey, load_keys
from hpc_bridge.settings import AgentSettings, load_settings

_OLDEST = (3, 10)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    good: bool
    text: str


def examine(home: Path) -> list[Finding]:
    """Look at everything; what can't be looked at without settings is left out."""
    findings = [_finding("python", _python)]
    settings: list[AgentSettings] = []

    def read() -> str:
        settings.append(load_settings(home))
        return f"{home}/config.yml, agent {settings[0].agent}"

    findings.append(_finding("settings", read))
    if not settings:
        return findings
    found = settings[0]
    checks: dict[str, Callable[[], str]] = {
        "key": lambda: f"{SigningKey.load(home / found.key_file).public.name}",
        "trusted keys": lambda: _trusted(home / found.trusted_keys),
        "bucket": lambda: probe(open_bucket(found.bucket)).message,
        "scratch": lambda: _scratch(home, found),
        "batch system": lambda: _scheduler(home, found),
        "functions": lambda: _functions(home, found),
        "network isolation": lambda: _isolation(found),
    }
    return findings + [_finding(name, check) for name, check in checks.items()]


def _finding(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, check())
    except BridgeError as problem:
        return Finding(what, False, str(problem))
    except OSError as problem:
        return Finding(what, False, f"{type(problem).__name__}: {problem.strerror}")


def _python() -> str:
    if sys.version_info < _OLDEST:
        raise SettingsError("Python 3.10 or newer is needed")
    return sys.version.split(maxsplit=1)[0]


def _trusted(path: Path) -> str:
    keys = load_keys(path)
    if not keys:
        raise SettingsError(f"{path} is empty: add the line that the RDM side's operator gives you")
    return ", ".join(keys)


def _scratch(home: Path, settings: AgentSettings) -> str:
    free = Desk(home / "state", home / settings.scratch).free_bytes()
    if free < settings.limits.free_bytes:
        raise SettingsError(
            f"only {free / 1e9:.1f} GB are free; jobs wait until {settings.limits.free_bytes / 1e9:.1f} are"
        )
    return f"{free / 1e9:.0f} GB free"


def _scheduler(home: Path, settings: AgentSettings) -> str:
    scheduler = open_scheduler(settings, Desk(home / "state", home / settings.scratch))
    scheduler.survey(["hb-" + "0" * 32 + ".0"])
    return f"{scheduler.name} answers"


def _functions(home: Path, settings: AgentSettings) -> str:
    found, problems = load_catalogue(home / settings.functions)
    waiting: list[str] = []
    for function in found.values():
        container = function.entry.container
        program = RUNTIMES.get(container.runtime)
        if program and shutil.which(program) is None:
            problems.append(f"{function.entry.name}: {program} is not in PATH on this machine")
        elif not function.lack and (why := hindrance(function, settings)):
            waiting.append(f"{function.entry.name}: {why}")
        if function.image and container.sha256 and image_digest(function.image) != container.sha256:
            problems.append(f"{function.entry.name}: the image is not the one whose digest the entry gives")
    if problems:
        raise SettingsError("; ".join(problems))
    listed = ", ".join(f"{name} {version}" for name, version in found) or "none"
    return f"{listed}; shown as not available: {'; '.join(waiting)}" if waiting else listed


def _isolation(settings: AgentSettings) -> str:
    answer = run(["unshare", "--user", "--map-current-user", "--net", "--", "true"])
    if answer.code == 0:
        return "jobs that may not use the network can be cut off from it (on this machine)"
    if settings.isolation == "required":
        raise SettingsError("no user namespaces here: such jobs fail unless the nodes have them; see `isolation`")
    return "not here; the settings let jobs run all the same"
