"""Where results are put: a folder in DataAnalysis by one rename, then its records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from linkahead.queries import query
from linkahead.utils.escape import escape_squoted_text

from heartbrain_ingest.crawl.client import database_errors
from heartbrain_ingest.filesystem import DATA_ANALYSIS, FileEntry, ReadmeHeader, publish, write_readme
from heartbrain_ingest.filesystem.publish import PublishError
from heartbrain_ingest.postprocessing.catalogue import as_text
from heartbrain_ingest.postprocessing.exchange import Accepted
from heartbrain_ingest.postprocessing.inputs import InputReader
from heartbrain_ingest.postprocessing.requests import OF_STATE, Request
from heartbrain_ingest.postprocessing.transports.base import Outcome
from hpc_bridge.errors import VerificationError
from hpc_bridge.protocol import JobSpec, State
from hpc_bridge.protocol.signing import parse

#: Written by this side; a function's file of the same name goes to `function/`.
SPECIFICATION, MANIFEST, HISTORY, RESULT, LOGS = (
    "specification.json",
    "manifest.json",
    "history.json",
    "result.json",
    "logs",
)
_OURS = frozenset({"README.md", SPECIFICATION, MANIFEST, HISTORY, RESULT})
FUNCTION_FOLDER = "function"
_MOST_RESULT_BYTES = 1 << 26
_LONGEST_LIST = 200


class Crawl(Protocol):
    """Makes the records of a published folder."""

    def __call__(self, folder: Path) -> object:
        """Crawl it; crawling again changes nothing."""
        ...


class ArchiveShelf:
    """Puts results into the archive.

    Parameters
    ----------
    archive
        Root of the published tree.
    staging
        Folder on the same file system where results are built.
    crawl
        Makes records of a published folder.
    reader
        Finds the files of the inputs.
    responsible
        Who answers for the folders.
    default_project
        Project of a result whose request names none.
    note_closed
        Remembers a job whose data may be deleted later.
    """

    def __init__(
        self,
        *,
        archive: Path,
        staging: Path,
        crawl: Crawl,
        reader: InputReader,
        responsible: str,
        default_project: str,
        note_closed: Callable[[str], None],
    ) -> None:
        self._archive = archive
        self._staging = staging
        self._crawl = crawl
        self._reader = reader
        self._responsible = responsible
        self._default_project = default_project
        self._note = note_closed

    def note_closed(self, job: str) -> None:
        """Remember that the data of a job may be deleted after the retention time."""
        self._note(job)

    def accept(self, request: Request, outcome: Outcome, bring: Callable[[Path], None]) -> Accepted:
        """Publish and crawl a result, or the logs of a job without one; what is published already stays as it is.

        Raises
        ------
        VerificationError
            When what came is not what its manifest says, or belongs to another request.
        """
        if outcome.state is not State.FINISHED and not outcome.logs:
            return Accepted()
        # What was signed decides, for a record in LinkAhead can be edited at any time.
        spec = _specification(outcome)
        project = request.project or self._default_project
        request = replace(request, job=outcome.job, function=spec.function, version=spec.version, project=project)
        request = replace(request, parameters=as_text(spec.parameters))
        target = self._archive / DATA_ANALYSIS / project / folder_name(request, spec)
        work = self._staging / outcome.job
        if not target.is_dir():
            if outcome.state is State.FINISHED and not outcome.manifest:
                raise VerificationError("its result was deleted from the bucket before it came")
            self._publish(request, outcome, bring, work=work, target=target)
        elif _job_of(target) != request.job:
            raise VerificationError(f"{target.name} holds the result of another job")
        shutil.rmtree(work, ignore_errors=True)
        self._crawl(target)
        return self._recorded(target)

    def _publish(
        self, request: Request, outcome: Outcome, bring: Callable[[Path], None], *, work: Path, target: Path
    ) -> None:
        fetched, folder = work / "fetched", work / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        fetched.mkdir(parents=True, exist_ok=True)
        bring(fetched)  # what an interrupted exchange has fetched is kept
        folder.mkdir()
        self._build(request, outcome, fetched=fetched, folder=folder)
        try:
            publish(folder, target)
        except PublishError:
            # Another exchange may have been faster: then its rename is the one that counts.
            if not target.is_dir() or _job_of(target) != request.job:
                raise

    def _build(self, request: Request, outcome: Outcome, *, fetched: Path, folder: Path) -> None:
        files: list[str] = []
        for name in outcome.outputs:
            path = f"{FUNCTION_FOLDER}/{name}" if name in _OURS or name.split("/")[0] == LOGS else name
            _copy(fetched / "output" / name, folder / path)
            files.append(path)
        for name in outcome.logs:
            _copy(fetched / "logs" / name, folder / LOGS / name)
        documents = {
            SPECIFICATION: outcome.specification,
            MANIFEST: outcome.manifest,
            HISTORY: outcome.history,
        }
        for name, body in documents.items():
            if body:
                (folder / name).write_bytes(body)
        inputs = [file.place for file in self._main_files(request)]
        if outcome.state is State.FINISHED:
            reported = _reported(folder / FUNCTION_FOLDER / RESULT)
            result = make_result(request, outcome, reported, inputs=inputs, files=files)
            (folder / RESULT).write_text(json.dumps(result, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        self._write_readme(request, outcome, folder, inputs=inputs, files=files)

    def _main_files(self, request: Request) -> list[Any]:
        """Give the image or table of each input: the first of its files."""
        found = self._reader.read(request.inputs)
        return [found[number].files[0] for number in request.inputs if number in found and found[number].files]

    def _write_readme(
        self, request: Request, outcome: Outcome, folder: Path, *, inputs: list[str], files: list[str]
    ) -> None:
        up = "../../.."
        state = OF_STATE[outcome.state]
        scripts = [(SPECIFICATION, f"{request.function} {request.version}: what was asked for, signed")]
        scripts += [(MANIFEST, f"what was run: {outcome.function_digest}, and what it made, signed")]
        results = [*((RESULT, "values"),), *((name, "") for name in files[:_LONGEST_LIST])]
        header = ReadmeHeader(
            responsible=(self._responsible,),
            description=f"{request.function} {request.version}, {state}",
            sources=tuple(FileEntry(file=f"{up}{place}", description="input") for place in inputs[:_LONGEST_LIST]),
            scripts=tuple(
                FileEntry(file=name, description=text) for name, text in scripts if (folder / name).is_file()
            ),
            results=tuple(
                FileEntry(file=name, description=text) for name, text in results if (folder / name).is_file()
            ),
            tags=(request.function, str(state)),
        )
        lines = [
            f"The request {request.name} had this computed at a computing centre; {state}.",
            f"Program: {request.function} {request.version}, digest {outcome.function_digest or 'unknown'}.",
            *([f"Container image: digest {outcome.container_digest}."] if outcome.container_digest else []),
            *(f"Version of {name}: {version}." for name, version in sorted(outcome.versions.items())),
            outcome.message,
        ]
        write_readme(folder, header, "\n".join(line for line in lines if line))

    def _recorded(self, target: Path) -> Accepted:
        place = "/" + target.relative_to(self._archive).as_posix()
        name, project = escape_squoted_text(target.name), escape_squoted_text(target.parent.name)
        with database_errors("reading a result"):
            results = query(f"FIND RECORD 'AnalysisResult' WITH name='{name}' AND Project='{project}'")
            logs = query(f"FIND FILE WHICH IS STORED AT '{escape_squoted_text(place)}/{LOGS}/**'")
        return Accepted(
            results=tuple(sorted(int(one.id) for one in results)), logs=tuple(sorted(int(one.id) for one in logs))
        )


def folder_name(request: Request, spec: JobSpec) -> str:
    """Give the name of a result's folder, such as `2026-06-01_ivim_R-4f1c09a2b3d5`."""
    return f"{spec.created:%Y-%m-%d}_{spec.function}_{request.label}"


def _specification(outcome: Outcome) -> JobSpec:
    document = parse(outcome.specification)
    document.pop("signature", None)
    return JobSpec.from_dict(document)


def make_result(
    request: Request, outcome: Outcome, reported: dict[str, Any], *, inputs: list[str], files: list[str]
) -> dict[str, Any]:
    """Make result.json: the function says what came out; who asked, of what, with which program is known here."""
    values, notes = reported.get("Values"), reported.get("Notes")
    said = reported.get("Files")
    roles = {
        str(one.get("path")): str(one.get("role", ""))
        for one in (said if isinstance(said, list) else [])
        if isinstance(one, dict)
    }
    kind = reported.get("ResultType")
    return {
        "ResultType": kind if isinstance(kind, str) else "AnalysisResult",
        "Function": request.function,
        "Version": request.version,
        "Digest": outcome.function_digest,
        "ContainerDigest": outcome.container_digest or None,
        "Request": request.name,
        "Job": request.job,
        "Parameters": json.loads(request.parameters or "{}"),
        "Inputs": inputs,
        "Values": values if isinstance(values, list) else [],
        "Notes": notes if isinstance(notes, list) else [],
        "Files": [{"path": path, "role": roles.get(path, "")} for path in sorted(files)],
    }


def _reported(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_RESULT_BYTES:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _job_of(folder: Path) -> str:
    """Give the job that a published result is of."""
    try:
        content = json.loads((folder / HISTORY).read_bytes())
    except (OSError, ValueError):
        return ""
    return str(content.get("job", "")) if isinstance(content, dict) else ""


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target, follow_symlinks=False)
