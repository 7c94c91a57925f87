"""A site of the program under test, and the program as a user starts it."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from heartbrain_ingest.pipeline import Run
from heartbrain_ingest.report import RunOptions, RunReport
from heartbrain_ingest.settings import load_settings
from heartbrain_ingest.site import make_site

PROGRAM = Path(sys.executable).with_name("heartbrain")
#: One secret for all tests, so that every run of the tests gives the same labels, dates and UIDs.
KEY = f"key: {hashlib.sha256(b'a key for tests').hexdigest()}\nsubjects: {{}}\n"
PROJECT = "2023_HeartAndBrain"


@dataclass(frozen=True, kw_only=True)
class LedgerFile:
    """One row of the ledger."""

    path: Path
    outcome: str
    code: str | None
    destination: str | None
    sha256: str | None
    series: str | None

    @property
    def folder(self) -> str | None:
        """The published folder that the file went to, relative to the archive."""
        return "/".join(self.destination.split("/")[:3]) if self.destination else None


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a command left: exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.out)  # type: ignore[no-any-return]

    @property
    def outcomes(self) -> Counter[tuple[str, str | None]]:
        return Counter({(one["outcome"], one["code"]): one["files"] for one in self.report["outcomes"]})


@dataclass(frozen=True, kw_only=True)
class Site:
    """A site folder."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, settings: str = "") -> Self:
        """Make a site with the key of the tests; `settings` replaces the settings file."""
        make_site(folder)
        site = cls(folder=folder)
        site.key_file.write_text(KEY, encoding="ascii")
        if settings:
            site.settings.write_text(settings, encoding="utf-8")
        return site

    @property
    def settings(self) -> Path:
        return self.folder / "heartbrain.yml"

    @property
    def key_file(self) -> Path:
        return self.folder / "state" / "pseudonyms.yml"

    @property
    def inbox(self) -> Path:
        return self.folder / "inbox"

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    @property
    def database(self) -> Path:
        return self.folder / "state" / "linkahead.db"

    @property
    def log(self) -> str:
        return "".join(path.read_text(encoding="utf-8") for path in sorted((self.folder / "logs").iterdir()))

    def argv(self, *words: str | Path) -> list[str]:
        return [str(PROGRAM), *(str(word) for word in words), "--settings", str(self.settings)]

    def environment(self) -> dict[str, str]:
        """Give a user's environment without settings of LinkAhead or of this program."""
        kept = {
            name: value for name, value in os.environ.items() if "LINKAHEAD" not in name and "HEARTBRAIN" not in name
        }
        return kept | {"HOME": str(self.folder)}

    def run(self, *words: str | Path) -> Done:
        """Run a command of the program to its end."""
        done = subprocess.run(
            self.argv(*words), capture_output=True, text=True, env=self.environment(), timeout=300, check=False
        )
        return Done(code=done.returncode, out=done.stdout, err=done.stderr)

    def ingest(self, inbox: Path | None = None, *options: str) -> Done:
        """Run `heartbrain ingest --json`."""
        done = self.run("ingest", "--json", *(("--inbox", inbox) if inbox else ()), *options)
        assert done.code in {0, 1}, done.err
        return done

    def take_in(self, inbox: Path | None = None, **options: Any) -> RunReport:
        """Do what `heartbrain ingest` does, in this process and without worker processes."""
        options = {"jobs": 1, **options}
        return Run(load_settings(self.settings), RunOptions(inbox=inbox, **options)).execute()

    def find(self, question: str) -> list[dict[str, Any]]:
        """Ask by `heartbrain query --json`."""
        done = self.run("query", "--json", question)
        assert done.code == 0, done.err
        return json.loads(done.out)  # type: ignore[no-any-return]

    def count(self, question: str) -> int:
        """Ask for a number of entities, in this process."""
        from linkahead.queries import count  # noqa: PLC0415 - only here

        self.connect()
        return int(count(f"COUNT {question}"))

    def connect(self) -> None:
        """Point the official client of this process at the site's database."""
        import linkahead_embedded  # noqa: PLC0415 - only here

        linkahead_embedded.connect(self.database, self.archive, create=True)

    def ledger_rows(self, table: str) -> list[dict[str, Any]]:
        connection = sqlite3.connect(f"file:{self.folder / 'state' / 'ledger.db'}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608 - a table's name
        finally:
            connection.close()

    def files(self) -> list[LedgerFile]:
        """Give the rows of the ledger's files."""
        names = ("outcome", "code", "destination", "sha256", "series")
        return [
            LedgerFile(path=Path(row["path"]), **{name: row[name] for name in names})
            for row in self.ledger_rows("files")
        ]

    def fates(self, below: Path | None = None) -> dict[str, tuple[str, str | None]]:
        """Give (outcome, code) of each input file by its path below a folder (the site's inbox)."""
        root = (below or self.inbox).resolve()
        return {
            row.path.relative_to(root).as_posix(): (row.outcome, row.code)
            for row in self.files()
            if row.path.is_relative_to(root)
        }

    def sessions(self) -> list[Path]:
        """Give the published session folders."""
        return sorted(path.parent for path in self.archive.rglob("session.json"))

    def facts(self, session: Path) -> dict[str, Any]:
        return json.loads((session / "session.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]

    def tree(self) -> dict[str, str]:
        """Give the SHA-256 of every published file."""
        return {
            path.relative_to(self.archive).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.archive.rglob("*"))
            if path.is_file()
        }

    def content(self) -> Counter[str]:
        """Give what the database says, free of ids, versions and times: each entity as one text."""
        from linkahead.queries import find  # noqa: PLC0415 - only here

        self.connect()
        entities = find("FIND ENTITY")
        names = {entity.id: _name(entity) for entity in entities}
        return Counter(_described(entity, names) for entity in entities)


def _name(entity: Any) -> str:
    parents = "+".join(sorted(parent.name or "" for parent in entity.parents))
    return f"{type(entity).__name__} {entity.path or entity.name or ''} ({parents})"


def _described(entity: Any, names: dict[int, str]) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        return names.get(value, value) if isinstance(value, int) and not isinstance(value, bool) else value

    def value_of(one: Any) -> Any:
        return plain(one.value) if _refers(one.datatype) else one.value

    lines = [
        f"{one.name} {one.datatype} {one.unit} {entity.get_importance(one)} {value_of(one)!r}"
        for one in entity.properties
    ]
    own = [_name(entity), str(entity.description), str(entity.checksum), str(entity.size)]
    if type(entity).__name__ == "Property":
        own += [str(entity.datatype), str(entity.unit)]
    return "\n".join([*own, *sorted(lines)])


def _refers(datatype: Any) -> bool:
    text = str(datatype)
    return text.removeprefix("LIST<").removesuffix(">") not in {"TEXT", "DOUBLE", "INTEGER", "BOOLEAN", "DATETIME"}
