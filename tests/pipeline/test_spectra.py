"""Spectra are taken in like images: de-identified, converted, named, found by a question."""

from __future__ import annotations

import json
import shutil
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from heartbrain_ingest.convert import convert_folder
from heartbrain_ingest.physio import scan_duration
from tests.pipeline import spectra
from tests.pipeline.scans import make_slice, write, write_series
from tests.pipeline.site import Site

SIGNAL = spectra.make_signal()


def _image(path: Path) -> Any:
    return nibabel.load(path)


def _voxels(path: Path) -> np.ndarray[Any, np.dtype[np.complex64]]:
    return np.asarray(_image(path).dataobj)


def _published(site: Site, ending: str) -> list[Path]:
    return sorted(site.archive.rglob(f"sourcedata/spectroscopy/*{ending}"))


def _sidecar(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _stored(site: Site, number: int) -> Dataset:
    (archive,) = site.archive.rglob(f"sourcedata/dicom/{number:04d}_*.zip")
    with zipfile.ZipFile(archive) as members:
        return pydicom.dcmread(BytesIO(members.read(members.namelist()[0])))


def test_a_spectrum_of_siemens_is_found_by_typed_questions(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox)
    write(spectra.make_siemens(), inbox / "svs.ima")
    report = site.take_in(inbox)
    assert (report.exit_code, site.fates(inbox)["svs.ima"]) == (0, ("converted", None))
    assert not report.warnings
    for question in (
        "SpectroscopyImage WITH NumberOfSpectralPoints=512 AND NumberOfTransients=64",
        "SpectroscopyImage WITH EchoTime<0.031 AND RepetitionTime=2.0",
        "SpectroscopyImage WITH SpectralWidth>1199.9Hz AND SpectralWidth<1200.0Hz",
        "SpectroscopyImage WITH ResonantNucleus='1H' AND SpectrumPicture AND DicomArchive AND ImageFile",
        "SpectroscopyImage WITH SpectrometerFrequency>123.2 AND SpectrometerFrequency<123.3",
        "SpectroscopyImage WHICH REFERENCES A Session",
    ):
        assert site.count(question) == 1, question
    assert site.count("MRImage") == 2


def test_published_spectra_hold_the_signal_its_clock_and_its_place(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write(spectra.make_siemens(), inbox / "svs.ima")
    site.take_in(inbox)
    (path,) = _published(site, "_svs.nii.gz")
    image = _image(path)
    assert np.array_equal(np.asarray(image.dataobj), SIGNAL.reshape(1, 1, 1, -1))
    assert image.header["pixdim"][4] == np.float32(833400e-9)
    left, back, up = spectra.CENTRE
    assert np.allclose(image.affine[:3, 3], (-left, -back, up), atol=1e-3)
    rows, columns, slices = spectra.VOXEL
    assert np.allclose(image.header.get_zooms()[:3], (columns, rows, slices), atol=1e-3)
    (extension,) = image.header.extensions
    header = json.loads(extension.get_content())
    assert (extension.get_code(), header["ResonantNucleus"], header["EchoTime"]) == (44, ["1H"], 0.03)
    assert header["SpectrometerFrequency"] == [pytest.approx(spectra.FREQUENCY, abs=1e-4)]
    sidecar = _sidecar(path)
    assert sidecar["AcquisitionVoxelSize"] == [columns, rows, slices]
    assert sidecar["DwellTime"] == pytest.approx(833400e-9)
    assert (sidecar["ImageShape"], sidecar["NumberOfVolumes"]) == ([1, 1, 1], 1)
    assert "WaterSuppression" not in sidecar, "nothing in the headers tells"


@pytest.mark.parametrize("vendor", ["siemens", "philips", "uih"])
def test_the_standards_class_is_read_as_each_vendor_writes_it(vendor: str, tmp_path: Path) -> None:
    write(spectra.make_standard(vendor=vendor), tmp_path / "in" / "0.dcm")
    (image,) = convert_folder(tmp_path / "in", tmp_path / "out", 60.0).images
    made = _image(image.nifti)
    assert np.array_equal(np.asarray(made.dataobj).ravel(), SIGNAL)
    left, back, up = spectra.CENTRE
    if vendor != "uih":  # whose position is a corner
        assert np.allclose(made.affine[:3, 3], (-left, -back, up), atol=1e-3)
    rows, columns, _ = spectra.VOXEL
    across = np.abs(made.affine[0, :3])
    assert across.max() == pytest.approx(columns, abs=1e-3), "the side from left to right, whichever axis it is"
    assert sorted(image.sidecar["AcquisitionVoxelSize"]) == sorted((rows, columns, spectra.VOXEL[2]))


def test_a_grid_of_spectra_stands_where_its_corner_says(tmp_path: Path) -> None:
    write(spectra.make_siemens(matrix=(4, 3, 1)), tmp_path / "in" / "0.dcm")
    (image,) = convert_folder(tmp_path / "in", tmp_path / "out", 60.0).images
    made = _image(image.nifti)
    middle = made.affine @ np.array([1.5, 1.0, 0.0, 1.0])
    left, back, up = spectra.CENTRE
    assert np.allclose(middle[:3], (-left, -back, up), atol=1e-3)
    voxels = np.asarray(made.dataobj)
    assert voxels.shape == (4, 3, 1, 512)
    # Row after row: the spectrum of the second row's first column is the fifth.
    assert np.allclose(voxels[0, 1, 0], 5 * SIGNAL, rtol=1e-5)
    assert (image.sidecar["MatrixSize"], image.sidecar["ScanningSequence"]) == ([4, 3, 1], "MRSI")


def test_a_grid_of_spectra_is_found_by_its_size(site: Site, tmp_path: Path) -> None:
    write(spectra.make_siemens(matrix=(4, 3, 1)), tmp_path / "study" / "csi.ima")
    report = site.take_in(tmp_path / "study")
    assert (report.exit_code, report.warnings) == (0, {})
    assert len(_published(site, "_mrsi.nii.gz")) == 1
    assert site.count("SpectroscopyImage WITH MatrixSize=4 AND MatrixSize=3 AND ScanningSequence=MRSI") == 1
    assert site.count("SpectroscopyImage WITH ImageShape=4 AND VolumeAffineMatrix LIKE '[[*'") == 1


def test_the_signal_of_water_that_philips_adds_becomes_a_record_of_its_own(site: Site, tmp_path: Path) -> None:
    water = spectra.make_signal(scale=9)
    write(spectra.make_standard(vendor="philips", signals=[SIGNAL, water]), tmp_path / "study" / "svs.dcm")
    report = site.take_in(tmp_path / "study")
    assert report.exit_code == 0
    (reference,) = _published(site, "_mrsref.nii.gz")
    assert np.array_equal(_voxels(reference).ravel(), water)
    assert _sidecar(reference)["WaterSuppression"] is False
    assert site.count("SpectroscopyImage") == 2
    assert site.count("SpectroscopyImage WITH WaterSuppression=FALSE AND NamingRule='spectra-water-reference'") == 1


def test_repetitions_of_a_series_are_one_image_and_count_as_its_volumes(site: Site, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write(spectra.make_siemens(number), tmp_path / "study" / f"{number}.ima")
    site.take_in(tmp_path / "study")
    (path,) = _published(site, "_svs.nii.gz")
    assert _image(path).shape == (1, 1, 1, 512, 3)
    assert site.count("SpectroscopyImage WITH NumberOfVolumes=3") == 1
    (drawing,) = site.archive.rglob("*_spectrum.svg")
    assert drawing.read_text(encoding="ascii").startswith("<svg")


def test_nothing_of_a_patient_in_the_private_headers_of_spectra_is_published(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    spectrum = spectra.make_siemens(
        patient="Quandt^Oskar HB0099", ImageComments="Oskar Quandt, born 1971", SeriesDescription="svs_Quandt_pcc"
    )
    write(spectrum, inbox / "svs.ima")
    standard = spectra.make_standard(series=10, OperatorsName="Quandt^Oskar", ImageComments="Quandt")
    standard.private_block(0x0021, "SIEMENS MR MRS 05", create=True).add_new(0x02, "LO", "Quandt^Oskar")
    write(standard, inbox / "xa.dcm")
    report = site.take_in(inbox)
    assert (report.exit_code, len(report.published)) == (0, 1)
    for path in site.archive.rglob("*"):
        assert "quandt" not in path.name.lower()
        if path.is_file():
            content = path.read_bytes().lower()
            if path.name.endswith(".gz"):
                content = bytes(_image(path).header.binaryblock) + bytes(
                    _image(path).header.extensions[0].get_content()
                )
            for word in (b"quandt", b"oskar", b"hb0099", b"1971"):
                assert word not in content.lower(), path.name
    stored = _stored(site, 9)
    assert stored[0x7FE1, 0x1010].value == spectra.as_bytes(SIGNAL)
    assert (0x0029, 0x1010) not in stored, "remains of other texts"
    assert _stored(site, 10)[0x5600, 0x0020].value == spectra.as_bytes(SIGNAL.conj())


def test_the_signal_of_water_that_united_imaging_hides_stays_in_the_stored_dicom(site: Site, tmp_path: Path) -> None:
    write(spectra.make_standard(vendor="uih", SeriesDescription="svs"), tmp_path / "study" / "svs.dcm")
    assert site.take_in(tmp_path / "study").exit_code == 0
    assert _stored(site, 9)[0x0065, 0xFF07].value == spectra.as_bytes(spectra.make_signal(scale=9))


def test_a_text_in_the_place_of_spectra_is_not_published(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox)
    spectrum = spectra.make_siemens()
    text = b"log of the scan of Quandt, Oskar (born 1971): all went well, nothing to be said. "
    spectrum[0x7FE1, 0x1010].value = (text * 52)[:4096]
    write(spectrum, inbox / "svs.ima")
    report = site.take_in(inbox)
    assert site.fates(inbox)["svs.ima"] == ("quarantined", "FIDELITY")
    assert (len(report.published), report.exit_code) == (1, 1)


def test_a_name_among_the_numbers_keeps_the_session_back(site: Site, tmp_path: Path) -> None:
    spectrum = spectra.make_siemens()
    value = bytearray(spectrum[0x7FE1, 0x1010].value)
    value[800:814] = b"\0Quandt^Oskar\0"
    spectrum[0x7FE1, 0x1010].value = bytes(value)
    write(spectrum, tmp_path / "study" / "svs.ima")
    site.take_in(tmp_path / "study")
    assert site.fates(tmp_path / "study") == {"svs.ima": ("quarantined", "LEAK")}
    assert not site.sessions()


def test_a_private_layout_that_is_not_known_is_kept_back_and_said_to_be_spectra(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox)
    old = make_slice(1, series=8, SOPClassUID="1.3.46.670589.11.0.0.12.1", PixelData=None)
    write(old, inbox / "philips")
    report = site.take_in(inbox)
    assert site.fates(inbox)["philips"] == ("quarantined", "MR_SPECTROSCOPY")
    assert (len(report.published), report.exit_code) == (1, 1)


def test_a_damaged_spectrum_keeps_back_itself_alone(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox)
    whole = write(spectra.make_standard(series=9), inbox / "whole")
    (inbox / "cut").write_bytes(write(spectra.make_standard(series=10), tmp_path / "spectrum").read_bytes()[:-900])
    short = spectra.make_standard(series=11)
    short[0x5600, 0x0020].value = short[0x5600, 0x0020].value[:2048]
    write(short, inbox / "short")
    empty = spectra.make_siemens(series=12)
    del empty[0x7FE1, 0x1010]
    write(empty, inbox / "empty")
    headless = spectra.make_siemens(series=13)
    headless[0x0029, 0x1110].value = b"SV10 no header any more "
    write(headless, inbox / "headless")
    report = site.take_in(inbox)
    fates = site.fates(inbox)
    assert fates[whole.name] == ("converted", None)
    assert {name: fates[name][1] for name in ("cut", "short", "empty", "headless")} == {
        "cut": "TRUNCATED_DICOM",
        "short": "MR_SPECTROSCOPY",
        "empty": "TRUNCATED_DICOM",
        "headless": "MR_SPECTROSCOPY",
    }
    assert (len(report.published), report.exit_code) == (1, 1)


def test_rules_that_take_away_what_spectra_need_keep_the_series_back(site: Site, tmp_path: Path) -> None:
    rules = site.folder / "crawler_config" / "deidentification.yml"
    text = rules.read_text(encoding="utf-8")
    assert "VoiPosition" in text
    rules.write_text(text.replace("VoiOrientation, VoiPosition,", "VoiOrientation,"), encoding="utf-8")
    write(spectra.make_siemens(), tmp_path / "study" / "svs.ima")
    site.take_in(tmp_path / "study")
    assert site.fates(tmp_path / "study") == {"svs.ima": ("quarantined", "FIDELITY")}


def test_the_dataset_with_spectra_beside_it_is_valid_and_explains_itself(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox)
    write(spectra.make_standard(), inbox / "svs.dcm")
    assert site.take_in(inbox).exit_code == 0
    checked = site.run("check", "--bids")
    assert checked.code == 0, checked.out + checked.err
    for asked in ("0009_svs_se_30_pcc.zip", inbox / "svs.dcm"):
        explained = site.run("explain", asked)
        assert "spectra" in explained.out, explained.err


def test_later_spectra_and_changed_rules_make_revisions(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write(spectra.make_siemens(1), inbox / "1.ima")
    assert site.take_in(inbox).exit_code == 0
    write(spectra.make_siemens(2), inbox / "2.ima")
    assert site.take_in(inbox).exit_code == 0
    assert len(site.sessions()) == 2
    rules = site.folder / "crawler_config" / "bids_rules.yml"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace('suffix: svs, entities: {desc: "{label}"}', "suffix: svs, entities: {desc: own}"))
    shutil.rmtree(inbox)
    done = site.run("remap", "--json")
    assert done.code == 0, done.err
    (newest,) = (path for path in _published(site, "_svs.nii.gz") if "desc-own" in path.name)
    assert newest.parents[2].name.endswith("_rev-3")
    assert _image(newest).shape == (1, 1, 1, 512, 2)
    assert site.count("SpectroscopyImage WITH desc='own'") == 1


def test_a_sum_of_many_measurements_took_as_long_as_all_of_them(tmp_path: Path) -> None:
    write(spectra.make_siemens(), tmp_path / "in" / "0.dcm")
    (image,) = convert_folder(tmp_path / "in", tmp_path / "out", 60.0).images
    assert scan_duration(image.sidecar, volumes=1) == spectra.TRANSIENTS * spectra.REPETITION_TIME_MS / 1000


def test_images_that_can_not_be_converted_are_not_said_to_be_spectra(tmp_path: Path) -> None:
    write(make_slice(1, PixelData=None), tmp_path / "in" / "0.dcm")
    assert convert_folder(tmp_path / "in", tmp_path / "out", 60.0).code == "NOT_CONVERTIBLE"
