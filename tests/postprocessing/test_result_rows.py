"""The rows of a function's tables become records that are found by their values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from linkahead.queries import count, query

from heartbrain_ingest import crawl
from heartbrain_ingest.crawl import result_rows
from tests.crawl.conftest import PROJECT, STEM, Site
from tests.functions.test_freesurfer import segmentation
from tests.postprocessing.test_crawled_results import DWI, T1W, put_result

Crawl = Callable[[Path], crawl.CrawlReport]


def put_table(
    folder: Path, name: str, lines: list[str], description: dict[str, Any], *, role: str = "records"
) -> dict[str, str]:
    (folder / f"{name}.tsv").write_text("\n".join(line.replace(" ", "\t") for line in lines) + "\n", encoding="utf-8")
    (folder / f"{name}.json").write_text(json.dumps(description), encoding="utf-8")
    return {"path": f"{name}.tsv", "role": role}


def put_rows(site: Site, lines: list[str], description: dict[str, Any], **changes: Any) -> Path:
    folder = put_result(site, Files=[{"path": "rows.tsv", "role": "records"}], **changes)
    put_table(folder, "rows", lines, description)
    return folder


def facts(record: Any) -> dict[str, Any]:
    return {prop.name: prop.value for prop in record.get_properties()}


REGIONS = {
    "RecordType": "RegionMeasurement",
    "Key": ["atlas", "region"],
    "volume": {"Units": "mm^3"},
    "mean_thickness": {"Units": "cm"},
    "colour": {"Units": "nm"},
}


def test_a_row_is_a_record_with_units_that_refers_to_its_result_and_subject(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    lines = [
        "atlas region volume voxels mean_thickness colour",
        "cake cherry 12.5 7 0.3 650",
        "cake crumb n/a 9 n/a n/a",
    ]
    crawled(put_rows(site, lines, REGIONS))
    (row,) = query("FIND RegionMeasurement WITH region=cherry AND volume > 0.012 mL")
    found = facts(row)
    assert (row.name, found["volume"], found["voxels"]) == ("cake cherry", 12.5, 7)
    assert row.get_property("volume").unit == "mm^3"
    # Neither a unit that the model does not have there nor a name that it does not know is taken for another.
    assert json.loads(found["OtherResultValues"]) == {
        "mean_thickness": {"value": 0.3, "unit": "cm"},
        "colour": {"value": 650.0, "unit": "nm"},
    }
    (result,) = query("FIND IVIMAnalysis WHICH IS REFERENCED BY RegionMeasurement WITH region=cherry")
    assert found["Result"] == result.id
    assert [one.id for one in query("FIND Subject WHICH IS REFERENCED BY RegionMeasurement")] == [found["Subject"]]
    (crumb,) = query("FIND RegionMeasurement WITH region=crumb")
    assert set(facts(crumb)) == {"Result", "Project", "Subject", "Session", "atlas", "region", "voxels"}


def test_crawled_again_nothing_is_new_and_another_version_keeps_both(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    lines = ["atlas region volume", "cake cherry 12.5", "cake crumb 3"]
    folder = put_rows(site, lines, REGIONS)
    crawled(folder)
    again = crawled(folder)
    assert (again.inserted, again.updated, count("COUNT RegionMeasurement")) == (0, 0, 2)
    later = put_rows(site, lines, REGIONS, name="2026-06-02_ivim_R-2", Version="1.1", Request="R-2")
    crawled(later)
    assert count("COUNT RegionMeasurement WITH region=cherry") == 2
    newer = "FIND RegionMeasurement WITH region=cherry AND WHICH REFERENCES IVIMAnalysis WITH FunctionVersion='1.1'"
    assert len(query(newer)) == 1


def test_rows_of_a_record_type_that_nobody_foresaw_keep_their_values(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    report = crawled(put_rows(site, ["cup grounds", "first lion"], {"RecordType": "CoffeeCup", "Key": ["cup"]}))
    assert [warning.code for warning in report.warnings] == ["UNKNOWN_RECORD_TYPE"]
    (row,) = query("FIND ResultRow")
    assert (row.name, json.loads(facts(row)["OtherResultValues"])) == ("first", {"cup": "first", "grounds": "lion"})


def test_a_result_of_several_sessions_has_rows_of_no_subject(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    other = DWI.replace("20230504", "20240504")
    crawled(put_rows(site, ["atlas region volume", "cake cherry 12.5"], REGIONS, Inputs=[T1W, other]))
    (row,) = query("FIND RegionMeasurement")
    assert set(facts(row)) == {"Result", "Project", "atlas", "region", "volume"}


@pytest.mark.parametrize(
    ("lines", "description", "rows"),
    [
        (["atlas region volume", "cake cherry 1", "cake cherry 2"], REGIONS, 1),
        (["atlas region volume", "n/a n/a 1", "cake crumb 2"], REGIONS, 1),
        (["atlas region volume", "cake cherry 1"], {"RecordType": "RegionMeasurement"}, 0),
        (["atlas region volume", *(f"cake c{number} 1" for number in range(6))], REGIONS, 5),
    ],
)
def test_what_can_not_be_a_record_is_said_and_stays_in_the_table(
    site: Site,
    crawled: Crawl,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str],
    description: dict[str, Any],
    rows: int,
) -> None:
    monkeypatch.setattr(result_rows, "MOST_ROWS", 5)
    crawled(site.put_session())
    report = crawled(put_rows(site, lines, description))
    assert [warning.code for warning in report.warnings] == ["INVALID_RESULT_TABLE"]
    assert count("COUNT RegionMeasurement") == rows
    assert len(query("FIND FILE WHICH IS STORED AT '/DataAnalysis/**/rows.tsv'")) == 1


def put_segmentation(site: Site, stats: Path, *, name: str = "2026-06-01_freesurfer_R-1") -> Path:
    """Let the function read the tables, and lay what it wrote where results lie."""
    subject = site.archive.parent / name / STEM
    subject.mkdir(parents=True)
    (subject / "stats").symlink_to(stats)
    folder = put_result(site, name=name)
    segmentation.write_result(
        folder, program="freesurfer", image=Path(f"{STEM}_T1w.nii.gz"), subject=subject, resumed=False
    )
    content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    content |= {"Inputs": [T1W], "Request": name}
    (folder / "result.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


#: FreeSurfer's columns and measures, and the properties that hold them.
COLUMNS = {
    "SegId": "segment_number", "NVoxels": "voxels", "NumVert": "vertices", "NVertices": "vertices",
    "Volume_mm3": "volume", "GrayVol": "volume", "SurfArea": "area", "Area_mm2": "area", "ThickAvg": "mean_thickness",
    "ThickStd": "thickness_sd", "MeanCurv": "mean_curvature", "GausCurv": "gaussian_curvature",
    "FoldInd": "folding_index", "CurvInd": "curvature_index", "normMean": "mean_intensity",
    "normStdDev": "intensity_sd", "normMin": "min_intensity", "normMax": "max_intensity",
    "normRange": "intensity_range", "Mean": "mean_contrast", "StdDev": "contrast_sd", "Min": "min_contrast",
    "Max": "max_contrast", "Range": "contrast_range", "SNR": "contrast_snr",
}  # fmt: skip
MEASURES = {
    "NumVert": "vertices", "WhiteSurfArea": "white_surface_area", "PialSurfArea": "pial_surface_area",
    "MeanThickness": "mean_thickness", "BrainSegVol-to-eTIV": "BrainSegVol_to_eTIV",
    "MaskVol-to-eTIV": "MaskVol_to_eTIV",
}  # fmt: skip
#: A number as a word of its own, not the 1 of `k1`.
NUMBER = re.compile(r"(?<![\w.^])-?\d+(?:\.\d+)?(?:e[+-]\d+)?(?![\w^]*[A-Za-z^])")


def read_units(lines: list[str]) -> dict[str, str]:
    names = {line.split()[2]: line.split()[4] for line in lines if re.match(r"# TableCol\s+\d+ ColHeader", line)}
    found = {line.split()[2]: line.split()[4] for line in lines if re.match(r"# TableCol\s+\d+ Units", line)}
    return {name: found.get(number, "") for number, name in names.items()}


def conditions(values: dict[str, tuple[str, str]]) -> str:
    """Write values and units as a question: (number as FreeSurfer wrote it, unit)."""
    return " AND ".join(f"{name} = {number} {unit}".rstrip() for name, (number, unit) in values.items())


def questions(path: Path) -> Iterator[tuple[str, int]]:
    """Read a table of regions on a way of its own: for each row the question for all its numbers, and their number."""
    lines = path.read_text(encoding="utf-8").splitlines()
    side, atlas = re.fullmatch(r"(?:([lr]h)\.)?(.+)", path.stem).groups()  # type: ignore[union-attr]
    place = f"atlas='{atlas}'" + (f" AND hemisphere={side}" if side else "")
    header = next((line.split()[2:] for line in lines if line.startswith("# ColHeaders")), [])
    units = read_units(lines)
    for line in lines:
        if line and not line.startswith("#"):
            row = dict(zip(header, line.split(), strict=True))
            numbers = {name: row[name] for name in header if name not in {"Index", "StructName"}}
            values = {
                COLUMNS[name]: (number, "%" if atlas == "w-g.pct" and name in {"Mean", "Max"} else unit_of(units[name]))
                for name, number in numbers.items()
                if "nan" not in number
            }
            yield (
                f"RegionMeasurement WITH {place} AND region='{row['StructName']}' AND {conditions(values)}",
                len(values),
            )
    measures = [line.split(", ") for line in lines if line.startswith("# Measure")]
    if measures:
        totals = {MEASURES.get(parts[1], parts[1]): (parts[-2], unit_of(parts[-1])) for parts in measures}
        yield f"SegmentationTotals WITH {place} AND {conditions(totals)}", len(totals)


def unit_of(word: str) -> str:
    return word if word.startswith("mm") else ""


@pytest.mark.shared_data
def test_every_number_of_freesurfers_tables_is_found_by_a_question_for_its_value(
    site: Site, crawled: Crawl, shared_data: Path
) -> None:
    stats = shared_data / "freesurfer" / "fs7.0.0_soichi" / "stats"
    crawled(site.put_session())
    report = crawled(put_segmentation(site, stats))
    assert report.warnings == ()
    assert (count("COUNT RegionMeasurement"), count("COUNT SegmentationTotals"), count("COUNT SurfaceCurvature")) == (
        587,
        17,
        20,
    )
    assert count("COUNT ResultRow WITH OtherResultValues") == 0
    asked = 0
    for path in sorted(stats.glob("*.stats")):
        if path.stem.endswith("h.curv"):
            continue
        for question, numbers in questions(path):
            assert count(f"COUNT {question}") == 1, question
            asked += numbers
    # Cells of rows and `# Measure` lines, without the two that FreeSurfer wrote as nan.
    assert asked == 5168 + 158 - 2


@pytest.mark.shared_data
def test_every_number_of_freesurfers_reports_on_curvature_stands_in_a_record(
    site: Site, crawled: Crawl, shared_data: Path
) -> None:
    stats = shared_data / "freesurfer" / "fs7.0.0_soichi" / "stats"
    crawled(site.put_session())
    crawled(put_segmentation(site, stats))
    for hemisphere in ("lh", "rh"):
        text = (stats / f"{hemisphere}.curv.stats").read_text(encoding="utf-8")
        (totals,) = query(f"FIND SegmentationTotals WITH atlas=curv AND hemisphere={hemisphere}")
        stored = {one for one in facts(totals).values() if isinstance(one, float)}
        said = [line.partition(":")[2] for line in text.splitlines() if line.startswith(("curv --", "Mean across"))]
        assert stored == {float(one) for words in said for one in NUMBER.findall(words)}
        sections = re.findall(r"^(\w+) <mean>.*using '(?:[lr]h\.)?(\w+)'", text, re.MULTILINE)
        assert len(sections) == 10
        for (curvature, surface), part in zip(sections, re.split(r"\n(?=\w+ <mean>)", text.strip())[-10:], strict=True):
            where = f"hemisphere={hemisphere} AND curvature={curvature} AND surface={surface}"
            (record,) = query(f"FIND SurfaceCurvature WITH {where}")
            check_curvature(facts(record), [line for line in part.splitlines() if line.split()[:1] == [curvature]])
    for name, unit in (("K", "mm^-2"), ("k1", "mm^-1"), ("Raw", None)):
        for record in query(f"FIND SurfaceCurvature WITH curvature={name}"):
            assert record.get_property("curvature_mean").unit == unit


def check_curvature(found: dict[str, Any], lines: list[str]) -> None:
    """See that each number of a report's section is one of the record's; shares follow from them."""
    stored = {float(value) for value in found.values() if isinstance(value, int | float)}
    for line in lines:
        said = line.partition("):" if "(Whole" in line or "<mean>" in line else ":")[2]
        numbers = [float(one) for one in NUMBER.findall(re.sub(r"\(.*%\)|mm\S*", "", said))]
        assert numbers or "Calculation Type" in line
        assert set(numbers) <= stored, line
        if share := re.search(r"\((\d+\.\d+)%\)", line):
            whole = found["vertices" if "vertices" in line else "rectified_area"]
            assert float(share[1]) == pytest.approx(100 * numbers[1] / whole, abs=0.01)


@pytest.mark.shared_data
def test_the_questions_of_the_how_to_about_regions_are_answered(
    site: Site, crawled: Crawl, shared_data: Path, project_root: Path
) -> None:
    crawled(site.put_session())
    crawled(put_segmentation(site, shared_data / "freesurfer" / "fs7.0.0_soichi" / "stats"))
    text = (project_root / "docs" / "howto-researcher.md").read_text(encoding="utf-8")
    section = text.split("### Region by region")[1].split("\n## ")[0]
    asked = re.findall(r'^heartbrain query "(.+)"$', section, re.MULTILINE)
    assert [len(query(question)) for question in asked] == [2, 0, 1, 1, 2, 2]
    named = set(re.findall(r"`([a-z_]+)`", section.split("```")[0]))
    model = {prop.name for name in ("RegionMeasurement",) for prop in query(f"FIND RECORDTYPE {name}")[0].properties}
    assert named - {"lh", "rh", "aseg", "wmparc", "aparc"} <= model
    thin = asked[2].replace("2.9 mm", "2.7 mm")
    assert thin != asked[2]
    assert len(query(thin)) == 0
    assert count("COUNT T1WeightedImage WHICH IS REFERENCED BY FreeSurferSegmentation") == 1
    assert PROJECT in {one.name for one in query("FIND Project WHICH IS REFERENCED BY RegionMeasurement")}
