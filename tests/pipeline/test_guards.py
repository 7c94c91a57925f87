"""What a run must not do: touch what is not its own, keep a trial, change a pseudonym, forget what it owes."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from heartbrain_ingest.errors import KeyFileError, RulesError
from heartbrain_ingest.inbox import ArchiveError, unpack
from heartbrain_ingest.settings import load_settings
from heartbrain_ingest.site import make_site
from tests.pipeline.scans import make_slice, write, write_series
from tests.pipeline.site import KEY, Site


def test_a_folder_named_as_staging_keeps_what_it_held(site: Site, tmp_path: Path) -> None:
    precious = tmp_path / "scratchdisk" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("years of work")
    site.settings.write_text(f"folders: {{staging: {precious.parent}}}\n")
    write_series(tmp_path / "study", series=2)
    assert len(site.take_in(tmp_path / "study").published) == 1
    assert precious.read_text() == "years of work"


def test_a_dry_run_names_the_folder_and_changes_nothing(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study", series=2)
    trial = site.take_in(tmp_path / "study", dry_run=True)
    assert not (site.folder / "state" / "ledger.db").exists()
    assert site.tree() == {}
    real = site.take_in(tmp_path / "study")
    assert real.new == trial.new > 0
    assert real.published == trial.announced


def test_a_folder_given_as_inbox_completes_only_its_own_sessions(site: Site, tmp_path: Path) -> None:
    write_series(site.inbox, series=2)
    assert site.take_in().published == []
    write_series(tmp_path / "other", series=2, PatientID="HB0100")
    report = site.take_in(tmp_path / "other")
    assert len(report.published) == 1
    assert report.waiting == 1


def test_another_label_for_a_published_subject_is_refused(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study", series=2)
    site.take_in(tmp_path / "study")
    before = site.tree()
    site.key_file.write_text(KEY.replace("{}", "{HB0099: HB001}"))
    write_series(tmp_path / "study", series=3)
    with pytest.raises(KeyFileError, match="1 known subjects another label"):
        site.take_in(tmp_path / "study")
    assert site.tree() == before


def test_a_site_that_lost_its_key_gets_no_new_one(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study", series=2)
    site.take_in(tmp_path / "study")
    site.key_file.unlink()
    with pytest.raises(KeyFileError, match="put it back from your backup"):
        make_site(site.folder)
    assert not site.key_file.exists()


def test_a_quarantined_file_is_discarded_by_taking_it_out_of_the_inbox(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write(make_slice(1, BurnedInAnnotation="YES"), inbox / "screen")
    assert site.take_in(inbox).exit_code == 1
    (inbox / "screen").unlink()
    report = site.take_in(inbox)
    assert report.exit_code == 0
    assert site.fates(inbox) == {"screen": ("ignored", "FILE_GONE")}


def test_records_that_could_not_be_made_are_made_by_the_next_run(site: Site, tmp_path: Path) -> None:
    definition = site.folder / "crawler_config" / "cfood.yml"
    good = definition.read_text(encoding="utf-8")
    definition.write_text("{}", encoding="utf-8")
    write_series(tmp_path / "study", series=2)
    with pytest.raises(RulesError):
        site.take_in(tmp_path / "study")
    assert len(site.sessions()) == 1
    definition.write_text(good, encoding="utf-8")
    report = site.take_in(tmp_path / "study")
    assert (report.new, report.published, report.trouble) == (0, [], None)
    assert site.count("RECORD T1WeightedImage") == 1


def test_a_database_that_is_down_stops_nothing_but_the_records(site: Site, tmp_path: Path) -> None:
    site.settings.write_text("linkahead: {database: inbox}\n")  # a folder can't be opened as a database
    write_series(tmp_path / "study" / "one", series=2)
    write_series(tmp_path / "study" / "two", series=2, PatientID="HB0100")
    report = site.take_in(tmp_path / "study")
    assert len(report.published) == 2
    assert report.trouble is not None
    assert report.exit_code == 2
    site.settings.write_text("")
    report = site.take_in(tmp_path / "study")
    assert (report.published, report.trouble) == ([], None)
    assert site.count("RECORD T1WeightedImage") == 2


def test_fidelity_can_be_turned_off_as_it_is_written(site: Site) -> None:
    site.settings.write_text("conversion: {fidelity: off}\n")
    assert load_settings(site.settings).conversion.fidelity == "off"


@pytest.mark.parametrize("suffix", ["zip", "tgz"])
def test_the_members_of_an_archive_are_files_of_their_own(site: Site, tmp_path: Path, suffix: str) -> None:
    write_series(tmp_path / "study", series=2)
    inbox = tmp_path / "packed"
    inbox.mkdir()
    names = sorted(path.name for path in (tmp_path / "study").rglob("*") if path.is_file())
    kind = {"zip": "zip", "tgz": "gztar"}[suffix]
    shutil.move(shutil.make_archive(str(tmp_path / "all"), kind, tmp_path / "study"), inbox / f"all.{suffix}")
    report = site.take_in(inbox)
    assert len(report.published) == 1
    assert report.outcomes == {("converted", ""): len(names), ("ignored", "ARCHIVE_UNPACKED"): 1}
    assert list((site.folder / "state" / "unpacked").iterdir()) == []
    assert site.take_in(inbox).new == 0


def test_an_archive_in_an_archive_is_unpacked_too(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study", series=2)
    inner = Path(shutil.make_archive(str(tmp_path / "inner"), "zip", tmp_path / "study"))
    (tmp_path / "packed").mkdir()
    with zipfile.ZipFile(tmp_path / "packed" / "outer.zip", "w") as outer:
        outer.write(inner, "inner.zip")
    report = site.take_in(tmp_path / "packed")
    assert report.outcomes["ignored", "ARCHIVE_UNPACKED"] == 2
    assert len(report.published) == 1


@pytest.mark.parametrize("name", ["../../outside", "a/../../up", "..\\windows", "a/.."])
def test_an_archive_with_a_name_that_leads_out_is_refused_as_a_whole(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as tape:
        tape.addfile(tarfile.TarInfo("plain"), io.BytesIO())
        tape.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(ArchiveError, match="UNSAFE_NAME"):
        unpack(archive, tmp_path / "out", limit=1000)
    assert [path.name for path in tmp_path.iterdir()] == ["evil.tar"]


def test_a_member_can_not_leave_the_folder_and_links_are_left_out(tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as tape:
        for name in ("/absolute", "./a/up", "plain"):
            tape.addfile(tarfile.TarInfo(name), io.BytesIO())
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tape.addfile(link)
    unpack(archive, tmp_path / "out", limit=1000)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"evil.tar", "out/absolute", "out/a/up", "out/plain"}


def test_an_archive_that_unpacks_to_more_than_allowed_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros", bytes(100_000))
    with pytest.raises(ArchiveError, match="TOO_LARGE"):
        unpack(archive, tmp_path / "out", limit=1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bomb.zip"]
