"""Random interleavings of arriving, growing, changing files, of runs and of kills: what holds whatever happens.

`HEARTBRAIN_INTERLEAVINGS=200` plays so many stories instead of a few; each story has its number as its seed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import traceback
import warnings
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from heartbrain_ingest.ledger import stored_path
from heartbrain_ingest.pipeline import Run
from heartbrain_ingest.report import RunOptions
from heartbrain_ingest.settings import load_settings
from tests.pipeline.identifying import Identifying, database_texts, file_texts, read_header
from tests.pipeline.scans import make_slice, write
from tests.pipeline.site import Site
from tests.pipeline.test_recordings import write_pulse

STORIES = int(os.environ.get("HEARTBRAIN_INTERLEAVINGS", "3"))
RUNS = 6
PATIENTS = (("HB0099", "Quandt^Oskar"), ("HB0100", "Zweiffel^Ilse"))
DAYS = ("20230504", "20230601")
SERIES = (2, 3)
SLICES = 3
#: What a run does to the outside, of which one is its last act.
ACTS = ("open", "os.rename", "os.mkdir", "os.remove", "sqlite3.connect", "subprocess.Popen", "os.link", "os.symlink")
#: About so many of them a run has.
MOST_ACTS = 2500


class Story:
    """One site and what happens to its inbox."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance = random.Random(seed)
        self.site = Site.make(folder / "site")
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.sources = folder / "sources"
        self.identifying = Identifying()
        #: Content of every file that was ever whole in the inbox at a run, by instance.
        self.came: defaultdict[str, set[bytes]] = defaultdict(set)
        self.growing: dict[Path, bytes] = {}
        self.published: dict[str, str] = {}
        self.told: list[str] = []

    # what happens

    def _slice(self) -> tuple[str, bytes]:
        patient, name = self.chance.choice(PATIENTS)
        series, number = self.chance.choice(SERIES), self.chance.randint(1, SLICES)
        day = self.chance.choice(DAYS)
        values: dict[str, object] = {"PatientID": patient, "PatientName": name, "StudyDate": day}
        if series == SERIES[1]:
            values |= {"SeriesDescription": "t2_tse_tra", "InversionTime": None}
        if self.chance.random() < 0.08:
            values["PixelData"] = bytes(512)  # another content of the same instance
        dataset = make_slice(number, series, **values)
        path = write(dataset, self.sources / "slice")
        header = read_header(path)
        assert header is not None
        self.identifying.add_header(header)
        return str(dataset.SOPInstanceUID), path.read_bytes()

    def _place(self) -> Path:
        folder = self.inbox / self.chance.choice(("", "a", "b/c", "M\udcfcller"))
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self.chance.randrange(10**6):06d}"

    def _files(self) -> list[Path]:
        return sorted(path for path in self.inbox.rglob("*") if path.is_file() and path.name != ".complete")

    def arrive(self) -> None:
        for _ in range(self.chance.randint(1, 6)):
            self._place().write_bytes(self._slice()[1])

    def grow(self) -> None:
        content = self._slice()[1]
        path = self._place()
        path.write_bytes(content[: self.chance.randrange(len(content))])
        self.growing[path] = content

    def finish(self) -> None:
        for path, content in self.growing.items():
            if path.exists():
                path.write_bytes(content)
        self.growing.clear()

    def copy(self) -> None:
        if files := self._files():
            shutil.copyfile(self.chance.choice(files), self._place())

    def overwrite(self) -> None:
        if files := self._files():
            self.chance.choice(files).write_bytes(self._slice()[1])

    def touch(self) -> None:
        if files := self._files():
            os.utime(self.chance.choice(files))

    def take_away(self) -> None:
        if files := self._files():
            self.chance.choice(files).unlink()

    def junk(self) -> None:
        self._place().write_bytes(self.chance.choice((b"", b"Herr Quandt ruft an", b"PK\x03\x04 no archive")))

    def pack(self) -> None:
        with zipfile.ZipFile(self._place(), "w") as packed:
            packed.writestr("one", self._slice()[1])

    def record(self) -> None:
        """Let the log of a monitor arrive, which names the patient in its text."""
        patient, name = self.chance.choice(PATIENTS)
        path = self.inbox / f"{patient}_{self.chance.choice(DAYS)}" / f"{self.chance.randrange(10**6):06d}.puls"
        write_pulse(path, f"10:{self.chance.randint(14, 17)}:00", self.chance.randint(5, 60))
        text = path.read_text(encoding="ascii").replace("1 2 40 280 ", f"1 2 40 280 5002 Patient name: {name} 6002 ", 1)
        path.write_text(text, encoding="ascii")

    def happen(self) -> None:
        usual = ("arrive", "arrive", "grow", "finish", "copy", "overwrite", "touch", "take_away", "junk", "pack")
        names = (*usual, "record")
        for _ in range(self.chance.randint(1, 5)):
            name = self.chance.choice(names)
            self.told.append(name)
            getattr(self, name)()

    # runs

    def run(self, acts: int | None) -> int | None:
        """Run an ingest in a process of its own, which kills itself at one of its acts; None when it did so."""
        self.told.append(f"run, killed at act {acts}" if acts else "run")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer Pythons warn of forking beside threads
            child = os.fork()
        if child == 0:
            os._exit(self._in_child(acts))
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return None
        return os.waitstatus_to_exitcode(status)

    def _in_child(self, acts: int | None) -> int:
        left = [acts or 0]

        def count(name: str, _arguments: object) -> None:
            if name in ACTS:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            settings = load_settings(self.site.settings)
            report = Run(settings, RunOptions(inbox=self.inbox, jobs=1)).execute()
        except BaseException:  # noqa: BLE001 - told to the test by the exit code and the error stream
            traceback.print_exc()
            return 70
        return report.exit_code

    # what holds

    def check(self) -> None:
        """Check after a run that came to its end."""
        rows = self.site.files()
        by_path = Counter(row.path for row in rows)
        assert max(by_path.values(), default=1) == 1
        assert {Path(stored_path(str(path.resolve()))) for path in self._files()} <= set(by_path)
        assert {row.outcome for row in rows} <= {"converted", "stored", "ignored", "quarantined"}
        self._check_published()
        # What was published stays as it was.
        tree = self.site.tree()
        assert self.published.items() <= tree.items()
        self.published = tree

    def _check_published(self) -> None:
        ledger = self.site.ledger_rows("files")
        newest = {row["id"]: row["folder"] for row in self.site.ledger_rows("deliveries")}
        stored: defaultdict[int, set[str]] = defaultdict(set)
        logs: defaultdict[int, list[str]] = defaultdict(list)
        for row in ledger:
            if row["outcome"] == "converted":
                archive, _, member = row["destination"].partition("!")
                assert archive.startswith(f"{newest[row['delivery']]}/")
                stored[row["delivery"]].add(f"{archive}!{member}")
            elif row["outcome"] == "stored":
                logs[row["delivery"]].append(row["destination"])
        instances = Counter(row["instance"] for row in ledger if row["outcome"] == "converted")
        assert set(instances.values()) <= {1}, "an instance was published twice"
        for delivery, folder in newest.items():
            if folder is None:
                continue
            members = set()
            recorded = (self.site.archive / folder).glob("sourcedata/physio/*_log.zip")
            assert sorted(path.relative_to(self.site.archive).as_posix() for path in recorded) == sorted(logs[delivery])
            for path in (self.site.archive / folder).glob("sourcedata/dicom/*.zip"):
                with zipfile.ZipFile(path) as packed:
                    assert packed.testzip() is None
                    place = path.relative_to(self.site.archive).as_posix()
                    members |= {f"{place}!{name}" for name in packed.namelist()}
            assert members == stored[delivery]
        # Whoever is whole and contradicted by nobody is published.
        contents: defaultdict[str, set[str]] = defaultdict(set)
        for row in ledger:
            if row["instance"] and row["code"] != "FILE_GONE":
                contents[row["instance"]].add(row["outcome"])
        for instance, outcomes in contents.items():
            assert outcomes & {"converted", "quarantined"}, instance

    def check_end(self) -> None:
        """Check that another run finds nothing to do, and that nobody is named anywhere."""
        tree = self.site.tree()
        assert self.run(None) in {0, 1}
        assert self.site.tree() == tree
        assert self.identifying.search(file_texts(self.site.archive)) == []
        assert self.identifying.search(database_texts(self.site.database)) == []
        assert list((self.site.folder / "staging").iterdir()) == []
        labels = {
            json.loads(path.read_text(encoding="utf-8"))["Subject"] for path in self.site.archive.rglob("session.json")
        }
        assert len(labels) <= len(PATIENTS)
        states = Counter(row["state"] for row in self.site.ledger_rows("deliveries"))
        assert set(states) <= {"crawled", "quarantined"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(STORIES))
def test_whatever_happens_nothing_is_lost_published_twice_or_named(seed: int, tmp_path: Path) -> None:
    story = Story(seed, tmp_path)
    try:
        for _ in range(RUNS):
            story.happen()
            acts = story.chance.randint(1, MOST_ACTS) if story.chance.random() < 0.5 else None
            code = story.run(acts)
            assert code in {0, 1, None}
            if code is not None:
                story.check()
        story.finish()
        assert story.run(None) in {0, 1}
        story.check()
        story.check_end()
    except AssertionError as error:
        error.add_note(f"story {seed}: {', '.join(story.told)}")
        raise
