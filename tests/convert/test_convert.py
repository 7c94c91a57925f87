from __future__ import annotations

import errno
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from heartbrain_ingest.convert import Conversion, Dcm2niix, differences, finish_sidecar, store_series, tool_version
from heartbrain_ingest.convert.dcm2niix import executable
from heartbrain_ingest.convert.fidelity import CRITICAL_FIELDS
from heartbrain_ingest.errors import ToolError
from tests.pipeline.scans import write_series

#: What dcm2niix v1.0.20260724 says, recorded.
NO_ORIENTATION = (
    "Warning: Unable to determine spatial orientation: 0020,0037 missing (Type 1 attribute: not a valid DICOM)"
)
FULL = "Convert 40 DICOM as /out/image (64x64x40x1)\nError: Unable to write /out/image.nii (disk full?)\n"
NOTHING = "Error: Unable to find any DICOM images in /in (or subfolders 5 deep)"


@pytest.fixture
def command(tmp_path: Path) -> Dcm2niix:
    (tmp_path / "out").mkdir()
    return Dcm2niix(source=tmp_path / "in", target=tmp_path / "out", timeout_s=60)


def test_options_keep_the_header_in_the_sidecar_and_ignore_the_users_defaults(command: Dcm2niix) -> None:
    argv = command.argv()
    assert argv[0] == executable()
    assert argv[-3:] == ["-o", str(command.target), str(command.source)]
    options = dict(zip(argv[1:-3:2], argv[2:-3:2], strict=True))
    assert options["-ba"] == "n"
    assert options["-z"] == "n"
    assert options["-g"] == "i"


def test_a_real_series_becomes_one_image_with_its_voxels_and_its_place(command: Dcm2niix) -> None:
    write_series(command.source, slices=4)
    conversion = command.run()
    assert conversion.code is None
    (image,) = conversion.images
    loaded = nibabel.Nifti1Image.from_filename(image.nifti)
    assert loaded.shape == (16, 16, 4)
    assert list(loaded.header["pixdim"][1:4]) == [2.0, 2.0, 2.0]
    rows, columns = np.mgrid[0:16, 0:16]
    for number in range(1, 5):
        # Where each pixel of this slice lies: DICOM counts to the left and back, NIfTI to the right and front.
        place = np.stack([16.0 - 2 * columns, 16.0 - 2 * rows, np.full((16, 16), 2.0 * number), np.ones((16, 16))])
        i, j, k, _ = np.rint(np.einsum("ab,brc->arc", np.linalg.inv(loaded.affine), place)).astype(int)
        assert np.array_equal(np.asarray(loaded.dataobj)[i, j, k], 16 * rows + columns + 100 * number + 14)
    assert image.sidecar["RepetitionTime"] == 2.3
    assert image.sidecar["EchoTime"] == 0.00298
    assert (image.stem, image.bval, image.b_values()) == ("image", None, ())


def test_the_text_output_only_says_why_there_is_no_image(command: Dcm2niix) -> None:
    assert command.parse_output(NO_ORIENTATION) == Conversion(images=(), code="NO_GEOMETRY")
    assert command.parse_output(NOTHING) == Conversion(images=(), code="NOT_CONVERTIBLE")
    write_series(command.source)
    assert command.run().images
    assert command.parse_output(NO_ORIENTATION).code is None


def test_a_full_disk_is_no_fault_of_the_series(command: Dcm2niix) -> None:
    with pytest.raises(OSError, match="No space left") as raised:
        command.parse_output(FULL, 1)
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.parametrize(("status", "code"), [(0, None), (10, None), (1, "NOT_CONVERTIBLE"), (-9, "NOT_CONVERTIBLE")])
def test_what_was_made_before_the_program_gave_up_is_no_image(command: Dcm2niix, status: int, code: str | None) -> None:
    write_series(command.source)
    assert command.run().images
    conversion = command.parse_output("", status)
    assert (len(conversion.images), conversion.code) == (0 if code else 1, code)


def test_an_empty_folder_can_not_be_converted(command: Dcm2niix) -> None:
    command.source.mkdir()
    assert command.run().code == "NOT_CONVERTIBLE"


def test_a_sidecar_that_is_no_json_refuses_the_series(command: Dcm2niix) -> None:
    write_series(command.source)
    command.run()
    (command.target / "image.json").write_text("{", encoding="utf-8")
    assert command.parse_output("") == Conversion(images=(), code="INVALID_SIDECAR")


def test_what_is_no_number_in_a_sidecar_is_left_out_and_a_list_is_no_sidecar(tmp_path: Path) -> None:
    (tmp_path / "image.nii").touch()
    sidecar = tmp_path / "image.json"
    command = Dcm2niix(source=tmp_path, target=tmp_path, timeout_s=1)
    sidecar.write_text('{"EchoTime": NaN, "SliceTiming": [0, -Infinity], "RepetitionTime": 2, "SAR": null}', "utf-8")
    (image,) = command.parse_output("").images
    assert image.sidecar == {"RepetitionTime": 2}
    sidecar.write_text("[]", encoding="utf-8")
    assert command.parse_output("").code == "INVALID_SIDECAR"


def test_a_b_table_counts_only_when_it_is_whole(command: Dcm2niix) -> None:
    write_series(command.source)
    command.run()
    (command.target / "image.bval").write_text("0 50 1000\n", encoding="ascii")
    assert command.parse_output("").images[0].b_values() == ()
    (command.target / "image.bvec").write_text("0 0 0\n0 0 0\n0 1 1\n", encoding="ascii")
    assert command.parse_output("").images[0].b_values() == (0.0, 50.0, 1000.0)


def test_a_conversion_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    write_series(tmp_path / "in")
    command = Dcm2niix(source=tmp_path / "in", target=tmp_path / "out", timeout_s=0.0)
    assert command.run() == Conversion(images=(), code="CONVERSION_TIMEOUT")


def test_a_missing_program_is_an_error_that_says_what_to_do(command: Dcm2niix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcm2niix.bin", "/nowhere/dcm2niix")
    executable.cache_clear()
    try:
        with pytest.raises(ToolError, match="`make demo` or a new installation"):
            command.run()
    finally:
        executable.cache_clear()


def test_the_version_is_that_of_the_installed_program() -> None:
    assert tool_version().startswith("v1.0.202")


# before and after de-identification


Converted = Callable[..., Conversion]


@pytest.fixture
def converted(tmp_path: Path) -> Converted:
    """Convert a series whose header a test chooses."""
    numbers = iter(range(100))

    def run(**values: Any) -> Conversion:
        folder = tmp_path / str(next(numbers))
        write_series(folder / "in", **values)
        return Dcm2niix(source=folder / "in", target=folder / "out").run()

    return run


def test_names_and_dates_make_no_difference(converted: Converted) -> None:
    first = converted()
    second = converted(PatientName="sub-A", PatientID="sub-A", StudyDate="20100101", SeriesDescription="t1_mprage_tra")
    assert differences(first, second) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"EchoTime": 3.0}, ["EchoTime"]),
        ({"FlipAngle": 10.0}, ["FlipAngle"]),
        ({"PixelSpacing": [2.0, 2.1]}, ["header or voxels"]),
        ({"PixelData": bytes(512)}, ["header or voxels"]),
        ({"slices": 5}, ["header or voxels"]),
    ],
)
def test_what_changes_voxels_geometry_or_a_critical_field_is_found_and_named(
    converted: Converted, change: dict[str, Any], found: list[str]
) -> None:
    assert set(found) <= set(differences(converted(), converted(**change)))


def test_another_number_of_images_is_a_difference(converted: Converted) -> None:
    assert differences(converted(), Conversion(images=(), code="NOT_CONVERTIBLE")) == ["number of images"]


def test_a_changed_b_table_is_a_difference(converted: Converted) -> None:
    first, second = converted(), converted()
    tables = []
    for conversion, text in ((first, "0 50"), (second, "0 51")):
        target = conversion.images[0].nifti.parent
        (target / "image.bval").write_text(text, encoding="ascii")
        (target / "image.bvec").write_text("0 0\n0 0\n0 1\n", encoding="ascii")
        tables.append(Dcm2niix(source=target, target=target).parse_output(""))
    assert differences(*tables) == ["b-values"]
    assert differences(first, tables[0]) == ["b-values", "b-vectors"]


def test_the_critical_fields_are_sorted_within_reason_and_known_once() -> None:
    assert len(set(CRITICAL_FIELDS)) == len(CRITICAL_FIELDS)
    assert {"SliceTiming", "PhaseEncodingDirection", "TotalReadoutTime", "RepetitionTime"} <= set(CRITICAL_FIELDS)


# what is published


def test_a_sidecar_loses_what_names_somebody_and_gains_what_is_ours() -> None:
    text = finish_sidecar(
        {"EchoTime": 0.003, "PatientName": "X^Y", "InstitutionName": "Z", "StudyID": "1"},
        {"RecordType": "T1WeightedImage", "BValues": None},
    )
    assert json.loads(text) == {"EchoTime": 0.003, "RecordType": "T1WeightedImage"}
    assert text.endswith("}\n")


def test_a_stored_series_is_the_same_bytes_whenever_it_is_stored(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in")
    store_series(paths, tmp_path / "a.zip")
    for path in paths:
        path.touch()
    store_series(paths, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == [path.name for path in paths]
        for member in archive.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            assert member.date_time == (1980, 1, 1, 0, 0, 0)
            assert archive.read(member) == (tmp_path / "in" / member.filename).read_bytes()


def test_fields_can_be_left_out_of_every_sidecar(tmp_path: Path) -> None:
    (tmp_path / "image.nii").touch()
    (tmp_path / "image.json").write_text('{"AcquisitionTime": "00:00:01.200000", "EchoTime": 0.24}')
    conversion = Dcm2niix(source=tmp_path, target=tmp_path).parse_output("")
    assert [one.sidecar for one in conversion.without({"AcquisitionTime"}).images] == [{"EchoTime": 0.24}]
    assert conversion.without(()) is conversion
