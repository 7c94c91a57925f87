from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from heartbrain_ingest.errors import RulesError
from heartbrain_ingest.issues import ISSUES
from heartbrain_ingest.lab import LabDelivery, LabRules, load_rules, write_delivery
from heartbrain_ingest.lab.units import convert
from heartbrain_ingest.lab.values import CellError

Read = Callable[..., LabDelivery]
TABLE = (
    "Patienten-ID;Nachname;Vorname;Geburtsdatum;Abnahmedatum;Uhrzeit;Material;Analyt;Wert;Einheit;Kommentar",
    "HB-1;Lovelace;Ada;10.12.1815;04.05.2023;08:15;Serum;Kreatinin;0,94;mg/dl;Dr. Babbage fragen",
    "HB-2;Hopper;Grace;09.12.1906;04.05.2023;08:20;Serum;CRP;<0,3;mg/l;nüchtern",
    "HB-9;Turing;Alan;23.06.1912;04.05.2023;08:25;Serum;CRP;1,3;mg/l;",
    "HB-2;Hopper;Grace;09.12.1906;04.05.2023;08:20;Serum;Natrium;Hopper;mmol/l;",
)


def test_a_delivery_is_one_table_with_described_columns_and_a_list_of_refused_rows(
    read_csv: Read, tmp_path: Path
) -> None:
    table, columns, refused = write_delivery(read_csv(*TABLE), tmp_path / "delivery")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["SubjectLabel"] for row in rows] == ["sub-AAAAAAA1", "sub-BBBBBBB2"]
    assert (rows[0]["CollectionDate"], rows[0]["CollectionTime"]) == ("2023-01-24", "08:15:00")
    assert (rows[1]["CollectionDate"], rows[1]["Qualifier"], rows[1]["MeasuredValue"]) == ("2023-05-11", "<", "0.3")
    assert rows[1]["LaboratoryComment"] == "fasting"
    assert list(json.loads(columns.read_text())) == list(rows[0])
    with refused.open(newline="") as file:
        refusals = [(row["Row"], row["Code"]) for row in csv.DictReader(file, delimiter="\t")]
    assert refusals == [("4", "LAB_UNKNOWN_SUBJECT"), ("5", "LAB_INVALID_VALUE")]


def test_nothing_that_identifies_is_written(read_csv: Read, tmp_path: Path) -> None:
    written = b"".join(path.read_bytes() for path in write_delivery(read_csv(*TABLE), tmp_path / "delivery"))
    for secret in ("HB-", "Lovelace", "Ada", "Hopper", "Turing", "Babbage", "1815", "1906", "2023-05-04", "04.05.2023"):
        assert secret.encode() not in written


def test_writing_twice_gives_the_same_bytes(read_csv: Read, tmp_path: Path) -> None:
    first = write_delivery(read_csv(*TABLE), tmp_path / "a")
    second = write_delivery(read_csv(TABLE[0], *reversed(TABLE[1:3]), *TABLE[3:]), tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_every_unit_of_the_rules_is_one_that_pint_knows(rules: LabRules) -> None:
    for code in rules.units:
        try:
            convert(1.0, code, "mg/dL", 100.0, rules)
        except CellError as error:
            assert error.code == "LAB_UNKNOWN_UNIT"  # noqa: PT017 - another dimension is right, an unknown word is not


def test_every_loinc_code_of_the_rules_has_the_right_check_digit(rules: LabRules) -> None:
    for analyte in rules.analytes.values():
        for method in analyte.methods:
            digits, check = method.loinc.split("-")
            doubled = [int(d) * 2 if place % 2 == 0 else int(d) for place, d in enumerate(reversed(digits))]
            assert (10 - sum(n // 10 + n % 10 for n in doubled) % 10) % 10 == int(check), method.loinc


def test_every_code_of_a_laboratory_is_in_the_catalogue() -> None:
    assert {code for code in ISSUES if code.startswith("LAB_")} >= {"LAB_UNREADABLE", "LAB_DUPLICATE"}


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("surprise",), 1, "surprise"),
        (("analytes", "crp", "colour"), "red", "analytes.crp.colour"),
        (("analytes", "crp", "methods", 0, "unit"), "furlong", "furlong"),
        (("analytes", "crp", "methods", 0, "loinc"), "12", "loinc"),
        (("analytes", "crp", "names"), ["CRP", "LDL"], "LDL"),
        (("columns", "nurse"), ["Nurse"], "columns.nurse"),
    ],
)
def test_unknown_keys_and_names_with_two_meanings_are_refused_by_name(
    project_root: Path, tmp_path: Path, place: tuple[str | int, ...], value: object, named: str
) -> None:
    content = yaml.safe_load((project_root / "crawler_config" / "lab.yml").read_text())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    changed = tmp_path / "lab.yml"
    changed.write_text(yaml.safe_dump(content, allow_unicode=True))
    with pytest.raises(RulesError, match=named):
        load_rules(changed)


def test_a_new_analyte_needs_no_python(project_root: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((project_root / "crawler_config" / "lab.yml").read_text())
    method = {"materials": ["serum"], "loinc": "13965-9", "unit": "umol/L", "possible": [0.5, 500]}
    content["analytes"]["homocysteine"] = {"names": ["Homocystein"], "methods": [method]}
    changed = tmp_path / "lab.yml"
    changed.write_text(yaml.safe_dump(content))
    assert load_rules(changed).analyte_of["homocystein"] == "homocysteine"
