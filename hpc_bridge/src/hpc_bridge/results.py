"""The end of one job: its results or logs into the bucket, nothing left running, the RDM side called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hpc_bridge
from hpc_bridge import callback
from hpc_bridge.desk import ExitRecord, Note
from hpc_bridge.digests import digest
from hpc_bridge.errors import DocumentError, RefusedError, VerificationError
from hpc_bridge.protocol import (
    FINAL,
    Event,
    FileEntry,
    Manifest,
    Standing,
    keys,
    read_manifest,
    sign_manifest,
)
from hpc_bridge.protocol.calls import make_body
from hpc_bridge.protocol.documents import OutputEntry
from hpc_bridge.protocol.exchange import MAX_MANIFEST_BYTES
from hpc_bridge.staging import check_outputs, send_logs, send_outputs

if TYPE_CHECKING:
    from hpc_bridge.agent import Agent


class Results:
    """What an agent does with one job that has ended or must end."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.desk = agent.desk

    def upload(self, standing: Standing, note: Note) -> Standing:
        """Store logs and outputs, write the manifest last, and say how it went."""
        agent, job, attempt = self.agent, standing.job, note.attempt or ""
        if not agent.moves_data:
            agent.transfers_waiting = True
            return standing
        if not self.desk.knows(attempt):
            return agent.add(standing, Event.FAIL, "Its folder in scratch is gone.")
        record = self.desk.exit_of(attempt)
        logs = send_logs(agent.bucket, self.desk, job, attempt)
        cost = record.cost if record else {}
        try:
            problem = self._judge(attempt, record)
            if record is None or problem:
                now = agent.add(standing, Event.FAIL, problem, attempt=attempt, logs=logs, cost=cost)
            else:
                send_outputs(agent.bucket, self.desk, job, attempt, record)
                mark = self._write_manifest(job, attempt, record, logs)
                text = "The results are in the bucket."
                now = agent.add(standing, Event.UPLOADED, text, attempt=attempt, manifest=mark, logs=logs, cost=cost)
        except (VerificationError, RefusedError, DocumentError) as trouble:
            text = f"The result can't be used: {trouble}"
            now = agent.add(standing, Event.FAIL, text, attempt=attempt, logs=logs, cost=cost)
        if (fresh := self.desk.note(job)) is not None:
            self.finish(now, fresh)
        return now

    def _judge(self, attempt: str, record: ExitRecord | None) -> str:
        """Say in one sentence why a run has no result; empty when it has one."""
        if record is None:
            sighting = (self.agent.seen or {}).get(attempt)
            detail = f" ({sighting.detail})" if sighting and sighting.detail else ""
            return f"The batch job ended without writing its exit file{detail}."
        if record.problem:
            return f"The job failed: {record.problem}"[:2000]
        if record.exit_code != 0:
            how = f"exit status {record.exit_code}" if record.exit_code > 0 else f"signal {-record.exit_code}"
            return f"The program ended with {how}; its last words are in stderr.txt."
        wanted = self.desk.read_plan(attempt)["outputs"]
        check_outputs(record, tuple(OutputEntry.from_dict(one) for one in wanted))
        return ""

    def _write_manifest(self, job: str, attempt: str, record: ExitRecord, logs: tuple[FileEntry, ...]) -> str:
        """Write the manifest, or keep the one that an earlier try of this agent wrote for this attempt."""
        agent, plan = self.agent, self.desk.read_plan(attempt)
        manifest = Manifest(
            job=job,
            spec=plan["spec"],
            agent=agent.name,
            attempt=attempt,
            function=plan["function"]["name"],
            version=plan["function"]["version"],
            function_digest=plan["function"]["digest"],
            container_digest=plan["function"].get("container"),
            outputs=record.outputs,
            logs=logs,
            versions={**record.versions, "hpc-bridge": hpc_bridge.__version__},
            cost=record.cost,
        )
        signed = sign_manifest(manifest, agent.key)
        if agent.bucket.create(keys.manifest(job), signed):
            return digest(signed)
        there = agent.bucket.get(keys.manifest(job), limit=MAX_MANIFEST_BYTES) or b""
        public = agent.key.public
        if read_manifest(there, {public.name: public}, job=job, spec=manifest.spec).attempt != attempt:
            raise RefusedError("another attempt's manifest is there already")
        return digest(there)

    def cancel(self, standing: Standing, note: Note) -> Standing:
        """End a job that the RDM side does not want any more."""
        self.agent.end_attempts(standing.job)
        text = "Cancelled at the request of the RDM side."
        return self.agent.add(standing, Event.CANCEL, text, attempt=note.attempt)

    def finish(self, standing: Standing, note: Note) -> None:
        """After the last event: end what may still run, and call the RDM side."""
        if standing.state not in FINAL:
            return
        if note.over_since is None:
            self.agent.end_attempts(standing.job)
            note = note.model_copy(update={"over_since": self.agent.clock()})
            self.desk.write_note(standing.job, note)
        if note.callback:
            self._call(standing, note)

    def _call(self, standing: Standing, note: Note) -> None:
        agent, settings = self.agent, self.agent.settings.callbacks
        secret = agent.home / settings.secret_file
        if note.callback_tries >= settings.tries or not secret.exists() or not note.callback:
            return
        body = make_body(standing.job, standing.state, standing.number, agent.clock())
        try:
            callback.call(
                note.callback, body, secret.read_bytes().strip(), hosts=settings.hosts, seconds=settings.timeout_seconds
            )
        except callback.CallbackError as problem:
            agent.report.problem(f"{standing.job}: {problem}")
            agent.remember(standing.job, callback_tries=note.callback_tries + 1)
        else:
            agent.remember(standing.job, callback=None)
