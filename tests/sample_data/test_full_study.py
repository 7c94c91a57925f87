"""The full study keeps to its limits."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sample_data import generate


@pytest.mark.slow
def test_the_full_study_takes_less_than_a_minute_and_150_megabytes_and_converts_wholly(tmp_path: Path) -> None:
    start = time.process_time()
    truth = generate(tmp_path / "study")
    assert time.process_time() - start < 60
    assert truth["bytes"] < 150_000_000
    series = [one for subject in truth["subjects"] for session in subject["sessions"] for one in session["series"]]
    assert len(series) == 63
    assert max(one["files"] for one in series) == 2000
    target = tmp_path / "nifti"
    target.mkdir()
    command = [str(Path(sys.executable).with_name("dcm2niix")), "-z", "n", "-b", "n", "-f", "%j", "-o", str(target)]
    inbox = tmp_path / "study" / "inbox" / "EXPORT"
    done = subprocess.run([*command, str(inbox)], capture_output=True, text=True, check=True, timeout=300)
    assert f"Found {truth['dicom_files']} DICOM file(s)" in done.stdout
    assert len(list(target.glob("*.nii"))) == sum(len(one["nifti"]) for one in series) == 81
