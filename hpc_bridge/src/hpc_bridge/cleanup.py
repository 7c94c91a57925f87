"""Scratch of jobs that the RDM side closed: deleted when its time is over, with a receipt."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hpc_bridge.desk import Note
from hpc_bridge.protocol import Standing, State, keys
from hpc_bridge.protocol.documents import CLOCK_TOLERANCE
from hpc_bridge.protocol.exchange import MAX_MANIFEST_BYTES

if TYPE_CHECKING:
    from hpc_bridge.agent import Agent


def clean_up(agent: Agent, standings: dict[str, Standing]) -> None:
    """Go through the jobs that this agent knows and that are not open any more."""
    now, retention = agent.clock(), agent.settings.retention
    for job in agent.desk.jobs():
        standing = standings.get(job)
        if standing is not None and standing.state is not State.CLOSED:
            continue
        with agent.guarded(job):
            note = agent.desk.note(job)
            if note is None or note.over_since is None:
                _settle_gone(agent, job, note)
                continue
            hours = retention.finished_hours if note.state is State.FINISHED else retention.failed_hours
            if now >= note.over_since + timedelta(hours=hours):
                agent.desk.remove_scratch(job, now)
                agent.desk.forget(job)
    # Once a day: a tick's work must not grow with the number of jobs that ever ran.
    if not agent.desk.is_published("tidied", f"{now:%Y-%m-%d}"):
        agent.desk.forget_spent(now, 2 * CLOCK_TOLERANCE)
        agent.desk.forget_kept(now - timedelta(days=retention.kept_days))
        agent.desk.forget_receipts(now - timedelta(days=retention.receipt_days))
        agent.desk.mark_published("tidied", f"{now:%Y-%m-%d}")


def _settle_gone(agent: Agent, job: str, note: Note | None) -> None:
    """Settle a job that others brought to an end: over when its history says so, else left alone and reported.

    The listing may be older than the job, and one that shows nothing, for a wrong prefix, say, must not end what runs.
    """
    if agent.journal.standing(job) is not None:
        return
    if not agent.desk.attempts(job):
        agent.desk.remove_scratch(job, agent.clock())
        agent.desk.forget(job)
        return
    if agent.bucket.get(keys.history(job), limit=MAX_MANIFEST_BYTES) is None:
        agent.report.problem(f"{job}: its events are gone without a history; nothing is done to it")
        return
    agent.end_attempts(job)
    kept = note or Note(number=0, state=State.LOST, writer=agent.name, time=agent.clock())
    agent.desk.write_note(job, kept.model_copy(update={"over_since": agent.clock()}))
