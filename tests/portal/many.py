"""Sites with records that nobody scanned: many of them, or ones that mean harm."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linkahead.connection.connection import get_connection
from lxml import etree

from heartbrain_ingest import crawl
from heartbrain_ingest.crawl.client import db
from heartbrain_ingest.settings import Settings, load_settings
from linkahead_embedded.accounts import set_account
from linkahead_embedded.bootstrap import open_application
from tests.portal.site import PASSWORD, PROGRAM, USERS

_BATCH = 1_000
_SUBJECTS = 10


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
