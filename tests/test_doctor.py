"""`heartbrain doctor` finds what would stop a run, and says what to do."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from heartbrain_ingest.doctor import State, examine, exit_code
from heartbrain_ingest.lock import exclusive
from heartbrain_ingest.settings import load_settings
from tests.pipeline.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path / "site")


def _bad(site: Site) -> dict[str, str]:
    return {one.what: one.message for one in examine(site.settings) if one.state is State.PROBLEM}


def test_a_new_site_has_no_problem_and_every_finding_that_wants_something_says_what(site: Site) -> None:
    findings = examine(site.settings)
    assert [one for one in findings if one.state is State.PROBLEM] == []
    assert exit_code(findings) in {0, 1}  # 1 where the disk of the test machine is nearly full
    assert {"Python", "libraries", "dcm2niix", "BIDS validator", "rules", "key", "archive"} <= {
        one.what for one in findings
    }
    assert all(one.action for one in findings if one.state in {State.WARNING, State.PROBLEM})
    versions = {one.what: one.message for one in findings}
    assert versions["dcm2niix"].startswith("v1.0.")


def _break_settings(site: Site) -> None:
    site.settings.write_text("inbox: {quiet: 5}\n")


def _break_rules(site: Site) -> None:
    (site.folder / "crawler_config" / "bids_rules.yml").write_text("rules: 5\n")


def _open_key(site: Site) -> None:
    site.key_file.chmod(0o644)


def _open_state(site: Site) -> None:
    (site.folder / "state").chmod(0o755)


def _open_archive(site: Site) -> None:
    site.archive.chmod(0o777)


def _no_inbox(site: Site) -> None:
    site.inbox.rmdir()


def _damaged_ledger(site: Site) -> None:
    (site.folder / "state" / "ledger.db").write_bytes(b"no database" * 100)


def _damaged_database(site: Site) -> None:
    connection = sqlite3.connect(site.database)
    connection.execute("CREATE TABLE t (x)")
    connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 100)
    connection.commit()
    connection.close()
    content = bytearray(site.database.read_bytes())
    content[4096:12288] = os.urandom(8192)
    site.database.write_bytes(content)


def _state_in_archive(site: Site) -> None:
    site.settings.write_text("folders: {inbox: archive/inbox}\n")
    (site.archive / "inbox").mkdir(mode=0o700)


def _silent_server(site: Site) -> None:
    (site.folder / "pylinkahead.ini").write_text(
        "[Connection]\nurl=http://127.0.0.1:9/\npassword_method=unauthenticated\n"
    )
    site.settings.write_text("linkahead: {ini: pylinkahead.ini}\n")


def _future(site: Site) -> None:
    site.take_in()
    os.utime(site.folder / "state" / "ledger.db", (4e9, 4e9))


@pytest.mark.parametrize(
    ("damage", "what", "message"),
    [
        (_break_settings, "settings", "inbox.quiet_minutes"),
        (_break_rules, "bids_rules.yml", "rules"),
        (_open_key, "key", "0644"),
        (_open_state, "state", "others may look into it"),
        (_open_archive, "archive", "everybody may write"),
        (_no_inbox, "inbox", "is not there"),
        (_damaged_ledger, "ledger", "not a database"),
        (_damaged_database, "LinkAhead", "damaged"),
        (_state_in_archive, "folders", "inside the archive"),
        (_silent_server, "LinkAhead", ""),
        (_future, "clock", "future"),
    ],
)
def test_what_would_stop_a_run_or_let_names_out_is_a_problem(
    site: Site, damage: Callable[[Site], None], what: str, message: str
) -> None:
    damage(site)
    findings = examine(site.settings)
    bad = {one.what: one.message for one in findings if one.state is State.PROBLEM}
    assert message in bad[what]
    assert exit_code(findings) == 2


def test_a_published_folder_that_is_gone_is_noticed(site: Site) -> None:
    site.take_in()
    connection = sqlite3.connect(site.folder / "state" / "ledger.db")
    connection.execute("INSERT INTO deliveries (id, key, kind, state) VALUES (1, 'x', 'session', 'crawled')")
    connection.execute("INSERT INTO folders (delivery, revision, path) VALUES (1, 1, 'ExperimentalData/gone')")
    connection.commit()
    connection.close()
    assert "ExperimentalData/gone" in _bad(site)["archive"]


def test_the_command_prints_a_line_each_or_json_and_ends_with_the_worst(site: Site) -> None:
    shown = site.run("doctor")
    assert shown.code in {0, 1}
    assert any(line.startswith(("ok      archive: ", "LOOK    archive: ")) for line in shown.out.splitlines())
    site.key_file.chmod(0o644)
    shown = site.run("doctor", "--json")
    assert shown.code == 2
    assert {"what", "state", "message", "action"} == set(json.loads(shown.out)[0])


def test_a_run_that_is_at_work_is_named(site: Site) -> None:
    with exclusive(load_settings(site.settings)):
        lock = next(one for one in examine(site.settings) if one.what == "lock")
    assert f"process {os.getpid()}" in lock.message
    assert next(one for one in examine(site.settings) if one.what == "lock").message == "free"
