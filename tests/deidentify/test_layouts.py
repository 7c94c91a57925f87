"""Files that are laid out alike are read and cleaned by what was found in the first of them: with the same result."""

from __future__ import annotations

import io
import random
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from heartbrain_ingest.deidentify import Deidentifier, IdentifierCollector, Identifiers, LeakAudit, Rules
from heartbrain_ingest.deidentify.identifiers import Kind
from heartbrain_ingest.dicom import DicomFile, DicomFileError, files, read, read_header
from heartbrain_ingest.dicom.layouts import Layouts
from tests.deidentify.conftest import SUBJECT, as_file, make_header

#: Files of a made series, and changed copies of one.
IMAGES, DAMAGED = 12, 200


@pytest.fixture
def by_itself(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Give what makes every file and every item be taken apart as if it were the first."""
    return lambda: monkeypatch.setattr(Layouts, "find", lambda *_: None)


@pytest.fixture(autouse=True)
def _nothing_read_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_layouts", Layouts())


def image(number: int, **more: object) -> bytes:
    header = make_header(
        SOPInstanceUID=f"1.2.3.4.5.6.7.8.{1000 + number}",
        InstanceNumber=number + 10,
        AcquisitionTime=f"1010{number:02d}.5",
        OperatorsName=f"Operator^Number{number:02d}",
        ImageComments=f"seen by Doe on day {number:02d}",
        ImagePositionPatient=[-100.0, 12.5, float(number)],
        Rows=4,
        Columns=4,
        BitsAllocated=16,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PixelRepresentation=0,
        **more,
    )
    header.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", str(100 + number % 3))
    header.private_block(0x0021, "SOMEBODY", create=True).add_new(0x01, "LO", f"Doe {number:02d}")
    header.add_new(0x7FE00010, "OW", np.full(16, number, "<u2").tobytes())
    return as_file(header)


def enhanced(number: int = 0, frames: int = IMAGES) -> bytes:
    """Give an enhanced image: each frame an item with a date, a UID, a name, a comment, and a sequence within."""
    header = make_header(SOPInstanceUID=f"1.2.3.4.5.6.7.9.{1000 + number}", NumberOfFrames=frames)
    items = []
    for index in range(frames):
        content, place, frame = Dataset(), Dataset(), Dataset()
        content.FrameAcquisitionDateTime = f"202107151401{index:02d}.25"
        content.FrameComments = f"Adler, frame {index:03d}"
        content.StackID, content.InStackPositionNumber = "1", index + 1
        place.ImagePositionPatient = [-100.0, 12.5, 10.0 + index]
        frame.FrameContentSequence, frame.PlanePositionSequence = [content], [place]
        frame.OperatorsName = f"Hudson^Martha{index:02d}"
        frame.InstanceCreatorUID = f"1.2.840.113619.6.{10 + index}.4711.1234.{index + 10}"
        frame.private_block(0x0019, "SOMEBODY", create=True).add_new(0x01, "LO", f"Adler {index:02d}")
        items.append(frame)
    header.PerFrameFunctionalGroupsSequence = items
    header.add_new(0x7FE00010, "OW", bytes(2 * frames))
    return as_file(header)


def found_in(file: DicomFile) -> tuple[object, ...]:
    return (file.meta, file.body, file.syntax, file.encoding, dict(file.elements), file.has_pixels, file.is_cut_short)


def judged(deidentifier: Deidentifier, data: bytes) -> object:
    """Read and clean a file: its parts and its bytes, or the kind of the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as the workers do
        try:
            file = read(data)
            identifiers = collected(file)
            return found_in(file), deidentifier.deidentify(file, SUBJECT, identifiers), identifiers
        except Exception as error:  # noqa: BLE001 - what is damaged can raise anything
            return type(error)


def collected(*several: DicomFile) -> Identifiers:
    collector = IdentifierCollector()
    for file in several:
        collector.add(file)
    return collector.identifiers


def test_the_second_file_of_a_size_gives_a_layout_to_those_after_it() -> None:
    layouts = [read(image(number)).layout for number in range(4)]
    assert layouts[:2] == [None, None]
    assert layouts[2] is not None
    assert layouts[2] is layouts[3]


def test_files_of_one_layout_are_read_as_each_would_be_by_itself(by_itself: Callable[[], None]) -> None:
    series = [image(number) for number in range(IMAGES)]
    together = [found_in(read(one)) for one in series]
    headers = [found_in(read_header(one, io.BytesIO(one), len(one))) for one in series]
    by_itself()
    assert together == [found_in(read(one)) for one in series]
    assert headers == [found_in(read_header(one, io.BytesIO(one), len(one))) for one in series]


def test_files_of_one_layout_are_cleaned_as_each_would_be_by_itself(
    deidentifier: Deidentifier, by_itself: Callable[[], None]
) -> None:
    series = [image(number) for number in range(IMAGES)]
    identifiers = collected(*(read(one) for one in series))
    together = [deidentifier.deidentify(read(one), SUBJECT, identifiers) for one in series]
    by_itself()
    alone = [Deidentifier(deidentifier.rules, deidentifier.pseudonyms) for _ in series]
    assert together == [own.deidentify(read(one), SUBJECT, identifiers) for own, one in zip(alone, series, strict=True)]
    assert not any(b"Doe" in one or b"Number" in one for one in together)


def test_frames_of_one_layout_are_cleaned_as_each_would_be_by_itself(
    deidentifier: Deidentifier, by_itself: Callable[[], None]
) -> None:
    file = read(enhanced())
    identifiers = collected(file)
    together = deidentifier.deidentify(file, SUBJECT, identifiers)
    by_itself()
    assert together == Deidentifier(deidentifier.rules, deidentifier.pseudonyms).deidentify(file, SUBJECT, identifiers)
    assert b"Adler" not in together
    assert b"Martha" not in together
    frames = pydicom.dcmread(io.BytesIO(together)).PerFrameFunctionalGroupsSequence
    assert [frame.PlanePositionSequence[0].ImagePositionPatient[2] for frame in frames] == [
        10.0 + index for index in range(IMAGES)
    ]


def test_a_damaged_frame_is_not_taken_for_one_of_the_layout(
    deidentifier: Deidentifier, by_itself: Callable[[], None]
) -> None:
    damaged = list(_damaged(enhanced()))
    together = [judged(deidentifier, one) for one in damaged]
    by_itself()
    for one, expected in zip(damaged, together, strict=True):
        assert judged(Deidentifier(deidentifier.rules, deidentifier.pseudonyms), one) == expected


def test_every_name_in_files_of_one_layout_is_collected(by_itself: Callable[[], None]) -> None:
    series = [image(number) for number in range(IMAGES)]
    together = collected(*(read(one) for one in series))
    by_itself()
    assert together == collected(*(read(one) for one in series))
    assert {value for _, value in together.values} >= {f"Operator^Number{number:02d}" for number in range(IMAGES)}


def test_a_name_in_any_file_of_a_layout_is_found_by_the_audit(tmp_path: Path, rules: Rules) -> None:
    identifiers = Identifiers(frozenset({(Kind.NAME, "Quandt")}))
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        for number in range(IMAGES):
            names = dict.fromkeys(("PatientName", "OperatorsName", "ReferringPhysicianName"), "Another")
            station = "Quandt 1" if number in {7, 9} else "Scanner1"
            header = Dataset()
            header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, f"2.25.{number + 100}"
            header.StationName, header.Modality = station, "MR"
            for keyword, value in names.items():
                setattr(header, keyword, value)
            archive.writestr(f"{number:03d}.dcm", as_file(header))
    leaks = LeakAudit(identifiers, rules.exemptions).scan_paths(tmp_path, [tmp_path / "series.zip"])
    assert [leak.place for leak in leaks] == [f"series.zip: {number:03d}.dcm: (0008,1010)" for number in (7, 9)]


def test_a_damaged_file_is_not_taken_for_one_of_the_layout(
    deidentifier: Deidentifier, by_itself: Callable[[], None]
) -> None:
    for number in range(4):
        read(image(number))
    damaged = list(_damaged(image(5)))
    together = [judged(deidentifier, one) for one in damaged]
    by_itself()
    for one, expected in zip(damaged, together, strict=True):
        assert judged(Deidentifier(deidentifier.rules, deidentifier.pseudonyms), one) == expected


def _damaged(data: bytes) -> Iterator[bytes]:
    """Give copies with one to three bytes of the header changed, the same ones each time."""
    chance = random.Random(5)
    header = data.rindex(b"\xe0\x7f\x10\x00")
    for _ in range(DAMAGED):
        copy = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(128, header + 12)
            copy[place] = chance.choice((0, 1, 4, 8, 0x10, 0x20, 0x41, 0x53, 0xFF, chance.randrange(256)))
        yield bytes(copy)


def test_real_files_are_read_alike_the_first_and_the_third_time(
    shared_data: Path, by_itself: Callable[[], None]
) -> None:
    paths = [path for path in sorted(shared_data.glob("dicom/*/dicom/**/*")) if path.is_file()][:300]
    contents = [path.read_bytes() for path in paths]
    for _ in range(2):
        for content in contents:
            _found(content)
    warm = [_found(content) for content in contents]
    by_itself()
    assert warm == [_found(content) for content in contents]


def _found(content: bytes) -> object:
    try:
        return found_in(read(content))
    except DicomFileError as error:
        return type(error)
