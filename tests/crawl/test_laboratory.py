from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import linkahead
import pytest

from heartbrain_ingest import crawl
from heartbrain_ingest.crawl.model import view_datamodel
from heartbrain_ingest.crawl.run import scan
from heartbrain_ingest.crawl.samples import nearest
from heartbrain_ingest.lab.delivery import COLUMNS

if TYPE_CHECKING:
    from tests.crawl.conftest import Site

Crawl = Callable[[Path], crawl.CrawlReport]

HEADER = tuple(COLUMNS)
SERUM = "sub-K7Q2ABCD 2023-05-03 serum"
ROWS = [
    f"sub-K7Q2ABCD|{SERUM}|serum|2023-05-03|08:15:00|creatinine|2160-0|1.4|mg/dL|n/a|0.5|1.1|laboratory|H|123,8|umol/L|n/a",
    f"sub-K7Q2ABCD|{SERUM}|serum|2023-05-03|08:15:00|sodium|2951-2|141|mmol/L|n/a|136|145|lab.yml|N|141|mmol/L|haemolytic",
    "sub-K7Q2ABCD|u-1|urine|2023-05-03|n/a|protein|2888-6|4|mg/dL|<|n/a|n/a|n/a|n/a|<4|mg/dL|n/a",
]


def put_table(site: Site, rows: list[str] = ROWS, name: str = "2023-05-20_lab_a1") -> Path:
    folder = site.project / name
    folder.mkdir(parents=True)
    lines = ["\t".join(HEADER), *(row.replace("|", "\t") for row in rows)]
    (folder / "laboratory.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def read(site: Site, folder: Path) -> list[Any]:
    return list(scan(folder, archive=site.archive, cfood=site.rules / "cfood.yml"))


def of_kind(entities: list[Any], kind: str) -> list[Any]:
    return [entity for entity in entities if kind in [parent.name for parent in entity.parents]]


def test_each_value_is_a_measurement_of_a_sample_of_a_subject(site: Site) -> None:
    entities = read(site, put_table(site))
    assert [sample.name for sample in of_kind(entities, "BloodSample")] == [SERUM]
    assert [sample.name for sample in of_kind(entities, "UrineSample")] == ["u-1"]
    measurements = of_kind(entities, "LaboratoryMeasurement")
    assert [(m.get_property("Analyte").value, m.get_property("Sample").value.name) for m in measurements] == [
        ("creatinine", SERUM),
        ("sodium", SERUM),
        ("protein", "u-1"),
    ]
    assert {m.get_property("Subject").value.name for m in measurements} == {"sub-K7Q2ABCD"}


def test_a_value_carries_its_own_unit_and_its_reference_range(site: Site) -> None:
    creatinine = of_kind(read(site, put_table(site)), "LaboratoryMeasurement")[0]
    value = creatinine.get_property("MeasuredValue")
    assert (value.value, value.unit) == (1.4, "mg/dL")
    low, high = creatinine.get_property("ReferenceLow"), creatinine.get_property("ReferenceHigh")
    assert (low.value, low.unit, high.value, high.unit) == (0.5, "mg/dL", 1.1, "mg/dL")
    assert creatinine.get_property("ReferenceFlag").value == "H"
    assert creatinine.get_property("OriginalValue").value == "123,8"


def test_what_is_missing_is_no_property(site: Site) -> None:
    protein = of_kind(read(site, put_table(site)), "LaboratoryMeasurement")[2]
    assert protein.get_property("Qualifier").value == "<"
    assert protein.get_property("ReferenceLow") is None


def test_a_row_without_analyte_is_reported_and_the_rest_goes_in(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    broken = ROWS[0].replace("|creatinine|", "|n/a|")
    entities = read(site, put_table(site, [broken, ROWS[1]]))
    assert len(of_kind(entities, "LaboratoryMeasurement")) == 1
    assert [(record.code, record.getMessage()) for record in caplog.records] == [
        ("INVALID_LABORATORY_ROW", "laboratory.tsv: line 2 lacks Analyte")
    ]


def test_every_column_of_the_laboratory_stage_has_a_property(site: Site) -> None:
    assert set(COLUMNS) <= view_datamodel(site.rules / "datamodel.yml").properties.keys()


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        ([(date(2023, 5, 1), 1), (date(2023, 5, 9), 2)], 1),
        ([(date(2023, 5, 9), 2), (date(2023, 5, 1), 1)], 1),
        ([(date(2023, 5, 7), 2), (date(2023, 5, 3), 1)], 1),
        ([(date(2023, 6, 5), 1)], None),
        ([(date(2023, 6, 4), 1)], 1),
        ([], None),
    ],
)
def test_a_sample_belongs_to_the_nearest_session_within_the_days(
    sessions: list[tuple[date, int]], expected: int | None
) -> None:
    assert nearest(date(2023, 5, 5), sessions, within=30) == expected


def find(question: str) -> list[Any]:
    return list(linkahead.find(question))


def test_a_table_is_crawled_once_and_again_without_change(site: Site, crawled: Crawl) -> None:
    folder = put_table(site)
    first = crawled(folder)
    assert (first.inserted, first.updated) == (8, 0)
    again = crawled(folder)
    assert (again.inserted, again.updated, again.unchanged) == (0, 0, 8)
    (creatinine,) = find("FIND LaboratoryMeasurement WITH Analyte=creatinine")
    value = creatinine.get_property("MeasuredValue")
    assert (value.value, value.unit, value.datatype) == (1.4, "mg/dL", "DOUBLE")


@pytest.mark.parametrize("table_first", [True, False])
def test_samples_find_their_session_whichever_comes_first(site: Site, crawled: Crawl, table_first: bool) -> None:
    folders = [put_table(site), site.put_session()]
    for folder in folders if table_first else reversed(folders):
        crawled(folder)
    session = "sub-K7Q2ABCD_ses-20230504"
    assert len(find(f"FIND Sample WITH Session='{session}'")) == 2
    assert len(find(f"FIND LaboratoryMeasurement WITH Session='{session}'")) == 3
    for folder in folders:
        report = crawled(folder)
        assert (report.inserted, report.updated) == (0, 0)


def test_images_of_subjects_with_a_value_above_the_reference_range_are_found(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    crawled(put_table(site))
    question = (
        "FIND T1WeightedImage WHICH HAS A Subject WHICH IS REFERENCED BY LaboratoryMeasurement "
        "WITH (Analyte={} AND ReferenceFlag=H)"
    )
    assert len(find(question.format("creatinine"))) == 1
    assert find(question.format("sodium")) == []


def test_the_newest_of_two_tables_wins(site: Site, crawled: Crawl) -> None:
    crawled(put_table(site))
    corrected = put_table(site, [ROWS[0].replace("|1.4|", "|1.3|")], name="2023-05-21_lab_b2")
    assert crawled(corrected).updated == 1
    (creatinine,) = find("FIND LaboratoryMeasurement WITH Analyte=creatinine")
    assert creatinine.get_property("MeasuredValue").value == 1.3
