"""What the computing centres offer and how far their queues are; asked once for all visitors, and kept for a moment."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial

from heartbrain_ingest.errors import HeartbrainError
from heartbrain_ingest.portal.patience import Patience
from heartbrain_ingest.portal.visitors import Visitor
from heartbrain_ingest.postprocessing import bridge
from heartbrain_ingest.postprocessing.inputs import InputReader
from heartbrain_ingest.postprocessing.routes import is_in_use, routes_of
from heartbrain_ingest.postprocessing.transports.base import AgentReport, JobStatus
from heartbrain_ingest.postprocessing.transports.bucket import BucketTransport
from heartbrain_ingest.postprocessing.users import route_for
from heartbrain_ingest.settings import Route, Settings
from hpc_bridge.errors import BridgeError
from hpc_bridge.protocol import Description, State

_LOG = logging.getLogger(__name__)
_CATALOGUE_SECONDS, _QUEUE_SECONDS = 20.0, 3.0
#: An agent that is well says so every five minutes.
SILENT_AFTER = timedelta(minutes=12)


@dataclass(frozen=True, kw_only=True)
class Stand:
    """Where a job stands that is not over."""

    #: None: nobody said.
    is_waiting: bool | None = None
    #: 1 is the next that begins; None where the order is not known.
    place: int | None = None


@dataclass(frozen=True, kw_only=True)
class Queue:
    """How far the jobs of all computing centres are."""

    stands: Mapping[str, Stand] = field(default_factory=dict)
    #: Since when a centre with open jobs was not heard of; None where all is well.
    silent_since: datetime | None = None

    def stand(self, job: str) -> Stand:
        """Give where a job stands."""
        return self.stands.get(job, Stand())


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What was heard of the agents that one route leads to."""

    route: str
    agents: tuple[AgentReport, ...] = ()
    #: Why nothing can be said.
    trouble: str = ""


class Centres:
    """The computing centres of a site, seen from the portal.

    Parameters
    ----------
    settings
        The site.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._routes = routes_of(settings)
        self._kept = Patience()
        self._transports: dict[str, BucketTransport] = {}

    @cached_property
    def reader(self) -> InputReader:
        """Finds the files of inputs; it reads the data model once."""
        return bridge.input_reader(self._settings)

    def catalogue(self, visitor: Visitor) -> list[Description]:
        """Give what a visitor can have run; nothing where no computing centre serves them.

        Raises
        ------
        BridgeSettingsError
            When the settings do not fit.
        BridgeError
            When the bucket does not work.
        SlowError
            When it does not answer in time.
        """
        route = route_for(self._routes, visitor.name, lambda: visitor.roles)
        if route is None or not is_in_use(self._settings):
            return []
        return self._kept.get(
            ("catalogue", route.name), lambda: self._transport(route).catalogue(), keep=_CATALOGUE_SECONDS
        )

    def queue(self, ranks: Mapping[str, int]) -> Queue:
        """Give how far the open jobs are; nothing of a centre that can't be asked.

        Parameters
        ----------
        ranks
            The order in which jobs came into the batch systems, as far as is known.
        """
        stands: dict[str, Stand] = {}
        silent: list[datetime] = []
        if not is_in_use(self._settings):
            return Queue()
        for route in self._routes:
            try:
                jobs, agents = self._kept.get(("queue", route.name), partial(self._ask, route), keep=_QUEUE_SECONDS)
            except (BridgeError, HeartbrainError, OSError) as problem:
                _LOG.warning("%s: %s", route.name, problem)
                continue
            stands |= line_up(jobs, agents, ranks)
            heard = max((agent.at for agent in agents), default=None)
            if jobs and heard is not None and heard + SILENT_AFTER < datetime.now(UTC):
                silent.append(heard)
        return Queue(stands=stands, silent_since=min(silent, default=None))

    def heard(self) -> list[Heard]:
        """Give what was last heard of all agents; a bucket that does not answer holds nobody up."""
        found: list[Heard] = []
        for route in self._routes if is_in_use(self._settings) else ():
            try:
                _, agents = self._kept.get(("queue", route.name), partial(self._ask, route), keep=_QUEUE_SECONDS)
                found.append(Heard(route=route.name, agents=tuple(agents)))
            except (BridgeError, HeartbrainError, OSError) as problem:
                found.append(Heard(route=route.name, trouble=(str(problem).splitlines() or [""])[0]))
        return found

    def _ask(self, route: Route) -> tuple[dict[str, JobStatus], list[AgentReport]]:
        transport = self._transport(route)
        return transport.status(), transport.agents()

    def _transport(self, route: Route) -> BucketTransport:
        if route.name not in self._transports:
            self._transports[route.name] = bridge.open_transport(self._settings, route)
        return self._transports[route.name]


#: The order in which waiting jobs go on: what is nearest to running comes first.
_STAGES = (State.RUNNING, State.SUBMITTING, State.STAGING, State.NEW)


def line_up(jobs: Mapping[str, JobStatus], agents: Sequence[AgentReport], ranks: Mapping[str, int]) -> dict[str, Stand]:
    """Say of each open job whether it waits, and at which place.

    Batch systems begin in the order in which they were given jobs, as long as nobody is preferred; agents take jobs up
    in the order of their names. A place is told only where everything before it is known.

    Parameters
    ----------
    jobs
        The open jobs of one bucket.
    agents
        What its agents last said.
    ranks
        The order in which jobs came into the batch system, as far as is known.
    """
    said = {job: state for agent in agents for job, state in agent.batch_states.items()}
    stands: dict[str, Stand] = {}
    line: list[tuple[int, int, str]] = []
    is_order_known = True
    for job, status in jobs.items():
        if status.state not in _STAGES or status.cancel_wished:
            continue
        if status.state is State.RUNNING:
            is_waiting = _is_waiting(said.get(job, ""))
            stands[job] = Stand(is_waiting=is_waiting)
            if not is_waiting:
                continue
            is_order_known &= job in ranks
        line.append((_STAGES.index(status.state), ranks.get(job, 0) if status.state is State.RUNNING else 0, job))
    for place, (stage, _, job) in enumerate(sorted(line), start=1):
        is_known = stage > 0 or is_order_known
        stands[job] = Stand(is_waiting=True, place=place if is_known else None)
    return stands


#: What agents pass on from their batch systems for a job that has not begun.
_WAITING = frozenset({"waiting", "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED"})


def _is_waiting(state: str) -> bool | None:
    """Read what an agent says of a job; None where it says nothing."""
    return None if state in {"", "unknown"} else state.partition(" ")[0].rstrip("+") in _WAITING
