"""The agent's settings: `config.yml` in its folder, typed, every field described."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpc_bridge.bucket.settings import BucketSettings
from hpc_bridge.errors import SettingsError
from hpc_bridge.protocol import keys


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SchedulerSettings(_Section):
    """The batch system."""

    kind: Literal["local", "slurm"] = Field("local", description="local: processes of this machine")
    partition: str | None = Field(None, description="where the function's entry names none")
    account: str | None = Field(None, description="the same")
    qos: str | None = Field(None, description="the same")
    accounting: Literal["sacct", "jobcomp", "none"] = Field(
        "sacct", description="sacct: with slurmdbd; jobcomp: `sacct -c`; none: the queue and the exit files alone"
    )
    folder: str = Field("", description="where sbatch and the others are, if not in PATH")
    command_seconds: float = Field(60, gt=0, description="longest wait for one command")


class Limits(_Section):
    """How much at once."""

    jobs_at_once: int = Field(100, ge=1, description="jobs of this agent that are not over")
    submissions_per_tick: int = Field(100, ge=1, description="jobs handed in by one tick")
    batch_size: int = Field(500, ge=1, description="jobs in one array; the centre's MaxArraySize is the most")
    input_bytes: int = Field(1 << 37, ge=0, description="inputs of one job")
    output_bytes: int = Field(1 << 37, ge=0, description="outputs of one job")
    free_bytes: int = Field(5_000_000_000, ge=0, description="room in scratch that stays free")
    longest_hours: float = Field(168, gt=0, description="how long a specification may be good for")
    attempts: int = Field(5, ge=1, description="hand-ins of one job before it counts as failed")


class Times(_Section):
    """How long to wait for what."""

    grace_seconds: float = Field(600, ge=0, description="unknown to queue and accounting for longer: lost")
    settle_seconds: float = Field(60, ge=0, description="for an exit file to appear after a job ended")
    staging_stale_seconds: float = Field(3600, ge=0, description="after this another agent takes staging over")
    heartbeat_seconds: float = Field(300, ge=0, description="between two heartbeats that say nothing new")


class Callbacks(_Section):
    """Calls to the RDM side when a job is over."""

    hosts: tuple[str, ...] = Field((), description="hosts (or host:port) that may be called; none: no calls")
    secret_file: str = Field("callback_secret", description="the shared secret, in the agent's folder, mode 0600")
    timeout_seconds: float = Field(5, gt=0, le=60)
    tries: int = Field(5, ge=1, description="ticks that try")


class Retention(_Section):
    """How long what is over is kept on this side."""

    finished_hours: float = Field(0, ge=0, description="scratch of finished jobs, after the RDM side closed them")
    failed_hours: float = Field(168, ge=0, description="scratch of other jobs")
    kept_days: float = Field(30, ge=0, description="what a function keeps to go on from, untouched for so long")
    receipt_days: float = Field(365, ge=0, description="receipts of what was deleted")


class AgentSettings(_Section):
    """All settings of an agent."""

    agent: str = Field(
        description="name of this agent, one of its own for each installation", pattern=keys.NAME.pattern
    )
    bucket: BucketSettings
    scratch: str = Field("scratch", description="large, shared with the compute nodes; relative to this folder")
    functions: str = Field("functions", description="folder of the catalogue")
    python: str = Field(
        "", description="program for `{python}` in commands without a container; default: the agent's own"
    )
    key_file: str = Field("agent_key.pem", description="private key that signs results")
    trusted_keys: str = Field("trusted_keys", description="public keys of the RDM sides whose requests are run")
    scheduler: SchedulerSettings = SchedulerSettings()
    limits: Limits = Limits()
    times: Times = Times()
    callbacks: Callbacks = Callbacks()
    retention: Retention = Retention()
    isolation: Literal["required", "best-effort"] = Field(
        "required", description="whether a job that may not use the network is refused where it can't be cut off"
    )
    transfers: Literal["agent", "job"] = Field(
        "agent", description="job: data is moved by a small batch job, for login nodes that must not"
    )


def load_settings(home: Path) -> AgentSettings:
    """Read `config.yml` in the agent's folder.

    Raises
    ------
    SettingsError
        Naming each entry that can't be used.
    """
    path = home / "config.yml"
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return AgentSettings.model_validate(content or {})
    except OSError as problem:
        raise SettingsError(f"{path}: {problem.strerror}") from None
    except yaml.YAMLError as problem:
        raise SettingsError(f"{path}: {problem}") from None
    except ValidationError as problem:
        places = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problem.errors()[:5])
        raise SettingsError(f"{path}: {places}") from None
