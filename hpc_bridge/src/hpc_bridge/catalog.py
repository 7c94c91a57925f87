"""The catalogue: `functions/<name>/function.yml` and what lies beside it; all that an agent can be asked to run."""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hpc_bridge.containers import missing_places
from hpc_bridge.digests import digest, file_digest
from hpc_bridge.errors import BridgeError, CatalogueError, ParameterError, RefusedError
from hpc_bridge.protocol import Description, JobSpec, canonical, check_schema, fill, keys
from hpc_bridge.protocol.documents import Needs, OutputEntry, ScaledAmount
from hpc_bridge.schedulers.base import Resources

#: Names that change which program runs or what it loads; no entry may allow them.
_NEVER = re.compile(
    r"LD_.*|DYLD_.*|PYTHON.*|PERL.*|RUBY.*|JAVA_TOOL_OPTIONS|NODE_OPTIONS|R_.*|GCONV_PATH|GLIBC_.*|MALLOC_.*"
    r"|PATH|HOME|USER|LOGNAME|SHELL|IFS|ENV|BASH.*|SHELLOPTS|PS[0-4]|CDPATH|GLOBIGNORE|PROMPT_COMMAND|TMPDIR|EDITOR|PAGER"
    r"|SLURM.*|SBATCH.*|SINGULARITY.*|APPTAINER.*|CH_.*|HPC_BRIDGE_.*|.*_PROXY|.*_proxy|GIT_.*|SSH_.*|AWS_.*"
)
_ENVIRONMENT_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_PLACE = re.compile(r"\{(input|output|parameters|status|function|cpus|python|keep|param:[A-Za-z][A-Za-z0-9_]*)\}")


def may_be_set(name: str) -> bool:
    """Say whether an environment variable of this name is harmless to any program."""
    return bool(_ENVIRONMENT_NAME.fullmatch(name)) and not _NEVER.fullmatch(name)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Container(_Part):
    """What the command runs in."""

    runtime: Literal["none", "charliecloud", "apptainer", "singularity"] = "none"
    image: str = Field("", description="path of the image; relative to the function's folder")
    sha256: str = Field("", description="its digest; of a folder the one that `hpc-bridge functions --digest` shows")

    @model_validator(mode="after")
    def _complete(self) -> Container:
        if (self.runtime != "none") != bool(self.image):
            raise ValueError("a runtime needs an image, and an image a runtime")
        return self


class ResourceNeeds(_Part):
    """What a job needs, and how that grows with its input."""

    cpus: int = Field(1, ge=1, le=4096)
    gpus: int = Field(0, ge=0, le=64)
    memory_mb: ScaledAmount = ScaledAmount(base=1000)
    minutes: ScaledAmount = ScaledAmount(base=10)
    partition: str | None = None
    account: str | None = None
    qos: str | None = None


class Entry(_Part):
    """`function.yml`."""

    name: str = Field(pattern=rf"^{keys.NAME.pattern}$")
    version: str = Field(pattern=rf"^{keys.VERSION.pattern}$")
    title: str
    description: str = ""
    licence: str = ""
    needs: Needs = Needs()
    parameters: dict[str, Any] = {}
    resources: ResourceNeeds = ResourceNeeds()
    container: Container = Container()
    command: tuple[str, ...] = Field(min_length=1)
    check: tuple[str, ...] = Field(
        (),
        description="a quick command that says whether the function can run: status 0, or else a line with the reason; "
        "it runs on the agent's machine without a container; `{python}`, `{function}` and `{image}` are filled in. "
        "Of an entry with a container it runs only if it names `{image}`",
    )
    outputs: tuple[OutputEntry, ...] = ()
    environment: tuple[str, ...] = ()
    network: bool = False
    keep: bool = Field(
        False, description="whether `{keep}` is a folder that all attempts and requests for these inputs share"
    )

    @field_validator("environment")
    @classmethod
    def _harmless(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if bad := [name for name in names if not may_be_set(name)]:
            raise ValueError(f"can't be allowed: {', '.join(bad)}")
        return names

    @model_validator(mode="after")
    def _places(self) -> Entry:
        known = self.parameters.get("properties", {})
        for item in self.command:
            for place in _PLACE.findall(item):
                if place.startswith("param:") and place[6:] not in known:
                    raise ValueError(f"the command names the parameter {place[6:]}, which is not described")
                if place == "keep" and not self.keep:
                    raise ValueError("the command names {keep}, but `keep: true` is missing")
        return self


@dataclass(frozen=True)
class Function:
    """One entry with its folder and the digest of all that it runs."""

    entry: Entry
    folder: Path
    digest: str
    #: What the image is without; empty: nothing.
    lack: str = ""

    @property
    def image(self) -> Path | None:
        """The container's image."""
        return self.folder / self.entry.container.image if self.entry.container.image else None

    def describe(self, agent: str, *, unavailable: str = "") -> Description:
        """Give what the RDM side may know; `unavailable` says why it can't run now."""
        entry = self.entry
        return Description(
            name=entry.name,
            version=entry.version,
            title=entry.title,
            description=entry.description,
            needs=entry.needs,
            parameters=entry.parameters or {"type": "object"},
            minutes=entry.resources.minutes,
            memory_mb=entry.resources.memory_mb,
            cpus=entry.resources.cpus,
            outputs=entry.outputs,
            environment=entry.environment,
            network=entry.network,
            licence=entry.licence,
            digest=self.digest,
            agent=agent,
            unavailable=unavailable,
        )

    def check(self, spec: JobSpec, limit: int) -> dict[str, Any]:
        """Check a request against the entry and give the parameters with defaults; `limit` is the site's, bytes.

        Raises
        ------
        RefusedError
            Naming what does not fit.
        """
        needs = self.entry.needs
        size = sum(one.size for one in spec.inputs)
        if len(spec.inputs) > needs.max_files or size > min(needs.max_bytes, limit):
            raise RefusedError("there are more or larger inputs than the function takes")
        for pattern in needs.files:
            if not any(fnmatch.fnmatchcase(one.name, pattern) for one in spec.inputs):
                raise RefusedError(f"no input matches {pattern}")
        for name, value in spec.environment.items():
            if name not in self.entry.environment or not may_be_set(name) or "\x00" in value:
                raise RefusedError(f"the environment variable {name[:64]!r} is not one that the function allows")
        parameters = fill(spec.parameters, self.entry.parameters)
        self.arguments(parameters)
        return parameters

    def resources(self, spec: JobSpec) -> Resources:
        """Give what this request needs; time rounded up to five minutes, memory to 256 MB, so that alike jobs batch."""
        needs = self.entry.resources
        size, files = sum(one.size for one in spec.inputs), len(spec.inputs)
        return Resources(
            minutes=_up(needs.minutes.amount(size, files), 5),
            memory_mb=_up(needs.memory_mb.amount(size, files), 256),
            cpus=needs.cpus,
            gpus=needs.gpus,
            partition=needs.partition,
            account=needs.account,
            qos=needs.qos,
        )

    def arguments(self, parameters: dict[str, Any]) -> list[list[dict[str, str]]]:
        """Give the command with parameters filled in: items of pieces, each a text or the name of a place.

        A parameter's value is put in as it is and never read again. A text that looks like an option is refused unless
        the entry glues it to one (`--label={param:label}`).
        """
        return [self._item(item, parameters) for item in self.entry.command]

    def _item(self, item: str, parameters: dict[str, Any]) -> list[dict[str, str]]:
        pieces: list[dict[str, str]] = []
        at = 0
        for found in _PLACE.finditer(item):
            if found.start() > at:
                pieces.append({"text": item[at : found.start()]})
            place = found[1]
            if place.startswith("param:"):
                text = _as_argument(parameters.get(place[6:], ""))
                if not pieces and text.startswith("-") and isinstance(parameters.get(place[6:]), str):
                    raise ParameterError(f"{place[6:]}: must not begin with a dash")
                pieces.append({"text": text})
            else:
                pieces.append({"path": place})
            at = found.end()
        if at < len(item):
            pieces.append({"text": item[at:]})
        return pieces


def _as_argument(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value).decode()


def _up(amount: float, step: int) -> int:
    return max(step, int(-(-amount // step)) * step)


def load_function(folder: Path) -> Function:
    """Read one entry.

    Raises
    ------
    CatalogueError
        Naming the place that can't be used.
    """
    try:
        entry = Entry.model_validate(yaml.safe_load((folder / "function.yml").read_text(encoding="utf-8")))
    except OSError as problem:
        raise CatalogueError(f"{folder.name}/function.yml: {problem.strerror}") from None
    except yaml.YAMLError as problem:
        raise CatalogueError(f"{folder.name}/function.yml: {problem}") from None
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CatalogueError(f"{folder.name}/function.yml: {place}: {first['msg']}") from None
    if entry.name != folder.name:
        raise CatalogueError(f"{folder.name}/function.yml: the name must be that of the folder")
    if entry.parameters:
        check_schema(entry.parameters)
    image = folder / entry.container.image if entry.container.image else None
    # An image of many gigabytes whose digest is stated is read when a job runs in it, not at each look.
    stated = image if entry.container.sha256 else None
    marks = {name: file_digest(path) for name, path in _files(folder, but=stated)}
    lack = ""
    if image is not None and not image.exists():
        lack = f"the image {entry.container.image} is missing"
    elif image is not None and (missing := missing_places(entry.container.runtime, image, keep=entry.keep)):
        lack = f"the image lacks {', '.join(missing)}, and charliecloud makes no folders"
    marks["/image"] = entry.container.sha256  # the name of no file
    return Function(entry, folder, digest(canonical(marks)), lack)


def load_catalogue(folder: Path) -> tuple[dict[tuple[str, str], Function], list[str]]:
    """Read all entries: (name, version) -> function, and what is wrong with the others."""
    found: dict[tuple[str, str], Function] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("*/function.yml")):
        try:
            function = load_function(path.parent)
            found[function.entry.name, function.entry.version] = function
            if function.lack:
                problems.append(f"{function.entry.name}: {function.lack}")
        except BridgeError as problem:  # noqa: PERF203 - one bad entry does not keep the others from being offered
            problems.append(str(problem))
    return found, problems


def image_digest(image: Path) -> str:
    """Give the digest of an image: of a file its SHA-256, of a folder that of the list of all that is in it."""
    if image.is_file():
        return file_digest(image)
    marks = {name: file_digest(path) for name, path in _files(image)}
    return digest(canonical(marks))


def _files(folder: Path, *, but: Path | None = None) -> list[tuple[str, Path]]:
    found = []
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and Path(top) / name != but]
        found += [path for name in names if (path := Path(top) / name) != but]
    return sorted((path.relative_to(folder).as_posix(), path) for path in found if path.is_file())
