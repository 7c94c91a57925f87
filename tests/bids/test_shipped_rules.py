"""The shipped rules on the names and headers that scanners really write."""

from __future__ import annotations

import re

import pytest

from heartbrain_ingest.bids.facts import FACTS

EPI = {
    "sidecar": {"PulseSequenceDetails": "%SiemensSeq%\\ep2d_bold", "SequenceName": "*epfid2d1_64"},
    "shape": (64, 64, 30, 100),
}
IVIM = (0.0, 10.0, 20.0, 30.0, 50.0, 80.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0)


@pytest.mark.parametrize(
    ("series", "extra", "expected", "record_type"),
    [
        ("localizer", {}, "sourcedata/localizer/desc-localizer_localizer", "LocalizerImage"),
        (
            "AAHead_Scout_64ch-head-coil",
            {},
            "sourcedata/localizer/desc-aaheadscout64chheadcoil_localizer",
            "LocalizerImage",
        ),
        ("Survey_SHC", {}, "sourcedata/localizer/desc-surveyshc_localizer", "LocalizerImage"),
        ("3Plane Loc SSFSE", {}, "sourcedata/localizer/desc-3planelocssfse_localizer", "LocalizerImage"),
        ("t1_mprage_sag_p2_iso", {}, "anat/T1w", "T1WeightedImage"),
        ("Sag 3D T1 BRAVO", {}, "anat/T1w", "T1WeightedImage"),
        ("WIP 3D_T1_TFE SENSE", {}, "anat/T1w", "T1WeightedImage"),
        ("T1W_3D_TFE_ref", {}, "anat/T1w", "T1WeightedImage"),
        ("t1_vibe_dixon_tra", {}, "anat/T1w", "T1WeightedImage"),
        (
            "t1_mprage_sag_KM",
            {"header": {"ContrastBolusAgent": "Gadovist 7,5 ml"}},
            "anat/ce-gadovist_T1w",
            "T1WeightedImage",
        ),
        ("t1_mprage_sag_KM", {}, "anat/ce-contrast_T1w", "T1WeightedImage"),
        ("t1_mprage_sag_ohne_KM", {}, "anat/T1w", "T1WeightedImage"),
        ("t1_mprage_sag", {"header": {"ContrastBolusAgent": "None"}}, "anat/T1w", "T1WeightedImage"),
        ("t1_mpr_ns_sag_p2", {"sidecar": {"SequenceName": "*tfl3d1_ns"}}, "anat/T1w", "T1WeightedImage"),
        ("sT1W_3D_TFE", {}, "anat/T1w", "T1WeightedImage"),
        ("t1_gre_fsp_3d_sag", {"header": {"Manufacturer": "UIH"}}, "anat/T1w", "T1WeightedImage"),
        ("t2_tse_tra", {}, "anat/T2w", "T2WeightedImage"),
        ("t2_tse_knee_rt", {}, "anat/T2w", "T2WeightedImage"),
        ("sT2W_TSE", {"header": {"Manufacturer": "Philips Medical Systems"}}, "anat/T2w", "T2WeightedImage"),
        ("t2_fse_tra", {"header": {"Manufacturer": "UIH"}}, "anat/T2w", "T2WeightedImage"),
        (
            "SWAN",
            {"header": {"Manufacturer": "GE MEDICAL SYSTEMS"}},
            "anat/acq-swi_T2starw",
            "SusceptibilityWeightedImage",
        ),
        ("VEN_BOLD_HR", {"shape": (64, 64, 30, 2)}, "anat/acq-swi_T2starw", "SusceptibilityWeightedImage"),
        ("T2W_FFE", {"header": {"Manufacturer": "Philips"}}, "anat/T2starw", "T2StarWeightedImage"),
        (
            "mp2rage_UNI_Images",
            {"image_type": ["DERIVED", "PRIMARY", "M", "ND", "UNI"]},
            "anat/UNIT1",
            "UniformT1Image",
        ),
        ("FE_EPI_fMRI", EPI | {"header": {"Manufacturer": "CANON_MEC"}}, "func/task-unnamed_bold", "BOLDImage"),
        ("rs-fMRI", EPI | {"header": {"Manufacturer": "Philips"}}, "func/task-rest_bold", "BOLDImage"),
        (
            "3D pCASL_relCBF",
            {"image_type": ["DERIVED", "PRIMARY", "ASL", "RCBF"]},
            "sourcedata/derived/desc-3dpcaslrelcbf_perfusion",
            "DerivedImage",
        ),
        ("ep2d_perf_DSC", {"shape": (64, 64, 9, 60)}, "sourcedata/perfusion/desc-perfdsc_perfusion", "PerfusionImage"),
        ("Ax T2 PROPELLER", {}, "anat/T2w", "T2WeightedImage"),
        ("T2W_TSE_ax", {}, "anat/T2w", "T2WeightedImage"),
        ("t2_tirm_tra_dark-fluid", {}, "anat/FLAIR", "FLAIRImage"),
        ("t2_space_dark-fluid_sag_p2", {}, "anat/FLAIR", "FLAIRImage"),
        ("Ax T2 FLAIR FS", {}, "anat/FLAIR", "FLAIRImage"),
        ("3D_Brain_VIEW_FLAIR_SHC", {}, "anat/FLAIR", "FLAIRImage"),
        ("t1_tirm_tra_dark-fluid", {}, "anat/T1w", "T1WeightedImage"),
        ("pd_tse_fs_sag", {}, "anat/PDw", "PDWeightedImage"),
        ("t2_fl2d_tra_hemo", {}, "anat/T2starw", "T2StarWeightedImage"),
        ("gre_T2*_tra", {}, "anat/T2starw", "T2StarWeightedImage"),
        ("Mag_Images", {}, "anat/acq-swi_T2starw", "SusceptibilityWeightedImage"),
        ("SWI_Images", {}, "sourcedata/derived/desc-swiimages_swi", "SusceptibilityWeightedImage"),
        ("TOF_3D_multi-slab", {}, "anat/angio", "AngiographyImage"),
        (
            "ep2d_diff_ivim_16b",
            {"shape": (64, 64, 30, 16), "b_values": IVIM},
            "dwi/acq-ivim_dwi",
            "DiffusionWeightedImage",
        ),
        ("liver_dwi_16b", {"shape": (64, 64, 30, 16), "b_values": IVIM}, "dwi/acq-ivim_dwi", "DiffusionWeightedImage"),
        (
            "ep2d_diff_mddw_30",
            {"shape": (64, 64, 30, 2), "b_values": (0.0, 1000.0)},
            "dwi/dwi",
            "DiffusionWeightedImage",
        ),
        (
            "ep2d_diff_ADC",
            {"image_type": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND"]},
            "derivatives/scanner/dwi/ADC",
            "ADCMap",
        ),
        (
            "ep2d_diff_FA",
            {"image_type": ["DERIVED", "PRIMARY", "DIFFUSION", "FA", "ND"]},
            "derivatives/scanner/dwi/FA",
            "FAMap",
        ),
        (
            "ep2d_diff_TRACEW",
            {"image_type": ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"]},
            "derivatives/scanner/dwi/trace",
            "TraceImage",
        ),
        ("ep2d_bold_rest", EPI, "func/task-rest_bold", "BOLDImage"),
        ("ep2d_bold_fingertapping_p2", EPI, "func/task-fingertapping_bold", "BOLDImage"),
        ("func_task-nback_acq-mb4", EPI, "func/task-nback_acq-mb4_bold", "BOLDImage"),
        (
            "rt_flash_csf",
            {"shape": (192, 192, 1, 4000)},
            "sourcedata/realtime/desc-rtflashcsf_realtime",
            "RealTimeImage",
        ),
        ("cine_trufi_sa", {"shape": (192, 192, 1, 25)}, "sourcedata/cine/desc-cinetrufisa_cine", "CineImage"),
        (
            "fl_pc_venc150_aorta",
            {},
            "sourcedata/phasecontrast/desc-flpcvenc150aorta_phasecontrast",
            "PhaseContrastImage",
        ),
        (
            "MPR sag",
            {"image_type": ["DERIVED", "SECONDARY", "MPR"]},
            "sourcedata/derived/desc-mpr_reformatted",
            "DerivedImage",
        ),
        (
            "tse_something_new",
            {"sidecar": {"EchoTime": 0.02}},
            "sourcedata/unclassified/desc-tsesomethingnew_unclassified",
            "MRImage",
        ),
    ],
)
def test_a_common_protocol_gets_its_name_without_a_line_of_editing(
    make, name, short, series, extra, expected, record_type
):
    image = name([make(series, **extra)])["1/1"]
    assert short(image) == expected
    assert image.naming.record_type == image.metadata["RecordType"] == record_type


def test_a_series_that_no_rule_names_is_stored_with_a_code(make, name):
    image = name([make("tse_something_new", sidecar={"EchoTime": 0.02})])["1/1"]
    assert image.naming.code == "UNCLASSIFIED"
    assert image.naming.rule == image.metadata["NamingRule"] == "unclassified"


def test_explain_says_why_each_earlier_rule_did_not_match(make, rules):
    naming, tried = rules.decide(make("t2_tse_tra"))
    assert naming.rule == "t2"
    assert [step.rule for step in tried][-1] == "t2"
    assert tried[-1].matched
    assert tried[-1].failed_selector is None
    localizer = next(step for step in tried if step.rule == "localizer")
    assert not localizer.matched
    assert localizer.failed_selector is not None
    assert localizer.failed_selector.startswith("any of: words matches")
    assert "'t2 tse tra'" in localizer.failed_selector


def test_the_header_and_not_the_name_says_the_phase_encoding_direction(make, name, short):
    head_first = {"ImageOrientationPatientDICOM": [1, 0, 0, 0, 1, 0], "PhaseEncodingDirection": "j"}
    image = name([make("ep2d_bold_rest_AP", **EPI | {"sidecar": EPI["sidecar"] | head_first})])["1/1"]
    assert short(image) == "func/task-rest_dir-PA_bold"


@pytest.mark.parametrize(
    ("orientation", "encoding", "label"),
    [
        ([1, 0, 0, 0, 1, 0], "j-", "AP"),
        ([1, 0, 0, 0, 1, 0], "j", "PA"),
        ([1, 0, 0, 0, 1, 0], "i", "RL"),
        ([1, 0, 0, 0, 1, 0], "i-", "LR"),
        ([0, 1, 0, 0, 0, -1], "i", "AP"),
        ([0, 1, 0, 0, 0, -1], "j", "IS"),
        ([1, 0, 0, 0, 0, -1], "j-", "SI"),
    ],
)
def test_the_direction_is_that_of_the_patient_whatever_the_slice_orientation(make, rules, orientation, encoding, label):
    sidecar = {"ImageOrientationPatientDICOM": orientation, "PhaseEncodingDirection": encoding}
    naming, _ = rules.decide(make("ep2d_bold_rest", shape=(64, 64, 30, 9), sidecar=EPI["sidecar"] | sidecar))
    assert naming.entities["dir"] == label


def test_every_fact_is_named_where_the_steward_reads(project_root):
    text = (
        (project_root / "crawler_config" / "bids_rules.yml").read_text(encoding="utf-8").partition("record_types:")[0]
    )
    assert set(FACTS) <= set(re.findall(r"[a-z0-9_]+", text))
