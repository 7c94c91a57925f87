"""What only the whole session tells: runs, echoes, parts, partners, field maps, completeness."""

from __future__ import annotations

import random

import pytest

from heartbrain_ingest.bids.perfusion import read_background_suppression

AP = {"PhaseEncodingDirection": "j-", "TotalReadoutTime": 0.05, "ImageOrientationPatientDICOM": [1, 0, 0, 0, 1, 0]}
PA = AP | {"PhaseEncodingDirection": "j"}
BOLD = {"shape": (64, 64, 30, 100), "sidecar": {"PulseSequenceDetails": "ep2d_bold"} | AP}
PHASE = ["ORIGINAL", "PRIMARY", "P", "ND"]


def gre_field_map(make, first, minute=None):
    """Make the three images of a Siemens gradient-echo field map: series `first` and `first` + 1."""
    minute = minute or first
    return [
        make("gre_field_mapping", first, stem="e1", minute=minute, echo_time=0.00492),
        make("gre_field_mapping", first, stem="e2", minute=minute, echo_time=0.00738),
        make("gre_field_mapping", first + 1, stem="e2_ph", minute=minute, echo_time=0.00738, image_type=PHASE),
    ]


def test_runs_are_counted_in_the_order_of_acquisition(make, name, short):
    images = name([make("t1_mprage_sag", 9, minute=1), make("t1_mprage_sag", 3, minute=2), make("t2_tse_tra", 4)])
    assert short(images["9/9"]) == "anat/run-1_T1w"
    assert short(images["3/3"]) == "anat/run-2_T1w"
    assert short(images["4/4"]) == "anat/T2w"


def test_the_names_do_not_depend_on_the_order_of_arrival(make, name):
    candidates = [
        *gre_field_map(make, 1),
        *gre_field_map(make, 11),
        make("ep2d_bold_rest", 4, **BOLD),
        make("ep2d_bold_rest_SBRef", 3, **BOLD | {"shape": (64, 64, 30)}),
        make("ep2d_bold_rest", 14, **BOLD),
        make("t1_mprage_sag_p2", 20),
        make("t1_space_sag", 21),
        make("localizer", 22, stem="a"),
        make("localizer", 22, stem="b"),
    ]
    expected = {key: (image.path, image.metadata) for key, image in name(candidates).items()}
    assert len({path for path, _ in expected.values()}) == len(candidates)
    shuffled = random.Random(1)
    for _ in range(10):
        shuffled.shuffle(candidates)
        assert {key: (image.path, image.metadata) for key, image in name(candidates).items()} == expected


def test_the_echoes_of_a_multi_echo_series_are_numbered_by_echo_time(make, name, short):
    series = [
        make("ep2d_bold_rest", 5, stem=f"e{n}", echo_time=te, **BOLD) for n, te in ((3, 0.05), (1, 0.012), (2, 0.03))
    ]
    series = [
        make("ep2d_bold_rest", 5, stem=item.key.split("/")[1], shape=(64, 64, 30, 100), sidecar=dict(item.sidecar))
        for item in series
    ]
    images = name(series)
    assert [short(images[f"5/e{n}"]) for n in (1, 2, 3)] == [f"func/task-rest_dir-AP_echo-{n}_bold" for n in (1, 2, 3)]


def test_phase_images_and_their_magnitudes_are_told_apart(make, name, short):
    images = name(
        [
            make("ep2d_bold_rest", 5, **BOLD),
            make("ep2d_bold_rest", 6, minute=5, image_type=PHASE, **BOLD),
            make("t2_tse_tra", 7),
        ]
    )
    assert short(images["5/5"]) == "func/task-rest_dir-AP_part-mag_bold"
    assert short(images["6/6"]) == "func/task-rest_dir-AP_part-phase_bold"
    assert short(images["7/7"]) == "anat/T2w"


def test_a_single_band_reference_gets_the_name_and_run_of_its_series(make, name, short):
    def reference(series):
        return make("fmri_faces_SBRef", series, protocol="fmri_faces", shape=(64, 64, 30), sidecar=AP)

    images = name([reference(2), make("fmri_faces", 3, **BOLD), reference(4), make("fmri_faces", 5, **BOLD)])
    assert short(images["2/2"]) == "func/task-faces_dir-AP_run-1_sbref"
    assert short(images["3/3"]) == "func/task-faces_dir-AP_run-1_bold"
    assert short(images["4/4"]) == "func/task-faces_dir-AP_run-2_sbref"
    assert short(images["5/5"]) == "func/task-faces_dir-AP_run-2_bold"
    assert images["2/2"].naming.record_type == "SBRefImage"


def test_a_reference_without_its_series_does_not_shift_the_others(make, name, short):
    def reference(series):
        return make("fmri_faces_SBRef", series, protocol="fmri_faces", shape=(64, 64, 30), sidecar=AP)

    images = name([make("fmri_faces", 3, **BOLD), reference(4), make("fmri_faces", 5, **BOLD)])
    assert short(images["3/3"]) == "func/task-faces_dir-AP_run-1_bold"
    assert short(images["4/4"]) == "func/task-faces_dir-AP_run-2_sbref"
    assert short(images["5/5"]) == "func/task-faces_dir-AP_run-2_bold"


def test_two_protocols_with_one_kind_of_image_are_told_apart_by_acq(make, name, short):
    images = name([make("t1_mprage_sag_p2", 1), make("t1_space_sag", 2)])
    assert short(images["1/1"]) == "anat/acq-mpragep2_T1w"
    assert short(images["2/2"]) == "anat/acq-space_T1w"


def test_two_reconstructions_of_one_acquisition_are_told_apart_by_rec(make, name, short):
    normalised = ["ORIGINAL", "PRIMARY", "M", "NORM"]
    images = name([make("t1_mprage_sag", 1, minute=1), make("t1_mprage_sag", 2, minute=1, image_type=normalised)])
    assert short(images["1/1"]) == "anat/rec-nd_T1w"
    assert short(images["2/2"]) == "anat/rec-norm_T1w"


def test_water_fat_and_both_phases_of_one_acquisition_are_told_apart(make, name, short):
    kinds = ("W", "F", "IN_PHASE", "OPP_PHASE")
    series = [
        make(
            f"t1_vibe_dixon_{kind}",
            number,
            minute=1,
            protocol="t1_vibe_dixon",
            image_type=["DERIVED", "PRIMARY", "DIXON", kind],
            sidecar={"ImageType": ["DERIVED", "PRIMARY", "DIXON", *kind.split("_")]},
        )
        for number, kind in enumerate(kinds, 1)
    ]
    images = name(series)
    names = [short(images[f"{number}/{number}"]) for number in (1, 2, 3, 4)]
    assert names == ["anat/rec-w_T1w", "anat/rec-f_T1w", "anat/rec-inphase_T1w", "anat/rec-oppphase_T1w"]


def test_a_gradient_echo_field_map_is_complete_and_points_at_what_it_corrects(make, name, short):
    images = name([*gre_field_map(make, 2), make("ep2d_bold_rest", 5, **BOLD)])
    assert [short(images[key]) for key in ("2/e1", "2/e2", "3/e2_ph")] == [
        "fmap/magnitude1",
        "fmap/magnitude2",
        "fmap/phasediff",
    ]
    difference = images["3/e2_ph"].metadata
    assert (difference["EchoTime1"], difference["EchoTime2"]) == (0.00492, 0.00738)
    target = "bids::sub-K7Q2ABCD/ses-20230504/func/sub-K7Q2ABCD_ses-20230504_task-rest_dir-AP_bold.nii.gz"
    assert difference["IntendedFor"] == [target]
    identifiers = {images[key].metadata["B0FieldIdentifier"] for key in ("2/e1", "2/e2", "3/e2_ph")}
    assert identifiers == {images["5/5"].metadata["B0FieldSource"]}


def test_two_echoes_of_phase_become_phase1_and_phase2(make, name, short):
    echoes = ((1, 0.004), (2, 0.007))
    images = name(
        [make("bh_b0map_3D", 10, stem=f"e{n}", minute=1, echo_time=te) for n, te in echoes]
        + [make("bh_b0map_3D", 11, stem=f"e{n}", minute=1, echo_time=te, image_type=PHASE) for n, te in echoes]
    )
    assert [short(images[key]) for key in ("10/e1", "10/e2", "11/e1", "11/e2")] == [
        "fmap/magnitude1",
        "fmap/magnitude2",
        "fmap/phase1",
        "fmap/phase2",
    ]


def test_an_image_takes_the_last_field_map_before_it(make, name):
    images = name(
        [
            *gre_field_map(make, 2),
            make("ep2d_bold_rest", 5, **BOLD),
            *gre_field_map(make, 8),
            make("ep2d_bold_faces", 12, **BOLD),
        ]
    )
    assert images["3/e2_ph"].metadata["IntendedFor"][0].endswith("task-rest_dir-AP_bold.nii.gz")
    assert images["9/e2_ph"].metadata["IntendedFor"][0].endswith("task-faces_dir-AP_bold.nii.gz")
    assert images["9/e2_ph"].path.name.endswith("_run-2_phasediff")


def test_a_field_map_with_the_shim_of_the_image_comes_before_a_nearer_one(make, name):
    first, second = {"ShimSetting": [1, 2, 3]}, {"ShimSetting": [9, 9, 9]}

    def pair(series, shim):
        epi = {"shape": (64, 64, 30)}
        return [
            make("SpinEchoFieldMap_AP", series, sidecar=AP | shim, **epi),
            make("SpinEchoFieldMap_PA", series + 1, sidecar=PA | shim, **epi),
        ]

    images = name(
        [
            *pair(1, first),
            *pair(3, second),
            make("ep2d_bold_rest", 5, shape=(64, 64, 30, 9), sidecar=BOLD["sidecar"] | first),
        ]
    )
    assert len(images["1/1"].metadata["IntendedFor"]) == 1
    assert "IntendedFor" not in images["3/3"].metadata


def test_opposed_spin_echo_pairs_share_a_run_and_an_identifier(make, name, short):
    images = name(
        [
            make("SpinEchoFieldMap_AP", 2, sidecar=AP),
            make("SpinEchoFieldMap_PA", 3, sidecar=PA),
            make("ep2d_bold_rest", 4, **BOLD),
        ]
    )
    assert short(images["2/2"]) == "fmap/dir-AP_epi"
    assert short(images["3/3"]) == "fmap/dir-PA_epi"
    assert images["2/2"].metadata["B0FieldIdentifier"] == images["3/3"].metadata["B0FieldIdentifier"]
    assert images["4/4"].metadata["B0FieldSource"] == images["2/2"].metadata["B0FieldIdentifier"]


def test_a_task_is_also_told_in_the_sidecar(make, name):
    assert name([make("ep2d_bold_rest", 1, **BOLD)])["1/1"].metadata["TaskName"] == "rest"


@pytest.mark.parametrize(
    ("series", "extra", "finding"),
    [
        ("ep2d_bold_rest", {"shape": (64, 64, 30), "sidecar": AP}, "BOLD_NOT_4D"),
        ("t1_mprage_sag", {"shape": (64, 64, 30, 5)}, "T1W_FILE_WITH_TOO_MANY_DIMENSIONS"),
        ("SpinEchoFieldMap_AP", {}, "MRIFieldmapPepolar: lacks PhaseEncodingDirection"),
        ("ep2d_diff_mddw_30", {"shape": (64, 64, 30, 7)}, "DWI_MISSING_BVEC"),
        ("pcasl_3d", {"shape": (64, 64, 30, 7)}, "MRIASLCommonMetadataFields: lacks"),
    ],
)
def test_what_bids_would_not_accept_is_kept_outside_the_dataset_with_its_kind(make, name, series, extra, finding):
    image = name([make(series, **extra)])["1/1"]
    assert image.naming.code == "BIDS_INCOMPLETE"
    assert str(image.path).startswith("sourcedata/incomplete/sub-K7Q2ABCD_ses-20230504_")
    assert any(text.startswith(finding) for text in image.findings)
    assert image.naming.record_type != "MRImage"


def test_a_field_map_that_lost_its_magnitude_leaves_with_it(make, name):
    hertz = make("B0 map", 2, stem="e2", image_type=["ORIGINAL", "PRIMARY", "FIELDMAPHZ"], sidecar={"Units": "Hz"})
    image = name([hertz])["2/e2"]
    assert image.naming.code == "BIDS_INCOMPLETE"
    assert image.findings == ('FIELDMAP_WITHOUT_MAGNITUDE_FILE: "magnitude" in associations',)


def test_run_numbers_have_no_gaps_when_one_image_is_moved_out(make, name, short):
    images = name([make("ep2d_bold_rest", 1, **BOLD | {"shape": (64, 64, 30)}), make("ep2d_bold_rest", 2, **BOLD)])
    assert images["1/1"].naming.code == "BIDS_INCOMPLETE"
    assert short(images["2/2"]) == "func/task-rest_dir-AP_bold"


def test_arterial_spin_labelling_gets_its_context_from_the_header(make, name):
    asl = {
        "SequenceName": "*epfid2d1_64",
        "PulseSequenceDetails": "%SiemensSeq%\\ep2d_asl",
        "ArterialSpinLabelingType": "PCASL",
        "PostLabelingDelay": 1.8,
        "LabelingDuration": 1.8,
        "MagneticFieldStrength": 3,
        "MRAcquisitionType": "2D",
        "SliceTiming": [0, 0.1],
    }
    context = ["M_ZERO_SCAN", "LABEL", "CONTROL", "LABEL", "CONTROL"]
    header = {"ASLContext": context, "BackgroundSuppression": False}
    series = make("asl_2d_tra", 1, shape=(64, 64, 2, 5), sidecar=asl, header=header)
    image = name([series])["1/1"]
    assert str(image.path) == "sub-K7Q2ABCD/ses-20230504/perf/sub-K7Q2ABCD_ses-20230504_asl"
    ((path, text),) = image.tables.items()
    assert str(path) == "sub-K7Q2ABCD/ses-20230504/perf/sub-K7Q2ABCD_ses-20230504_aslcontext.tsv"
    assert text.split() == ["volume_type", "m0scan", "label", "control", "label", "control"]
    assert (image.metadata["M0Type"], image.metadata["TotalAcquiredPairs"]) == ("Included", 2)
    assert image.metadata["BackgroundSuppression"] is False


def test_whether_static_tissue_was_suppressed_comes_from_the_header_or_is_left_to_the_site(make, name):
    asl = {"ArterialSpinLabelingType": "PCASL", "PostLabelingDelay": 1.8, "LabelingDuration": 1.8}
    series = make("asl_2d_tra", 1, shape=(64, 64, 2, 2), sidecar=asl, header={"ASLContext": ["LABEL", "CONTROL"]})
    image = name([series])["1/1"]
    assert image.naming.code == "BIDS_INCOMPLETE"
    assert any("BackgroundSuppression" in finding for finding in image.findings)
    assert read_background_suppression(b"sAsl.ulSuppressionMode\t = \t1\n") is False
    assert read_background_suppression(b"sAsl.ulSuppressionMode = 0x4\n") is True
    assert read_background_suppression(b"sAsl.ulMode = 32\n") is None
