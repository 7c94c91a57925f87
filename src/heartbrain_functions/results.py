"""What every function leaves: a `result.json` that the crawl reads, and a BIDS derivative dataset around its files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

RESULT: Final = "result.json"
#: Version of BIDS that the derivative follows.
BIDS_VERSION: Final = "1.10.0"
#: Where the inputs are, seen from a result in the archive (DataAnalysis/<project>/<result>/).
SOURCE: Final = "../../../ExperimentalData"
#: What BIDS has no name for yet: maps of models, pages, and what request and result are described by.
IGNORED: Final = (
    "*_dwimap.*", "**/*_dwimap.*", "**/*.png", "**/*.html", "**/*_desc-regions_dwi.tsv", "**/*_desc-labels_dseg.tsv",
    "/function", "/logs", "/result.json", "/specification.json", "/manifest.json", "/history.json", "/error.json",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Value:
    """One number with its unit, as the data model names it; no unit for a bare number."""

    name: str
    value: float | int | str | bool
    unit: str | None = None


@dataclass(kw_only=True)
class Result:
    """Collects what a function made.

    Attributes
    ----------
    folder
        Output folder; all files are below it.
    kind
        RecordType of the result, such as `IVIMAnalysis`.
    function, version
        Name and version of the function.
    sources
        Names of the input files that the result is about.
    """

    folder: Path
    kind: str
    function: str
    version: str
    sources: Sequence[str]
    values: list[Value] = field(default_factory=list)
    files: list[dict[str, str]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)

    def add_value(self, name: str, value: float, unit: str | None = None) -> None:
        """Add a number; one that is not finite is left out, as no database can ask for it."""
        if math.isfinite(value):
            self.values.append(Value(name=name, value=value, unit=unit))

    def add_file(self, path: Path, role: str) -> Path:
        """Add a file below the folder with what it is to the result: map, error, mask, table, picture, report."""
        self.files.append({"path": path.relative_to(self.folder).as_posix(), "role": role})
        return path

    def add_note(self, code: str, text: str) -> None:
        """Add something that whoever reads the numbers must know."""
        self.notes.append({"code": code, "text": text})

    def write(self, details: Mapping[str, Any]) -> Path:
        """Write `result.json` and the dataset's description.

        Parameters
        ----------
        details
            All that is needed to do it again: method, bounds, versions.
        """
        description = {
            "Name": self.kind,
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": self.function, "Version": self.version}],
            "SourceDatasets": [{"URL": SOURCE}],
        }
        (self.folder / ".bidsignore").write_text("\n".join(IGNORED) + "\n")
        (self.folder / "dataset_description.json").write_text(json.dumps(description, indent=2) + "\n")
        content = {
            "ResultType": self.kind,
            "Function": self.function,
            "Version": self.version,
            "Sources": list(self.sources),
            "Values": [
                {"name": one.name, "value": one.value, **({"unit": one.unit} if one.unit else {})}
                for one in self.values
            ],
            "Files": self.files,
            "Notes": self.notes,
            "Details": dict(details),
        }
        path = self.folder / RESULT
        path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        return path


def derivative_stem(source: str, **entities: str) -> PurePosixPath:
    """Give folder and start of the name of a derivative: the entities of its source, and some of its own.

    Parameters
    ----------
    source
        Name of a BIDS file, such as `sub-01_ses-1_acq-ivim_dwi.nii.gz`.
    entities
        Added in their order, such as `model="ivim"`.

    Returns
    -------
    PurePosixPath
        `sub-01/ses-1/dwi/sub-01_ses-1_acq-ivim_model-ivim`; without folders where the source is not named by BIDS.
    """
    stem = PurePosixPath(source).name.split(".", maxsplit=1)[0]
    parts = stem.split("_")
    kept = [part for part in parts if "-" in part]
    labels = dict(part.split("-", 1) for part in kept)
    added = [f"{key}-{value}" for key, value in entities.items()]
    name = "_".join([*(kept or [stem]), *added])
    if "sub" not in labels:
        return PurePosixPath(name)
    folders = [f"sub-{labels['sub']}", *([f"ses-{labels['ses']}"] if "ses" in labels else []), _datatype(parts[-1])]
    return PurePosixPath(*folders, name)


def _datatype(suffix: str) -> str:
    return {"dwi": "dwi", "bold": "func", "asl": "perf"}.get(suffix, "anat")
