"""The shipped rules on the protocols of seven scanner generations: as each writes its names, types and sequences."""

from __future__ import annotations

import pytest

SIEMENS_VB = {"Manufacturer": "SIEMENS", "SoftwareVersions": "syngo MR B17"}
SIEMENS_VE = {"Manufacturer": "SIEMENS", "SoftwareVersions": "syngo MR E11"}
SIEMENS_XA = {"Manufacturer": "Siemens Healthineers", "SoftwareVersions": "syngo MR XA30"}
GE = {"Manufacturer": "GE MEDICAL SYSTEMS"}
PHILIPS = {"Manufacturer": "Philips Healthcare"}
UIH = {"Manufacturer": "UIH"}
CANON = {"Manufacturer": "CANON_MEC"}

M = ["ORIGINAL", "PRIMARY", "M", "ND"]
P = ["ORIGINAL", "PRIMARY", "P", "ND"]
MOSAIC = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
XA = ["ORIGINAL", "PRIMARY", "M", "NONE", "MAGNITUDE"]
GE_RAW = ["ORIGINAL", "PRIMARY", "OTHER"]
PH_FFE = ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"]
PH_SE = ["ORIGINAL", "PRIMARY", "M_SE", "M", "SE"]
SERIES = (96, 96, 40, 120)
TENSOR = {"shape": (96, 96, 40, 3), "b_values": (0.0, 1000.0, 1000.0)}
MP2RAGE = {
    "InversionTime": 0.7,
    "MagneticFieldStrength": 7,
    "NumberShots": 176,
    "RepetitionTimeExcitation": 0.0062,
    "RepetitionTimePreparation": 5.0,
    "FlipAngle": 4,
}
AXIAL = {"ImageOrientationPatientDICOM": [1, 0, 0, 0, 1, 0]}


@pytest.mark.parametrize(
    ("scanner", "series", "image_type", "extra", "expected"),
    [
        # Siemens VB: names of the sequence with an asterisk, mosaics, field maps of two series
        (SIEMENS_VB, "t1_mpr_ns_sag", M, {"sidecar": {"SequenceName": "*tfl3d1_ns"}}, "anat/T1w"),
        (SIEMENS_VB, "t2_tse_tra_512", M, {"sidecar": {"SequenceName": "*tse2d1_9"}}, "anat/T2w"),
        (SIEMENS_VB, "t2_tirm_tra_dark-fluid", M, {"sidecar": {"SequenceName": "*tir2d1_16"}}, "anat/FLAIR"),
        (SIEMENS_VB, "t2_fl2d_tra_hemo", M, {"sidecar": {"SequenceName": "*fl2d1"}}, "anat/T2starw"),
        (
            SIEMENS_VB,
            "ep2d_bold_moco_p2_faces",
            MOSAIC,
            {"shape": SERIES, "sidecar": {"SequenceName": "*epfid2d1_64"}},
            "func/task-faces_bold",
        ),
        (
            SIEMENS_VB,
            "MoCoSeries",
            ["ORIGINAL", "PRIMARY", "M", "ND", "MOCO", "MOSAIC"],
            {"shape": SERIES},
            "sourcedata/derived/desc-mocoseries_bold",
        ),
        (
            SIEMENS_VB,
            "ep2d_diff_MDDW_30_p2",
            [*M, "MOSAIC"],
            {**TENSOR, "sidecar": {"SequenceName": "*ep_b1000#1"}},
            "dwi/dwi",
        ),
        (
            SIEMENS_VB,
            "gre_field_mapping",
            P,
            {"sidecar": {"SequenceName": "*fm2d2r", "EchoTime1": 0.00492, "EchoTime2": 0.00738, "Units": "arbitrary"}},
            "fmap/phasediff",
        ),
        (SIEMENS_VB, "fl2d_tof_3slab", M, {"sidecar": {"SequenceName": "*fl3d1r_t70"}}, "anat/angio"),
        # Siemens VE: multiband of Minnesota, CSA sequence names
        (
            SIEMENS_VE,
            "cmrr_mbep2d_bold_rest_AP",
            MOSAIC,
            {"shape": SERIES, "sidecar": {"PulseSequenceDetails": "%CustomerSeq%\\cmrr_mbep2d_bold"}},
            "func/task-rest_dir-AP_bold",
        ),
        (
            SIEMENS_VE,
            "SpinEchoFieldMap_PA",
            MOSAIC,
            {
                "shape": (96, 96, 40, 3),
                "sidecar": {"PulseSequenceDetails": "%CustomerSeq%\\cmrr_mbep2d_se", "PhaseEncodingDirection": "j"}
                | AXIAL
                | {"TotalReadoutTime": 0.05},
            },
            "fmap/dir-PA_epi",
        ),
        (SIEMENS_VE, "t1_mp2rage_sag_p3_INV1", M, {"sidecar": MP2RAGE}, "anat/inv-1_MP2RAGE"),
        (SIEMENS_VE, "t1_mp2rage_sag_p3_INV2", M, {}, "sourcedata/incomplete/inv-2_MP2RAGE"),
        (SIEMENS_VE, "t1_vibe_fs_cor_KM", M, {}, "anat/ce-contrast_T1w"),
        (
            SIEMENS_VE,
            "resolve_4scan_trace_tra_ADC",
            ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND"],
            {},
            "derivatives/scanner/dwi/ADC",
        ),
        (
            SIEMENS_VE,
            "fl_pc_retro_venc100",
            P,
            {"shape": (192, 192, 1, 30)},
            "sourcedata/phasecontrast/desc-flpcretrovenc100_phasecontrast",
        ),
        (SIEMENS_VE, "LGE_PSIR_SA", M, {}, "sourcedata/lateenhancement/desc-lgepsirsa_lateenhancement"),
        (
            SIEMENS_VE,
            "de_tfi_psir_4ch_KM",
            M,
            {"header": {"ContrastBolusAgent": "Gadovist"}},
            "sourcedata/lateenhancement/ce-gadovist_desc-detfipsir4chkm_lateenhancement",
        ),
        (SIEMENS_VE, "realtime_4ch", M, {"shape": (100, 100, 1, 200)},
         "sourcedata/realtime/desc-realtime4ch_realtime"),
        (SIEMENS_VE, "svs_se_30", ["ORIGINAL", "PRIMARY", "SPECTROSCOPY", "NONE"], {},
         "sourcedata/spectroscopy/desc-svs30_spectroscopy"),
        # Siemens XA: enhanced objects, ImageType of another form
        (
            SIEMENS_XA,
            "BOLD_SMS_rest",
            ["ORIGINAL", "PRIMARY", "FMRI", "NONE", "MAGNITUDE"],
            {"shape": SERIES, "sidecar": {"PulseSequenceDetails": "%SiemensSeq%\\ep2d_bold"}},
            "func/task-rest_bold",
        ),
        (SIEMENS_XA, "t2_space_sag_p4_iso", XA, {"sidecar": {"SequenceName": "*spc3d1_282ns"}}, "anat/T2w"),
        (
            SIEMENS_XA,
            "ep2d_diff_3scan_trace_FA",
            ["DERIVED", "PRIMARY", "DIFFUSION", "FA", "NONE", "ND"],
            {},
            "derivatives/scanner/dwi/FA",
        ),
        # GE
        (GE, "Sag CUBE T2 FLAIR", GE_RAW, {"header": {"ScanOptions": ["T2FLAIR_GEMS"]}}, "anat/FLAIR"),
        (GE, "Ax FSPGR BRAVO", GE_RAW, {"sidecar": {"InversionTime": 0.45}}, "anat/T1w"),
        (GE, "Ax T2 frFSE", GE_RAW, {}, "anat/T2w"),
        (GE, "fMRI resting state", GE_RAW, {"shape": SERIES, "sidecar": {"ScanningSequence": "EP\\GR"}},
         "func/task-rest_bold"),
        (GE, "Ax DTI 32 dir", GE_RAW, TENSOR, "dwi/dwi"),
        (GE, "ADC (10^-6 mm2/s)", ["DERIVED", "SECONDARY", "COMBINED", "ADC"], {}, "derivatives/scanner/dwi/ADC"),
        (GE, "Exponential Apparent Diffusion Coefficient", ["DERIVED", "SECONDARY", "EADC"], {},
         "derivatives/scanner/dwi/expADC"),
        (GE, "3-pl Loc FGRE", GE_RAW, {}, "sourcedata/localizer/desc-3pllocfgre_localizer"),
        (GE, "Cal Head 32", ["ORIGINAL", "PRIMARY", "OTHER"], {"protocol": "ASSET calibration"},
         "sourcedata/calibration/desc-calhead32_calibration"),
        (GE, "FIESTA SA cine", GE_RAW, {"shape": (224, 224, 1, 20)}, "sourcedata/cine/desc-fiestasacine_cine"),
        # Philips
        (PHILIPS, "WIP T1W_3D_TFE SENSE", PH_FFE, {}, "anat/T1w"),
        (PHILIPS, "T2W_TSE_AX", PH_SE, {}, "anat/T2w"),
        (PHILIPS, "FLAIR_longTR", ["ORIGINAL", "PRIMARY", "M_IR", "M", "IR"], {}, "anat/FLAIR"),
        (PHILIPS, "fMRI_nback SENSE", PH_FFE, {"shape": SERIES, "sidecar": {"PulseSequenceName": "FEEPI"}},
         "func/task-nback_bold"),
        (PHILIPS, "DTI_32dir_b1000", PH_SE, TENSOR, "dwi/dwi"),
        (PHILIPS, "dDTI_32 ADC map", ["ORIGINAL", "PRIMARY", "ADC_UNSPECIFIED", "ADC", "UNSPECIFIED"], {},
         "derivatives/scanner/dwi/ADC"),
        (PHILIPS, "QFLOW_aorta", ["ORIGINAL", "PRIMARY", "VELOCITY_MAP", "P", "PCA"], {"shape": (192, 192, 1, 30)},
         "sourcedata/phasecontrast/desc-qflowaorta_phasecontrast"),
        (PHILIPS, "SURVEY", PH_FFE, {}, "sourcedata/localizer/desc-survey_localizer"),
        (PHILIPS, "CoilSensRef", PH_FFE, {}, "sourcedata/calibration/desc-coilsensref_calibration"),
        # UIH
        (UIH, "t1_gre_fsp_3d_sag_iso", ["ORIGINAL", "PRIMARY", "M", "NONE"], {}, "anat/T1w"),
        (UIH, "t2_fse_tra", ["ORIGINAL", "PRIMARY", "M", "NONE"], {}, "anat/T2w"),
        (UIH, "t2_fse_flair_tra", ["ORIGINAL", "PRIMARY", "M", "NONE"], {}, "anat/FLAIR"),
        (UIH, "bold_resting", ["ORIGINAL", "PRIMARY", "M", "VFRAME"],
         {"shape": SERIES, "sidecar": {"SequenceName": "epi_bold"}}, "func/task-rest_bold"),
        (UIH, "dti_tra_dir16", ["ORIGINAL", "PRIMARY", "M", "VFRAME"],
         {**TENSOR, "sidecar": {"PhaseEncodingDirectionDisplayed": "P->A"} | AXIAL}, "dwi/dir-PA_dwi"),
        # Canon
        (CANON, "T1_3D_MPRAGE", ["ORIGINAL", "PRIMARY", "NONE", "MAGNITUDE"], {}, "anat/T1w"),
        (CANON, "T2_FSE2D", ["ORIGINAL", "PRIMARY", "NONE", "MAGNITUDE"], {}, "anat/T2w"),
        (CANON, "DTI_AP", ["ORIGINAL", "PRIMARY", "GDC", "NONE", "MAGNITUDE"],
         {**TENSOR, "sidecar": {"InPlanePhaseEncodingDirectionDICOM": "COL"} | AXIAL}, "dwi/dir-AP_dwi"),
        (CANON, "FE_EPI_rest", ["ORIGINAL", "PRIMARY", "NONE", "MAGNITUDE"],
         {"shape": SERIES, "header": {"ScanningSequence": ["EP"]}}, "func/task-rest_bold"),
    ],
)  # fmt: skip
def test_a_protocol_of_each_vendor_gets_its_name_without_a_line_of_editing(
    make, name, short, scanner, series, image_type, extra, expected
):
    extra = dict(extra)
    header = scanner | extra.pop("header", {})
    image = name([make(series, header=header, image_type=image_type, **extra)])["1/1"]
    assert short(image).replace("derivatives/scanner/sub", "sub") == expected


def test_a_name_that_contradicts_the_axis_of_the_header_says_nothing_about_phase_encoding(make, name, short):
    row = {"InPlanePhaseEncodingDirectionDICOM": "ROW"} | AXIAL
    image = name([make("DTI_AP", header=CANON, sidecar=row, **TENSOR)])["1/1"]
    assert short(image) == "dwi/dwi"


@pytest.mark.parametrize("scanner", [UIH, CANON, PHILIPS])
def test_the_polarity_of_phase_encoding_is_not_made_up_where_the_header_lacks_it(make, name, scanner):
    sidecar = {"InPlanePhaseEncodingDirectionDICOM": "COL", "PhaseEncodingAxis": "j"} | AXIAL
    image = name([make("DTI_AP", header=scanner, sidecar=sidecar, **TENSOR)])["1/1"]
    assert image.naming.entities["dir"] == "AP"
    assert "PhaseEncodingDirection" not in {**image.candidate.sidecar, **image.metadata}


def test_what_the_scanner_computed_shares_no_run_number_with_what_it_measured(make, name, short):
    adc = ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND"]
    named = name([
        make("ep2d_diff_a", 1, **TENSOR),
        make("ep2d_diff_a_ADC", 2, image_type=adc),
        make("ep2d_diff_a_ADC", 3, image_type=adc),
    ])  # fmt: skip
    assert [short(named[key]) for key in ("1/1", "2/2", "3/3")] == [
        "dwi/dwi",
        "derivatives/scanner/dwi/run-1_ADC",
        "derivatives/scanner/dwi/run-2_ADC",
    ]
    assert named["2/2"].naming.folder == "derivatives/scanner"
    assert named["2/2"].metadata["SkullStripped"] is False
    assert named["2/2"].b_table is False
