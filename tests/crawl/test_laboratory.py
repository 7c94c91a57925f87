from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from heartbrain_ingest.crawl.model import view_datamodel
from heartbrain_ingest.crawl.run import scan
from heartbrain_ingest.lab.delivery import COLUMNS

if TYPE_CHECKING:
    from tests.crawl.conftest import Site

HEADER = tuple(COLUMNS)
SERUM = "sub-K7Q2ABCD 2023-05-03 serum"
ROWS = [
    f"sub-K7Q2ABCD|{SERUM}|serum|2023-05-03|08:15:00|creatinine|2160-0|1.4|mg/dL|n/a|0.5|1.1|H|123,8|umol/L|n/a",
    f"sub-K7Q2ABCD|{SERUM}|serum|2023-05-03|08:15:00|sodium|2951-2|141|mmol/L|n/a|136|145|N|141|mmol/L|haemolytic",
    "sub-K7Q2ABCD|u-1|urine|2023-05-03|n/a|protein|2888-6|4|mg/dL|<|n/a|n/a|n/a|<4|mg/dL|n/a",
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
