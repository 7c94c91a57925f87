"""What a steward sees in the quarantine and decides about it; the ledger adds up whatever that is."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from heartbrain_ingest.cli import main
from heartbrain_ingest.ledger import Ledger
from heartbrain_ingest.quarantine import LOOKED_AT, QuarantineError, discard, listed, release
from heartbrain_ingest.settings import load_settings
from tests.pipeline.scans import make_slice, write, write_series
from tests.pipeline.site import Site

#: The patient's name is in the name of the project: the audit finds it in what is about to be published.
LEAKY = "projects: {default: 2023_Quandt}\n"
SEEN = "the hit is the name of the project"


def _adds_up(site: Site) -> None:
    ledger = Ledger(site.folder / "state" / "ledger.db")
    try:
        assert ledger.inconsistencies() == []
    finally:
        ledger.close()


def _files(site: Site, code: str) -> list[int]:
    return [row["id"] for row in site.ledger_rows("files") if row["code"] == code]


def test_the_list_says_how_many_and_why_and_names_files_only_when_asked(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox)
    (inbox / "Quandt.dcm").touch()
    write(make_slice(1, series=9, BurnedInAnnotation="YES"), inbox / "screen")
    site.take_in(inbox)
    shown = site.run("quarantine", "list")
    assert shown.code == 0
    assert "EMPTY_FILE, 1 file" in shown.out
    assert "BURNED_IN_TEXT, 1 file" in shown.out
    assert "Quandt" not in shown.out
    assert str(inbox / "Quandt.dcm") in site.run("quarantine", "list", "--files").out
    data = json.loads(site.run("quarantine", "explain", "EMPTY_FILE", "--json").out)
    assert [(one["code"], one["needs_look"], len(one["files"])) for one in data] == [("EMPTY_FILE", False, 1)]


def test_what_is_sent_again_by_name_is_looked_at_again_and_comes_back_when_nothing_changed(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "study"
    write_series(inbox)
    (inbox / "empty").touch()
    site.take_in(inbox)
    number = _files(site, "EMPTY_FILE")[0]
    assert site.run("quarantine", "release", str(number)).out.startswith("1 files released")
    assert site.fates(inbox)["empty"] == ("waiting", "RELEASED")
    _adds_up(site)
    site.take_in(inbox)
    assert site.fates(inbox)["empty"] == ("quarantined", "EMPTY_FILE")


def test_a_picture_somebody_looked_at_is_taken_in_and_the_certificate_says_so(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    for number in range(1, 5):
        write(make_slice(number, BurnedInAnnotation="YES"), inbox / f"{number}.dcm")
    site.take_in(inbox)
    assert site.sessions() == []
    settings = load_settings(site.settings)
    with pytest.raises(QuarantineError, match="--i-looked-at-it"):
        release(settings, ["BURNED_IN_TEXT"])
    with pytest.raises(QuarantineError, match="names the patient"):
        release(settings, ["BURNED_IN_TEXT"], "Quandt is not in the picture")
    assert set(site.fates(inbox).values()) == {("quarantined", "BURNED_IN_TEXT")}
    assert len(release(settings, ["BURNED_IN_TEXT"], "a ruler, no text at all")) == 4
    report = site.take_in(inbox)
    assert (len(report.published), report.exit_code) == (1, 0)
    assert set(site.fates(inbox).values()) == {("converted", None)}
    certificate = json.loads((site.sessions()[0] / "certificate.json").read_text(encoding="utf-8"))
    assert certificate["Released"] == [{"Code": "BURNED_IN_TEXT", "Count": 4, "Reason": "a ruler, no text at all"}]
    header = b"".join(path.read_bytes() for path in site.sessions()[0].rglob("*.zip"))
    assert b"Quandt" not in header


def test_a_release_holds_for_what_was_looked_at_not_for_another_file_of_that_name(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox)
    screen = write(make_slice(1, series=9, BurnedInAnnotation="YES"), inbox / "screen")
    site.take_in(inbox)
    release(load_settings(site.settings), [str(screen)], "a ruler, no text at all")
    write(make_slice(2, series=9, BurnedInAnnotation="YES"), screen)
    site.take_in(inbox)
    assert site.fates(inbox)["screen"] == ("quarantined", "BURNED_IN_TEXT")


def test_a_refused_session_can_be_looked_at_released_and_published(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site", LEAKY)
    inbox = tmp_path / "study"
    write_series(inbox)
    report = site.take_in(inbox)
    assert (report.published, report.refused, report.exit_code) == ([], {"LEAK": 1}, 1)
    assert site.tree() == {}
    settings = load_settings(site.settings)
    group = listed(settings, ["LEAK"])[0]
    assert any("session.json" in place for place in group.places)
    assert group.folder is not None
    assert next(Path(group.folder).rglob("session.json")).is_file()
    assert Path(group.folder).parent.stat().st_mode & 0o777 == 0o700
    release(settings, [group.delivery or ""], SEEN)
    report = site.take_in(inbox)
    assert len(report.published) == 1
    certificate = json.loads((site.sessions()[0] / "certificate.json").read_text(encoding="utf-8"))
    assert {(one["Code"], one["Reason"]) for one in certificate["Released"]} == {("LEAK", SEEN)}
    assert not Path(group.folder).exists()


def test_the_right_one_of_two_files_of_an_instance_is_taken_in(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox, slices=5)
    other = write(make_slice(5, PixelData=bytes(512)), inbox / "other.dcm")
    site.take_in(inbox)
    settings = load_settings(site.settings)
    with pytest.raises(QuarantineError, match="only one can be right"):
        release(settings, ["CONFLICTING_INSTANCE"], "the second one is the repetition")
    release(settings, [str(other)], "the other one stopped half-way")
    report = site.take_in(inbox)
    fates = site.fates(inbox)
    assert fates["other.dcm"] == ("converted", None)
    assert fates["02_0005.dcm"] == ("ignored", "REPLACED_INSTANCE")
    assert len(report.published) == 1
    assert report.published[0].endswith("_rev-2")
    newest = site.archive / report.published[0]
    assert json.loads(next(newest.rglob("*_T1w.json")).read_text(encoding="utf-8"))["ImageShape"][2] == 5
    assert site.take_in(inbox).published == []


def test_what_is_discarded_stays_aside_and_the_ledger_says_why(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox)
    (inbox / "empty").touch()
    site.take_in(inbox)
    done = site.run("quarantine", "discard", "EMPTY_FILE", "--reason", "transfer failed, sent again")
    assert (done.code, done.out) == (0, "1 files discarded.\n")
    _adds_up(site)
    report = site.take_in(inbox)
    assert report.outcomes == {("converted", ""): 4, ("ignored", "DISCARDED"): 1}
    assert report.exit_code == 0
    assert [row["reason"] for row in site.ledger_rows("decisions")] == ["transfer failed, sent again"]


def test_a_discarded_session_does_not_come_back_with_late_files(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site", LEAKY)
    inbox = tmp_path / "study"
    write_series(inbox)
    site.take_in(inbox)
    discard(load_settings(site.settings), ["LEAK"], "the wrong project, sent again under the right one")
    assert site.ledger_rows("deliveries")[0]["state"] == "discarded"
    assert not any((site.folder / "quarantine").iterdir())
    write_series(inbox, series=3, SeriesDescription="t2_tse_tra", InversionTime=None)
    site.settings.write_text("", encoding="utf-8")
    site.take_in(inbox)
    assert Counter(site.fates(inbox).values()) == {("ignored", "DISCARDED"): 4, ("quarantined", "LEAK"): 4}
    _adds_up(site)


def test_a_word_that_names_nothing_changes_nothing_and_says_so(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study")
    site.take_in(tmp_path / "study")
    done = site.run("quarantine", "discard", "17", "--reason", "transfer failed, sent again")
    assert done.code == 2
    assert "nothing in quarantine is called so" in done.err
    assert site.run("quarantine", "list").out == "Nothing is in quarantine.\n"


def test_a_folder_of_the_stewards_own_in_the_quarantine_is_left_alone(site: Site, tmp_path: Path) -> None:
    folders = [site.folder / "quarantine" / name for name in ("delivery-7 looked at", "delivery-x", "notes")]
    for folder in folders:
        folder.mkdir(parents=True)
    write_series(tmp_path / "study")
    assert len(site.take_in(tmp_path / "study").published) == 1
    assert all(folder.is_dir() for folder in folders)


def test_help_and_howto_name_every_code_that_a_look_can_overrule(project_root: Path) -> None:
    shown = CliRunner().invoke(main, ["quarantine", "release", "--help"]).output
    assert [code for code in LOOKED_AT if code not in shown] == []
    page = (project_root / "docs" / "howto-steward.md").read_text(encoding="utf-8")
    table = page.partition("--i-looked-at-it")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(LOOKED_AT)
