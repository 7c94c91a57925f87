"""How an agent is, for the RDM side: written when something changed, else rarely."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Collection
from typing import TYPE_CHECKING

import hpc_bridge
from hpc_bridge.digests import digest
from hpc_bridge.errors import BucketError
from hpc_bridge.protocol import Heartbeat, canonical, keys
from hpc_bridge.protocol.documents import JobProgress

if TYPE_CHECKING:
    from hpc_bridge.agent import Agent


def beat(agent: Agent, running: Collection[str], *, accepting: bool) -> None:
    """Store the heartbeat if it says something new or the last was long ago; a bucket that fails is no trouble."""
    jobs = {job: progress for job in sorted(running) if (progress := _progress(agent, job)) is not None}
    heartbeat = Heartbeat(
        agent=agent.name,
        time=agent.clock(),
        versions={"hpc-bridge": hpc_bridge.__version__, "python": platform.python_version()},
        conditions=agent.bucket.conditions.value,
        accepting=accepting,
        message=agent.report.problems[0][:4000] if agent.report.problems else "",
        jobs=jobs,
    )
    mark = digest(canonical({**heartbeat.to_dict(), "time": "", "bucket": agent.settings.bucket.address}))
    if agent.desk.heartbeat_due(mark, agent.clock(), agent.settings.times.heartbeat_seconds):
        with contextlib.suppress(BucketError):
            agent.bucket.put(keys.agent(agent.name), heartbeat.to_bytes())
            agent.desk.mark_heartbeat(mark, agent.clock())


def _progress(agent: Agent, job: str) -> JobProgress | None:
    note = agent.desk.note(job)
    if note is None or note.attempt is None:
        return None
    sighting = (agent.seen or {}).get(note.attempt)
    state = (sighting.detail or sighting.phase.value) if sighting else "unknown"
    return JobProgress(scheduler_state=state[:64], progress=agent.desk.progress_of(note.attempt))
