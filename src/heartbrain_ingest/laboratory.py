"""Build one laboratory delivery in the staging area: the clean table, the refused rows, the README."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heartbrain_ingest import lab
from heartbrain_ingest.filesystem import EXPERIMENTAL_DATA, ReadmeHeader, delivery_folder, write_readme
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
    #: Codes of refused rows, and LAB_REPLACED for values that came before and were others.
    warnings: Counter[str] = field(default_factory=Counter)
    #: Folder with the list of refused rows where nothing of the table can be published.
    refused: Path | None = None


def build_delivery(
    table: Path,
    *,
    rules: Path,
    project: str,
    label: str,
    responsible: str,
    resolve: Callable[[str], lab.SubjectRef | None],
    stage: Path,
    earlier: Sequence[Path] = (),
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
    earlier
        Published tables of the project, the oldest first.
    """
    known = lab.load_rules(rules)
    try:
        delivery = lab.read_table(table, known, resolve)
    except lab.LabTableError as error:
        return BuiltTable(folder=None, target="", code=error.code)
    refused = Counter(refusal.code for refusal in delivery.refused)
    if not delivery.measurements:
        folder = lab.write_refused(delivery, stage / f"lab_{label}").parent
        return BuiltTable(folder=None, target="", code="LAB_NOTHING_USABLE", warnings=refused, refused=folder)
    first = min(measurement.day for measurement in delivery.measurements)
    target = delivery_folder(project, first, f"lab_{label}")
    folder = stage / Path(target).name
    replaced = lab.find_replaced(delivery, earlier)
    written = lab.write_delivery(delivery, folder, replaced)
    if replaced:
        refused["LAB_REPLACED"] = len(replaced)
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
    if replaced:
        body += "\n`replaced.tsv` lists values that came before and were others then: the new ones count."
    unreviewed = sum(m.reference_source == lab.UNREVIEWED for m in delivery.measurements)
    if unreviewed:
        body += (
            f"\n\nThe reference ranges of {unreviewed} values are those of lab.yml, which no laboratory has reviewed: "
            "don't call a value abnormal by them."
        )
    write_readme(folder, header, body)
    return BuiltTable(folder=folder, target=target, warnings=refused)


def published_tables(archive: Path, project: str) -> list[Path]:
    """Give the published laboratory tables of a project, in the order in which they were published."""
    found = (archive / EXPERIMENTAL_DATA / project).glob("*_lab_*/laboratory.tsv")
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.parent.name))


_DESCRIPTIONS = {
    "laboratory.tsv": "One value a line, with unit, reference range and sample",
    "laboratory.json": "What the columns mean",
    "replaced.tsv": "Values that came before and were others then",
    "refused.tsv": "Cells that were not taken over, and why",
}
