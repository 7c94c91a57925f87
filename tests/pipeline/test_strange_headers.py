"""A header that nobody foresaw keeps back its own file, never the night."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from heartbrain_ingest.deidentify import IdentifierCollector
from heartbrain_ingest.dicom import DicomFile
from tests.pipeline.scans import make_slice, write, write_series
from tests.pipeline.site import Site


def test_a_title_beyond_ascii_and_a_zero_in_a_character_set_cost_nobody_the_night(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox / "good", PatientID="HB0100", PatientName="Else^Some")
    (title,) = write_series(inbox / "title", slices=1, series=7)
    dataset = pydicom.dcmread(title)
    dataset.file_meta.SourceApplicationEntityTitle = "KOELNPACS"
    dataset.save_as(title)
    title.write_bytes(title.read_bytes().replace(b"KOELNPACS", b"K\xd6LN_PACS"))
    (charset,) = write_series(inbox / "charset", slices=1, series=8, SpecificCharacterSet="ISO_IR 192")
    charset.write_bytes(charset.read_bytes().replace(b"ISO_IR 192", b"ISO_IR\x00192"))
    report = site.take_in(inbox)
    assert len(report.published) == 2
    fates = site.fates(inbox)
    # What pydicom can't read of it, nobody can who gets it.
    assert fates.pop("charset/08_0001.dcm") == ("quarantined", "INVALID_DICOM")
    assert set(fates.values()) == {("converted", None)}


def test_a_file_that_no_reader_foresaw_is_kept_back_for_itself(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = tmp_path / "study"
    write_series(inbox)
    strange = write(make_slice(1, series=9, StationName="strange"), inbox / "strange")
    before = IdentifierCollector.add

    def add(collector: IdentifierCollector, file: DicomFile) -> None:
        if b"strange" in file.data:
            raise KeyError("Quandt")
        before(collector, file)

    monkeypatch.setattr(IdentifierCollector, "add", add)  # a mistake that is still to be found
    site.take_in(inbox)
    fates = site.fates(inbox)
    assert fates.pop(strange.name) == ("quarantined", "INVALID_DICOM")
    assert set(fates.values()) == {("converted", None)}


def test_a_number_beyond_all_numbers_is_none_and_the_night_goes_on(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox / "good", PatientID="HB0100", PatientName="Else^Some")
    for path in write_series(inbox / "odd", series=1234):
        path.write_bytes(path.read_bytes().replace(b"IS\x04\x001234", b"IS\x04\x001e30"))
    report = site.take_in(inbox)
    assert len(report.published) == 2
    assert [path.name for path in site.archive.rglob("0000_*.zip")] == ["0000_t1_mprage_tra.zip"]
