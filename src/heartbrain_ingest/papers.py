"""The papers of a published session: facts for the database, README for people, certificate of what was done."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from heartbrain_ingest import __version__, filesystem
from heartbrain_ingest.bids import NamedImage
from heartbrain_ingest.convert import tool_version
from heartbrain_ingest.deidentify import Option
from heartbrain_ingest.filesystem import ReadmeHeader
from heartbrain_ingest.filesystem.readme import FileEntry
from heartbrain_ingest.plans import BuildTools, SessionPlan
from heartbrain_ingest.workers import SeriesResult

MAX_AGE = 90.0  # PS3.15 Annex E, Retain Patient Characteristics: ages over 89 are one group


@dataclass(frozen=True, kw_only=True)
class PublishedSeries:
    """One series of the session."""

    #: Name of its zip below sourcedata/dicom; empty when it is not published.
    archive: str
    #: Number of instances that were de-identified.
    instances: int
    result: SeriesResult
    images: tuple[NamedImage, ...]


def write_facts(folder: Path, plan: SessionPlan, responsible: str, series: Sequence[PublishedSeries]) -> None:
    """Write `session.json`: what the database is told of the session itself."""
    first = next(one.result for one in series if one.images)
    header, sidecar = first.header, first.images[0].sidecar
    facts = {
        "Project": plan.project,
        "Subject": f"sub-{plan.subject.label}",
        "Session": f"ses-{plan.session}",
        "Date": plan.day.isoformat() if plan.day else None,
        "Age": published_age(plan.age, header.get("PatientAge")),
        "Sex": header.get("PatientSex") or None,
        "Responsible": responsible,
        "Revision": plan.revision,
        "Device": header.get("DeviceSerialNumber") or None,
        "Manufacturer": sidecar.get("Manufacturer") or header.get("Manufacturer") or None,
        "ManufacturersModelName": sidecar.get("ManufacturersModelName") or None,
        "MagneticFieldStrength": sidecar.get("MagneticFieldStrength"),
    }
    _write_json(folder / "session.json", facts)


def write_certificate(
    folder: Path,
    plan: SessionPlan,
    tools: BuildTools,
    series: Sequence[PublishedSeries],
    exempted: Mapping[str, int],
) -> None:
    """Write `certificate.json`: the rules in force, what was counted, how it was checked."""
    checked = Counter(one.result.fidelity for one in series)
    certificate = {
        "Deidentification": {
            "RulesVersion": tools.rules.version,
            "RulesDigest": tools.rules.digest,
            "Profile": [meaning for _code, meaning in tools.rules.codes],
            "Codes": [code for code, _meaning in tools.rules.codes],
            "Options": {option.value: option in tools.rules.options for option in Option},
            "Instances": sum(one.instances for one in series if one.archive),
        },
        "Fidelity": {
            "Mode": {0: "off", 1: "all"}.get(tools.compared, f"sample: one series in {tools.compared}"),
            "Series": {name: checked[name] for name in sorted(checked)},
        },
        "LeakAudit": {
            "Identifiers": len(plan.identifiers.values),
            "Kinds": dict(sorted(Counter(kind.value for kind, _ in plan.identifiers.values).items())),
            "Hits": 0,
            "Exempted": dict(sorted(exempted.items())),
        },
        "Released": [
            {"Code": code, "Reason": reason, "Count": count}
            for (code, reason), count in sorted(Counter((one.code, one.reason) for one in plan.releases).items())
        ],
        "Refused": dict(sorted(Counter(one.result.code for one in series if one.result.code).items())),
        "Tools": {
            "dcm2niix": tool_version(),
            "heartbrain-ingest": __version__,
            **{name: version(name) for name in ("pydicom", "pyahocorasick")},
        },
    }
    _write_json(folder / "certificate.json", certificate)


def write_readme(folder: Path, plan: SessionPlan, responsible: str, series: Sequence[PublishedSeries]) -> None:
    """Write `README.md` with the header of the Standardized Filesystem."""
    results = [
        FileEntry(
            file=f"{named.path.as_posix()}.nii.gz",
            description=f"{named.naming.record_type}, rule {named.naming.rule}",
        )
        for one in series
        for named in one.images
        if named.path is not None
    ]
    sources = [
        FileEntry(file=f"sourcedata/dicom/{one.archive}", description=f"De-identified DICOM, {one.instances} instances")
        for one in series
        if one.archive
    ]
    subject, session = f"sub-{plan.subject.label}", f"ses-{plan.session}"
    header = ReadmeHeader(
        responsible=(responsible,),
        description=f"MRI session {session} of {subject}",
        sources=tuple(sources),
        results=tuple(sorted(results, key=lambda entry: entry.file)),
        tags=("MRI", "BIDS", "de-identified"),
        revisionOf=plan.revision_of,
    )
    body = (
        f"# {subject} {session}\n\n"
        "De-identified images with their acquisition parameters (BIDS), and the de-identified DICOM they come\n"
        "from. Dates are shifted by a number of days of the subject's own. `certificate.json` says what was done\n"
        "and how it was checked."
    )
    filesystem.write_readme(folder, header, body)


def published_age(known: float | None, text: object) -> float | None:
    """Give the age in whole years, 90 for all that is over 89.

    Parameters
    ----------
    known
        Years, from birth and study date; None when one is missing.
    text
        PatientAge (PS3.5 section 6.2, `034Y`), used where `known` is None.
    """
    if known is None and isinstance(text, str) and text[:3].isdigit():
        unit = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}.get(text[3:4].upper())
        known = math.floor(int(text[:3]) * unit) if unit else None
    return None if known is None else float(min(known, MAX_AGE))


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
