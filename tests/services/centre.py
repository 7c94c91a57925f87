"""One HPC centre with its agent, and the RDM side that asks it for work; the bucket and the batch system are real."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from hpc_bridge.agent import Report
from hpc_bridge.bucket import BucketSettings, open_bucket
from hpc_bridge.digests import nonce
from hpc_bridge.installation import open_agent
from hpc_bridge.protocol import (
    FINAL,
    Conclusion,
    JobSpec,
    Journal,
    Side,
    SigningKey,
    Standing,
    State,
    close,
    conclude,
    describe_file,
    fetch,
    keys,
    publish,
)
from tests.services.daemon import PATH, ServiceError

#: The agent's command, whatever PATH says.
PROGRAM = (sys.executable, "-m", "hpc_bridge.cli")

#: What tests ask for: it notes that it started, waits, and reports on its input. `{image}` is a container's or nothing.
FUNCTION = """\
name: report
version: "1.0"
title: Waits, then reports the checksum of its inputs
{container}command:
  [sh, "{{function}}/work.sh", "{{input}}", "{{output}}", "{{function}}", "{{param:label}}", "{{param:seconds}}"]
parameters:
  type: object
  properties:
    label: {{type: string, title: Label}}
    seconds: {{type: number, title: Time to wait, default: 0}}
  required: [label]
resources: {{memory_mb: {{base: 50}}, minutes: {{base: 5}}}}
outputs: [{{name: report.txt}}]
"""

WORK = """\
set -eu
echo "$4" >> "$3/starts"
sleep "$5"
test ! -e "$3/fail" || { echo "told to fail" >&2; exit 7; }
cat "$1"/* > "$2/report.txt"
echo "$4" >> "$2/report.txt"
"""


def now() -> datetime:
    """Give the time as both sides have it."""
    return datetime.now(tz=UTC)


@dataclass(frozen=True)
class Ticked:
    """What one run of `hpc-bridge tick` gave."""

    code: int
    out: str
    err: str


@dataclass
class Centre:
    """An agent's folder, the bucket it looks into, and an exchange at the other end."""

    home: Path
    agent: str
    agent_bucket: dict[str, Any]
    rdm_bucket: dict[str, Any]
    slurm_conf: str | None = None
    accounting: str = "jobcomp"
    scratch: Path | None = None
    image: Path | None = None
    site: str = "site"
    rdm_key: SigningKey = field(default_factory=SigningKey.generate)
    agent_key: SigningKey = field(default_factory=SigningKey.generate)

    def __post_init__(self) -> None:
        self.home.mkdir(mode=0o700)
        self.agent_key.save(self.home / "agent_key.pem")
        (self.home / "trusted_keys").write_text(self.rdm_key.public.line("exchange") + "\n")
        self.functions = self.home / "functions"
        function = self.functions / "report"
        function.mkdir(parents=True)
        container = f"container: {{runtime: charliecloud, image: {self.image}}}\n" if self.image else ""
        (function / "function.yml").write_text(FUNCTION.format(container=container))
        (function / "work.sh").write_text(WORK)
        self.configure()
        self.rdm = self.exchange()

    def configure(self, **changes: Any) -> None:
        """Write the agent's settings; short waits, so that tests need not wait long either."""
        settings: dict[str, Any] = {
            "agent": self.agent,
            "bucket": {
                name: str(value) if isinstance(value, Path) else value for name, value in self.agent_bucket.items()
            },
            "scratch": str(self.scratch or "scratch"),
            "scheduler": {"kind": "slurm", "accounting": self.accounting} if self.slurm_conf else {"kind": "local"},
            "limits": {"free_bytes": 0},
            "times": {"grace_seconds": 5, "settle_seconds": 3},
            # The container runtimes' own tests require isolation; here a kernel without user namespaces will do.
            "isolation": "best-effort",
            **changes,
        }
        (self.home / "config.yml").write_text(yaml.safe_dump(settings))

    def exchange(self, name: str = "exchange") -> Journal:
        """Give an exchange of the RDM side."""
        return Journal(open_bucket(BucketSettings(**self.rdm_bucket)), writer=name, side=Side.RDM, clock=now)

    # The RDM side

    def ask(self, label: str, *, seconds: float = 0, folder: Path) -> str:
        """Publish a job with one input and give its name."""
        file = folder / f"{label}.txt"
        file.write_text(f"input of {label}\n")
        spec = JobSpec(
            job=keys.job_name(self.site, label, 1),
            function="report",
            version="1.0",
            parameters={"label": label, "seconds": seconds},
            inputs=(describe_file(file, "data.txt"),),
            created=now(),
            expires=now() + timedelta(hours=1),
            nonce=nonce(),
        )
        publish(self.rdm, spec, self.rdm_key, {"data.txt": file})
        return spec.job

    def states(self) -> dict[str, State]:
        """Give where all jobs stand."""
        return {job: standing.state for job, standing in self.rdm.standings().items()}

    def standing(self, job: str) -> Standing:
        """Give where one job stands."""
        return self.rdm.standings()[job]

    def result(self, job: str, folder: Path) -> Conclusion:
        """Read how a job ended, verified, and bring what it made into a folder."""
        conclusion = conclude(self.rdm, self.standing(job), {self.agent_key.public.name: self.agent_key.public})
        fetch(self.rdm, conclusion, folder)
        return conclusion

    def close(self, job: str) -> None:
        """Say that the result was taken."""
        close(self.rdm, self.standing(job))

    # The agent

    def start_tick(self, *, clock: str | None = None) -> subprocess.Popen[str]:
        """Start one run of the agent as cron would: a process of its own with a small environment.

        A `clock` of "+10m" is ten minutes ahead.
        """
        environment = {"PATH": PATH, "HOME": str(self.home), "LANG": "C.UTF-8", "USER": "root"}
        if self.slurm_conf:
            environment["SLURM_CONF"] = self.slurm_conf
        if "PYTHONPATH" in os.environ:
            environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
        wrong = ["faketime", "-f", clock] if clock else []
        argv = [*wrong, *PROGRAM, "tick", "--home", str(self.home), "--json"]
        return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run_tick(self, *, clock: str | None = None) -> Ticked:
        """Run the agent once, as a process."""
        process = self.start_tick(clock=clock)
        out, err = process.communicate(timeout=120)
        return Ticked(process.returncode, out, err)

    def tick(self) -> Report:
        """Run the agent once in this process, which saves its start."""
        mask = os.umask(0o077)
        try:
            with mock.patch.dict(os.environ, {"SLURM_CONF": self.slurm_conf or ""}):
                return open_agent(self.home).tick()
        finally:
            os.umask(mask)

    def tick_until(self, done: Callable[[], bool], *, seconds: float = 60) -> list[Report]:
        """Let the agent run again and again until something holds."""
        end = time.monotonic() + seconds
        reports: list[Report] = []
        while not done():
            if time.monotonic() > end:
                raise ServiceError(f"not within {seconds:g} s; the last tick: {reports[-1] if reports else 'none'}")
            reports.append(self.tick())
            time.sleep(0.1)
        return reports

    def tick_until_over(self, *jobs: str, seconds: float = 60) -> list[Report]:
        """Let the agent run again and again until these jobs, or all, are over."""

        def over() -> bool:
            states = self.states()
            return all(states[job] in FINAL for job in jobs or states)

        return self.tick_until(over, seconds=seconds)

    def starts(self) -> list[str]:
        """Give the labels of all jobs whose work was begun, in order, each as often as it was."""
        file = self.functions / "report" / "starts"
        return file.read_text().split() if file.exists() else []
