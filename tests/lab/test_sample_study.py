from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest

from heartbrain_ingest.lab import LabRules, SubjectRef, is_lab_table, read_table
from heartbrain_ingest.lab.rules import normalise, normalise_unit
from heartbrain_ingest.lab.units import convert


def test_the_tables_of_the_sample_study_give_back_its_truth(
    tmp_path: Path, project_root: Path, rules: LabRules
) -> None:
    subprocess.run([sys.executable, "-m", "sample_data", tmp_path, "--small"], cwd=project_root, check=True)
    truth = json.loads((tmp_path / "truth" / "truth.json").read_text())
    known = {
        subject["patient_id"]: SubjectRef(label=f"sub-{number:08}", days=-30 - number)
        for number, subject in enumerate(truth["subjects"])
    }
    tables = {entry["file"] for entry in truth["laboratory"]}
    assert len(tables) == 2
    for table in tables:
        path = next((tmp_path / "inbox").rglob(table))
        assert is_lab_table(path)
        delivery = read_table(path, rules, known.get)
        entries = [entry for entry in truth["laboratory"] if entry["file"] == table]
        found = {(m.subject, m.day, m.time, m.material, m.analyte): m for m in delivery.measurements}
        for entry in entries:
            if entry["refused"]:
                continue
            subject = known[entry["patient_id"]]
            moment = dt.datetime.fromisoformat(entry["sampled"])
            analyte = rules.analyte_of[normalise(entry["analyte"])]
            day = moment.date() + dt.timedelta(days=subject.days)
            measurement = found.pop((subject.label, day, moment.time(), entry["material"], analyte))
            assert measurement.original_value.lstrip("<>") == entry["text"].lstrip("<>")
            assert measurement.qualifier == (entry["qualifier"] or "")
            unit = rules.unit_of[normalise_unit(entry["unit"])]
            mass = rules.analytes[analyte].molar_mass
            assert measurement.value == pytest.approx(convert(entry["value"], unit, measurement.unit, mass, rules))
        assert found == {}
        refused = sorted(entry["row"] for entry in entries if entry["refused"])
        assert sorted(refusal.row for refusal in delivery.refused) == refused
