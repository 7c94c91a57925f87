"""The certificate says what was done; an option that is off leaves its values out of every paper."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.pipeline.scans import write_series
from tests.pipeline.site import Site


def certificate(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((site.sessions()[0] / "certificate.json").read_text(encoding="utf-8"))
    return found


def change_rules(site: Site, old: str, new: str) -> None:
    path = site.folder / "crawler_config" / "deidentification.yml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_certificate_names_rules_options_checks_and_tools(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study")
    site.take_in(tmp_path / "study")
    said = certificate(site)
    done = said["Deidentification"]
    assert done["RulesVersion"] == "1"
    assert re.fullmatch(r"[0-9a-f]{64}", done["RulesDigest"])
    assert done["Codes"] == ["113100", "113105", "113107", "113108", "113111"]
    assert done["Options"]["device_identity"] is False
    assert done["Instances"] == 4
    assert said["Fidelity"] == {"Mode": "all", "Series": {"equal": 1}}
    assert said["LeakAudit"]["Hits"] == 0
    assert said["LeakAudit"]["Kinds"]["name"] >= 1
    assert {"bids_terms", "dicom_keywords", "equipment", "responsible", "words"} <= set(said["LeakAudit"]["Exempted"])
    assert {"dcm2niix", "heartbrain-ingest", "pydicom"} <= set(said["Tools"])


def test_a_sampled_fidelity_check_says_so(site: Site, tmp_path: Path) -> None:
    settings = site.folder / "heartbrain.yml"
    text = settings.read_text(encoding="utf-8").replace("fidelity: all", "fidelity: sample")
    settings.write_text(text.replace("fidelity_one_in: 5", "fidelity_one_in: 2"), encoding="utf-8")
    for series in (2, 3, 4):
        write_series(tmp_path / "study", series=series)
    site.take_in(tmp_path / "study")
    assert certificate(site)["Fidelity"] == {"Mode": "sample: one series in 2", "Series": {"equal": 2, "off": 1}}


def test_without_its_option_no_date_stands_in_a_name_and_no_age_in_a_paper(site: Site, tmp_path: Path) -> None:
    change_rules(site, "modified_dates: true", "modified_dates: false")
    change_rules(site, "patient_characteristics: true", "patient_characteristics: false")
    write_series(tmp_path / "study", PatientAge="034Y", PatientSex="F", PatientWeight="61")
    site.take_in(tmp_path / "study")
    (session,) = site.sessions()
    assert session.name.startswith("1900-01-01_")
    assert session.name.endswith("_ses-undated")
    facts = json.loads((session / "session.json").read_text(encoding="utf-8"))
    assert (facts["Date"], facts["Age"], facts["Sex"]) == (None, None, None)
    sidecars = "".join(path.read_text(encoding="utf-8") for path in session.rglob("*.json"))
    assert "PatientWeight" not in sidecars
    assert "AcquisitionDateTime" not in sidecars
    assert certificate(site)["Deidentification"]["Codes"] == ["113100", "113105", "113111"]
