"""Where things lie in the bucket, below one configurable prefix. No other module writes a key by hand."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

from hpc_bridge.errors import DocumentError, RefusedError
from hpc_bridge.protocol.lifecycle import State

#: A job's name: made by `job_name`, so it tells nothing about a person; the bucket policies rely on its length.
JOB = re.compile(r"[a-z0-9][a-z0-9-]{31}")
#: Names of functions and agents.
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}")
#: An attempt: the token that names the batch job, and the task within it.
ATTEMPT = re.compile(r"hb-[0-9a-f]{32}\.[0-9]{1,5}")

OPEN_PREFIX = "open/"
CATALOGUE_PREFIX = "catalogue/"
AGENTS_PREFIX = "agents/"
#: The wish of the RDM side that a job ends; a key of one writer, so it works where conditional writes do not.
CANCEL = "cancel"

_OPEN_KEY = re.compile(
    r"open/(?P<job>[a-z0-9][a-z0-9-]{31})/(?:(?P<number>[0-9]{4})(?:\.(?P<hint>[a-z]{1,16}))?|(?P<wish>cancel))"
)
#: Of an event: four digits in a key.
LAST_NUMBER = 9999
_STATES = {state.value: state for state in State}
MAX_NAME_BYTES = 512
MAX_NAME_DEPTH = 16


def job_name(site: str, request: str, attempt: int) -> str:
    """Give the one name of this attempt at this request, the same for every exchange that asks."""
    return "j" + hashlib.sha256(f"{site}\n{request}\n{attempt}".encode()).hexdigest()[:31]


def spec(job: str) -> str:
    """Give the key of a job's specification."""
    return f"jobs/{job}/spec.json"


def input_file(job: str, name: str) -> str:
    """Give the key of one input."""
    return f"jobs/{job}/input/{name}"


def output_file(job: str, attempt: str, name: str) -> str:
    """Give the key of one output of one attempt."""
    return f"jobs/{job}/output/{attempt}/{name}"


def log_file(job: str, attempt: str, name: str) -> str:
    """Give the key of one log file of one attempt."""
    return f"jobs/{job}/logs/{attempt}/{name}"


def manifest(job: str) -> str:
    """Give the key of the list of the outputs, written last."""
    return f"jobs/{job}/output/manifest.json"


def history(job: str) -> str:
    """Give the key of a job's events after it is over."""
    return f"jobs/{job}/history.json"


def receipt(job: str) -> str:
    """Give the key of what was deleted of a job, and when."""
    return f"jobs/{job}/receipt.json"


def job_prefix(job: str) -> str:
    """Give what all keys of a job's data begin with."""
    return f"jobs/{job}/"


def event(job: str, number: int) -> str:
    """Give the key of one event."""
    return f"open/{job}/{number:04d}"


def hint(job: str, number: int, state: State) -> str:
    """Give the key that names an event's state in listings."""
    return f"open/{job}/{number:04d}.{state.value}"


def cancel(job: str) -> str:
    """Give the key of the wish that a job ends."""
    return f"open/{job}/{CANCEL}"


def open_prefix(job: str) -> str:
    """Give what the keys of a job's events begin with."""
    return f"open/{job}/"


def catalogue(function: str, version: str) -> str:
    """Give the key of a function's public description."""
    return f"catalogue/{function}/{version}.json"


def agent(name: str) -> str:
    """Give the key of an agent's heartbeat."""
    return f"agents/{name}.json"


def parse_open(key: str) -> tuple[str, int | None, State | None] | None:
    """Read a key below `open/`: (job, number, state of a hint); number None is the wish to cancel; None is no such key.

    An event's own key has no state.
    """
    found = _OPEN_KEY.fullmatch(key)
    if not found:
        return None
    if found["wish"]:
        return found["job"], None, None
    if found["hint"] is None:
        return found["job"], int(found["number"]), None
    state = _STATES.get(found["hint"])
    return (found["job"], int(found["number"]), state) if state else None


def plain_name(name: str) -> str:
    """Check that a file's name is a plain relative path, and give it back.

    Raises
    ------
    RefusedError
        When it is absolute, climbs, has empty parts, control characters or backslashes, or is too long or deep.
    """
    parts = name.split("/")
    if (
        not name
        or any(part in {"", ".", ".."} for part in parts)
        or len(parts) > MAX_NAME_DEPTH
        or any(len(part.encode("utf-8", "surrogatepass")) > 200 for part in parts)  # noqa: PLR2004 - below NAME_MAX 255
        or len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES
        or not name.isprintable()
        or "\\" in name
        or parts[0].startswith("~")
        or PurePosixPath(name).is_absolute()
    ):
        raise RefusedError(f"not a plain relative file name: {name[:80]!r}")
    return name


def check(pattern: re.Pattern[str], text: str, what: str) -> str:
    """Check a name against its pattern, and give it back."""
    if not pattern.fullmatch(text):
        raise DocumentError(f"not {what}: {text[:80]!r}")
    return text
