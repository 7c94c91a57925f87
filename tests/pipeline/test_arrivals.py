"""Whatever lies in an inbox has an outcome with a code: unfinished, unreadable, oddly named, packed, replaced."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tests.pipeline.scans import make_slice, write, write_series
from tests.pipeline.site import Site
from tests.pipeline.test_recordings import lab_table

#: However young a file is, it has been quiet.
QUIET = "inbox: {quiet_minutes: 0}\n"
#: What lets the superuser open everything; without them the permission bits count for all (capabilities(7)).
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_PR_CAPBSET_DROP = 24


def obey_permissions() -> None:
    """Make the program that is started next obey permission bits, also as the superuser of a test machine."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def take_in_as_one_who_obeys(site: Site) -> subprocess.CompletedProcess[str]:
    """Run the program as somebody whom permission bits hold up."""
    return subprocess.run(
        site.argv("ingest", "--json", "--jobs", "1"),
        capture_output=True,
        text=True,
        env=site.environment(),
        preexec_fn=obey_permissions,
        timeout=120,
        check=False,
    )


# unfinished


def test_a_file_that_is_still_being_written_waits_and_is_taken_when_it_is_whole(site: Site) -> None:
    paths = write_series(site.inbox / "study")
    whole = paths[3].read_bytes()
    paths[3].write_bytes(whole[:-100])
    report = site.take_in()
    assert site.fates()["study/02_0004.dcm"][0] == "waiting"
    assert (report.published, report.exit_code) == ([], 0)
    paths[3].write_bytes(whole)
    site.settings.write_text(QUIET, encoding="utf-8")
    assert len(site.take_in().published) == 1
    assert set(site.fates().values()) == {("converted", None)}


@pytest.mark.parametrize(
    ("content", "first", "code"),
    [
        (b"", "FILE_GROWING", "EMPTY_FILE"),
        (b"cut", None, "TRUNCATED_DICOM"),  # its header is whole: it waits with its session
        (b"PK", "FILE_GROWING", "DAMAGED_ARCHIVE"),
    ],
)
def test_a_file_that_never_becomes_whole_is_judged_when_it_has_been_quiet(
    site: Site, content: bytes, first: str | None, code: str
) -> None:
    path = site.inbox / "file"
    if content == b"cut":
        write(make_slice(1), path)
        content = path.read_bytes()[:-100]
    elif content:
        content = b"PK\x03\x04" + bytes(300)
    path.write_bytes(content)
    site.take_in()
    assert site.fates() == {"file": ("waiting", first)}
    assert "FILE_GROWING" not in json.loads(site.run("status", "--json").out)["quarantine"]
    site.settings.write_text(QUIET, encoding="utf-8")
    report = site.take_in()
    assert site.fates() == {"file": ("quarantined", code)}
    assert report.new == (1 if first else 0)


def test_an_archive_is_unpacked_when_it_has_arrived(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study")
    packed = Path(shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "study")).read_bytes()
    (site.inbox / "all.zip").write_bytes(packed[: len(packed) // 2])
    site.take_in()
    assert site.fates() == {"all.zip": ("waiting", "FILE_GROWING")}
    (site.inbox / "all.zip").write_bytes(packed)
    site.settings.write_text(QUIET, encoding="utf-8")
    report = site.take_in()
    assert report.outcomes == {("converted", ""): 4, ("ignored", "ARCHIVE_UNPACKED"): 1}


def test_status_says_what_waits_and_what_the_headers_announced(site: Site) -> None:
    write_series(site.inbox / "study", ImagesInAcquisition=192)
    site.take_in()
    waiting = json.loads(site.run("status", "--json").out)["waiting"]
    assert [(one["files"], one["series"]) for one in waiting] == [(4, [[2, 4, 192]])]
    shown = site.run("status").out
    assert re.search(r"4 files wait; quiet for \d+ min, taken after 30 min", shown)
    assert "series 2: 4 files (a header announced 192; such numbers are often wrong)" in shown
    (site.inbox / ".complete").touch()
    assert len(site.take_in().published) == 1
    assert json.loads(site.run("status", "--json").out)["waiting"] == []


# unreadable


def test_files_and_folders_without_permission_have_their_code_and_the_rest_is_published(site: Site) -> None:
    write_series(site.inbox / "study")
    secret = write(make_slice(9, series=7), site.inbox / "study" / "secret.dcm")
    secret.chmod(0)
    locked = site.inbox / "locked"
    write_series(locked, PatientID="HB0500")
    locked.chmod(0)
    (site.inbox / ".complete").touch()
    done = take_in_as_one_who_obeys(site)
    locked.chmod(0o700)
    assert done.returncode == 1, done.stderr
    fates = site.fates()
    assert fates.pop("study/secret.dcm") == fates.pop("locked") == ("quarantined", "UNREADABLE_FILE")
    assert set(fates.values()) == {("converted", None)}
    secret.chmod(0o600)
    report = site.take_in(site.inbox)
    # The change of mode is no change of content: the steward says that it can be read now.
    assert site.fates()["study/secret.dcm"] == ("quarantined", "UNREADABLE_FILE")
    assert report.new == 4
    assert site.run("quarantine", "release", "UNREADABLE_FILE").code == 0
    site.take_in(site.inbox)
    assert site.fates()["study/secret.dcm"] == ("converted", None)


def test_a_file_that_vanishes_while_the_inbox_is_looked_through_is_no_trouble(site: Site) -> None:
    write_series(site.inbox / "study")
    (site.inbox / "study" / "02_0002.dcm.part").touch()
    before = os.lstat

    def renamed(path: str, **options: object) -> os.stat_result:
        Path(path).unlink(missing_ok=True) if str(path).endswith(".part") else None
        return before(path)

    with pytest.MonkeyPatch.context() as patch:  # the moment between listing a folder and looking at a file
        patch.setattr("heartbrain_ingest.inbox.files.os.lstat", renamed)
        report = site.take_in(site.inbox)
    assert (report.seen, len(report.published)) == (4, 1)


# oddly named


def test_any_bytes_make_a_name(site: Site) -> None:
    names = [b"two\nlines.dcm", b"latin-1 M\xfcller.dcm", "\N{SNOWMAN} \u202e.dcm".encode(), b"100% _!'\";--.dcm"]
    folder = os.fsencode(site.inbox) + b"/M\xfcller \xff"
    os.mkdir(folder)  # noqa: PTH102 - a name that is no text
    for number, name in enumerate(names, start=1):
        write(make_slice(number), site.inbox / "x").rename(os.fsdecode(folder + b"/" + name))
    report = site.take_in(site.inbox)
    assert report.outcomes == {("converted", ""): 4}
    assert site.take_in(site.inbox).new == 0
    (site.inbox / os.fsdecode(b"empty \xff\n")).touch()
    site.take_in(site.inbox)
    shown = site.run("status", "--files")
    assert shown.code == 0
    assert "empty \\xff\\n" in shown.out
    assert site.run("quarantine", "list", "--files").code == 0
    assert site.run("explain", os.fsdecode(os.fsencode(site.inbox) + b"/empty \xff\n")).code == 0


# packed


#: Writes a disc with a DICOMDIR; in a process of its own, as pydicom leaves a temporary folder to the garbage.
DISC = (
    "import sys; from pydicom.fileset import FileSet; one = FileSet(); "
    "[one.add(path) for path in sys.argv[2:]]; one.write(sys.argv[1])"
)


def test_a_dicomdir_is_an_index_and_its_files_are_read_directly(site: Site, tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        DISC,
        site.inbox / "disc",
        *write_series(tmp_path / "series", StudyID="1"),
    ]
    subprocess.run(argv, check=True, timeout=60)
    report = site.take_in(site.inbox)
    assert report.outcomes == {("converted", ""): 4, ("ignored", "DIRECTORY_FILE"): 1}


def test_archives_are_opened_to_the_third_level(site: Site, tmp_path: Path) -> None:
    inner = write(make_slice(1), tmp_path / "image.dcm")
    for level in range(1, 5):
        outer = tmp_path / f"level{level}.zip"
        with zipfile.ZipFile(outer, "w") as packed:
            packed.write(inner, inner.name)
        inner = outer
    shutil.copyfile(inner, site.inbox / inner.name)
    report = site.take_in(site.inbox)
    assert report.outcomes == {("ignored", "ARCHIVE_UNPACKED"): 3, ("quarantined", "ARCHIVE_DEPTH"): 1}


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site", "inbox: {unpacked_limit_gib: 0.001}\n")
    with zipfile.ZipFile(site.inbox / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros", bytes(8 * 2**20))
    with zipfile.ZipFile(site.inbox / "evil.zip", "w") as packed:
        packed.writestr("../../../state/pseudonyms.yml", "key: mine")
    key = site.key_file.read_bytes()
    site.take_in(site.inbox)
    assert site.fates() == {"bomb.zip": ("quarantined", "TOO_LARGE"), "evil.zip": ("quarantined", "UNSAFE_NAME")}
    assert site.key_file.read_bytes() == key
    assert not any((site.folder / "state" / "unpacked").iterdir())


# touched and replaced


def test_files_that_were_touched_or_copied_anew_make_no_revision(site: Site) -> None:
    paths = write_series(site.inbox / "study")
    site.take_in(site.inbox)
    tree = site.tree()
    for path in paths:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    report = site.take_in(site.inbox)
    assert (report.new, report.published) == (0, [])
    assert site.take_in(site.inbox).new == 0
    assert site.tree() == tree


def test_another_patients_files_under_the_same_names_do_not_take_away_what_was_published(site: Site) -> None:
    write_series(site.inbox / "study")
    site.take_in(site.inbox)
    first = site.sessions()[0]
    write_series(site.inbox / "study", PatientID="HB0500", PatientName="Else^Wer")
    report = site.take_in(site.inbox)
    assert len(report.published) == 1
    assert "rev-" not in report.published[0]
    late = make_slice(5)
    write(late, site.inbox / "late.dcm")
    report = site.take_in(site.inbox)
    assert report.published == [f"{first.relative_to(site.archive).as_posix()}_rev-2"]
    with zipfile.ZipFile(next((site.archive / report.published[0]).rglob("*.zip"))) as stored:
        assert len(stored.namelist()) == 5


def test_a_published_file_that_is_overwritten_by_another_content_does_not_replace_it(site: Site) -> None:
    paths = write_series(site.inbox / "study")
    site.take_in(site.inbox)
    tree = site.tree()
    write(make_slice(4, PixelData=bytes(512)), paths[3])
    report = site.take_in(site.inbox)
    assert site.fates()["study/02_0004.dcm"] == ("quarantined", "CONFLICTING_INSTANCE")
    assert report.published == []
    assert site.tree() == tree


# who and when


def test_a_series_in_two_folders_is_one_image(site: Site) -> None:
    for number in range(1, 7):
        write(make_slice(number), site.inbox / f"part{number % 2}" / f"{number}.dcm")
    site.take_in(site.inbox)
    sidecar = next(site.archive.rglob("*_T1w.json"))
    assert json.loads(sidecar.read_text(encoding="utf-8"))["ImageShape"][2] == 6
    assert len(site.sessions()) == 1


def test_one_patient_with_two_ids_is_two_subjects_until_the_steward_joins_them(tmp_path: Path) -> None:
    for joined in (False, True):
        site = Site.make(tmp_path / f"site{joined}")
        if joined:
            text = site.key_file.read_text(encoding="utf-8")
            site.key_file.write_text(text.replace("{}", "{HB1: HB001, OLD-1: HB001}"), encoding="utf-8")
        write_series(site.inbox / "a", PatientID="HB1")
        write_series(site.inbox / "b", PatientID="OLD-1", StudyDate="20230601")
        site.take_in(site.inbox)
        facts = [site.facts(folder) for folder in site.sessions()]
        assert len({one["Subject"] for one in facts}) == (1 if joined else 2)
        assert len(facts) == 2


def test_a_study_uid_reused_for_another_day_is_two_sessions_in_whatever_order_they_come(tmp_path: Path) -> None:
    trees = []
    for order in ("ab", "ba", "together"):
        site = Site.make(tmp_path / f"site-{order}")
        days = {"a": "20230504", "b": "20230601"}
        for name in order if order != "together" else ["ab"]:
            for one in name:
                series = 2 if one == "a" else 3
                write_series(site.inbox / one, series=series, StudyInstanceUID="1.2.3.4", StudyDate=days[one])
            report = site.take_in(site.inbox)
        labels = sorted(site.facts(folder)["Session"] for folder in site.sessions())
        assert len(labels) == 2
        assert all(label[-1].isdigit() for label in labels)
        assert report.warnings["STUDY_REUSED"] >= 1
        # The certificate counts what was searched for: all that was known of the study at that time.
        trees.append({path: digest for path, digest in site.tree().items() if not path.endswith("certificate.json")})
    assert trees[0] == trees[1] == trees[2]


def test_a_scan_over_midnight_is_one_session(site: Site) -> None:
    write_series(site.inbox / "a", StudyInstanceUID="1.2.3.4", StudyDate="20230504")
    write_series(site.inbox / "b", series=3, StudyInstanceUID="1.2.3.4", StudyDate="20230505", StudyTime="001500")
    report = site.take_in(site.inbox)
    assert len(site.sessions()) == 1
    assert "STUDY_REUSED" not in report.warnings


def test_without_a_birth_date_there_is_no_age_and_with_one_it_is_another_subject(site: Site) -> None:
    write_series(site.inbox / "a", PatientBirthDate="")
    site.take_in(site.inbox)
    assert site.facts(site.sessions()[0])["Age"] is None
    write_series(site.inbox / "b", StudyDate="20230601")
    report = site.take_in(site.inbox)
    assert report.warnings["SUBJECT_CONFLICT"] == 1
    assert len({site.facts(folder)["Subject"] for folder in site.sessions()}) == 2
    noted = json.loads(site.run("status", "--json").out)["noted"]
    assert len(noted["SUBJECT_CONFLICT"]) == 2


def test_without_any_date_a_session_is_undated_and_status_names_it(site: Site) -> None:
    write_series(site.inbox, StudyDate="", StudyInstanceUID="1.2.3.9")
    report = site.take_in(site.inbox)
    assert [Path(folder).name[:10] for folder in report.published] == ["1900-01-01"]
    assert "UNDATED_SESSION" in site.run("status").out


def test_the_same_instance_twice_is_one_whatever_lies_where(site: Site) -> None:
    paths = write_series(site.inbox / "a")
    shutil.copytree(site.inbox / "a", site.inbox / "b")
    write(make_slice(4, PixelData=bytes(512)), site.inbox / "c.dcm")
    site.take_in(site.inbox)
    assert Counter(site.fates().values()) == {
        ("converted", None): len(paths) - 1,
        ("ignored", "DUPLICATE_INSTANCE"): len(paths) - 1,
        ("quarantined", "CONFLICTING_INSTANCE"): 3,
    }


def test_a_session_whose_files_are_all_taken_away_again_is_waited_for_no_more(site: Site) -> None:
    write_series(site.inbox / "study")
    write_series(site.inbox / "other", PatientID="HB0500")
    assert site.take_in().waiting == 2
    shutil.rmtree(site.inbox / "study")
    report = site.take_in(site.inbox)
    assert (report.waiting, len(report.published), report.exit_code) == (0, 1, 0)
    assert {row["state"] for row in site.ledger_rows("deliveries")} == {"discarded", "crawled"}
    write_series(site.inbox / "study")
    assert len(site.take_in(site.inbox).published) == 1


def test_an_inbox_that_was_out_of_sight_for_a_night_is_taken_in_when_it_is_back(site: Site, tmp_path: Path) -> None:
    write_series(site.inbox / "study")
    lab_table(site.inbox, "a.csv", "HB0099;04.05.2023 08:15;Serum;Kalium;4,9;mmol/l", written=1_900_000_000)
    assert site.take_in().waiting == 2
    away = site.inbox.rename(tmp_path / "away")
    site.inbox.mkdir()  # the place where the share is mounted
    assert site.take_in().seen == 0
    site.inbox.rmdir()
    away.rename(site.inbox)
    assert site.take_in().waiting == 2
    (site.inbox / ".complete").touch()
    report = site.take_in()
    assert len(report.published) == 2
    assert {code for _, code in report.outcomes} == {""}


# nothing at all; to read the names alone
@pytest.mark.parametrize("mode", [0, 0o400])
def test_a_folder_that_can_not_be_looked_into_for_a_night_keeps_its_files_waiting(site: Site, mode: int) -> None:
    folder = site.inbox / "study"
    write_series(folder)
    site.take_in()
    folder.chmod(mode)
    (site.inbox / ".complete").touch()
    done = take_in_as_one_who_obeys(site)
    folder.chmod(0o700)
    assert done.returncode == 1, done.stderr
    assert site.fates() == {f"study/02_000{number}.dcm": ("waiting", None) for number in range(1, 5)} | {
        "study": ("quarantined", "UNREADABLE_FILE")
    }
    report = site.take_in()
    assert (len(report.published), report.exit_code) == (1, 0)


def test_the_same_archive_under_two_names_is_unpacked_once(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    with zipfile.ZipFile(inbox / "export.zip", "w") as packed:
        for path in write_series(tmp_path / "study"):
            packed.write(path, path.name)
    shutil.copy(inbox / "export.zip", inbox / "export (1).zip")
    report = site.take_in(inbox)
    assert (len(report.published), report.exit_code, report.seen) == (1, 0, 6)
    assert Counter(report.outcomes) == {("converted", ""): 4, ("ignored", "ARCHIVE_UNPACKED"): 2}


def test_a_file_whose_clock_was_years_ahead_waits_no_longer_than_others(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site", QUIET)
    (first, *_) = write_series(site.inbox / "study")
    os.utime(first, (4_102_444_800, 4_102_444_800))  # the year 2100
    assert json.loads(site.run("status", "--json").out)["waiting"] == []
    report = site.take_in()
    assert (len(report.published), report.waiting) == (1, 0)
