"""The bucket between this side and the agent at the computing centre; docs/protocol.md has the rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from heartbrain_ingest.postprocessing.transports.base import AgentReport, JobDetail, JobStatus, Order, Outcome
from hpc_bridge.bucket import Bucket
from hpc_bridge.digests import digest
from hpc_bridge.errors import BridgeError, DocumentError, LostRaceError, RefusedError
from hpc_bridge.protocol import (
    FINAL,
    Conclusion,
    Description,
    Event,
    EventRecord,
    Heartbeat,
    History,
    JobSpec,
    Journal,
    OutputRules,
    Side,
    SigningKey,
    Standing,
    State,
    VerifyKey,
    close,
    conclude,
    describe_file,
    expire,
    fetch,
    keys,
    nonce,
    publish,
    read_spec,
    sweep,
    wish_cancel,
)
from hpc_bridge.protocol.documents import MAX_DOCUMENT_BYTES
from hpc_bridge.protocol.exchange import MAX_MANIFEST_BYTES, read_result
from hpc_bridge.protocol.journal import ask

_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What every job of this side says about itself."""

    #: Name of this RDM system; keeps the jobs of several apart.
    site: str
    #: No agent takes a job up that is older.
    lifetime: timedelta
    outputs: OutputRules = field(default_factory=OutputRules)
    #: The one agent that may take the jobs; None: any that knows the key.
    agent: str | None = None
    #: URL that the agent calls when a job is over.
    callback: str | None = None


class BucketTransport:
    """Jobs through a bucket.

    Parameters
    ----------
    bucket
        Probed: its conditions are known.
    key
        Signs the specifications.
    agents
        Public keys of the agents whose manifests are believed, by name.
    terms
        What every job says about itself.
    writer
        Name of this exchange in the events.
    clock
        Gives the time, with a zone.
    """

    def __init__(
        self,
        bucket: Bucket,
        *,
        key: SigningKey,
        agents: Mapping[str, VerifyKey],
        terms: Terms,
        writer: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._journal = Journal(bucket, writer=writer, side=Side.RDM, clock=clock)
        self._bucket = bucket
        self._key = key
        self._agents = dict(agents)
        self._terms = terms
        self._clock = clock

    def job_name(self, request: str, attempt: int) -> str:
        """Give the one name of an attempt at a request."""
        return keys.job_name(self._terms.site, request, attempt)

    def publish(self, order: Order) -> JobStatus:
        """Upload the inputs, then the signed specification, then the first event."""
        spec = self._specification(order)
        try:
            return _shown(publish(self._journal, spec, self._key, dict(order.inputs)))
        except RefusedError:
            # What an interrupted exchange sent for this request, maybe with another version, is what was asked for.
            if self._stored(order.job) is None:
                raise
        try:
            return _shown(self._journal.add(ask(order.job), Event.ASK))
        except LostRaceError:
            return _shown(self._journal.standing(order.job) or Standing(order.job, 0, State.CLOSED))

    def _specification(self, order: Order) -> JobSpec:
        now = self._clock()
        inputs = tuple(describe_file(path, name) for name, path in sorted(order.inputs.items()))
        try:
            return JobSpec(
                job=order.job,
                function=order.function,
                version=order.version,
                parameters=dict(order.parameters),
                inputs=inputs,
                outputs=self._terms.outputs,
                callback=self._terms.callback,
                agent=self._terms.agent,
                created=now,
                expires=now + self._terms.lifetime,
                nonce=nonce(),
            )
        except ValidationError as problem:
            places = sorted({".".join(str(part) for part in error["loc"]) for error in problem.errors()})
            raise RefusedError(f"no specification can be made: check {', '.join(places[:5])}") from None

    def status(self) -> dict[str, JobStatus]:
        """Give all open jobs: one listing."""
        return {job: _shown(standing) for job, standing in self._journal.standings().items()}

    def progress(self) -> dict[str, float]:
        """Give how far running jobs are, as the heartbeats tell."""
        return {
            job: progress for agent in self.agents() for job, progress in agent.jobs.items() if progress is not None
        }

    def agents(self) -> list[AgentReport]:
        """Read the heartbeats: one listing, and one object for each agent."""
        found: list[AgentReport] = []
        for entry in self._bucket.listing(keys.AGENTS_PREFIX):
            body = self._bucket.get(entry.key, limit=MAX_DOCUMENT_BYTES)
            if body is None:
                continue
            try:
                beat = Heartbeat.from_bytes(body)
            except DocumentError:
                continue  # an agent of another version; its jobs' states are told by their events
            found.append(
                AgentReport(
                    name=beat.agent,
                    at=beat.time,
                    is_accepting=beat.accepting,
                    message=beat.message,
                    jobs={job: one.progress for job, one in beat.jobs.items()},
                    batch_states={job: one.scheduler_state for job, one in beat.jobs.items()},
                )
            )
        return found

    def detail(self, status: JobStatus) -> JobDetail:
        """Read the events of one job."""
        return _detail(self._journal.history(status.job, status.number))

    def outcome(self, status: JobStatus) -> Outcome:
        """Read how a job ended; events, manifest and keys are verified."""
        conclusion = conclude(self._journal, _standing(status), self._agents)
        return self._outcome(conclusion)

    def recall(self, job: str) -> Outcome | None:
        """Read the history of a closed job; its manifest is verified again."""
        body = self._bucket.get(keys.history(job), limit=MAX_MANIFEST_BYTES)
        if body is None:
            return None
        events = tuple(event for event in History.from_bytes(body).events if event.event is not Event.CLOSE)
        if not events or events[-1].state not in FINAL or any(event.job != job for event in events):
            raise DocumentError(f"the history of {job} has no end")
        return self._outcome(self._conclusion(job, events))

    def _conclusion(self, job: str, events: tuple[EventRecord, ...]) -> Conclusion:
        state = events[-1].state
        if state is not State.FINISHED:
            return Conclusion(job, state, events, None)
        spec, body = self._document(keys.spec(job)), self._document(keys.manifest(job))
        if not body:
            # Swept: what was accepted is in the archive, what was not can't be any more.
            return Conclusion(job, state, events, None)
        if digest(body) != events[-1].manifest:
            raise DocumentError(f"{job}: the manifest is not the one that the last event names")
        return Conclusion(job, state, events, read_result(spec, body, self._agents, job=job))

    def _document(self, key: str) -> bytes:
        return self._bucket.get(key, limit=MAX_MANIFEST_BYTES) or b""

    def _outcome(self, conclusion: Conclusion) -> Outcome:
        manifest = conclusion.manifest
        detail = _detail(conclusion.events)
        ended = conclusion.events[-1].time
        cost = manifest.cost if manifest else conclusion.events[-1].cost
        wall = cost.get("wall_seconds")
        cpu = cost.get("cpu_seconds")
        finish = next((event.time for event in conclusion.events if event.event is Event.ENDED), ended)
        return Outcome(
            job=conclusion.job,
            state=conclusion.state,
            message=conclusion.message,
            scheduler_id=detail.scheduler_id,
            submitted=detail.submitted,
            began=finish - timedelta(seconds=wall) if wall is not None else None,
            ended=finish,
            cost=None if cpu is None else cpu / _SECONDS_PER_HOUR,
            specification=self._document(keys.spec(conclusion.job)),
            manifest=self._document(keys.manifest(conclusion.job)) if manifest else b"",
            history=History(job=conclusion.job, events=conclusion.events).to_bytes(),
            function_digest=manifest.function_digest if manifest else "",
            container_digest=(manifest.container_digest or "") if manifest else "",
            agent=manifest.agent if manifest else "",
            versions=dict(manifest.versions) if manifest else {},
            outputs=tuple(one.name for one in manifest.outputs) if manifest else (),
            logs=tuple(one.name for one in conclusion.logs),
        )

    def fetch(self, outcome: Outcome, folder: Path) -> None:
        """Bring the files; each is verified against the signed manifest, a failed job's logs against its events."""
        events = History.from_bytes(outcome.history).events
        fetch(self._journal, self._conclusion(outcome.job, events), folder)

    def cancel(self, job: str) -> None:
        """Leave the wish; a job that nobody took up is cancelled at once."""
        wish_cancel(self._journal, job)

    def expire(self, status: JobStatus, message: str) -> None:
        """Declare a job lost."""
        expire(self._journal, _standing(status), message)

    def close(self, status: JobStatus) -> None:
        """Keep the history and delete the open keys."""
        close(self._journal, _standing(status))

    def sweep(self, job: str) -> int:
        """Delete inputs, outputs and logs; a receipt stays."""
        return sweep(self._journal, job).bytes

    def born(self, job: str) -> datetime | None:
        """Read when our own specification was made; None when it is not ours."""
        spec = self._stored(job)
        return spec.created if spec else None

    def _stored(self, job: str) -> JobSpec | None:
        body = self._bucket.get(keys.spec(job), limit=MAX_DOCUMENT_BYTES)
        if body is None:
            return None
        try:
            return read_spec(body, {self._key.public.name: self._key.public}, job=job)
        except BridgeError:
            return None

    def catalogue(self) -> list[Description]:
        """Read all entries; one that can't be read, or does not say what its key says, is left out."""
        found = []
        for entry in self._bucket.listing(keys.CATALOGUE_PREFIX):
            body = self._bucket.get(entry.key, limit=MAX_DOCUMENT_BYTES)
            if body is None:
                continue
            try:
                description = Description.from_bytes(body)
            except DocumentError:
                continue
            if keys.catalogue(description.name, description.version) == entry.key and not description.is_withdrawn:
                found.append(description)
        return found


def _shown(standing: Standing) -> JobStatus:
    return JobStatus(
        job=standing.job, state=standing.state, number=standing.number, cancel_wished=standing.cancel_wished
    )


def _standing(status: JobStatus) -> Standing:
    return Standing(status.job, status.number, status.state, status.cancel_wished)


def _detail(events: tuple[EventRecord, ...]) -> JobDetail:
    submitted = next((event for event in reversed(events) if event.event is Event.SUBMITTED), None)
    return JobDetail(
        message=events[-1].message,
        scheduler_id=next((event.scheduler_id for event in reversed(events) if event.scheduler_id), "") or "",
        asked=events[0].time,
        submitted=submitted.time if submitted else None,
    )
