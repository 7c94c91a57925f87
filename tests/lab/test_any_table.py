"""Whatever stands in a table: values that are there, refusals by place, or a code; never a crash, never a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartbrain_ingest.issues import ISSUES
from heartbrain_ingest.lab import LabRules, LabTableError, SubjectRef, read_table, write_delivery

HEADER = "Patienten-ID;Nachname;Entnahmezeit;Material;Analyt;Wert;Einheit;Referenzbereich;Bemerkung"
CELL = st.one_of(
    st.sampled_from(
        ["HB-1", "HB-9", "04.05.2023", "2023-05-04 08:15", "Serum", "Urin", "Kalium", "CRP", "4,1", "<0,3", "1.234"]
    ),
    st.sampled_from(
        ["mmol/l", "mg/l", "n.d.", "hämolytisch", "3,5-5,1", "1e999", "-5", "NaN", "∞", "١٢", "1,2,3", "=1+1"]
    ),
    st.text(max_size=12),
)
ROWS = st.lists(st.lists(CELL, max_size=11), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=120)
@given(
    rows=ROWS, ending=st.sampled_from(["\n", "\r\n", "\r"]), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
)
def test_any_rows_below_a_known_header_give_finite_values_or_refusals_with_a_place(
    tmp_path: Path, rules: LabRules, rows: list[list[str]], ending: str, encoding: str
) -> None:
    path = tmp_path / "table.csv"
    lines = [HEADER, *(";".join(cell.replace(";", "") for cell in row) for row in rows)]
    path.write_bytes(ending.join(lines).encode(encoding, "replace"))
    known = {"HB-1": SubjectRef(label="sub-AAAAAAA1", days=-100, sex="M")}
    delivery = read_table(path, rules, known.get)
    for measurement in delivery.measurements:
        assert measurement.subject == "sub-AAAAAAA1"
        assert measurement.value is None or -1e6 < measurement.value < 1e6
    assert {refusal.code for refusal in delivery.refused} <= set(ISSUES)
    assert all(refusal.row > 1 for refusal in delivery.refused)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=120)
@given(
    name=st.sampled_from(["a.csv", "a.xlsx", "a.tsv"]),
    start=st.sampled_from([b"", HEADER.encode() + b"\n", b"PK\x03\x04", b"\xff\xfe", b"\xd0\xcf\x11\xe0"]),
    rest=st.binary(max_size=400),
)
def test_any_bytes_are_a_table_or_a_code(tmp_path: Path, rules: LabRules, name: str, start: bytes, rest: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(start + rest)
    codes = set()
    try:
        read_table(path, rules, lambda _: None)
    except LabTableError as error:
        codes.add(error.code)
    assert codes <= {"LAB_UNREADABLE"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(remark=st.text(max_size=30), extra=st.text(max_size=10))
def test_nothing_of_a_name_or_a_remark_is_written(tmp_path: Path, rules: LabRules, remark: str, extra: str) -> None:
    path = tmp_path / "table.csv"
    secret = "Xanthippe"
    cells = ["HB-1", secret, "04.05.2023", "Serum", "Kalium", f"4,1 {secret}{extra}", "mmol/l", "", f"{remark}{secret}"]
    good = ["HB-1", secret, "04.05.2023", "Serum", "Natrium", "141", "mmol/l", secret, f"{secret} {remark}"]
    lines = [HEADER, *(";".join(cell.replace(";", "").replace('"', "") for cell in row) for row in (cells, good))]
    path.write_text("\n".join(" ".join(line.split()) for line in lines), encoding="utf-8", errors="replace")
    delivery = read_table(path, rules, lambda _: SubjectRef(label="sub-AAAAAAA1", days=0))
    written = write_delivery(delivery, tmp_path / "out")
    assert [m.analyte for m in delivery.measurements] == ["sodium"]
    assert not any(secret in path.read_text(encoding="utf-8") for path in written)


@pytest.mark.parametrize("cell", ['"offen', '"zu" viel', '5" lang'])
def test_a_stray_quotation_mark_swallows_no_rows(tmp_path: Path, rules: LabRules, cell: str) -> None:
    path = tmp_path / "table.csv"
    row = "HB-1;X;04.05.2023;Serum;{};2,1;mmol/l;;{}"
    lines = [HEADER, row.format("Kalium", cell), row.format("Calcium", ""), row.format("Magnesium", "")]
    path.write_text("\n".join(lines), encoding="utf-8")
    delivery = read_table(path, rules, lambda _: SubjectRef(label="sub-AAAAAAA1", days=0))
    assert len(delivery.measurements) == 3
