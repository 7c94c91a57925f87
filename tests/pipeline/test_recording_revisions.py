"""Recordings that come late, and recordings that are read again from what is stored of them after rules changed."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pybv
import pydicom
import pytest
import yaml

from heartbrain_ingest.remap import Remap
from heartbrain_ingest.report import RunOptions, RunReport
from heartbrain_ingest.settings import load_settings
from tests.pipeline.scans import write_bold, write_series
from tests.pipeline.site import Site
from tests.pipeline.test_recordings import PATIENT, write_pulse

DAY = f"{PATIENT}_20230504"


def remap(site: Site) -> tuple[RunReport, list[str]]:
    run = Remap(load_settings(site.settings), None, RunOptions(jobs=1))
    return run.execute(), run.unchanged


def change(site: Site, **values: Any) -> None:
    """Change entries of physio.yml; a list or map is added to."""
    path = site.folder / "crawler_config" / "physio.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, value in values.items():
        if isinstance(value, dict):
            content[name] |= value
        else:
            content[name] = [*value, *content[name]] if isinstance(value, list) else value
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def beside(session: Path) -> dict[str, dict[str, Any]]:
    """Give the sidecars of the parts that lie beside images, by the entity `recording-`."""
    found = {}
    for path in session.rglob("*_physio.json"):
        if "sourcedata" not in path.parts:
            label = path.name.partition("_recording-")[2].removesuffix("_physio.json")
            found[label] = json.loads(path.read_text(encoding="utf-8"))
    return found


def whole(session: Path) -> dict[str, bytes]:
    return {path.name: gzip.decompress(path.read_bytes()) for path in session.glob("sourcedata/physio/*.tsv.gz")}


def write_amplifier(folder: Path, names: list[str], **options: Any) -> None:
    """Write 40 s of an amplifier from 10:19:52 on: a pulse, then other waves; scanner marks at 10:20:01 and on."""
    time = np.arange(20_000) / 500
    waves = [np.sin(2 * np.pi * (1 + number) * time) * 1e-4 for number in range(len(names))]
    folder.mkdir(parents=True, exist_ok=True)
    pybv.write_brainvision(
        data=np.stack(waves),
        sfreq=500.0,
        ch_names=names,
        fname_base="bv",
        folder_out=folder,
        unit="µV",
        meas_date="20230504101952000000",
        **options,
    )


# remap


def test_a_wider_margin_cuts_published_recordings_anew_without_the_inbox(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox)
    write_pulse(inbox / DAY / "a.puls", "10:19:50", 40)
    site.take_in(inbox)
    shutil.rmtree(inbox)
    (old,) = site.sessions()
    assert (beside(old)["cardiac"]["StartTime"], beside(old)["cardiac"]["NumberOfSamples"]) == (0, 601)
    change(site, margin=3.0)
    report, unchanged = remap(site)
    assert (len(report.published), unchanged, report.exit_code) == (1, [], 0)
    new = site.archive / report.published[0]
    assert (beside(new)["cardiac"]["StartTime"], beside(new)["cardiac"]["NumberOfSamples"]) == (-3, 901)
    assert whole(new) == whole(old)
    assert site.count("RECORD PulseOximetryRecording WITH StartTime = '-3.0 s'") == 1
    assert site.count("RECORD PulseOximetryRecording WHICH REFERENCES A Session WITH Revision = 2") == 2
    assert site.count("RECORD PulseOximetryRecording") == 2
    assert remap(site)[0].published == []


def test_a_word_in_physio_yml_that_changes_nothing_leaves_recordings_of_all_monitors_untouched(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox)
    write_pulse(inbox / DAY / "a.puls", "10:19:50", 40)
    write_amplifier(inbox / DAY, ["Resp", "SpO2", "Fz"])
    rows = "\n".join(f"{n % 40} 7 0 0 0 {n % 90} 0 0 0 {'0020' if n == 9000 else '0000'}" for n in range(9001))
    log = inbox / DAY / "SCANPHYSLOG20230504101950.log"
    log.write_text(
        "## Thu 04-05-2023 10:19:50\n# v1raw v2raw  v1 v2  ppu resp  gx gy gz mark\n" + rows + "\n", encoding="ascii"
    )
    (inbox / DAY / "RESPData_epiRT_0504202310_20_12_000").write_text("\n".join(str(n % 90) for n in range(1000)) + "\n")
    site.take_in(inbox)
    assert {outcome for outcome, _ in site.fates(inbox).values()} == {"converted", "stored", "ignored"}
    shutil.rmtree(inbox)
    tree = site.tree()
    path = site.folder / "crawler_config" / "physio.yml"
    path.write_text(path.read_text(encoding="utf-8") + "\n# a word\n", encoding="utf-8")
    report, unchanged = remap(site)
    assert (report.published, len(unchanged)) == ([], 1)
    assert site.tree() == tree


def test_a_channel_that_gets_a_name_in_physio_yml_comes_out_of_what_is_stored(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox)
    write_amplifier(inbox / DAY, ["Pulse", "Finapres"])
    report = site.take_in(inbox)
    assert report.warnings["PHYSIO_UNKNOWN_CHANNEL"] == 1
    shutil.rmtree(inbox)
    (old,) = site.sessions()
    assert set(beside(old)) == {"cardiac"}
    pressure = {
        "recording": "pressure",
        "record_type": "PhysiologicalRecording",
        "columns": ["pressure"],
        "names": ["finapres"],
        "description": "Continuous blood pressure",
        "units": "mm[Hg]",
    }
    change(site, channels={"blood-pressure": pressure})
    report, _ = remap(site)
    new = site.archive / report.published[0]
    assert set(beside(new)) == {"cardiac", "pressure"}
    values = np.loadtxt(whole(new)[next(name for name in whole(new) if "pressure" in name)].decode().splitlines())
    np.testing.assert_allclose(values, np.sin(2 * np.pi * 2 * np.arange(20_000) / 500) * 100, atol=1e-3)


def test_a_marker_that_becomes_the_scanners_moves_published_recordings_onto_the_volumes(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox)
    events = [{"onset": 500 * (9 + 2 * n), "duration": 1, "type": "Stimulus", "description": 7} for n in range(6)]
    write_amplifier(inbox / DAY, ["Pulse"], events=events)
    report = site.take_in(inbox)
    assert report.warnings["PHYSIO_CLOCK"] == 1
    shutil.rmtree(inbox)
    assert beside(site.sessions()[0])["cardiac"]["ClockSource"] == "own clock"
    change(site, scanner_triggers=["S  ?7"])
    report, _ = remap(site)
    about = beside(site.archive / report.published[0])["cardiac"]
    assert (about["ClockSource"], about["StartTime"]) == ("scanner marks", 0)
    assert "trigger" in about["Columns"]


def test_another_rate_in_physio_yml_makes_published_logs_longer(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox)
    name = "RESPData_epiRT_0504202310_20_12_000"
    (inbox / DAY).mkdir()
    (inbox / DAY / name).write_text("\n".join(str(n % 90) for n in range(1000)) + "\n")
    site.take_in(inbox)
    shutil.rmtree(inbox)
    assert beside(site.sessions()[0])["respiratory"]["SamplingFrequency"] == 25
    change(site, rates=[{"version": "ge", "kinds": ["respiratory"], "rate": 50}])
    report, _ = remap(site)
    about = beside(site.archive / report.published[0])["respiratory"]
    # The scan ends with the log: twelve seconds are 600 samples now.
    assert (about["SamplingFrequency"], about["NumberOfSamples"], about["OverlapFraction"]) == (50, 600, 1)


@pytest.mark.shared_data
def test_what_a_cmrr_sequence_logged_is_matched_anew_by_its_uuid_from_what_is_stored(
    site: Site, tmp_path: Path, shared_data: Path
) -> None:
    inbox = tmp_path / "inbox"
    source = shared_data / "physio" / "siemens_cmrr_dicom_puls_resp"
    study = "1.3.12.2.1107.5.2.43.167035.30000019102416495411100000031"
    nobody: dict[str, Any] = dict.fromkeys(("PatientID", "PatientName", "PatientBirthDate", "PatientSex"), "")
    write_series(inbox, StudyDate="20191028", AcquisitionTime="123753.45", StudyInstanceUID=study, **nobody)
    shutil.copy(source / "samplePhysioCMRR.dcm", inbox / "physio.dcm")
    site.take_in(inbox)
    shutil.rmtree(inbox)
    (old,) = site.sessions()
    (log,) = old.glob("sourcedata/physio/*_log.zip")
    with zipfile.ZipFile(log) as archive:
        about = json.loads(archive.read("log.json"))
    # What the scanner wrote is replaced by a keyed one.
    raw = next(line for line in source.joinpath("samplePhysioCMRR.dcm").read_bytes().split(b"\n") if b"UUID" in line)
    assert about["MeasurementUuid"].encode() not in raw
    assert [one["Kind"] for one in about["Signals"]] == ["cardiac-pulse", "respiratory", "trigger"]
    rules = site.folder / "crawler_config" / "physio.yml"
    rules.write_text(rules.read_text(encoding="utf-8").replace("recording: cardiac\n", "recording: pulse\n"))
    report, _ = remap(site)
    new = site.archive / report.published[0]
    assert [name.replace("recording-cardiac", "recording-pulse") for name in sorted(whole(old))] == sorted(whole(new))
    assert sorted(whole(old).values()) == sorted(whole(new).values())


def test_recordings_published_before_logs_were_stored_are_carried_over_as_they_are(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox)
    write_pulse(inbox / DAY / "a.puls", "10:19:50", 40)
    site.take_in(inbox)
    shutil.rmtree(inbox)
    (old,) = site.sessions()
    (log,) = old.glob("sourcedata/physio/*_log.zip")
    table = next(old.glob("sourcedata/physio/*.tsv.gz")).relative_to(site.archive).as_posix()
    log.unlink()
    ledger = sqlite3.connect(site.folder / "state" / "ledger.db")
    with ledger:
        ledger.execute("UPDATE files SET destination = ? WHERE destination LIKE '%_log.zip'", (table,))
    ledger.close()
    change(site, margin=3.0)
    write_series(inbox, series=9)
    report = site.take_in(inbox)
    assert report.warnings["PHYSIO_GONE"] == 1
    new = next(folder for folder in site.sessions() if folder != old)
    assert (whole(new), beside(new)) == (whole(old), beside(old))


def test_a_stored_log_that_is_damaged_is_named_by_check_and_makes_no_revision(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox)
    write_pulse(inbox / DAY / "a.puls", "10:19:50", 40)
    site.take_in(inbox)
    shutil.rmtree(inbox)
    assert site.run("check", "--no-bids").code == 0
    (log,) = site.archive.rglob("*_log.zip")
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    done = site.run("check", "--no-bids")
    assert f"{log.name} has another checksum than when it was published" in done.out
    change(site, margin=3.0)
    tree = site.tree()
    report, _ = remap(site)
    assert (report.published, report.exit_code, site.tree()) == ([], 1, tree)


# late ones


def test_a_recording_that_comes_after_its_session_is_cut_to_the_published_images_in_a_new_revision(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox / "images")
    site.take_in(inbox)
    shutil.rmtree(inbox)  # only what is published tells when the images were made
    (old,) = site.sessions()
    before = site.tree()
    write_pulse(inbox / DAY / "a.puls", "10:19:50", 40)
    report = site.take_in(inbox)
    assert site.fates(inbox)[f"{DAY}/a.puls"] == ("stored", None)
    (new,) = [site.archive / folder for folder in report.published]
    assert new.name == f"{old.name}_rev-2"
    assert beside(new)["cardiac"]["OverlapFraction"] == 1
    assert {path: digest for path, digest in site.tree().items() if "_rev-2/" not in path} == before
    image = next(old.rglob("*_bold.nii.gz")).relative_to(old)
    assert (new / image).read_bytes() == (old / image).read_bytes()
    assert site.count("RECORD PulseOximetryRecording WITH OverlapFraction = 1") == 1
    assert site.count("RECORD BOLDImage") == 1
    assert site.count("RECORD Session") == site.count("RECORD Session WITH Revision = 2") == 1


def test_a_second_late_recording_leaves_the_first_one_as_it_is_though_its_file_is_gone(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox / "images")
    write_pulse(inbox / DAY / "a.puls", "10:19:50", 12)
    site.take_in(inbox)
    shutil.rmtree(inbox)
    (old,) = site.sessions()
    # Only the first two seconds were logged: the log that comes later covers more of the image.
    assert beside(old)["cardiac"]["OverlapFraction"] == pytest.approx(2 / 12, abs=1e-6)
    write_pulse(inbox / DAY / "b.puls", "10:19:55", 40)
    report = site.take_in(inbox)
    assert report.warnings["PHYSIO_GONE"] == 0
    new = site.archive / report.published[0]
    assert beside(new)["cardiac"]["OverlapFraction"] == 1
    assert set(whole(old).values()) < set(whole(new).values())
    assert len(whole(new)) == 2


def test_late_images_are_matched_to_a_recording_whose_file_is_gone(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_series(inbox / "images")
    write_pulse(inbox / DAY / "a.puls", "10:19:50", 40)
    site.take_in(inbox)
    shutil.rmtree(inbox)
    write_bold(inbox / "images")
    report = site.take_in(inbox)
    assert beside(site.archive / report.published[0])["cardiac"]["OverlapFraction"] == 1


def test_of_two_published_sessions_of_one_day_the_clock_of_the_stored_images_decides(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    for number, start in ((7, "0900"), (8, "1500")):
        study = f"1.2.826.0.1.{number}"
        write_bold(inbox / str(number), start, StudyInstanceUID=study, StudyTime=f"{start}00")
    site.take_in(inbox)
    shutil.rmtree(inbox)
    write_pulse(inbox / DAY / "a.puls", "15:00:01", 20)
    site.take_in(inbox)
    assert site.fates(inbox)[f"{DAY}/a.puls"] == ("stored", None)
    revisions = [folder for folder in site.sessions() if folder.name.endswith("_rev-2")]
    assert [beside(folder)["cardiac"]["StartTime"] for folder in revisions] == [1]


@pytest.mark.shared_data
def test_of_two_published_sessions_the_one_whose_stored_images_carry_the_uuid_of_a_late_log_gets_it(
    site: Site, tmp_path: Path, shared_data: Path
) -> None:
    inbox = tmp_path / "inbox"
    source = shared_data / "dicom" / "siemens_prisma_ve11_sefmap_ap_pa" / "dicom"
    for number, way in enumerate(("AP", "PA"), start=7):
        dataset = pydicom.dcmread(next(source.glob(f"*_{way}_*/*")))
        dataset.StudyInstanceUID = f"1.2.826.0.1.{number}"
        dataset.SeriesInstanceUID = f"1.2.826.0.1.{number}.2"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.{number}.2.1"
        (inbox / way).mkdir(parents=True)
        dataset.save_as(inbox / way / "1.dcm")
    site.take_in(inbox)
    shutil.rmtree(inbox)
    assert len(site.sessions()) == 2
    uuid = "fd9b3ad2-6f70-4e8e-b298-c9c2899ff2d2"  # that of the second session, while the clock is the first one's
    ticks = 400 * (15 * 3600 + 24 * 60 + 30)
    rows = "".join(f"{ticks + 2 * n}  PULS  {1000 + n % 200}\n" for n in range(4000))
    inbox.mkdir(exist_ok=True)
    log = inbox / f"Physio_20170920_152430_{uuid}_PULS.log"
    head = f"UUID = {uuid}\nScanDate = 20170920_152430\nLogVersion = EJA_1\nLogDataType = PULS\nSampleTime = 2\n"
    log.write_text(f"{head}ACQ_TIME_TICS CHANNEL VALUE SIGNAL\n{rows}", encoding="ascii")
    report = site.take_in(inbox)
    assert site.fates(inbox)[log.name] == ("stored", None)
    (new,) = [site.archive / folder for folder in report.published]
    sidecar = json.loads(next(new.rglob("*_epi.json")).read_text(encoding="utf-8"))
    assert sidecar["WipMemBlock"].partition("||")[0] not in {"", uuid}
    assert sidecar["PhaseEncodingDirection"] == "j"
    named = [path for path in site.archive.rglob("*") if path.is_file() and uuid.encode() in path.read_bytes().lower()]
    assert named == []


def test_a_recording_that_fitted_two_people_is_cut_to_published_images_once_its_name_says_whose_it_is(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox / "one")
    write_bold(inbox / "two", PatientID="HB0100")
    change(site, names=[{"id": "day", "pattern": r"(?:^|/)day_(?P<date>\d{8})/[^/]+$"}])
    log = inbox / "day_20230504" / "a.puls"
    write_pulse(log, "10:19:50", 40)
    site.take_in(inbox)
    assert site.fates(inbox)["day_20230504/a.puls"] == ("quarantined", "PHYSIO_AMBIGUOUS")
    for name in ("one", "two"):
        shutil.rmtree(inbox / name)
    (inbox / "HB0100_20230504").mkdir()
    shutil.move(log, inbox / "HB0100_20230504" / "a.puls")
    report = site.take_in(inbox)
    assert site.fates(inbox)["HB0100_20230504/a.puls"] == ("stored", None)
    assert [beside(site.archive / folder)["cardiac"]["OverlapFraction"] for folder in report.published] == [1]
    assert site.count("RECORD PulseOximetryRecording") == 2  # the whole one, and the part beside the image


def test_a_released_recording_is_looked_at_again_under_the_patterns_of_now(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox / "one")
    write_bold(inbox / "two", PatientID="HB0100")
    day = {"id": "day", "pattern": r"(?:^|/)day_(?P<date>\d{8})/[^/]+$"}
    change(site, names=[day])
    write_pulse(inbox / "day_20230504" / "HB0100-a.puls", "10:19:50", 40)
    site.take_in(inbox)
    assert site.fates(inbox)["day_20230504/HB0100-a.puls"] == ("quarantined", "PHYSIO_AMBIGUOUS")
    whose = {"id": "whose", "pattern": r"(?:^|/)day_(?P<date>\d{8})/(?P<patient_id>[^/]+)-[^/]+$"}
    change(site, names=[whose])
    assert site.run("quarantine", "release", "PHYSIO_AMBIGUOUS").code == 0
    (published,) = site.take_in(inbox).published
    assert site.fates(inbox)["day_20230504/HB0100-a.puls"] == ("stored", None)
    assert beside(site.archive / published)["cardiac"]["OverlapFraction"] == 1
    assert site.take_in(inbox).published == []


def test_a_late_recording_that_can_t_be_read_makes_no_revision(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox / "images")
    site.take_in(inbox)
    tree = site.tree()
    log = inbox / DAY / "a.puls"
    write_pulse(log, "10:19:50", 40)
    log.write_text(log.read_text(encoding="ascii").replace("LogStartMDHTime", "LogStart"), encoding="ascii")
    report = site.take_in(inbox)
    assert site.fates(inbox)[f"{DAY}/a.puls"] == ("quarantined", "PHYSIO_UNREADABLE")
    assert (report.published, report.exit_code, site.tree()) == ([], 1, tree)
