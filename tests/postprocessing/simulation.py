"""The simulation of tests/hpc_bridge with the real exchange in it, instead of a toy.

The request database is a `MemoryStore`; `racy` takes its compare-and-set away, as LinkAhead has none. The shelf accepts
by one step that only the first can make, as a rename does.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from heartbrain_ingest.postprocessing.exchange import Accepted, Exchange, Limits, Prepared
from heartbrain_ingest.postprocessing.requests import Request, Status
from heartbrain_ingest.postprocessing.store import MemoryStore
from heartbrain_ingest.postprocessing.transports.base import Outcome
from heartbrain_ingest.postprocessing.transports.bucket import BucketTransport, Terms
from hpc_bridge.errors import BucketError
from hpc_bridge.protocol import State
from tests.hpc_bridge import simulation
from tests.hpc_bridge.simulation import AGENT_KEY, RDM_KEY, BrokenPromiseError, World

LOST_AFTER = timedelta(days=2)


class RealWorld(World):
    """A world whose exchanges are the real ones; a request may be cancelled and retried at any moment."""

    def __init__(self, seed: int, folder: Path, *, racy: bool = False, **sizes: int) -> None:
        super().__init__(seed, folder, **sizes)
        count = len(self.requests)
        # The toy exchange of the world has nothing to do.
        self.requests = [simulation.Request("unused", status="lost")]
        self.store = MemoryStore(
            [Request(id=index, name=f"R{index}", function="simulated", requested=self.now) for index in range(count)],
            racy=racy,
        )
        #: Job of each result that was accepted, in order.
        self.accepted: list[str] = []
        self.fetches = 0
        #: Requests that a person saw settled and retried, and how often.
        self.retries: dict[int, int] = {}

    # The exchange

    def _exchange(self, name: str) -> None:
        store = self.store.view(lambda moment, operation: self.at_call(moment, f"database {operation}"))
        public = AGENT_KEY.public
        transport = BucketTransport(
            self.client(),
            key=RDM_KEY,
            agents={public.name: public},
            terms=Terms(site="simulation", lifetime=timedelta(days=5)),
            writer=name,
            clock=self.clock(name),
        )
        exchange = Exchange(
            store=store,
            transport=transport,
            desk=SimulatedDesk(self),
            shelf=SimulatedShelf(self),
            clock=self.clock(name),
            limits=Limits(lost_after=LOST_AFTER),
        )
        try:
            report = exchange.run()
        except BucketError:
            return
        for text in report.troubles:
            if "must not happen" in text:
                raise BrokenPromiseError(f"{name}: {text}")

    # A person

    def step(self) -> None:
        """Let one thing happen; now and then a person writes a wish, as LinkAhead's own interface would."""
        if self.random.random() < 0.015:
            self.wish(self.random.choice(self.store.all()))
        super().step()

    def wish(self, request: Request) -> None:
        """Cancel what is under way, retry what is settled; the person's write is as racy as the store."""
        if request.is_settled:
            if request.status is not Status.FINISHED or self.random.random() < 0.3:
                self.retries[request.id] = self.retries.get(request.id, 0) + 1
                self.store.update(replace(request, status=Status.RETRY), request)
        elif request.status is not Status.RETRY:
            self.store.update(replace(request, status=Status.CANCEL), request)

    # The promises

    def _all_over(self) -> bool:
        settled = all(request.is_settled for request in self.store.all())
        return settled and not any(key.startswith("open/") for key in self.bucket.objects)

    def check(self) -> None:
        """Hold the world against the promises."""
        super().check()
        jobs = self.accepted
        if len(set(jobs)) != len(jobs):
            raise BrokenPromiseError("a job's result was accepted twice")
        for request in self.store.all():
            if not request.is_settled:
                raise BrokenPromiseError(f"{request.name} is {request.status} for ever")
            if request.status is Status.REFUSED:
                raise BrokenPromiseError(f"{request.name} was refused")
            if request.status is Status.FINISHED:
                if request.job not in jobs or not request.results:
                    raise BrokenPromiseError(f"{request.name} is finished without a result")
                if not self.started.get(request.job):
                    raise BrokenPromiseError(f"{request.name} finished without having run")
            elif request.job in jobs:
                raise BrokenPromiseError(f"{request.name} has a result and is {request.status}")
            if request.attempt > 1 + self.retries.get(request.id, 0):
                raise BrokenPromiseError(f"{request.name} was tried {request.attempt} times unasked")


class SimulatedDesk:
    """Every request fits."""

    def __init__(self, world: RealWorld) -> None:
        self._world = world

    def prepare(self, request: Request) -> Prepared:  # noqa: ARG002 - the interface
        self._world.at_call("before", "database prepare")
        return Prepared(
            version="1", parameters_text="{}", parameters={}, inputs={"input": self._world.inputs}, project="P"
        )


class SimulatedShelf:
    """Accepts a result by one step that only the first can make."""

    def __init__(self, world: RealWorld) -> None:
        self._world = world

    def accept(self, request: Request, outcome: Outcome, bring: Callable[[Path], None]) -> Accepted:
        world = self._world
        if outcome.state is not State.FINISHED:
            return Accepted()
        if outcome.job not in world.accepted:
            folder = world.folder / f"fetched-{world.random.getrandbits(64):x}"
            bring(folder)
            if (folder / "output" / "result").read_bytes() != b"result of " + outcome.job.encode():
                raise BrokenPromiseError(f"{request.name} got another result")
            world.at_call("before", "database accept")
            if outcome.job not in world.accepted:  # the rename: of several one makes it
                world.accepted.append(outcome.job)
            world.at_call("after", "database accept")
        world.at_call("before", "database crawl")
        return Accepted(results=(world.accepted.index(outcome.job) + 1000,))

    def note_closed(self, job: str) -> None:  # noqa: ARG002 - the interface
        self._world.at_call("before", "disk closed")


def simulate(seed: int, *, racy: bool = False, steps: int = 220, **sizes: int) -> RealWorld:
    """Run one seed; a broken promise is raised with the seed in its text."""
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - memory, for speed
    folder = Path(tempfile.mkdtemp(prefix="bridge-", dir=place))
    world = RealWorld(seed, folder, racy=racy, **sizes)
    try:
        world.run(steps)
    except BrokenPromiseError as violation:
        story = "\n  ".join(world.trace[-25:])
        raise BrokenPromiseError(f"seed {seed}: {violation}\n  {story}") from violation
    finally:
        simulation._stop(world)
        shutil.rmtree(folder, ignore_errors=True)
    return world
