"""What becomes of deliveries that come late, twice, contradicting, unnamed or to the wrong place."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tests.pipeline.scans import make_slice, write, write_series
from tests.pipeline.site import KEY, PROJECT, Site

HEADER = ("responsible", "description", "sources", "results")


def _readme(folder: Path) -> dict[str, object]:
    content = (folder / "README.md").read_text(encoding="utf-8")
    header: dict[str, object] = yaml.safe_load(content.split("---")[1].split("\n...")[0])
    return header


def _subjects(site: Site) -> set[str]:
    return {site.facts(folder)["Subject"] for folder in site.sessions()}


# arriving late


def test_late_files_make_a_new_revision_that_holds_everything_and_names_the_old_one(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox, series=2)
    site.take_in(inbox)
    first = site.sessions()[0]
    before = site.tree()
    write_series(inbox, series=3, SeriesDescription="t2_tse_tra", InversionTime=None)
    report = site.take_in(inbox)
    assert report.published == [f"ExperimentalData/{PROJECT}/{first.name}_rev-2"]
    assert report.warnings["LATE_FILES"] == 1
    second = first.with_name(f"{first.name}_rev-2")
    assert {path: digest for path, digest in site.tree().items() if first.name + "/" in path} == before
    assert _readme(second)["revisionOf"] == first.name
    assert site.facts(second)["Revision"] == 2
    assert sorted(path.name for path in second.glob("sourcedata/dicom/*.zip")) == [
        "0002_t1_mprage_tra.zip",
        "0003_t2_tse_tra.zip",
    ]
    for old in first.rglob("*_T1w.*"):
        assert (second / old.relative_to(first)).read_bytes() == old.read_bytes() or old.suffix == ".json"


def test_records_move_to_the_new_revision_and_nothing_is_twice(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox, series=2)
    site.take_in(inbox)
    write_series(inbox, series=3, SeriesDescription="t2_tse_tra", InversionTime=None)
    site.take_in(inbox)
    assert site.count("RECORD Session") == 1
    assert site.count("RECORD Subject") == 1
    assert site.count("RECORD T1WeightedImage") == 1
    assert site.count("RECORD T2WeightedImage") == 1
    assert site.count("RECORD Session WITH Revision = 2") == 1
    assert site.count("FILE WHICH IS STORED AT '**_rev-2/**_T1w.nii.gz' AND IS REFERENCED BY T1WeightedImage") == 1


def test_one_more_slice_of_a_published_series_replaces_the_image_in_the_new_revision(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "study"
    write_series(inbox, slices=4)
    site.take_in(inbox)
    write(make_slice(5), inbox / "later.dcm")
    site.take_in(inbox)
    sidecars = {
        folder.name[-5:]: json.loads(next(folder.rglob("*_T1w.json")).read_text(encoding="utf-8"))
        for folder in site.sessions()
    }
    assert sidecars["rev-2"]["ImageShape"][2] == 5
    assert {tuple(fate) for fate in site.fates(inbox).values()} == {("converted", None)}


def test_late_files_find_their_session_even_when_the_first_ones_left_the_inbox(site: Site, tmp_path: Path) -> None:
    first, later = tmp_path / "first", tmp_path / "later"
    write_series(first, series=2)
    site.take_in(first)
    shutil.rmtree(first)
    write_series(later, series=3, SeriesDescription="t2_tse_tra", InversionTime=None)
    report = site.take_in(later)
    assert len(report.published) == 1
    newest = site.archive / report.published[0]
    assert len(list(newest.glob("sourcedata/dicom/*.zip"))) == 2
    assert site.count("RECORD MRImage") == 2


def test_the_order_of_arrival_decides_nothing(tmp_path: Path) -> None:
    trees = []
    for order in ((2, 3), (3, 2)):
        site = Site.make(tmp_path / f"site{order[0]}")
        inbox = tmp_path / f"inbox{order[0]}"
        for name, series in zip("ab", order, strict=True):
            write_series(inbox / name, series=series, SeriesDescription=f"t1_mprage_{series}")
        site.take_in(inbox)
        trees.append(site.tree())
    assert trees[0] == trees[1]


# arriving twice


def test_an_identical_copy_is_ignored(site: Site, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "study")
    shutil.copyfile(paths[0], tmp_path / "study" / "zz_copy.dcm")
    report = site.take_in(tmp_path / "study")
    fates = Counter(site.fates(tmp_path / "study").values())
    assert fates == {("converted", None): 4, ("ignored", "DUPLICATE_INSTANCE"): 1}
    assert report.exit_code == 0


def test_two_different_files_of_one_instance_are_both_kept_back(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study", slices=5)
    write(make_slice(5, PixelData=bytes(512)), tmp_path / "study" / "other.dcm")
    report = site.take_in(tmp_path / "study")
    fates = site.fates(tmp_path / "study")
    assert fates["02_0005.dcm"] == fates["other.dcm"] == ("quarantined", "CONFLICTING_INSTANCE")
    assert Counter(fates.values())["converted", None] == 4
    assert report.exit_code == 1


def test_a_different_file_of_a_published_instance_does_not_replace_it(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox)
    site.take_in(inbox)
    write(make_slice(4, PixelData=bytes(512)), inbox / "other.dcm")
    site.take_in(inbox)
    fates = site.fates(inbox)
    assert fates.pop("other.dcm") == ("quarantined", "CONFLICTING_INSTANCE")
    assert set(fates.values()) == {("converted", None)}
    images = {path.read_bytes() for path in site.archive.rglob("*_T1w.nii.gz")}
    assert len(images) == 1


def test_a_copy_that_comes_after_publication_publishes_nothing_new(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    paths = write_series(inbox)
    site.take_in(inbox)
    tree = site.tree()
    shutil.copyfile(paths[0], inbox / "zz_copy.dcm")
    report = site.take_in(inbox)
    assert site.fates(inbox)["zz_copy.dcm"] == ("ignored", "DUPLICATE_INSTANCE")
    assert report.published == []
    assert site.tree() == tree


def test_a_packed_copy_of_an_instance_is_a_copy(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    paths = write_series(inbox)
    together = inbox / "together.dcm.gz"
    together.write_bytes(gzip.compress(paths[0].read_bytes()))
    site.take_in(inbox)
    tree = site.tree()
    late = inbox / "late.dcm.gz"
    late.write_bytes(gzip.compress(paths[1].read_bytes()))
    report = site.take_in(inbox)
    fates = site.fates(inbox)
    # Which of the two stands for the instance is all the same.
    assert Counter(fates.values()) == {("converted", None): 4, ("ignored", "DUPLICATE_INSTANCE"): 2}
    assert fates[late.name] == ("ignored", "DUPLICATE_INSTANCE")
    assert (report.published, report.exit_code, site.tree()) == ([], 0, tree)


# what a file can be


def test_packed_dicom_is_taken_in_like_plain_dicom(site: Site, tmp_path: Path) -> None:
    plain = Site.make(tmp_path / "plain")
    paths = write_series(tmp_path / "a")
    plain.take_in(tmp_path / "a")
    (tmp_path / "b").mkdir()
    for path in paths:
        (tmp_path / "b" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    site.take_in(tmp_path / "b")
    assert site.tree() == plain.tree()


def test_whatever_else_lies_in_the_inbox_is_accounted_for(site: Site, tmp_path: Path) -> None:
    inbox, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    paths = write_series(inbox)
    write_series(elsewhere, PatientID="HB0500")
    (inbox / "empty.dcm").touch()
    (inbox / "notes.txt").write_text("Herr Quandt ruft zurück", encoding="utf-8")
    (inbox / "outside.dcm").symlink_to(elsewhere / "02_0001.dcm")
    (inbox / "gone.dcm").symlink_to(inbox / "never was")
    (inbox / "same.dcm").symlink_to(paths[0])
    (inbox / "folder").symlink_to(elsewhere)
    os.mkfifo(inbox / "pipe")
    damaged = gzip.compress(paths[0].read_bytes())
    (inbox / "damaged.dcm.gz").write_bytes(damaged[: len(damaged) // 2])
    (inbox / "cut.dcm").write_bytes(paths[3].read_bytes()[:-100])
    paths[3].unlink()
    report = site.take_in(inbox)
    fates = site.fates(inbox)
    assert fates["empty.dcm"] == ("quarantined", "EMPTY_FILE")
    assert fates["notes.txt"] == ("ignored", "NOT_DICOM")
    assert fates["outside.dcm"] == ("quarantined", "LINK_OUTSIDE")
    assert fates["gone.dcm"] == ("quarantined", "LINK_OUTSIDE")
    assert fates["pipe"] == ("quarantined", "NOT_A_FILE")
    assert fates["same.dcm"] == ("ignored", "DUPLICATE_INSTANCE")
    assert fates["damaged.dcm.gz"] == ("quarantined", "DAMAGED_ARCHIVE")
    assert fates["cut.dcm"] == ("quarantined", "TRUNCATED_DICOM")
    assert fates["folder"] == ("quarantined", "LINK_OUTSIDE")
    assert report.seen == len(fates) == 12
    assert report.exit_code == 1
    assert {facts["Subject"] for facts in map(site.facts, site.sessions())} == _subjects(site)
    assert len(_subjects(site)) == 1


def test_a_link_to_a_folder_outside_is_not_followed_silently(site: Site, tmp_path: Path) -> None:
    inbox, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    write_series(inbox)
    write_series(elsewhere, PatientID="HB0500")
    (inbox / "folder").symlink_to(elsewhere)
    site.take_in(inbox)
    assert site.fates(inbox)["folder"] == ("quarantined", "LINK_OUTSIDE")


def test_a_series_without_geometry_is_refused_and_the_rest_published(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study", series=2)
    write_series(tmp_path / "study", series=9, ImagePositionPatient=None, ImageOrientationPatient=None)
    site.take_in(tmp_path / "study")
    fates = site.fates(tmp_path / "study")
    assert {fate for name, fate in fates.items() if name.startswith("02")} == {("converted", None)}
    refused = {fate for name, fate in fates.items() if name.startswith("09")}
    # dcm2niix of some versions makes an image without position; then it is one.
    assert refused in ({("quarantined", "NO_GEOMETRY")}, {("converted", None)})
    assert len(site.sessions()) == 1


# who and when


def test_one_patient_id_with_two_birth_dates_is_two_subjects_and_a_warning(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study" / "a")
    write_series(tmp_path / "study" / "b", PatientBirthDate="19550505", StudyDate="20230601")
    report = site.take_in(tmp_path / "study")
    assert len(_subjects(site)) == 2
    assert report.warnings["SUBJECT_CONFLICT"] >= 1
    assert site.count("RECORD Subject") == 2


def test_one_study_with_two_people_by_mistake_is_two_sessions(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study" / "a", StudyInstanceUID="1.2.3.4")
    write_series(tmp_path / "study" / "b", series=3, StudyInstanceUID="1.2.3.4", PatientID="HB0777")
    site.take_in(tmp_path / "study")
    assert len(_subjects(site)) == 2


def test_an_undated_session_is_published_as_such(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study", StudyDate="19000101", StudyInstanceUID="1.2.3.5")
    report = site.take_in(tmp_path / "study")
    assert [folder.name[:10] for folder in site.sessions()] == ["1900-01-01"]
    assert site.facts(site.sessions()[0])["Session"] == "ses-undated"
    assert report.warnings["UNDATED_SESSION"] == 1
    assert site.count("RECORD Session") == 1


def test_a_second_session_of_a_day_gets_a_letter(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study" / "a", StudyInstanceUID="1.2.3.6")
    write_series(tmp_path / "study" / "b", StudyInstanceUID="1.2.3.7", StudyTime="150000")
    site.take_in(tmp_path / "study")
    labels = sorted(site.facts(folder)["Session"] for folder in site.sessions())
    assert len(labels) == 2
    assert labels[1] == f"{labels[0]}a"
    assert len(_subjects(site)) == 1


def test_an_age_over_89_is_90(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study", PatientBirthDate="19280101", PatientAge="095Y")
    site.take_in(tmp_path / "study")
    folder = site.sessions()[0]
    assert site.facts(folder)["Age"] == 90.0
    assert json.loads(next(folder.rglob("*_T1w.json")).read_text(encoding="utf-8")).get("PatientAge", 90) == 90


def test_a_series_that_no_rule_names_is_published_aside_and_asks_for_the_steward(site: Site, tmp_path: Path) -> None:
    plain: dict[str, Any] = {
        "InversionTime": None,
        "MRAcquisitionType": "2D",
        "ScanningSequence": "RM",
        "SequenceVariant": "NONE",
    }
    write_series(tmp_path / "study", SeriesDescription="qx7", ProtocolName="qx7", **plain)
    report = site.take_in(tmp_path / "study")
    assert report.exit_code == 1
    assert report.warnings["UNCLASSIFIED"] == 1
    assert len(list(site.archive.rglob("sourcedata/unclassified/*.nii.gz"))) == 1
    assert site.count("RECORD MRImage") == 1


# which project


def test_the_first_rule_that_matches_decides_the_project(tmp_path: Path) -> None:
    settings = """
projects:
  default: 2020_Other
  rules:
    - {project: 2021_Heart, study_description: "^HEART"}
    - {project: 2022_Folder, inbox_folder: "trial-b"}
    - {project: 2023_Station, station_name: "^MR7$", study_description: "."}
"""
    site = Site.make(tmp_path / "site", settings)
    inbox = tmp_path / "study"
    write_series(inbox / "trial-b" / "x", PatientID="HB1", StudyDescription="HEART_1", StationName="MR7")
    write_series(inbox / "trial-b" / "y", PatientID="HB2", StudyDescription="BRAIN", StationName="MR7")
    write_series(inbox / "z", PatientID="HB3", StudyDescription="BRAIN", StationName="MR7")
    write_series(inbox / "w", PatientID="HB4", StationName="MR7")
    site.take_in(inbox)
    assert Counter(folder.parent.name for folder in site.sessions()) == {
        "2021_Heart": 1,
        "2022_Folder": 1,
        "2023_Station": 1,
        "2020_Other": 1,
    }
    assert site.count("RECORD Project") == 4


# when a delivery of the site's own inbox is complete


def test_a_fresh_delivery_in_the_sites_own_inbox_waits(site: Site) -> None:
    write_series(site.inbox / "study")
    report = site.take_in()
    assert (report.waiting, report.published, report.exit_code) == (1, [], 0)
    assert set(site.fates().values()) == {("waiting", None)}


def test_a_complete_file_ends_the_waiting(site: Site) -> None:
    write_series(site.inbox / "study" / "one")
    write_series(site.inbox / "other", PatientID="HB0100")
    site.take_in()
    (site.inbox / "study" / ".complete").touch()
    report = site.take_in()
    assert (report.waiting, len(report.published)) == (1, 1)
    fates = site.fates()
    assert {fate for name, fate in fates.items() if name.startswith("study")} == {("converted", None)}
    assert {fate for name, fate in fates.items() if name.startswith("other")} == {("waiting", None)}


def test_quiet_time_ends_the_waiting(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site", "inbox: {quiet_minutes: 0.15}\n")
    write_series(site.inbox / "study")
    assert site.take_in().waiting == 1
    deadline = time.monotonic() + 90
    while not (report := site.take_in()).published:
        assert report.waiting == 1
        assert time.monotonic() < deadline
        time.sleep(3)
    assert (report.waiting, len(report.published)) == (0, 1)


def test_a_dry_run_publishes_nothing_and_the_next_run_does(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study")
    database = site.database.read_bytes()  # it holds the first person's account
    report = site.take_in(tmp_path / "study", dry_run=True)
    assert (report.new, report.published) == (4, [])
    assert site.tree() == {}
    assert site.database.read_bytes() == database
    assert len(site.take_in(tmp_path / "study").published) == 1


def test_only_the_asked_for_session_is_published(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study" / "a")
    write_series(tmp_path / "study" / "b", PatientID="HB0100")
    label = site.take_in(tmp_path / "study", dry_run=True).announced[0].rpartition("_ses-")[2]
    report = site.take_in(tmp_path / "study", session=f"ses-{label}")
    assert (len(report.published), report.waiting) == (1, 1)
    assert report.published[0].endswith(f"_ses-{label}")


def test_a_published_readme_says_who_answers_for_what_and_every_file_it_names_is_there(
    site: Site, tmp_path: Path
) -> None:
    write_series(tmp_path / "study")
    site.take_in(tmp_path / "study")
    folder = site.sessions()[0]
    header = _readme(folder)
    assert set(HEADER) <= set(header)
    assert header["responsible"] == ["Data Steward"]
    named = [entry["file"] for part in ("sources", "results") for entry in header[part]]  # type: ignore[attr-defined]
    assert len(named) == 2
    assert all((folder / name).is_file() for name in named)


def test_the_same_input_gives_the_same_bytes_at_another_site_with_the_same_key(tmp_path: Path) -> None:
    write_series(tmp_path / "study")
    trees = []
    for name in ("one", "two"):
        site = Site.make(tmp_path / name)
        site.take_in(tmp_path / "study")
        trees.append(site.tree())
    assert trees[0] == trees[1]
    other = Site.make(tmp_path / "three")
    other.key_file.write_text(KEY.replace(KEY[5:9], "0000"), encoding="ascii")
    other.take_in(tmp_path / "study")
    assert set(other.tree()).isdisjoint(trees[0])
