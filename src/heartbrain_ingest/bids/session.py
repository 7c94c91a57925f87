"""Name all images of a session: rules first, then what only the whole session tells, then what BIDS requires."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from heartbrain_ingest.bids.drafts import Draft, assign_runs
from heartbrain_ingest.bids.expressions import Partial
from heartbrain_ingest.bids.facts import describe
from heartbrain_ingest.bids.fieldmaps import complete_echo_times, link_field_maps
from heartbrain_ingest.bids.model import Candidate, NamedImage
from heartbrain_ingest.bids.perfusion import complete_labelling
from heartbrain_ingest.bids.rules import NamingRules
from heartbrain_ingest.bids.schema import BidsSchema, load_schema
from heartbrain_ingest.bids.siblings import pair_references, separate_echoes, separate_parts, separate_protocols


def name_session(
    candidates: Sequence[Candidate], rules: NamingRules, *, subject: str, session: str
) -> list[NamedImage]:
    """Give every image of a session its name.

    The names depend on the images alone, not on the order in which they are given.

    Parameters
    ----------
    candidates
        All images of the session, with unique keys.
    rules
        The site's rules.
    subject, session
        Labels, with or without ``sub-`` and ``ses-``.

    Returns
    -------
    list of NamedImage
        One for each candidate, in the order of acquisition. Paths are unique.
    """
    schema = load_schema()
    subject, session = subject.removeprefix("sub-"), session.removeprefix("ses-")
    drafts = sorted((_draft(candidate, rules) for candidate in candidates), key=lambda draft: draft.order)
    named = [draft for draft in drafts if not draft.naming.ignored]
    separate_echoes(named, schema)
    pair_references(named)
    separate_parts(named, schema)
    separate_protocols(named, schema)
    complete_labelling(named)
    _settle(named, schema)

    def path(draft: Draft) -> PurePosixPath:
        return _path(draft, schema, subject, session)

    inside = [draft for draft in named if draft.is_raw]
    link_field_maps(inside, session, lambda draft: f"bids::{path(draft)}.nii.gz")
    return [_finish(draft, path(draft), schema) if not draft.naming.ignored else _ignored(draft) for draft in drafts]


def _draft(candidate: Candidate, rules: NamingRules) -> Draft:
    stated = rules.state(candidate)
    candidate = replace(candidate, sidecar={**candidate.sidecar, **stated.fields})
    naming, _ = rules.decide(candidate)
    metadata = {**naming.metadata, **stated.fields}
    if naming.datatype is not None and naming.folder is not None:
        # Required of every derived image (BIDS, common derivatives); no scanner takes the skull away.
        metadata.setdefault("SkullStripped", False)
    if "task" in naming.entities:
        metadata.setdefault("TaskName", naming.entities["task"])
    return Draft(
        candidate=candidate,
        naming=naming,
        facts=describe(candidate, rules.ignored_words),
        datatype=naming.datatype,
        suffix=naming.suffix,
        entities=dict(naming.entities),
        folder=naming.folder,
        code=naming.code,
        metadata=metadata,
        notes=tuple(stated.codes),
    )


def _settle(drafts: Sequence[Draft], schema: BidsSchema) -> None:
    """Count the runs, and move out what BIDS would not accept; what moves out may leave others incomplete."""
    while True:
        assign_runs(drafts)
        complete_echo_times(drafts)
        beside: dict[Any, set[str]] = {}
        for draft in drafts:
            beside.setdefault((draft.family, draft.run), set()).add(draft.suffix)
        incomplete = []
        for draft in drafts:
            if draft.is_raw:
                context = _context(draft, beside[draft.family, draft.run], schema)
                findings = [*_missing_entities(draft, schema), *schema.failures(context)]
                if findings:
                    incomplete.append((draft, findings))
        if not incomplete:
            return
        for draft, findings in incomplete:
            draft.demote(findings)


def _missing_entities(draft: Draft, schema: BidsSchema) -> list[str]:
    if draft.datatype is None:
        return []
    levels = schema.names[draft.datatype, draft.suffix]
    missing = [
        entity
        for entity, level in levels.items()
        if level == "required" and entity not in {*draft.entities, "sub", "ses"}
    ]
    return [f"the name lacks {', '.join(missing)}"] if missing else []


def _context(draft: Draft, beside: Collection[str], schema: BidsSchema) -> dict[str, Any]:
    """Tell the schema's expressions what is known of an image before it is written (BIDS schema, "context").

    `beside` names the suffixes of the images acquired together with it.
    """
    shape = draft.candidate.shape
    while len(shape) > 3 and shape[-1] == 1:  # noqa: PLR2004 - dcm2niix writes a single volume with three dimensions
        shape = shape[:-1]
    associations: dict[str, Any] = {suffix: {} for suffix in {"magnitude", "magnitude1", "m0scan"} & set(beside)}
    if draft.candidate.b_values:
        columns = len(draft.candidate.b_values)
        associations["bval"] = {"n_cols": columns, "n_rows": 1, "values": list(draft.candidate.b_values)}
        associations["bvec"] = {"n_cols": columns, "n_rows": 3}
    if "aslcontext.tsv" in draft.tables:
        types = draft.tables["aslcontext.tsv"].split()[1:]
        associations["aslcontext"] = {"n_rows": len(types), "volume_type": types}
    return {
        "datatype": draft.datatype,
        "suffix": draft.suffix,
        "extension": ".nii.gz",
        "modality": "mri",
        "entities": {schema.entity_names[key]: label for key, label in draft.entities.items()},
        "sidecar": draft.sidecar,
        "associations": associations,
        "nifti_header": Partial(
            dim=[len(shape), *shape, *[1] * (7 - len(shape))],
            shape=list(shape),
            voxel_sizes=list(draft.candidate.voxel_size),
        ),
    }


def _path(draft: Draft, schema: BidsSchema, subject: str, session: str) -> PurePosixPath:
    name = schema.file_name({"sub": subject, "ses": session, **draft.entities}, draft.suffix)
    if draft.datatype is None:
        return PurePosixPath(str(draft.folder), name)
    return PurePosixPath(draft.folder or "", f"sub-{subject}", f"ses-{session}", draft.datatype, name)


def _finish(draft: Draft, path: PurePosixPath, schema: BidsSchema) -> NamedImage:
    naming = replace(
        draft.naming,
        datatype=draft.datatype,
        suffix=draft.suffix,
        entities=dict(draft.entities),
        folder=draft.folder,
        code=draft.code,
        metadata=dict(draft.metadata),
    )
    tables = {}
    for name, text in draft.tables.items():
        stem = path.name.removesuffix(f"_{draft.suffix}")
        tables[path.with_name(f"{stem}_{name}")] = text
    metadata = dict(draft.metadata)
    metadata |= {"RecordType": naming.record_type, "NamingRule": naming.rule}
    return NamedImage(
        candidate=draft.candidate,
        naming=naming,
        path=path,
        metadata=metadata,
        tables=tables,
        b_table=draft.datatype is None or (draft.datatype, draft.suffix) in schema.with_b_table,
        findings=tuple(draft.findings),
        notes=draft.notes,
    )


def _ignored(draft: Draft) -> NamedImage:
    return NamedImage(candidate=draft.candidate, naming=draft.naming, path=None, metadata={})
