"""What recordings that are no DICOM say of people is in nothing that is published, whatever repeats it."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pybv
import pytest

from heartbrain_ingest.physio import Names, find_names
from tests.physio.test_other_monitors import write_biopac
from tests.pipeline.scans import write_bold, write_series
from tests.pipeline.site import Site
from tests.pipeline.test_recordings import PATIENT, write_pulse

DAY = f"{PATIENT}_20230504"
#: Nobody of these stands in a DICOM header: only the recordings name them.
PERSON, DOCTOR, CASE, BORN = "Adelheid Zwicknagl", "Grabowski", "KH-7712345", "1948-11-23"
SECRETS = ("adelheid", "zwicknagl", "grabowski", "kh-7712345", "7712345", "1948-11-23", "19481123", "23.11.1948")
PLANTED = f"Patient name: {PERSON}\nCase No: {CASE}\nPhysician: Dr. {DOCTOR}\nDate of birth: {BORN}"


def plant_pmu(folder: Path) -> Path:
    path = folder / "a.puls"
    write_pulse(path, "10:19:50", 40)
    text = path.read_text(encoding="ascii").replace("1 2 40 280 ", f"1 2 40 280 5002 {PLANTED} 6002 ", 1)
    path.write_text(text.replace("6003\n", f"{PLANTED}\n6003\n"), encoding="ascii")
    return path


def plant_cmrr(folder: Path) -> Path:
    path = folder / "Physio_20230504_101950_37ad7e36-aab4-4366-bc99-fb799b8c167b_PULS.log"
    head = "UUID = 37ad7e36-aab4-4366-bc99-fb799b8c167b\nScanDate = 20230504_101950\nLogVersion = EJA_1\n"
    head += "LogDataType = PULS\nSampleTime = 2\n" + PLANTED.replace(": ", " = ") + "\n"
    ticks = 14_876_000  # 10:19:50 in 2.5 ms
    rows = "".join(f"{ticks + 2 * n}  PULS  {1000 + n % 200}\n" for n in range(8000))
    path.write_text(head + "ACQ_TIME_TICS CHANNEL VALUE SIGNAL\n" + rows, encoding="ascii")
    return path


def plant_philips(folder: Path) -> Path:
    path = folder / "SCANPHYSLOG20230504101950.log"
    rows = "\n".join(f"0 0 0 0 {n % 40} {n % 90} 0 0 0 {'0020' if n == 9000 else '0000'}" for n in range(9001))
    head = "".join(f"## {line}\n" for line in (*PLANTED.split("\n"), "Thu 04-05-2023 10:19:50"))
    path.write_text(f"{head}# v1raw v2raw  v1 v2  ppu resp  gx gy gz mark\n{rows}\n", encoding="ascii")
    return path


def plant_ge(folder: Path) -> Path:
    path = folder / "RESPData_epiRT_0504202310_20_12_000"
    path.write_text("\n".join(str(n % 90) for n in range(1000)) + "\n", encoding="ascii")
    return path


def plant_brainvision(folder: Path) -> Path:
    time = np.arange(20_000) / 500
    pybv.write_brainvision(
        data=np.stack([np.sin(7 * time) * 1e-4, np.cos(7 * time) * 1e-4]),
        sfreq=500.0,
        ch_names=["Pulse", f"EMG {PERSON}"],
        fname_base="bv",
        folder_out=folder,
        unit="µV",
        meas_date="20230504101952000000",
        events=[{"onset": 900, "duration": 1, "type": "Comment", "description": f"asked by Dr. {DOCTOR}: {PERSON}"}],
    )
    header = folder / "bv.vhdr"
    header.write_text(header.read_text(encoding="utf-8") + f"\n[Comment]\n{PLANTED}\n", encoding="utf-8")
    return header


def plant_biopac(folder: Path) -> Path:
    time = np.arange(8000) / 200
    path = write_biopac(
        folder / f"{DAY}_101950.acq", {"ECG": ("mV", np.sin(7 * time)), f"EMG {PERSON}": (DOCTOR, np.cos(time))}
    )
    content = path.read_bytes()
    journal = PLANTED.encode()
    path.write_bytes(content[:-6] + struct.pack("<hi", 0, len(journal)) + journal)
    return path


FORMATS = [plant_pmu, plant_cmrr, plant_philips, plant_ge, plant_brainvision, plant_biopac]


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Give the name and the unpacked content of every file, and of those within zip files."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if path.suffix == ".zip":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                yield from ((f"{path.name}!{name}", archive.read(name)) for name in archive.namelist())
        else:
            yield path.name, gzip.decompress(data) if path.suffix == ".gz" else data


@pytest.mark.parametrize("plant", FORMATS)
def test_nobody_whom_a_recording_names_is_named_in_what_is_published(
    site: Site, tmp_path: Path, plant: Callable[[Path], Path]
) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox, ImageComments=f"with {PERSON}", PerformedProcedureStepDescription=f"for {DOCTOR} {CASE}")
    (inbox / DAY).mkdir()
    path = plant(inbox / DAY)
    site.take_in(inbox)
    assert site.fates(inbox)[path.relative_to(inbox).as_posix()] == ("stored", None)
    told = () if plant is plant_ge else SECRETS
    shared = [*told, "20230504", "2023-05-04", "04-05-2023", "37ad7e36", PATIENT.lower(), "quandt"]
    found = {
        (name, secret)
        for name, content in contents(site.archive)
        for secret in shared
        if secret.encode() in (name.encode() + b"\0" + content).lower()
    }
    assert found == set()
    assert site.database.read_bytes().lower().count(b"zwicknagl") == 0
    assert "zwicknagl" not in site.log.lower()


def test_the_name_of_a_channel_loses_the_person_and_keeps_the_rest(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox)
    (inbox / DAY).mkdir()
    plant_brainvision(inbox / DAY)
    site.take_in(inbox)
    (log,) = site.sessions()[0].glob("sourcedata/physio/*_log.zip")
    with zipfile.ZipFile(log) as archive:
        about = json.loads(archive.read("log.json"))
    assert [one["Name"] for one in about["Signals"]] == ["Pulse", "EMG"]
    assert {label for label, _ in about["Markers"]} == {"other"}


def test_a_session_that_would_show_whom_a_recording_names_is_kept_back_with_the_place_alone(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    write_series(inbox / "images")
    site.settings.write_text(
        site.settings.read_text(encoding="utf-8").replace("2023_HeartAndBrain", "2023_Zwicknagl"), encoding="utf-8"
    )
    log = plant_pmu(inbox / DAY)
    report = site.take_in(inbox)
    assert site.fates(inbox)[log.relative_to(inbox).as_posix()] == ("quarantined", "LEAK")
    assert (report.published, report.exit_code) == ([], 1)
    told = site.run("quarantine", "explain", "1").out
    assert "found in name: session.json: Project" in told
    assert "zwicknagl" not in (told + site.log).lower()


@pytest.mark.parametrize(
    ("plant", "names"),
    [
        (plant_pmu, {Names.PERSON: PERSON, Names.PATIENT: CASE, Names.DATE: "19481123"}),
        (plant_cmrr, {Names.PERSON: PERSON, Names.ID: "37ad7e36-aab4-4366-bc99-fb799b8c167b", Names.DATE: "20230504"}),
        (plant_philips, {Names.PERSON: PERSON, Names.PATIENT: CASE, Names.DATE: "20230504"}),
        (plant_ge, {Names.DATE: "20230504"}),
        (plant_brainvision, {Names.PERSON: PERSON, Names.PATIENT: CASE, Names.DATE: "19481123"}),
        (plant_biopac, {Names.PERSON: PERSON, Names.PATIENT: CASE, Names.DATE: "19481123"}),
    ],
)
def test_what_a_recording_says_of_people_is_found_in_its_text(
    tmp_path: Path, plant: Callable[[Path], Path], names: dict[Names, str]
) -> None:
    found = find_names(plant(tmp_path))
    assert set(names.items()) <= found
    assert "Pulse" not in {value for _, value in found}


def test_samples_and_settings_of_a_monitor_name_nobody(tmp_path: Path) -> None:
    write_pulse(tmp_path / "a.puls", "10:19:50", 40)
    assert find_names(tmp_path / "a.puls") == frozenset()
    time = np.arange(1000) / 500
    pybv.write_brainvision(
        data=np.stack([np.sin(7 * time)]), sfreq=500.0, ch_names=["Pulse"], fname_base="b", folder_out=tmp_path
    )
    for path in tmp_path.glob("b.*"):
        assert find_names(path) == frozenset()
