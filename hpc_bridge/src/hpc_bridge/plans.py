"""What the wrapper gets to run: the plan of one attempt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hpc_bridge.bucket.files import write_whole
from hpc_bridge.catalog import Function
from hpc_bridge.containers import INSIDE, KEPT, RUNTIMES, Folders, Item
from hpc_bridge.protocol import JobSpec

PARAMETERS = "parameters.json"
PATH = "/usr/local/bin:/usr/bin:/bin"


def make_plan(
    spec: JobSpec,
    function: Function,
    parameters: dict[str, Any],
    *,
    folder: Path,
    inputs: Path,
    isolation: str,
    most: int,
    python: str,
    keep: Path,
    image_digest: str | None = None,
) -> dict[str, Any]:
    """Write the parameters' file into the attempt's folder and give the plan; `most` is the site's limit, bytes.

    `python` is the interpreter of commands that run without a container; a container brings its own.
    `image_digest` is that of the container's image.
    `keep` is made where the function asks for a folder that outlasts an attempt.

    A parameter reaches the program as JSON in a file or as an argument of its own, never through a shell.
    """
    write_whole(folder / PARAMETERS, json.dumps(parameters, indent=1, sort_keys=True).encode())
    entry = function.entry
    runtime = entry.container.runtime
    outside = {"input": str(inputs), "function": str(function.folder), "parameters": str(folder / PARAMETERS)}
    inside = {**INSIDE, "parameters": f"{INSIDE['job']}/{PARAMETERS}"}
    places = outside if runtime == "none" else inside
    places["cpus"] = str(entry.resources.cpus)
    places["python"] = python if runtime == "none" else "python3"
    if entry.keep:
        keep.mkdir(parents=True, exist_ok=True, mode=0o700)
        places["keep"] = str(keep) if runtime == "none" else KEPT
    command = [_placed(item, places) for item in function.arguments(parameters)]
    environment = {
        "LANG": "C.UTF-8",
        "PATH": PATH,
        "HOME": places.get("output", "/nonexistent"),
        "OMP_NUM_THREADS": str(entry.resources.cpus),
        **spec.environment,
    }
    folders = Folders(input=inputs, job=folder, function=function.folder, keep=keep if entry.keep else None)
    argv = RUNTIMES[runtime](function.image, folders, command, environment)
    return {
        "argv": argv,
        "environment": environment
        if runtime == "none"
        else {"PATH": PATH, "USER": "nobody", "HOME": "/", "LANG": "C.UTF-8"},
        "network": entry.network,
        "isolation": isolation,
        "minutes": function.resources(spec).minutes,
        "max_files": spec.outputs.max_files,
        "max_bytes": min(spec.outputs.max_bytes, most),
        "outputs": [one.to_dict() for one in entry.outputs],
        "function": {
            "name": entry.name,
            "version": entry.version,
            "digest": function.digest,
            "container": image_digest,
        },
    }


def _placed(item: Item, places: dict[str, str]) -> Item:
    placed = []
    for piece in item:
        if "path" in piece and piece["path"] in places:
            placed.append({"text": places[piece["path"]]})
        else:
            placed.append(piece)
    return placed
