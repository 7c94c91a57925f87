"""The how-to for the steward, followed literally: its blocks go where it says, and made data comes out as it says."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linkahead.queries import count

from heartbrain_ingest import crawl
from heartbrain_ingest.bids import Candidate, NamedImage, load_naming_rules, name_session
from heartbrain_ingest.crawl.run import scan
from heartbrain_ingest.lab import SubjectRef, read_table
from heartbrain_ingest.lab import load_rules as load_lab_rules
from heartbrain_ingest.physio import load_rules as load_physio_rules
from heartbrain_ingest.physio import read_recordings, write_whole

STEP = re.compile(
    r"^(?:Below the line `(?P<line>[^`]+)` of|At the end of) `crawler_config/(?P<file>[^`]+)`:\n\n"
    r"```yaml\n(?P<block>.*?)```",
    re.MULTILINE | re.DOTALL,
)
PROJECT = "ExperimentalData/2023_HeartAndBrain"


def follow(text: str, config: Path) -> int:
    """Do what the how-to says, step by step, in a site's configuration."""
    steps = list(STEP.finditer(text))
    for step in steps:
        path = config / step["file"]
        content = path.read_text(encoding="utf-8")
        if step["line"] is None:
            content = f"{content.rstrip()}\n\n{step['block']}"
        else:
            assert content.count(f"\n{step['line']}\n") == 1, step["line"]
            content = content.replace(f"\n{step['line']}\n", f"\n{step['line']}\n{step['block']}")
        path.write_text(content, encoding="utf-8")
    return len(steps)


@pytest.fixture(scope="module")
def text(project_root: Path) -> str:
    return (project_root / "docs" / "howto-rules.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def config(project_root: Path, text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site's rules after every step of the how-to."""
    folder = tmp_path_factory.mktemp("site") / "crawler_config"
    shutil.copytree(project_root / "crawler_config", folder)
    assert follow(text, folder) == text.count("```yaml")
    return folder


@pytest.fixture
def name(config: Path) -> Callable[..., NamedImage]:
    rules = load_naming_rules(config / "bids_rules.yml")

    def run(description: str, shape: tuple[int, ...], **sidecar: Any) -> NamedImage:
        candidate = Candidate(
            key="7/image",
            series_uid="2.25.7",
            series_number=7,
            acquisition_time="10:00:00",
            header={"SeriesDescription": description, "Manufacturer": "SIEMENS", "ImageType": ["ORIGINAL", "PRIMARY"]},
            sidecar={"RepetitionTime": 2.0, "EchoTime": 0.03, **sidecar},
            shape=shape,
            voxel_size=(2.0, 2.0, 2.0),
        )
        (image,) = name_session([candidate], rules, subject="sub-K7Q2ABCD", session="ses-20230504")
        return image

    return run


def test_the_new_protocol_gets_its_bids_name_and_the_shipped_rules_hold(name: Callable[..., NamedImage]) -> None:
    image = name("HB_motor_v3", (64, 64, 30, 200))
    assert str(image.path).endswith("func/sub-K7Q2ABCD_ses-20230504_task-motor_bold")
    assert (image.naming.rule, image.naming.record_type, image.metadata["TaskName"]) == (
        "site-motor",
        "BOLDImage",
        "motor",
    )
    assert name("HB_motor_v3", (64, 64, 30)).naming.rule != "site-motor"
    assert name("t1_mprage_sag", (64, 64, 30)).naming.record_type == "T1WeightedImage"


def test_what_the_site_states_is_in_the_sidecar_of_its_protocol(config: Path) -> None:
    candidate = Candidate(
        key="8/image",
        series_uid="2.25.8",
        series_number=8,
        acquisition_time="10:00:00",
        header={"SeriesDescription": "DWI AP", "Manufacturer": "Philips", "ImageType": ["ORIGINAL", "PRIMARY"]},
        sidecar={"RepetitionTime": 2.0, "EchoTime": 0.08, "PhaseEncodingAxis": "j"},
        shape=(64, 64, 30, 3),
        voxel_size=(2.0, 2.0, 2.0),
        b_values=(0, 500, 1000),
    )
    rules = load_naming_rules(config / "bids_rules.yml")
    (image,) = name_session([candidate], rules, subject="K7Q2ABCD", session="20230504")
    assert (image.metadata["PhaseEncodingDirection"], image.metadata["TotalReadoutTime"]) == ("j-", 0.0432)
    assert image.metadata["StatedBy"] == ["site-philips-dwi-ap"]


def test_the_new_kind_of_image_is_a_record_that_its_own_properties_find(
    name: Callable[..., NamedImage], config: Path, tmp_path: Path
) -> None:
    import json  # noqa: PLC0415 - only here

    import nibabel  # noqa: PLC0415 - only here

    image = name("MRE gre 60Hz", (8, 8, 8))
    assert image.path is not None
    assert str(image.path) == "sourcedata/elastography/sub-K7Q2ABCD_ses-20230504_desc-mregre60hz_elastography"
    folder = tmp_path / "archive" / PROJECT / "2023-05-04_sub-K7Q2ABCD_ses-20230504"
    target = folder / image.path
    target.parent.mkdir(parents=True)
    made: Any = nibabel.Nifti1Image
    made(np.zeros((8, 8, 8), np.int16), np.eye(4)).to_filename(f"{target}.nii.gz")
    Path(f"{target}.json").write_text(json.dumps(dict(image.metadata)), encoding="utf-8")
    facts = {"Subject": "sub-K7Q2ABCD", "Session": "ses-20230504", "Date": "2023-05-04"}
    (folder / "session.json").write_text(json.dumps(facts), encoding="utf-8")
    crawl.connect(ini=None, database=tmp_path / "linkahead.db", file_root=tmp_path / "archive")
    crawl.load_datamodel(config / "datamodel.yml")
    report = crawl.crawl_delivery(
        folder, archive=tmp_path / "archive", cfood=config / "cfood.yml", identifiables=config / "identifiables.yml"
    )
    assert report.warnings == ()
    assert count("COUNT ElastographyImage WITH VibrationFrequency > 50 Hz") == 1
    assert count("COUNT ElastographyImage WITH VibrationFrequency > 70 Hz") == 0
    assert count("COUNT MRImage WITH SourceOfVibration = pneumatic") == 1


def test_the_question_of_the_how_to_is_the_one_that_was_asked(text: str) -> None:
    assert 'heartbrain query "FIND ElastographyImage WITH VibrationFrequency > 50 Hz"' in text


def test_the_new_analyte_is_read_with_its_unit_code_and_range(config: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(
        "PatientID;Abnahmedatum;Material;Lp(a) [g/l]\nHB-1;04.05.2023;Serum;0,45\nHB-1;05.05.2023;Serum;<0,02\n",
        encoding="utf-8",
    )
    delivery = read_table(
        table, load_lab_rules(config / "lab.yml"), {"HB-1": SubjectRef(label="sub-A", days=0, sex="M")}.get
    )
    assert not delivery.refused
    first, second = delivery.measurements
    assert (first.analyte, first.loinc, first.unit) == ("lipoprotein_a", "10835-7", "mg/dL")
    assert first.value == pytest.approx(45)
    assert second.value == pytest.approx(2)
    assert (first.flag, second.qualifier) == ("H", "<")


def test_the_new_channel_is_read_written_and_a_record_of_its_kind(config: Path, tmp_path: Path) -> None:
    rules = load_physio_rules(config / "physio.yml")
    rate, seconds = 100, 30
    (tmp_path / "rec.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\nDataFile=rec.eeg\n"
        "MarkerFile=rec.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=1\n"
        f"SamplingInterval={1_000_000 // rate}\n[Binary Infos]\nBinaryFormat=INT_16\n"
        "[Channel Infos]\nCh1=EDA,,0.1,uS\n",
        encoding="utf-8",
    )
    (tmp_path / "rec.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nDataFile=rec.eeg\n[Marker Infos]\n"
        "Mk1=New Segment,,1,1,0,20230504101500000000\n",
        encoding="utf-8",
    )
    np.arange(rate * seconds, dtype="<i2").tofile(tmp_path / "rec.eeg")
    (recording,) = read_recordings(tmp_path / "rec.vhdr", rules)
    assert recording.kind == "skin-conductance"
    folder = tmp_path / "archive" / PROJECT / "2023-05-04_sub-A_ses-1"
    (folder / "sourcedata" / "physio").mkdir(parents=True)
    write_whole(recording, folder / "sourcedata" / "physio" / "sub-A_ses-1_run-1", rules)
    names = {path.name for path in (folder / "sourcedata" / "physio").iterdir()}
    assert {f"sub-A_ses-1_run-1_recording-eda_physio.{ending}" for ending in ("tsv.gz", "json")} <= names
    records = scan(folder, archive=tmp_path / "archive", cfood=config / "cfood.yml")
    kinds = [parent.name for record in records if record.role == "Record" for parent in record.parents]
    assert "SkinConductanceRecording" in kinds
