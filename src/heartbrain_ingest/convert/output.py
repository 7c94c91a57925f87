"""Write what is published of a series: images, sidecars, stored DICOM. The same input gives the same bytes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

#: The earliest time that a zip member can carry; every member has it, so that no clock shows.
FIXED_TIME = (1980, 1, 1, 0, 0, 0)

# Sidecar fields that repeat what the published folder says better, or that hold personal data in an original header.
_DROPPED = frozenset(
    {
        "PatientName",
        "PatientBirthDate",
        "AccessionNumber",
        "StudyID",
        "ReferringPhysicianName",
        "InstitutionName",
        "InstitutionAddress",
        "InstitutionalDepartmentName",
        "ProcedureStepDescription",
        "global",
    }
)


def finish_sidecar(sidecar: Mapping[str, Any], added: Mapping[str, Any]) -> str:
    """Give the text of a published sidecar: what dcm2niix wrote, less the dropped fields, plus ours."""
    content = {name: value for name, value in sidecar.items() if name not in _DROPPED}
    content.update({name: value for name, value in added.items() if value is not None})
    return json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def store_series(instances: Iterable[Path], target: Path) -> None:
    """Put the de-identified instances of a series into one zip file: stored, not packed, with a fixed time.

    Parameters
    ----------
    instances
        Files, in the order in which they shall stand.
    target
        The zip file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", compression=zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in instances:
            member = zipfile.ZipInfo(path.name, date_time=FIXED_TIME)
            member.external_attr = 0o644 << 16
            archive.writestr(member, path.read_bytes())
