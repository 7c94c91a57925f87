"""The tables and texts at the top of a BIDS dataset, made of the published sessions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heartbrain_ingest import __version__
from heartbrain_ingest.bids.schema import load_schema

_SEX = {"F": "female", "M": "male", "O": "other"}
_PARTICIPANT_COLUMNS: dict[str, dict[str, Any]] = {
    "participant_id": {"Description": "Pseudonym of the subject"},
    "age": {
        "Description": "Age at the first session; every age above 89 is given as 90",
        "Units": "year",
    },
    "sex": {"Description": "Sex as registered at the scanner", "Levels": _SEX},
}
_SESSION_COLUMNS: dict[str, dict[str, Any]] = {
    "session_id": {"Description": "Session of the subject"},
    "acq_time": {"Description": "Date of the session, shifted by a constant number of days for each subject"},
    "age": {"Description": "Age at the session; every age above 89 is given as 90", "Units": "year"},
    "revision": {"Description": "How often the session was published"},
}
_SCAN_COLUMNS: dict[str, dict[str, Any]] = {
    "filename": {"Description": "The image, relative to the folder of the session"},
    "acq_time": {"Description": "When the image was begun; the date is shifted, the time of day is not"},
    "record_type": {"Description": "RecordType of the image in LinkAhead"},
}


@dataclass(frozen=True, kw_only=True)
class Session:
    """One published session folder and what its session.json says."""

    folder: Path
    subject: str
    session: str
    revision: int
    #: Shifted date as YYYY-MM-DD; None when undated.
    date: str | None
    age: float | None
    sex: str | None
    responsible: str | None

    @classmethod
    def read(cls, folder: Path) -> Session:
        """Read session.json of a published folder.

        Raises
        ------
        OSError, ValueError, KeyError
            When there is none, or it does not name subject and session.
        """
        facts = json.loads((folder / "session.json").read_text(encoding="utf-8"))
        return cls(
            folder=folder,
            subject=facts["Subject"],
            session=facts["Session"],
            revision=int(facts.get("Revision") or 1),
            date=facts.get("Date"),
            age=facts.get("Age"),
            sex=facts.get("Sex"),
            responsible=facts.get("Responsible"),
        )


def write_dataset_files(dest: Path, sessions: Sequence[Session], name: str, question: str | None = None) -> None:
    """Write dataset_description.json, README.md, CHANGES, .bidsignore and the tables of participants and sessions."""
    subjects: dict[str, list[Session]] = {}
    for session in sorted(sessions, key=lambda item: (item.subject, item.date or "", item.session)):
        subjects.setdefault(session.subject, []).append(session)
    description: dict[str, Any] = {
        "Name": name,
        "BIDSVersion": load_schema().version,
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": "heartbrain-ingest", "Version": __version__}],
    }
    authors = sorted({session.responsible for session in sessions if session.responsible})
    if authors:
        description["Authors"] = authors
    _write_json(dest / "dataset_description.json", description)
    _write_readme(dest, name, len(subjects), len(sessions), question)
    dates = sorted(session.date for session in sessions if session.date)
    if dates:
        # CHANGES wants a date: the last one of the (shifted) data, as nothing here may depend on the day of writing.
        (dest / "CHANGES").write_text(
            f"1.0.0 {dates[-1]}\n  - {len(sessions)} sessions of {len(subjects)} subjects.\n", encoding="utf-8"
        )
    (dest / ".bidsignore").write_text("sourcedata/\n", encoding="utf-8")
    write_table(
        dest / "participants.tsv",
        _PARTICIPANT_COLUMNS,
        [
            {"participant_id": subject, "age": _first(visits, "age"), "sex": _first(visits, "sex")}
            for subject, visits in subjects.items()
        ],
    )
    for subject, visits in subjects.items():
        rows = [
            {
                "session_id": visit.session,
                "acq_time": f"{visit.date}T00:00:00" if visit.date else None,
                "age": visit.age,
                "revision": visit.revision,
            }
            for visit in visits
        ]
        write_table(dest / subject / f"{subject}_sessions.tsv", _SESSION_COLUMNS, rows)


def write_derivative_files(dest: Path, name: str) -> None:
    """Make a folder of ``derivatives/`` a dataset of its own: computed by the scanner, or pictures of the images."""
    by_scanner = dest.name == "scanner"
    pipeline = {"Name": "scanner"} if by_scanner else {"Name": "heartbrain-ingest", "Version": __version__}
    description = {
        "Name": f"{name}: {dest.name}",
        "BIDSVersion": load_schema().version,
        "DatasetType": "derivative",
        "GeneratedBy": [pipeline],
        "SourceDatasets": [{"URL": "file://../.."}],
    }
    _write_json(dest / "dataset_description.json", description)
    text = "Maps that the scanner computed of its images." if by_scanner else "Pictures of the images."
    (dest / "README.md").write_text(f"# {name}: {dest.name}\n\n{text}\n", encoding="utf-8")
    (dest / ".bidsignore").write_text("*.png\n**/*.png\n*.svg\n**/*.svg\n", encoding="utf-8")


def write_scans(session: Session, target: Path) -> None:
    """Write the table of a session's images.

    Parameters
    ----------
    session
        The published session.
    target
        The session's folder in the dataset, with all its images.
    """
    rows = []
    for image in sorted(target.glob("*/*.nii.gz")):
        sidecar = image.with_name(image.name.removesuffix(".nii.gz") + ".json")
        facts = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.exists() else {}
        time = facts.get("AcquisitionTime")
        rows.append(
            {
                "filename": image.relative_to(target).as_posix(),
                "acq_time": f"{session.date}T{time}" if session.date and time else None,
                "record_type": facts.get("RecordType"),
            }
        )
    if rows:
        write_table(target / f"{session.subject}_{session.session}_scans.tsv", _SCAN_COLUMNS, rows)


def write_table(path: Path, columns: Mapping[str, Mapping[str, Any]], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a BIDS table and the sidecar that describes its columns; what is missing is ``n/a``."""
    lines = ["\t".join(columns)]
    lines += ["\t".join(_cell(row.get(column)) for column in columns) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_json(path.with_suffix(".json"), columns)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "n/a"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _first(visits: Sequence[Session], field: str) -> Any:
    return next((value for visit in visits if (value := getattr(visit, field)) is not None), None)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_readme(dest: Path, name: str, subjects: int, sessions: int, question: str | None) -> None:
    found = f"The images that this question to LinkAhead finds:\n\n    {question}\n\n" if question else ""
    (dest / "README.md").write_text(
        f"# {name}\n\n"
        f"{sessions} sessions of {subjects} subjects, composed from the published sessions of an archive.\n"
        f"{found}"
        "Subjects are pseudonyms. Dates are shifted by a constant number of days for each subject: intervals between\n"
        "the sessions of a subject and times of day are true, dates are not.\n\n"
        "`derivatives/scanner/` holds maps that the scanner computed, `derivatives/qc/` pictures of the images.\n"
        "`sourcedata/` holds images for which BIDS has no name (localizers, real-time, cine, flow), or that lack what\n"
        "BIDS requires; each has a sidecar like all others.\n",
        encoding="utf-8",
    )
