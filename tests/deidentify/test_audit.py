from __future__ import annotations

import gzip
import json
import pickle
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from heartbrain_ingest import dicom
from heartbrain_ingest.deidentify import (
    Deidentifier,
    IdentifierCollector,
    Identifiers,
    LeakAudit,
    Rules,
)
from heartbrain_ingest.deidentify.identifiers import Kind
from tests.deidentify.conftest import SUBJECT, as_file, make_header, nested


@pytest.fixture
def identifiers() -> Identifiers:
    collector = IdentifierCollector()
    collector.add(dicom.read(as_file(make_header())))
    return collector.identifiers


@pytest.fixture
def audit(identifiers: Identifiers, rules: Rules) -> LeakAudit:
    return LeakAudit(identifiers, rules.exemptions)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("seen by WATSON today", Kind.NAME),
        ("Irene-Adler", Kind.NAME),
        ("taken 2021-07-15", Kind.DATE),
        ("born on 30.10.1928", Kind.DATE),
        ("MR20210715140135", Kind.DATE),
        ("hb-48151623", Kind.PATIENT),
        ("at Universitätsmedizin Fallersleben", Kind.PLACE),
        ("file 1.3.12.2.1107.5.2.43.67060.202107151402279031405802.dcm", Kind.UID),
        ("serial 67060.", Kind.DEVICE),
    ],
)
def test_an_identifier_is_found_in_any_form(audit: LeakAudit, text: str, kind: Kind) -> None:
    assert kind in {leak.kind for leak in audit.scan_text(text)}


@pytest.mark.parametrize(
    "text",
    ["Madlers", "ireneb", "120210715", "0.67060", "67060.5", "sub-K7Q2ABCD_T1w", "siemens", "university", "John's"[4:]],
)
def test_parts_of_words_and_numbers_are_no_leak(audit: LeakAudit, text: str) -> None:
    assert audit.scan_text(text) == []


def test_keys_of_json_are_exempt_and_values_are_not(audit: LeakAudit, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps({"Watson": 1, "Comment": ["none", {"By": "Watson"}], "EchoTime": 67060}), encoding="ascii"
    )
    leaks = audit.scan_file(path)
    assert [(leak.place, leak.kind) for leak in leaks] == [("a.json: Comment", Kind.NAME)]


def test_numbers_of_an_array_are_no_text_and_its_header_is(audit: LeakAudit, tmp_path: Path) -> None:
    samples = np.frombuffer(b" Watson " * 100, dtype="<i2")
    np.save(tmp_path / "a.npy", samples)
    np.save(tmp_path / "b.npy", np.zeros(3, dtype=[("Watson", "<f8")]))
    assert audit.scan_file(tmp_path / "a.npy") == []
    assert [leak.place for leak in audit.scan_file(tmp_path / "b.npy")] == ["b.npy: NumPy header"]


def test_a_leak_tells_the_place_and_never_the_value(audit: LeakAudit, tmp_path: Path) -> None:
    folder = tmp_path / "sub-Adler"
    folder.mkdir()
    (folder / "irene.txt").write_text("one\nIrene Adler\n", encoding="ascii")
    leaks = audit.scan_tree(tmp_path)
    assert {leak.place for leak in leaks} == {
        "sub-*****: name",
        "sub-*****/*****.txt: name",
        "sub-*****/*****.txt: line 2",
    }
    assert not any(secret in repr(leaks).lower() for secret in ("adler", "irene"))


def test_leaks_are_found_inside_packed_files(audit: LeakAudit, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.tsv.gz", "wt") as stream:
        stream.write("0.1\t0.2\nAdler\t1\n")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("0001.dcm", as_file(make_header()))
        archive.writestr("Adler.txt", "nothing")
    places = {leak.place for leak in audit.scan_tree(tmp_path)}
    assert "a.tsv.gz: line 2" in places
    assert "b.zip: *****.txt: name" in places
    assert "b.zip: 0001.dcm: (0010,0010)" in places


def test_measured_numbers_of_a_table_are_no_leak(audit: LeakAudit, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("time\tvalue\n67060\t1.5\n", encoding="ascii")
    assert audit.scan_tree(tmp_path) == []


def test_a_nifti_header_is_searched_and_its_voxels_are_not(audit: LeakAudit, tmp_path: Path) -> None:
    header = bytearray(352)
    header[0:4] = (348).to_bytes(4, "little")
    header[108:112] = b"\x00\x00\xb0\x43"  # vox_offset 352.0
    header[148:153] = b"Adler"
    with gzip.open(tmp_path / "a.nii.gz", "wb") as stream:
        stream.write(header)
    (tmp_path / "b.nii").write_bytes(bytes(header[:148]) + bytes(204) + b" Adler ")
    assert [leak.place for leak in audit.scan_tree(tmp_path)] == ["a.nii.gz: NIfTI header"]


def test_a_deidentified_header_has_no_leak(
    audit: LeakAudit, identifiers: Identifiers, deidentifier: Deidentifier, tmp_path: Path
) -> None:
    file = dicom.read(as_file(make_header()))
    (tmp_path / "in.dcm").write_bytes(as_file(make_header()))
    assert len(audit.scan_tree(tmp_path)) > 10
    (tmp_path / "in.dcm").unlink()
    (tmp_path / "out.dcm").write_bytes(deidentifier.deidentify(file, SUBJECT, identifiers))
    assert audit.scan_tree(tmp_path) == []


def test_words_of_the_standards_are_passed_over_and_counted(rules: Rules) -> None:
    identifiers = Identifiers(
        frozenset({(Kind.NAME, "SliceTiming^dcm2niix"), (Kind.NAME, "Galan^Eva")}), frozenset({"galan"})
    )
    audit = LeakAudit(identifiers, rules.exemptions)
    assert audit.scan_text("SliceTiming by dcm2niix on a Galan 3T") == []
    assert audit.exempted == {"bids_terms": 1, "dicom_keywords": 0, "equipment": 1, "words": 1}


def test_the_configured_person_in_charge_is_no_leak(identifiers: Identifiers, rules: Rules) -> None:
    exemptions = rules.exemptions.with_words("responsible", ["John Watson"])
    audit = LeakAudit(identifiers, exemptions)
    assert audit.scan_text("responsible: John Watson") == []
    assert audit.exempted["responsible"] == 2


def test_identifiers_travel_to_other_processes(identifiers: Identifiers, rules: Rules) -> None:
    assert pickle.loads(pickle.dumps(identifiers)) == identifiers  # noqa: S301
    assert pickle.loads(pickle.dumps(rules)).digest == rules.digest  # noqa: S301


def test_a_short_number_of_a_patient_is_no_leak_among_measured_values(rules: Rules, tmp_path: Path) -> None:
    identifiers = Identifiers(frozenset({(Kind.PATIENT, "1000"), (Kind.PATIENT, "20240001")}))
    audit = LeakAudit(identifiers, rules.exemptions)
    path = tmp_path / "a.dcm"
    path.write_bytes(as_file(make_header(RepetitionTime=1000, SeriesNumber=20240001, SeriesDescription="t1 1000 sag")))
    assert {leak.place for leak in audit.scan_file(path)} == {"a.dcm: (0008,103E)", "a.dcm: (0020,0011)"}
    header = make_header(RepetitionTime=1000)
    header.SourceImageSequence = nested("ReferencedImageSequence", make_header(SliceThickness=1000))
    path.write_bytes(as_file(header))
    assert audit.scan_file(path) == []
    header.SourceImageSequence[0].ReferencedImageSequence[0].SeriesDescription = "1000"
    path.write_bytes(as_file(header))
    assert [leak.place for leak in audit.scan_file(path)] == ["a.dcm: (0008,2112)"]


def test_what_a_parser_passes_over_is_searched_as_well(audit: LeakAudit, tmp_path: Path) -> None:
    name = b"\x10\x00\x10\x00PN\x0c\x00"
    data = as_file(make_header(PatientName="sub-K7Q2ABCD"))
    start = data.index(name)
    doubled = data[:start] + name + b"Adler^Irene " + data[start:]
    path = tmp_path / "a.dcm"
    path.write_bytes(doubled)
    assert "a.dcm: (0010,0010)" in {leak.place for leak in audit.scan_file(path)}
    path.write_bytes(data)
    assert "a.dcm: (0010,0010)" not in {leak.place for leak in audit.scan_file(path)}


def test_a_line_of_a_table_that_holds_a_name_is_found_among_many_numbers(audit: LeakAudit, tmp_path: Path) -> None:
    lines = ["67060\t1.5"] * 1000
    lines[700] = "n/a\tseen by Watson"
    (tmp_path / "a.tsv").write_text("\n".join(lines), encoding="ascii")
    assert [leak.place for leak in audit.scan_tree(tmp_path)] == ["a.tsv: line 701"]


def test_letters_that_json_writes_as_escapes_hide_no_name(rules: Rules, tmp_path: Path) -> None:
    audit = LeakAudit(Identifiers(frozenset({(Kind.NAME, "Müller^Änne")})), rules.exemptions)
    (tmp_path / "a.json").write_text(json.dumps({"By": "Änne"}, ensure_ascii=True), encoding="ascii")
    assert [leak.place for leak in audit.scan_tree(tmp_path)] == ["a.json: By"]


def test_the_packed_pixels_of_a_picture_are_no_text_but_all_else_of_it_is(audit: LeakAudit, tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"IDAT", b"\0 WATSON \0")
    picture = tmp_path / "T1w_planes.png"
    picture.write_bytes(start + chunk(b"IEND", b""))
    assert audit.scan_file(picture) == []
    picture.write_bytes(start + chunk(b"tEXt", b"Author\0WATSON") + chunk(b"IEND", b""))
    assert [(leak.place, leak.kind) for leak in audit.scan_file(picture)] == [("T1w_planes.png: tEXt", Kind.NAME)]
    picture.write_bytes(start + chunk(b"IEND", b"") + b"\0\0\0\0 WATSON \0")
    assert audit.scan_file(picture) != []
