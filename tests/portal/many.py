"""Sites with records that nobody scanned: many of them, or ones that mean harm."""

from __future__ import annotations

import io
import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linkahead.connection.connection import get_connection
from linkahead.connection.interface import CaosDBHTTPResponse, CaosDBServerConnection
from lxml import etree

from heartbrain_ingest import crawl
from heartbrain_ingest.crawl.client import db
from heartbrain_ingest.portal.visitors import VisitorConnection
from heartbrain_ingest.settings import Settings, load_settings
from linkahead_embedded.accounts import set_account
from linkahead_embedded.bootstrap import open_application
from tests.portal.site import PASSWORD, PROGRAM, USERS

_BATCH = 1_000
_SUBJECTS = 10


class Answer(CaosDBHTTPResponse):
    """An answer of LinkAhead that was looked at on its way."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self.content: bytes = response.read()
        self._rest = io.BytesIO(self.content)

    @property
    def status(self) -> int:
        return int(self._response.status)

    @property
    def reason(self) -> str:
        return str(self._response.reason)

    def read(self, size: int | None = -1) -> bytes:
        return self._rest.read(size)

    def getheader(self, name: str, default: Any = None) -> Any:
        return self._response.getheader(name, default)

    def getheaders(self) -> Any:
        return self._response.getheaders()

    def close(self) -> None:
        self._response.close()


class Watch(CaosDBServerConnection):
    """Carries requests on, and counts them and the entities that come back.

    Parameters
    ----------
    inner
        What carries the requests.
    """

    def __init__(self, inner: CaosDBServerConnection) -> None:
        self._inner = inner
        self.requests = 0
        self.entities = 0
        self.most_at_once = 0

    def configure(self, **config: Any) -> None:
        self._inner.configure(**config)  # type: ignore[no-untyped-call]  # the client is half typed

    def request(self, *args: Any, **more: Any) -> CaosDBHTTPResponse:
        answer = Answer(self._inner.request(*args, **more))
        found = sum(1 for one in etree.fromstring(answer.content) if one.get("id") is not None)
        self.requests += 1
        self.entities += found
        self.most_at_once = max(self.most_at_once, found)
        return answer

    def take(self) -> tuple[int, int]:
        """Give the requests and entities since the last time."""
        counted = (self.requests, self.entities)
        self.requests = self.entities = self.most_at_once = 0
        return counted


def watch() -> Watch:
    """Put a watch between the portal and its LinkAhead."""
    connection: Any = get_connection()  # type: ignore[no-untyped-call]  # the client is half typed
    visitors: Any = connection._delegate_connection
    assert isinstance(visitors, VisitorConnection)
    visitors.inner = watching = Watch(visitors.inner)
    return watching


class GeneratedSite:
    """A site whose records are made up.

    Parameters
    ----------
    root
        Where it is made: the data model and users, and no record.
    """

    def __init__(self, root: Path) -> None:
        subprocess.run([PROGRAM, "init", root], check=True, capture_output=True)
        self.settings: Settings = load_settings(root / "heartbrain.yml")
        crawl.connect(ini=None, database=self.settings.database, file_root=self.settings.folders.archive)
        logging.getLogger("linkahead").setLevel(logging.ERROR)
        crawl.load_datamodel(self.settings.rules("datamodel.yml"))
        application = open_application(self.settings.database)
        for name, role in USERS.items():
            set_account(application, name, PASSWORD, role)

    def insert(self, records: Sequence[Any]) -> list[int]:
        """Store records; give their ids. The client's own way of inserting takes seconds for a thousand."""
        ids: list[int] = []
        connection: Any = get_connection()  # type: ignore[no-untyped-call]  # the client is half typed
        for start in range(0, len(records), _BATCH):
            order = etree.Element("Insert")
            order.extend(one.to_xml() for one in records[start : start + _BATCH])
            answer = etree.fromstring(connection.insert(["Entity"], body=etree.tostring(order)).read())
            assert answer.find(".//Error") is None
            ids += [int(str(one.get("id"))) for one in answer.iterfind("Record")]
        return ids

    def insert_visits(self) -> list[tuple[int, int]]:
        """Store ten subjects with a visit each; give the ids of both."""
        subjects = self.insert([db.Record(f"sub-GEN{one:05d}").add_parent("Subject") for one in range(_SUBJECTS)])
        visits = []
        for number, subject in enumerate(subjects):
            record = db.Record(f"sub-GEN{number:05d}_ses-20200101").add_parent("Session")
            record.add_property("Subject", subject).add_property("Date", f"2020-01-{number + 1:02d}")
            visits.append(record.add_property("Age", 30.0 + number, unit="year"))
        return list(zip(subjects, self.insert(visits), strict=True))

    def insert_images(self, count: int, visits: Sequence[tuple[int, int]], kind: str = "T1WeightedImage") -> list[int]:
        """Store images of those visits; the echo time falls as the number rises. Give their ids."""
        records = []
        for number in range(count):
            subject, visit = visits[number % len(visits)]
            record = db.Record(f"{kind} {number:06d}").add_parent(kind)
            record.add_property("Session", visit).add_property("Subject", subject)
            record.add_property("EchoTime", (count - number) / 1e6, unit="s")
            records.append(record.add_property("RepetitionTime", 2.0 + number % 7, unit="s"))
        return self.insert(records)
