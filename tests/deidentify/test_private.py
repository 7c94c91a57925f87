from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from heartbrain_ingest import dicom
from heartbrain_ingest.deidentify import Deidentifier, IdentifierCollector, Identifiers, Pseudonyms, csa
from heartbrain_ingest.deidentify.cleaning import TextCleaner
from heartbrain_ingest.deidentify.cleaning import clean as clean_text
from heartbrain_ingest.deidentify.identifiers import SHORTEST_TO_CLEAN, Kind
from heartbrain_ingest.deidentify.protocols import clean_ascconv, clean_ge_protocol
from tests.deidentify.conftest import SUBJECT, CleanBytes, as_file, make_header

IDENTIFIERS = Identifiers(frozenset({(Kind.NAME, "Adler^Irene"), (Kind.DATE, "20210715")}))
CLEANER = TextCleaner(IDENTIFIERS.matcher(SHORTEST_TO_CLEAN), str.upper)
PROTOCOL = b"""<XProtocol> { <ParamString."PatientName"> { "Adler^Irene" } }
### ASCCONV BEGIN object=MrProtDataImpl@MrProtocolData version=51130001 converter=%MEASCONST%/a.txt ###
tSequenceFileName\t = \t""%CustomerSeq%\\ep2d_Adler""
tProtocolName\t = \t""t1_mprage""
tReferenceImage0\t = \t""1.3.12.2.1107.5.2.19.45160.2018091812204221515890105""
sProtConsistencyInfo.tBaselineString\t = \t""N4_VE11C_LATEST_20160120""
sWipMemBlock.tFree\t = \t""by Irene""
alTE[0]\t = \t5190
sSpecPara.lFinalMatrixSizePhase\t = \t20210715
sComment\t = \tIrene
### ASCCONV END ###"
<ParamString."PatientID"> { "48151623" }
"""


def csa_header(elements: dict[str, tuple[bytes, list[bytes]]], junk: bytes = b"") -> bytes:
    parts = [b"SV10\x04\x03\x02\x01", struct.pack("<II", len(elements), 77)]
    for name, (vr, values) in elements.items():
        title = (name.encode() + b"\0" + junk)[:64].ljust(64, b"\0")
        parts.append(struct.pack("<64si4siii", title, 1, vr, 0, len(values), 77))
        for value in values:
            length = len(value)
            parts += [struct.pack("<4i", length, length, 77, length), value, bytes(-length % 4)]
    return b"".join(parts) + bytes(4)


def test_elements_on_the_list_stay_and_others_are_emptied() -> None:
    data = csa_header({"B_value": (b"IS", [b"1000\0", b""]), "PatReinPattern": (b"ST", [b"1;HFS;90.00;48.00;3;0;2\0"])})
    cleaned = csa.CsaCleaner({"B_value": "number"}, CLEANER, lambda protocol: protocol).clean(data)
    assert [(e.name, [cleaned[a:b] for a, b in e.items]) for e in csa.elements(cleaned)] == [
        ("B_value", [b"1000\0", b""]),
        ("PatReinPattern", []),
    ]


def test_what_lies_behind_the_end_of_a_name_or_value_is_never_copied() -> None:
    data = csa_header({"ICE_Dims": (b"LO", [b"X_1_1\0Adler"])}, junk=b"Irene Adler 1.3.12.2.1107")
    cleaned = csa.CsaCleaner({"ICE_Dims": "text"}, CLEANER, lambda protocol: protocol).clean(data)
    assert b"Adler" in data
    assert b"Adler" not in cleaned
    assert b"X_1_1\0" in cleaned


def test_a_word_in_place_of_a_number_goes() -> None:
    data = csa_header({"B_value": (b"IS", [b"Moriarty\0"])})
    assert b"Moriarty" not in csa.CsaCleaner({"B_value": "number"}, CLEANER, lambda protocol: protocol).clean(data)


def test_the_first_version_keeps_its_lengths() -> None:
    value = b"Adler 12\0\0\0\0"
    head = struct.pack("<64si4siii", b"Name\0rest", 1, b"LO\0\0", 0, 1, 77)
    data = struct.pack("<II", 1, 77) + head + struct.pack("<4i", len(value) + 1, 0, 77, 0) + value
    cleaned = csa.CsaCleaner({"Name": "text"}, CLEANER, lambda protocol: protocol).clean(data)
    assert len(cleaned) == len(data)
    assert next(iter(csa.elements(cleaned))).name == "Name"
    assert cleaned.endswith(b"12".ljust(len(value), b"\0"))


@pytest.mark.parametrize("cut", [90, 110, 130])
def test_a_damaged_header_is_refused(cut: int) -> None:
    data = csa_header({"B_value": (b"IS", [b"1000\0"] * 6)})
    with pytest.raises(csa.CsaError):
        list(csa.elements(data[:cut]))


def test_a_damaged_csa_header_leaves_nothing_in_the_image(clean_bytes: CleanBytes) -> None:
    header = make_header()
    header.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
    header.add_new(0x00291010, "OB", csa_header({"B_value": (b"IS", [b"1000\0"] * 6)})[:130] + b"Adler^Irene ")
    assert b"Irene" not in clean_bytes(header)


def test_a_protocol_keeps_its_ascconv_part_only_and_clean() -> None:
    strings = frozenset({b"tSequenceFileName", b"tProtocolName", b"sWipMemBlock.tFree"})
    cleaned = clean_ascconv(PROTOCOL, strings, frozenset({b"tBaselineString"}), CLEANER)
    lines = cleaned.split(b"\n")
    assert lines[1] == b"### ASCCONV BEGIN object=MrProtDataImpl@MrProtocolData version=51130001 ###"
    assert b'tSequenceFileName\t = \t""%CustomerSeq%\\ep2d""' in lines
    assert b'tProtocolName\t = \t""t1_mprage""' in lines
    assert b'tReferenceImage0\t = \t""""' in lines
    assert b'sProtConsistencyInfo.tBaselineString\t = \t""N4_VE11C_LATEST_20160120""' in lines
    assert b"alTE[0]\t = \t5190" in lines
    assert not any(secret in cleaned for secret in (b"Irene", b"Adler", b"48151623", b"20210715", b"45160"))


def test_the_uuid_of_a_measurement_is_replaced_once_and_stays_whole(pseudonyms: Pseudonyms) -> None:
    raw = "20190114-1428-4366-bc99-300000190241"
    cleaner = TextCleaner(IDENTIFIERS.matcher(SHORTEST_TO_CLEAN), pseudonyms.uuid)
    cleaned = cleaner.clean(f"{raw}||Sequence: R016 by Irene".encode())
    assert cleaned == f"{pseudonyms.uuid(raw)}||Sequence: R016 by".encode()
    assert pseudonyms.uuid(raw) != raw
    assert cleaner.clean(cleaned) == cleaned


def test_a_text_without_a_protocol_leaves_nothing() -> None:
    assert clean_ascconv(b"Adler^Irene", frozenset(), frozenset(), CLEANER) == b""


def test_a_ge_protocol_block_is_packed_again_without_names_and_time() -> None:
    text = 'SEDESC "Ax DWI Adler"\nNOTES "call Irene"\nVIEWORDER "1"\nNOSLC "2"\n'
    packed = gzip.compress(text.encode(), mtime=1600000000)
    data = struct.pack("<I", len(packed)) + packed
    matcher = IDENTIFIERS.matcher(SHORTEST_TO_CLEAN)
    cleaned = clean_ge_protocol(data, frozenset({"NOTES"}), lambda value: clean_text(value, matcher))
    (length,) = struct.unpack("<I", cleaned[:4])
    assert length == len(cleaned) - 4
    assert cleaned[4:12] == b"\x1f\x8b\x08\x00\0\0\0\0"
    assert gzip.decompress(cleaned[4:]) == b'SEDESC "Ax DWI"\nNOTES ""\nVIEWORDER "1"\nNOSLC "2"\n'


def test_a_ge_protocol_block_that_is_none_is_emptied() -> None:
    assert clean_ge_protocol(b"\x08\0\0\0Adler^Irene", frozenset(), str) == b""


def test_the_patient_of_a_siemens_protocol_is_collected() -> None:
    header = make_header()
    header.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
    header.add_new(
        0x00291020, "OB", b'SV10 <ParamString."PatientName"> { "Norton^Godfrey" } 1.3.12.2.1107.5.2.19.45160.30000018'
    )
    collector = IdentifierCollector()
    collector.add(dicom.read(as_file(header)))
    assert (Kind.NAME, "Norton^Godfrey") in collector.identifiers.values
    assert (Kind.UID, "1.3.12.2.1107.5.2.19.45160.30000018") in collector.identifiers.values


@pytest.mark.shared_data
def test_a_real_csa_header_keeps_what_dcm2niix_reads(shared_data: Path, deidentifier: Deidentifier) -> None:
    path = shared_data / "dicom" / "siemens_skyra_ve11_bold_mosaic_ap" / "dicom" / "epi_pe_ap-00001.dcm"
    cleaned = dicom.read(deidentifier.deidentify(dicom.read(path.read_bytes()), SUBJECT, Identifiers()))
    image = cleaned.value(0x00291010)
    values = {e.name: [image[a:b].rstrip(b"\0 ") for a, b in e.items if a < b] for e in csa.elements(image)}
    assert values["MosaicRefAcqTimes"] == [
        b"0.00000000", b"1450.00000001", b"482.50000001", b"1932.50000001", b"967.50000001"
    ]  # fmt: skip
    assert values["PhaseEncodingDirectionPositive"] == [b"1"]
    series = cleaned.value(0x00291020)
    values = {e.name: [series[a:b].rstrip(b"\0 ") for a, b in e.items if a < b] for e in csa.elements(series)}
    assert values["PatReinPattern"] == []
    assert b"\nsKSpace.lBaseResolution\t = \t72\n" in values["MrPhoenixProtocol"][0]
