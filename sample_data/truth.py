"""What the generated study holds: everything that a reader of the inbox should find, in plain dictionaries for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from sample_data.geometry import Plane, interleaved_times
from sample_data.header import CONTRAST_AGENT, MODEL, SeriesContext
from sample_data.images import stored_signals
from sample_data.laboratory import LaboratoryValue
from sample_data.people import Person, Site, Visit
from sample_data.phantom import TISSUES, Head
from sample_data.plan import Subject
from sample_data.protocols import DIRECTIONS, Kind, Protocol
from sample_data.recordings import MPCU_LEAD_MS, SAMPLE_MS, Recording

AGE_CAP = 90


def site_truth(site: Site) -> dict[str, Any]:
    """Give the scanner, and the identifiers that every file carries."""
    staff = (
        *site.referring_physicians,
        site.performing_physician,
        site.requesting_physician,
        site.reading_physician,
        *site.operators,
    )
    return {
        "manufacturer": "SIEMENS",
        "model": MODEL,
        "field_strength": 3.0,
        "identifiers": {
            "institution": [site.institution, site.address, site.department],
            "device": [site.station, site.device_serial],
            "staff": sorted({part for name in staff for part in _name_parts(name)}),
            "telephone": [site.telephone],
        },
    }


def tissue_truth() -> dict[str, Any]:
    """Give the properties of each class; D* is null where nothing flows."""
    return {
        tissue.name.lower(): {
            "label": int(tissue),
            "proton_density": one.proton_density,
            "T1_ms": one.t1,
            "T2_ms": one.t2,
            "T2star_ms": one.t2_star,
            "f": one.perfusion_fraction,
            "D_mm2_per_s": one.diffusion,
            "Dstar_mm2_per_s": one.pseudo_diffusion if one.perfusion_fraction else None,
            "enhancement_per_s": one.enhancement,
        }
        for tissue, one in TISSUES.items()
    }


def subject_truth(subject: Subject) -> dict[str, Any]:
    """Give a subject without the sessions."""
    person = subject.person
    return {
        "patient_id": person.patient_id,
        "name": person.name,
        "birth_date": person.birth_date.isoformat(),
        "sex": person.sex,
        "size_m": person.size_m,
        "weight_kg": person.weight_kg,
        "identifiers": _identifiers(person),
        "head": _head(subject.head),
        "volumes_mm3": {one.name.lower(): round(volume, 1) for one, volume in subject.head.volumes().items()},
    }


def session_truth(person: Person, visit: Visit) -> dict[str, Any]:
    """Give a session without its series and recordings."""
    age = person.age(visit.start.date())
    return {
        "date": visit.start.date().isoformat(),
        "time": visit.start.time().isoformat(),
        "age": age,
        "age_published": min(age, AGE_CAP),
        "contrast": visit.contrast,
        "contrast_agent": CONTRAST_AGENT if visit.contrast else None,
        "accession_number": visit.accession_number,
        "study_id": visit.study_id,
        "head_offset_mm": list(visit.offset_mm),
        "tilt_degrees": visit.tilt_degrees,
        "heart_rate_per_min": visit.heart_rate,
        "breathing_rate_per_min": visit.breathing_rate,
    }


def series_truth(context: SeriesContext, files: int, noise: float) -> dict[str, Any]:
    """Give a series: how it was measured, what it should become, the noise-free values of each class."""
    protocol = context.protocol
    truth: dict[str, Any] = {
        "number": context.number,
        "kind": protocol.kind.value,
        "description": protocol.description,
        "series_uid": context.series_uid,
        "start": context.start.isoformat(),
        "duration_s": protocol.duration_s,
        "files": files,
        "record_type": protocol.record_type,
        "bids": None,
        "nifti": _nifti(protocol),
        "repetition_time_s": protocol.repetition_ms / 1000.0,
        "echo_times_s": [echo / 1000.0 for echo in protocol.echo_ms],
        "inversion_time_s": protocol.inversion_ms / 1000.0 if protocol.inversion_ms else None,
        "flip_angle_degrees": protocol.flip_degrees,
        "contrast": protocol.contrast,
        "noise_sigma": noise,
        "signal": _signal(protocol),
    }
    if protocol.suffix:
        truth["bids"] = {
            "datatype": protocol.datatype,
            "suffix": protocol.suffix,
            "entities": dict(protocol.entities),
        }
    if protocol.mosaic:
        times = interleaved_times(protocol.slices, protocol.repetition_ms)
        truth["slice_timing_s"] = [round(float(time) / 1000.0, 6) for time in times]
        truth["phase_encoding_direction"] = "j-" if protocol.phase_positive else "j"
    if protocol.phase_bandwidth:
        spacing = 1.0 / (protocol.phase_bandwidth * protocol.rows)
        truth["effective_echo_spacing_s"] = spacing
        truth["total_readout_time_s"] = spacing * (protocol.rows - 1)
    if protocol.b_values:
        steps = [(b, direction) for b in protocol.b_values for direction in (DIRECTIONS if b else ((0.0, 0.0, 0.0),))]
        truth["b_values"] = [b for b, _ in steps]
        truth["directions_lps"] = [list(direction) for _, direction in steps]
        truth["b_vectors"] = _b_vectors(context.visit, [direction for _, direction in steps])
    return truth


def recording_truth(recording: Recording, file: str, series: Sequence[SeriesContext]) -> dict[str, Any]:
    """Give a recording and the part of each overlapping series' time that it covers."""
    return {
        "file": file,
        "channel": recording.channel,
        "record_type": {
            "ecg": "ECGRecording",
            "puls": "PulseOximetryRecording",
            "resp": "RespirationRecording",
        }[recording.channel],
        "start": recording.start.isoformat(),
        "stop": recording.stop.isoformat(),
        "sampling_frequency_hz": 1000.0 / SAMPLE_MS,
        "samples": recording.samples,
        "triggers": recording.triggers,
        "mean_rate_per_min": recording.mean_rate,
        "mpcu_lead_ms": MPCU_LEAD_MS,
        "overlap": {str(one.number): round(part, 4) for one in series if (part := _overlap(recording, one)) > 0.0},
    }


def laboratory_truth(values: Sequence[LaboratoryValue]) -> list[dict[str, Any]]:
    """Give every value of the laboratory's tables."""
    return [value.as_truth() for value in values]


def _overlap(recording: Recording, series: SeriesContext) -> float:
    stop = series.start + timedelta(seconds=series.protocol.duration_s)
    shared = min(stop, recording.stop) - max(series.start, recording.start)
    return max(0.0, shared / (stop - series.start))


def _nifti(protocol: Protocol) -> list[dict[str, Any]]:
    """Give the images that dcm2niix makes of a series; it turns 3D acquisitions to the axes of the patient."""
    shape, voxel = (
        [protocol.columns, protocol.rows, protocol.slices],
        [protocol.pixel, protocol.pixel, protocol.spacing],
    )
    if protocol.acquisition_type == "3D" and protocol.plane is Plane.SAGITTAL:
        shape, voxel = (
            [protocol.slices, protocol.columns, protocol.rows],
            [protocol.spacing, protocol.pixel, protocol.pixel],
        )
    if protocol.kind is Kind.LOCALIZER:
        shape = [protocol.columns, protocol.rows, 1]
        return [{"shape": shape, "voxel_mm": voxel, "echo_time_s": protocol.echo_ms[0] / 1000.0}] * protocol.slices
    if protocol.volumes > 1:
        shape = [*shape, protocol.volumes]
    echoes = protocol.echo_ms[-1:] if protocol.kind is Kind.FIELD_PHASE else protocol.echo_ms
    return [{"shape": shape, "voxel_mm": voxel, "echo_time_s": echo / 1000.0} for echo in echoes]


def _signal(protocol: Protocol) -> Mapping[str, float] | None:
    if protocol.kind is Kind.FIELD_PHASE:
        return None
    return {tissue.name.lower(): round(value, 3) for tissue, value in stored_signals(protocol).items()}


def _b_vectors(visit: Visit, directions: Sequence[Sequence[float]]) -> list[list[float]]:
    """Give the directions in the axes of the converted image, as FSL wants them (3 rows).

    dcm2niix stores transverse slices with the second axis turned round, so that axis points to the front. Such an image
    has a negative determinant and FSL's first axis is then the image's own.
    """
    angle = np.deg2rad(visit.tilt_degrees)
    column = np.array([0.0, np.cos(angle), np.sin(angle)])
    axes = np.array([[1.0, 0.0, 0.0], -column, np.cross([1.0, 0.0, 0.0], column)])
    return [[round(float(one), 6) + 0.0 for one in row] for row in axes @ np.array(directions).T]


def _head(head: Head) -> dict[str, Any]:
    return {
        "scale": head.scale,
        "white_fraction": head.white_fraction,
        "ventricle_scale": head.ventricle_scale,
        "lesion_centre_mm": list(head.lesion_centre),
        "lesion_radius_mm": head.lesion_radius,
    }


def _identifiers(person: Person) -> dict[str, list[str]]:
    return {
        "names": sorted({*_name_parts(person.name), *_name_parts(person.birth_name)}),
        "ids": [person.patient_id, *person.other_ids],
        "dates": _dates(person.birth_date),
        "address": [person.address],
        "telephone": [person.telephone],
        "other": [person.insurance, person.occupation, person.comment],
    }


def _dates(day: date) -> list[str]:
    return [f"{day:%Y%m%d}", f"{day:%Y-%m-%d}", f"{day:%d.%m.%Y}"]


def _name_parts(name: str) -> list[str]:
    shortest = 3
    return [part for part in name.replace("^", " ").split(" ") if len(part) > shortest and not part.endswith(".")]
