"""Real series of five vendors: still convertible to the same images, and nothing of the input's identifiers left."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from heartbrain_ingest import dicom
from heartbrain_ingest.deidentify import (
    Deidentifier,
    IdentifierCollector,
    LeakAudit,
    Pseudonyms,
    Rules,
)

SETS = [
    "canon_galan_dwi_enhanced_ap",
    "ge_hdxt_t1w_deident_codes",
    "ge_mr750_dv27_bold_interleaved",
    "ge_pioneer_mr29_dwi",
    "philips_achieva_b0map_enhanced",
    "philips_achieva_bold",
    "siemens_prisma_ve11_grefmap_mag_phasediff",
    "siemens_prisma_ve11_scout_and_phoenix",
    "siemens_prisma_ve11_sefmap_ap_pa",
    "siemens_prisma_ve11_single_slices",
    "siemens_prisma_xa30_asl",
    "siemens_prisma_xa30_phoenix_sr",
    "siemens_skyra_ve11_bold_mosaic_ap",
    "siemens_skyra_ve11_bold_mosaic_pa",
    "siemens_trio_vb17_bold_mosaic_ax_asc",
    "siemens_trio_vb17_bold_mosaic_mb_jpeg",
    "siemens_vida_xa10_bold_enhanced",
    "uih_umr770_dwi_ap",
]
#: Sidecar fields that identify, that cleaning may change, or that say what was done to the file.
MAY_DIFFER = {
    "AccessionNumber", "AcquisitionDateTime", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "DeviceSerialNumber", "ImageComments", "InstitutionAddress", "InstitutionName", "InstitutionalDepartmentName",
    "PatientBirthDate", "PatientID", "PatientName", "ProcedureStepDescription", "ProtocolName", "PulseSequenceDetails",
    "ReferringPhysicianName", "SeriesDescription", "SeriesInstanceUID", "StationName", "StudyDescription", "StudyID",
    "StudyInstanceUID", "WipMemBlock",
}  # fmt: skip
#: Attributes whose values the original headers must not share with the new ones.
IDENTIFYING = re.compile("PatientName|PatientID|OtherPatientIDs|InstitutionAddress|AccessionNumber|Physician|Operator")

pytestmark = pytest.mark.shared_data


def convert(folder: Path, out: Path) -> dict[str, bytes]:
    """Run dcm2niix; give its files by name."""
    out.mkdir()
    program = Path(sys.executable).parent / "dcm2niix"
    argv = [str(program), "-b", "y", "-ba", "n", "-z", "n", "-f", "%s_%r_%e", "-o", str(out), str(folder)]
    subprocess.run(argv, check=False, capture_output=True, timeout=300)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def fields(sidecar: bytes) -> dict[str, Any]:
    return {key: value for key, value in json.loads(sidecar).items() if key not in MAY_DIFFER}


def without_comment(content: bytes, name: str) -> bytes:
    """Blank the field `aux_file` of a NIfTI header, into which dcm2niix writes ImageComments."""
    return content[:228] + bytes(24) + content[252:] if name.endswith(".nii") else content


def values(dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    for element in dataset.iterall():
        if element.VR != "SQ" and not element.is_empty:
            many = element.value if element.VM > 1 else [element.value]
            for value in many:
                yield element.keyword, element.VR, str(value)


def identifying(dataset: Dataset) -> Iterator[str]:
    for keyword, vr, value in values(dataset):
        if vr == "UI":
            if "Class" not in keyword and not value.startswith("1.2.840.10008"):
                yield value
        elif vr == "DA" or (len(value) > 3 and (vr == "PN" or IDENTIFYING.search(keyword))):
            yield value


@pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning")  # the real headers have such values
@pytest.mark.filterwarnings("ignore:The value length:UserWarning")
@pytest.mark.parametrize("name", SETS)
def test_a_real_series_stays_convertible_and_names_nobody(
    shared_data: Path, tmp_path: Path, rules: Rules, pseudonyms: Pseudonyms, name: str
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    deidentifier = Deidentifier(rules, pseudonyms)
    collector = IdentifierCollector()
    originals = []
    for path in sorted(path for path in (shared_data / "dicom" / name / "dicom").rglob("*") if path.is_file()):
        try:
            originals.append((path, dicom.read(path.read_bytes())))
        except dicom.DicomFileError:
            assert path.suffix == ".nii"
            continue
        collector.add(originals[-1][1])
    secrets: set[str] = set()
    for number, (path, file) in enumerate(originals):
        shutil.copy(path, before / f"{number:04}.dcm")
        subject = pseudonyms.subject(file.text(0x00100020), fallback="somebody")
        cleaned = deidentifier.deidentify(file, subject, collector.identifiers)
        (after / f"{number:04}.dcm").write_bytes(cleaned)
        secrets.update(identifying(pydicom.dcmread(path, stop_before_pixels=True, force=True)))

    one, other = convert(before, tmp_path / "one"), convert(after, tmp_path / "other")
    assert list(one) == list(other)
    for made, content in one.items():
        if made.endswith(".json"):
            assert fields(content) == fields(other[made]), made
        else:
            assert without_comment(content, made) == without_comment(other[made], made), made

    secrets -= {"dicom", "***", "dcm2niix"}  # the standards' own words, and a blank
    for path in after.iterdir():
        content = path.read_bytes()
        header = content[: content.rfind(b"\xe0\x7f\x10\x00") if b"\xe0\x7f\x10\x00" in content else None]
        assert [secret for secret in secrets if secret.encode("latin-1", "replace") in header] == []
    audit = LeakAudit(collector.identifiers, rules.exemptions)
    assert audit.scan_tree(after) == []
    assert audit.scan_tree(tmp_path / "other") == []
    assert audit.scan_tree(before) != []
