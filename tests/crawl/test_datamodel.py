from __future__ import annotations

import json
import re
from pathlib import Path

import pint
import pytest
import yaml
from bidsschematools.schema import load_schema as load_bids_schema

from heartbrain_ingest.bids.schema import load_schema
from heartbrain_ingest.crawl.model import ModelView, parse_datamodel, view_datamodel
from heartbrain_ingest.crawl.sidecars import type_fields
from heartbrain_ingest.errors import RulesError

#: Numbers without a unit: counts, ratios, labels and values whose unit is elsewhere.
WITHOUT_UNIT = {
    # its unit is that of the record's own property
    *("MeasuredValue", "ReferenceLow", "ReferenceHigh"),
    # ratios and fractions
    *("CompressedSensingFactor", "LabelingEfficiency", "OverlapFraction", "PartialFourier", "PhaseOversampling"),
    *("Progress", "mean_f"),
    *("ParallelReductionFactorInPlane", "ParallelReductionFactorOutOfPlane", "PhaseResolution", "SignalQuality"),
    # direction cosines, and values in units of the manufacturer
    *("ImageOrientationPatientDICOM", "LabelingOrientation", "PhiAdjust", "ShimSetting", "M0Estimate"),
    *("PhilipsRWVIntercept", "PhilipsRWVSlope", "PhilipsRescaleIntercept", "PhilipsRescaleSlope", "PhilipsScaleSlope"),
    # counts that are stored as DOUBLE because a header may hold a fraction
    *("AveragesDouble", "NumberOfArms", "NumberOfAverages", "NumberOfExcitations", "NumberOfPointsPerArm"),
    *("NumberShots", "NumRFBlocks"),
    # ratios and indices of FreeSurfer
    *("BrainSegVol_to_eTIV", "MaskVol_to_eTIV", "contrast_snr", "folding_index", "curvature_index"),
    *("positive_curvature_index", "negative_curvature_index", "natural_curvature_index"),
    # intensities of an image without a unit; means over curvatures of several units
    *("mean_intensity", "intensity_sd", "min_intensity", "max_intensity", "intensity_range"),
    *("mean_across_curvatures", "sd_across_curvatures"),
    # the record says the unit, if FreeSurfer does; it depends on the kind of curvature
    *("curvature_mean", "curvature_sd", "curvature_min", "curvature_max"),
    *(f"{part}_integral" for part in ("natural", "rectified", "positive", "negative")),
    *(f"mean_{part}_integral" for part in ("natural", "rectified", "positive", "negative")),
    *(f"normalized_{part}_integral" for part in ("natural", "rectified", "positive", "negative")),
}


@pytest.fixture(scope="module")
def path(project_root: Path) -> Path:
    return project_root / "crawler_config" / "datamodel.yml"


@pytest.fixture(scope="module")
def view(path: Path) -> ModelView:
    return view_datamodel(path)


def test_every_name_of_the_model_is_described(path: Path) -> None:
    assert [name for name, entity in parse_datamodel(path).items() if not (entity.description or "").strip()] == []


def test_descriptions_are_one_line(path: Path) -> None:
    long = [name for name, entity in parse_datamodel(path).items() if "\n" in entity.description]
    assert long == []


def test_every_physical_quantity_has_a_unit(view: ModelView) -> None:
    without = {name for name, kind in view.properties.items() if kind.element == "DOUBLE" and not kind.unit}
    assert without == WITHOUT_UNIT


def test_units_survive_in_the_record_types_that_ask_for_lists(view: ModelView) -> None:
    bold = view.of_record_type["DiffusionWeightedImage"]
    assert (str(bold["SliceTiming"]), bold["SliceTiming"].unit) == ("LIST<DOUBLE>", "s")
    assert (str(bold["BValues"]), bold["BValues"].unit) == ("LIST<DOUBLE>", "s/mm^2")
    assert (str(bold["VoxelSize"]), bold["VoxelSize"].unit) == ("LIST<DOUBLE>", "mm")


def test_every_unit_is_one_that_quantities_can_be_computed_with(view: ModelView) -> None:
    units = pint.UnitRegistry()
    for kind in view.properties.values():
        if kind.unit and kind.unit != "px":
            units.parse_units(kind.unit)


def test_no_property_is_named_like_a_record_type(path: Path) -> None:
    # The crawler would take the property for the RecordType; names are compared without case.
    names = [name.lower() for name in parse_datamodel(path)]
    assert len(names) == len(set(names))


def test_no_property_has_a_name_that_the_client_takes_for_something_else(view: ModelView) -> None:
    special = {"name", "description", "id", "path", "file", "checksum", "size", "unit", "value", "parent", "version"}
    assert not special & {name.lower() for name in view.properties}


def test_the_kinds_of_images_recordings_and_samples_are_below_their_general_type(view: ModelView) -> None:
    assert all(view.is_below(name, "MRImage") for name in ("T1WeightedImage", "DiffusionWeightedImage", "CineImage"))
    assert view.is_below("ECGRecording", "PhysiologicalRecording")
    assert view.is_below("ECGRecording", "Acquisition")
    assert view.is_below("UrineSample", "Sample")
    assert not view.is_below("SupersededAcquisition", "Acquisition")


def test_the_model_has_every_record_type_that_the_naming_rules_use(view: ModelView, project_root: Path) -> None:
    rules = yaml.safe_load((project_root / "crawler_config" / "bids_rules.yml").read_text(encoding="utf-8"))
    assert [name for name in rules["record_types"] if not view.is_below(name, "MRImage")] == []


def test_every_suffix_of_mri_in_bids_is_the_kind_of_one_record_type(view: ModelView, path: Path) -> None:
    described: dict[str, list[str]] = {}
    for name, entity in parse_datamodel(path).items():
        if view.is_below(name, "MRImage"):
            for suffix in ", ".join(re.findall(r"\(BIDS ([^)]+)\)", entity.description)).split(", "):
                described.setdefault(suffix, []).append(name)
    known = {suffix for _, suffix in load_schema().names}
    assert len(known) > 60
    assert {suffix: described.get(suffix, []) for suffix in known if len(described.get(suffix, [])) != 1} == {}
    assert set(described) - known <= {"", "svs", "mrsi", "unloc", "mrsref", "suffix swi of the extension proposal"}


def test_rules_give_the_record_type_of_the_suffix(path: Path, project_root: Path) -> None:
    kinds = {
        suffix: name
        for name, entity in parse_datamodel(path).items()
        for suffix in ", ".join(re.findall(r"\(BIDS ([^)]+)\)", entity.description or "")).split(", ")
    }
    rules = yaml.safe_load((project_root / "crawler_config" / "bids_rules.yml").read_text(encoding="utf-8"))["rules"]
    named = [rule["set"] for rule in rules if "datatype" in rule["set"]]
    other = {(one["suffix"], one["RecordType"]) for one in named if kinds[one["suffix"]] != one["RecordType"]}
    assert len(named) > 30
    assert other == {("T2starw", "SusceptibilityWeightedImage")}  # the same suffix, another purpose


def test_the_model_knows_every_metadata_field_that_bids_has_for_mri(view: ModelView) -> None:
    schema = load_bids_schema().to_dict()
    groups = ("anat", "asl", "continuous", "dwi", "entity_rules", "fmap", "func", "mri", "qmri")
    fields = {
        schema["objects"]["metadata"][key]["name"]
        for group in groups
        for rule in schema["rules"]["sidecars"][group].values()
        for key in rule["fields"]
        # Rules for other modalities stand among these.
        if not any(word in " ".join(rule["selectors"]) for word in ("micr", "pupil", "eyetrack", "epoch", "Sample"))
    }
    left_out = {
        # of microscopes, of templates, of coordinate files, of whole studies
        *("SampleStaining", "SamplePrimaryAntibody", "SampleSecondaryAntibody", "OnsetSource", "Description"),
        *("AnatomicalLandmarkCoordinates", "Resolution", "Density", "Derivative"),
        "InstitutionAddress",  # names a place
    }
    assert len(fields) > 120
    assert fields - view.properties.keys() <= left_out


def test_the_model_knows_every_field_that_dcm2niix_writes_for_five_vendors(view: ModelView, shared_data: Path) -> None:
    unknown: set[str] = set()
    unfit: dict[str, str] = {}
    manufacturers = set()
    for sidecar in sorted(shared_data.glob("dicom/*/ref/*.json")):
        fields = json.loads(sidecar.read_text(encoding="utf-8"))
        manufacturers.add(fields.get("Manufacturer"))
        typed = {
            prop.name: prop.value for prop in type_fields(fields, record_type="MRImage", view=view, source=sidecar)
        }
        other = json.loads(str(typed.get("OtherSidecarFields", "{}")))
        unknown |= other.keys() - view.properties.keys()
        unfit |= dict.fromkeys(other.keys() & view.properties.keys(), sidecar.name)
    assert {"Siemens", "GE", "Philips", "UIH", "Canon"} <= manufacturers
    assert unknown <= {"InstitutionAddress"}  # names a place; it has no business in a de-identified image
    assert unfit == {}


def test_a_file_that_is_no_data_model_is_reported_by_name(tmp_path: Path) -> None:
    broken = tmp_path / "datamodel.yml"
    broken.write_text("A:\n  recommended_properties: [b]\n", encoding="utf-8")
    with pytest.raises(RulesError, match=r"datamodel\.yml"):
        parse_datamodel(broken)
