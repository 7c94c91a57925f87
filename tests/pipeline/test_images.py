"""What a researcher does with published images: look, explain, export, and ask two programs the same question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.conftest import TakenIn


def _stems(paths: list[Path]) -> set[str]:
    return {path.name.removesuffix(".gz").removesuffix(".nii") for path in paths}


def _tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_every_image_has_pictures_and_its_record_refers_to_them(sample: TakenIn) -> None:
    archive = sample.site.archive
    images = sorted(archive.rglob("*.nii.gz"))
    records = {
        one["name"]: one for one in sample.site.find("SELECT PlanesPicture, MeanPicture, TSNRPicture FROM MRImage")
    }
    assert len(records) == len(images) > 20
    with_series = 0
    for image in images:
        sidecar = json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
        record = records[image.name.removesuffix(".nii.gz")]
        series = sidecar["NumberOfVolumes"] >= 4
        with_series += series
        for kind, name in (("planes", "PlanesPicture"), ("mean", "MeanPicture"), ("tsnr", "TSNRPicture")):
            place = record[name]
            assert (place is not None) == (kind == "planes" or series), (image.name, name)
            if place is not None:
                assert place.endswith(f"/{image.name.removesuffix('.nii.gz')}_{kind}.png")
                assert (archive / place.lstrip("/")).read_bytes().startswith(b"\x89PNG")
    assert with_series >= 4
    assert len(list(archive.rglob("derivatives/qc/**/*.png"))) == len(images) + 2 * with_series


def test_explain_shows_every_rule_that_was_tried_and_the_selector_that_failed(sample: TakenIn) -> None:
    done = sample.site.run("explain", "0002_t1_mprage_sag_p2_iso.zip")
    lines = [line.strip() for line in done.out.splitlines()]
    rules = [line.split(":")[0].removeprefix("not ") for line in lines if line.startswith("not ")]
    assert rules[:2] == ["spectra-water-reference", "spectra-grid"]
    assert {"localizer", "bold", "diffusion"} <= set(rules)
    assert "t1" not in rules
    assert any(
        line.startswith("not localizer: any of: words matches") and "'t1 mprage sag p2 iso'" in line for line in lines
    )
    assert not any("rules have changed" in line for line in lines)


def test_explain_says_what_a_changed_rule_would_decide(sample: TakenIn, tmp_path: Path) -> None:
    import shutil  # noqa: PLC0415 - only here

    from heartbrain_ingest.bids import load_naming_rules  # noqa: PLC0415 - only here
    from heartbrain_ingest.retrial import retrial_lines  # noqa: PLC0415 - only here

    rules = tmp_path / "bids_rules.yml"
    shutil.copy(sample.site.folder / "crawler_config" / "bids_rules.yml", rules)
    own = (
        "\nrules:\n  - id: own\n    when: {words: {contains: t1 mprage sag p2 iso}}\n"
        "    set: {datatype: anat, suffix: T2w, RecordType: T2WeightedImage}\n"
    )
    rules.write_text(rules.read_text(encoding="utf-8").replace("\nrules:\n", own), encoding="utf-8")
    image = next(sample.site.archive.rglob("*_T1w.nii.gz"))
    session = image.parents[3]
    lines = retrial_lines(load_naming_rules(rules), session, image.relative_to(session).as_posix(), "t1")
    assert lines == ["the rules have changed: today own would name it (T2WeightedImage)"]


@pytest.fixture(scope="module")
def exported(sample: TakenIn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything of all sessions, as links."""
    folder = tmp_path_factory.mktemp("export") / "all"
    done = sample.site.run("export", "FIND Session", folder, "--json")
    assert done.code == 0, done.err
    assert done.report["errors"] == []
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("question", "entities"),
    [
        ("FIND T1WeightedImage", {"suffix": "T1w"}),
        ("FIND T1WeightedImage WITH ce", {"suffix": "T1w", "ceagent": "gadovist"}),
        ("FIND BOLDImage WITH task = rest", {"task": "rest", "suffix": "bold"}),
        ("FIND MRImage WITH BIDSDatatype = fmap", {"datatype": "fmap"}),
        ("FIND FieldMap WITH dir = PA", {"datatype": "fmap", "direction": "PA"}),
        ("FIND DiffusionWeightedImage WITH acq = ivim", {"suffix": "dwi", "acquisition": "ivim"}),
        ("FIND MRImage WITH RepetitionTime > 2 s AND BIDSDatatype", {"RepetitionTime": lambda value: value > 2}),
        ("FIND MRImage WITH Session.SessionLabel = {session} AND BIDSDatatype", {"session": "{session}"}),
        ("FIND MRImage WITH BIDSDatatype", {}),
    ],
)
def test_pybids_finds_in_the_dataset_what_linkahead_finds(
    sample: TakenIn, layout: Any, question: str, entities: dict[str, Any]
) -> None:
    session = min(layout.get_sessions())
    question = question.replace("{session}", f"ses-{session}")
    wanted = {name: session if value == "{session}" else value for name, value in entities.items()}
    metadata = {name: test for name, test in wanted.items() if callable(test)}
    files = layout.get(extension=".nii.gz", **{name: value for name, value in wanted.items() if name not in metadata})
    by_pybids = {
        Path(file.path).name.removesuffix(".nii.gz")
        for file in files
        if all(test(file.get_metadata().get(name, 0)) for name, test in metadata.items())
    }
    assert by_pybids
    assert by_pybids == {one["name"] for one in sample.site.find(question)}


@pytest.fixture(scope="module")
def layout(exported: Path) -> Any:
    import warnings  # noqa: PLC0415 - only here

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bids import BIDSLayout  # noqa: PLC0415 - half a second

        return BIDSLayout(exported, validate=True)


def test_an_export_holds_all_images_and_recordings_of_the_found_sessions_as_links(
    sample: TakenIn, exported: Path
) -> None:
    archive = sample.site.archive
    assert _stems(list(exported.rglob("*.nii.gz"))) == _stems(list(archive.rglob("*.nii.gz")))
    assert {path.name for path in exported.rglob("*_physio.tsv.gz")} == {
        path.name for path in archive.rglob("*_physio.tsv.gz")
    }
    assert all(path.is_symlink() for path in exported.rglob("*.nii.gz"))
    assert {path.resolve() for path in exported.rglob("*.nii.gz")} == set(archive.rglob("*.nii.gz"))
    assert not list(exported.rglob("*.zip"))


def test_an_export_of_some_images_is_a_valid_dataset_of_copies_with_what_belongs_to_them(
    sample: TakenIn, tmp_path: Path
) -> None:
    folder = tmp_path / "contrast"
    done = sample.site.run("export", "FIND T1WeightedImage WITH ce", folder, "--copy", "--json")
    assert done.code == 0, done.err
    assert {key: value for key, value in done.report.items() if key != "dataset"} == {
        "images": 1,
        "recordings": 0,
        "subjects": 1,
        "sessions": 1,
        "errors": [],
    }
    (image,) = folder.rglob("*.nii.gz")
    assert not image.is_symlink()
    subject, session = image.relative_to(folder).parts[:2]
    stem = f"{subject}_{session}_ce-gadovist_T1w"
    assert _tree(folder) >= {
        "dataset_description.json",
        "participants.tsv",
        "participants.json",
        "README.md",
        "CHANGES",
        ".bidsignore",
        f"{subject}/{subject}_sessions.tsv",
        f"{subject}/{session}/{subject}_{session}_scans.tsv",
        f"{subject}/{session}/anat/{stem}.nii.gz",
        f"{subject}/{session}/anat/{stem}.json",
        f"derivatives/qc/{subject}/{session}/anat/{stem}_planes.png",
    }
    assert len((folder / "participants.tsv").read_text(encoding="utf-8").splitlines()) == 2
    assert len((folder / subject / f"{subject}_sessions.tsv").read_text(encoding="utf-8").splitlines()) == 2
    assert "FIND T1WeightedImage WITH ce\n" in (folder / "README.md").read_text(encoding="utf-8")


def test_an_export_of_a_recording_and_of_what_bids_has_no_name_for_is_valid_too(
    sample: TakenIn, tmp_path: Path
) -> None:
    for question in ("FIND ECGRecording WITH OverlapFraction > 0.9", "FIND LocalizerImage", "FIND FieldMap"):
        folder = tmp_path / question.split()[1]
        done = sample.site.run("export", question, folder, "--json")
        assert (done.code, done.report["errors"]) == (0, []), question
        assert done.report["images"] + done.report["recordings"] == len(sample.site.find(question))


def test_an_export_refuses_a_folder_that_holds_something_and_a_question_without_images(
    sample: TakenIn, exported: Path, tmp_path: Path
) -> None:
    before = _tree(exported)
    for question, target, said in (
        ("FIND T1WeightedImage", exported, "not empty"),
        ("FIND LaboratoryMeasurement", tmp_path / "a", "nothing that has images"),
        ("COUNT T1WeightedImage", tmp_path / "b", "FIND"),
        ("FIND T1WeightedImage WITH (", tmp_path / "c", "yntax"),
    ):
        done = sample.site.run("export", question, target)
        assert done.code == 2
        assert said in done.err
        assert target is exported or not target.exists()
    assert _tree(exported) == before


def test_check_composes_and_validates_the_dataset_of_the_project(sample: TakenIn) -> None:
    done = sample.site.run("check", "--bids", "--json")
    assert (done.code, done.report["problems"], done.report["datasets"]) == (0, [], 1)
    assert "SIDECAR_KEY_RECOMMENDED" in done.report["remarks"]
