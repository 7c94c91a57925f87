"""The commands of the HPC side, without logic. Exit codes: 0 good, 1 something needs a look, 2 could not work."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hpc_bridge
from hpc_bridge.errors import BridgeError

DEFAULT_HOME = "~/.hpc-bridge"
_EXAMPLES = {
    "init": "hpc-bridge init --scheduler slurm --endpoint https://s3.example.org --bucket bridge",
    "tick": "hpc-bridge tick --json",
    "watch": "hpc-bridge watch --every 30",
    "functions": "hpc-bridge functions --json",
    "doctor": "hpc-bridge doctor",
    "courier": "hpc-bridge courier",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hpc-bridge", description=hpc_bridge.__doc__)
    parser.add_argument("--version", action="version", version=hpc_bridge.__version__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(
            name,
            help=text,
            description=f"{text}\n\nExample: {_EXAMPLES[name]}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.add_argument("--home", type=Path, default=Path(os.environ.get("HPC_BRIDGE_HOME", DEFAULT_HOME)),
                         help=f"the agent's folder (default: HPC_BRIDGE_HOME or {DEFAULT_HOME})")  # fmt: skip
        one.add_argument("--json", action="store_true", help="answer as JSON")
        return one

    init = command("init", "Make an agent's folder: settings, keys, functions; what is there stays.")
    init.add_argument("--scheduler", choices=["local", "slurm"], default="local")
    init.add_argument("--folder", help="a folder as bucket")
    init.add_argument("--endpoint", help="URL of the S3 store")
    init.add_argument("--bucket", help="name of the S3 bucket")
    init.add_argument("--prefix", default="", help="everything lies below it")
    tick = command("tick", "Do the next step of every job, once, and end.")
    tick.add_argument("--quiet", action="store_true", help="print only what needs a look")
    watch = command("watch", "Tick again and again, where no cron is.")
    watch.add_argument("--quiet", action="store_true", help="print only what needs a look")
    watch.add_argument("--every", type=float, default=60, metavar="SECONDS", help="time between two ticks")
    watch.add_argument("--for", type=float, dest="duration", metavar="SECONDS", help="end after so long")
    functions = command("functions", "List what can be run here, or show the digest of an image.")
    functions.add_argument("--digest", type=Path, metavar="IMAGE", help="the digest for a function's container entry")
    command("doctor", "Check settings, keys, bucket, batch system, containers; say what to do.")
    command("courier", "Move the data that waits, inside a batch job (the setting transfers: job).")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code."""
    options = _parser().parse_args(arguments)
    options.home = options.home.expanduser().absolute()
    try:
        return int(_COMMANDS[options.command](options))
    except BridgeError as problem:
        print(f"hpc-bridge: {problem}", file=sys.stderr)  # noqa: T201 - a command talks
        return 2
    except KeyboardInterrupt:
        return 0


def _say(options: argparse.Namespace, document: dict[str, Any], lines: Sequence[str]) -> None:
    print(json.dumps(document, indent=1, ensure_ascii=False) if options.json else "\n".join(lines))  # noqa: T201


def _init(options: argparse.Namespace) -> int:
    from hpc_bridge.installation import cron_line, make  # noqa: PLC0415 - each command loads what it needs
    from hpc_bridge.protocol import SigningKey  # noqa: PLC0415

    if options.bucket:
        bucket = {"kind": "s3", "bucket": options.bucket, "prefix": options.prefix}
        bucket |= {"endpoint": options.endpoint} if options.endpoint else {}
        bucket |= {"credentials_file": str(options.home / "credentials")}
    else:
        bucket = {"kind": "folder", "folder": str(options.folder or options.home / "bucket")}
    made = make(options.home, bucket, options.scheduler)
    key = SigningKey.load(options.home / "agent_key.pem").public.line("agent")
    lines = [
        f"made {', '.join(made)} in {options.home}" if made else f"all is there in {options.home}",
        "",
        "Give the operator of the RDM side this line (it is public):",
        f"  {key}",
        f"Put the line that you get in return into {options.home}/trusted_keys",
        *([f"Put the bucket's credentials into {options.home}/credentials (chmod 600)"] if options.bucket else []),
        "Then check with `hpc-bridge doctor`, and let cron do the rest (`crontab -e`):",
        f"  {cron_line(options.home)}",
    ]
    _say(options, {"made": made, "home": str(options.home), "public_key": key}, lines)
    return 0


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[bool]:
    """Say whether no other tick of this machine is at work; it saves work, correctness does not rest on it."""
    with (home / "tick.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def _tick(options: argparse.Namespace) -> int:
    from hpc_bridge.installation import open_agent  # noqa: PLC0415
    from hpc_bridge.ticking import tick  # noqa: PLC0415

    if not options.home.is_dir():
        raise _missing(options.home)
    with _alone(options.home) as alone:
        if not alone:
            _say(options, {"busy": True}, [] if getattr(options, "quiet", False) else ["another tick is at work"])
            return 0
        report = tick(open_agent(options.home), options.home)
    steps = [f"{one['job']} {one['state']}: {one['message']}" for one in report.steps]
    quiet = getattr(options, "quiet", False)
    summary = ", ".join(f"{count} {state}" for state, count in sorted(report.jobs.items())) or "no open jobs"
    lines = [*([] if quiet else [*steps, summary]), *(f"problem: {text}" for text in report.problems)]
    if lines or options.json:
        _say(options, {"steps": report.steps, "problems": report.problems, "jobs": report.jobs}, lines)
    return 1 if report.problems else 0


def _missing(home: Path) -> BridgeError:
    from hpc_bridge.errors import SettingsError  # noqa: PLC0415

    return SettingsError(f"there is no {home}")


def _watch(options: argparse.Namespace) -> int:
    end = time.monotonic() + options.duration if options.duration else None
    worst = 0
    while end is None or time.monotonic() < end:
        try:
            worst = max(worst, _tick(options))
        except BridgeError as problem:
            print(f"hpc-bridge: {problem}", file=sys.stderr)  # noqa: T201
            worst = 2
        time.sleep(min(options.every, max(0.0, end - time.monotonic())) if end else options.every)
    return worst


def _courier(options: argparse.Namespace) -> int:
    from hpc_bridge.installation import open_agent  # noqa: PLC0415
    from hpc_bridge.ticking import move_data  # noqa: PLC0415

    report = move_data(open_agent(options.home))
    _say(options, {"problems": report.problems}, report.problems)
    return 1 if report.problems else 0


def _functions(options: argparse.Namespace) -> int:
    from hpc_bridge.catalog import image_digest, load_catalogue  # noqa: PLC0415
    from hpc_bridge.offers import hindrance  # noqa: PLC0415
    from hpc_bridge.settings import load_settings  # noqa: PLC0415

    if options.digest:
        value = image_digest(options.digest)
        _say(options, {"sha256": value}, [value])
        return 0
    settings = load_settings(options.home)
    found, problems = load_catalogue(options.home / settings.functions)
    entries = [one.describe(settings.agent, unavailable=hindrance(one, settings)) for one in found.values()]
    lines = []
    for one in entries:
        lines.append(f"{one.name} {one.version}  {one.title}")
        if one.unavailable:
            lines.append(f"    not now: {one.unavailable}")
    _say(options, {"functions": [one.to_dict() for one in entries], "problems": problems}, [*lines, *problems])
    return 1 if problems else 0


def _doctor(options: argparse.Namespace) -> int:
    from hpc_bridge.doctor import examine  # noqa: PLC0415

    findings = examine(options.home)
    lines = [f"{'ok  ' if one.good else 'FIX '} {one.what}: {one.text}" for one in findings]
    document = {"findings": [{"what": one.what, "good": one.good, "text": one.text} for one in findings]}
    _say(options, document, lines)
    return 0 if all(one.good for one in findings) else 1


_COMMANDS = {
    "init": _init,
    "tick": _tick,
    "watch": _watch,
    "functions": _functions,
    "doctor": _doctor,
    "courier": _courier,
}

if __name__ == "__main__":
    sys.exit(main())
