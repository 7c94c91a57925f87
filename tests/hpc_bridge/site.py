"""A whole bridge for tests: an RDM side, a bucket, and an agent in a folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from hpc_bridge.agent import Agent, Report
from hpc_bridge.bucket import Bucket
from hpc_bridge.digests import nonce
from hpc_bridge.installation import make, open_agent
from hpc_bridge.protocol import (
    FINAL,
    Conclusion,
    JobSpec,
    Journal,
    Side,
    SigningKey,
    Standing,
    State,
    conclude,
    describe_file,
    keys,
    publish,
)
from hpc_bridge.schedulers import Scheduler


def wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass
class Site:
    """One RDM side and one agent."""

    folder: Path
    bucket: Bucket
    clock: Callable[[], datetime] = wall_clock
    scheduler: Scheduler | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    key: SigningKey = field(default_factory=SigningKey.generate)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        make(self.home, {"kind": "folder", "folder": str(self.folder / "bucket")}, "local")
        path = self.home / "config.yml"
        content = yaml.safe_load(path.read_text())
        fast = {"times": {"grace_seconds": 2, "settle_seconds": 1}, "limits": {"free_bytes": 0}}
        for changes in (fast, {"agent": "cluster-1"}, self.settings):
            for name, value in changes.items():
                content[name] = {**content[name], **value} if isinstance(content.get(name), dict) else value
        path.write_text(yaml.safe_dump(content))
        (self.home / "trusted_keys").write_text(self.key.public.line("rdm") + "\n")
        self.rdm = Journal(self.bucket, writer="exchange", side=Side.RDM, clock=self.clock)

    @property
    def agents(self) -> dict[str, Any]:
        public = SigningKey.load(self.home / "agent_key.pem").public
        return {public.name: public}

    def agent(self) -> Agent:
        agent = open_agent(self.home, bucket=self.bucket, scheduler=self.scheduler)
        agent.clock = agent.journal.clock = self.clock
        return agent

    def tick(self) -> Report:
        return self.agent().tick()

    def spec(self, request: str = "R1", *, files: dict[str, Path] | None = None, **changes: Any) -> JobSpec:
        facts: dict[str, Any] = {
            "job": keys.job_name("site", request, 1),
            "function": "checksum-report",
            "version": "1.0",
            "inputs": tuple(describe_file(path, name) for name, path in (files or {}).items()),
            "created": self.clock(),
            "expires": self.clock() + timedelta(days=1),
            "nonce": nonce(),
        }
        return JobSpec(**{**facts, **changes})

    def file(self, name: str = "scan.nii", body: bytes = b"some input") -> Path:
        path = self.folder / name
        path.write_bytes(body)
        return path

    def ask(self, request: str = "R1", **changes: Any) -> Standing:
        files = changes.pop("files", None) or {"sub/scan.nii": self.file()}
        return publish(self.rdm, self.spec(request, files=files, **changes), self.key, files)

    def standing(self, job: str) -> Standing:
        return self.rdm.standings()[job]

    def until(self, job: str, *states: State, seconds: float = 30) -> Standing:
        """Tick until the job is in one of the states, or over."""
        deadline = time.monotonic() + seconds
        while (now := self.standing(job)).state not in {*states, *FINAL}:
            assert time.monotonic() < deadline, f"still {now.state.value}"
            self.tick()
            time.sleep(0.1)
        return now

    def conclusion(self, job: str) -> Conclusion:
        return conclude(self.rdm, self.standing(job), self.agents)
