"""One exchange for every route of a site: settings become bucket, keys, store, desk and shelf."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from heartbrain_ingest import crawl
from heartbrain_ingest.errors import BusyError, HeartbrainError
from heartbrain_ingest.postprocessing.catalogue import publish_functions
from heartbrain_ingest.postprocessing.desk import LinkAheadDesk
from heartbrain_ingest.postprocessing.errors import BridgeSettingsError
from heartbrain_ingest.postprocessing.exchange import Exchange, ExchangeReport, Limits
from heartbrain_ingest.postprocessing.inputs import InputReader
from heartbrain_ingest.postprocessing.linkahead_store import LinkAheadStore
from heartbrain_ingest.postprocessing.notes import Notes
from heartbrain_ingest.postprocessing.routes import routes_of
from heartbrain_ingest.postprocessing.rules import load_rules
from heartbrain_ingest.postprocessing.shelf import ArchiveShelf
from heartbrain_ingest.postprocessing.transports.bucket import BucketTransport, Terms
from heartbrain_ingest.postprocessing.users import Users
from heartbrain_ingest.settings import Route, Settings
from hpc_bridge.bucket import Bucket, Conditions, open_bucket, probe
from hpc_bridge.errors import BridgeError
from hpc_bridge.protocol import Description, OutputRules, SigningKey, VerifyKey, load_keys

_WAKE = "wake"
_LOCK = "bridge.lock"
_GIB = 2**30


def state_folder(settings: Settings) -> Path:
    """Give the folder of the bridge's keys and notes, made when absent."""
    folder = settings.folders.state / "bridge"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def signing_key(settings: Settings, route: Route) -> SigningKey:
    """Give the key that signs a route's specifications; without one named in the settings it is made once.

    Raises
    ------
    BridgeSettingsError
        When the named file can't be used.
    """
    path = route.signing_key or state_folder(settings) / f"{route.name}.key"
    try:
        if route.signing_key is None and not path.exists():
            SigningKey.generate().save(path)
        return SigningKey.load(path)
    except FileExistsError:  # another process made it at this moment
        return SigningKey.load(path)
    except BridgeError as problem:
        raise BridgeSettingsError(f"{route.name}: {problem.detail}") from None


def agent_keys(settings: Settings, route: Route) -> dict[str, VerifyKey]:
    """Give the keys whose results are believed; none when the file is not there yet."""
    path = route.agent_keys or state_folder(settings) / f"{route.name}.agents"
    if not path.is_file():
        return {}
    try:
        return load_keys(path)
    except BridgeError as problem:
        raise BridgeSettingsError(f"{route.name}: {problem.detail}") from None


def open_transport(settings: Settings, route: Route) -> BucketTransport:
    """Open a route's bucket and find out what its store can do.

    Raises
    ------
    BridgeSettingsError
        When the route can't be used.
    BridgeError
        When the store does not answer or can't carry the protocol.
    """
    try:
        bucket = open_bucket(route.bucket)
    except (BridgeError, ValueError) as problem:
        raise BridgeSettingsError(f"{route.name}: {problem}") from None
    _look_at(bucket, settings, route)
    bridge = settings.bridge
    terms = Terms(
        site=bridge.site,
        lifetime=timedelta(hours=bridge.lifetime_hours),
        outputs=OutputRules(max_bytes=int(bridge.output_gib * _GIB)),
        agent=route.agent,
        callback=route.callback,
    )
    return BucketTransport(
        bucket,
        key=signing_key(settings, route),
        agents=agent_keys(settings, route),
        terms=terms,
        writer=writer_name(),
        clock=utc_now,
    )


def _look_at(bucket: Bucket, settings: Settings, route: Route) -> None:
    """Find out what a store can do, once a day."""
    notes = Notes(notes_file(settings))
    address, day = route.bucket.model_dump_json(), f"{utc_now():%Y-%m-%d}"
    known = notes.conditions(address, day)
    if known is not None:
        bucket.conditions = Conditions(known)
        return
    notes.note_conditions(address, day, probe(bucket).conditions.value)


def notes_file(settings: Settings) -> Path:
    """Give the file of the bridge's own notes."""
    return state_folder(settings) / "bridge.db"


def utc_now() -> datetime:
    """Give the time, with a zone, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def writer_name() -> str:
    """Give the name of this exchange in the events: the machine and the process, nobody's name."""
    host = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")[:40] or "rdm"
    return f"rdm-{host}-{os.getpid()}"


def input_reader(settings: Settings) -> InputReader:
    """Give what finds the files of inputs."""
    return InputReader(
        archive=settings.folders.archive,
        datamodel=settings.rules("datamodel.yml"),
        properties=load_rules(settings).input_files,
    )


def connect(settings: Settings) -> None:
    """Connect to LinkAhead and bring the data model there if it is not.

    Raises
    ------
    DatabaseError
        When LinkAhead can't be reached.
    """
    crawl.connect(ini=settings.linkahead.ini, database=settings.database, file_root=settings.folders.archive)
    crawl.load_datamodel(settings.rules("datamodel.yml"), marker=settings.folders.state / "datamodel.loaded")


@dataclass
class BridgeReport(ExchangeReport):
    """What one round over all routes did."""

    functions: int = 0
    swept: int = 0

    def lines(self) -> list[str]:
        """Say it in plain words."""
        words = {
            "sent": "sent",
            "followed": "moved on at the computing centre",
            "finished": "finished: their results are in LinkAhead",
            "failed": "ended without a result",
            "cancelled": "asked to be cancelled",
            "refused": "not sent: something is missing or does not fit",
            "orphans": "jobs that no request knows, tidied away",
            "open": "at the computing centre now",
        }
        lines = [f"{getattr(self, name):6d}  {text}" for name, text in words.items() if getattr(self, name)]
        lines += [f"TROUBLE {text}" for text in self.troubles]
        return lines or ["Nothing to do: no request waits and none is at a computing centre."]


class Site:
    """The bridge of a site, ready for exchanges."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = utc_now) -> None:
        self._settings = settings
        self._clock = clock
        self._routes = routes_of(settings)
        self._transports: dict[str, BucketTransport] = {}
        self._users = Users(self._routes)
        self._notes = Notes(notes_file(settings))
        self._definitions: crawl.Definitions | None = None

    def exchange(self) -> BridgeReport:
        """Do one exchange on every route; a route that does not work does not stop the others.

        Raises
        ------
        BusyError
            When another process exchanges for this site.
        DatabaseError
            When LinkAhead does not answer.
        """
        report = BridgeReport()
        with _exclusive(self._settings):
            for route in self._routes:
                try:
                    self._exchange_route(route, report)
                except (BridgeError, BridgeSettingsError) as problem:
                    self._transports.pop(route.name, None)
                    report.troubles.append(f"{route.name}: {problem}")
        return report

    def transport(self, route: Route) -> BucketTransport:
        """Give the transport of a route; its store is looked at once."""
        if route.name not in self._transports:
            self._transports[route.name] = open_transport(self._settings, route)
        return self._transports[route.name]

    def _exchange_route(self, route: Route, report: BridgeReport) -> None:
        settings = self._settings
        transport = self.transport(route)
        catalogue: list[Description] = transport.catalogue()
        report.functions += publish_functions(catalogue)
        reader = input_reader(settings)
        shelf = ArchiveShelf(
            archive=settings.folders.archive,
            staging=settings.folders.staging / "heartbrain-results",
            crawl=self._crawl,
            reader=reader,
            responsible=settings.responsible,
            default_project=settings.projects.default,
            note_closed=lambda job: self._notes.note_closed(route.name, job, self._clock()),
        )
        exchange = Exchange(
            store=LinkAheadStore(
                lambda user: self._users.route_of(user) == route.name,
                own_user=self._users.own_user,
                owner=self._notes.owner,
            ),
            transport=transport,
            desk=LinkAheadDesk(catalogue=lambda: catalogue, reader=reader, default_project=settings.projects.default),
            shelf=shelf,
            clock=self._clock,
            limits=Limits(lost_after=timedelta(days=settings.bridge.lost_after_days)),
        )
        report.add(exchange.run())
        report.swept += self._sweep(route, transport, report)

    def _crawl(self, folder: Path) -> object:
        settings = self._settings
        # Here and not before: an exchange that brings no result does without the crawler, which takes a second to load.
        self._definitions = self._definitions or crawl.Definitions()
        return crawl.crawl_delivery(
            folder,
            archive=settings.folders.archive,
            cfood=settings.rules("cfood.yml"),
            identifiables=settings.rules("identifiables.yml"),
            server_root=settings.linkahead.server_root,
            definitions=self._definitions,
        )

    def _sweep(self, route: Route, transport: BucketTransport, report: BridgeReport) -> int:
        # A specification that could still be used must stay, so that its job can't be published once more.
        bridge = self._settings.bridge
        keep = max(timedelta(days=bridge.keep_days), timedelta(hours=bridge.lifetime_hours))
        swept = 0
        for job in self._notes.closed_before(route.name, self._clock() - keep):
            try:
                transport.sweep(job)
            except BridgeError as problem:
                report.troubles.append(f"{job}: {problem}")
                continue
            self._notes.forget(route.name, job)
            swept += 1
        return swept


@contextmanager
def _exclusive(settings: Settings) -> Iterator[None]:
    """Let one process exchange for a site at a time; an ingest may run meanwhile."""
    with (state_folder(settings) / _LOCK).open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError("another `heartbrain bridge` exchanges for this site") from None
        yield


def wake(settings: Settings) -> None:
    """Let `heartbrain bridge --watch` exchange now."""
    (state_folder(settings) / _WAKE).touch()


def watch(site: Site, settings: Settings, show: Callable[[BridgeReport], None], *, rounds: int | None = None) -> None:
    """Exchange again and again, at the latest after the interval of the settings, sooner when woken.

    Parameters
    ----------
    show
        Takes the report of each round.
    rounds
        So many rounds; None: until the process ends.
    """
    file = state_folder(settings) / _WAKE
    done = 0
    while rounds is None or done < rounds:
        seen = _stamp(file)
        try:
            show(site.exchange())
        except HeartbrainError as problem:  # LinkAhead or another process; the next round tries again
            show(BridgeReport(troubles=[str(problem)]))
        done += 1
        if rounds is not None and done >= rounds:
            return
        until = time.monotonic() + settings.bridge.interval_seconds
        while time.monotonic() < until and _stamp(file) == seen:
            time.sleep(min(1.0, settings.bridge.interval_seconds))


def _stamp(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
