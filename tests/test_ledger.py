from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from heartbrain_ingest import ledger_schema
from heartbrain_ingest.errors import LedgerError
from heartbrain_ingest.inbox.files import FoundFile
from heartbrain_ingest.ledger import DeliveryState, FileRow, Ledger, Outcome


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "state" / "ledger.db")
    yield opened
    opened.close()


def _found(name: str, size: int = 5, mtime_ns: int = 7) -> FoundFile:
    return FoundFile(path=f"/inbox/{name}", size=size, mtime_ns=mtime_ns)


def _row(name: str, **values: object) -> FileRow:
    usual = {"size": 5, "mtime_ns": 7, "kind": "dicom", "outcome": Outcome.WAITING}
    return FileRow(path=f"/inbox/{name}", **{**usual, **values})  # type: ignore[arg-type]


def _session(ledger: Ledger, key: str = "k", **values: str) -> int:
    usual = {"project": "2023_X", "subject": "S", "session": key, "patient_id": "HB1", "study_date": "2023-05-04"}
    return ledger.add_delivery(key=key, kind="session", **{**usual, **values})


def test_a_file_is_new_until_it_is_recorded_and_again_when_it_changes(ledger: Ledger) -> None:
    assert ledger.unknown([_found("a"), _found("b")]) == [_found("a"), _found("b")]
    ledger.record([_row("a")])
    assert ledger.unknown([_found("a"), _found("b")]) == [_found("b")]
    assert ledger.unknown([_found("c")]) == [_found("c")]
    assert [row.path for row in ledger.files()] == ["/inbox/a"]


def test_a_file_that_changed_since_the_last_run_is_new(tmp_path: Path) -> None:
    for expected in ([_found("a", size=5)], [_found("a", size=6)], [_found("a", size=6, mtime_ns=8)], []):
        ledger = Ledger(tmp_path / "ledger.db")
        now = expected or [_found("a", size=6, mtime_ns=8)]
        assert ledger.unknown(now) == expected
        ledger.record([_row("a", size=one.size, mtime_ns=one.mtime_ns) for one in now])
        ledger.close()


def test_a_replaced_file_that_waited_loses_what_was_known_of_the_old_one(ledger: Ledger) -> None:
    delivery = _session(ledger)
    ledger.record([_row("a", sha256="x")])
    first = next(ledger.files())
    ledger.assign([first.id], delivery)
    ledger.record([_row("a", size=9)])
    row = next(ledger.files())
    assert (row.id, row.size, row.delivery, row.outcome, row.sha256) == (first.id, 9, None, Outcome.WAITING, None)


def test_what_was_published_of_a_replaced_file_stays_known_under_a_name_that_no_file_has(ledger: Ledger) -> None:
    delivery = _session(ledger)
    ledger.record([_row("a", sha256="x")])
    first = next(ledger.files())
    ledger.assign([first.id], delivery)
    ledger.settle([(first.id, Outcome.CONVERTED, None, "place!1", None)])
    ledger.record([_row("a", size=9)])
    new, old = ledger.files()
    assert (new.path, new.size, new.delivery, new.outcome) == ("/inbox/a", 9, None, Outcome.WAITING)
    assert (old.path, old.id, old.delivery, old.destination) == (
        f"/inbox/a (replaced, {first.id})",
        first.id,
        delivery,
        "place!1",
    )


def test_a_ledger_of_the_first_version_becomes_the_present_one_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path)
    connection.executescript(ledger_schema._STEPS[0] + "PRAGMA user_version = 1;")
    connection.execute(
        "INSERT INTO files (path, size, mtime_ns, kind, outcome) VALUES ('/inbox/a', 5, 7, 'dicom', 'waiting')"
    )
    connection.commit()
    connection.close()
    ledger = Ledger(path)
    assert [row.path for row in ledger.files()] == ["/inbox/a"]
    assert ledger.decisions() == []
    ledger.close()


def test_settling_keeps_a_known_digest(ledger: Ledger) -> None:
    ledger.record([_row("a", sha256="x"), _row("b")])
    first, second = ledger.files()
    ledger.settle(
        [(first.id, Outcome.IGNORED, "NOT_DICOM", None, None), (second.id, Outcome.IGNORED, "NOT_DICOM", None, "y")]
    )
    assert [row.sha256 for row in ledger.files()] == ["x", "y"]
    assert ledger.counts() == {("ignored", "NOT_DICOM"): 2}


def test_staged_outcomes_come_true_together_or_not_at_all(ledger: Ledger) -> None:
    delivery = _session(ledger)
    ledger.record([_row("a"), _row("b")])
    first, second = ledger.files()
    ledger.stage_outcomes(delivery, [(first.id, Outcome.CONVERTED, None, "p!1", "d")])
    assert {row.outcome for row in ledger.files()} == {Outcome.WAITING}
    ledger.drop_outcomes(delivery)
    ledger.apply_outcomes(delivery)
    assert {row.outcome for row in ledger.files()} == {Outcome.WAITING}
    ledger.stage_outcomes(delivery, [(one.id, Outcome.CONVERTED, None, "p!1", "d") for one in (first, second)])
    ledger.apply_outcomes(delivery)
    assert [(row.outcome, row.destination, row.sha256) for row in ledger.files()] == [
        (Outcome.CONVERTED, "p!1", "d")
    ] * 2


def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger) -> None:
    def fail() -> None:
        with ledger.transaction():
            ledger.record([_row("a")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(ledger.files()) == []


def test_what_was_not_committed_is_gone_after_the_process(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    with ledger.transaction():
        ledger.record([_row("a")])
        other = sqlite3.connect(f"file:{tmp_path / 'ledger.db'}?mode=ro", uri=True)
        assert other.execute("SELECT COUNT(*) FROM files").fetchone() == (0,)
    assert other.execute("SELECT COUNT(*) FROM files").fetchone() == (1,)
    other.close()
    ledger.close()


def test_what_does_not_add_up_is_said_in_plain_words(ledger: Ledger) -> None:
    assert ledger.inconsistencies() == []
    ledger.unknown([_found("a")])
    assert ledger.inconsistencies() == ["1 files of the inbox have no row"]
    ledger.record([_row("a")])
    assert ledger.inconsistencies() == ["1 files wait in no delivery (rows 1)"]
    delivery = _session(ledger)
    ledger.assign([next(ledger.files()).id], delivery)
    assert ledger.inconsistencies() == []
    ledger.set_state(delivery, DeliveryState.CRAWLED)
    assert ledger.inconsistencies() == ["1 files wait in a delivery that is done (rows 1)"]


def test_counts_of_a_run_leave_out_what_the_run_did_not_see(ledger: Ledger) -> None:
    ledger.record([_row("a"), _row("b", outcome=Outcome.IGNORED, code="NOT_DICOM")])
    ledger.unknown([_found("b")])
    assert ledger.counts_of_seen() == {("ignored", "NOT_DICOM"): 1}


def test_each_published_folder_is_the_next_revision_and_is_crawled_once_oldest_first(ledger: Ledger) -> None:
    one, two = _session(ledger, "1"), _session(ledger, "2")
    for delivery, path in ((one, "b"), (one, "b_rev-2"), (two, "a")):
        ledger.add_folder(delivery, path)
    assert ledger.uncrawled() == [(two, "a"), (one, "b"), (one, "b_rev-2")]
    ledger.set_crawled("b")
    assert ledger.uncrawled() == [(two, "a"), (one, "b_rev-2")]
    known = ledger.delivery("1")
    assert known is not None
    assert (known.revision, known.folder) == (2, "b_rev-2")
    assert ledger.folders() == ["a", "b", "b_rev-2"]


def test_a_session_label_is_given_once_to_a_subject(ledger: Ledger) -> None:
    _session(ledger, "20230504")
    assert ledger.sessions_of("S") == {"20230504"}
    with pytest.raises(sqlite3.IntegrityError):
        ledger.add_delivery(key="other", kind="session", project="2023_X", subject="S", session="20230504")


def test_sessions_are_found_by_patient_and_true_day(ledger: Ledger) -> None:
    delivery = _session(ledger)
    assert ledger.sessions_on("HB1", "2023-05-04") == [delivery]
    assert ledger.sessions_on("HB1", "2023-05-05") == []
    assert ledger.sessions_on("HB2", "2023-05-04") == []


def test_everybody_who_came_with_a_patient_id_is_remembered_once(ledger: Ledger) -> None:
    for birth_date in ("19700101", "19700101", "19800101"):
        ledger.remember_subject(f"S{birth_date[2]}", "HB1", birth_date, "F", "")
    assert ledger.identities("HB1") == [("S7", "19700101", "F", ""), ("S8", "19800101", "F", "")]


def test_only_the_owner_may_read_it_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state" / "ledger.db"
    Ledger(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LedgerError, match="schema version 99"):
        Ledger(path)


def test_a_file_that_comes_back_after_it_was_gone_is_new_again_and_a_published_one_is_not(tmp_path: Path) -> None:
    for night, (seen, expected) in enumerate(
        [(["a", "b"], ["a", "b"]), ([], []), (["a", "b"], ["a"]), (["a", "b"], [])]
    ):
        ledger = Ledger(tmp_path / "ledger.db")
        new = ledger.unknown([_found(name) for name in seen]) if seen else []
        assert new == [_found(name) for name in expected], night
        ledger.record([_row(Path(one.path).name) for one in new])
        if night == 0:
            delivery = _session(ledger)
            ledger.assign([1, 2], delivery)
            ledger.settle([(2, Outcome.CONVERTED, None, "zip!b", "digest")])
        ledger.note_gone("/inbox")
        ledger.close()


def test_what_is_in_a_folder_that_can_not_be_looked_into_is_not_gone(ledger: Ledger) -> None:
    ledger.record([_row("locked/a"), _row("locked beside/a"), _row("open/a")])
    ledger.note_gone("/inbox", ["/inbox/locked"])
    assert {row.path: row.code for row in ledger.files()} == {
        "/inbox/locked/a": None,
        "/inbox/locked beside/a": "FILE_GONE",
        "/inbox/open/a": "FILE_GONE",
    }
