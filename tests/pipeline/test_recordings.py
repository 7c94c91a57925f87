"""Recordings and laboratory tables on their way from the inbox to their records."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pybv
import pydicom
import pytest

from heartbrain_ingest.physio import ImageSpan, with_uuids
from tests.pipeline.scans import make_slice, write, write_series
from tests.pipeline.site import Site

PATIENT = "HB0099"
LABORATORY = "Patienten-ID;Entnahmezeit;Material;Analyt;Wert;Einheit\n"


def write_pulse(path: Path, start: str, seconds: float) -> None:
    """Write a Siemens log of a pulse of 60 a minute that starts at a time of day."""
    hours, minutes, rest = (float(part) for part in start.split(":"))
    begin = round(1000 * (3600 * hours + 60 * minutes + rest))
    time = np.arange(round(seconds * 50)) / 50
    values = " ".join(str(int(2000 + 900 * np.sin(2 * np.pi * one))) for one in time)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"1 2 40 280 {values} 5003\nLogStartMDHTime: {begin}\nLogStopMDHTime: {begin + round(1000 * seconds)}\n6003\n"
    )


def write_visit(inbox: Path, study: str, start: str) -> None:
    """Write a series of two slices of one visit on 2023-05-04."""
    for number in (1, 2):
        moment = f"{start}{number:02d}.000000"
        dataset = make_slice(number, StudyTime=f"{start}00", AcquisitionTime=moment, StudyInstanceUID=study)
        dataset.SeriesInstanceUID = f"{study}.2"
        dataset.SOPInstanceUID = f"{study}.2.{number}"
        write(dataset, inbox / study / f"{number}.dcm")


def sidecars(session: Path) -> list[dict[str, Any]]:
    paths = sorted(session.glob("sourcedata/physio/*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def test_of_two_sessions_of_one_day_the_clock_decides_whose_a_log_is(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_visit(inbox, "1.2.826.0.1.7", "0900")
    write_visit(inbox, "1.2.826.0.1.8", "1500")
    write_pulse(inbox / f"{PATIENT}_20230504" / "a.puls", "15:00:01.5", 20)
    write_pulse(inbox / f"{PATIENT}_20230504" / "b.puls", "12:00:00", 20)
    report = site.take_in(inbox)
    assert site.fates(inbox)[f"{PATIENT}_20230504/a.puls"] == ("stored", None)
    assert site.fates(inbox)[f"{PATIENT}_20230504/b.puls"] == ("quarantined", "PHYSIO_NO_SESSION")
    morning, afternoon = site.sessions()
    assert (len(sidecars(morning)), len(sidecars(afternoon))) == (0, 1)
    assert sidecars(afternoon)[0]["StartTime"] == 15 * 3600 + 1.5
    assert sidecars(afternoon)[0]["MeanRate"] == pytest.approx(60, rel=0.01)
    assert report.exit_code == 1


def test_a_log_that_fits_two_people_of_one_day_waits_in_quarantine_until_its_name_says_more(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    write_series(inbox / "one", series=2)
    write_series(inbox / "two", series=2, PatientID="HB0100")
    rules = site.folder / "crawler_config" / "physio.yml"
    content = rules.read_text(encoding="utf-8")
    pattern = "names:\n  - id: day\n    pattern: '(?:^|/)day_(?P<date>\\d{8})/[^/]+$'\n"
    rules.write_text(content.replace("names:\n", pattern, 1), encoding="utf-8")
    log = inbox / "day_20230504" / "a.puls"
    write_pulse(log, "10:16:00", 30)
    site.take_in(inbox)
    assert site.fates(inbox)["day_20230504/a.puls"] == ("quarantined", "PHYSIO_AMBIGUOUS")
    (inbox / "HB0100_20230504").mkdir()
    shutil.move(log, inbox / "HB0100_20230504" / "a.puls")
    site.take_in(inbox)
    assert site.fates(inbox)["HB0100_20230504/a.puls"] == ("stored", None)


@pytest.mark.shared_data
def test_what_a_cmrr_sequence_logged_comes_in_with_its_study_and_is_stored_whole(
    site: Site, tmp_path: Path, shared_data: Path
) -> None:
    inbox = tmp_path / "inbox"
    source = shared_data / "physio" / "siemens_cmrr_dicom_puls_resp"
    study = "1.3.12.2.1107.5.2.43.167035.30000019102416495411100000031"
    nobody: dict[str, Any] = dict.fromkeys(("PatientID", "PatientName", "PatientBirthDate", "PatientSex"), "")
    write_series(inbox, StudyDate="20191028", AcquisitionTime="123753.45", StudyInstanceUID=study, **nobody)
    shutil.copy(source / "samplePhysioCMRR.dcm", inbox / "physio.dcm")
    site.take_in(inbox)
    assert site.fates(inbox)["physio.dcm"] == ("stored", None)
    (session,) = site.sessions()
    table = next(session.glob("sourcedata/physio/*recording-cardiac_physio.tsv.gz"))
    expected = np.loadtxt(source / "dcm_cardiac.tsv")
    found = np.loadtxt(gzip.decompress(table.read_bytes()).decode().replace("n/a", "nan").splitlines())
    np.testing.assert_array_equal(found[:, [0, -1]], expected)
    assert {one["RecordType"] for one in sidecars(session)} == {
        "PulseOximetryRecording",
        "RespirationRecording",
        "PhysiologicalRecording",
    }
    assert site.count("RECORD PulseOximetryRecording") == 1
    assert site.count("FILE WHICH IS STORED AT '**_trace.svg'") == 3


@pytest.mark.shared_data
def test_an_ecg_cart_s_object_finds_its_session_by_patient_and_day(
    site: Site, tmp_path: Path, shared_data: Path
) -> None:
    inbox = tmp_path / "inbox"
    write_series(inbox, PatientID="642341", StudyDate="20130125")
    shutil.copy(shared_data / "physio" / "dicom_waveform_ecg" / "waveform_ecg.dcm", inbox / "ecg.dcm")
    site.take_in(inbox)
    assert site.fates(inbox)["ecg.dcm"] == ("stored", None)
    (about,) = sidecars(site.sessions()[0])
    assert (about["RecordType"], about["NumberOfPeaks"], len(about["Columns"])) == ("ECGRecording", 10, 12)


@pytest.mark.shared_data
def test_whom_the_header_of_a_recording_names_is_named_nowhere_in_its_session(
    site: Site, tmp_path: Path, shared_data: Path
) -> None:
    inbox = tmp_path / "inbox"
    write_series(inbox, PatientID="642341", StudyDate="20130125", ProtocolName="t1_mprage_adelheid_tra")
    dataset = pydicom.dcmread(shared_data / "physio" / "dicom_waveform_ecg" / "waveform_ecg.dcm")
    dataset.OperatorsName = "Adelheid^Quandt"
    dataset.save_as(inbox / "ecg.dcm")
    site.take_in(inbox)
    assert {row.outcome for row in site.files()} == {"converted", "stored"}
    named = [
        path.name for path in site.archive.rglob("*") if path.is_file() and b"adelheid" in path.read_bytes().lower()
    ]
    assert named == []


@pytest.mark.shared_data
def test_an_image_of_a_cmrr_sequence_carries_the_uuid_of_its_recordings(shared_data: Path) -> None:
    folder = shared_data / "dicom" / "siemens_prisma_ve11_sefmap_ap_pa" / "dicom"
    paths = [next(path for path in folder.glob(f"*_{way}_*/*")) for way in ("AP", "PA")]
    spans = [ImageSpan(path=path, start_s=0, duration_s=1) for path in paths]
    assert [span.uuid for span in with_uuids(spans, paths)] == [
        "37ad7e36-aab4-4366-bc99-fb799b8c167b",
        "fd9b3ad2-6f70-4e8e-b298-c9c2899ff2d2",
    ]


def test_recordings_of_other_monitors_come_in_with_their_parts_accounted_for(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_series(inbox, series=2)
    folder = inbox / f"{PATIENT}_20230504"
    folder.mkdir()
    wave = np.sin(2 * np.pi * 1.1 * np.arange(20_000) / 500)
    pybv.write_brainvision(
        data=np.stack([wave * 1e-4, 97e-6 + 0 * wave]),
        sfreq=500.0,
        ch_names=["Pulse", "SpO2"],
        fname_base="bv",
        folder_out=folder,
        unit="µV",
        meas_date="20230504101600000000",
    )
    (folder / "PPGData_epiRT_0504202310_16_30_000").write_text("\n".join(str(n % 90) for n in range(3000)) + "\n")
    (folder / "PPGTrig_epiRT_0504202310_16_30_000").write_text("45\n135\n")
    site.take_in(inbox)
    fates = {path.rpartition("/")[2]: fate for path, fate in site.fates(inbox).items() if "dcm" not in path}
    assert fates == {
        "bv.vhdr": ("stored", None),
        "bv.vmrk": ("ignored", "PHYSIO_PART"),
        "bv.eeg": ("ignored", "PHYSIO_PART"),
        "PPGData_epiRT_0504202310_16_30_000": ("stored", None),
        "PPGTrig_epiRT_0504202310_16_30_000": ("ignored", "PHYSIO_PART"),
    }
    saturation = next(one for one in sidecars(site.sessions()[0]) if "MeanOxygenSaturation" in one)
    assert saturation["MeanOxygenSaturation"] == pytest.approx(97, abs=0.1)
    assert site.count("PulseOximetryRecording WITH MeanOxygenSaturation > 95") == 1
    assert site.count("PulseOximetryRecording WITH TracePicture") == 3


# laboratory


def lab_table(inbox: Path, name: str, *rows: str, written: int) -> None:
    path = inbox / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(LABORATORY + "\n".join(rows) + "\n", encoding="utf-8")
    os.utime(path, (written, written))


def test_of_two_tables_the_later_written_one_counts_as_a_new_version_and_the_run_says_so(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    write_series(inbox, series=2)
    lab_table(inbox, "a_new.csv", f"{PATIENT};04.05.2023 08:15;Serum;Kalium;4,9;mmol/l", written=2_000_000_000)
    lab_table(inbox, "b_old.csv", f"{PATIENT};04.05.2023 08:15;Serum;Kalium;4,2;mmol/l", written=1_900_000_000)
    report = site.take_in(inbox)
    assert report.warnings["LAB_REPLACED"] == 1
    (listed,) = site.archive.rglob("replaced.tsv")
    with listed.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    assert (row["Value"], row["PreviousValue"]) == ("4.9", "4.2")
    (found,) = site.find("FIND LaboratoryMeasurement WITH Analyte=potassium")
    assert found["MeasuredValue"] == 4.9
    assert site.count("LaboratoryMeasurement WITH ReferenceSource='lab.yml, not reviewed'") == 1
    assert site.count("LaboratoryMeasurement WHICH REFERENCES A Session") == 1


def test_a_table_without_a_usable_row_leaves_the_list_for_the_laboratory_in_quarantine(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    lab_table(inbox, "a.csv", "HB0777;04.05.2023 08:15;Serum;Kalium;4,9;mmol/l", written=1_900_000_000)
    site.take_in(inbox)
    assert site.fates(inbox)["a.csv"] == ("quarantined", "LAB_NOTHING_USABLE")
    (listed,) = (site.folder / "quarantine").rglob("refused.tsv")
    text = listed.read_text(encoding="utf-8")
    assert "LAB_UNKNOWN_SUBJECT" in text
    assert "HB0777" not in text


def test_the_settings_say_how_far_a_session_may_be_from_its_samples(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_series(inbox, series=2)
    lab_table(inbox, "a.csv", f"{PATIENT};14.05.2023 08:15;Serum;Kalium;4,9;mmol/l", written=1_900_000_000)
    text = site.settings.read_text(encoding="utf-8")
    assert "session_within_days: 30" in text
    site.settings.write_text(text.replace("session_within_days: 30", "session_within_days: 9"), encoding="utf-8")
    site.take_in(inbox)
    assert site.count("LaboratoryMeasurement") == 1
    assert site.count("LaboratoryMeasurement WHICH REFERENCES A Session") == 0


def test_check_says_once_that_no_laboratory_reviewed_the_ranges(site: Site, tmp_path: Path) -> None:
    assert "reviewed by a laboratory" not in site.run("check", "--no-bids").out
    inbox = tmp_path / "inbox"
    write_series(inbox, series=2)
    lab_table(inbox, "a.csv", f"{PATIENT};04.05.2023 08:15;Serum;Kalium;4,9;mmol/l", written=1_900_000_000)
    site.take_in(inbox)
    done = site.run("check", "--no-bids")
    assert done.out.count("reviewed by a laboratory") == 1
    assert done.code == 0


def test_a_recording_that_left_the_inbox_stays_when_late_images_make_a_new_revision(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_series(inbox, series=2)
    log = inbox / f"{PATIENT}_20230504" / "a.puls"
    write_pulse(log, "10:16:00", 30)
    site.take_in(inbox)
    (first,) = site.sessions()
    log.unlink()
    write_series(inbox, series=3, SeriesDescription="t2_tse_tra", InversionTime=None)
    write_pulse(log.with_name("b.puls"), "10:20:00", 20)
    report = site.take_in(inbox)
    assert report.warnings["PHYSIO_GONE"] == 0
    second = next(folder for folder in site.sessions() if folder != first)
    starts = [one["StartTime"] for one in sidecars(second)]
    assert starts == [10 * 3600 + 16 * 60, 10 * 3600 + 20 * 60]
    for table in first.glob("sourcedata/physio/*.tsv.gz"):
        assert (second / table.relative_to(first)).read_bytes() == table.read_bytes()


def test_a_log_after_midnight_belongs_to_the_evening_s_session_and_one_of_the_next_morning_does_not(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    for number, moment in ((1, "235900.000000"), (2, "000200.000000")):
        dataset = make_slice(number, series=number + 1, AcquisitionTime=moment, StudyTime="235800")
        write(dataset, inbox / f"{number}.dcm")
    write_pulse(inbox / f"{PATIENT}_20230505" / "night.puls", "00:02:00", 20)
    write_pulse(inbox / f"{PATIENT}_20230505" / "morning.puls", "10:16:00", 20)
    site.take_in(inbox)
    assert site.fates(inbox)[f"{PATIENT}_20230505/night.puls"] == ("stored", None)
    assert site.fates(inbox)[f"{PATIENT}_20230505/morning.puls"] == ("quarantined", "PHYSIO_NO_SESSION")


def test_a_published_recording_whose_file_is_overwritten_stays_when_late_images_make_a_new_revision(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    write_series(inbox / "early")
    log = inbox / f"{PATIENT}_20230504" / "a.puls"
    write_pulse(log, "10:16:00", 30)
    site.take_in(inbox)
    before = {path.name: path.read_bytes() for path in site.sessions()[0].glob("sourcedata/physio/*.tsv.gz")}
    assert len(before) == 1
    log.write_text("the monitor was emptied")
    site.take_in(inbox)
    write_series(inbox / "late", series=5)
    report = site.take_in(inbox)
    assert report.warnings["PHYSIO_GONE"] == 0
    after = {path.name: path.read_bytes() for path in site.sessions()[1].glob("sourcedata/physio/*.tsv.gz")}
    assert after == before


def test_a_published_table_that_is_touched_is_a_duplicate_and_its_place_stays_known(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_series(inbox)
    line = f"{PATIENT};04.05.2023 08:15;Serum;Kalium;4,9;mmol/l"
    lab_table(inbox, "a.csv", line, written=1_900_000_000)
    site.take_in(inbox)
    (place,) = {row.destination for row in site.files() if (row.destination or "").endswith("laboratory.tsv")}
    lab_table(inbox, "a.csv", line, written=1_900_000_001)
    report = site.take_in(inbox)
    assert (report.published, report.exit_code) == ([], 0)
    assert site.fates(inbox)["a.csv"] == ("ignored", "DUPLICATE_TABLE")
    assert place in {row.destination for row in site.files()}


def test_a_copy_of_a_published_recording_makes_no_revision_wherever_it_lies(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_series(inbox / "images")
    log = inbox / f"{PATIENT}_20230504" / "a.puls"
    write_pulse(log, "10:16:00", 30)
    site.take_in(inbox)
    tree = site.tree()
    copy = inbox / "again" / f"{PATIENT}_20230504" / "a.puls"
    copy.parent.mkdir(parents=True)
    shutil.copy(log, copy)
    report = site.take_in(inbox)
    assert (report.published, report.exit_code, site.tree()) == ([], 0, tree)
    assert site.fates(inbox)[copy.relative_to(inbox).as_posix()] == ("ignored", "DUPLICATE_RECORDING")


def test_of_two_copies_of_a_recording_that_come_together_one_is_published(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_series(inbox / "images")
    for name in ("a.puls", "b.puls"):
        write_pulse(inbox / f"{PATIENT}_20230504" / name, "10:16:00", 30)
    report = site.take_in(inbox)
    assert (len(report.published), report.exit_code) == (1, 0)
    assert len(sidecars(site.sessions()[0])) == 1
    assert sorted(fate for name, fate in site.fates(inbox).items() if "puls" in name) == [
        ("ignored", "DUPLICATE_RECORDING"),
        ("stored", None),
    ]


def test_a_copy_of_a_table_takes_the_place_of_one_that_was_taken_away_before_it_was_published(
    site: Site, tmp_path: Path
) -> None:
    write_series(tmp_path / "study")
    site.take_in(tmp_path / "study")
    line = f"{PATIENT};04.05.2023 08:15;Serum;Kalium;4,9;mmol/l"
    for name in ("a.csv", "b.csv"):
        lab_table(site.inbox, name, line, written=1_900_000_000)
    assert site.take_in().waiting == 1
    (site.inbox / "a.csv").unlink()
    (site.inbox / ".complete").touch()
    report = site.take_in()
    assert len(report.published) == 1
    assert site.fates() == {"a.csv": ("ignored", "FILE_GONE"), "b.csv": ("stored", None)}
