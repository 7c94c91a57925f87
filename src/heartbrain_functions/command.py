"""How a function is called: folders in and out, parameters as JSON, one line of progress, an exit code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from heartbrain_functions.errors import FunctionError

GOOD: Final = 0
#: The input can't be used: running it again changes nothing.
REFUSED: Final = 3


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a function is given.

    Attributes
    ----------
    input, output
        Folders; the output folder is empty.
    parameters
        Checked against the function's schema by whoever calls.
    report
        Says how far the work is, from 0 to 1, and with which step.
    """

    input: Path
    output: Path
    parameters: Mapping[str, Any]
    report: Callable[[float, str], None]


def main(name: str, description: str, work: Callable[[Call], None], argv: list[str] | None = None) -> int:
    """Read the command line and do the work.

    Returns
    -------
    int
        0, or 3 when the input can't be used; what is wrong then stands in `output/error.json` and on standard error.
    """
    parser = argparse.ArgumentParser(
        prog=f"python3 -m heartbrain_functions.{name}",
        description=description,
        epilog=f"Example: python3 -m heartbrain_functions.{name} --input session/dwi --output result",
    )
    parser.add_argument("--input", type=Path, required=True, help="folder with the input files")
    parser.add_argument("--output", type=Path, required=True, help="empty folder for the result")
    parser.add_argument("--parameters", type=Path, help="JSON file with the parameters (default: the function's own)")
    parser.add_argument("--status", type=Path, help="folder with the file that says how far the work is")
    options = parser.parse_args(argv)
    options.output.mkdir(parents=True, exist_ok=True)
    parameters = json.loads(options.parameters.read_text(encoding="utf-8")) if options.parameters else {}

    def report(part: float, step: str) -> None:
        if options.status is not None:
            draft = options.status / "progress.part"
            draft.write_text(f"{part:.3f}", encoding="ascii")
            draft.replace(options.status / "progress")
        print(f"{part:4.0%} {step}", flush=True)  # noqa: T201 - the job's log

    try:
        work(Call(input=options.input, output=options.output, parameters=parameters, report=report))
    except FunctionError as error:
        problem = {"code": error.code, "message": error.message}
        (options.output / "error.json").write_text(json.dumps(problem) + "\n", encoding="utf-8")
        print(f"{error.code}: {error.message}", file=sys.stderr)  # noqa: T201 - the job's log
        return REFUSED
    return GOOD
