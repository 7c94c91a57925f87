from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from heartbrain_ingest.crawl.run import scan
from heartbrain_ingest.errors import DatabaseError, RulesError

if TYPE_CHECKING:
    from tests.crawl.conftest import Site

STEM = "sub-K7Q2ABCD_ses-20230504"


def read(site: Site, folder: Path) -> dict[str, Any]:
    """Give the records of a folder by name; an image that a recording only refers to is left out."""
    return {
        entity.name: entity
        for entity in scan(folder, archive=site.archive, cfood=site.rules / "cfood.yml")
        if entity.role == "Record" and (entity.get_property("Project") or not entity.get_property("Session"))
    }


def values(record: Any) -> dict[str, Any]:
    return {prop.name: prop.value for prop in record.properties}


def kinds(record: Any) -> list[str]:
    return [parent.name for parent in record.parents]


def test_a_session_folder_becomes_one_record_for_each_image_recording_and_person(site: Site) -> None:
    records = read(site, site.put_session())
    assert {name: kinds(record) for name, record in records.items()} == {
        "2023_HeartAndBrain": ["Project"],
        "Ada Lovelace": ["Person"],
        "sub-K7Q2ABCD": ["Subject"],
        STEM: ["Session"],
        f"{STEM}_acq-mprage_ce-gd_run-1_T1w": ["T1WeightedImage"],
        f"{STEM}_dir-AP_dwi": ["DiffusionWeightedImage"],
        f"{STEM}_task-rest_bold": ["BOLDImage"],
        f"{STEM}_task-rest_recording-cardiac_physio": ["ECGRecording"],
        f"{STEM}_localizer": ["LocalizerImage"],
        f"{STEM}_desc-odd_unclassified": ["MRImage"],
    }


def test_an_image_carries_the_entities_of_its_name(site: Site) -> None:
    image = values(read(site, site.put_session())[f"{STEM}_acq-mprage_ce-gd_run-1_T1w"])
    entities = ("acq", "ce", "run", "BIDSSuffix", "BIDSDatatype")
    assert {name: image[name] for name in entities} == {
        "acq": "mprage",
        "ce": "gd",
        "run": 1,
        "BIDSSuffix": "T1w",
        "BIDSDatatype": "anat",
    }
    assert "task" not in image


def test_sidecar_fields_become_typed_properties(site: Site) -> None:
    image = read(site, site.put_session())[f"{STEM}_acq-mprage_ce-gd_run-1_T1w"]
    assert values(image)["FlipAngle"] == 9.0
    assert isinstance(values(image)["FlipAngle"], float)
    assert values(image)["NonlinearGradientCorrection"] is True
    assert values(image)["SeriesDescription"] == "t1_mprage"
    assert image.get_property("ImageShape").datatype == "LIST<INTEGER>"


def test_fields_that_are_unknown_or_of_another_type_are_kept_as_json(site: Site) -> None:
    image = values(read(site, site.put_session())[f"{STEM}_acq-mprage_ce-gd_run-1_T1w"])
    assert json.loads(image["OtherSidecarFields"]) == {"PartialFourier": "6/8", "VendorSecretNumber": 42}


def test_a_sidecar_field_never_replaces_an_entity_or_a_reference(site: Site) -> None:
    folder = site.put_session(t1w={"RecordType": "T1WeightedImage", "run": 7, "Session": "x", "name": "y", "Unit": 1})
    image = values(read(site, folder)[f"{STEM}_acq-mprage_ce-gd_run-1_T1w"])
    assert image["run"] == 1
    assert image["Session"].name == STEM
    assert json.loads(image["OtherSidecarFields"]) == {"Session": "x", "Unit": 1, "name": "y", "run": 7}


def test_every_file_of_an_image_is_referred_to_by_its_path_from_the_archive(site: Site) -> None:
    folder = site.put_session()
    records = read(site, folder)
    root = f"/ExperimentalData/2023_HeartAndBrain/2023-05-04_{STEM}"
    t1w = values(records[f"{STEM}_acq-mprage_ce-gd_run-1_T1w"])
    stem = f"{root}/sub-K7Q2ABCD/ses-20230504/anat/{STEM}_acq-mprage_ce-gd_run-1_T1w"
    assert {name: value.path for name, value in t1w.items() if getattr(value, "role", None) == "File"} == {
        "ImageFile": f"{stem}.nii.gz",
        "SidecarFile": f"{stem}.json",
        "DicomArchive": f"{root}/sourcedata/dicom/0004_t1_mprage.zip",
    }
    dwi = values(records[f"{STEM}_dir-AP_dwi"])
    stem = f"{root}/sub-K7Q2ABCD/ses-20230504/dwi/{STEM}_dir-AP_dwi"
    assert (dwi["BValueFile"].path, dwi["BVectorFile"].path) == (f"{stem}.bval", f"{stem}.bvec")
    assert values(records[STEM])["ReadmeFile"].path == f"{root}/README.md"


def test_a_diffusion_series_tells_how_many_low_b_values_it_has(site: Site) -> None:
    dwi = values(read(site, site.put_session())[f"{STEM}_dir-AP_dwi"])
    assert dwi["BValues"] == [0.0, 10.0, 20.0, 50.0, 100.0, 150.0, 400.0, 1000.0]
    assert (dwi["NumberOfBValuesBelow200"], dwi["MaximumBValue"]) == (6, 1000.0)


def test_b_values_are_read_from_the_table_where_the_sidecar_has_none(site: Site) -> None:
    folder = site.put_session()
    site.put_image(folder / "sourcedata" / "realtime", f"{STEM}_realtime", {}, bval="0 800\n")
    assert values(read(site, folder)[f"{STEM}_realtime"])["BValues"] == [0.0, 800.0]


def test_images_one_folder_deeper_in_sourcedata_are_found(site: Site) -> None:
    folder = site.put_session()
    site.put_image(folder / "sourcedata" / "derived" / "moco", f"{STEM}_desc-moco_derived", {})
    assert kinds(read(site, folder)[f"{STEM}_desc-moco_derived"]) == ["MRImage"]


def test_a_map_that_the_scanner_computed_is_a_record_and_pictures_are_files_of_their_image(site: Site) -> None:
    folder = site.put_session()
    visit = STEM.replace("_", "/")
    site.put_image(
        folder / "derivatives" / "scanner" / visit / "dwi",
        f"{STEM}_ADC",
        {"RecordType": "ADCMap", "SkullStripped": False},
    )
    pictures = {
        f"derivatives/qc/{visit}/scanner/dwi/{STEM}_ADC_planes.png": (f"{STEM}_ADC", "PlanesPicture"),
        f"derivatives/qc/{visit}/func/{STEM}_task-rest_bold_planes.png": (f"{STEM}_task-rest_bold", "PlanesPicture"),
        f"derivatives/qc/{visit}/func/{STEM}_task-rest_bold_mean.png": (f"{STEM}_task-rest_bold", "MeanPicture"),
        f"derivatives/qc/{visit}/func/{STEM}_task-rest_bold_tsnr.png": (f"{STEM}_task-rest_bold", "TSNRPicture"),
        f"derivatives/qc/{visit}/sourcedata/localizer/{STEM}_localizer_planes.png": (
            f"{STEM}_localizer",
            "PlanesPicture",
        ),
    }
    for name in pictures:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    records = read(site, folder)
    adc = values(records[f"{STEM}_ADC"])
    assert kinds(records[f"{STEM}_ADC"]) == ["ADCMap"]
    assert (adc["BIDSDatatype"], adc["BIDSSuffix"], adc["SkullStripped"]) == ("dwi", "ADC", False)
    for name, (image, prop) in pictures.items():
        assert values(records[image])[prop].path == site.path(folder / name)
    assert "MeanPicture" not in adc


def test_a_recording_refers_to_the_image_that_was_acquired_while_it_ran(site: Site) -> None:
    ecg = values(read(site, site.put_session())[f"{STEM}_task-rest_recording-cardiac_physio"])
    assert [(kinds(image), image.name) for image in ecg["RecordedDuring"]] == [
        (["BOLDImage"], f"{STEM}_task-rest_bold")
    ]
    assert (ecg["OverlapFraction"], ecg["MeanRate"], ecg["NumberOfPeaks"]) == (0.97, 62.5, 341)


def test_the_session_knows_its_facts_and_the_subject_its_sex(site: Site) -> None:
    records = read(site, site.put_session())
    session = values(records[STEM])
    assert (session["Age"], session["Date"], session["Revision"]) == (34.0, "2023-05-04", 1)
    assert session["Responsible"].name == "Ada Lovelace"
    assert values(records["sub-K7Q2ABCD"]) == {"SubjectLabel": "sub-K7Q2ABCD", "Sex": "F"}


def test_facts_that_are_not_known_are_no_properties(site: Site) -> None:
    folder = site.put_session()
    facts = json.loads((folder / "session.json").read_text(encoding="utf-8"))
    (folder / "session.json").write_text(json.dumps(facts | {"Date": None, "Age": None, "Sex": None}), encoding="utf-8")
    records = read(site, folder)
    assert not {"Date", "Age"} & values(records[STEM]).keys()
    assert "Sex" not in values(records["sub-K7Q2ABCD"])


@pytest.mark.parametrize("broken", [b"{", b"[1]", b"\xff\xfe"])
def test_an_image_with_a_broken_sidecar_is_a_plain_record_and_reported(
    site: Site, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    folder = site.put_session()
    sidecar = folder / "sourcedata" / "localizer" / f"{STEM}_localizer.json"
    sidecar.write_bytes(broken)
    assert kinds(read(site, folder)[f"{STEM}_localizer"]) == ["MRImage"]
    assert [record.code for record in caplog.records if record.path == str(sidecar)] == ["INVALID_SIDECAR"]


def test_real_sidecars_of_all_vendors_become_records_without_an_unknown_property(site: Site, shared_data: Path) -> None:
    folder = site.put_session()
    sidecars = sorted(shared_data.glob("dicom/*/ref/*.json"))
    for number, sidecar in enumerate(sidecars):
        site.put_image(
            folder / "sourcedata" / "derived",
            f"{STEM}_desc-{number}_derived",
            json.loads(sidecar.read_text(encoding="utf-8")) | {"RecordType": "DerivedImage"},
        )
    images = [record for record in read(site, folder).values() if kinds(record) == ["DerivedImage"]]
    assert len(images) == len(sidecars)
    assert sum("MagneticFieldStrength" in values(image) for image in images) >= len(sidecars) - 1


def test_a_folder_outside_the_archive_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="not below"):
        scan(tmp_path / "elsewhere", archive=site.archive, cfood=site.rules / "cfood.yml")


def test_a_definition_that_is_none_is_reported_by_name(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cfood.yml").write_text("a: {type: Nonsense, match: x}\n", encoding="utf-8")
    with pytest.raises(RulesError, match=r"cfood\.yml"):
        scan(site.put_session(), archive=site.archive, cfood=tmp_path / "cfood.yml")
