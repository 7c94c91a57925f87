"""`python -m benchmarks.bridge [--full] [--json]`: what the bridge costs beside the plain tools.

Requests are counted, times are measured beside the plain way of doing the same: a subprocess, `sbatch`, boto3. Slurm
and Ceph RGW are started privately, as for the tests, where their programs are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import yaml

from benchmarks.machine import describe_machine
from hpc_bridge.bucket import Bucket, BucketSettings, MemoryBucket, open_bucket
from hpc_bridge.digests import file_digest, nonce
from hpc_bridge.installation import make, open_agent
from hpc_bridge.protocol import (
    FINAL,
    JobSpec,
    Journal,
    Receipt,
    Side,
    SigningKey,
    State,
    close,
    conclude,
    fetch,
    keys,
    publish,
)
from hpc_bridge.schedulers import Scheduler
from hpc_bridge.schedulers.slurm import SlurmScheduler
from hpc_bridge.settings import SchedulerSettings

#: A job that does nothing: what it costs is the bridge's and the batch system's.
EMPTY = {
    "name": "nothing",
    "version": "1",
    "title": "Does nothing",
    "command": ["true"],
    "needs": {"files": []},
    "outputs": [],
    "resources": {"minutes": {"base": 5}, "memory_mb": {"base": 50}},
}


def now() -> datetime:
    """Give the time."""
    return datetime.now(UTC)


class Bench:
    """An RDM side and an agent that offers one function that does nothing; each counts its requests."""

    def __init__(self, folder: Path, *, scheduler: Scheduler | None = None, store: MemoryBucket | None = None) -> None:
        self.store = store or MemoryBucket()
        self.home = folder / "agent"
        self.scheduler = scheduler
        make(self.home, {"kind": "folder", "folder": str(folder / "unused")}, "local")
        for path in (self.home / "functions").iterdir():
            shutil.rmtree(path)
        (self.home / "functions" / "nothing").mkdir()
        (self.home / "functions" / "nothing" / "function.yml").write_text(yaml.safe_dump(EMPTY))
        config = yaml.safe_load((self.home / "config.yml").read_text())
        limits = {"free_bytes": 0, "jobs_at_once": 10_000, "submissions_per_tick": 10_000}
        config |= {"isolation": "best-effort", "limits": limits}
        (self.home / "config.yml").write_text(yaml.safe_dump(config))
        self.key = SigningKey.generate()
        (self.home / "trusted_keys").write_text(self.key.public.line("bench") + "\n")
        public = SigningKey.load(self.home / "agent_key.pem").public
        self.agents = {public.name: public}
        self.rdm_requests, self.agent_requests = self.store.view(_nothing), self.store.view(_nothing)
        self.rdm = Journal(self.rdm_requests, writer="bench", side=Side.RDM, clock=now)

    def ask(self, label: str) -> str:
        """Publish a job and give its name."""
        job = keys.job_name("bench", label, 1)
        spec = JobSpec(
            job=job, function="nothing", version="1", created=now(), expires=now() + timedelta(days=1), nonce=nonce()
        )
        publish(self.rdm, spec, self.key, {})
        return job

    def tick(self) -> None:
        """Let the agent do its next steps."""
        report = open_agent(self.home, bucket=self.agent_requests, scheduler=self.scheduler).tick()
        if report.problems:
            raise RuntimeError(report.problems[0])

    def until_over(self, jobs: Sequence[str], *, pause: float, seconds: float = 900) -> None:
        """Tick until all jobs are over, or it takes too long."""
        end = time.monotonic() + seconds
        while True:
            self.tick()
            states = {job: one.state for job, one in Journal.standings(self._watcher()).items()}
            if all(states[job] in FINAL for job in jobs):
                if {states[job] for job in jobs} != {State.FINISHED}:
                    raise RuntimeError("a job did not finish")
                return
            if time.monotonic() > end:
                raise RuntimeError(f"not over after {seconds:g} s")
            time.sleep(pause)

    def _watcher(self) -> Journal:
        """Give a view that is not counted."""
        return Journal(self.store, writer="bench", side=Side.RDM, clock=now)

    def collect(self, folder: Path) -> None:
        """Take all results with one listing, as an exchange does."""
        for standing in self.rdm.standings().values():
            conclusion = conclude(self.rdm, standing, self.agents)
            fetch(self.rdm, conclusion, folder / standing.job)
            close(self.rdm, standing)


def _nothing(moment: str, operation: str, key: str) -> None:
    del moment, operation, key


# Requests of a tick


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One tick with nothing to do, after so many jobs."""

    jobs_before: int
    requests: dict[str, int]
    ms: float


def measure_ticks(work: Path, histories: Sequence[int]) -> list[Tick]:
    """Measure a tick of an agent that has run so many jobs, all tidied away, while one job waits for nothing."""
    found = []
    for count in histories:
        folder = work / f"history-{count}"
        bench = Bench(folder)
        _pretend(bench, count)
        bench.tick()
        bench.tick()
        bench.agent_requests.requests.clear()
        began = time.perf_counter()
        bench.tick()
        took = time.perf_counter() - began
        found.append(Tick(jobs_before=count, requests=dict(bench.agent_requests.requests), ms=1000 * took))
        shutil.rmtree(folder)
    return found


def _pretend(bench: Bench, count: int) -> None:
    """Put down what jobs leave after they were taken: documents in the bucket, receipts and nonces with the agent."""
    desk = open_agent(bench.home, bucket=bench.store).desk
    spent, receipts = desk.state / "spent", desk.state / "receipts"
    spent.mkdir(parents=True, exist_ok=True)
    receipts.mkdir(parents=True, exist_ok=True)
    expires = json.dumps({"job": "j", "expires": (now() + timedelta(days=1)).isoformat()})
    for index in range(count):
        job = keys.job_name("before", str(index), 1)
        for key in (keys.spec(job), keys.history(job), keys.manifest(job), keys.receipt(job)):
            bench.store.objects[key] = b"{}"
        (spent / f"{index:032x}").write_text(expires)
        receipt = Receipt(job=job, place="scratch", files=1, bytes=1, time=now())
        (receipts / f"{job}.json").write_bytes(receipt.to_bytes())


# Overhead of a job


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """From asking to having the result of a job that does nothing, beside the plain way. Seconds, medians."""

    how: str
    bridge_s: float
    plain_s: float


def measure_overhead(work: Path, rounds: int = 5) -> list[Overhead]:
    """Measure an empty job through the bridge beside a subprocess, and beside `sbatch --wait` where Slurm is."""
    bench = Bench(work / "local")

    def through(bench: Bench, name: str) -> Callable[[int], None]:
        def go(index: int) -> None:
            job = bench.ask(f"{name}-{index}")
            bench.until_over([job], pause=0.02)
            bench.collect(work / "results" / name)

        return go

    plain = _times(lambda _: subprocess.run(["true"], check=True), rounds)
    found = [Overhead(how="local", bridge_s=_times(through(bench, "local"), rounds), plain_s=plain)]
    with _slurm() as environment:
        if environment is not None:
            with mock.patch.dict(os.environ, environment):
                settings = SchedulerSettings(kind="slurm", accounting="jobcomp")
                slurm = Bench(work / "slurm", scheduler=SlurmScheduler(settings))
                argv = ["sbatch", "--wait", "--output=/dev/null", "--chdir=/", "--wrap=true"]
                plain = _times(lambda _: subprocess.run(argv, check=True, capture_output=True), rounds)
                found.append(Overhead(how="Slurm", bridge_s=_times(through(slurm, "slurm"), rounds), plain_s=plain))
    return found


def _times(work: Callable[[int], object], rounds: int) -> float:
    found = []
    for index in range(rounds):
        began = time.perf_counter()
        work(index)
        found.append(time.perf_counter() - began)
    return median(found)


@contextmanager
def _slurm() -> Iterator[Mapping[str, str] | None]:
    """Run a private cluster; None where its programs are not installed."""
    from tests.services.slurm import PROGRAMS, cluster  # noqa: PLC0415 - started as the tests start it

    if not _are_there(PROGRAMS):
        yield None
        return
    with cluster() as running:
        yield {"SLURM_CONF": running.env["SLURM_CONF"]}


def _are_there(programs: Sequence[str]) -> bool:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return all(shutil.which(program, path=path) for program in programs)


# Transfer


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """One file up and down: ours checks its SHA-256 both times, boto3 does not. Seconds."""

    store: str
    bytes: int
    up_s: float
    down_s: float
    boto3_up_s: float
    boto3_down_s: float


def measure_transfer(work: Path, size: int) -> Transfer:
    """Measure a file of random bytes there and back, beside boto3's own managed transfer."""
    source, ours, theirs = work / "source", work / "ours", work / "theirs"
    with source.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    mark = file_digest(source)
    with _store(work) as (name, settings, client):
        bucket: Bucket = open_bucket(settings)
        up = _times(lambda _: bucket.upload(source, "jobs/ours", sha256=mark), 1)
        plain_up = _times(lambda _: client.upload_file(str(source), settings.bucket, "theirs"), 1)
        down = _times(lambda _: bucket.download("jobs/ours", ours, size=size, sha256=mark), 1)
        plain_down = _times(lambda _: client.download_file(settings.bucket, "theirs", str(theirs)), 1)
    for path in (source, ours, theirs):
        path.unlink()
    return Transfer(store=name, bytes=size, up_s=up, down_s=down, boto3_up_s=plain_up, boto3_down_s=plain_down)


@contextmanager
def _store(work: Path) -> Iterator[tuple[str, BucketSettings, Any]]:
    from tests.hpc_bridge.stores import MotoServer  # noqa: PLC0415 - started as the tests start them
    from tests.services.rgw import PROGRAMS, store  # noqa: PLC0415

    if _are_there(PROGRAMS):
        with store() as rgw:
            owner = rgw.user("bench")
            client = rgw.client(owner, endpoint=rgw.tls_endpoint)
            settings = BucketSettings(bucket=rgw.bucket(owner), **rgw.settings(owner, work))
            yield "Ceph RGW, TLS", settings, client
        return
    with MotoServer() as server:
        server.client().create_bucket(Bucket="bench")
        yield "moto", BucketSettings(kind="s3", bucket="bench", **server.address(work)), server.client()


# A batch


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Many requests at once, from asking to having all results."""

    jobs: int
    seconds: float
    plain_s: float
    rdm_requests: dict[str, int]
    agent_requests: dict[str, int]

    @property
    def per_job(self) -> float:
        """Requests of both sides for one job, listings left out: those are for all jobs together."""
        counts = [*self.rdm_requests.items(), *self.agent_requests.items()]
        return sum(count for name, count in counts if name != "list") / self.jobs


def measure_batch(work: Path, jobs: int) -> Batch:
    """Measure a batch of empty jobs with local processes, beside as many subprocesses one after the other."""
    bench = Bench(work / f"batch-{jobs}")
    began = time.perf_counter()
    names = [bench.ask(f"batch-{index}") for index in range(jobs)]
    bench.until_over(names, pause=0.5)
    bench.collect(work / f"results-{jobs}")
    took = time.perf_counter() - began
    plain = _times(lambda _: [subprocess.run(["true"], check=True) for _ in range(jobs)], 1)
    return Batch(
        jobs=jobs,
        seconds=took,
        plain_s=plain,
        rdm_requests=dict(bench.rdm_requests.requests),
        agent_requests=dict(bench.agent_requests.requests),
    )


# What is printed


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def _requests(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def tables(ticks: Sequence[Tick], overheads: Sequence[Overhead], transfer: Transfer, batch: Batch) -> str:
    """Write all tables."""
    mb = transfer.bytes / 1e6
    speeds = [
        (name, f"{mb / ours:,.0f}", f"{mb / plain:,.0f}", f"{ours / plain:.2f}")
        for name, ours, plain in (
            ("up", transfer.up_s, transfer.boto3_up_s),
            ("down", transfer.down_s, transfer.boto3_down_s),
        )
    ]
    return "\n\n".join(
        (
            _table(
                ("jobs ever run", "requests of an idle tick", "ms"),
                [(f"{one.jobs_before:,}", _requests(one.requests), f"{one.ms:.0f}") for one in ticks],
            ),
            _table(
                ("an empty job", "bridge s", "plain s", "overhead s"),
                [
                    (one.how, f"{one.bridge_s:.2f}", f"{one.plain_s:.2f}", f"{one.bridge_s - one.plain_s:.2f}")
                    for one in overheads
                ],
            ),
            _table((f"{mb:,.0f} MB, {transfer.store}", "bridge MB/s", "boto3 MB/s", "time, x boto3"), speeds),
            _table(
                (f"a batch of {batch.jobs:,}", "s", "requests", "per job, without listings"),
                [
                    ("RDM side", "", _requests(batch.rdm_requests), ""),
                    ("agent", "", _requests(batch.agent_requests), ""),
                    ("together", f"{batch.seconds:.1f}", "", f"{batch.per_job:.1f}"),
                    ("as many plain subprocesses", f"{batch.plain_s:.1f}", "", ""),
                ],
            ),
        )
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bridge", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="a file of 1 GB, 1,000 jobs, 100,000 jobs before")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as folder:
        work = Path(folder)
        ticks = measure_ticks(work, (10, 1_000, 100_000) if options.full else (10, 1_000, 10_000))
        overheads = measure_overhead(work)
        transfer = measure_transfer(work, 1 << 30 if options.full else 1 << 26)
        batch = measure_batch(work, 1_000 if options.full else 100)
    if options.json:
        parts = {"ticks": [asdict(one) for one in ticks], "overheads": [asdict(one) for one in overheads]}
        json.dump({"machine": machine, **parts, "transfer": asdict(transfer), "batch": asdict(batch)}, sys.stdout)
        return 0
    for name, value in machine.items():
        print(f"{name}: {value}")
    print("\n" + tables(ticks, overheads, transfer, batch))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
