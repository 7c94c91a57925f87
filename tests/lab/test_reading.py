from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from heartbrain_ingest.lab import LabDelivery, LabRules, LabTableError, Refusal, SubjectRef, is_lab_table, read_table

Read = Callable[..., LabDelivery]
HEADER = "Patienten-ID;Nachname;Datum;Material;Analyt;Wert;Einheit;Bemerkung"


def codes(delivery: LabDelivery) -> list[tuple[int, int, str]]:
    return [(refusal.row, refusal.column, refusal.code) for refusal in delivery.refused]


def test_a_german_row_becomes_a_measurement_under_the_pseudonym_on_the_shifted_day(read_csv: Read) -> None:
    delivery = read_csv(HEADER, "HB-1;Lovelace;04.05.2023;Serum;Kreatinin;1,32;mg/dl;")
    (value,) = delivery.measurements
    assert (value.subject, value.day) == ("sub-AAAAAAA1", dt.date(2023, 1, 24))
    assert (value.analyte, value.loinc, value.material) == ("creatinine", "2160-0", "serum")
    assert (value.value, value.unit) == (1.32, "mg/dL")
    assert (value.low, value.high, value.flag) == (0.7, 1.2, "H")
    assert (value.original_value, value.original_unit) == ("1,32", "mg/dL")
    assert delivery.refused == ()


@pytest.mark.parametrize(
    ("analyte", "material", "value", "unit", "standard", "standard_unit"),
    [
        ("Creatinine", "serum", "88.4017", "µmol/l", 1.0, "mg/dL"),
        ("Creatinine", "serum", "88.4017", "umol/L", 1.0, "mg/dL"),
        ("Glucose", "plasma", "5.5", "mmol/L", 99.0858, "mg/dL"),
        ("Hemoglobin", "blood", "149", "g/l", 14.9, "g/dL"),
        ("WBC", "blood", "6.1", "/nl", 6.1, "10*9/L"),
        ("RBC", "blood", "4.7", "Mio/µl", 4.7, "10*12/L"),
        ("ALT", "serum", "0.5", "µkat/l", 30.0, "U/L"),
        ("Hct", "blood", "0.45", "l/l", 45.0, "%"),
        ("TSH", "serum", "1.5", "µU/ml", 1.5, "m[IU]/L"),
        ("HbA1c", "blood", "5.5", "%", 5.5, "%"),
        ("HbA1c", "blood", "37", "mmol/mol", 37.0, "mmol/mol"),
        ("Protein", "urine", "0.07", "g/L", 7.0, "mg/dL"),
        ("pH", "urine", "6.5", "", 6.5, "1"),
    ],
)
def test_values_are_converted_to_the_standard_unit(
    read_csv: Read, analyte: str, material: str, value: str, unit: str, standard: float, standard_unit: str
) -> None:
    delivery = read_csv(
        "PatientID,Date,Material,Analyte,Value,Unit", f"HB-1,2023-05-04,{material},{analyte},{value},{unit}"
    )
    (measurement,) = delivery.measurements
    assert measurement.value == pytest.approx(standard, rel=1e-5)
    assert measurement.unit == standard_unit
    assert measurement.original_value == value


def test_per_cent_and_mmol_per_mol_of_hba1c_are_two_codes_and_never_converted_into_each_other(read_csv: Read) -> None:
    rows = ("HB-1;A;04.05.2023;Blut;HbA1c;5,5;%;", "HB-1;A;04.05.2023;Blut;HbA1c;37;mmol/mol;")
    delivery = read_csv(HEADER, *rows)
    assert {(m.analyte, m.loinc): m.value for m in delivery.measurements} == {
        ("hba1c", "4548-4"): 5.5,
        ("hba1c_ifcc", "59261-8"): 37.0,
    }


@pytest.mark.parametrize(
    ("text", "value", "qualifier", "flag"),
    [
        ("<0,3", 0.3, "<", "N"),
        ("> 400", 400, ">", "H"),
        (">=2,5", 2.5, ">=", ""),
        ("≤0,6", 0.6, "<=", "N"),
        ("n.d.", None, "not-detected", ""),
        ("hämolytisch", None, "haemolytic", ""),
        ("0", 0, "", "N"),
        ("7,1 mg/l", 7.1, "", "H"),
    ],
)
def test_limits_and_marks_are_kept_as_qualifiers(
    read_csv: Read, text: str, value: float | None, qualifier: str, flag: str
) -> None:
    unit = "" if "mg/l" in text else "mg/l"
    delivery = read_csv(HEADER, f"HB-1;A;04.05.2023;Serum;CRP;{text};{unit};", "HB-2;B;04.05.2023;Serum;CRP;1,5;mg/l;")
    measurement = delivery.measurements[0]
    assert (measurement.value, measurement.qualifier, measurement.flag) == (value, qualifier, flag)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("HB-9;A;04.05.2023;Serum;CRP;1,5;mg/l;", "LAB_UNKNOWN_SUBJECT"),
        (";A;04.05.2023;Serum;CRP;1,5;mg/l;", "LAB_UNKNOWN_SUBJECT"),
        ("HB-1;A;04.05.2023;Serum;Einhornhaar;1,5;mg/l;", "LAB_UNKNOWN_ANALYTE"),
        ("HB-1;A;04.05.2023;Speichel;CRP;1,5;mg/l;", "LAB_UNKNOWN_MATERIAL"),
        ("HB-1;A;04.05.2023;Urin;CRP;1,5;mg/l;", "LAB_UNKNOWN_MATERIAL"),
        ("HB-1;A;04.05.2023;;CRP;1,5;mg/l;", "LAB_UNKNOWN_MATERIAL"),
        ("HB-1;A;04.05.2023;Serum;CRP;1,5;Stück;", "LAB_UNKNOWN_UNIT"),
        ("HB-1;A;04.05.2023;Serum;CRP;1,5;;", "LAB_UNKNOWN_UNIT"),
        ("HB-1;A;04.05.2023;Serum;CRP;1,5;s;", "LAB_UNKNOWN_UNIT"),
        ("HB-1;A;04.05.2023;Serum;CRP;1,5;mmol/l;", "LAB_UNKNOWN_UNIT"),
        ("HB-1;A;04.05.2023;Blut;HbA1c;5,5;g/l;", "LAB_UNKNOWN_UNIT"),
        ("HB-1;A;04.05.2023;Serum;CRP;siehe Anlage;mg/l;", "LAB_INVALID_VALUE"),
        ("HB-1;A;04.05.2023;Serum;CRP;1,5 Frau Meier;mg/l;", "LAB_INVALID_VALUE"),
        ("HB-1;A;04.05.2023;Serum;CRP;-1,5;mg/l;", "LAB_IMPOSSIBLE_VALUE"),
        ("HB-1;A;04.05.2023;Serum;Kalium;42,5;mmol/l;", "LAB_IMPOSSIBLE_VALUE"),
        ("HB-1;A;31.02.2023;Serum;CRP;1,5;mg/l;", "LAB_INVALID_DATE"),
        ("HB-1;A;;Serum;CRP;1,5;mg/l;", "LAB_INVALID_DATE"),
    ],
)
def test_a_bad_row_is_refused_by_its_number_and_a_code_and_the_rest_goes_in(
    read_csv: Read, row: str, code: str
) -> None:
    delivery = read_csv(HEADER, row, "HB-2;B;04.05.2023;Serum;Natrium;140,5;mmol/l;")
    assert codes(delivery) == [(2, 0, code)]
    assert [m.analyte for m in delivery.measurements] == ["sodium"]


def test_one_separator_before_three_digits_is_refused_unless_the_table_tells_the_decimal_sign(read_csv: Read) -> None:
    ambiguous = "HB-1;A;04.05.2023;Serum;Ferritin;1,234;ng/ml;"
    assert codes(read_csv(HEADER, ambiguous)) == [(2, 0, "LAB_AMBIGUOUS_NUMBER")]
    comma = read_csv(HEADER, ambiguous, "HB-2;A;04.05.2023;Serum;CRP;1,5;mg/l;")
    assert comma.measurements[0].value == 1.234
    point = read_csv(HEADER, ambiguous, "HB-2;A;04.05.2023;Serum;CRP;1.5;mg/l;")
    assert point.measurements[0].value == 1234
    both = read_csv(HEADER, "HB-1;A;04.05.2023;Serum;Ferritin;1.234,5;ng/ml;")
    assert both.measurements[0].value == 1234.5


def test_a_free_remark_is_dropped_and_a_known_one_becomes_a_code(read_csv: Read) -> None:
    delivery = read_csv(HEADER, "HB-1;A;04.05.2023;Serum;Kalium;4,5;mmol/l;leicht hämolytisch, Frau Meier informiert")
    assert delivery.measurements[0].comments == ("haemolytic",)


def test_equal_rows_are_kept_once_and_contradicting_ones_not_at_all(read_csv: Read) -> None:
    row = "HB-1;A;04.05.2023;Serum;Kalium;4,5;mmol/l;"
    assert codes(read_csv(HEADER, row, row)) == [(3, 0, "LAB_DUPLICATE")]
    delivery = read_csv(
        HEADER, row, "HB-1;A;04.05.2023;Serum;Kalium;5,4;mmol/l;", "HB-1;A;05.05.2023;Serum;Kalium;4,9;mmol/l;"
    )
    assert codes(delivery) == [(2, 0, "LAB_CONTRADICTION"), (3, 0, "LAB_CONTRADICTION")]
    assert [m.value for m in delivery.measurements] == [4.9]


def test_the_order_of_the_rows_does_not_change_the_delivery(read_csv: Read) -> None:
    rows = [f"HB-{n};A;0{d}.05.2023;Serum;Kalium;4,{n}{d};mmol/l;" for n in (1, 2) for d in (4, 5)]
    assert read_csv(HEADER, *rows).measurements == read_csv(HEADER, *reversed(rows)).measurements


def test_a_wide_table_takes_analyte_unit_and_material_from_its_headers(read_csv: Read) -> None:
    delivery = read_csv(
        "Patient ID;Last name;Sampled at;Sex;blood Creatinine [umol/L];CRP serum (mg/L);Urin-Kreatinin / mmol/l;Lucky",
        "HB-2;Lovelace;2023-05-04 08:15;female;81.5;<0.3;11.5;7",
        "HB-1;Hopper;2023-05-05 08:15;male;;1.5;;8",
    )
    assert [(m.subject[-1], m.material, m.analyte, m.qualifier, m.time) for m in delivery.measurements] == [
        ("1", "serum", "crp", "", dt.time(8, 15)),
        ("2", "blood", "creatinine", "", dt.time(8, 15)),
        ("2", "serum", "crp", "<", dt.time(8, 15)),
        ("2", "urine", "creatinine", "", dt.time(8, 15)),
    ]
    assert delivery.measurements[1].high == 0.9
    assert codes(delivery) == [(1, 8, "LAB_UNKNOWN_ANALYTE")]


def test_a_material_in_the_name_of_the_analyte_counts_where_no_column_names_one(read_csv: Read) -> None:
    rows = [f"HB-1;04.05.2023;{name};12,5;mg/l" for name in ("Albumin im Urin", "Urin-Eiweiß")]
    delivery = read_csv("PatientID;Datum;Parameter;Ergebnis;Einheit", *rows)
    assert [(m.analyte, m.material) for m in delivery.measurements] == [("albumin", "urine"), ("protein", "urine")]


def test_a_workbook_is_read_sheet_by_sheet_with_the_material_of_its_name(read_xlsx: Read) -> None:
    header: tuple[list[str], ...] = (
        ["Befundübersicht"],
        [],
        ["Name", "PatientID", "Entnahmezeit", "Parameter", "Ergebnis", "Einheit", "Normbereich"],
    )
    moment = dt.datetime(2023, 5, 4, 8, 15)  # noqa: DTZ001 - a spreadsheet has no zone
    delivery = read_xlsx(
        Blut=[*header, ["Lovelace", 4711, moment, "Natrium", 140, "mmol/l", "136 - 145"]],
        Urin=[*header, ["Lovelace", 4711, "04.05.2023 08:20", "Albumin", "<3,0", "mg/l", "<20"]],
        Hinweise=[["Alle Werte vorläufig"]],
    )
    blood, urine = delivery.measurements
    assert (blood.material, blood.value, blood.original_value, blood.time) == ("blood", 140, "140", dt.time(8, 15))
    assert (blood.low, blood.high) == (136, 145)
    assert (urine.material, urine.value, urine.qualifier, urine.high) == ("urine", 3, "<", 20)
    assert urine.sample == "sub-CCCCCCC3_20230504T0820_urine"
    assert (blood.day, urine.day) == (dt.date(2023, 5, 4), dt.date(2023, 5, 4))


def test_a_row_of_a_workbook_is_counted_as_the_spreadsheet_counts(read_xlsx: Read) -> None:
    header = [["Titel"], ["PatientID", "Datum", "Parameter", "Ergebnis", "Einheit"], []]
    delivery = read_xlsx(Blut=header, Serum=[*header, ["HB-9", "04.05.2023", "CRP", 1.5, "mg/l"]])
    assert delivery.refused == (Refusal(sheet=2, row=4, code="LAB_UNKNOWN_SUBJECT"),)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_text_tables_are_read_in_the_encodings_that_laboratories_use(read_csv: Read, encoding: str) -> None:
    delivery = read_csv(HEADER, "HB-1;Größe;04.05.2023;Serum;Harnsäure;300;µmol/l;", encoding=encoding)
    assert delivery.measurements[0].value == pytest.approx(5.0433)


@pytest.mark.parametrize(("text", "name"), [("a;b;c\n1;2;3\n", "x.csv"), ("", "x.csv"), ("PK\x03\x04junk", "x.xlsx")])
def test_a_file_without_a_known_header_is_refused_as_a_whole(
    tmp_path: Path, rules: LabRules, text: str, name: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(LabTableError) as caught:
        read_table(path, rules, lambda _: None)
    assert caught.value.code == "LAB_UNREADABLE"


def test_a_damaged_workbook_is_refused_and_raises_nothing_else(tmp_path: Path, rules: LabRules) -> None:
    book = openpyxl.Workbook()
    book.worksheets[0].append(["PatientID", "Datum", "Parameter", "Ergebnis"])
    whole = tmp_path / "whole.xlsx"
    book.save(whole)
    content = whole.read_bytes()
    damaged = tmp_path / "damaged.xlsx"
    refused = 0
    for place in range(0, len(content), 97):
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            read_table(damaged, rules, lambda _: None)
        except LabTableError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", "Patienten-ID;Analyt;Wert\n1;2;3\n", True),
        ("a.tsv", "subject\tanalyte\tvalue\n", True),
        ("a.csv", "1;2;3\n4;5;6\n", False),
        ("a.txt", "Dear colleague\n", False),
        ("a.bval", "Patienten-ID;Analyt;Wert\n", False),
        ("a.xlsx", "no workbook", False),
    ],
)
def test_tables_are_told_from_other_files(tmp_path: Path, name: str, text: str, expected: bool) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert is_lab_table(path) is expected


def test_the_sex_in_the_table_chooses_the_range_before_that_of_the_key_file(tmp_path: Path, rules: LabRules) -> None:
    path = tmp_path / "a.csv"
    path.write_text("PatientID,Date,Sex,Material,Analyte,Value,Unit\nX,2023-05-04,w,serum,CREA,1.0,mg/dL\n")
    male = SubjectRef(label="sub-DDDDDDD4", days=0, sex="M")
    assert read_table(path, rules, lambda _: male).measurements[0].flag == "H"
