"""A tick as the commands run it: data moved here, or by a small batch job where a login node must not."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from hpc_bridge.agent import Agent, Report
from hpc_bridge.bucket.files import write_whole
from hpc_bridge.errors import SchedulerError
from hpc_bridge.offers import publish_catalogue

_COURIER = "hpc-bridge-courier"


def tick(agent: Agent, home: Path) -> Report:
    """Offer the catalogue, tick, and send a courier where data waits that this machine must not move."""
    agent.moves_data = agent.settings.transfers == "agent"
    publish_catalogue(agent)
    report = agent.tick()
    if agent.transfers_waiting:
        try:
            send_courier(agent, home)
        except SchedulerError as problem:
            report.problem(str(problem))
    return report


def move_data(agent: Agent) -> Report:
    """Do inside a batch job what moves data; what is handed in from there is left to the next tick."""
    agent.moves_data, agent.hands_in = True, False
    return agent.tick()


def send_courier(agent: Agent, home: Path) -> None:
    """Hand in the job that moves data, unless one is there already.

    Raises
    ------
    SchedulerError
        When the batch system does not take it.
    """
    words = [sys.executable, "-m", "hpc_bridge.cli", "courier", "--home", str(home)]
    script = home / "state" / "courier.sh"
    write_whole(script, f"#!/bin/sh\nexec {' '.join(shlex.quote(word) for word in words)}\n".encode())
    agent.scheduler.send_courier(f"{_COURIER}-{agent.name}", script, home / "courier.log")
