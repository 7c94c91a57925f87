"""What a command says when the program itself is at fault."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from tests.pipeline.scans import write_series
from tests.pipeline.site import Site


def test_an_error_that_nobody_foresaw_is_one_line_that_names_nobody(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site")
    (path, *_) = write_series(tmp_path / "study")
    site.take_in(tmp_path / "study")
    with closing(sqlite3.connect(site.folder / "state" / "ledger.db")) as connection, connection:
        connection.execute("UPDATE files SET outcome = 'Quandt'")
    done = site.run("explain", path)
    log = site.folder / "state" / "failures.log"
    assert done.code == 2
    assert done.out == ""
    assert done.err.splitlines() == [done.err.rstrip("\n")]
    assert "ValueError" in done.err
    assert str(log) in done.err
    assert "Quandt" not in done.err
    assert "'Quandt' is not a valid Outcome" in log.read_text(encoding="utf-8")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
