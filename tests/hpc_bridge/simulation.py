"""A deterministic simulation of several exchanges, several agents, a batch system and a bucket, from one seed.

Every call to the bucket, the batch system, the request database and an agent's own disk can fail before or after it
takes effect, be delayed for up to hours, or see its caller die. Ticks of one agent overlap, clocks differ. After a time
of chaos comes calm, and then the promises of the protocol are checked:

* a request ends: finished, failed, cancelled or lost, and nothing is left below `open/`;
* finished means that its own verified result was accepted, and accepted once;
* of all attempts at one job at most one ever starts, and no batch job's name is handed in twice;
* nothing of a job runs on when the job is over; its scratch is cleaned.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hpc_bridge import wrapper
from hpc_bridge.agent import Agent
from hpc_bridge.bucket import BucketSettings, MemoryBucket
from hpc_bridge.catalog import Entry, Function
from hpc_bridge.desk import Attempt, Desk, Note
from hpc_bridge.digests import digest
from hpc_bridge.errors import (
    BridgeError,
    BucketError,
    LostRaceError,
    SchedulerBusyError,
    SchedulerUnavailableError,
    UnclearError,
)
from hpc_bridge.protocol import (
    FINAL,
    OPEN,
    FileEntry,
    JobSpec,
    Journal,
    OutputRules,
    Side,
    SigningKey,
    Standing,
    State,
    close,
    conclude,
    expire,
    fetch,
    keys,
    publish,
    wish_cancel,
)
from hpc_bridge.schedulers import Phase
from hpc_bridge.schedulers.memory import Batch, MemoryScheduler
from hpc_bridge.settings import AgentSettings, Limits

RDM_KEY = SigningKey.generate()
AGENT_KEY = SigningKey.generate()
NEVER = datetime(1, 1, 1, tzinfo=UTC)
DEADLINE = timedelta(days=2)
ENTRY = Entry.model_validate(
    {
        "name": "simulated",
        "version": "1",
        "title": "t",
        "command": ["true"],
        "needs": {"files": []},
        "outputs": [{"name": "result"}],
    }
)


class Died(BaseException):
    """The process that made the call was killed."""


class BrokenPromiseError(AssertionError):
    """A promise of the protocol was broken."""


class Worker:
    """A thread that runs one thing at a time and hands control back whenever that thing pauses."""

    _idle: list[Worker] = []  # noqa: RUF012 - threads are kept for all runs

    def __init__(self) -> None:
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._work: Callable[[], None] | None = None
        self.is_done = True
        self.doomed = False
        threading.Thread(target=self._loop, daemon=True).start()

    @classmethod
    def start(cls, work: Callable[[Worker], None]) -> Worker:
        worker = cls._idle.pop() if cls._idle else cls()
        worker._work = lambda: work(worker)
        worker.is_done = worker.doomed = False
        return worker

    def _loop(self) -> None:
        while True:
            self._go.acquire()
            assert self._work is not None
            self._work()
            self._work, self.is_done = None, True
            self._back.release()

    def resume(self) -> None:
        """Let it run until it pauses or ends."""
        self._go.release()
        self._back.acquire()
        if self.is_done:
            self._idle.append(self)

    def pause(self) -> None:
        """Called by the work itself."""
        self._back.release()
        self._go.acquire()
        if self.doomed:
            raise Died


@dataclass
class Request:
    """What the RDM system keeps of a request."""

    name: str
    status: str = "new"
    asked_at: datetime = NEVER
    wants_cancel: bool = False
    accepted: list[str] = field(default_factory=list)

    @property
    def job(self) -> str:
        return keys.job_name("simulation", self.name, 1)


@dataclass
class Running:
    """A tick or an exchange under way."""

    worker: Worker
    owner: str
    wake: datetime


class SimulatedDesk(Desk):
    """An agent's own disk, on which it can die between any two steps."""

    world: World

    def _between(self, what: str) -> None:
        self.world.at_call("before", f"disk {what}")

    def write_note(self, job: str, note: Note) -> None:
        self._between("note")
        super().write_note(job, note)

    def spend(self, nonce: str, job: str, expires: datetime) -> bool:
        self._between("spend")
        return super().spend(nonce, job, expires)

    def begin_attempt(self, job: str, number: int, attempt: Attempt) -> bool:
        self._between("attempt")
        self.world.attempts[attempt.name] = (job, self)
        return super().begin_attempt(job, number, attempt)

    def revoke(self, attempt: str) -> bool:
        self._between("revoke")
        return super().revoke(attempt)

    def free_bytes(self) -> int:
        return 1 << 40


class SimulatedScheduler(MemoryScheduler):
    """The batch system as one agent reaches it."""


class World:
    """One run of the simulation."""

    def __init__(self, seed: int, folder: Path, *, requests: int = 3, agents: int = 2, exchanges: int = 2) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.now = datetime(2026, 3, 1, tzinfo=UTC)
        self.calm = False
        self.bucket = MemoryBucket()
        self.batch = Batch.empty()
        self.running: list[Running] = []
        self.current: Running | None = None
        self.requests = [Request(f"R{index}") for index in range(requests)]
        self.attempts: dict[str, tuple[str, Desk]] = {}
        self.started: dict[str, set[str]] = {}
        self.orphans: list[str] = []
        self.trace: list[str] = []
        self.weather = self.random.choice([0.0, 0.01, 0.03, 0.08])
        self.inputs = folder / "input"
        self.inputs.write_bytes(b"data")
        self.actors: dict[str, Callable[[], None]] = {}
        self.offsets = {}
        for index in range(agents):
            name = f"agent-{index}"
            self.offsets[name] = timedelta(seconds=self.random.uniform(-600, 600))
            desk = SimulatedDesk(folder / name / "state", folder / name / "scratch")
            desk.world = self
            self.actors[name] = lambda name=name, desk=desk: self._tick(name, desk)
        for index in range(exchanges):
            name = f"exchange-{index}"
            self.offsets[name] = timedelta(seconds=self.random.uniform(-600, 600))
            self.actors[name] = lambda name=name: self._exchange(name)

    def clock(self, name: str) -> Callable[[], datetime]:
        return lambda: self.now + self.offsets[name]

    # What can happen at every call

    def at_call(self, moment: str, what: str) -> None:
        if self.current is None:
            return
        if not self.calm:
            luck = self.random.random()
            if luck < self.weather:
                self._mishap(moment, what)
            elif luck < self.weather + 0.12:
                self._pause()

    def _pause(self) -> None:
        mine = self.current
        assert mine is not None
        longest = self.random.choices([0, 60, 3600 * 4], [80, 15, 5])[0]
        mine.wake = self.now + timedelta(seconds=self.random.uniform(0, longest))
        mine.worker.pause()
        self.current = mine

    def _mishap(self, moment: str, what: str) -> None:
        assert self.current is not None
        self.trace.append(f"{self.current.owner} mishap {moment} {what}")
        if self.random.random() < 0.4 or what.startswith("disk"):
            raise Died
        if what.startswith("batch"):
            if what == "batch submit" and moment == "before" and self.random.random() < 0.3:
                raise SchedulerBusyError("limit")
            raise SchedulerUnavailableError("no answer")
        raise UnclearError("no reply") if self.random.random() < 0.9 else BucketError("500")

    def client(self) -> MemoryBucket:
        return self.bucket.view(lambda moment, operation, key: self.at_call(moment, f"bucket {operation} {key}"))

    # The two sides

    def _tick(self, name: str, desk: Desk) -> None:
        settings = AgentSettings(
            agent=name,
            bucket=BucketSettings(folder=Path("/unused")),
            limits=Limits(free_bytes=0, attempts=20),
        )
        function = Function(ENTRY, self.folder, "0" * 64)
        scheduler = SimulatedScheduler(self.batch, lambda moment, what: self.at_call(moment, f"batch {what}"))
        agent = Agent(
            settings=settings,
            home=self.folder / name,
            bucket=self.client(),
            scheduler=scheduler,
            desk=desk,
            key=AGENT_KEY,
            trusted={RDM_KEY.public.name: RDM_KEY.public},
            catalogue={("simulated", "1"): function},
            clock=self.clock(name),
        )
        try:
            report = agent.tick()
        except BridgeError:
            return
        for text in report.problems:
            if "handed in before" in text or "events were altered" in text or "without a history" in text:
                raise BrokenPromiseError(f"{name}: {text}")

    def _exchange(self, name: str) -> None:
        with contextlib.suppress(BucketError):
            Exchange(self, name).round()

    # Time goes on

    def start(self, name: str) -> None:
        def work(worker: Worker) -> None:
            with contextlib.suppress(Died):
                try:
                    self.actors[name]()
                except BrokenPromiseError as violation:
                    self.broken = violation
                except Exception as problem:  # noqa: BLE001 - whatever it is, the seed must be shown
                    self.broken = BrokenPromiseError(f"{name}: {type(problem).__name__}: {problem}")
                    self.broken.__cause__ = problem

        self.running.append(Running(Worker.start(work), name, self.now))

    broken: BrokenPromiseError | None = None

    def resume(self, one: Running) -> None:
        self.current = one
        one.worker.resume()
        self.current = None
        if one.worker.is_done:
            self.running.remove(one)
        if self.broken:
            raise self.broken

    def step(self) -> None:
        """Let one thing happen."""
        what = self.random.random()
        awake = [one for one in self.running if one.wake <= self.now]
        if what < 0.55 and awake:
            one = self.random.choice(awake)
            if not self.calm and self.random.random() < 0.01:
                one.worker.doomed = True
            self.resume(one)
        elif what < 0.72 and len(self.running) < 6:
            name = self.random.choice(list(self.actors))
            if sum(one.owner == name for one in self.running) < 2:
                self.start(name)
        elif what < 0.85:
            self.node()
        elif what < 0.87:
            self.random.choice(self.requests).wants_cancel |= self.random.random() < 0.3
        else:
            self.now += timedelta(seconds=self.random.choice([1, 20, 120, 700]))

    def node(self) -> None:
        """Let one task in the batch system go on, or be lost."""
        live = [one for one in self.batch.tasks.values() if one.phase is not Phase.ENDED]
        candidates = [one.attempt for one in live] + self.orphans
        if not candidates:
            return
        attempt = self.random.choice(sorted(candidates))
        luck = self.random.random()
        if attempt in self.orphans:
            self.orphans.remove(attempt)
            if luck < 0.5:
                self._write_exit(attempt, luck < 0.4)
            return
        if not self.calm and luck < 0.04:
            if self.batch.tasks[attempt].phase is Phase.RUNNING:
                self.orphans.append(attempt)
            self.batch.forget(attempt)
            self.trace.append(f"controller forgets {attempt}")
        elif self.batch.tasks[attempt].phase is Phase.WAITING:
            self._begin(attempt)
        elif luck < 0.75 or self.calm:
            self._write_exit(attempt, luck < 0.65)
            self.batch.set_phase(attempt, Phase.ENDED, "COMPLETED")
        elif luck < 0.8:
            self.batch.set_phase(attempt, Phase.WAITING, "REQUEUED")
        elif luck < 0.85:
            self.batch.set_phase(attempt, Phase.ENDED, "NODE_FAIL")

    def _begin(self, attempt: str) -> None:
        job, desk = self.attempts[attempt]
        folder = desk.attempt_folder(attempt)
        if not folder.is_dir():
            self.batch.set_phase(attempt, Phase.ENDED, "FAILED (JobLaunchFailure)")
        elif wrapper.claim(folder):
            self.batch.set_phase(attempt, Phase.RUNNING, "RUNNING")
            self.started.setdefault(job, set()).add(attempt)
            self.trace.append(f"{attempt[:8]} of {job} starts")
            if len(self.started[job]) > 1:
                raise BrokenPromiseError(f"two attempts at {job} have started")
        else:
            self.batch.set_phase(attempt, Phase.ENDED, "COMPLETED")

    def _write_exit(self, attempt: str, well: bool) -> None:
        job, desk = self.attempts[attempt]
        folder = desk.attempt_folder(attempt)
        if not folder.is_dir():
            return
        run = wrapper.new_run(folder)
        body = b"result of " + job.encode()
        (run / "output" / "result").write_bytes(body)
        entry = {"name": "result", "size": len(body), "sha256": digest(body)}
        record = {"run": run.name, "exit_code": 0 if well else 3, "outputs": [entry] if well else []}
        wrapper.link_new(folder / wrapper.EXIT, json.dumps(record))

    # A run

    def run(self, steps: int = 130) -> None:
        """Let chaos reign, then calm, then check."""
        for _ in range(steps):
            self.step()
        self.calm = True
        for one in list(self.running):
            one.wake = self.now
        while self.running:
            self.resume(self.random.choice(self.running))
        for round_ in range(60):
            for name in self.actors:
                self.start(name)
                self.resume(self.running[-1])
            for _ in range(4):
                self.node()
            self.now += timedelta(minutes=11 if round_ < 12 else 600)
            if self._all_over() and not self._live():
                break
        self.check()

    def _all_over(self) -> bool:
        over = all(request.status not in {"new", "sent"} for request in self.requests)
        return over and not any(key.startswith("open/") for key in self.bucket.objects)

    def _live(self) -> list[str]:
        return [one.attempt for one in self.batch.tasks.values() if one.phase is not Phase.ENDED]

    def check(self) -> None:
        """Hold the world against the promises."""
        left = sorted(key for key in self.bucket.objects if key.startswith("open/"))
        if left:
            raise BrokenPromiseError(f"left open: {left}")
        if self._live():
            raise BrokenPromiseError(f"still in the queue: {self._live()}")
        for request in self.requests:
            if request.status not in {"finished", "failed", "cancelled", "lost"}:
                raise BrokenPromiseError(f"{request.name} is {request.status} for ever")
            if (request.status == "finished") != bool(request.accepted):
                raise BrokenPromiseError(f"{request.name} is {request.status} with {len(request.accepted)} results")
            if request.status == "finished" and not self.started.get(request.job):
                raise BrokenPromiseError(f"{request.name} finished without having run")
            if len(request.accepted) > 1:
                raise BrokenPromiseError(f"{request.name} was accepted {len(request.accepted)} times")


class Exchange:
    """The RDM side in its simplest form; the toy database has the two properties that the real one has.

    A status is changed by compare-and-set, and a result is accepted by one rename that only one can make.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.bucket = world.client()
        self.clock = world.clock(name)
        self.journal = Journal(self.bucket, writer=name, side=Side.RDM, clock=self.clock)

    def round(self) -> None:
        """Do what one exchange does."""
        standings = self.journal.standings()
        over: set[str] = set()
        for request in self.world.requests:
            with self._guarded():
                status = self._read(request)
                if status in {"new", "sent"}:
                    self._go_on(request, status, standings.get(request.job))
                else:
                    over.add(request.job)
        for job, standing in standings.items():
            with self._guarded():
                if job in over and standing.state in OPEN:
                    expire(self.journal, standing, "Nobody waits for it any more.")
                elif job in over or standing.state is State.CLOSED:
                    close(self.journal, standing)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        with contextlib.suppress(LostRaceError, UnclearError):
            yield

    def _read(self, request: Request) -> str:
        self.world.at_call("before", "database read")
        return request.status

    def _set(self, request: Request, before: str, after: str) -> bool:
        self.world.at_call("before", "database write")
        won = request.status == before
        if won:
            request.status = after
        self.world.at_call("after", "database write")
        return won

    def _go_on(self, request: Request, status: str, standing: Standing | None) -> None:
        if status == "new":
            if request.wants_cancel:
                self._set(request, "new", "cancelled")
                return
            self._publish(request)
            self._set(request, "new", "sent")
        elif standing is None:
            if self._read(request) == "sent":
                self._check_gone(request)
        elif standing.state in FINAL:
            self._conclude(request, standing)
        elif request.wants_cancel and not standing.cancel_wished and standing.state is not State.CLOSED:
            wish_cancel(self.journal, request.job)
        elif self.clock() > request.asked_at + DEADLINE and standing.state is not State.CLOSED:
            expire(self.journal, standing, "No agent brought it to an end in time.")

    def _publish(self, request: Request) -> None:
        if request.asked_at == NEVER:
            request.asked_at = self.clock()
        body = self.world.inputs.read_bytes()
        entry = FileEntry(name="input", size=len(body), sha256=digest(body))
        spec = JobSpec(
            job=request.job,
            function="simulated",
            version="1",
            inputs=(entry,),
            outputs=OutputRules(),
            created=self.clock(),
            expires=self.clock() + timedelta(days=5),
            nonce=f"{self.world.random.getrandbits(128):032x}",
        )
        publish(self.journal, spec, RDM_KEY, {"input": self.world.inputs})

    def _check_gone(self, request: Request) -> None:
        """A sent request without events: another exchange has just brought it to its end."""
        if self.journal.standing(request.job) is None and self._read(request) == "sent":
            raise BrokenPromiseError(f"the events of {request.name} are gone, and nobody took its result")

    def _conclude(self, request: Request, standing: Standing) -> None:
        public = AGENT_KEY.public
        try:
            conclusion = conclude(self.journal, standing, {public.name: public})
        except BucketError:
            raise
        except BridgeError as problem:
            if self._read(request) == "sent" and self.journal.standing(request.job) == standing:
                raise BrokenPromiseError(f"{request.name}: {problem}") from problem
            return
        if conclusion.state is State.FINISHED:
            folder = self.world.folder / f"{self.name}-{self.world.random.getrandbits(64):x}"
            fetch(self.journal, conclusion, folder)
            self._accept(request, (folder / "output" / "result").read_bytes())
        self._set(request, "sent", conclusion.state.value)
        close(self.journal, standing)

    def _accept(self, request: Request, body: bytes) -> None:
        """Rename into place: only the first can."""
        self.world.at_call("before", "database accept")
        if body != b"result of " + request.job.encode():
            raise BrokenPromiseError(f"{request.name} got another result")
        if not request.accepted:
            request.accepted.append(digest(body))
        self.world.at_call("after", "database accept")


def simulate(seed: int, **sizes: int) -> World:
    """Run one seed; a broken promise is raised with the seed in its text."""
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - memory, for speed
    folder = Path(tempfile.mkdtemp(prefix="bridge-", dir=place))
    world = World(seed, folder, **sizes)
    try:
        world.run()
    except BrokenPromiseError as violation:
        story = "\n  ".join(world.trace[-25:])
        raise BrokenPromiseError(f"seed {seed}: {violation}\n  {story}") from violation
    finally:
        _stop(world)
        shutil.rmtree(folder, ignore_errors=True)
    return world


def _stop(world: World) -> None:
    world.calm = True
    for one in list(world.running):
        one.worker.doomed = True
        one.worker.resume()


def main(first: int, count: int) -> int:
    """Run seeds from the command line: `python -m tests.hpc_bridge.simulation FIRST COUNT`."""
    began, ends = time.monotonic(), Counter[str]()
    for seed in range(first, first + count):
        try:
            ends.update(request.status for request in simulate(seed).requests)
        except BrokenPromiseError as broken:
            print(broken)  # noqa: T201
            return 1
    print(f"{count} runs from seed {first} in {time.monotonic() - began:.0f} s: {dict(ends)}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
