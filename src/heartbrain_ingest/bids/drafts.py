"""Names in the making: one draft an image, changed step by step until the whole session is resolved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from heartbrain_ingest.bids.model import BIDS_INCOMPLETE, Candidate, Naming

#: Folder of images that have a BIDS kind but lack what BIDS requires.
INCOMPLETE_FOLDER = "sourcedata/incomplete"
#: Suffixes of one gradient-echo field map.
B0_MAP = frozenset({"magnitude", "magnitude1", "magnitude2", "phase1", "phase2", "phasediff", "fieldmap"})
_TIME = re.compile(r"(\d{1,2}):?(\d{2}):?(\d{2}(?:\.\d+)?)?")
_NEVER = float("inf")


@dataclass(kw_only=True)
class Draft:
    """The name of one image while the session is being resolved."""

    candidate: Candidate
    naming: Naming
    facts: dict[str, Any]
    datatype: str | None
    suffix: str
    entities: dict[str, str]
    folder: str | None
    code: str | None
    metadata: dict[str, Any]
    #: File suffix -> text of a further file of the image.
    tables: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    #: Issue codes of what is published all the same.
    notes: tuple[str, ...] = ()
    #: Number of the set of images acquired together, within its family; 0 before it is known.
    run: int = 0

    @property
    def is_raw(self) -> bool:
        """Whether the image belongs to the raw BIDS dataset, neither to sourcedata nor to a derivative."""
        return self.datatype is not None and self.folder is None

    @property
    def sidecar(self) -> dict[str, Any]:
        """The sidecar as it will be published, as far as naming is concerned."""
        return {**self.candidate.sidecar, **self.metadata}

    @property
    def echo_time(self) -> float | None:
        """EchoTime in seconds."""
        value: float | None = self.facts["echo_time"]
        return value

    @property
    def is_phase(self) -> bool:
        """Whether the image shows phase."""
        return bool(self.facts["part"] == "phase")

    @property
    def order(self) -> tuple[float, int, float, str]:
        """What sorts images in the order of acquisition."""
        time = seconds_of_day(self.candidate.acquisition_time)
        echo = self.echo_time if self.echo_time is not None else _NEVER
        return (time, self.candidate.series_number, echo, self.candidate.key)

    @property
    def family(self) -> tuple[Any, ...]:
        """What runs are counted within: images of one family that were acquired together share their run number."""
        group = self.suffix
        ignored = {"run", "echo", "part"}
        if self.is_raw and self.datatype == "fmap":
            group = "b0" if self.suffix in B0_MAP else self.suffix
            ignored.add("dir")
        elif self.suffix == "sbref":
            group = "dwi" if self.datatype == "dwi" else "bold"
        kept = tuple(sorted((key, label) for key, label in self.entities.items() if key not in ignored))
        return (self.datatype, self.folder, group, kept)

    @property
    def slot(self) -> tuple[str, ...]:
        """What distinguishes the images of one set."""
        return (self.suffix, *(self.entities.get(key, "") for key in ("dir", "echo", "part")))

    def demote(self, findings: Sequence[str]) -> None:
        """Move the image out of the BIDS dataset, keeping all that is known of it."""
        self.datatype, self.folder, self.code = None, INCOMPLETE_FOLDER, BIDS_INCOMPLETE
        self.findings = list(findings)
        self.tables.clear()


def seconds_of_day(text: str) -> float:
    """Read an AcquisitionTime, as DICOM or dcm2niix writes it; infinite when it is empty or unreadable."""
    found = _TIME.match(text.strip())
    if not found:
        return _NEVER
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds or 0)


def assign_runs(drafts: Iterable[Draft]) -> None:
    """Count the images of each family in the order of acquisition.

    A set begins where a slot is taken already, or where a single-band reference follows its series. The number becomes
    the entity ``run`` where a family has more than one set.
    """
    families: dict[tuple[Any, ...], list[Draft]] = {}
    for draft in sorted(drafts, key=lambda item: item.order):
        draft.entities.pop("run", None)
        families.setdefault(draft.family, []).append(draft)
    for family in families.values():
        number, taken, after_reference = 1, set[tuple[str, ...]](), False
        for draft in family:
            reference = draft.suffix == "sbref"
            if draft.slot in taken or (reference and after_reference):
                number, taken, after_reference = number + 1, set(), False
            taken.add(draft.slot)
            after_reference = after_reference or not reference
            draft.run = number
        if number > 1:
            for draft in family:
                draft.entities["run"] = str(draft.run)
