"""An agent's folder in HOME: made once, opened by every tick."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
from datetime import datetime, timezone
from pathlib import Path

import yaml

from hpc_bridge.agent import Agent
from hpc_bridge.bucket import Bucket, Conditions, open_bucket, probe
from hpc_bridge.bucket.files import write_whole
from hpc_bridge.catalog import load_catalogue
from hpc_bridge.desk import Desk
from hpc_bridge.errors import SettingsError
from hpc_bridge.protocol import SigningKey, load_keys
from hpc_bridge.schedulers import Scheduler
from hpc_bridge.schedulers.local import LocalScheduler
from hpc_bridge.schedulers.slurm import SlurmScheduler
from hpc_bridge.settings import AgentSettings, load_settings

DEFAULT_HOME = "~/.hpc-bridge"


def now() -> datetime:
    """Give the time."""
    return datetime.now(timezone.utc)


def make(home: Path, bucket: dict[str, str], scheduler: str) -> list[str]:
    """Make a working installation and give what was made; what is there already stays as it is.

    Raises
    ------
    SettingsError
        When what is there can't be used.
    """
    made = []
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (home / "config.yml").exists():
        name = f"{_plain(socket.gethostname().split('.')[0])}-{secrets.token_hex(3)}"
        settings = {"agent": name, "bucket": bucket, "scheduler": {"kind": scheduler}}
        AgentSettings.model_validate(settings)
        text = "# The agent's settings; `hpc-bridge doctor` checks them, docs/howto-hpc.md explains them.\n"
        write_whole(home / "config.yml", (text + yaml.safe_dump(settings, sort_keys=False)).encode())
        made.append("config.yml")
    if not (home / "agent_key.pem").exists():
        SigningKey.generate().save(home / "agent_key.pem")
        made.append("agent_key.pem")
    if not (home / "trusted_keys").exists():
        text = "# Public keys of the RDM sides whose requests are run here: hpc-bridge-ed25519 <key> <comment>\n"
        write_whole(home / "trusted_keys", text.encode())
        made.append("trusted_keys")
    if not (home / "callback_secret").exists():
        (home / "callback_secret").touch(mode=0o600)
        (home / "callback_secret").write_text(secrets.token_hex(32) + "\n", encoding="ascii")
        made.append("callback_secret")
    functions = home / "functions"
    for source in shipped_functions():
        if not (functions / source.name).exists():
            shutil.copytree(source, functions / source.name, ignore=shutil.ignore_patterns("__pycache__"))
            made.append(f"functions/{source.name}")
    return made


def _plain(name: str) -> str:
    kept = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in name.lower()).strip("-")
    return kept[:40] or "agent"


def shipped_functions() -> list[Path]:
    """Give the folders of the functions that come with the distribution."""
    here = Path(__file__).resolve().parent
    for place in (here / "functions", here.parents[1] / "functions"):
        if place.is_dir():
            return sorted(path.parent for path in place.glob("*/function.yml"))
    return []


def cron_line(home: Path) -> str:
    """Give the line for `crontab -e`."""
    program = Path(sys.argv[0]).resolve() if Path(sys.argv[0]).name == "hpc-bridge" else "hpc-bridge"
    return f"*/2 * * * * {program} tick --home {home} --quiet >> {home}/tick.log 2>&1"


def open_scheduler(settings: AgentSettings, desk: Desk) -> Scheduler:
    """Give the batch system that the settings name."""
    if settings.scheduler.kind == "local":
        return LocalScheduler(desk.scratch / "attempts")
    return SlurmScheduler(settings.scheduler, number_of=desk.number_of)


def open_agent(home: Path, *, bucket: Bucket | None = None, scheduler: Scheduler | None = None) -> Agent:
    """Open everything that a tick needs; the store is probed once a day and after each change of its address.

    Raises
    ------
    SettingsError, BucketError
        When something is missing or can't be used.
    """
    settings = load_settings(home)
    os.umask(0o077)
    desk = Desk(home / "state", home / settings.scratch)
    if bucket is None:
        bucket = open_bucket(settings.bucket)
        bucket.conditions = _conditions(desk, bucket, settings)
    catalogue, problems = load_catalogue(home / settings.functions)
    agent = Agent(
        settings=settings,
        home=home,
        bucket=bucket,
        scheduler=scheduler or open_scheduler(settings, desk),
        desk=desk,
        key=SigningKey.load(home / settings.key_file),
        trusted=load_keys(home / settings.trusted_keys),
        catalogue=catalogue,
        clock=now,
    )
    agent.report.problems.extend(problems)
    if not agent.trusted:
        raise SettingsError("trusted_keys is empty: add the line that the RDM side's operator gives you")
    return agent


def _conditions(desk: Desk, bucket: Bucket, settings: AgentSettings) -> Conditions:
    mark = f"{settings.bucket.address} {now():%Y-%m-%d}"
    for conditions in Conditions:
        if desk.is_published("probe", f"{mark} {conditions.value}"):
            return conditions
    found = probe(bucket).conditions
    desk.mark_published("probe", f"{mark} {found.value}")
    return found
