from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path

import pytest
import yaml

from heartbrain_ingest.errors import RulesError
from heartbrain_ingest.lab import (
    UNREVIEWED,
    LabDelivery,
    LabRules,
    SubjectRef,
    find_replaced,
    load_rules,
    read_table,
    write_delivery,
)

DAY = dt.date(2023, 5, 4)


def read_one(
    folder: Path, rules: LabRules, value: str, born: dt.date | None, sex: str | None = "M", more: str = ""
) -> LabDelivery:
    path = folder / "table.csv"
    path.write_text(f"PatientID;Date;Material;Analyte;Value;Unit;Reference\nA;2023-05-04;blood;{value};{more}\n")
    subject = SubjectRef(label="sub-AAAAAAA1", days=-40, sex=sex, birth_date=born)
    return read_table(path, rules, lambda _: subject)


@pytest.mark.parametrize(
    ("born", "sex", "high"),
    [
        (dt.date(1973, 5, 5), "M", 15),  # 49 until tomorrow
        (dt.date(1973, 5, 4), "M", 20),  # the 50th birthday
        (dt.date(1973, 5, 4), "F", 30),
        (dt.date(2005, 5, 5), "M", None),  # 17 until tomorrow
        (dt.date(2005, 5, 4), "M", 15),
        (None, "M", None),
        (dt.date(1973, 5, 4), None, None),
    ],
)
def test_the_range_is_that_of_the_sex_and_of_the_age_on_the_day_of_sampling(
    tmp_path: Path, rules: LabRules, born: dt.date | None, sex: str | None, high: float | None
) -> None:
    (measurement,) = read_one(tmp_path, rules, "BSG;18;mm/h", born, sex).measurements
    assert measurement.high == high


@pytest.mark.parametrize(("born", "high"), [(dt.date(2010, 1, 1), None), (dt.date(1960, 1, 1), 5.1), (None, 5.1)])
def test_a_range_for_adults_is_not_used_for_a_child(
    tmp_path: Path, rules: LabRules, born: dt.date | None, high: float | None
) -> None:
    (measurement,) = read_one(tmp_path, rules, "Kalium;5,8;mmol/l", born).measurements
    assert measurement.high == high
    assert measurement.flag == ("H" if high else "")


def test_a_sample_from_before_birth_is_refused(tmp_path: Path, rules: LabRules) -> None:
    delivery = read_one(tmp_path, rules, "Kalium;4,1;mmol/l", dt.date(2023, 5, 5))
    assert [refusal.code for refusal in delivery.refused] == ["LAB_INVALID_DATE"]


def test_a_range_says_whose_it_is(tmp_path: Path, project_root: Path, rules: LabRules) -> None:
    (own,) = read_one(tmp_path, rules, "Kalium;4,1;mmol/l", None).measurements
    (sent,) = read_one(tmp_path, rules, "Kalium;4,1;mmol/l", None, more="3,6-5,0").measurements
    (without,) = read_one(tmp_path, rules, "Kalium;41;mmol/l", None).measurements or (None,)
    assert (own.reference_source, sent.reference_source) == (UNREVIEWED, "laboratory")
    assert (sent.low, sent.high) == (3.6, 5.0)
    assert without is None  # impossible in blood
    content = yaml.safe_load((project_root / "crawler_config" / "lab.yml").read_text(encoding="utf-8"))
    content["analytes"]["potassium"]["reviewed"] = dt.date(2026, 11, 20)
    changed = tmp_path / "lab.yml"
    changed.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    reviewed = load_rules(changed)
    assert read_one(tmp_path, reviewed, "Kalium;4,1;mmol/l", None).measurements[0].reference_source == "lab.yml"
    assert set(rules.unreviewed) - set(reviewed.unreviewed) == {"potassium"}


def test_no_shipped_code_or_range_claims_to_be_reviewed(rules: LabRules) -> None:
    assert set(rules.unreviewed) == set(rules.analytes)
    assert rules.source


def test_reviewed_must_be_a_day(tmp_path: Path, project_root: Path) -> None:
    content = yaml.safe_load((project_root / "crawler_config" / "lab.yml").read_text(encoding="utf-8"))
    content["analytes"]["potassium"]["reviewed"] = True
    changed = tmp_path / "lab.yml"
    changed.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    with pytest.raises(RulesError, match=r"analytes\.potassium\.reviewed"):
        load_rules(changed)


def test_a_birth_date_is_not_shown_when_a_subject_is_printed() -> None:
    assert "1973" not in repr(SubjectRef(label="sub-A", days=0, birth_date=dt.date(1973, 5, 4)))


def test_a_second_table_says_which_values_it_replaces_and_what_they_were(tmp_path: Path, rules: LabRules) -> None:
    first = read_one(tmp_path, rules, "Kalium;4,1;mmol/l", None)
    write_delivery(first, tmp_path / "one")
    assert find_replaced(first, [tmp_path / "one" / "laboratory.tsv"]) == ()
    second = read_one(tmp_path, rules, "Kalium;<3,5;mmol/l", None)
    replaced = find_replaced(second, [tmp_path / "one" / "laboratory.tsv"])
    write_delivery(second, tmp_path / "two", replaced)
    with (tmp_path / "two" / "replaced.tsv").open(newline="") as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    assert (row["Analyte"], row["Value"], row["PreviousValue"], row["PreviousDelivery"]) == (
        "potassium",
        "<3.5",
        "4.1",
        "one",
    )
    third = read_one(tmp_path, rules, "Kalium;4,1;mmol/l", None)
    earlier = [tmp_path / name / "laboratory.tsv" for name in ("one", "two")]
    assert [one.previous for one in find_replaced(third, earlier)] == ["<3.5"]
    assert not (tmp_path / "one" / "replaced.tsv").exists()
