"""What an agent offers: the catalogue in the bucket, with the reason where a function can't run here now.

Several agents may share a bucket, and a function's entry has one place: an agent leaves an entry of another one alone
while that one can run the function and it can't itself.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from hpc_bridge.digests import digest
from hpc_bridge.errors import DeniedError, DocumentError
from hpc_bridge.processes import run
from hpc_bridge.protocol import Description, canonical, keys
from hpc_bridge.protocol.documents import MAX_DOCUMENT_BYTES, WITHDRAWN

if TYPE_CHECKING:
    from hpc_bridge.agent import Agent
    from hpc_bridge.catalog import Function
    from hpc_bridge.settings import AgentSettings

#: The programs of the runtimes.
RUNTIMES = {"charliecloud": "ch-run", "apptainer": "apptainer", "singularity": "singularity"}
_CHECK_SECONDS = 20.0
_LONGEST = 500


def hindrance(function: Function, settings: AgentSettings) -> str:
    """Say in plain words why a function can't run here now; empty: nothing speaks against it.

    Looks at the image, at the runtime where jobs run on this machine, and at what the entry's own `check` says.
    """
    if function.lack:
        return f"It can't run at the computing centre: {function.lack}."
    entry = function.entry
    program = RUNTIMES.get(entry.container.runtime)
    if program and settings.scheduler.kind == "local" and shutil.which(program) is None:
        return f"It can't run at the computing centre: {program} is not installed there."
    if not entry.check or (function.image and not any("{image}" in item for item in entry.check)):
        return ""
    places = {
        "{python}": settings.python or sys.executable,
        "{function}": str(function.folder),
        "{image}": str(function.image or ""),
    }
    answer = run([_filled(item, places) for item in entry.check], seconds=_CHECK_SECONDS)
    if answer.code == 0:
        return ""
    said = next((line.strip() for line in answer.out.splitlines() if line.strip()), "")
    return said[:_LONGEST] or f"Its check at the computing centre ended with status {answer.code}."


def publish_catalogue(agent: Agent) -> None:
    """Bring the catalogue in the bucket up to date, when something changed here or the last look was long ago."""
    functions = {keys.catalogue(*place): function for place, function in agent.catalogue.items()}
    wanted = sorted((key, function.digest, function.lack) for key, function in functions.items())
    slot = int(agent.clock().timestamp() / max(agent.settings.times.heartbeat_seconds, 1))
    about = [wanted, agent.settings.python, agent.settings.scheduler.kind]
    mark = f"{agent.settings.bucket.address} {slot} {digest(canonical(about))}"
    if agent.desk.is_published(keys.CATALOGUE_PREFIX, mark):
        return
    stored = {entry.key: _stored(agent, entry.key) for entry in agent.bucket.listing(keys.CATALOGUE_PREFIX)}
    for key, function in functions.items():
        description = function.describe(agent.name, unavailable=hindrance(function, agent.settings))
        _offer(agent, key, description, stored.get(key))
    for key in stored.keys() - functions.keys():
        found = stored[key]
        if found is not None and found.agent == agent.name:
            _withdraw(agent, key, found)
    agent.desk.mark_published(keys.CATALOGUE_PREFIX, mark)


def _offer(agent: Agent, key: str, description: Description, stored: Description | None) -> None:
    body = description.to_bytes()
    mark = f"{agent.settings.bucket.address} {digest(body)}"
    if stored == description:
        return
    if stored is not None and stored.agent != agent.name:
        is_known = agent.desk.is_published(key, mark)
        # Of two that can run it, the one that changed its entry last describes it.
        if description.unavailable or (is_known and not stored.unavailable):
            return
    agent.bucket.put(key, body)
    agent.desk.mark_published(key, mark)


def _withdraw(agent: Agent, key: str, stored: Description) -> None:
    """Delete an entry; a store whose policy forbids that gets it with the reason that it is offered no more."""
    if stored.is_withdrawn:
        return
    try:
        agent.bucket.delete([key])
    except DeniedError:
        agent.bucket.put(key, stored.model_copy(update={"unavailable": WITHDRAWN}).to_bytes())


def _stored(agent: Agent, key: str) -> Description | None:
    body = agent.bucket.get(key, limit=MAX_DOCUMENT_BYTES)
    if body is None:
        return None
    try:
        return Description.from_bytes(body)
    except DocumentError:
        return None


def _filled(item: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        item = item.replace(name, value)
    return item
