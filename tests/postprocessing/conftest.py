"""A site with a published session in an embedded LinkAhead, and a computing centre: an agent with real processes."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from linkahead.queries import query

from heartbrain_ingest import crawl
from heartbrain_ingest.postprocessing import bridge, registration
from heartbrain_ingest.postprocessing.routes import routes_of
from heartbrain_ingest.settings import Settings, load_settings
from heartbrain_ingest.site import make_site
from hpc_bridge.bucket import FolderBucket
from hpc_bridge.installation import make, open_agent
from hpc_bridge.offers import publish_catalogue
from hpc_bridge.protocol import SigningKey
from tests.crawl.conftest import Site as Published
from tests.crawl.conftest import crawled, modelled, site

__all__ = ["crawled", "modelled", "site"]


@dataclass(frozen=True)
class Centre:
    """An agent's folder at the computing centre."""

    home: Path

    def tick(self) -> list[str]:
        """Let the agent do its next steps; give what went wrong."""
        agent = open_agent(self.home)
        publish_catalogue(agent)
        return agent.tick().problems


@dataclass(frozen=True)
class Bridged:
    """A site with its computing centre."""

    folder: Path
    settings: Settings
    centre: Centre

    def request(
        self, *, function: str = "checksum-report", where: str = "FIND T1WeightedImage", **more: Any
    ) -> list[str]:
        """Ask as `heartbrain run` does."""
        catalogue = registration.read_catalogue(self.settings, "ada")
        inputs = registration.find_inputs(where)
        plan = registration.preflight(self.settings, catalogue=catalogue, function=function, inputs=inputs, **more)
        return registration.register(plan, user="ada")

    def exchange(self) -> bridge.BridgeReport:
        return bridge.Site(self.settings).exchange()

    def until_settled(self, *names: str, seconds: float = 60) -> None:
        """Exchange and tick until the requests are settled."""
        deadline = time.monotonic() + seconds
        while any(facts(one)["Status"] not in SETTLED for one in requests(*names)):
            assert time.monotonic() < deadline, [facts(one) for one in requests(*names)]
            self.exchange()
            assert self.centre.tick() == []
            time.sleep(0.05)

    @property
    def results(self) -> list[Path]:
        return sorted(self.settings.folders.archive.glob("DataAnalysis/*/*"))

    def open_keys(self) -> list[str]:
        bucket = self.settings.bridge.bucket
        found = sorted(path.relative_to(bucket).as_posix() for path in bucket.glob("open/**/*") if path.is_file())
        return [key for key in found if not key.startswith("open/probe-")]


SETTLED = {"finished", "failed", "cancelled", "lost", "refused"}


def facts(record: Any) -> dict[str, Any]:
    return {prop.name: prop.value for prop in record.get_properties()}


def requests(*names: str) -> list[Any]:
    """Give the requests of some names, or all."""
    found = [one for one in query("FIND PostProcessingRequest") if not names or one.name in names]
    assert found
    return found


def status(name: str) -> tuple[str, str]:
    (found,) = requests(name)
    return facts(found)["Status"], facts(found)["StatusMessage"]


def set_status(name: str, text: str) -> None:
    """Write a status as somebody does in LinkAhead's own interface."""
    (found,) = requests(name)
    found.get_property("Status").value = text
    found.update()


@pytest.fixture(scope="session")
def published_site(tmp_path_factory: pytest.TempPathFactory, project_root: Path, modelled: Path) -> Path:
    """Make a site with one published session that is in its embedded LinkAhead; tests work on copies."""
    folder = tmp_path_factory.mktemp("published") / "rdm"
    settings = load_settings(make_site(folder))
    Published(archive=settings.folders.archive, rules=project_root / "crawler_config").put_session()
    with closing(sqlite3.connect(modelled)) as source, closing(sqlite3.connect(settings.database)) as copy:
        source.backup(copy)
    bridge.connect(settings)
    (session,) = settings.folders.archive.glob("ExperimentalData/*/*")
    crawl.crawl_delivery(
        session,
        archive=settings.folders.archive,
        cfood=settings.rules("cfood.yml"),
        identifiables=settings.rules("identifiables.yml"),
    )
    with closing(sqlite3.connect(settings.database)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


@pytest.fixture
def bridged(tmp_path: Path, published_site: Path) -> Bridged:
    """Give a site with one published session, and an agent that knows it; nothing was exchanged yet."""
    folder = tmp_path / "rdm"
    shutil.copytree(published_site, folder)
    settings = load_settings(folder / "heartbrain.yml")
    bridge.connect(settings)
    return Bridged(folder, settings, make_centre(tmp_path / "hpc", settings, "default", settings.bridge.bucket))


def make_centre(home: Path, settings: Settings, route: str, bucket: Path) -> Centre:
    """Install an agent and exchange the public keys, as docs/howto-hpc.md says."""
    FolderBucket(bucket)
    make(home, {"kind": "folder", "folder": str(bucket)}, "local")
    config = home / "config.yml"
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    content |= {"agent": f"cluster-{route}", "limits": {"free_bytes": 0}, "isolation": "best-effort"}
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    (one,) = [one for one in routes_of(settings) if one.name == route]
    (home / "trusted_keys").write_text(bridge.signing_key(settings, one).public.line("rdm") + "\n", encoding="ascii")
    agents = bridge.state_folder(settings) / f"{route}.agents"
    agents.write_text(SigningKey.load(home / "agent_key.pem").public.line("agent") + "\n", encoding="ascii")
    centre = Centre(home)
    centre.tick()
    return centre
