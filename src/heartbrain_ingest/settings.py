"""The site's one settings file, `heartbrain.yml`: typed, every field described once, unknown names refused."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from heartbrain_ingest.errors import SettingsError
from heartbrain_ingest.yaml_model import read_model
from hpc_bridge.bucket.settings import BucketSettings

SETTINGS_NAME = "heartbrain.yml"
SETTINGS_VARIABLE = "HEARTBRAIN_SETTINGS"


class Section(BaseModel):
    """A part of the settings: frozen, and nothing but the described fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Folders(Section):
    """Where things lie; relative paths start at the folder of the settings file."""

    inbox: Path = Field(Path("inbox"), description="Where scanners, monitors and laboratories leave their files.")
    archive: Path = Field(Path("archive"), description="The published tree, in the Standardized Filesystem layout.")
    staging: Path = Field(Path("staging"), description="Work in progress; on the same filesystem as the archive.")
    quarantine: Path = Field(
        Path("quarantine"), description="What failed the audit, until someone decides. Identified."
    )
    state: Path = Field(Path("state"), description="Ledger, embedded database and key file. Identified; mode 0700.")
    logs: Path = Field(Path("logs"), description="The log of the runs, free of personal data.")
    crawler_config: Path = Field(Path("crawler_config"), description="The rules a data steward edits.")


class ProjectRule(Section):
    """Sends the sessions that match every pattern given to a project."""

    project: str = Field(description="Project folder, `YYYY_Name`.", pattern=r"^\d{4}_[A-Za-z0-9._-]+$")
    study_description: str | None = Field(None, description="Regular expression searched in StudyDescription.")
    inbox_folder: str | None = Field(
        None, description="Regular expression searched in the folder below the inbox that holds the files."
    )
    station_name: str | None = Field(None, description="Regular expression searched in StationName.")

    @field_validator("study_description", "inbox_folder", "station_name")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                message = f"not a regular expression: {error}"
                raise ValueError(message) from error
        return pattern


class Projects(Section):
    """Which project a session belongs to: the first rule that matches, else the default."""

    default: str = Field(
        "2023_HeartAndBrain", description="Project of what no rule claims.", pattern=r"^\d{4}_[A-Za-z0-9._-]+$"
    )
    rules: tuple[ProjectRule, ...] = Field((), description="Tried in order; first match wins.")


class Inbox(Section):
    """When a delivery counts as complete and what becomes of its files."""

    quiet_minutes: float = Field(
        30.0, ge=0, description="A session is complete when no file of it arrived for so long. Unit: minutes."
    )
    unpacked_limit_gib: float = Field(
        20.0, gt=0, description="Largest size that one compressed file may unpack to. Unit: GiB."
    )


class Conversion(Section):
    """How images are made."""

    fidelity: Literal["all", "sample", "off"] = Field(
        "all",
        description="Convert the original files too and compare with the de-identified ones: of every series, of a "
        "`sample` of them, or `off`; the certificate says which.",
    )
    fidelity_one_in: int = Field(
        5,
        ge=1,
        description="Of how many series one is compared when `fidelity` is `sample`; the first of a session is.",
    )

    @property
    def compared(self) -> int:
        """Every how many-th series is compared; 0 for none."""
        return {"all": 1, "sample": self.fidelity_one_in, "off": 0}[self.fidelity]

    @field_validator("fidelity", mode="before")
    @classmethod
    def _reads_off(cls, value: object) -> object:
        return "off" if value is False else value  # YAML reads a bare `off` as false

    compression_level: Annotated[int, Field(ge=1, le=9)] = Field(
        3, description="Deflate level of .nii.gz files, 1 (fast) to 9 (small); noise packs no better beyond 3."
    )
    memory_scratch_mib: int = Field(
        256,
        ge=0,
        description="Most memory (in /dev/shm) that a session being prepared may use for series of small files; 0 uses "
        "the disk alone. Unit: MiB.",
    )
    timeout_minutes: float = Field(60.0, gt=0, description="Longest time for one series in dcm2niix. Unit: minutes.")


class Laboratory(Section):
    """What laboratory values belong to."""

    session_within_days: int | None = Field(
        30,
        ge=0,
        description="A sample belongs to the nearest session of its subject that is at most so many days away;"
        " null: to none. Unit: days.",
    )


class Defacing(Section):
    """Whether faces are taken out of anatomical images; what has a face, DICOM too, is then not published."""

    tool: Literal["none", "pydeface", "fsl_deface", "mri_reface", "quickshear"] = Field(
        "none", description="The program; it has to be installed on the PATH."
    )
    mask_tool: Literal["none", "bet", "mri_synthstrip"] = Field(
        "none", description="The program that makes the mask of the brain that quickshear needs."
    )
    timeout_minutes: float = Field(60.0, gt=0, description="Longest time for one image. Unit: minutes.")


class LinkAhead(Section):
    """Which LinkAhead holds the records."""

    ini: Path | None = Field(
        None, description="A `pylinkahead.ini` of a LinkAhead server; without it the embedded one is used."
    )
    server_root: str | None = Field(
        None, description="The archive as the LinkAhead server sees it, such as `/opt/caosdb/mnt/extroot/archive`."
    )
    database: Path | None = Field(
        None, description="File of the embedded LinkAhead; default `linkahead.db` in the state folder."
    )


class Route(Section):
    """Which bucket and agent serve whom."""

    name: str = Field(description="Name of the route, in lower case.", pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")
    users: tuple[str, ...] = Field((), description="LinkAhead users; `*` stands for everybody.")
    groups: tuple[str, ...] = Field((), description="LinkAhead roles; whoever has one is served.")
    bucket: BucketSettings = Field(description="The bucket; nobody else's credential reads it.")
    signing_key: Path | None = Field(
        None, description="Private key that signs specifications; default `bridge/<name>.key` in the state folder."
    )
    agent_keys: Path | None = Field(
        None, description="Public keys of the agents, one a line; default `bridge/<name>.agents` in the state folder."
    )
    agent: str | None = Field(None, description="The one agent that may take the jobs; without it any that knows us.")
    callback: str | None = Field(None, description="URL of this site's portal that the agent calls.")
    callback_secret: Path | None = Field(None, description="File of the secret shared with the agent, mode 0600.")


class Bridge(Section):
    """How requests get to computing centres."""

    site: str = Field("heartbrain", description="Name of this RDM system; keeps the jobs of several systems apart.")
    bucket: Path = Field(Path("bucket"), description="Folder that is the bucket where no route is given.")
    routes: tuple[Route, ...] = Field((), description="Buckets and agents; the first that serves a user is taken.")
    lifetime_hours: float = Field(
        168.0, gt=0, description="No agent takes up a job that is older; agents may allow less. Unit: hours."
    )
    lost_after_days: float = Field(
        30.0, gt=0, description="A job that nobody brought to an end by then is called lost. Unit: days."
    )
    keep_days: float = Field(
        30.0, ge=0, description="The data of a job stay in the bucket so long after its result came. Unit: days."
    )
    interval_seconds: float = Field(
        60.0, gt=0, description="`heartbrain bridge --watch` looks so often. Unit: seconds."
    )
    output_gib: float = Field(64.0, gt=0, description="Largest result that is taken. Unit: GiB.")


class Portal(Section):
    """The web page."""

    host: str = Field("127.0.0.1", description="Address that the portal listens on; `0.0.0.0` is every one.")
    port: int = Field(8080, ge=0, le=65535, description="Port that the portal listens on; 0 takes a free one.")
    certificate: Path | None = Field(None, description="TLS certificate chain (PEM); without it, plain HTTP.")
    private_key: Path | None = Field(None, description="Private key of the certificate (PEM).")
    behind_tls: bool = Field(
        False,
        description="A proxy in front of the portal speaks TLS; cookies are sent by https only, and the proxy's word "
        "on who calls is taken.",
    )
    proxies: tuple[str, ...] = Field(
        ("127.0.0.1", "::1"), description="Addresses of the proxies whose word on who calls is taken."
    )
    hosts: tuple[str, ...] = Field((), description="Names that the portal answers to; none given: to every name.")
    session_hours: float = Field(8.0, gt=0, description="Who did nothing for so long logs in again. Unit: hours.")
    longest_session_hours: float = Field(24.0, gt=0, description="Everybody logs in again after so long. Unit: hours.")
    logins_per_minute: int = Field(
        5, ge=1, description="Failed log-ins that one name may have in a minute; one address six times as many."
    )
    linkahead_seconds: float = Field(
        20.0, gt=0, description="A LinkAhead server that takes longer is said not to answer. Unit: seconds."
    )
    steward_role: str = Field("administration", description="LinkAhead role that sees the steward's page.")
    page_size: int = Field(50, ge=1, le=500, description="Rows on a page of results.")


class Settings(Section):
    """Everything a site can set."""

    responsible: str = Field(
        "Data Steward", description="Person who answers for the published folders; stands in every README header."
    )
    jobs: int = Field(0, ge=0, description="Worker processes; 0 means one per processor that this process may use.")
    folders: Folders = Field(Folders(), description="Where things lie.")
    projects: Projects = Field(Projects(), description="Which project a session belongs to.")
    inbox: Inbox = Field(Inbox(), description="When a delivery is complete.")
    conversion: Conversion = Field(Conversion(), description="How images are made.")
    laboratory: Laboratory = Field(Laboratory(), description="What laboratory values belong to.")
    defacing: Defacing = Field(Defacing(), description="Whether faces are taken out of anatomical images.")
    linkahead: LinkAhead = Field(LinkAhead(), description="Which LinkAhead holds the records.")
    bridge: Bridge = Field(Bridge(), description="How requests get to computing centres.")
    portal: Portal = Field(Portal(), description="The web page.")

    @property
    def database(self) -> Path:
        """File of the embedded LinkAhead."""
        return self.linkahead.database or self.folders.state / "linkahead.db"

    @property
    def ledger(self) -> Path:
        """File of the ledger."""
        return self.folders.state / "ledger.db"

    @property
    def key_file(self) -> Path:
        """File of the pseudonym key."""
        return self.folders.state / "pseudonyms.yml"

    @property
    def withheld(self) -> Path:
        """Folder of what defacing keeps out of the published tree."""
        return self.folders.state / "withheld"

    @property
    def workers(self) -> int:
        """Number of worker processes, at least one."""
        return self.jobs or len(os.sched_getaffinity(0))

    def rules(self, name: str) -> Path:
        """Give the path of one file of `crawler_config/`.

        Raises
        ------
        SettingsError
            When the file is not there.
        """
        path = self.folders.crawler_config / name
        if not path.is_file():
            raise SettingsError(f"{name} is missing in the folder crawler_config; `heartbrain init` puts one there")
        return path


def find_settings(given: Path | None = None) -> Path:
    """Give the settings file: the given one, the one that HEARTBRAIN_SETTINGS names, or the one in this folder.

    Raises
    ------
    SettingsError
        When there is none.
    """
    path = given or Path(os.environ.get(SETTINGS_VARIABLE) or SETTINGS_NAME)
    if not path.is_file():
        raise SettingsError(f"there is no {path}; `heartbrain init DIR` makes a site with one")
    return path


def load_settings(path: Path) -> Settings:
    """Read and check a settings file; every path comes back absolute.

    Raises
    ------
    SettingsError
        With the place and, for an unknown name, the nearest known one.
    """
    path = path.absolute()
    settings = read_model(path, Settings, SettingsError)
    base = path.parent
    folders = Folders(**{name: base / value for name, value in settings.folders})
    link = settings.linkahead
    places = {name: base / place for name in ("ini", "database") if (place := getattr(link, name))}
    linkahead = link.model_copy(update=places)
    tls = {name: base / place for name in ("certificate", "private_key") if (place := getattr(settings.portal, name))}
    portal = settings.portal.model_copy(update=tls)
    bridge = _absolute(settings.bridge, base)
    return settings.model_copy(update={"folders": folders, "linkahead": linkahead, "bridge": bridge, "portal": portal})


def _absolute(bridge: Bridge, base: Path) -> Bridge:
    routes = []
    for route in bridge.routes:
        given = {name: base / place for name in _ROUTE_PATHS if (place := getattr(route, name))}
        bucket = {name: base / place for name in _BUCKET_PATHS if (place := getattr(route.bucket, name))}
        routes.append(route.model_copy(update={**given, "bucket": route.bucket.model_copy(update=bucket)}))
    return bridge.model_copy(update={"bucket": base / bridge.bucket, "routes": tuple(routes)})


_ROUTE_PATHS = ("signing_key", "agent_keys", "callback_secret")
_BUCKET_PATHS = ("folder", "ca_file", "credentials_file")


def default_settings_text() -> str:
    """Write the settings file of a new site: every field with its description and default."""
    head = "# Settings of this site. Relative paths start at the folder of this file."
    return "\n".join([head, *_describe(Settings, pad="")]) + "\n"


def settings_reference() -> list[tuple[str, str, str]]:
    """List every setting as (dotted name, default, description), in the file's order; `[]`: of a list's entries."""
    return list(_walk(Settings, ""))


def _walk(model: type[BaseModel], prefix: str) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            rows.extend(_walk(annotation, f"{prefix}{name}."))
            continue
        default = "(required)" if field.is_required() else _yaml(field.default)
        rows.append((f"{prefix}{name}", default, field.description or ""))
        for member in get_args(annotation):  # of a list of sections
            if isinstance(member, type) and issubclass(member, Section):
                rows.extend(_walk(member, f"{prefix}{name}[]."))
    return rows


def _describe(model: type[BaseModel], *, pad: str) -> list[str]:
    lines: list[str] = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            lines += ["", f"{pad}# {field.description}", f"{pad}{name}:", *_describe(annotation, pad=pad + "  ")]
        else:
            lines += [f"{pad}# {field.description}", f"{pad}{name}: {_yaml(field.default)}"]
    return lines


def _yaml(value: object) -> str:
    if isinstance(value, tuple):
        return "[]"
    if isinstance(value, Path):
        return str(value)
    if value is None:
        return "null"
    return yaml.safe_dump(value).splitlines()[0]
