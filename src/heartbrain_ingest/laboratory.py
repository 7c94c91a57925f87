"""Build one laboratory delivery in the staging area: the clean table, the refused rows, the README."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from heartbrain_ingest import lab
from heartbrain_ingest.filesystem import ReadmeHeader, delivery_folder, write_readme
from heartbrain_ingest.filesystem.readme import FileEntry


@dataclass(kw_only=True)
class BuiltTable:
    """A staged laboratory delivery."""

    #: The folder to publish; None when nothing of the table can be.
    folder: Path | None
    #: Where it is to be published, relative to the archive.
    target: str
    #: Why nothing is published.
    code: str | None = None
    #: Codes of refused rows.
    warnings: Counter[str] = field(default_factory=Counter)


def build_delivery(
    table: Path,
    *,
    rules: Path,
    project: str,
    label: str,
    responsible: str,
    resolve: Callable[[str], lab.SubjectRef | None],
    stage: Path,
) -> BuiltTable:
    """Read a laboratory table and stage what may be published of it.

    Parameters
    ----------
    table
        The file of the laboratory.
    rules
        `lab.yml`.
    label
        Names the delivery: a keyed token of the file's content.
    resolve
        PatientID -> pseudonym, None where the subject is unknown.
    stage
        Folder to build in.
    """
    try:
        delivery = lab.read_table(table, lab.load_rules(rules), resolve)
    except lab.LabTableError as error:
        return BuiltTable(folder=None, target="", code=error.code)
    refused = Counter(refusal.code for refusal in delivery.refused)
    if not delivery.measurements:
        return BuiltTable(folder=None, target="", code="LAB_NOTHING_USABLE", warnings=refused)
    first = min(measurement.day for measurement in delivery.measurements)
    target = delivery_folder(project, first, f"lab_{label}")
    folder = stage / Path(target).name
    written = lab.write_delivery(delivery, folder)
    subjects = len({measurement.subject for measurement in delivery.measurements})
    header = ReadmeHeader(
        responsible=(responsible,),
        description=f"Laboratory delivery: {len(delivery.measurements)} values of {subjects} subjects",
        results=tuple(FileEntry(file=path.name, description=_DESCRIPTIONS[path.name]) for path in written),
        tags=("laboratory", "de-identified"),
    )
    body = (
        "# Laboratory delivery\n\n"
        "`laboratory.tsv` holds one value a line, `laboratory.json` says what its columns mean. `refused.tsv` lists\n"
        "the cells that were not taken over, with the reason; it holds nothing that names a patient."
    )
    write_readme(folder, header, body)
    return BuiltTable(folder=folder, target=target, warnings=refused)


_DESCRIPTIONS = {
    "laboratory.tsv": "One value a line, with unit, reference range and sample",
    "laboratory.json": "What the columns mean",
    "refused.tsv": "Cells that were not taken over, and why",
}
