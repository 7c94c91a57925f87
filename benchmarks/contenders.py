"""What is measured: the command lines of our ingest, of its peers and of the least that is possible."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.material import Material

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(__file__).resolve().parent / "peers"
BENCH_BIN = ROOT / ".venv-bench" / "bin"

#: `heartbrain ingest` ends with 1 when something needs the steward: the real data hold files that are no images.
OURS_GOOD = (0, 1)


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command of a contender.

    Attributes
    ----------
    argv
        Argument vector.
    files
        Input files that are done when it ends well.
    session
        Label of the session that it is for; None for all.
    good
        Exit codes that are no failure.
    reports
        Whether it prints a JSON object when it worked; without one it failed, whatever its exit code.
    """

    argv: tuple[str, ...]
    files: int
    session: str | None = None
    good: tuple[int, ...] = (0,)
    reports: bool = False


class Contender(Protocol):
    """Something that takes files in."""

    @property
    def name(self) -> str:
        """Name in the table."""

    @property
    def remark(self) -> str:
        """What it does, in one line."""

    def missing(self) -> str | None:
        """Say why it can't run here; None when it can."""

    def commands(self, material: Material, target: Path) -> list[Command]:
        """Give the commands, to be run one after the other, that take a material in below an empty folder."""

    def bare(self) -> tuple[str, ...]:
        """Give a command that does nothing but start: `--help`."""


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Read, checksum, write: what no program can do without."""

    name: str = "copy + sha256"
    remark: str = "the physical limit: every byte read once, checksummed, written once"

    def missing(self) -> str | None:
        """Say that it always can."""
        return None

    def commands(self, material: Material, target: Path) -> list[Command]:
        """Copy the folder."""
        argv = (sys.executable, "-m", "benchmarks.floor", str(material.folder), str(target))
        return [Command(argv=argv, files=material.files)]

    def bare(self) -> tuple[str, ...]:
        """Start Python."""
        return (sys.executable, "-c", "pass")


@dataclass(frozen=True, kw_only=True)
class Bare:
    """The converter alone, on the whole folder at once."""

    name: str = "dcm2niix"
    remark: str = "`dcm2niix -z y` alone: NIfTI and sidecars, no names, no de-identification"

    def missing(self) -> str | None:
        """Say that it can: it comes with our own environment."""
        return None

    def commands(self, material: Material, target: Path) -> list[Command]:
        """Convert the folder."""
        argv = (dcm2niix_program(), "-z", "y", "-o", str(target), str(material.folder))
        return [Command(argv=argv, files=material.files)]

    def bare(self) -> tuple[str, ...]:
        """Print its help."""
        return (dcm2niix_program(), "-h")


@dataclass(frozen=True, kw_only=True)
class Ours:
    """Our whole ingest, from making the site to the records in the database."""

    name: str = "heartbrain"
    remark: str = (
        "`heartbrain init` and `ingest`: de-identified, converted twice and compared, named, audited, published with "
        "its DICOM, crawled into LinkAhead"
    )

    def missing(self) -> str | None:
        """Look for our command beside this Python."""
        return None if _heartbrain().exists() else "not installed here: run `make bench`"

    def commands(self, material: Material, target: Path) -> list[Command]:
        """Make a site and take the folder in."""
        return [
            Command(argv=(str(_heartbrain()), "init", str(target / "site")), files=0),
            self.ingest(material, target),
        ]

    def ingest(self, material: Material, target: Path) -> Command:
        """Take the folder in, at a site that is there."""
        settings = target / "site" / "heartbrain.yml"
        own = ("ingest", "--settings", str(settings), "--inbox", str(material.folder), "--json")
        return Command(argv=(str(_heartbrain()), *own), files=material.files, good=OURS_GOOD, reports=True)

    def bare(self) -> tuple[str, ...]:
        """Print its help."""
        return (str(_heartbrain()), "--help")


@dataclass(frozen=True, kw_only=True)
class Dcm2bids:
    """dcm2bids, one process for each session, as its manual has it."""

    name: str = "dcm2bids"
    remark: str = "one process per session, files sorted by session beforehand (not timed)"

    def missing(self) -> str | None:
        """Look into the environment of the peers."""
        return _missing_peer("dcm2bids")

    def commands(self, material: Material, target: Path) -> list[Command]:
        """Convert and name each session."""
        config = str(PEERS / "dcm2bids.json")
        return [
            Command(
                argv=(_peer("dcm2bids"), "-d", str(one.folder), "-p", one.label, "-c", config, "-o", str(target)),
                files=one.files,
                session=one.label,
            )
            for one in material.sessions
        ]

    def bare(self) -> tuple[str, ...]:
        """Print its help."""
        return (_peer("dcm2bids"), "--help")


@dataclass(frozen=True, kw_only=True)
class Heudiconv:
    """HeuDiConv with a heuristic for the sample study, one process for each session: a session that fails ends it."""

    name: str = "heudiconv"
    remark: str = "`-c dcm2niix -b --minmeta`, one process per session, files sorted by session beforehand (not timed)"

    def missing(self) -> str | None:
        """Look into the environment of the peers."""
        return _missing_peer("heudiconv")

    def commands(self, material: Material, target: Path) -> list[Command]:
        """Convert and name each session."""
        how = ("-f", str(PEERS / "heuristic.py"), "-c", "dcm2niix", "-b", "--minmeta", "-o", str(target))
        return [
            Command(
                argv=(_peer("heudiconv"), "--files", str(one.folder), "-s", one.label, *how),
                files=one.files,
                session=one.label,
            )
            for one in material.sessions
        ]

    def bare(self) -> tuple[str, ...]:
        """Print its help."""
        return (_peer("heudiconv"), "--help")


#: In the order of the table.
CONTENDERS: tuple[Contender, ...] = (Floor(), Bare(), Ours(), Dcm2bids(), Heudiconv())

#: Those that need nothing but our own environment.
OWN = ("copy + sha256", "dcm2niix", "heartbrain")


def environment(home: Path) -> Mapping[str, str]:
    """Give the environment of every command: peers' programs on the path, a home of its own, no asking for updates."""
    path = os.pathsep.join([str(BENCH_BIN), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return os.environ | {"PATH": path, "HOME": str(home), "NO_ET": "1"}


def dcm2niix_program() -> str:
    """Give the path of the program itself; the wrapper on the path would add the start of Python."""
    import dcm2niix  # noqa: PLC0415 - the package is only the carrier of the program

    return str(dcm2niix.bin)


def _heartbrain() -> Path:
    return Path(sys.executable).with_name("heartbrain")


def _peer(name: str) -> str:
    return str(BENCH_BIN / name)


def _missing_peer(name: str) -> str | None:
    return None if (BENCH_BIN / name).exists() else "not installed here: run `make bench`"
