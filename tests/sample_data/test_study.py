"""What is written: the same bytes every time, names that say nothing, identifiers that are really there."""

from __future__ import annotations

import csv
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pydicom.config
import pytest

from sample_data import generate
from sample_data.people import PERSONS
from sample_data.phantom import TISSUES, Tissue
from sample_data.plan import study_plan
from sample_data.protocols import B_VALUES, DIRECTIONS
from sample_data.signal import ivim_attenuation
from sample_data.truth import session_truth

from .conftest import Study, read_csa


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def listing(study: Study) -> list[dict[str, str]]:
    with (study.folder / "truth" / "files.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_same_seed_gives_the_same_bytes_in_another_process(
    small_study: Study, tmp_path: Path, project_root: Path
) -> None:
    command = [sys.executable, "-W", "error", "-m", "sample_data", str(tmp_path / "again"), "--small"]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("1 subject(s), 2 sessions, 384 DICOM files, 9 MB in ")
    assert digests(tmp_path / "again") == digests(small_study.folder)


def test_another_seed_gives_other_names_and_noise_but_the_same_tables(small_study: Study, tmp_path: Path) -> None:
    generate(tmp_path / "other", small=True, seed=1)
    first, other = digests(small_study.inbox), digests(tmp_path / "other" / "inbox")
    tables = {name for name in first if name.startswith("Labor")}
    assert {name for name in first if first[name] == other.get(name)} == tables
    assert not set(first.values()) - {first[name] for name in tables} & set(other.values())


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(FileExistsError, match="not empty"):
        generate(tmp_path, small=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupted_run_is_begun_afresh(small_study: Study, tmp_path: Path) -> None:
    left = tmp_path / ".study.partial" / "inbox" / "EXPORT"
    left.mkdir(parents=True)
    (left / "12345").write_bytes(b"half a file")
    (tmp_path / "study").mkdir()
    generate(tmp_path / "study", small=True)
    assert [path.name for path in tmp_path.iterdir()] == ["study"]
    assert digests(tmp_path / "study") == digests(small_study.folder)


def test_the_command_refuses_a_folder_that_is_in_use(tmp_path: Path, project_root: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    command = [sys.executable, "-m", "sample_data", str(tmp_path), "--small"]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "is not empty" in done.stderr


def test_the_small_study_is_below_ten_megabytes(small_study: Study) -> None:
    size = sum(path.stat().st_size for path in small_study.inbox.rglob("*") if path.is_file())
    assert size == small_study.truth["bytes"]
    assert size < 10_000_000


def test_the_full_study_has_three_subjects_with_a_native_and_an_enhanced_visit_each() -> None:
    plan = study_plan()
    assert [[visit.contrast for visit in subject.visits] for subject in plan.subjects] == [[False, True]] * 3
    assert len({subject.person.patient_id for subject in plan.subjects}) == 3
    weeks = [(visits[1].start - visits[0].start).days / 7 for visits in (subject.visits for subject in plan.subjects)]
    assert weeks == [6, pytest.approx(4, abs=0.2), pytest.approx(8, abs=0.2)]


def test_one_subject_is_older_than_89_and_one_younger_than_30() -> None:
    ages = [subject.person.age(subject.visits[0].start.date()) for subject in study_plan().subjects]
    assert ages == [58, 27, 91]


def test_the_truth_lists_exactly_the_dicom_files_of_the_inbox(small_study: Study) -> None:
    listed = [row["file"] for row in listing(small_study)]
    assert sorted(listed) == [f"EXPORT/{path.name}" for path in small_study.dicom_files()]
    assert len(listed) == small_study.truth["dicom_files"]
    promised = sum(series["files"] for _, _, series in small_study.series())
    assert len(listed) == promised


def test_file_names_say_nothing(small_study: Study) -> None:
    pattern = re.compile(r"IM_\d{5,9}|\d{5,9}|[0-9A-F]{8}(\.dcm)?")
    names = [Path(row["file"]).name for row in listing(small_study)]
    assert all(pattern.fullmatch(name) for name in names)
    numbers = [int(re.sub(r"IM_|\.dcm", "", name), 16) for name in names]
    order = np.corrcoef(numbers, range(len(numbers)))[0, 1]
    assert abs(order) < 0.2


def test_file_names_of_recordings_betray_patient_and_date_as_sites_let_them(small_study: Study) -> None:
    names = sorted(path.name for path in (small_study.inbox / "PMU").iterdir())
    assert len(names) == 6
    assert all(re.fullmatch(r"Physio_HB0471100_20230(504|615)_\d{6}\.(ecg|puls|resp)", name) for name in names)


def test_every_planted_identifier_is_in_the_bytes_of_every_dicom_file(small_study: Study) -> None:
    (subject,) = small_study.truth["subjects"]
    site = small_study.truth["site"]["identifiers"]
    planted = [
        *subject["identifiers"]["names"],
        *subject["identifiers"]["ids"],
        subject["identifiers"]["dates"][0],
        *subject["identifiers"]["address"],
        *subject["identifiers"]["telephone"],
        *subject["identifiers"]["other"],
        *(one for kind in site.values() for one in kind),
    ]
    for path in small_study.dicom_files():
        content = path.read_bytes()
        missing = [one for one in planted if one.encode("latin-1") not in content]
        assert missing == []


def test_the_protocol_inside_the_csa_header_carries_names_too(small_study: Study) -> None:
    for path in small_study.dicom_files()[::25]:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        header = read_csa(dataset[0x0029, 0x1020].value)
        assert header["type"] == 2
        (protocol,) = header["tags"]["MrPhoenixProtocol"]["items"]
        assert '<ParamString."tPatientName"> { "Müllerschön^Jürgen^Karl" }' in protocol
        assert '<ParamString."tReferringPhysician"> { "Brömmelkamp^Hannelore^^Dr. med." }' in protocol
        assert "### ASCCONV BEGIN" in protocol


def test_names_stand_in_nested_sequences_and_in_free_text(small_study: Study) -> None:
    dataset = pydicom.dcmread(small_study.dicom_files()[0], stop_before_pixels=True)
    request = dataset.RequestAttributesSequence[0]
    assert request.ScheduledProcedureStepDescription == "MRT Kopf Müllerschön"
    assert request.RequestingPhysician == "Großkreutz^Wiebke^^Dr."
    reader = dataset.PhysiciansReadingStudyIdentificationSequence[0].PersonIdentificationCodeSequence[0]
    assert reader.CodeMeaning == "Thürnagel"
    assert dataset.ImageComments == "Müllerschön unruhig"


def test_headers_are_valid_dicom_by_pydicoms_strict_reading(small_study: Study) -> None:
    with pydicom.config.strict_reading():
        for path in small_study.dicom_files()[::7]:
            dataset = pydicom.dcmread(path)
            assert len(list(dataset.iterall())) > 100
            assert dataset.pixel_array.shape == (dataset.Rows, dataset.Columns)


def test_uids_are_unique_and_short_enough(small_study: Study) -> None:
    datasets = [pydicom.dcmread(path, stop_before_pixels=True) for path in small_study.dicom_files()]
    instances = {dataset.SOPInstanceUID for dataset in datasets}
    assert len(instances) == len(datasets)
    assert all(uid.is_valid for dataset in datasets for uid in (dataset.SOPInstanceUID, dataset.SeriesInstanceUID))
    assert len({dataset.SeriesInstanceUID for dataset in datasets}) == len(list(small_study.series()))
    assert all(dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID for dataset in datasets)


def test_csa_image_headers_tell_the_diffusion_gradient(small_study: Study) -> None:
    wanted = {row["file"]: int(row["instance"]) for row in listing(small_study) if row["series"] == "5"}
    session = small_study.truth["subjects"][0]["sessions"][0]
    series = session["series"][4]
    for name, instance in list(wanted.items())[:46]:
        dataset = pydicom.dcmread(small_study.inbox / name, stop_before_pixels=True)
        tags = read_csa(dataset[0x0029, 0x1010].value)["tags"]
        b_value = series["b_values"][instance - 1]
        assert tags["B_value"]["items"] == [b_value]
        assert dataset[0x0019, 0x100C].value == b_value
        if b_value:
            direction = series["directions_lps"][instance - 1]
            assert tags["DiffusionGradientDirection"]["items"] == pytest.approx(direction, abs=1e-7)
            matrix = np.array(tags["B_matrix"]["items"])
            assert matrix[[0, 3, 5]].sum() == pytest.approx(b_value, rel=1e-6)


def test_contrast_agent_is_named_only_after_it_was_given(small_study: Study) -> None:
    agents: dict[tuple[str, str], str | None] = {}
    for row in listing(small_study):
        dataset = pydicom.dcmread(small_study.inbox / row["file"], stop_before_pixels=True)
        agents.setdefault((row["session"], dataset.SeriesDescription), dataset.get("ContrastBolusAgent"))
    assert {key: agent for key, agent in agents.items() if agent} == {("2", "t1_mprage_sag_p2_iso_KM"): "Gadovist"}


def test_ages_over_89_are_capped_in_the_truth() -> None:
    plan = study_plan()
    ages = [session_truth(one.person, one.visits[0])["age_published"] for one in plan.subjects]
    assert ages == [58, 27, 90]


def test_people_have_names_beyond_ascii_that_latin_1_can_hold() -> None:
    for person in PERSONS:
        assert not person.name.isascii()
        assert person.name.encode("latin-1").decode("latin-1") == person.name


@pytest.mark.parametrize("tissue", [Tissue.GREY_MATTER, Tissue.WHITE_MATTER, Tissue.LESION])
def test_noise_free_signals_follow_the_bi_exponential_model(tissue: Tissue) -> None:
    one = TISSUES[tissue]
    measured = [ivim_attenuation(one, b) for b in B_VALUES]
    high = np.polyfit([2000.0, 3000.0], np.log([ivim_attenuation(one, 2000), ivim_attenuation(one, 3000)]), 1)
    assert measured[0] == 1.0
    assert -high[0] == pytest.approx(one.diffusion, rel=1e-6)
    assert 1 - np.exp(high[1]) == pytest.approx(one.perfusion_fraction, rel=1e-5)
    assert np.all(np.diff(measured) < 0)


def test_diffusion_directions_are_orthogonal_unit_vectors() -> None:
    assert np.array(DIRECTIONS) @ np.array(DIRECTIONS).T == pytest.approx(np.eye(3))
