"""bids-validator-deno: what it said is read right, and it runs."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest

from heartbrain_ingest.bids.validator import BidsValidator, parse_report, validate
from heartbrain_ingest.errors import ToolError

RECORDED = Path(__file__).with_name("recorded") / "bids_validator_3.0.2_broken_dataset.json"


def test_a_recorded_report_of_a_broken_dataset_gives_its_errors():
    report = parse_report(RECORDED.read_text())
    assert report.warnings == []
    assert [(issue.code, issue.location.rpartition("/")[2]) for issue in report.errors] == [
        ("SCANS_FILENAME_NOT_MATCH_DATASET", "sub-T01_ses-20230504_scans.tsv"),
        ("NOT_INCLUDED", "sub-T01_ses-20230504_T1weighted.nii.gz"),
        ("DWI_MISSING_BVAL", "sub-T00_ses-20230504_dir-AP_dwi.nii.gz"),
        ("SIDECAR_WITHOUT_DATAFILE", "sub-T01_ses-20230504_T1w.json"),
    ]
    told = str(report.errors[0])
    assert told.startswith("/sub-T01/ses-20230504/sub-T01_ses-20230504_scans.tsv: SCANS_FILENAME_NOT_MATCH_DATASET: ")
    assert told.endswith("Filenames in scans.tsv file do not match what is present in the BIDS dataset.")


def test_the_validator_is_the_one_of_this_environment():
    argv = BidsValidator(Path("dataset")).argv()
    assert argv == [
        str(Path(sys.executable).parent / "bids-validator-deno"),
        "--format",
        "json",
        "--max-rows",
        "-1",
        "dataset",
    ]


@pytest.mark.parametrize("text", ["", "Segmentation fault", "{}", '{"issues": {"issues": [{}], "codeMessages": {}}}'])
def test_output_that_is_no_report_is_an_error_and_not_a_pass(text):
    with pytest.raises(ToolError, match="did not write the expected JSON"):
        parse_report(text)


def test_the_real_validator_tells_a_wrong_name_from_a_right_one(tmp_path):
    (tmp_path / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.10.0"}))
    folder = tmp_path / "sub-01" / "beh"
    folder.mkdir(parents=True)
    table = folder / "sub-01_task-rest_recording-cardiac_physio.tsv.gz"
    table.write_bytes(gzip.compress(b"1\n2\n", mtime=0))
    sidecar = {
        "SamplingFrequency": 50,
        "StartTime": 0,
        "Columns": ["cardiac"],
        "TaskName": "rest",
        "PhysioType": "generic",
    }
    table.with_name("sub-01_task-rest_recording-cardiac_physio.json").write_text(json.dumps(sidecar))
    assert validate(tmp_path).errors == []
    (folder / "sub-01_wrong.tsv").write_text("x\n")
    assert [issue.code for issue in validate(tmp_path).errors] == ["NOT_INCLUDED"]
