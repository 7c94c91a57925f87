"""dcm2niix makes of the files what the truth says."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import curve_fit  # type: ignore[import-untyped]

from sample_data.phantom import Tissue, lookup
from sample_data.plan import study_plan

from .conftest import Converted, Image, Study

EVERY_IMAGE_KIND = {
    "localizer",
    "t1w",
    "t2w",
    "flair",
    "diffusion",
    "bold",
    "field_magnitude",
    "field_phase",
    "spin_echo_field",
    "real_time",
}
WARNINGS_OF_REAL_FILES = (
    # Any series of one slice over time gets it.
    "Warning: All images appear to be a single slice - please check slice/vector orientation",
)


def images_of(converted: Converted, session: dict[str, Any], series: dict[str, Any]) -> list[Image]:
    return converted.images[session["study_uid"], series["number"]]


def world_lps(image: Image) -> NDArray[np.float64]:
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in image.voxels.shape[:3]), indexing="ij"), axis=-1)
    ras = grid @ image.affine[:3, :3].T + image.affine[:3, 3]
    lps: NDArray[np.float64] = ras * np.array([-1.0, -1.0, 1.0])
    return lps


def tissue_at_voxels(image: Image, session: dict[str, Any]) -> NDArray[np.uint8]:
    head = study_plan(small=True).subjects[0].head
    return head.classify(world_lps(image) - np.array(session["head_offset_mm"]))


def kinds(study: Study, *wanted: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(session, series) for _, session, series in study.series() if series["kind"] in wanted]


def test_the_study_holds_every_kind_of_series(small_study: Study) -> None:
    assert {series["kind"] for _, _, series in small_study.series()} == EVERY_IMAGE_KIND


def test_each_series_becomes_the_promised_images_and_nothing_else_is_made(
    small_study: Study, converted: Converted
) -> None:
    promised = {
        (session["study_uid"], series["number"]): len(series["nifti"]) for _, session, series in small_study.series()
    }
    assert {key: len(images) for key, images in converted.images.items()} == promised


def test_dcm2niix_warns_of_nothing_that_a_real_scanner_would_not_make_it_warn_of(converted: Converted) -> None:
    warnings = {line for line in converted.output.splitlines() if "warning" in line.lower() or "error" in line.lower()}
    assert warnings <= set(WARNINGS_OF_REAL_FILES)


def test_shapes_voxel_sizes_and_times_are_the_planned_ones(small_study: Study, converted: Converted) -> None:
    for _, session, series in small_study.series():
        images = sorted(images_of(converted, session, series), key=lambda one: one.sidecar["EchoTime"])
        for image, expected in zip(images, series["nifti"], strict=True):
            assert list(image.voxels.shape) == expected["shape"], series["description"]
            assert image.zooms[:3] == pytest.approx(expected["voxel_mm"], rel=1e-4), series["description"]
            assert image.sidecar["EchoTime"] == pytest.approx(expected["echo_time_s"])
            assert image.sidecar["RepetitionTime"] == pytest.approx(series["repetition_time_s"])
            assert image.sidecar["FlipAngle"] == series["flip_angle_degrees"]
            assert image.sidecar.get("InversionTime") == series["inversion_time_s"]
            if len(expected["shape"]) == 4:
                assert image.zooms[3] == pytest.approx(series["repetition_time_s"])


def test_slice_timing_and_phase_encoding_come_through(small_study: Study, converted: Converted) -> None:
    for session, series in kinds(small_study, "diffusion", "bold", "spin_echo_field"):
        (image,) = images_of(converted, session, series)
        assert image.sidecar["SliceTiming"] == pytest.approx(series["slice_timing_s"], abs=1e-4)
        assert image.sidecar["PhaseEncodingDirection"] == series["phase_encoding_direction"]
        assert image.sidecar["TotalReadoutTime"] == pytest.approx(series["total_readout_time_s"], rel=1e-4)
        assert image.sidecar["EffectiveEchoSpacing"] == pytest.approx(series["effective_echo_spacing_s"], rel=1e-4)


def test_the_spin_echo_pair_is_encoded_in_opposite_directions(small_study: Study, converted: Converted) -> None:
    directions = {
        series["description"]: images_of(converted, session, series)[0].sidecar["PhaseEncodingDirection"]
        for session, series in kinds(small_study, "spin_echo_field")
    }
    assert directions == {"SpinEchoFieldMap_AP": "j-", "SpinEchoFieldMap_PA": "j"}


def test_the_phase_difference_knows_both_echo_times(small_study: Study, converted: Converted) -> None:
    for session, series in kinds(small_study, "field_phase"):
        (image,) = images_of(converted, session, series)
        assert (image.sidecar["EchoTime1"], image.sidecar["EchoTime2"]) == pytest.approx(series["echo_times_s"])
        assert "PHASE" in image.sidecar["ImageType"]
        assert image.voxels.min() >= -4096
        assert image.voxels.max() <= 4094


def test_b_values_and_b_vectors_are_exact(small_study: Study, converted: Converted) -> None:
    for session, series in kinds(small_study, "diffusion"):
        (image,) = images_of(converted, session, series)
        assert image.table(".bval")[0].tolist() == series["b_values"]
        assert np.abs(image.table(".bvec") - np.array(series["b_vectors"])).max() < 1e-4


def test_half_of_the_b_values_lie_below_200(small_study: Study) -> None:
    (_, series), *_ = kinds(small_study, "diffusion")
    values = set(series["b_values"])
    assert len(values) == 16
    assert len([one for one in values if one < 200]) == 9


@pytest.mark.parametrize("kind", ["localizer", "t1w", "t2w", "flair", "field_magnitude", "diffusion"])
def test_every_voxel_lies_where_the_phantom_has_that_tissue(
    small_study: Study, converted: Converted, kind: str
) -> None:
    for session, series in kinds(small_study, kind):
        image = min(images_of(converted, session, series), key=lambda one: one.sidecar["EchoTime"])
        first = image.voxels if image.voxels.ndim == 3 else image.voxels[..., 0]
        expected = lookup(tissue_at_voxels(image, session), {one: series["signal"][one.name.lower()] for one in Tissue})
        sigma = series["noise_sigma"]
        wrong = np.abs(first - np.sqrt(expected**2 + sigma**2)) > 5 * sigma
        assert wrong.mean() < 1e-3, series["description"]


def test_the_spin_echo_pair_is_distorted_in_opposite_ways_below_the_front_of_the_brain(
    small_study: Study, converted: Converted
) -> None:
    session = small_study.truth["subjects"][0]["sessions"][0]
    anterior, posterior = (
        images_of(converted, session, series)[0].voxels[..., 0]
        for series in session["series"]
        if series["kind"] == "spin_echo_field"
    )
    assert np.abs(anterior - posterior).max() > 20 * session["series"][0]["noise_sigma"]


def test_tissue_volumes_measured_in_t1w_are_within_two_percent(small_study: Study, converted: Converted) -> None:
    for session, series in kinds(small_study, "t1w"):
        truth = small_study.truth["subjects"][0]["volumes_mm3"]
        (image,) = images_of(converted, session, series)
        order = ["skull", "csf", "lesion", "grey_matter", "white_matter", "scalp"]
        order.sort(key=lambda one: series["signal"][one])
        limits = [(series["signal"][a] + series["signal"][b]) / 2 for a, b in pairwise(order)]
        counts = dict(zip(order, np.bincount(np.digitize(image.voxels, limits).ravel()), strict=True))
        voxel = float(np.prod(image.zooms))
        assert counts["white_matter"] * voxel == pytest.approx(truth["white_matter"], rel=0.02)
        assert counts["grey_matter"] * voxel == pytest.approx(truth["grey_matter"], rel=0.02)
        assert counts["csf"] * voxel == pytest.approx(truth["csf"] + truth["ventricle"], rel=0.02)
        assert counts["scalp"] * voxel == pytest.approx(truth["scalp"], rel=0.02)
        assert counts["lesion"] * voxel == pytest.approx(truth["lesion"], rel=0.04)


def test_only_the_lesion_takes_up_contrast_agent(small_study: Study) -> None:
    (_, native), (_, enhanced) = kinds(small_study, "t1w")
    ratio = {one: enhanced["signal"][one] / native["signal"][one] for one in native["signal"] if native["signal"][one]}
    assert ratio["lesion"] > 4
    assert ratio["white_matter"] == pytest.approx(1.0, abs=0.05)


def test_the_ivim_parameters_are_found_back_in_the_converted_images(small_study: Study, converted: Converted) -> None:
    def signal(b: NDArray[np.float64], s0: float, f: float, d_star: float, d: float) -> NDArray[np.float64]:
        return s0 * (f * np.exp(-b * d_star) + (1 - f) * np.exp(-b * d))

    tissues = small_study.truth["tissues"]
    for session, series in kinds(small_study, "diffusion"):
        (image,) = images_of(converted, session, series)
        b_values = image.table(".bval")[0]
        labels = tissue_at_voxels(image, session)
        for name in ("grey_matter", "white_matter"):
            mean = image.voxels[labels == tissues[name]["label"]].mean(axis=0)
            (s0, f, d_star, d), _ = curve_fit(signal, b_values, mean, p0=(mean[0], 0.1, 0.01, 0.001))
            assert s0 == pytest.approx(series["signal"][name], rel=0.01)
            assert f == pytest.approx(tissues[name]["f"], rel=0.10)
            assert d == pytest.approx(tissues[name]["D_mm2_per_s"], rel=0.02)
            assert d_star == pytest.approx(tissues[name]["Dstar_mm2_per_s"], rel=0.20)


def test_the_real_time_series_pulsates_with_breath_and_heart(small_study: Study, converted: Converted) -> None:
    ((session, series),) = kinds(small_study, "real_time")
    (image,) = images_of(converted, session, series)
    labels = tissue_at_voxels(image, session)[:, :, 0]
    csf = image.voxels[np.isin(labels, (Tissue.CSF, Tissue.VENTRICLE)), 0, :].mean(axis=0)
    still = image.voxels[labels == Tissue.WHITE_MATTER, 0, :].mean(axis=0)
    assert csf.std() / csf.mean() > 0.1
    assert still.std() / still.mean() < 0.01
