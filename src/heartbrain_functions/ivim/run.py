"""The function `ivim`: a diffusion series in, maps with their standard errors, region means, a page and numbers out."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heartbrain_functions.command import Call
from heartbrain_functions.errors import FunctionError
from heartbrain_functions.images import (
    Image,
    Mask,
    background_noise,
    beside,
    object_mask,
    only_one,
    read_image,
    write_map,
)
from heartbrain_functions.ivim import model
from heartbrain_functions.ivim.fitting import CHUNK, THRESHOLD, Fit, fit
from heartbrain_functions.ivim.model import D_STAR, S0, Array, Bounds, D, F, Failure
from heartbrain_functions.ivim.volumes import average, find_rounding, read_b_values
from heartbrain_functions.pictures import show_maps, write_page
from heartbrain_functions.results import Result, derivative_stem

VERSION: Final = "1.0.1"
_NAMES: Final = {S0: "S0", F: "f", D: "D", D_STAR: "Dstar"}
_UNITS: Final = {"S0": "arbitrary", "f": "1", "D": "mm^2/s", "Dstar": "mm^2/s", "fDstar": "mm^2/s"}
_TITLES: Final = {"f": "f: perfusion fraction", "D": "D: diffusion (mm²/s)", "Dstar": "D*: pseudo-diffusion (mm²/s)"}
#: Least b-values below 200 that the model needs: with fewer D* is a guess.
_LEAST_LOW: Final = 3


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What a user may choose; `function.yml` says the same as a JSON schema."""

    method: str = "shrinkage"
    directions: str = "average"
    noise: str = "estimate"
    threshold: float = THRESHOLD
    f_max: float = 1.0
    d_max: float = 5e-3
    d_star_max: float = 0.3
    accept_rounded: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Parameters:
        """Read what was given; what is not takes its default."""
        try:
            return cls(**given)
        except TypeError as error:
            raise FunctionError("BAD_PARAMETERS", f"A parameter is not known: {error}") from error

    @property
    def bounds(self) -> Bounds:
        """Limits for the fit."""
        standard = Bounds()
        return Bounds(
            f=(standard.f[0], self.f_max),
            d=(standard.d[0], self.d_max),
            d_star=(standard.d_star[0], self.d_star_max),
        )


def run(call: Call) -> None:
    """Do it.

    Raises
    ------
    FunctionError
        The input can't be used.
    """
    parameters = Parameters.of(call.parameters)
    series = read_image(only_one(call.input, "*_dwi.nii*", "diffusion series (_dwi.nii.gz)"), dimensions=4)
    table = beside(series.path, ".bval")
    if table is None:
        raise FunctionError("MISSING_INPUT", "The series has no table of b-values (.bval beside the image).")
    b_values = read_b_values(table, series.data.shape[3])
    result = Result(
        folder=call.output, kind="IVIMAnalysis", function="ivim", version=VERSION, sources=[series.path.name]
    )
    mask, mask_source = _mask(call.input, series, b_values)
    _check_b_values(series, b_values, mask, result, parameters)
    noise = (
        background_noise(series.data[..., int(np.argmax(b_values))], mask) if parameters.noise == "estimate" else None
    )
    if parameters.noise == "estimate" and noise is None:
        result.add_note(
            "NO_NOISE_FLOOR", "There is no air around the object to measure the noise in: the fit assumes none."
        )
    data, fitted_b = series.data, b_values
    if parameters.directions == "average":
        averaged = average(series.data, b_values)
        data, fitted_b = averaged.data, averaged.b_values
    call.report(0.1, "fitting")
    done = 0
    total = max(int(mask.sum()), 1)

    def progress(voxels: int) -> None:
        nonlocal done
        done += voxels
        if done % (16 * CHUNK) < CHUNK:
            call.report(0.1 + 0.7 * done / total, f"{done} of {total} voxels")

    try:
        found = fit(
            data[mask],
            fitted_b,
            method=parameters.method,  # type: ignore[arg-type]  # checked by the schema and by the fit
            bounds=parameters.bounds,
            noise=noise or 0.0,
            threshold=parameters.threshold,
            progress=progress,
        )
    except ValueError as error:
        raise FunctionError("NOT_FOR_THIS_METHOD", f"{error}.") from error
    call.report(0.85, "writing maps")
    stem = call.output / derivative_stem(series.path.name, model="ivim")
    maps = _write_maps(stem, series, mask, found, result)
    numbers = _summarise(found, result)
    _write_regions(call.input, series, maps, stem, result)
    _write_page(stem, maps, mask, numbers, parameters, fitted_b, result)
    result.write(_details(parameters, b_values, fitted_b, noise, mask_source, found))
    call.report(1.0, "done")


def _mask(folder: Path, series: Image, b_values: Array) -> tuple[Mask, str]:
    given = sorted(folder.rglob("*_mask.nii*"))
    if given:
        mask: Mask = read_image(given[0], dimensions=3).data > 0
        if mask.shape != series.data.shape[:3]:
            raise FunctionError("MASK_DOES_NOT_FIT", "The mask has another matrix than the series.")
        return mask, given[0].name
    lowest = series.data[..., b_values == b_values.min()].mean(axis=3)
    mask = object_mask(lowest)
    if not mask.any():
        raise FunctionError("NO_OBJECT", "The series shows nothing but air.")
    return mask, "object found by Otsu's threshold"


def _check_b_values(series: Image, b_values: Array, mask: Mask, result: Result, parameters: Parameters) -> None:
    distinct = np.unique(b_values)
    if len(distinct) < model.COUNT:
        raise FunctionError(
            "TOO_FEW_B_VALUES", f"The model needs at least four different b-values; the series has {len(distinct)}."
        )
    medians = np.median(series.data[mask], axis=0)
    rounding = find_rounding(medians, b_values)
    if rounding is not None:
        if rounding[0] == "B_VALUES_ROUNDED" and not parameters.accept_rounded:
            raise FunctionError(*rounding)
        result.add_note(*rounding)
    low = np.count_nonzero(distinct < THRESHOLD)
    if low < _LEAST_LOW:
        result.add_note(
            "FEW_LOW_B_VALUES",
            f"Only {low} b-values are below {THRESHOLD:g} s/mm2: f and D* are rough, D is not affected.",
        )


def _write_maps(stem: Path, series: Image, mask: Mask, found: Fit, result: Result) -> dict[str, Array]:
    maps: dict[str, Array] = {}

    def put(name: str, values: NDArray[Any], role: str, description: str, *, outside: float = np.nan) -> None:
        volume = np.full(mask.shape, outside, dtype=values.dtype)
        volume[mask] = values
        desc = "" if role == "map" else f"_desc-{role}"
        path = stem.with_name(f"{stem.name}_param-{name}{desc}_dwimap.nii.gz")
        result.add_file(write_map(path, volume, series), role)
        sidecar = {"Description": description, "Units": _UNITS.get(name, "1"), "Model": {"Name": "IVIM"}}
        path.with_name(path.name.removesuffix(".nii.gz") + ".json").write_text(json.dumps(sidecar, indent=2) + "\n")
        if role == "map":
            maps[name] = volume

    for column, name in _NAMES.items():
        put(name, found.values[:, column], "map", f"{name} of the IVIM model")
        put(name, found.errors[:, column], "error", f"Standard error of {name}")
    put("fDstar", found.values[:, F] * found.values[:, D_STAR], "map", "f times D*, which goes with blood flow")
    put("residual", found.residual, "map", "Root of the mean squared residual, in units of the signal")
    reasons = ", ".join(f"{reason.value}: {reason.name.lower()}" for reason in Failure)
    put("failure", found.failure, "mask", reasons, outside=Failure.OUTSIDE_MASK)
    return maps


def _summarise(found: Fit, result: Result) -> dict[str, float]:
    trusted = found.failure == Failure.NONE
    numbers = {
        "NumberOfVoxels": float(len(trusted)),
        "FailedFraction": 1 - float(trusted.mean()) if len(trusted) else 1.0,
    }
    for column, name in ((F, "f"), (D, "D"), (D_STAR, "Dstar")):
        values = found.values[trusted, column]
        if values.size:
            numbers[f"mean_{name}"] = float(values.mean())
            numbers[f"median_{name}"] = float(np.median(values))
            numbers[f"sd_{name}"] = float(values.std())
    for name, number in numbers.items():
        unit = _UNITS[name.partition("_")[2]] if "_" in name else "1"
        result.add_value(name, number, None if unit == "1" else unit)
    if numbers["FailedFraction"] > 0.5:  # noqa: PLR2004 - most of it
        result.add_note(
            "MOST_VOXELS_FAILED",
            f"{numbers['FailedFraction']:.0%} of the voxels have no trustworthy value: look at the failure map.",
        )
    return numbers


def _write_regions(folder: Path, series: Image, maps: Mapping[str, Array], stem: Path, result: Result) -> None:
    """Write means by region where a segmentation on the grid of the series came along."""
    for path in sorted(folder.rglob("*_dseg.nii*")):
        labels = read_image(path, dimensions=3).data
        if labels.shape != series.data.shape[:3]:
            result.add_note("REGIONS_DO_NOT_FIT", "A segmentation has another matrix than the series and was left out.")
            continue
        table = stem.with_name(f"{stem.name}_desc-regions_dwi.tsv")
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(
                ["index", "voxels", *(f"{kind}_{name}" for name in _TITLES for kind in ("mean", "sd", "median"))]
            )
            for label in np.unique(labels[labels > 0]):
                row: list[object] = [f"{label:g}", int(np.count_nonzero(labels == label))]
                for name in _TITLES:
                    values = maps[name][labels == label]
                    values = values[np.isfinite(values)]
                    row += (
                        [f"{one:.6g}" for one in (values.mean(), values.std(), np.median(values))]
                        if values.size
                        else ["n/a"] * 3
                    )
                writer.writerow(row)
        result.add_file(table, "table")
        return


def _write_page(
    stem: Path,
    maps: Mapping[str, Array],
    mask: Mask,
    numbers: Mapping[str, float],
    parameters: Parameters,
    b_values: Array,
    result: Result,
) -> None:
    picture = stem.with_name(f"{stem.name}_desc-maps_dwi.png")
    show_maps(picture, {title: maps[name] for name, title in _TITLES.items()}, mask)
    result.add_file(picture, "picture")
    summary = [
        (title, f"{numbers[f'mean_{name}']:.4g} ± {numbers[f'sd_{name}']:.2g}")
        for name, title in _TITLES.items()
        if f"mean_{name}" in numbers
    ]
    summary.append(
        ("Voxels", f"{numbers['NumberOfVoxels']:.0f}, {100 * numbers['FailedFraction']:.1f} % without a value")
    )
    page = write_page(
        stem.with_name(f"{stem.name}_desc-report_dwi.html"),
        title="Intravoxel incoherent motion",
        summary=summary,
        notes=[note["text"] for note in result.notes],
        pictures=[("Maps, mean over all voxels with a trustworthy value above", picture)],
        details=[
            ("Model", "S/S0 = f exp(-b D*) + (1 - f) exp(-b D)"),
            ("Method", parameters.method),
            ("b-values (s/mm²)", " ".join(f"{value:g}" for value in b_values)),
            ("Version", VERSION),
        ],
    )
    result.add_file(page, "report")


def _details(
    parameters: Parameters, b_values: Array, fitted_b: Array, noise: float | None, mask: str, found: Fit
) -> dict[str, Any]:
    import scipy  # noqa: PLC0415 - its version

    bounds = parameters.bounds
    details: dict[str, Any] = {
        "Model": "S/S0 = f exp(-b D*) + (1-f) exp(-b D) (Le Bihan 1988)",
        "Method": parameters.method,
        "Directions": parameters.directions,
        "BoundsF": list(bounds.f),
        "BoundsD": list(bounds.d),
        "BoundsDstar": list(bounds.d_star),
        "Threshold": parameters.threshold,
        "BValues": b_values.tolist(),
        "FittedBValues": fitted_b.tolist(),
        "NoiseSigma": noise,
        "Mask": mask,
        "Failures": {reason.name: int(np.count_nonzero(found.failure == reason)) for reason in Failure},
        "Versions": {"ivim": VERSION, "numpy": np.__version__, "scipy": scipy.__version__},
    }
    if found.population is not None:
        details["Population"] = {
            "Center": found.population.center.tolist(),
            "Covariance": found.population.covariance.tolist(),
            "Noise": found.population.noise,
        }
    return details
