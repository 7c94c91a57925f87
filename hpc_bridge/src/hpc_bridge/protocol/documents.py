"""The documents in the bucket as typed records. Their JSON schemas are published in docs/protocol.md."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError, field_validator
from typing_extensions import Self

from hpc_bridge.errors import DocumentError, RefusedError
from hpc_bridge.protocol import keys
from hpc_bridge.protocol.lifecycle import Event, Side, State
from hpc_bridge.protocol.signing import SigningKey, VerifyKey, canonical, parse, sign, verify

#: Nothing larger is read as a document.
MAX_DOCUMENT_BYTES = 1 << 20
#: A specification with a million inputs would be a document of 100 MB; this many fit.
MAX_INPUTS = 5_000
MAX_INPUT_BYTES = 1 << 42
MAX_LOGS = 64
#: The end of a log is what tells; the rest of a larger one stays in scratch.
MAX_LOG_BYTES = 8 << 20
#: How far the clocks of two machines may be apart.
CLOCK_TOLERANCE = timedelta(minutes=15)


def _as_text(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


Moment = Annotated[datetime, PlainSerializer(_as_text, return_type=str)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256, hexadecimal")]
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="128 random bits, hexadecimal")]
JobName = Annotated[str, Field(pattern=rf"^{keys.JOB.pattern}$", description="the job's name, made by the RDM side")]
AgentName = Annotated[str, Field(pattern=rf"^{keys.NAME.pattern}$", description="name of an agent")]
FunctionName = Annotated[str, Field(pattern=rf"^{keys.NAME.pattern}$", description="name of a catalogued function")]
Version = Annotated[str, Field(pattern=rf"^{keys.VERSION.pattern}$", description="version of a catalogued function")]
Attempt = Annotated[str, Field(pattern=rf"^{keys.ATTEMPT.pattern}$", description="batch job's name and task in it")]
Text = Annotated[str, Field(max_length=4000)]


class Document(BaseModel):
    """A record that travels as canonical JSON; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    def to_dict(self) -> dict[str, Any]:
        """Give it as a JSON object."""
        return self.model_dump(mode="json", by_alias=True)

    def to_bytes(self) -> bytes:
        """Give its canonical bytes."""
        return canonical(self.to_dict())

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Read a JSON object.

        Raises
        ------
        DocumentError
            When it is no such record; the text names the fields, never their values.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as problem:
            places = {".".join(str(part) for part in error["loc"]) or "all": error["msg"] for error in problem.errors()}
            first = "; ".join(f"{place}: {message}" for place, message in list(places.items())[:5])
            raise DocumentError(f"{cls.__name__}: {first}") from None

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Read canonical or other JSON bytes."""
        return cls.from_dict(parse(body))


class FileEntry(Document):
    """One file, as both sides check it."""

    name: Annotated[str, Field(max_length=keys.MAX_NAME_BYTES, description="plain relative path")]
    size: Annotated[int, Field(ge=0, le=MAX_INPUT_BYTES, description="bytes")]
    sha256: Sha256

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        try:
            return keys.plain_name(name)
        except RefusedError as problem:
            raise ValueError(problem.detail) from None


def _distinct(entries: tuple[FileEntry, ...]) -> tuple[FileEntry, ...]:
    names = {entry.name for entry in entries}
    if len(names) != len(entries):
        raise ValueError("a file name occurs twice")
    folders = {"/".join(name.split("/")[:depth]) for name in names for depth in range(1, name.count("/") + 1)}
    if names & folders:
        raise ValueError("a name is a file and a folder at once")
    return entries


class OutputRules(Document):
    """What of the outputs the RDM side is ready to take; the catalogue's own limits hold as well."""

    max_bytes: Annotated[int, Field(ge=0, le=MAX_INPUT_BYTES, description="all outputs together, bytes")] = 1 << 36
    max_files: Annotated[int, Field(ge=0, le=100_000, description="number of output files")] = 10_000


class JobSpec(Document):
    """What is asked for: `jobs/<job>/spec.json`, immutable, signed by the RDM side."""

    kind: Literal["hpc-bridge/job/1"] = Field("hpc-bridge/job/1", alias="schema")
    job: JobName
    function: FunctionName
    version: Version
    parameters: Annotated[dict[str, Any], Field(description="values that the function's parameter schema accepts")] = {}
    inputs: Annotated[tuple[FileEntry, ...], Field(max_length=MAX_INPUTS, description="files below input/")] = ()
    outputs: OutputRules = OutputRules()
    environment: Annotated[dict[str, Text], Field(max_length=64, description="only names that the entry allows")] = {}
    callback: Annotated[str | None, Field(max_length=500, description="URL to call when the job is over")] = None
    agent: AgentName | None = Field(None, description="the one agent that may take it; null: any that verifies it")
    created: Moment
    expires: Moment = Field(description="no agent takes the job up after this moment")
    nonce: Nonce

    @field_validator("inputs")
    @classmethod
    def _distinct_names(cls, entries: tuple[FileEntry, ...]) -> tuple[FileEntry, ...]:
        return _distinct(entries)

    @field_validator("created", "expires")
    @classmethod
    def _with_zone(cls, moment: datetime) -> datetime:
        return _zoned(moment)

    def check_time(self, now: datetime, *, longest: timedelta) -> None:
        """Refuse it when it is too old, from the future, or meant to live longer than this site allows."""
        if self.expires + CLOCK_TOLERANCE < now:
            raise RefusedError("the specification has expired")
        if self.created > now + CLOCK_TOLERANCE:
            raise RefusedError("the specification is from the future: compare the clocks")
        if now > self.created + longest + CLOCK_TOLERANCE or self.expires > self.created + longest:
            raise RefusedError("the specification is older or lives longer than this site allows")


def sign_spec(spec: JobSpec, key: SigningKey) -> bytes:
    """Give the bytes of `spec.json`."""
    return sign(spec.to_dict(), key)


def read_spec(body: bytes, trusted: dict[str, VerifyKey], *, job: str) -> JobSpec:
    """Check and read `spec.json` of a job.

    Raises
    ------
    SignatureError, RefusedError, DocumentError
        When nothing may be run for it.
    """
    document, _ = verify(body, trusted)
    spec = JobSpec.from_dict(document)
    if spec.job != job:
        raise RefusedError("the specification was made for another job")
    return spec


class EventRecord(Document):
    """One step of a job: `open/<job>/<NNNN>`."""

    kind: Literal["hpc-bridge/event/1"] = Field("hpc-bridge/event/1", alias="schema")
    job: JobName
    number: Annotated[int, Field(ge=1, le=keys.LAST_NUMBER)]
    event: Event
    state: State = Field(description="the state that follows")
    side: Side
    writer: AgentName
    nonce: Nonce
    time: Moment
    message: Annotated[str, Field(max_length=4000, description="one plain sentence for a person")] = ""
    attempt: Attempt | None = None
    scheduler_id: Annotated[str | None, Field(max_length=64, description="the batch system's number")] = None
    manifest: Annotated[Sha256 | None, Field(description="digest of manifest.json; with `uploaded` only")] = None
    logs: Annotated[
        tuple[FileEntry, ...], Field(max_length=MAX_LOGS, description="log files below logs/<attempt>/")
    ] = ()
    cost: Annotated[dict[str, float], Field(max_length=16, description="wall_seconds, cpu_seconds, max_rss_bytes")] = {}

    @field_validator("logs")
    @classmethod
    def _distinct_names(cls, entries: tuple[FileEntry, ...]) -> tuple[FileEntry, ...]:
        return _distinct(entries)

    @field_validator("time")
    @classmethod
    def _with_zone(cls, moment: datetime) -> datetime:
        return _zoned(moment)


class Manifest(Document):
    """The list of a result: `jobs/<job>/output/manifest.json`, written last, signed by the agent."""

    kind: Literal["hpc-bridge/manifest/1"] = Field("hpc-bridge/manifest/1", alias="schema")
    job: JobName
    spec: Annotated[Sha256, Field(description="digest of the spec.json this is the result of")]
    agent: AgentName
    attempt: Attempt
    function: FunctionName
    version: Version
    function_digest: Annotated[Sha256, Field(description="digest of the function's files and image as they were run")]
    container_digest: Annotated[Sha256 | None, Field(description="of the image it ran in; null without one")] = None
    outputs: Annotated[tuple[FileEntry, ...], Field(max_length=100_000, description="below output/<attempt>/")]
    logs: Annotated[tuple[FileEntry, ...], Field(max_length=MAX_LOGS, description="below logs/<attempt>/")]
    versions: Annotated[dict[str, Text], Field(description="of the programs that ran")] = {}
    cost: Annotated[dict[str, float], Field(description="wall_seconds, cpu_seconds, max_rss_bytes")] = {}

    @field_validator("outputs", "logs")
    @classmethod
    def _distinct_names(cls, entries: tuple[FileEntry, ...]) -> tuple[FileEntry, ...]:
        return _distinct(entries)


def sign_manifest(manifest: Manifest, key: SigningKey) -> bytes:
    """Give the bytes of `manifest.json`."""
    return sign(manifest.to_dict(), key)


def read_manifest(body: bytes, agents: dict[str, VerifyKey], *, job: str, spec: str) -> Manifest:
    """Check and read the manifest of a job, made for the specification with the digest `spec`.

    Raises
    ------
    SignatureError, RefusedError, DocumentError
        When nothing of it may be believed.
    """
    document, _ = verify(body, agents)
    manifest = Manifest.from_dict(document)
    if manifest.job != job or manifest.spec != spec:
        raise RefusedError("the manifest belongs to another job or specification")
    return manifest


class History(Document):
    """All events of a job that is over: `jobs/<job>/history.json`."""

    kind: Literal["hpc-bridge/history/1"] = Field("hpc-bridge/history/1", alias="schema")
    job: JobName
    events: tuple[EventRecord, ...]


class Receipt(Document):
    """What was deleted of a job's data in the bucket or in scratch."""

    kind: Literal["hpc-bridge/receipt/1"] = Field("hpc-bridge/receipt/1", alias="schema")
    job: JobName
    place: Literal["bucket", "scratch"]
    files: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0)]
    time: Moment


class ScaledAmount(Document):
    """An amount that grows with the input: base + per_gb * size + per_file * number, never more than at_most."""

    base: Annotated[float, Field(ge=0)]
    per_gb: Annotated[float, Field(ge=0, description="for each 10^9 bytes of input")] = 0
    per_file: Annotated[float, Field(ge=0, description="for each input file")] = 0
    at_most: Annotated[float | None, Field(gt=0)] = None

    def amount(self, size: int, files: int) -> float:
        """Give the amount for so many bytes in so many files."""
        wanted = self.base + self.per_gb * size / 1e9 + self.per_file * files
        return wanted if self.at_most is None else min(wanted, self.at_most)


class Needs(Document):
    """What a function takes as input."""

    record_types: Annotated[
        tuple[str, ...], Field(description="RecordTypes in LinkAhead, e.g. DiffusionWeightedImage")
    ] = ()
    files: Annotated[tuple[str, ...], Field(description="patterns; at least one input matches each")] = ("*",)
    max_files: Annotated[int, Field(ge=0, le=MAX_INPUTS)] = 1000
    max_bytes: Annotated[int, Field(ge=0, le=MAX_INPUT_BYTES)] = 1 << 36


class OutputEntry(Document):
    """A file that a function writes."""

    name: Annotated[str, Field(description="plain relative path or pattern")]
    required: bool = True
    title: Text = ""


#: Why an entry is still there that its agent was not allowed to delete.
WITHDRAWN = "The computing centre does not offer this function any more."


class Description(Document):
    """What the RDM side may know of a function: `catalogue/<function>/<version>.json`."""

    kind: Literal["hpc-bridge/function/1"] = Field("hpc-bridge/function/1", alias="schema")
    name: FunctionName
    version: Version
    title: Text
    description: Text = ""
    needs: Needs = Needs()
    parameters: Annotated[dict[str, Any], Field(description="JSON schema (subset), with titles and units")] = {}
    minutes: ScaledAmount = ScaledAmount(base=10)
    memory_mb: ScaledAmount = ScaledAmount(base=1000)
    cpus: Annotated[int, Field(ge=1, le=4096)] = 1
    outputs: tuple[OutputEntry, ...] = ()
    environment: Annotated[tuple[str, ...], Field(description="names that a specification may set")] = ()
    network: bool = False
    licence: Text = ""
    digest: Sha256
    agent: AgentName
    unavailable: Annotated[Text, Field(description="why it can't run at the moment, in plain words; empty: it can")] = (
        ""
    )

    @property
    def is_withdrawn(self) -> bool:
        """Whether its agent offers it no more and could not delete it."""
        return self.unavailable == WITHDRAWN

    def to_dict(self) -> dict[str, Any]:
        """Give it as a JSON object; what can run does not say so, as before there was a word for it."""
        document = super().to_dict()
        if not self.unavailable:
            del document["unavailable"]
        return document


class JobProgress(Document):
    """How far a running job is, as its agent saw it last."""

    scheduler_state: Annotated[str, Field(max_length=64)] = ""
    progress: Annotated[float | None, Field(ge=0, le=1)] = None


class Heartbeat(Document):
    """How an agent is: `agents/<agent>.json`."""

    kind: Literal["hpc-bridge/agent/1"] = Field("hpc-bridge/agent/1", alias="schema")
    agent: AgentName
    time: Moment
    versions: dict[str, Text] = {}
    conditions: Text = ""
    accepting: bool = True
    message: Text = ""
    jobs: Annotated[dict[str, JobProgress], Field(description="its running jobs")] = {}
    limits: dict[str, float] = {}


def _zoned(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone")
    return moment
