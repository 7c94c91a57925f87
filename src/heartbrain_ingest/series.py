"""One series on its way through the stages of a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heartbrain_ingest import workers
from heartbrain_ingest.bids import STATED_BY, Candidate, NamedImage
from heartbrain_ingest.filesystem import safe_label
from heartbrain_ingest.ledger import FileRow
from heartbrain_ingest.papers import PublishedSeries
from heartbrain_ingest.plans import SeriesReport


@dataclass(kw_only=True)
class Series:
    """One series on its way through the stages."""

    uid: str
    number: int
    description: str
    rows: list[FileRow]
    folders: workers.SeriesFolders
    result: workers.SeriesResult = field(default_factory=workers.SeriesResult)
    archive_name: str = ""
    #: What took the face out of its images; empty where none had to.
    defaced: dict[str, str] = field(default_factory=dict)
    cleaned: list[workers.InstanceResult] = field(default_factory=list)
    named: list[NamedImage] = field(default_factory=list)

    @property
    def kept(self) -> list[workers.InstanceResult]:
        """Its instances that were de-identified."""
        return [instance for instance in self.cleaned if instance.code is None]

    def instance(self) -> Path | None:
        """Give one of its de-identified files."""
        return next((self.folders.cleaned / one.name for one in self.kept), None)

    def published(self) -> PublishedSeries:
        """Give what the papers of the session say of the series."""
        return PublishedSeries(
            archive="" if self.defaced else self.archive_name,
            instances=len(self.kept),
            result=self.result,
            images=tuple(named for named in self.named if named.path is not None),
        )

    def candidates(self) -> list[Candidate]:
        """Give its images to be named; the last part of a key is the image's stem."""
        return [
            Candidate(
                key=f"{self.number}/{self.folders.cleaned.parent.name}/{image.stem}",
                series_uid=str(self.result.header.get("SeriesInstanceUID", "")),
                series_number=self.number,
                acquisition_time=str(image.sidecar.get("AcquisitionTime", "")),
                header=self.result.header,
                sidecar=image.sidecar,
                shape=image.shape,
                voxel_size=image.voxel_size,
                b_values=image.b_values,
            )
            for image in self.result.images
        ]

    def own_fields(self, named: NamedImage) -> dict[str, Any]:
        """Give the sidecar fields of one of its images that are ours."""
        shape = named.candidate.shape
        return {
            **named.metadata,
            "RecordType": named.naming.record_type,
            "NamingRule": named.naming.rule,
            "SourceSeries": None if self.defaced else self.archive_name,
            **self.defaced,
            "ImageShape": list(shape),
            "VoxelSize": list(named.candidate.voxel_size),
            "NumberOfVolumes": number_of_volumes(shape),
            "BValues": list(named.candidate.b_values) or None,
        }

    def announces_other_count(self) -> bool:
        """Tell whether a header says another number of instances.

        Real headers announce wrong numbers: it informs, it decides nothing.
        """
        announced = {row.facts["announced"] for row in self.rows} - {0}
        return bool(announced) and announced != {len(self.rows)}

    def report(self) -> SeriesReport:
        """Give what the ledger remembers of it."""
        images = [
            {
                "path": f"{named.path.as_posix()}.nii.gz" if named.path else None,
                "rule": named.naming.rule,
                "record_type": named.naming.record_type,
                "code": named.naming.code,
                "findings": list(named.findings),
                "stated": list(named.metadata.get(STATED_BY, ())),
            }
            for named in self.named
        ]
        report = {
            "description": self.description,
            "instances": len(self.rows),
            "announced": max({row.facts["announced"] for row in self.rows} - {0}, default=None),
            "fidelity": self.result.fidelity,
            "differences": list(self.result.differences),
            "archive": self.archive_name or None,
            "images": images,
        }
        return SeriesReport(uid=self.uid, number=self.number, code=self.result.code, report=report)


def number_of_volumes(shape: Sequence[int]) -> int:
    """Give the length of the fourth dimension (i, j, k, t); 1 where there is none."""
    return shape[3] if len(shape) > 3 else 1  # noqa: PLR2004 - i, j, k, t


def name_archives(series: Sequence[Series]) -> None:
    """Give each series the name of its archive of instances: number and description, no two the same."""
    used: set[str] = set()
    for one in series:
        plain = name = f"{one.number:04d}_{safe_label(one.description) or 'series'}"
        serial = 1
        while name in used:
            serial += 1
            name = f"{plain}_{serial}"
        used.add(name)
        one.archive_name = f"{name}.zip"
