from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from heartbrain_ingest.physio import Kind, PhysioRules, RecordingError, read_recordings
from heartbrain_ingest.physio.peaks import find_rhythm
from tests.physio.reading import is_physio_log, read_recording

LOG = """UUID        = {uuid}
ScanDate    = 20190114_143828
LogVersion  = EJA_1
LogDataType = RESP
SampleTime  = 8

ACQ_TIME_TICS  CHANNEL  VALUE  SIGNAL

     21083488     RESP   1728
     21083496     RESP   1808 RESP_TRIGGER
     21083520     RESP   1960
"""
INFO = """UUID        = same
LogVersion  = EJA_1
LogDataType = ACQUISITION_INFO

VOLUME   SLICE   ACQ_START_TICS  ACQ_FINISH_TICS  ECHO

     0       0         21083503         21086335     0
     0      14         21083505         21086335     0
     0       0         21083505         21086335     1
FirstTime   = 21083488
"""


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("kind", "name", "rate", "first_ms"),
    [
        (Kind.PULSE, "dcm_cardiac.tsv", 200, 45_461_367.5),
        (Kind.RESPIRATION, "dcm_respiratory.tsv", 50, 45_461_367.5),
        (Kind.TRIGGER, "dcm_external_trigger.tsv", 50, 45_473_425.0),
    ],
)
def test_a_cmrr_object_gives_the_signals_and_scanner_triggers_of_the_expected_table(
    shared_data: Path, rules: PhysioRules, kind: Kind, name: str, rate: float, first_ms: float
) -> None:
    folder = shared_data / "physio" / "siemens_cmrr_dicom_puls_resp"
    recordings = {r.kind: r for r in read_recordings(folder / "samplePhysioCMRR.dcm", rules)}
    expected = np.loadtxt(folder / name)
    recording = recordings[kind]
    np.testing.assert_array_equal(recording.samples[:, 0], expected[:, 0])
    assert recording.scanner_triggers is not None
    np.testing.assert_array_equal(recording.scanner_triggers, expected[:, 1] == 1)
    assert recording.sampling_frequency == rate
    assert recording.start_ms == first_ms
    assert recording.day == dt.date(2019, 10, 28)


def test_lost_rows_of_a_split_log_become_gaps_on_a_regular_grid(tmp_path: Path, rules: PhysioRules) -> None:
    path = tmp_path / "Physio_RESP.log"
    path.write_text(LOG.format(uuid="same"))
    assert is_physio_log(path)
    recording = read_recording(path, rules)
    np.testing.assert_array_equal(recording.samples[:, 0], [1728, 1808, np.nan, np.nan, 1960])
    assert recording.triggers is not None
    assert recording.triggers.tolist() == [False, True, False, False, False]
    assert recording.sampling_frequency == 50
    assert recording.start_ms == 21_083_488 * 2.5
    assert recording.scanner_triggers is None


def test_the_info_log_beside_a_split_log_gives_the_scanner_triggers_if_the_uuid_is_the_same(
    tmp_path: Path, rules: PhysioRules
) -> None:
    (tmp_path / "Physio_Info.log").write_text(INFO)
    assert read_recordings(tmp_path / "Physio_Info.log", rules) == ()
    path = tmp_path / "Physio_RESP.log"
    path.write_text(LOG.format(uuid="same"))
    marks = read_recording(path, rules).scanner_triggers
    assert marks is not None
    assert marks.tolist() == [False, False, True, False, False]
    path.write_text(LOG.format(uuid="other"))
    assert read_recording(path, rules).scanner_triggers is None


@pytest.mark.shared_data
def test_a_dicom_ecg_gives_its_original_leads_in_their_unit_and_the_rate_its_own_annotation_states(
    shared_data: Path, rules: PhysioRules
) -> None:
    path = shared_data / "physio" / "dicom_waveform_ecg" / "waveform_ecg.dcm"
    assert not is_physio_log(path)
    recording = read_recording(path, rules)
    assert recording.kind is Kind.ECG
    assert recording.samples.shape == (10_000, 12)
    assert recording.columns[:6] == ("ecg_I", "ecg_II", "ecg_III", "ecg_aVR", "ecg_aVL", "ecg_aVF")
    assert set(recording.units) == {"uV"}
    assert recording.start_ms == (10 * 3600 + 59 * 60 + 19) * 1000
    rate = find_rhythm(recording, rules.channels[Kind.ECG]).mean_rate
    assert rate == pytest.approx(60_000 / 982, rel=0.005)


@pytest.mark.shared_data
def test_a_dicom_image_is_no_recording(shared_data: Path, rules: PhysioRules) -> None:
    image = next(path for path in sorted((shared_data / "dicom").rglob("*.dcm")))
    with pytest.raises(RecordingError) as caught:
        read_recordings(image, rules)
    assert caught.value.code == "PHYSIO_UNREADABLE"
