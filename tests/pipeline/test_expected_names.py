"""All real DICOM, ingested: each image is named as the manifest expects; what it calls not BIDS is a record."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipeline.conftest import TakenIn
from tests.pipeline.site import LedgerFile

pytestmark = [pytest.mark.slow, pytest.mark.shared_data]

PATTERN = re.compile(r"(?:(?P<datatype>anat|func|dwi|fmap|perf)/)?\*_(?P<rest>.+)")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A name that the manifest expects: `dwi/*_dir-AP_dwi`."""

    datatype: str
    entities: tuple[str, ...]
    suffix: str

    def is_met_by(self, path: Path) -> bool:
        *entities, suffix = path.name.removesuffix(".nii.gz").split("_")
        return (
            path.parent.name == self.datatype
            and self.suffix in {suffix, "*"}
            and all(any(one.startswith(wanted) for one in entities) for wanted in self.entities)
        )


def read_patterns(text: str, series: int) -> list[Expected]:
    """Read what the manifest says of a series; nothing where it names no BIDS name for it."""
    patterns: list[Expected] = []
    datatype = ""
    for part in re.split(r"[,;] (?![^(]*\))", text):
        numbers = re.search(r"\(([\d,]+)\)", part)
        found = PATTERN.fullmatch(re.sub(r"\([^)]*\)", "", part).strip())
        if found is None or (numbers and str(series) not in numbers[1].split(",")):
            continue
        datatype = found["datatype"] or datatype
        *entities, suffix = found["rest"].split("_")
        wanted = tuple("task-" if one == "task-X" else one for one in entities)
        patterns.append(Expected(datatype=datatype, entities=wanted, suffix=suffix))
    return patterns


@pytest.fixture(scope="module")
def rows(real: TakenIn, shared_data: Path) -> list[tuple[LedgerFile, str, int]]:
    """Each DICOM file of the manifest: where it went, what is expected, its series."""
    ledger = {row.path: row for row in real.site.files()}
    numbers = {one["uid"]: one["number"] for one in real.site.ledger_rows("series")}
    with (shared_data / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        listed = [row for row in csv.DictReader(file, delimiter="\t") if re.match(r"dicom/[^/]+/dicom/", row["path"])]
    found = []
    for row in listed:
        entry = ledger.get((shared_data / row["path"]).resolve())
        if entry is not None and entry.series is not None:
            found.append((entry, row["expected_bids"], int(numbers.get(entry.series) or 0)))
    assert len(found) > 350
    return found


@pytest.fixture(scope="module")
def images(real: TakenIn) -> dict[str, list[Path]]:
    """The published images by the archive of their DICOM, as the ledger writes it."""
    made: dict[str, list[Path]] = {}
    for path in sorted(real.site.archive.rglob("*.nii.gz")):
        sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
        session = next(parent for parent in path.parents if (parent / "session.json").exists())
        archive = session / "sourcedata" / "dicom" / sidecar["SourceSeries"]
        made.setdefault(archive.relative_to(real.site.archive).as_posix(), []).append(path)
    return made


def test_every_file_is_part_of_an_image_with_the_expected_name(
    rows: list[tuple[LedgerFile, str, int]], images: dict[str, list[Path]]
) -> None:
    counted: Counter[str] = Counter()
    for entry, text, series in rows:
        patterns = read_patterns(text, series)
        if entry.destination is None:
            assert not patterns or "incomplete" in text, (entry.path.name, entry.code)
            counted["no image"] += 1
            continue
        made = images[entry.destination.partition("!")[0]]
        if patterns:
            assert any(one.is_met_by(path) for one in patterns for path in made), (text, [path.name for path in made])
            assert all(any(one.is_met_by(path) for one in patterns) for path in made), [path.name for path in made]
            counted["bids"] += 1
        else:
            assert all({"sourcedata", "derivatives"} & set(path.parts) for path in made), [path.name for path in made]
            counted["other"] += 1
    assert counted["bids"] > 340
    assert min(counted["no image"], counted["other"]) >= 2


def test_every_expected_name_is_there(rows: list[tuple[LedgerFile, str, int]], images: dict[str, list[Path]]) -> None:
    everything = [path for made in images.values() for path in made]
    patterns = {one for _, text, series in rows for one in read_patterns(text, series)}
    assert len(patterns) >= 14
    assert [one for one in patterns if not any(one.is_met_by(path) for path in everything)] == []


def test_what_is_not_bids_is_a_record_all_the_same(
    real: TakenIn, rows: list[tuple[LedgerFile, str, int]], images: dict[str, list[Path]]
) -> None:
    others = {
        path
        for entry, text, series in rows
        if entry.destination is not None and not read_patterns(text, series)
        for path in images[entry.destination.partition("!")[0]]
    }
    assert len(others) >= 3
    known = {one["ImageFile"] for one in real.site.find("SELECT ImageFile FROM MRImage")}
    assert {f"/{path.relative_to(real.site.archive).as_posix()}" for path in others} <= known
