"""Converters for a result: a folder in DataAnalysis becomes one record, whatever function made it.

`result.json` says what came out: `ResultType`, `Function`, `Version`, `Request`, `Parameters`, `Digest`, `Inputs`
(their paths in LinkAhead), `Values` (name, value, unit), `Notes` (code, text) and `Files` (path, role). The rows of a
file with the role `records` become records too (`result_rows`). A new function needs no new rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caoscrawler.converters import Converter
from caoscrawler.stores import GeneralStore, RecordStore
from caoscrawler.structure_elements import File, FileSystemStructureElement, StructureElement, TextElement

from heartbrain_ingest.crawl.converters import KeysModified, TypedConverter
from heartbrain_ingest.crawl.result_rows import OTHER_VALUES, ROLE, TableElement
from heartbrain_ingest.crawl.sidecars import TypedProperty, read_sidecar, type_fields, warn
from heartbrain_ingest.crawl.values import as_json_text

RESULT_NAME = "result.json"
LOG_FOLDER = "logs"
BASE = "AnalysisResult"

_INPUT = re.compile(
    r"/ExperimentalData/(?P<project>[^/]+)/[^/]+/(.*/)?"
    r"(?P<stem>(?P<subject>sub-[A-Za-z0-9]+)_(?P<session>ses-[A-Za-z0-9]+)_[^/]+?)(\.nii\.gz|\.nii|\.tsv\.gz)"
)


class ResultElement(FileSystemStructureElement):  # type: ignore[misc]  # caoscrawler has no types
    """A result folder with what its result.json says."""

    def __init__(self, folder: Path, content: Mapping[str, object]) -> None:
        super().__init__(folder.name, str(folder))
        self.content = content


class InputElement(StructureElement):  # type: ignore[misc]  # caoscrawler has no types
    """An image or recording that a result was made of: only who it is.

    Parameters
    ----------
    facts
        Variables: `project`, `subject`, `session`, `stem`, `RecordType`.
    shares_session
        Whether all inputs of the result are of one session.
    """

    def __init__(self, facts: Mapping[str, str], *, shares_session: bool) -> None:
        super().__init__(facts["stem"])
        self.facts = dict(facts)
        self.shares_session = shares_session


class ResultFolderConverter(Converter):  # type: ignore[misc]
    """A folder of DataAnalysis; its children are the result, if it holds one, and the log files."""

    def typecheck(self, element: StructureElement) -> bool:
        """Take folders."""
        return isinstance(element, FileSystemStructureElement) and Path(element.path).is_dir()

    def match(self, element: StructureElement) -> dict[str, Any] | None:
        """Match the folder's name."""
        found = re.match(self.definition["match"], element.name)
        return None if found is None else {**found.groupdict(), "folder": element.name}

    def create_children(self, generalStore: GeneralStore, element: StructureElement) -> list[StructureElement]:  # noqa: ARG002, N803
        """Give the result; a job that failed left only log files."""
        folder = Path(element.path)
        if (folder / RESULT_NAME).is_file():
            content = read_sidecar(folder / RESULT_NAME)
            if content is not None:
                return [ResultElement(folder, content)]
        return _logs(folder)


class ResultConverter(TypedConverter):
    """A result.

    Keys: `datamodel`, `record`. Variables: `$RecordType`, and `$folder` of the folder around it. Its children are
    README.md, result.json, output files (named `output/...`), tables of records, log files, the texts `Function` and
    `Request`, and the inputs.
    """

    def typecheck(self, element: StructureElement) -> bool:
        """Take results."""
        return isinstance(element, ResultElement)

    def match(self, element: ResultElement) -> dict[str, str]:
        """Every result matches."""
        named = element.content.get("ResultType", BASE)
        return {"RecordType": self.below(BASE, named, Path(element.path) / RESULT_NAME)}

    def create_records(self, values: GeneralStore, records: RecordStore, element: ResultElement) -> KeysModified:
        """Create what the cfood says, then add the values."""
        modified: KeysModified = super().create_records(values, records, element)
        content = element.content
        fields: dict[str, object] = {
            "FunctionVersion": content.get("Version"),
            "Parameters": content.get("Parameters"),
            "FunctionDigest": content.get("Digest"),
            "ContainerDigest": content.get("ContainerDigest"),
            "ResultNotes": "\n".join(str(one.get("text", "")) for one in _objects(content.get("Notes"))) or None,
        }
        other: dict[str, object] = {}
        for one in _objects(content.get("Values")):
            name, value, unit = one.get("name"), one.get("value"), one.get("unit") or None
            if not isinstance(name, str):
                continue
            kind = self.view.of_record_type.get(values["RecordType"], {}).get(name)
            if kind is not None and kind.unit == unit:
                fields[name] = value
            else:
                other[name] = {"value": value, "unit": unit}
        source = Path(element.path) / RESULT_NAME
        properties = type_fields(fields, record_type=values["RecordType"], view=self.view, source=source)
        properties = [prop for prop in properties if prop.name in fields]
        if other:
            text, _left_out = as_json_text(other)
            properties.append(TypedProperty(name=OTHER_VALUES, value=text, datatype="TEXT"))
        return modified + self.add(records, properties)

    def create_children(self, generalStore: GeneralStore, element: ResultElement) -> list[StructureElement]:  # noqa: ARG002, N803
        """Hand on files, names and inputs."""
        folder = Path(element.path)
        content = element.content
        children: list[StructureElement] = [
            File(name, str(folder / name)) for name in ("README.md", RESULT_NAME) if (folder / name).is_file()
        ]
        inputs = _inputs(folder, content.get("Inputs"))
        shared = inputs[0].facts if inputs and inputs[0].shares_session else {}
        for one in _objects(content.get("Files")):
            path = folder / str(one.get("path", ""))
            if path.is_file() and path.resolve().is_relative_to(folder.resolve()) and path.name != RESULT_NAME:
                children.append(File(f"output/{path.relative_to(folder).as_posix()}", str(path)))
                if one.get("role") == ROLE:
                    children.append(TableElement(path, shared))
        children += _logs(folder)
        children += [
            TextElement(name, str(content[name])) for name in ("Function", "Request") if content.get(name) is not None
        ]
        return [*children, *inputs]


class ResultInputConverter(Converter):  # type: ignore[misc]
    """An input of a result: identified, not described again.

    Keys: `shares_session`, whether it takes inputs that are all of one session. Variables: `$project`, `$subject`,
    `$session`, `$stem`, `$RecordType`.
    """

    def typecheck(self, element: StructureElement) -> bool:
        """Take inputs."""
        return isinstance(element, InputElement)

    def match(self, element: InputElement) -> dict[str, str] | None:
        """Match by whether the inputs share a session."""
        return element.facts if element.shares_session == self.definition["shares_session"] else None

    def create_children(self, generalStore: GeneralStore, element: StructureElement) -> list[StructureElement]:  # noqa: ARG002, N803
        """Hand on nothing."""
        return []


def _logs(folder: Path) -> list[StructureElement]:
    logs = folder / LOG_FOLDER
    return [File(f"{LOG_FOLDER}/{path.name}", str(path)) for path in sorted(logs.rglob("*")) if path.is_file()]


def _inputs(folder: Path, paths: object) -> list[InputElement]:
    """Read who the inputs are from their paths; the sidecar beside a file says its type."""
    archive = folder.parents[2]
    found = []
    for text in paths if isinstance(paths, list) else []:
        match = _INPUT.fullmatch(str(text))
        if match is None:
            warn("INVALID_SIDECAR", folder / RESULT_NAME, "an input's path is not one of the archive")
            continue
        sidecar = archive / str(text).lstrip("/").replace(Path(str(text)).name, f"{match['stem']}.json")
        content = read_sidecar(sidecar) if sidecar.is_file() else None
        default = "PhysiologicalRecording" if str(text).endswith(".tsv.gz") else "MRImage"
        found.append({**match.groupdict(""), "RecordType": str((content or {}).get("RecordType", default))})
    sessions = {(one["project"], one["subject"], one["session"]) for one in found}
    return [InputElement(one, shares_session=len(sessions) == 1) for one in found]


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
