"""A site with a study taken in and results come back, and a visitor of its portal."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx2
from starlette.testclient import TestClient

from heartbrain_ingest.portal import make_app
from heartbrain_ingest.settings import Settings, load_settings
from linkahead_embedded.accounts import set_account
from linkahead_embedded.bootstrap import close_application, open_application
from sample_data import generate
from sample_data.centre import Centre

PROGRAM = Path(sys.executable).with_name("heartbrain")
PASSWORD = "correct horse battery"
#: LinkAhead users of the sample site and their role: a steward, a clinician, somebody who may only look.
USERS = {"stefan": "administration", "clara": "researcher", "leo": "readonly"}


class SampleSite:
    """A site folder and the computing centre beside it.

    Parameters
    ----------
    root
        Holds `site/`, `centre/` and `study/`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def build(cls, root: Path, *, small: bool = True) -> Self:
        """Take the sample study in, the small one or the whole, and let the rules' requests be computed."""
        site = cls(root)
        subprocess.run([PROGRAM, "init", root / "site"], check=True, capture_output=True)
        site.centre.set_up()
        generate(root / "study", small=small)
        command = [PROGRAM, "ingest", "--settings", site.file, "--inbox", root / "study" / "inbox"]
        done = subprocess.run(command, check=False, capture_output=True)
        assert done.returncode in {0, 1}, done.stderr.decode()[-2000:]
        assert site.centre.work() > 0
        application = open_application(site.settings.database)
        for name, role in USERS.items():
            set_account(application, name, PASSWORD, role)
        close_application(site.settings.database)
        return site

    @property
    def folder(self) -> Path:
        return self.root / "site"

    @property
    def file(self) -> Path:
        return self.folder / "heartbrain.yml"

    @property
    def settings(self) -> Settings:
        return load_settings(self.file)

    @property
    def centre(self) -> Centre:
        return Centre(self.root / "centre", self.file)

    def copy(self, root: Path) -> SampleSite:
        """Give a site of one's own."""
        shutil.copytree(self.root, root, symlinks=True, dirs_exist_ok=True)
        config = root / "centre" / "config.yml"
        config.write_text(config.read_text(encoding="utf-8").replace(str(self.root), str(root)), encoding="utf-8")
        return SampleSite(root)


def shared_site(base: Path) -> SampleSite:
    """Give the sample site that all workers of a test run copy; the first that asks builds it."""
    with (base / "sample-site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root, done = base / "sample-site", base / "sample-site.done"
        if not done.exists():
            root.mkdir()
            SampleSite.build(root)
            done.touch()
        return SampleSite(root)


class Visit:
    """Somebody's browser without a screen: cookies, and the token that each form carries.

    Parameters
    ----------
    settings
        The site.
    """

    def __init__(self, settings: Settings, **headers: str) -> None:
        self.client = TestClient(make_app(settings), follow_redirects=False, headers=headers)
        self._csrf = ""

    def log_in(self, name: str, password: str = PASSWORD) -> Self:
        """Log in; further pages are this user's."""
        self.get("/login")
        answer = self.post("/login", name=name, password=password)
        assert answer.status_code == 303, answer.text
        self.get("/requests")
        return self

    def get(self, path: str, **options: Any) -> httpx2.Response:
        """Open a page."""
        answer = self.client.get(path, **options)
        if found := re.search(r'X-CSRF-Token": "(\w+)"', answer.text):
            self._csrf = found[1]
        return answer

    def post(self, path: str, **form: Any) -> httpx2.Response:
        """Send a form."""
        return self.client.post(path, data={"csrf": self._csrf, **form})
