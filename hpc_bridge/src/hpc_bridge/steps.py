"""The steps of one job from taken up to ended."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hpc_bridge.catalog import Function
from hpc_bridge.desk import Note
from hpc_bridge.errors import DocumentError, RefusedError, SpaceError, TooLargeError, VerificationError
from hpc_bridge.handin import Ready
from hpc_bridge.protocol import Event, JobSpec, Standing, State
from hpc_bridge.results import Results
from hpc_bridge.schedulers import Phase
from hpc_bridge.staging import bring_inputs, full_disk

if TYPE_CHECKING:
    from hpc_bridge.agent import Agent


class Steps:
    """What an agent does with one job of its own."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.desk = agent.desk

    def next(self, standing: Standing, note: Note) -> Standing:
        """Do the next step of a job that this agent has taken up."""
        if standing.state is State.STAGING:
            return self._stage(standing)
        if standing.state is State.SUBMITTING:
            return self._resolve(standing, note)
        if standing.state is State.RUNNING:
            return self._follow(standing, note)
        return Results(self.agent).upload(standing, note)

    def take(self, standing: Standing) -> Standing:
        """Take a new job up when all about it is as it must be."""
        agent, job = self.agent, standing.job
        try:
            spec, mark = agent.specification(job)
            if spec.agent not in {None, agent.name}:
                self._note_foreign(standing)
                return standing
            if standing.cancel_wished:
                return agent.add(standing, Event.CANCEL, "Cancelled before it was taken up.")
            spec.check_time(agent.clock(), longest=timedelta(hours=agent.settings.limits.longest_hours))
            if self.desk.spent_by(spec.nonce) is not None:
                raise RefusedError("the specification was used before")
            self._function_of(spec)
        except (RefusedError, DocumentError, TooLargeError) as problem:
            return agent.add(standing, Event.FAIL, f"Refused: {problem}")
        if sum(one.size for one in spec.inputs) + agent.settings.limits.free_bytes > self.desk.free_bytes():
            raise SpaceError(f"{job} waits")
        now = agent.add(standing, Event.TAKE, f"Agent {agent.name} brings the inputs into place.")
        return self._staged(now, spec, mark)

    def _stage(self, standing: Standing) -> Standing:
        try:
            spec, mark = self.agent.specification(standing.job)
        except (RefusedError, DocumentError, TooLargeError) as problem:
            return self.agent.add(standing, Event.FAIL, f"Refused: {problem}")
        return self._staged(standing, spec, mark)

    def _staged(self, standing: Standing, spec: JobSpec, mark: str) -> Standing:
        """Spend the nonce, bring the inputs into place, and put the job among those to hand in."""
        agent = self.agent
        agent.remember(standing.job, callback=spec.callback)
        try:
            if not self.desk.spend(spec.nonce, standing.job, spec.expires):
                raise RefusedError("the specification was used before")
            function, parameters = self._function_of(spec)
            if agent.moves_data or not spec.inputs:
                bring_inputs(agent.bucket, self.desk, spec, agent.settings.limits.free_bytes)
                self.desk.mark_inputs(spec.job)
            elif not self.desk.has_inputs(spec.job):  # what a courier brought and verified is not read again here
                agent.transfers_waiting = True
                return standing
        except (RefusedError, DocumentError, TooLargeError, VerificationError) as problem:
            return agent.add(standing, Event.FAIL, f"Refused: {problem}")
        except OSError as problem:
            raise full_disk(problem, standing.job) from None
        agent.ready.append(Ready(standing, spec, mark, function, parameters))
        return standing

    def _function_of(self, spec: JobSpec) -> tuple[Function, dict[str, Any]]:
        function = self.agent.catalogue.get((spec.function, spec.version))
        if function is None:
            raise RefusedError(f"this agent does not offer {spec.function} {spec.version}")
        if function.lack:
            raise RefusedError(f"{spec.function} can't run here: {function.lack}")
        container = function.entry.container
        if function.image and container.sha256 and self.desk.digest_of(function.image) != container.sha256:
            raise RefusedError(f"the image of {spec.function} is not the one that its entry names")
        return function, function.check(spec, self.agent.settings.limits.input_bytes)

    def _note_foreign(self, standing: Standing) -> None:
        note = Note(number=standing.number, state=standing.state, writer="", time=self.agent.clock(), foreign=True)
        self.desk.write_note(standing.job, note)

    def _resolve(self, standing: Standing, note: Note) -> Standing:
        """Find out what became of a hand-in of which no number was written down."""
        attempt = note.attempt or ""
        begun = self.desk.exit_of(attempt) is not None or self.desk.claim_of(attempt) == "started"
        sighting = self.agent.seen.get(attempt) if begun and self.agent.seen else None
        if not begun:
            sighting = self.agent.sighting(attempt)
            waits = sighting is not None and sighting.phase is not Phase.ENDED
            begun = waits and self.desk.claim_of(attempt) is None
        if begun:
            number = sighting.scheduler_id if sighting else None
            now = self.agent.add(standing, Event.SUBMITTED, "In the queue.", attempt=attempt, scheduler_id=number)
            fresh = self.desk.note(standing.job)
            return self._follow(now, fresh) if fresh else now
        if not self._missed_for(standing.job, note, self.agent.settings.times.grace_seconds):
            return standing
        if not self.desk.revoke(attempt):
            return standing
        return self.agent.add(standing, Event.REVOKED, "The batch system does not know it: it is handed in again.")

    def _follow(self, standing: Standing, note: Note) -> Standing:
        """Look whether a job has ended; the exit file decides, the batch system only when there is none."""
        agent, attempt, times = self.agent, note.attempt or "", self.agent.settings.times
        if self.desk.exit_of(attempt) is None:
            sighting = agent.sighting(attempt)
            if sighting is not None and sighting.phase is not Phase.ENDED:
                if note.unseen_since is not None:
                    agent.remember(standing.job, unseen_since=None)
                return standing
            wait = times.grace_seconds if sighting is None else times.settle_seconds
            if not self._missed_for(standing.job, note, wait) or self.desk.exit_of(attempt) is not None:
                return standing
            self.desk.revoke(attempt)
            if sighting is None:
                text = "Neither queue nor accounting knows it any more."
                return agent.add(standing, Event.VANISH, text, attempt=attempt)
        now = agent.add(standing, Event.ENDED, "The batch job has ended.", attempt=attempt)
        fresh = self.desk.note(standing.job)
        return Results(agent).upload(now, fresh) if fresh else now

    def _missed_for(self, job: str, note: Note, seconds: float) -> bool:
        """Say whether a job has been out of sight for so long; the first tick that misses it notes the time."""
        if note.unseen_since is None:
            self.agent.remember(job, unseen_since=self.agent.clock())
            return seconds == 0
        return self.agent.clock() >= note.unseen_since + timedelta(seconds=seconds)
