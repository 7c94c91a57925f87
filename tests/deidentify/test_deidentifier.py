from __future__ import annotations

import io
import re

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from heartbrain_ingest import dicom
from heartbrain_ingest.deidentify import (
    Deidentifier,
    IdentifierCollector,
    Identifiers,
    Pseudonyms,
    Rules,
    Subject,
    table,
)
from tests.deidentify.conftest import SUBJECT, Clean, CleanBytes, as_file, make_header, nested

SECRETS = ("Adler", "Irene", "48151623", "Watson", "Hudson", "Fallersleben", "20210715", "15.07.2021", "19281030")


def item(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def parsed(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def test_nothing_that_names_somebody_is_left_in_the_bytes(clean_bytes: CleanBytes) -> None:
    content = clean_bytes(make_header()).decode("latin-1").lower()
    assert [secret for secret in SECRETS if secret.lower() in content] == []
    assert "67060" not in content
    assert "mrc35131" not in content


def test_patient_name_and_id_become_the_subject(clean: Clean) -> None:
    cleaned = clean(make_header())
    assert str(cleaned.PatientName) == cleaned.PatientID == "sub-K7Q2ABCD"


def test_dates_move_by_the_subjects_days_and_times_stay(clean: Clean) -> None:
    cleaned = clean(make_header())
    assert cleaned.StudyDate == "20180227"
    assert cleaned.AcquisitionDateTime == "20180227140135.917500+0200"
    assert cleaned.AcquisitionTime == "140135.917500"
    assert cleaned.LongitudinalTemporalInformationModified == "MODIFIED"


def test_the_interval_between_two_sessions_stays(clean: Clean) -> None:
    first = clean(make_header(StudyDate="20210715")).StudyDate
    second = clean(make_header(StudyDate="20220301")).StudyDate
    days = [int(pydicom.valuerep.DA(date).strftime("%j")) + 365 * int(date[:4]) for date in (first, second)]
    assert days[1] - days[0] == 229


def test_the_birth_date_goes_and_an_age_over_89_is_capped(clean: Clean) -> None:
    cleaned = clean(make_header())
    assert cleaned.PatientBirthDate == ""
    assert cleaned.PatientAge == "090Y"
    assert clean(make_header(PatientAge="034Y")).PatientAge == "034Y"
    assert (cleaned.PatientSex, cleaned.PatientWeight) == ("F", 61)


def test_descriptors_keep_the_words_that_series_are_named_by(clean: Clean) -> None:
    cleaned = clean(make_header())
    assert cleaned.SeriesDescription == "t1_mprage_sag"
    assert cleaned.StudyDescription == "Head^Neuro"
    assert cleaned.ProtocolName == "t1_mprage_sag"


def test_diffusion_values_in_comments_stay(clean: Clean) -> None:
    assert clean(make_header()).ImageComments == "b=2000(0.445,0.000,0.895)"


def test_one_uid_has_one_pseudonym_wherever_it_stands(clean: Clean) -> None:
    header = make_header()
    header.ReferencedImageSequence = Sequence([item(ReferencedSOPInstanceUID=header.SOPInstanceUID)])
    cleaned = clean(header)
    assert re.fullmatch(r"2\.25\.\d+", cleaned.SOPInstanceUID)
    assert cleaned.ReferencedImageSequence[0].ReferencedSOPInstanceUID == cleaned.SOPInstanceUID
    assert cleaned.file_meta.MediaStorageSOPInstanceUID == cleaned.SOPInstanceUID
    assert cleaned.SOPClassUID == header.SOPClassUID


def test_the_serial_number_becomes_a_token_that_tells_scanners_apart(clean: Clean) -> None:
    one, other = (clean(make_header(DeviceSerialNumber=number)).DeviceSerialNumber for number in ("67060", "67061"))
    assert one != other
    assert re.fullmatch("[A-Z0-9]{6}", one)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_rules_hold_in_sequences_at_any_depth(clean: Clean, deidentifier: Deidentifier, syntax: UID) -> None:
    header = make_header()
    inner = item(PatientName="Adler^Irene", ContentDate="20210715", EchoTime=30, OtherPatientIDs="HB-48151623")
    header.SourceImageSequence = nested("ReferencedImageSequence", inner)
    file = dicom.read(as_file(header, syntax))
    collector = IdentifierCollector()
    collector.add(file)
    cleaned = parsed(deidentifier.deidentify(file, SUBJECT, collector.identifiers))
    deep = cleaned.SourceImageSequence[0].ReferencedImageSequence[0]
    assert str(deep.PatientName) == "sub-K7Q2ABCD"
    assert deep.ContentDate == "20180227"
    assert deep.EchoTime == 30
    assert "OtherPatientIDs" not in deep


def test_sequences_of_undefined_length_are_cleaned_too(deidentifier: Deidentifier) -> None:
    header = make_header()
    header.SourceImageSequence = Sequence([item(ContentDate="20210715", EchoTime=30)])
    header["SourceImageSequence"].is_undefined_length = True
    header.SourceImageSequence[0].is_undefined_length_sequence_item = True
    cleaned = parsed(deidentifier.deidentify(dicom.read(as_file(header)), SUBJECT, Identifiers()))
    assert cleaned.SourceImageSequence[0].ContentDate == "20180227"


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_what_is_written_can_be_read_by_pydicom_in_each_encoding(deidentifier: Deidentifier, syntax: UID) -> None:
    file = dicom.read(as_file(make_header(), syntax))
    written = parsed(deidentifier.deidentify(file, SUBJECT, Identifiers()))
    assert written.file_meta.TransferSyntaxUID == syntax
    assert written.RepetitionTime == 400
    assert written.DeidentificationMethodCodeSequence[0].CodeMeaning == "Basic Application Confidentiality Profile"


def test_the_same_input_gives_the_same_bytes(deidentifier: Deidentifier, rules: Rules, pseudonyms: Pseudonyms) -> None:
    file = dicom.read(as_file(make_header()))
    first = deidentifier.deidentify(file, SUBJECT, Identifiers())
    assert first[:132] == b"\0" * 128 + b"DICM"
    assert deidentifier.deidentify(file, SUBJECT, Identifiers()) == first  # from memory
    assert Deidentifier(rules, pseudonyms).deidentify(file, SUBJECT, Identifiers()) == first


def test_the_method_is_stamped_beside_earlier_ones(clean: Clean) -> None:
    header = make_header(DeidentificationMethod="DICOMANON")
    header.DeidentificationMethodCodeSequence = Sequence(
        [
            item(
                CodeValue="113106",
                CodingSchemeDesignator="DCM",
                CodeMeaning="Retain Longitudinal With Full Dates Option",
            )
        ]
    )
    cleaned = clean(header)
    assert cleaned.PatientIdentityRemoved == "YES"
    assert cleaned.DeidentificationMethod[0] == "DICOMANON"
    codes = [code.CodeValue for code in cleaned.DeidentificationMethodCodeSequence]
    assert codes == ["113106", "113100", "113105", "113107", "113108", "113111"]


def test_private_elements_stay_only_by_the_allow_list_of_their_creator(clean: Clean) -> None:
    header = make_header()
    header.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
    header.add_new(0x0019100C, "IS", "1000")
    header.add_new(0x001910F0, "LO", "Adler^Irene")
    header.add_new(0x00191008, "CS", "IMAGE NUM 4")
    header.add_new(0x00290011, "LO", "SIEMENS MEDCOM HEADER2")
    header.add_new(0x00291160, "LO", "com")
    cleaned = clean(header)
    assert cleaned[0x0019100C].value == 1000
    assert cleaned[0x00191008].value == "IMAGE NUM 4"
    assert 0x001910F0 not in cleaned
    assert 0x00291160 not in cleaned
    assert 0x00290011 not in cleaned


def test_a_name_in_place_of_a_private_number_goes(clean: Clean) -> None:
    header = make_header()
    header.add_new(0x00430010, "LO", "GEMS_PARM_01")
    header.add_new(0x00431039, "IS", "1000")
    header.add_new(0x00431091, "LO", "Moriarty^James")
    cleaned = clean(header)
    assert cleaned[0x00431039].value == 1000
    assert cleaned[0x00431091].value in {"", None}


def test_a_name_in_place_of_a_private_number_goes_where_no_vr_is_written(deidentifier: Deidentifier) -> None:
    header = make_header()
    header.add_new(0x00430010, "LO", "GEMS_PARM_01")
    header.add_new(0x00431039, "IS", "1000")
    header.add_new(0x0043102C, "SS", 964)
    header.add_new(0x00431091, "LO", "Moriarty^James")
    data = deidentifier.deidentify(dicom.read(as_file(header, ImplicitVRLittleEndian)), SUBJECT, Identifiers())
    assert b"Moriarty" not in data
    assert b"\x43\x00\x39\x10\x04\0\0\0" + b"1000" in data
    assert b"\x43\x00\x2c\x10\x02\0\0\0" + b"\xc4\x03" in data


def test_a_private_block_is_known_by_its_creator_and_not_by_its_number(clean: Clean) -> None:
    header = make_header()
    header.add_new(0x00190011, "LO", "SIEMENS MR HEADER")
    header.add_new(0x0019110C, "IS", "1000")
    header.add_new(0x00190010, "LO", "SOMEBODY ELSE")
    header.add_new(0x0019100C, "IS", "5")
    cleaned = clean(header)
    assert cleaned[0x0019110C].value == 1000
    assert 0x0019100C not in cleaned


def test_overlays_and_curves_go_as_a_whole(clean: Clean) -> None:
    header = make_header()
    header.add_new(0x60020010, "US", 64)
    header.add_new(0x60023000, "OW", b"\0\0")
    header.add_new(0x50000005, "US", 2)
    cleaned = clean(header)
    assert [tag for tag in cleaned.keys() if tag.group in {0x6002, 0x5000}] == []  # noqa: SIM118


def test_every_attribute_of_the_standards_table_loses_a_planted_name(clean_bytes: CleanBytes) -> None:
    header = make_header()
    planted = []
    for row in table.rows():
        if row.vr not in {"PN", "LO", "SH", "LT", "ST", "UC", "UT"} or row.tag >> 16 <= 2 or row.mask != 0xFFFFFFFF:
            continue
        header.add_new(row.tag, row.vr, "Adler^Irene" if row.vr == "PN" else "Irene Adler")
        planted.append(row.name)
    assert len(planted) > 250
    content = clean_bytes(header).lower()
    assert b"adler" not in content
    assert b"irene" not in content


def test_every_date_of_the_standards_table_moves_or_goes(clean_bytes: CleanBytes) -> None:
    header = make_header()
    for row in table.rows():
        if row.vr in {"DA", "DT"}:
            header.add_new(row.tag, row.vr, "20210715" if row.vr == "DA" else "20210715120000")
    assert b"20210715" not in clean_bytes(header)


def test_text_that_is_no_date_is_not_left_in_a_date(deidentifier: Deidentifier) -> None:
    data = as_file(make_header()).replace(b"20210715140135.917500+0200", b"Moriarty^James Moriarty^Ja")
    assert b"Moriarty" in data
    assert b"Moriarty" not in deidentifier.deidentify(dicom.read(data), SUBJECT, Identifiers())


def test_names_in_other_alphabets_leave_their_descriptors(clean: Clean) -> None:
    header = make_header(SpecificCharacterSet="ISO_IR 192", PatientName="Ёлкин^Юлий", SeriesDescription="t2 Ёлкин sag")
    assert clean(header).SeriesDescription == "t2 sag"


def test_two_subjects_never_share_a_memory(deidentifier: Deidentifier) -> None:
    file = dicom.read(as_file(make_header()))
    one = parsed(deidentifier.deidentify(file, Subject("AAAA", -400), Identifiers()))
    two = parsed(deidentifier.deidentify(file, Subject("BBBB", -500), Identifiers()))
    assert (one.StudyDate, two.StudyDate) == ("20200610", "20200302")
    assert (one.PatientID, two.PatientID) == ("sub-AAAA", "sub-BBBB")
