"""What a command runs in: nothing, charliecloud, or apptainer and its elder singularity.

Each gives the argument vector around the command; input and function are read-only where the runtime can, output and
status read-write, the environment is clean, and the network is cut by the wrapper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

#: An argument: pieces that are a text, or the name of a folder that is known when the job starts.
Item = list[dict[str, str]]

#: Where the folders are in a container. Charliecloud makes no mount points: its image must have them.
INSIDE = {"input": "/input", "output": "/output", "job": "/work", "function": "/mnt/0", "status": "/mnt/1"}
#: Bound only where the function asks for it, so that other images need no such mount point.
KEPT = "/mnt/2"


def missing_places(runtime: str, image: Path, *, keep: bool) -> list[str]:
    """Give the folders that an image lacks and its runtime does not make; of an image in one file nothing is known."""
    if runtime != "charliecloud" or not image.is_dir():
        return []
    places = [*INSIDE.values(), *([KEPT] if keep else [])]
    return [place for place in places if not (image / place.lstrip("/")).is_dir()]


@dataclass(frozen=True)
class Folders:
    """Where a job's folders are outside; output and status are known when it starts."""

    input: Path
    job: Path
    function: Path
    keep: Path | None = None


def text(value: str) -> Item:
    """Give an argument that is this text."""
    return [{"text": value}]


def _bare(image: Path | None, folders: Folders, command: list[Item], environment: Mapping[str, str]) -> list[Item]:
    del image, folders, environment
    return command


def _charliecloud(
    image: Path | None, folders: Folders, command: list[Item], environment: Mapping[str, str]
) -> list[Item]:
    argv = [
        text(word) for word in ("ch-run", "--unset-env=*", "--no-passwd", "--private-tmp", f"--cd={INSIDE['output']}")
    ]
    argv += [text(f"--set-env={name}={value}") for name, value in environment.items()]
    argv += [_bind("--bind=", place, folders, "") for place in INSIDE]
    argv += [text(f"--bind={folders.keep}:{KEPT}")] if folders.keep else []
    return [*argv, text(str(image)), text("--"), *command]


def _apptainer(program: str) -> Callable[[Path | None, Folders, list[Item], Mapping[str, str]], list[Item]]:
    def around(image: Path | None, folders: Folders, command: list[Item], environment: Mapping[str, str]) -> list[Item]:
        words = (program, "exec", "--containall", "--cleanenv", "--no-home", "--no-privs", "--pwd", INSIDE["output"])
        argv = [text(word) for word in words]
        for name, value in environment.items():
            argv += [text("--env"), text(f"{name}={value}")]
        for place in INSIDE:
            argv += [text("--bind"), _bind("", place, folders, ":rw" if place in {"output", "status"} else ":ro")]
        if folders.keep:
            argv += [text("--bind"), text(f"{folders.keep}:{KEPT}:rw")]
        return [*argv, text(str(image)), *command]

    return around


def _bind(option: str, place: str, folders: Folders, mode: str) -> Item:
    end = {"text": f":{INSIDE[place]}{mode}"}
    if place in {"output", "status"}:
        return [*([{"text": option}] if option else []), {"path": place}, end]
    outside = {"input": folders.input, "job": folders.job, "function": folders.function}[place]
    return [{"text": f"{option}{outside}"}, end]


#: The runtimes by name, and whether their command sees the folders of `INSIDE`.
RUNTIMES: Mapping[str, Callable[[Path | None, Folders, list[Item], Mapping[str, str]], list[Item]]] = {
    "none": _bare,
    "charliecloud": _charliecloud,
    "apptainer": _apptainer("apptainer"),
    "singularity": _apptainer("singularity"),
}
