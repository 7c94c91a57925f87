"""A dataset view holds the newest revision of what is published, and nothing that is not there."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from heartbrain_ingest.bids.validator import validate
from heartbrain_ingest.bids.view import ViewError, compose_view


def publish(root, subject, session, *, revision=1, date="2023-05-04", age=34.0, sex="F", files=()):
    """Make a published session folder with empty images."""
    mark = f"_rev-{revision}" if revision > 1 else ""
    folder = root / f"{date or '1900-01-01'}_{subject}_{session}{mark}"
    facts = {"Subject": subject, "Session": session, "Revision": revision, "Date": date, "Age": age, "Sex": sex}
    folder.mkdir(parents=True)
    (folder / "session.json").write_text(json.dumps(facts | {"Responsible": "Ada Example"}))
    (folder / "README.md").write_text("---\n---\n")
    for name, sidecar in files:
        image = folder / name
        image.parent.mkdir(parents=True, exist_ok=True)
        image.with_name(image.name + ".nii.gz").write_bytes(b"")
        image.with_name(image.name + ".json").write_text(json.dumps(sidecar))
    return folder


T1 = ("sub-A/ses-1/anat/sub-A_ses-1_T1w", {"AcquisitionTime": "10:00:00.5", "RecordType": "T1WeightedImage"})
BOLD = ("sub-A/ses-1/func/sub-A_ses-1_task-rest_bold", {"TaskName": "rest"})
REST = "bids::sub-A/ses-1/func/sub-A_ses-1_task-rest_bold.nii.gz"
FACES = "bids::sub-A/ses-1/func/sub-A_ses-1_task-faces_bold.nii.gz"
MAP = ("sub-A/ses-1/fmap/sub-A_ses-1_phasediff", {"IntendedFor": [REST, FACES]})
SCOUT = ("sourcedata/localizer/sub-A_ses-1_localizer", {"RecordType": "LocalizerImage"})


def test_the_highest_revision_of_a_session_counts_whatever_the_order(tmp_path):
    first = publish(tmp_path / "archive", "sub-A", "ses-1", files=[T1, BOLD])
    second = publish(tmp_path / "archive", "sub-A", "ses-1", revision=2, files=[T1])
    tenth = publish(tmp_path / "archive", "sub-A", "ses-1", revision=10, files=[T1])
    view = compose_view([tenth, first, second], tmp_path / "view", name="study")
    image = view / "sub-A/ses-1/anat/sub-A_ses-1_T1w.nii.gz"
    assert image.resolve() == tenth / "sub-A/ses-1/anat/sub-A_ses-1_T1w.nii.gz"
    assert not (view / "sub-A/ses-1/func").exists()


def test_the_tables_tell_subjects_sessions_and_scans(tmp_path):
    folders = [
        publish(tmp_path / "archive", "sub-A", "ses-1", files=[T1]),
        publish(tmp_path / "archive", "sub-A", "ses-2", date="2024-05-04", age=35.0),
        publish(tmp_path / "archive", "sub-B", "ses-undated", date=None, age=None, sex=None),
    ]
    folders[1].joinpath("sub-A/ses-2").mkdir(parents=True)
    for folder, name in (
        (folders[1], "sub-A/ses-2/anat/sub-A_ses-2_T1w"),
        (folders[2], "sub-B/ses-undated/anat/sub-B_ses-undated_T1w"),
    ):
        image = folder / f"{name}.nii.gz"
        image.parent.mkdir(parents=True)
        image.write_bytes(b"")
    view = compose_view(folders, tmp_path / "view", name="study")
    assert (view / "participants.tsv").read_text() == "participant_id\tage\tsex\nsub-A\t34\tF\nsub-B\tn/a\tn/a\n"
    assert (view / "sub-A/sub-A_sessions.tsv").read_text() == (
        "session_id\tacq_time\tage\trevision\nses-1\t2023-05-04T00:00:00\t34\t1\nses-2\t2024-05-04T00:00:00\t35\t1\n"
    )
    assert (view / "sub-A/ses-1/sub-A_ses-1_scans.tsv").read_text() == (
        "filename\tacq_time\trecord_type\nanat/sub-A_ses-1_T1w.nii.gz\t2023-05-04T10:00:00.5\tT1WeightedImage\n"
    )
    description = json.loads((view / "dataset_description.json").read_text())
    assert description["Name"] == "study"
    assert description["Authors"] == ["Ada Example"]
    assert (view / "CHANGES").read_text().startswith("1.0.0 2024-05-04\n")


def test_what_has_no_bids_name_is_below_sourcedata_without_the_dicom(tmp_path):
    dicom = ("sourcedata/dicom/0001_localizer", {})
    folder = publish(tmp_path / "archive", "sub-A", "ses-1", files=[T1, SCOUT, dicom])
    view = compose_view([folder], tmp_path / "view", name="study")
    inside = sorted(str(path.relative_to(view)) for path in (view / "sourcedata").rglob("*.nii.gz"))
    assert inside == ["sourcedata/sub-A/ses-1/localizer/sub-A_ses-1_localizer.nii.gz"]


def test_a_part_of_the_images_comes_with_all_that_belongs_to_it(tmp_path):
    folder = publish(tmp_path / "archive", "sub-A", "ses-1", files=[T1, BOLD, MAP])
    func = folder / "sub-A/ses-1/func"
    for name in (
        "sub-A_ses-1_task-rest_recording-cardiac_physio.tsv.gz",
        "sub-A_ses-1_task-rest_recording-cardiac_physio.json",
    ):
        (func / name).write_text("{}")
    (func / "sub-A_ses-1_task-faces_recording-cardiac_physio.json").write_text("{}")
    view = compose_view([folder], tmp_path / "view", name="part", images=[func / "sub-A_ses-1_task-rest_bold.nii.gz"])
    assert sorted(path.name for path in (view / "sub-A/ses-1").rglob("*") if path.is_file()) == [
        "sub-A_ses-1_scans.json",
        "sub-A_ses-1_scans.tsv",
        "sub-A_ses-1_task-rest_bold.json",
        "sub-A_ses-1_task-rest_bold.nii.gz",
        "sub-A_ses-1_task-rest_recording-cardiac_physio.json",
        "sub-A_ses-1_task-rest_recording-cardiac_physio.tsv.gz",
    ]


@pytest.mark.parametrize("copy", [False, True])
def test_a_field_map_points_only_at_what_the_view_holds_and_the_archive_stays_as_it_is(tmp_path, copy):
    folder = publish(tmp_path / "archive", "sub-A", "ses-1", files=[BOLD, MAP])
    view = compose_view([folder], tmp_path / "view", name="study", copy=copy)
    sidecar = "sub-A/ses-1/fmap/sub-A_ses-1_phasediff.json"
    assert json.loads((view / sidecar).read_text())["IntendedFor"] == [REST]
    assert json.loads((folder / sidecar).read_text())["IntendedFor"] == [REST, FACES]
    assert (view / "sub-A/ses-1/func/sub-A_ses-1_task-rest_bold.nii.gz").is_symlink() is not copy


def test_the_same_sessions_give_the_same_bytes(tmp_path):
    folders = [publish(tmp_path / "archive", subject, "ses-1") for subject in ("sub-B", "sub-A")]
    for folder in folders:
        image = folder / folder.name.split("_")[1] / "ses-1/anat/x_T1w.nii.gz"
        image.parent.mkdir(parents=True)
        image.write_bytes(b"")
    views = [
        compose_view(order, tmp_path / f"view{n}", name="study") for n, order in enumerate((folders, folders[::-1]))
    ]
    contents = [
        {str(path.relative_to(view)): path.read_bytes() for path in view.rglob("*") if path.is_file()} for view in views
    ]
    assert contents[0] == contents[1]
    assert "participants.tsv" in contents[0]


def test_an_image_that_a_newer_revision_replaced_is_not_left_out_in_silence(tmp_path):
    first = publish(tmp_path / "archive", "sub-A", "ses-1", files=[T1])
    second = publish(tmp_path / "archive", "sub-A", "ses-1", revision=2, files=[T1])
    image = "sub-A/ses-1/anat/sub-A_ses-1_T1w.nii.gz"
    with pytest.raises(ViewError, match="1 images are not there, or a newer revision replaced them"):
        compose_view([first, second], tmp_path / "old", name="part", images=[first / image])
    view = compose_view([first, second], tmp_path / "new", name="part", images=[second / image])
    assert (view / image).resolve() == second / image


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "view").mkdir()
    (tmp_path / "view" / "mine").touch()
    with pytest.raises(ViewError, match="is not empty"):
        compose_view([], tmp_path / "view", name="study")


def test_a_folder_without_session_facts_is_named_in_the_error(tmp_path):
    with pytest.raises(ViewError, match=r"2023-05-04_sub-A_ses-1: session.json can't be read"):
        compose_view([tmp_path / "2023-05-04_sub-A_ses-1"], tmp_path / "view", name="study")


ADC = ("derivatives/scanner/sub-A/ses-1/dwi/sub-A_ses-1_ADC", {"RecordType": "ADCMap", "SkullStripped": False})
PICTURE = "derivatives/qc/sub-A/ses-1/anat/sub-A_ses-1_T1w_planes.png"


def test_computed_maps_and_pictures_are_datasets_of_their_own(tmp_path):
    folder = publish(tmp_path / "archive", "sub-A", "ses-1", files=[T1, ADC])
    (folder / PICTURE).parent.mkdir(parents=True)
    (folder / PICTURE).touch()
    view = compose_view([folder], tmp_path / "view", name="study")
    assert (view / f"{ADC[0]}.nii.gz").is_symlink()
    assert (view / PICTURE).is_symlink()
    for name, maker in (("scanner", "scanner"), ("qc", "heartbrain-ingest")):
        description = json.loads((view / "derivatives" / name / "dataset_description.json").read_text())
        assert description["DatasetType"] == "derivative"
        assert [one["Name"] for one in description["GeneratedBy"]] == [maker]
    scans = (view / "sub-A/ses-1/sub-A_ses-1_scans.tsv").read_text()
    assert "ADC" not in scans


def test_a_computed_map_alone_comes_with_its_picture_and_not_with_those_of_others(tmp_path):
    folder = publish(tmp_path / "archive", "sub-A", "ses-1", files=[T1, ADC])
    own = "derivatives/qc/sub-A/ses-1/scanner/dwi/sub-A_ses-1_ADC_planes.png"
    for name in (PICTURE, own):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    view = compose_view([folder], tmp_path / "view", name="part", images=[folder / f"{ADC[0]}.nii.gz"])
    assert (view / own).is_symlink()
    assert not (view / PICTURE).exists()
    assert not list(view.glob("sub-A/ses-1/anat"))
    assert (view / "participants.tsv").read_text().splitlines()[1:] == ["sub-A\t34\tF"]


def test_the_validator_looks_at_computed_maps_and_accepts_them(tmp_path):
    folder = publish(tmp_path / "archive", "sub-A", "ses-1", files=[T1, ADC])
    for image in folder.rglob("*.nii.gz"):
        nibabel.Nifti1Image(np.ones((8, 8, 8), np.int16), np.eye(4)).to_filename(image)
    (folder / PICTURE).parent.mkdir(parents=True)
    (folder / PICTURE).write_bytes(b"\x89PNG")
    view = compose_view([folder], tmp_path / "view", name="study")
    assert [str(error) for error in validate(view).errors] == []
    wrong = "derivatives/scanner/sub-A/ses-1/dwi/sub-A_ses-1_ADCC.nii.gz"
    (view / wrong).write_bytes((view / f"{ADC[0]}.nii.gz").read_bytes())
    assert ("NOT_INCLUDED", f"/{wrong}") in {(error.code, error.location) for error in validate(view).errors}
