"""What an agent keeps on its own disk: what it knows of jobs, spent nonces, and the attempts it makes.

Nothing here is trusted to be the newest: a tick that finds less than it knew asks the bucket again. Names that must be
won by one process are made by hard links.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hpc_bridge.bucket.files import write_whole
from hpc_bridge.catalog import image_digest
from hpc_bridge.digests import digest
from hpc_bridge.protocol import FileEntry, JobSpec, Receipt, State, canonical
from hpc_bridge.wrapper import CLAIM, EXIT, PLAN, RC_BROKEN, REVOKED, link_new


class Note(BaseModel):
    """What the agent knows of a job; a cache of events, and since when it waits for something."""

    model_config = ConfigDict(frozen=True)

    number: int
    state: State
    writer: str
    time: datetime
    attempt: str | None = None
    scheduler_id: str | None = None
    foreign: bool = False
    unseen_since: datetime | None = None
    over_since: datetime | None = None
    callback: str | None = None
    callback_tries: int = 0

    def kept(self) -> dict[str, Any]:
        """Give what stays true when another event follows."""
        return {
            "attempt": self.attempt,
            "scheduler_id": self.scheduler_id,
            "foreign": self.foreign,
            "over_since": self.over_since,
            "callback": self.callback,
        }


class ExitRecord(BaseModel):
    """What the wrapper wrote last; no `run` says that nothing is known of it."""

    model_config = ConfigDict(frozen=True)

    run: str = Field(pattern=r"^(run-[0-9]{1,3})?$")
    exit_code: int
    problem: str = ""
    outputs: tuple[FileEntry, ...] = ()
    scheduler_id: str = ""
    versions: dict[str, str] = {}
    cost: dict[str, float] = {}


@dataclass(frozen=True)
class Attempt:
    """One hand-in of a job: the batch job's name, the task in it, and when it was made."""

    token: str
    task: int
    made: datetime

    @property
    def name(self) -> str:
        """How events and keys name it."""
        return f"{self.token}.{self.task}"


@dataclass
class Desk:
    """The folders `state` (small records) and `scratch` (inputs, attempts)."""

    state: Path
    scratch: Path
    _made: set[Path] = field(default_factory=set)

    def _folder(self, path: Path) -> Path:
        if path not in self._made:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._made.add(path)
        return path

    # What is known of jobs

    def note(self, job: str) -> Note | None:
        """Give what is known of a job; a note that can't be read is as good as none."""
        with contextlib.suppress(OSError, ValueError):
            return Note.model_validate_json((self.state / "jobs" / job / "note.json").read_bytes())
        return None

    def write_note(self, job: str, note: Note) -> None:
        """Keep what is known of a job."""
        folder = self.state / "jobs" / job
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(folder / "note.json", note.model_dump_json().encode())

    def jobs(self) -> list[str]:
        """Give the jobs that something is known of."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(entry.name for entry in os.scandir(self.state / "jobs"))
        return []

    # Nonces: nothing runs twice

    def spent_by(self, nonce: str) -> str | None:
        """Give the job that spent a nonce."""
        with contextlib.suppress(FileNotFoundError):
            return str(json.loads((self.state / "spent" / nonce).read_text())["job"])
        return None

    def spend(self, nonce: str, job: str, expires: datetime) -> bool:
        """Spend a nonce for a job; False when another job spent it."""
        body = json.dumps({"job": job, "expires": expires.isoformat()})
        link_new(self._folder(self.state / "spent") / nonce, body)
        return self.spent_by(nonce) == job

    def forget_spent(self, now: datetime, margin: timedelta) -> None:
        """Forget nonces whose specifications would be refused for their age."""
        with contextlib.suppress(FileNotFoundError):
            for entry in list(os.scandir(self.state / "spent")):
                if entry.name.startswith("."):
                    continue
                expires = datetime.fromisoformat(json.loads(Path(entry.path).read_text())["expires"])
                if expires + margin < now:
                    Path(entry.path).unlink(missing_ok=True)

    # Attempts

    def attempts(self, job: str) -> list[Attempt]:
        """Give the attempts at a job that were made here, oldest first."""
        folder = self.state / "jobs" / job / "attempts"
        with contextlib.suppress(FileNotFoundError):
            names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
            records = [json.loads((folder / name).read_text()) for name in names]
            return [Attempt(one["token"], one["task"], datetime.fromisoformat(one["made"])) for one in records]
        return []

    def begin_attempt(self, job: str, number: int, attempt: Attempt) -> bool:
        """Make attempt `number`; False when another process of this agent made it."""
        folder = self.state / "jobs" / job / "attempts"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        body = json.dumps({"token": attempt.token, "task": attempt.task, "made": attempt.made.isoformat()})
        return link_new(folder / f"{number:03d}", body)

    def batch_folder(self, token: str) -> Path:
        """Give the folder of a batch job; its tasks' folders lie in it."""
        return self.scratch / "attempts" / token

    def attempt_folder(self, attempt: str) -> Path:
        """Give the folder of an attempt by its name."""
        token, _, task = attempt.partition(".")
        return self.scratch / "attempts" / token / task

    def knows(self, attempt: str | None) -> bool:
        """Say whether an attempt was made here: what only an event claims is not believed."""
        return attempt is not None and self.attempt_folder(attempt).is_dir()

    def write_plan(self, attempt: str, plan: dict[str, Any]) -> None:
        """Put down what an attempt is to run."""
        folder = self.attempt_folder(attempt)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(folder / PLAN, json.dumps(plan).encode())

    def revoke(self, attempt: str) -> bool:
        """Make an attempt void before it starts; False when it has started."""
        if (claimed := self.claim_of(attempt)) is not None:  # nothing to write, which a full disk would refuse
            return claimed == REVOKED
        folder = self.attempt_folder(attempt)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        link_new(folder / CLAIM, json.dumps({"state": REVOKED}))
        return self.claim_of(attempt) == REVOKED

    def claim_of(self, attempt: str) -> str | None:
        """Give `started`, `revoked`, or None when nobody came first yet."""
        with contextlib.suppress(FileNotFoundError):
            return str(json.loads((self.attempt_folder(attempt) / CLAIM).read_text())["state"])
        return None

    def number_of(self, attempt: str) -> str | None:
        """Give the batch system's own number of a task, one of an array too; None when it has not started."""
        with contextlib.suppress(OSError, ValueError):
            claim = json.loads((self.attempt_folder(attempt) / CLAIM).read_text())
            return str(claim.get("number", "")) or None
        return None

    def exit_of(self, attempt: str) -> ExitRecord | None:
        """Give what the wrapper wrote last; None while it has not.

        One that can't be read ends the job as well: a job can write there, and its folder may be damaged.
        """
        try:
            return ExitRecord.model_validate_json((self.attempt_folder(attempt) / EXIT).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            return ExitRecord(run="", exit_code=RC_BROKEN, problem="its exit file can't be read")

    def progress_of(self, attempt: str) -> float | None:
        """Give how far an attempt says it is, 0 to 1."""
        for run in sorted(self.attempt_folder(attempt).glob("run-*"), reverse=True):
            with contextlib.suppress(OSError, ValueError):
                return min(1.0, max(0.0, float((run / "status" / "progress").read_text()[:20])))
        return None

    # Inputs and room

    def input_folder(self, job: str) -> Path:
        """Give where the inputs of a job are brought."""
        return self.scratch / "jobs" / job / "input"

    def kept_folder(self, spec: JobSpec) -> Path:
        """Give the folder that lasts over all attempts and requests of one function for the same inputs."""
        files = sorted((one.name, one.sha256) for one in spec.inputs)
        same = digest(canonical({"inputs": files, "parameters": spec.parameters, "version": spec.version}))
        return self.scratch / "kept" / spec.function / same[:32]

    def forget_kept(self, before: datetime) -> None:
        """Delete what a function kept and nothing has touched since a moment."""
        for folder in self.scratch.glob("kept/*/*"):
            paths = [folder, *folder.rglob("*")]
            if max(path.lstat().st_mtime for path in paths) < before.timestamp():
                shutil.rmtree(folder, ignore_errors=True)

    def free_bytes(self) -> int:
        """Give the free room in scratch."""
        return shutil.disk_usage(self._folder(self.scratch)).free

    def has_inputs(self, job: str) -> bool:
        """Say whether all inputs were brought and verified."""
        return (self.state / "jobs" / job / "inputs-are-here").exists()

    def mark_inputs(self, job: str) -> None:
        """Note that all inputs were brought and verified."""
        (self.state / "jobs" / job / "inputs-are-here").touch()

    def read_plan(self, attempt: str) -> dict[str, Any]:
        """Give what an attempt was to run."""
        plan: dict[str, Any] = json.loads((self.attempt_folder(attempt) / PLAN).read_text())
        return plan

    def digest_of(self, image: Path) -> str:
        """Give the digest of an image; it is read again only when it has changed."""
        facts = image.stat()
        key = f"image {image} {facts.st_size} {facts.st_mtime_ns} {facts.st_ino}"
        known = self._marks().get(key)
        if known is None:
            known = image_digest(image)
            self.mark_published(key, known)
        return known

    # What was told to the bucket

    def is_published(self, key: str, mark: str) -> bool:
        """Say whether this text was stored under the key."""
        return self._marks().get(key) == mark

    def mark_published(self, key: str, mark: str) -> None:
        """Note what was stored."""
        write_whole(self.state / "published.json", json.dumps({**self._marks(), key: mark}).encode())

    def _marks(self) -> dict[str, str]:
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads((self.state / "published.json").read_text()))
        return {}

    def heartbeat_due(self, mark: str, now: datetime, seconds: float) -> bool:
        """Say whether a heartbeat says something new, or the last was long ago."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            last = json.loads((self.state / "heartbeat.json").read_text())
            return bool(
                last["mark"] != mark or now >= datetime.fromisoformat(last["time"]) + timedelta(seconds=seconds)
            )
        return True

    def mark_heartbeat(self, mark: str, now: datetime) -> None:
        """Note the last heartbeat."""
        body = json.dumps({"mark": mark, "time": now.isoformat()})
        write_whole(self.state / "heartbeat.json", body.encode())

    # Clean-up

    def remove_scratch(self, job: str, now: datetime) -> Receipt:
        """Delete what a job left in scratch, and keep a receipt of it."""
        files = size = 0
        places = [self.scratch / "jobs" / job, *(self.attempt_folder(one.name) for one in self.attempts(job))]
        for place in places:
            for path in _regular_files(place):
                files, size = files + 1, size + path.lstat().st_size
            _make_writable(place)
            shutil.rmtree(place, ignore_errors=True)
            with contextlib.suppress(OSError):
                place.parent.rmdir()
        receipt = Receipt(job=job, place="scratch", files=files, bytes=size, time=now)
        write_whole(self.state / "receipts" / f"{job}.json", receipt.to_bytes())
        return receipt

    def forget(self, job: str) -> None:
        """Forget a job; its spent nonce and its receipt stay."""
        shutil.rmtree(self.state / "jobs" / job, ignore_errors=True)

    def forget_receipts(self, before: datetime) -> None:
        """Delete receipts that are older."""
        for path in (self.state / "receipts").glob("*.json"):
            if path.stat().st_mtime < before.timestamp():
                path.unlink(missing_ok=True)


def _regular_files(place: Path) -> Iterator[Path]:
    for top, _, names in os.walk(place):
        yield from (Path(top) / name for name in names)


def _make_writable(place: Path) -> None:
    for top, _, _ in os.walk(place):
        with contextlib.suppress(OSError):
            Path(top).chmod(0o700)
