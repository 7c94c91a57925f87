"""Slurm through its commands, each an object: build the argument vector, read the output."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from hpc_bridge import wrapper
from hpc_bridge.errors import SchedulerBusyError, SchedulerError, SchedulerUnavailableError
from hpc_bridge.processes import Answer, Runner, run
from hpc_bridge.schedulers.base import Phase, Scheduler, Sighting, Submission
from hpc_bridge.settings import SchedulerSettings

_OURS = re.compile(r"hb-[0-9a-f]{32}")
_ENDED = {
    "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "PREEMPTED",
    "LAUNCH_FAILED", "REVOKED",
}  # fmt: skip
#: What Slurm says when the limits of a user or account are reached, and when it did not answer.
_BUSY = re.compile(r"QOS\w*Limit|Assoc\w*Limit|job submit limit|Max\w*Submit|temporarily|try again", re.IGNORECASE)
_UNCLEAR = re.compile(
    r"unable to contact|timed out|communication|connection (refused|reset)|not responding|zero bytes|transmission",
    re.IGNORECASE,
)
#: What `scancel` says of a job that is over, or whose number another job has now.
_OVER = re.compile(r"invalid job id|already complet|no active jobs", re.IGNORECASE)
_PLACES = ("partition", "account", "qos")
_COURIER_MINUTES = 240
#: How far back accounting is asked.
_WINDOW = timedelta(days=14)


def phase_of(state: str) -> Phase:
    """Read a state as Slurm's commands write it: `CANCELLED by 1000`, `RUNNING+` ..."""
    word = state.partition(" ")[0].rstrip("+")
    if word in _ENDED:
        return Phase.ENDED
    return (
        Phase.WAITING
        if word in {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED"}
        else Phase.RUNNING
    )


@dataclass(frozen=True)
class Sbatch:
    """Hand a batch script in."""

    submission: Submission
    settings: SchedulerSettings
    program: str = "sbatch"

    def script(self) -> str:
        """Give the text of the batch script: constant but for two paths of this installation."""
        words = (sys.executable, "-I", str(Path(wrapper.__file__)), str(self.submission.folder))
        single = "" if self._is_array else " 0"
        return f"#!/bin/sh\nexec {' '.join(shlex.quote(word) for word in words)}{single}\n"

    @property
    def _is_array(self) -> bool:
        return self.submission.is_array

    def argv(self, script: Path) -> list[str]:
        """Give the argument vector."""
        needs, folder = self.submission.resources, self.submission.folder
        output = "%a/slurm.out" if self._is_array else "0/slurm.out"
        argv = [
            self.program,
            "--parsable",
            f"--job-name={self.submission.token}",
            f"--chdir={folder}",
            f"--output={folder}/{output}",
            "--open-mode=append",
            "--input=/dev/null",
            "--no-requeue",
            "--kill-on-invalid-dep=yes",
            "--signal=B:TERM@30",
            f"--time={needs.minutes}",
            f"--mem={needs.memory_mb}M",
            "--ntasks=1",
            f"--cpus-per-task={needs.cpus}",
        ]
        if needs.gpus:
            argv.append(f"--gres=gpu:{needs.gpus}")
        for option in _PLACES:
            if value := getattr(needs, option) or getattr(self.settings, option):
                argv += [f"--{option}={value}"]
        if self._is_array:
            argv.append(f"--array={_ranges(self.submission.tasks)}")
        return [*argv, str(script)]

    @staticmethod
    def parse(answer: Answer) -> str:
        """Give the job's number.

        Raises
        ------
        SchedulerUnavailableError
            When it is unknown whether Slurm took it.
        SchedulerBusyError, SchedulerError
            When it did not.
        """
        found = re.match(r"([0-9]+)(;|\s|$)", answer.out)
        if answer.code == 0 and found:
            return found[1]
        text = (answer.err or answer.out).strip()[-500:]
        if answer.code in {0, 124} or _UNCLEAR.search(text):
            raise SchedulerUnavailableError(text or "sbatch gave no number")
        raise (SchedulerBusyError if _BUSY.search(text) else SchedulerError)(text)


def _ranges(tasks: Sequence[int]) -> str:
    """Write task numbers as Slurm's arrays do: 0-3,5."""
    parts: list[list[int]] = []
    for task in sorted(tasks):
        if parts and task == parts[-1][1] + 1:
            parts[-1][1] = task
        else:
            parts.append([task, task])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


@dataclass(frozen=True)
class Squeue:
    """What the queue shows of this user's jobs, live ones and those that ended a moment ago."""

    program: str = "squeue"

    def argv(self) -> list[str]:
        """Give the argument vector."""
        return [self.program, "--me", "--noheader", "--array", "--states=all", "--format=%F|%K|%j|%T|%r|%A"]

    @staticmethod
    def parse(text: str) -> list[Sighting]:
        """Give the tasks that are ours by name."""
        found = []
        for line in text.splitlines():
            fields = line.strip().split("|")
            if len(fields) == 6 and _OURS.fullmatch(fields[2]):  # noqa: PLR2004 - as in the format
                job, task, token, state, reason, _ = fields
                number = int(task) if task.isdigit() else 0
                identity = f"{job}_{task}" if task.isdigit() else job
                detail = state if reason in {"None", ""} else f"{state} ({reason})"
                found.append(Sighting(token, number, identity, phase_of(state), detail[:60]))
        return found


@dataclass(frozen=True)
class Sacct:
    """What accounting knows: with slurmdbd, or of the job completion plugin (`completion`)."""

    since: datetime
    completion: bool = False
    #: Attempt by the number that its wrapper saw; the completion plugin knows tasks of arrays by it alone.
    started: Mapping[str, str] = field(default_factory=dict)
    program: str = "sacct"

    def argv(self) -> list[str]:
        """Give the argument vector. The default window begins at midnight, so the start is always given."""
        if self.completion:
            return [self.program, "--completion", "--noheader", "--parsable2", "--format=jobid,jobname,state,exitcode"]
        return [
            self.program, "--allocations", "--duplicates", "--array", "--noheader", "--parsable2",
            f"--starttime={self.since:%Y-%m-%dT%H:%M:%S}", "--format=jobid,jobname,state,exitcode,end",
        ]  # fmt: skip

    def parse(self, text: str) -> list[Sighting]:
        """Give the tasks that are ours by name; a job that failed for a moment without an end still runs."""
        found = []
        for line in text.splitlines():
            fields = line.strip().split("|")
            if len(fields) < 4 or not _OURS.fullmatch(fields[1]):  # noqa: PLR2004 - as in the format
                continue
            identity, token, state, code = fields[:4]
            phase = phase_of(state)
            if phase is Phase.ENDED and not self.completion and fields[4] in {"Unknown", "None", ""}:
                phase = Phase.RUNNING
            task = re.fullmatch(r"[0-9]+_([0-9]+)", identity)
            number = int(task[1]) if task else 0
            found.append(Sighting(token, number, identity, phase, f"{state} {code}"[:60]))
        return self._told_apart(found) if self.completion else found

    def _told_apart(self, found: list[Sighting]) -> list[Sighting]:
        """Give tasks of arrays their numbers, where they are known; the completion plugin numbers them like jobs."""
        numbers: dict[str, set[str]] = {}
        for one in found:
            numbers.setdefault(one.token, set()).add(one.scheduler_id)
        known = []
        for one in found:
            token, _, task = self.started.get(one.scheduler_id, "").partition(".")
            if token == one.token:
                known.append(replace(one, task=int(task)))
            elif len(numbers[one.token]) == 1:
                known.append(one)
        return known


@dataclass(frozen=True)
class Scancel:
    """End a task, or a plain job.

    A plain job's name goes along, so a number that was given again hits nobody else. With a task of an array the name
    would end the whole array (Slurm 22.05); its number comes from a survey of the same tick.
    """

    sighting: Sighting
    program: str = "scancel"

    def argv(self) -> list[str]:
        """Give the argument vector."""
        number = self.sighting.scheduler_id
        return [self.program, *([] if "_" in number else [f"--name={self.sighting.token}"]), number]


class SlurmScheduler(Scheduler):
    """The batch system Slurm."""

    name = "slurm"

    def __init__(
        self,
        settings: SchedulerSettings,
        runner: Runner | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        number_of: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self._number_of = number_of
        self._run = runner or (lambda argv: run(argv, seconds=settings.command_seconds))
        self._clock = clock

    def _program(self, name: str) -> str:
        return str(Path(self.settings.folder) / name) if self.settings.folder else name

    def submit(self, submission: Submission) -> str:
        """Run `sbatch`."""
        command = Sbatch(submission, self.settings, self._program("sbatch"))
        script = submission.folder / "job.sh"
        script.write_text(command.script(), encoding="utf-8")
        return command.parse(self._run(command.argv(script)))

    def survey(self, attempts: Collection[str]) -> dict[str, Sighting]:
        """Run `squeue` once, and accounting once when the queue does not show all."""
        answer = self._run(Squeue(self._program("squeue")).argv())
        if answer.code != 0:
            raise SchedulerUnavailableError(answer.err.strip()[-300:])
        found = {one.attempt: one for one in Squeue.parse(answer.out) if one.attempt in attempts}
        if self.settings.accounting != "none" and len(found) < len(set(attempts)):
            for one in self._accounted(attempts):
                if one.attempt in attempts and one.attempt not in found:
                    found[one.attempt] = one
        return found

    def _accounted(self, attempts: Collection[str]) -> list[Sighting]:
        since = (self._clock() - _WINDOW).astimezone()
        completion = self.settings.accounting == "jobcomp"
        started = {number: attempt for attempt in attempts if completion and (number := self._number_of(attempt))}
        command = Sacct(since, completion, started, self._program("sacct"))
        answer = self._run(command.argv())
        if answer.code != 0:
            raise SchedulerUnavailableError(f"sacct: {answer.err.strip()[-300:]}")
        # A job that was started again has several lines: the last one counts.
        return list({one.attempt: one for one in command.parse(answer.out)}.values())

    def cancel(self, sighting: Sighting) -> None:
        """Run `scancel`."""
        answer = self._run(Scancel(sighting, self._program("scancel")).argv())
        if answer.code != 0 and not _OVER.search(answer.err):
            raise SchedulerUnavailableError(answer.err.strip()[-300:])

    def send_courier(self, name: str, script: Path, log: Path) -> None:
        """Run `squeue`, and `sbatch` where it shows none."""
        there = self._run([self._program("squeue"), "--me", "--noheader", f"--name={name}", "--format=%T"])
        if there.code != 0:
            raise SchedulerUnavailableError(there.err.strip()[-300:])
        if there.out.split():
            return
        argv = [
            self._program("sbatch"),
            "--parsable",
            f"--job-name={name}",
            f"--time={_COURIER_MINUTES}",
            "--no-requeue",
        ]
        argv += [f"--output={log}", "--open-mode=append", f"--chdir={script.parent}"]
        argv += [f"--{option}={value}" for option in _PLACES if (value := getattr(self.settings, option))]
        Sbatch.parse(self._run([*argv, str(script)]))
