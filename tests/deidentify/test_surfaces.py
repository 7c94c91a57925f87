"""Each kind of identifier is found on each surface that is published, in a form that people write."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from heartbrain_ingest import dicom
from heartbrain_ingest.deidentify import IdentifierCollector, LeakAudit, Rules
from tests.deidentify.conftest import as_file, make_header

KINDS = {
    "name": "seen: adler",
    "parts of a name joined": "IreneAdler",
    "patient ID": "id HB-48151623",
    "accession number": "order ACC-7731902",
    "study date": "on 15.07.2021",
    "study date, American": "on 07/15/2021",
    "study date, ISO": "on 2021-07-15",
    "study date in letters": "15 Jul 2021",
    "birth date": "born 30.10.1928",
    "address": "Serpentine Avenue 4",
    "phone": "49 551 3912345",
    "UID": "of 1.3.12.2.1107.5.2.43.67060.30000021071511110887300000006",
    "staff": "by Hudson",
    "referrer": "for Watson",
    "institution": "at Fallersleben",
    "device": "scanner 67060.",
}


def in_text(folder: Path, text: str, name: str) -> None:
    (folder / name).write_text(f"first line\n{text}\n", encoding="utf-8")


def in_dicom(folder: Path, text: str) -> None:
    clean = make_header(PatientName="sub-A")
    for element in list(clean):
        if element.keyword not in {"SOPClassUID", "SpecificCharacterSet", "Manufacturer"}:
            del clean[element.tag]
    clean.SOPInstanceUID = "2.25.1"
    clean.SeriesDescription = text[:64]
    with zipfile.ZipFile(folder / "series.zip", "w") as archive:
        archive.writestr("00001.dcm", as_file(clean).replace(b"MRC35131", b"ARCHIVE1"))


SURFACES: dict[str, Callable[[Path, str], None]] = {
    "DICOM in its archive": in_dicom,
    "sidecar": lambda folder, text: in_text(folder, json.dumps({"SeriesDescription": text}), "a.json"),
    "table": lambda folder, text: in_text(folder, f"1.5\t{text}", "a.tsv"),
    "file name": lambda folder, text: (folder / f"{text.replace('/', '-')}.bval").touch(),
    "folder name": lambda folder, text: (folder / text.replace("/", "-")).mkdir(),
    "README": lambda folder, text: in_text(folder, f"---\nresponsible: Steward\ndescription: {text}\n---", "README.md"),
    "log": lambda folder, text: in_text(folder, f"12:00:00 INFO {text}", "run.log"),
}


@pytest.fixture(scope="module")
def audit(project_root: Path) -> LeakAudit:
    from heartbrain_ingest.deidentify import load_rules  # noqa: PLC0415 - a fixture of this module's own scope

    rules: Rules = load_rules(project_root / "crawler_config" / "deidentification.yml")
    header = make_header(
        AccessionNumber="ACC-7731902",
        PatientAddress="Serpentine Avenue 4, 38442 Wolfsburg",
        PatientTelephoneNumbers="+49 551 3912345",
    )
    collector = IdentifierCollector()
    collector.add(dicom.read(as_file(header)))
    return LeakAudit(collector.identifiers, rules.exemptions)


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_on_each_surface(audit: LeakAudit, tmp_path: Path, kind: str, surface: str) -> None:
    SURFACES[surface](tmp_path, KINDS[kind])
    leaks = audit.scan_tree(tmp_path)
    assert leaks
    assert not any(word in leak.place.lower() for leak in leaks for word in ("adler", "hudson", "48151623"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_in_a_value_for_the_database(audit: LeakAudit, kind: str) -> None:
    assert audit.scan_value({"Properties": [{"SeriesDescription": KINDS[kind]}]})


@pytest.mark.parametrize("surface", SURFACES)
def test_harmless_words_are_found_nowhere(audit: LeakAudit, tmp_path: Path, surface: str) -> None:
    SURFACES[surface](tmp_path, "t1_mprage sag RepetitionTime 2.3")
    assert audit.scan_tree(tmp_path) == []
