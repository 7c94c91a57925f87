"""The whole study: walks the plan, writes the inbox and notes the truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from sample_data import laboratory, truth
from sample_data.header import UID_ROOT, SeriesContext
from sample_data.images import Scene, render
from sample_data.people import Visit
from sample_data.plan import StudyPlan, Subject
from sample_data.protocols import Kind
from sample_data.recordings import Recording, record
from sample_data.rhythm import Rhythm
from sample_data.series import series_files

_GAP_S = 25.0
_RECORD_BEFORE_S, _RECORD_AFTER_S = 8.0, 6.0
_CHANNELS = ("ecg", "puls", "resp")
_NAMES_STREAM, _RECORDINGS_STREAM = 0, 1000
"""Random streams of their own, beside those of the series (session number, series number)."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """One visit with the times and UIDs of its series."""

    subject: Subject
    visit: Visit
    number: int
    series: tuple[SeriesContext, ...]

    @property
    def rhythm(self) -> Rhythm:
        """Give the visit's heartbeat and breathing."""
        return Rhythm(heart_rate=self.visit.heart_rate, breathing_rate=self.visit.breathing_rate)

    def of_kind(self, kind: Kind) -> SeriesContext:
        """Give the session's first series of a kind."""
        return next(one for one in self.series if one.protocol.kind is kind)


def seconds_of_day(moment: datetime) -> float:
    """Give the seconds since midnight."""
    return (moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()


def sessions(plan: StudyPlan) -> Iterator[Session]:
    """Give the sessions of a plan in order."""
    number = 0
    for subject in plan.subjects:
        for visit in subject.visits:
            number += 1
            yield Session(subject=subject, visit=visit, number=number, series=_schedule(plan, subject, visit))


def _schedule(plan: StudyPlan, subject: Subject, visit: Visit) -> tuple[SeriesContext, ...]:
    scanner = f"{UID_ROOT}.{plan.site.device_serial}"
    stamp = f"{visit.start:%Y%m%d%H%M%S}"
    reference = f"{scanner}.{stamp}01000001"
    contexts: list[SeriesContext] = []
    start = visit.start + timedelta(seconds=60.0975)
    for number, protocol in enumerate(plan.protocols(visit), start=1):
        if protocol.kind is Kind.FIELD_PHASE:  # the phase images are made from the same measurement
            start = contexts[-1].start
        contexts.append(
            SeriesContext(
                site=plan.site,
                person=subject.person,
                visit=visit,
                protocol=protocol,
                number=number,
                start=start,
                study_uid=f"{scanner}.3000{stamp[2:]}0000{visit.study_id}",
                series_uid=f"{scanner}.{start:%Y%m%d%H%M%S}{start.microsecond:06d}{number:04d}.0.0.0",
                frame_of_reference_uid=f"{scanner}.1.{stamp}000.0.0.0",
                reference_image_uid=reference,
            )
        )
        start = start + timedelta(seconds=protocol.duration_s + _GAP_S)
    return tuple(contexts)


def scene(plan: StudyPlan, session: Session, context: SeriesContext) -> Scene:
    """Give all that the images of a series depend on; its random numbers are its own."""
    return Scene(
        protocol=context.protocol,
        head=session.subject.head,
        visit=session.visit,
        rhythm=session.rhythm,
        noise=plan.noise,
        start_of_day_s=seconds_of_day(context.start),
        rng=np.random.default_rng([plan.seed, session.number, context.number]),
    )


@dataclass(kw_only=True)
class FileNames:
    """Names as archives give them: unique, in mixed styles, saying nothing and sorting into no order."""

    rng: np.random.Generator
    used: set[str] = field(default_factory=set)

    def next(self) -> str:
        """Give an unused name."""
        while True:
            style, number = (int(one) for one in self.rng.integers((0, 10**7), (4, 10**9)))
            name = (f"IM_{number}", f"{number}", f"{number:08X}", f"{number:08X}.dcm")[style]
            if name not in self.used:
                self.used.add(name)
                return name


def recordings(plan: StudyPlan, session: Session) -> Iterator[Recording]:
    """Give a session's recordings: they run from before the diffusion to after the BOLD series."""
    diffusion, bold = session.of_kind(Kind.DIFFUSION), session.of_kind(Kind.BOLD)
    start = diffusion.moment(-_RECORD_BEFORE_S)
    start = start.replace(microsecond=start.microsecond // 1000 * 1000)  # the logs' clocks count in ms
    for number, channel in enumerate(_CHANNELS):
        stop = bold.moment(bold.protocol.duration_s + _RECORD_AFTER_S)
        if channel == "ecg" and session.visit.ecg_ends is not None:
            stop = diffusion.moment(diffusion.protocol.duration_s * session.visit.ecg_ends)
        seed = (plan.seed, session.number, _RECORDINGS_STREAM + number)
        yield record(channel, rhythm=session.rhythm, start=start, stop=stop, seed=seed)


def write_study(plan: StudyPlan, outdir: Path) -> dict[str, Any]:
    """Write `inbox/` and `truth/` below `outdir` and give the truth.

    The study is built in a hidden folder beside `outdir` and takes its place by one rename: an interrupted run leaves
    nothing that looks like a study, and the next run starts afresh.

    Raises
    ------
    FileExistsError
        If `outdir` holds anything already.
    """
    if outdir.exists() and any(outdir.iterdir()):
        raise FileExistsError(f"{outdir} is not empty")
    outdir = outdir.resolve()
    partial = outdir.with_name(f".{outdir.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    known = _write_all(plan, partial)
    partial.replace(outdir)
    return known


def _write_all(plan: StudyPlan, outdir: Path) -> dict[str, Any]:
    inbox = outdir / "inbox"
    for name in ("EXPORT", "PMU", "Labor"):
        (inbox / name).mkdir(parents=True)
    names = FileNames(rng=np.random.default_rng([plan.seed, _NAMES_STREAM]))
    listing = ["file\tpatient_id\tsession\tseries\tinstance"]
    subjects: dict[str, dict[str, Any]] = {}
    for session in sessions(plan):
        person = session.subject.person
        subject = subjects.setdefault(person.patient_id, truth.subject_truth(session.subject) | {"sessions": []})
        written = _write_dicom(plan, session, inbox / "EXPORT", names)
        listing += [
            f"EXPORT/{name}\t{person.patient_id}\t{session.number}\t{series}\t{instance}"
            for series, files in written.items()
            for instance, name in enumerate(files, start=1)
        ]
        subject["sessions"].append(
            truth.session_truth(person, session.visit)
            | {
                "number": session.number,
                "study_uid": session.series[0].study_uid,
                "series": [truth.series_truth(one, len(written[one.number]), plan.noise) for one in session.series],
                "recordings": _write_recordings(plan, session, inbox / "PMU"),
            }
        )
    known = {
        "seed": plan.seed,
        "site": truth.site_truth(plan.site),
        "tissues": truth.tissue_truth(),
        "subjects": list(subjects.values()),
        "laboratory": _write_tables(plan, inbox / "Labor"),
        "dicom_files": len(listing) - 1,
        "bytes": sum(path.stat().st_size for path in inbox.rglob("*") if path.is_file()),
    }
    (outdir / "truth").mkdir()
    (outdir / "truth" / "truth.json").write_text(
        json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (outdir / "truth" / "files.tsv").write_text("\n".join(listing) + "\n", encoding="utf-8")
    return known


def _write_dicom(plan: StudyPlan, session: Session, folder: Path, names: FileNames) -> dict[int, list[str]]:
    """Write a session's DICOM files; give the names of each series' files in the order of instances."""
    written: dict[int, list[str]] = {}
    for context in session.series:
        files = written.setdefault(context.number, [])
        for content in series_files(context, render(scene(plan, session, context))):
            name = names.next()
            (folder / name).write_bytes(content)
            files.append(name)
    return written


def _write_recordings(plan: StudyPlan, session: Session, folder: Path) -> list[dict[str, Any]]:
    known = []
    for recording in recordings(plan, session):
        name = recording.file_name(session.subject.person.patient_id)
        (folder / name).write_bytes(recording.content)
        known.append(truth.recording_truth(recording, f"{folder.name}/{name}", session.series))
    return known


def _write_tables(plan: StudyPlan, folder: Path) -> list[dict[str, Any]]:
    known = []
    for name, make in ((laboratory.WORKBOOK_NAME, laboratory.workbook), (laboratory.CSV_NAME, laboratory.csv_file)):
        content, values = make(plan.subjects)
        (folder / name).write_bytes(content)
        known += truth.laboratory_truth(values)
    return known
