"""The function `tissue-volumes`: a T1-weighted image in, volumes, a segmentation and a page out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heartbrain_functions.command import Call
from heartbrain_functions.errors import FunctionError
from heartbrain_functions.images import Array, Image, only_one, read_image, write_map
from heartbrain_functions.pictures import show_labels, write_page
from heartbrain_functions.results import Result, derivative_stem
from heartbrain_functions.tissue_volumes.cavity import find_cavity
from heartbrain_functions.tissue_volumes.classes import Tissue, Tissues, classify

VERSION: Final = "1.0.0"
_VALUES: Final = {
    Tissue.CSF: "CSFVolume",
    Tissue.GREY_MATTER: "GreyMatterVolume",
    Tissue.WHITE_MATTER: "WhiteMatterVolume",
}
_TITLES: Final = {
    Tissue.CSF: "Cerebrospinal fluid",
    Tissue.GREY_MATTER: "Grey matter",
    Tissue.WHITE_MATTER: "White matter",
}
#: BIDS names of tissues (BIDS specification, derivatives, common image-derived labels).
_LABELS: Final = {Tissue.CSF: "CSF", Tissue.GREY_MATTER: "GM", Tissue.WHITE_MATTER: "WM"}
#: Volume of what lies within the skull of people from infants to the largest, mL.
_PLAUSIBLE: Final = (400.0, 2300.0)
_THICKEST_MM: Final = 3.5


def run(call: Call) -> None:
    """Do it.

    Raises
    ------
    FunctionError
        The input can't be used.
    """
    if call.parameters:
        raise FunctionError("BAD_PARAMETERS", "This function takes no parameters.")
    image = read_image(only_one(call.input, "*_T1w.nii*", "T1-weighted image (_T1w.nii.gz)"), dimensions=3)
    voxel_mm = np.sqrt((image.affine[:3, :3] ** 2).sum(axis=0))
    result = Result(
        folder=call.output,
        kind="TissueVolumes",
        function="tissue-volumes",
        version=VERSION,
        sources=[image.path.name],
    )
    volume = np.nan_to_num(np.maximum(image.data, 0), posinf=0)
    call.report(0.05, "finding the brain")
    cavity = find_cavity(volume, voxel_mm)
    call.report(0.4, "telling the tissues apart")
    tissues = classify(volume, cavity.mask)
    call.report(0.85, "writing images")
    volumes = {one: float(np.count_nonzero(tissues.labels == one)) * image.voxel_ml for one in Tissue}
    total = float(np.count_nonzero(cavity.mask)) * image.voxel_ml
    for tissue, name in _VALUES.items():
        result.add_value(name, round(volumes[tissue], 3), "mL")
    result.add_value("IntracranialVolume", round(total, 3), "mL")
    _doubt(result, total, voxel_mm)
    stem = call.output / derivative_stem(image.path.name)
    _write_images(stem, image, tissues, cavity.mask, result)
    _write_page(stem, image, tissues, volumes, total, result)
    result.write(_details(image, tissues, cavity.centers))
    call.report(1.0, "done")


def _doubt(result: Result, total: float, voxel_mm: Array) -> None:
    low, high = _PLAUSIBLE
    if not low <= total <= high:
        text = f"{total:.0f} mL within the skull is not plausible for a person: look at the picture before using it."
        result.add_note("IMPLAUSIBLE_VOLUME", text)
    if voxel_mm.max() > _THICKEST_MM:
        text = f"Voxels are up to {voxel_mm.max():.1f} mm long: grey and white matter mix in them."
        result.add_note("LARGE_VOXELS", text)


def _write_images(stem: Path, image: Image, tissues: Tissues, mask: NDArray[np.bool_], result: Result) -> None:
    def put(ending: str, data: NDArray[Any], role: str, sidecar: Mapping[str, Any]) -> None:
        path = write_map(stem.with_name(f"{stem.name}_{ending}.nii.gz"), data, image)
        text = json.dumps(sidecar, indent=2) + "\n"
        stem.with_name(f"{stem.name}_{ending}.json").write_text(text, encoding="utf-8")
        result.add_file(path, role)

    labels = {str(int(one)): _LABELS[one] for one in Tissue}
    put("dseg", tissues.labels, "segmentation", {"Description": "Tissues", "LabelMap": labels})
    put("desc-brain_mask", mask, "mask", {"Description": "All within the skull", "Type": "Brain"})
    for index, tissue in enumerate(Tissue):
        text = f"Probability of {_TITLES[tissue].lower()}"
        put(f"label-{_LABELS[tissue]}_probseg", tissues.probabilities[..., index], "map", {"Description": text})
    table = stem.with_name("dseg.tsv") if not stem.name else stem.with_name(f"{stem.name}_desc-labels_dseg.tsv")
    rows = "".join(f"{int(one)}\t{_LABELS[one]}\n" for one in Tissue)
    table.write_text("index\tname\n" + rows, encoding="utf-8")
    result.add_file(table, "table")


def _write_page(
    stem: Path, image: Image, tissues: Tissues, volumes: Mapping[Tissue, float], total: float, result: Result
) -> None:
    picture = stem.with_name(f"{stem.name}_desc-tissues_T1w.png")
    colours = {_TITLES[one]: int(one) for one in Tissue}
    show_labels(picture, tissues.corrected, tissues.labels, colours, image.data)
    result.add_file(picture, "picture")
    page = write_page(
        stem.with_name(f"{stem.name}_desc-report_T1w.html"),
        title="Tissue volumes",
        summary=[
            *((_TITLES[one], f"{volumes[one]:.0f} mL, {100 * volumes[one] / total:.1f} %") for one in Tissue),
            ("All within the skull", f"{total:.0f} mL"),
        ],
        notes=[note["text"] for note in result.notes],
        pictures=[("Segmentation: does the border follow the brain?", picture)],
        details=[
            ("Brain", "held together after thin bridges were worn off; fluid added as far as the bone"),
            ("Uneven brightness", "polynomial of third order in the logarithm"),
            ("Tissues", "hidden Markov random field of three classes"),
            ("Image", PurePath(image.path).name),
            ("Version", VERSION),
        ],
    )
    result.add_file(page, "report")


def _details(image: Image, tissues: Tissues, centers: Array) -> dict[str, Any]:
    import scipy  # noqa: PLC0415 - its version

    return {
        "Method": "morphological brain extraction; polynomial bias field; hidden Markov random field (Zhang 2001)",
        "VoxelVolume": image.voxel_ml,
        "FirstCenters": [round(float(one), 6) for one in centers],
        "BiasField": [round(float(tissues.field.min()), 4), round(float(tissues.field.max()), 4)],
        "Versions": {"tissue-volumes": VERSION, "numpy": np.__version__, "scipy": scipy.__version__},
    }
