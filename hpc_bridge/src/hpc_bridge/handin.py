"""Handing jobs to the batch system: alike ones of a function together as an array."""

from __future__ import annotations

import secrets
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hpc_bridge.catalog import Function
from hpc_bridge.desk import Attempt
from hpc_bridge.errors import (
    BridgeError,
    LostRaceError,
    SchedulerBusyError,
    SchedulerError,
    SchedulerUnavailableError,
    UnclearError,
)
from hpc_bridge.plans import make_plan
from hpc_bridge.protocol import Event, JobSpec, Standing, keys
from hpc_bridge.protocol.exchange import MAX_MANIFEST_BYTES
from hpc_bridge.schedulers import Resources, Submission

if TYPE_CHECKING:
    from hpc_bridge.agent import Agent


@dataclass(frozen=True)
class Ready:
    """A job whose inputs are in place."""

    standing: Standing
    spec: JobSpec
    spec_digest: str
    function: Function
    parameters: dict[str, Any]


class HandIn:
    """One tick's hand-ins."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def hand_in(self, ready: list[Ready]) -> None:
        """Hand in all that is staged, in as few batch jobs as the limits allow."""
        groups: dict[tuple[str, str, Resources], list[Ready]] = defaultdict(list)
        for one in ready:
            key = one.spec.function, one.spec.version, one.function.resources(one.spec)
            groups[key].append(one)
        size = self.agent.settings.limits.batch_size
        for (_, _, resources), members in groups.items():
            for start in range(0, len(members), size):
                self._hand_in_together(members[start : start + size], resources)

    def _hand_in_together(self, members: list[Ready], resources: Resources) -> None:
        token = f"hb-{secrets.token_hex(16)}"
        won: dict[int, tuple[Standing, str]] = {}
        # Task 0 is a plain job and never one of an array: the completion log shows tasks of arrays by name alone.
        for task, member in enumerate(members, 1 if len(members) > 1 else 0):
            job = member.standing.job
            try:
                standing = self._write_down(member, token, task)
            except (LostRaceError, UnclearError) as problem:
                self.agent.report.problem(f"{job}: {problem}")
            except (BridgeError, OSError) as problem:
                self.agent.report.problem(f"{job}: {problem}")
            else:
                if standing is not None:
                    won[task] = standing, f"{token}.{task}"
        if won:
            self._submit(Submission(token, self.agent.desk.batch_folder(token), tuple(won), resources), won)

    def _write_down(self, member: Ready, token: str, task: int) -> Standing | None:
        """Make the attempt and win the event that says so; None when it must wait."""
        standing = member.standing
        agent, desk, job = self.agent, self.agent.desk, standing.job
        earlier = desk.attempts(job)
        grace = timedelta(seconds=agent.settings.times.grace_seconds)
        for one in earlier:
            if desk.claim_of(one.name) is None and agent.clock() < one.made + grace:
                return None  # another tick of this agent may be just about to hand it in
            if not desk.revoke(one.name):
                agent.add(standing, Event.FAIL, "Refused: it has run before; its events were altered.")
                return None
        if len(earlier) >= agent.settings.limits.attempts:
            agent.add(standing, Event.FAIL, f"Handed in {len(earlier)} times, and the batch system never started it.")
            return None
        attempt = Attempt(token, task, agent.clock())
        if not desk.begin_attempt(job, len(earlier) + 1, attempt):
            return None
        folder = desk.attempt_folder(attempt.name)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        plan = make_plan(
            member.spec,
            member.function,
            member.parameters,
            folder=folder,
            inputs=desk.input_folder(job),
            isolation=agent.settings.isolation,
            most=agent.settings.limits.output_bytes,
            python=agent.settings.python or sys.executable,
            keep=desk.kept_folder(member.spec),
            image_digest=desk.digest_of(member.function.image) if member.function.image else None,
        )
        desk.write_plan(attempt.name, {**plan, "spec": member.spec_digest})
        now = agent.add(standing, Event.STAGED, "About to be handed to the batch system.", attempt=attempt.name)
        # A number can be won once more after the job was closed and its events deleted: then its history is there.
        if agent.bucket.get(keys.history(job), limit=MAX_MANIFEST_BYTES) is not None:
            desk.revoke(attempt.name)
            agent.add(now, Event.FAIL, "Refused: the job is over already.")
            return None
        return now

    def _submit(self, submission: Submission, won: dict[int, tuple[Standing, str]]) -> None:
        agent = self.agent
        try:
            number = agent.scheduler.submit(submission)
        except (SchedulerUnavailableError, UnclearError) as problem:
            agent.report.problem(f"{problem}: whether it was taken is found out by the next ticks")
            return
        except SchedulerError as problem:
            busy = isinstance(problem, SchedulerBusyError)
            for standing, attempt in won.values():
                self._settle(standing, attempt, problem, busy=busy)
            agent.report.problem(str(problem))
            return
        for task, (standing, attempt) in won.items():
            identity = f"{number}_{task}" if submission.is_array else number
            try:
                agent.add(standing, Event.SUBMITTED, "In the queue.", attempt=attempt, scheduler_id=identity)
            except BridgeError as problem:
                agent.report.problem(f"{standing.job}: {problem}")

    def _settle(self, standing: Standing, attempt: str, problem: SchedulerError, *, busy: bool) -> None:
        """Void an attempt that the batch system refused, then let the job wait or fail."""
        agent = self.agent
        try:
            if not agent.desk.revoke(attempt):
                return
            if busy:
                agent.add(standing, Event.REVOKED, "The batch system takes no more jobs now.")
            else:
                agent.add(standing, Event.FAIL, f"The batch system refused it: {problem.detail}"[:2000])
        except BridgeError as trouble:
            agent.report.problem(f"{standing.job}: {trouble}")
