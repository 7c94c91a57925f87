"""Every real series of the reference data gets the name that its manifest expects, and the whole is valid BIDS."""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from heartbrain_ingest.bids import (
    Candidate,
    compose_view,
    name_session,
    read_asl_context,
    read_background_suppression,
    validate,
)

IDENTIFIERS = ("InstitutionName", "InstitutionAddress", "StationName", "DeviceSerialNumber", "AcquisitionDateTime")


def read_headers(folder):
    """Read the first header of each series, and what its volumes are."""
    import pydicom  # noqa: PLC0415

    headers, instances = {}, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # real headers break the standard in small ways
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            try:
                dataset = pydicom.dcmread(path, stop_before_pixels=True)
            except pydicom.errors.InvalidDicomError:
                continue
            number = int(dataset.SeriesNumber)
            instances.setdefault(number, []).append(dataset)
            if number not in headers:
                headers[number] = {e.keyword: plain(e) for e in dataset if e.keyword and e.VR != "SQ"}
        for number, series in instances.items():
            headers[number]["ASLContext"] = read_asl_context(series)
            headers[number]["BackgroundSuppression"] = read_background_suppression(
                Path(series[0].filename).read_bytes()
            )
    return headers


def plain(element):
    value = element.value
    if element.VM > 1:
        return [item if isinstance(item, int | float) else str(item) for item in value]
    return value if isinstance(value, int | float) else str(value)


def read_candidates(folder, headers):
    import nibabel  # noqa: PLC0415

    for path in sorted(folder.glob("*.json")):
        sidecar = json.loads(path.read_text())
        number = int(sidecar["SeriesNumber"])
        table = path.with_suffix(".bval")
        b_values = tuple(float(value) for value in table.read_text().split()) if table.exists() else ()
        images = [image for image in (path.with_suffix(".nii"), path.with_suffix(".nii.gz")) if image.exists()]
        shape, voxel = (64, 64, 20, *([len(b_values)] if b_values else [])), (1.0, 1.0, 1.0)
        if images:
            image = nibabel.load(images[0])
            shape, voxel = image.shape, tuple(float(size) for size in image.header.get_zooms()[:3])
        yield Candidate(
            key=f"{number}/{path.stem}",
            series_uid=str(number),
            series_number=number,
            acquisition_time=sidecar.get("AcquisitionTime", ""),
            header=headers.get(number, {}),
            sidecar=sidecar,
            shape=shape,
            voxel_size=voxel,
            b_values=b_values,
        )


@pytest.fixture(scope="module")
def converted(shared_data, tmp_path_factory):
    """Convert every set of DICOM once: name of the set -> folder of images."""
    root = tmp_path_factory.mktemp("converted")
    folders = {}
    for source in sorted((shared_data / "dicom").iterdir()):
        target = root / source.name
        target.mkdir()
        program = Path(sys.executable).with_name("dcm2niix")
        options = ["-b", "y", "-ba", "n", "-z", "n", "-f", "%s"]
        subprocess.run([program, *options, "-o", target, source / "dicom"], check=False, capture_output=True)
        folders[source.name] = target
    return folders


@pytest.fixture(scope="module")
def named(converted, shared_data, rules):
    """Name the images of every set as a session of its own."""
    sessions = {}
    for number, (source, folder) in enumerate(converted.items()):
        candidates = list(read_candidates(folder, read_headers(shared_data / "dicom" / source / "dicom")))
        sessions[source] = name_session(candidates, rules, subject=f"sub-T{number:02d}", session="ses-20230504")
    return sessions


def expected_names(shared_data, start, middle=""):
    """Read the manifest: set or file -> (datatype, suffix, entities) that it expects."""
    expected: dict[str, set[tuple[str, str, frozenset[str]]]] = {}
    with (shared_data / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            path = Path(row["path"])
            if path.parts[0] != start or (middle and middle not in path.parts):
                continue
            datatype = ""
            for pattern in re.split(r"[,;] ?", re.sub(r"\([^)]*\)", "", row["expected_bids"])):
                found = re.fullmatch(r"(?:(anat|func|dwi|fmap|perf)/)?\*_(.+)", pattern.strip())
                if not found:
                    continue
                datatype = found[1] or datatype
                *entities, suffixes = found[2].split("_")
                wanted = frozenset("task-" if entity == "task-X" else entity for entity in entities)
                key = path.parts[1] if middle else str(path.relative_to(start))
                for suffix in re.sub(r"(\d)\|(\d)", r"\1 \g<2>", suffixes).split(" "):
                    full = suffix if not suffix.isdigit() else re.sub(r"\d.*", suffix, suffixes)
                    expected.setdefault(key, set()).add((datatype, full, wanted))
    return expected


def meets(image, pattern):
    datatype, suffix, entities = pattern
    labels = [f"{key}-{label}" for key, label in image.naming.entities.items()]
    return (
        image.naming.datatype == datatype
        and suffix in {image.naming.suffix, "*"}
        and all(any(label.startswith(entity) for label in labels) for entity in entities)
    )


def test_every_set_of_dicom_gets_the_names_of_the_manifest(named, shared_data):
    expected = expected_names(shared_data, "dicom", "dicom")
    assert len(expected) == 16
    for source, images in named.items():
        patterns = expected.get(source, set())
        inside = [image for image in images if image.naming.datatype]
        for pattern in patterns:
            assert any(meets(image, pattern) for image in inside), (source, pattern)
        for image in inside:
            assert any(meets(image, pattern) for pattern in patterns), (source, image.path)


def test_every_set_of_sidecars_gets_the_names_of_the_manifest(shared_data, rules):
    expected = expected_names(shared_data, "nifti_sidecar")
    compared = 0
    for folder in ("cs_dl", "ukat_kidney_b0/siemens_1", "ukat_kidney_multib_dwi/siemens"):
        candidates = list(read_candidates(shared_data / "nifti_sidecar" / folder, {}))
        for image in name_session(candidates, rules, subject="X", session="Y"):
            stem = image.candidate.key.partition("/")[2]
            patterns = expected[f"{folder}/{stem}.json"]
            # The manifest gives one list for the four files of the kidney B0 map.
            assert any(meets(image, pattern) for pattern in patterns), (image.path, patterns)
            compared += 1
    assert compared == 10


def test_a_tensor_series_is_diffusion_although_dcm2niix_calls_it_derived(named):
    (image,) = named["ge_pioneer_mr29_dwi"]
    assert image.candidate.sidecar["BidsGuess"][0] == "derived"
    assert (image.naming.datatype, image.naming.suffix) == ("dwi", "dwi")


def test_scouts_and_computed_perfusion_are_records_outside_bids(named):
    kinds = {
        (image.naming.folder, image.naming.record_type)
        for source in ("siemens_prisma_ve11_scout_and_phoenix", "siemens_prisma_xa30_asl")
        for image in named[source]
        if image.naming.datatype is None
    }
    assert kinds == {("sourcedata/localizer", "LocalizerImage"), ("sourcedata/derived", "DerivedImage")}


@pytest.fixture(scope="module")
def view(named, converted, tmp_path_factory):
    """Publish the named images as an archive would hold them, and compose the dataset."""
    archive = tmp_path_factory.mktemp("archive")
    folders = []
    for source, images in named.items():
        if not images:
            continue
        subject = re.search(r"sub-[A-Z0-9]+", images[0].path.name)[0]
        folder = archive / f"2023-05-04_{subject}_ses-20230504"
        folder.mkdir()
        facts = {
            "Subject": subject,
            "Session": "ses-20230504",
            "Revision": 1,
            "Date": "2023-05-04",
            "Age": 90.0,
            "Sex": "O",
        }
        (folder / "session.json").write_text(json.dumps(facts))
        for image in images:
            write_image(image, converted[source], folder)
        folders.append(folder)
    return compose_view(folders, tmp_path_factory.mktemp("view") / "dataset", name="Reference data")


def write_image(image, source, folder):
    stem = source / image.candidate.key.partition("/")[2]
    target = folder / image.path
    target.parent.mkdir(parents=True, exist_ok=True)
    nifti = stem.with_suffix(".nii").read_bytes()
    target.with_name(target.name + ".nii.gz").write_bytes(gzip.compress(nifti, compresslevel=1, mtime=0))
    kept = {key: value for key, value in image.candidate.sidecar.items() if key not in IDENTIFIERS and "UID" not in key}
    target.with_name(target.name + ".json").write_text(json.dumps(kept | dict(image.metadata)))
    for extension in (".bval", ".bvec"):
        if image.b_table and stem.with_suffix(extension).exists():
            shutil.copy(stem.with_suffix(extension), target.with_name(target.name + extension))
    for path, text in image.tables.items():
        (folder / path).write_text(text)


def test_the_dataset_of_all_sets_is_valid_bids(view):
    report = validate(view)
    assert [str(error) for error in report.errors] == []
    assert "SIDECAR_KEY_RECOMMENDED" in {warning.code for warning in report.warnings}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_pybids_indexes_the_dataset_and_finds_every_image(view, named):
    from bids import BIDSLayout  # noqa: PLC0415

    layout = BIDSLayout(view, validate=True)
    paths = sorted(
        path.relative_to(view).as_posix() for path in map(Path, layout.get(extension=".nii.gz", return_type="filename"))
    )
    assert paths == sorted(
        f"{image.path}.nii.gz" for images in named.values() for image in images if image.naming.datatype
    )
    (rest,) = layout.get(task="rest", suffix="bold", extension=".nii.gz")
    assert rest.get_metadata()["RecordType"] == "BOLDImage"
    assert len(layout.get(suffix="dwi", direction="AP", extension=".nii.gz")) == 2
    assert len(layout.get_fieldmap(layout.get(suffix="bold", extension=".nii.gz")[0].path, return_list=True)) == 0
