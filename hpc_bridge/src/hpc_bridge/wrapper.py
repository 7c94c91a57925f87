"""Runs one attempt of a job on the compute node; standard library only, run as a file by any Python 3.8 or newer.

    python -I wrapper.py BATCH_FOLDER [TASK] [--detach]

In BATCH_FOLDER/TASK it reads `plan.json`, claims the attempt, runs the plan's argument vector without a shell and with
a clean environment, lists the outputs with their checksums, and writes `exit.json` last. Who finds the attempt revoked
starts nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CLAIM, PLAN, EXIT = "claim", "plan.json", "exit.json"
#: In the output folder: why a program could not work, {"code": ..., "message": plain words}.
ERROR = "error.json"
REVOKED = "revoked"
RC_REVOKED = 75
RC_BROKEN = 70
_GRACE_SECONDS = 5
_MOST_ERROR_BYTES = 1 << 16
_MAX_NAME_BYTES, _MAX_PART_BYTES, _MAX_NAME_DEPTH = 512, 200, 16
#: What the batch system tells a job that helps to understand a run afterwards; no names of people, no tokens.
REPORTED = (
    "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_PARTITION", "SLURM_CPUS_ON_NODE",
    "SLURM_JOB_NODELIST", "SLURM_MEM_PER_NODE", "SLURM_RESTART_COUNT", "SLURM_CLUSTER_NAME",
)  # fmt: skip


def link_new(path: Path, body: str) -> bool:
    """Write a file that appears complete under a name that must be free; False when it was taken."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def start_ticks(pid: int) -> int:
    """Give when a process started, in clock ticks since boot: with its number it names a process for good.

    0 says that there is none, or none any more: one that has ended stays in the table until somebody asks for it.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in {"Z", "X"} else int(fields[19])


def claim(folder: Path) -> bool:
    """Claim an attempt for running; False when it was revoked. A batch system may start the same job once more."""
    mark = {
        "state": "started",
        "pid": os.getpid(),
        "ticks": start_ticks(os.getpid()),
        "boot": boot(),
        "host": socket.gethostname(),
        "scheduler_id": scheduler_id(),
        "number": os.environ.get("SLURM_JOB_ID", ""),
        "time": time.time(),
    }
    if link_new(folder / CLAIM, json.dumps(mark)):
        return True
    return bool(json.loads((folder / CLAIM).read_text(encoding="utf-8"))["state"] != REVOKED)


def boot() -> str:
    """Give what changes with each start of this machine."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return ""


def scheduler_id() -> str:
    """Give the batch system's number of this job, as its commands take it."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def new_run(folder: Path) -> Path:
    """Make a folder of its own for this start."""
    for number in range(1, 1000):
        run = folder / f"run-{number}"
        try:
            run.mkdir()
        except FileExistsError:
            continue
        for name in ("output", "status", "logs"):
            (run / name).mkdir()
        return run
    raise RuntimeError("started too often")


def argument_vector(plan: dict[str, Any], run: Path) -> list[str]:
    """Put this run's folders where the plan leaves them open; nothing is ever read as a template."""
    places = {"output": str(run / "output"), "status": str(run / "status")}
    argv = ["".join(places[p["path"]] if "path" in p else p["text"] for p in item) for item in plan["argv"]]
    if plan["network"] or not plan["isolation"]:
        return argv
    cut = ["unshare", "--user", "--map-current-user", "--net", "--"]
    found = shutil.which("unshare", path="/usr/bin:/bin:/usr/sbin:/sbin")
    works = found and subprocess.run([found, *cut[1:], "true"], capture_output=True, check=False).returncode == 0
    if works:
        return [str(found), *cut[1:], *argv]
    if plan["isolation"] == "required":
        raise RuntimeError(
            "the network can't be cut off on this node (no user namespaces), and the settings require it"
        )
    return argv


class Job:
    """The program of an attempt, and how it ends."""

    def __init__(self, plan: dict[str, Any], run: Path) -> None:
        self.plan = plan
        self.run_folder = run
        self.problem = ""
        self._process: subprocess.Popen[bytes] | None = None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: object) -> None:
        self.problem = f"ended by the batch system or a person ({signal.Signals(number).name})"
        self._kill(signal.SIGTERM)

    def _kill(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def run(self) -> int:
        """Run the program and give its exit status; negative for a signal."""
        argv = argument_vector(self.plan, self.run_folder)
        logs = self.run_folder / "logs"
        with (logs / "stdout.txt").open("wb") as out, (logs / "stderr.txt").open("wb") as err:
            self._process = subprocess.Popen(
                argv,
                env=self.plan["environment"],
                cwd=self.run_folder / "output",
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            return self._wait()

    def _wait(self) -> int:
        assert self._process is not None  # noqa: S101 - called by run alone
        deadline = time.monotonic() + self.plan["minutes"] * 60
        told = 0.0
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(0.2)
            now = time.monotonic()
            if not self.problem and now > deadline:
                self.problem = f"took longer than {self.plan['minutes']:g} minutes"
                self._kill(signal.SIGTERM)
            if self.problem:
                told = told or now
                if now > told + _GRACE_SECONDS:
                    self._kill(signal.SIGKILL)


def listed(folder: Path, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """List the regular files below a folder with size and SHA-256; anything else there is an error."""
    entries: list[dict[str, Any]] = []
    total = 0
    for path in sorted(_files(folder)):
        name = path.relative_to(folder).as_posix()
        if not is_plain(name):
            raise RuntimeError(f"an output's name can't be used: {ascii(name)[:200]}")
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            total += size
            if len(entries) >= plan["max_files"] or total > plan["max_bytes"]:
                raise RuntimeError("there are more outputs than the request and the function allow")
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        entries.append({"name": name, "size": size, "sha256": digest.hexdigest()})
    return entries


def is_plain(name: str) -> bool:
    """Say whether the protocol takes a file's name: the rule of `protocol.keys.plain_name`, which is not here."""
    parts = name.split("/")
    return (
        len(parts) <= _MAX_NAME_DEPTH
        and all(part not in {"", ".", ".."} and len(os.fsencode(part)) <= _MAX_PART_BYTES for part in parts)
        and len(os.fsencode(name)) <= _MAX_NAME_BYTES
        and name.isprintable()
        and "\\" not in name
        and not name.startswith("~")
    )


def _files(folder: Path) -> Iterator[Path]:
    for top, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(top) / name
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise RuntimeError(f"an output is a link or a device: {ascii(str(path.relative_to(folder)))[:200]}")
        yield from (Path(top) / name for name in names)


def run_attempt(folder: Path) -> int:
    """Claim, run, list, and write the exit file."""
    if not claim(folder):
        return RC_REVOKED
    plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    run = new_run(folder)
    begun = time.time()
    job = Job(plan, run)
    code, outputs = RC_BROKEN, []
    try:
        code = job.run()
        if code == 0 and not job.problem:
            outputs = listed(run / "output", plan)
        elif not job.problem:
            job.problem = own_words(run)
    except (OSError, RuntimeError) as problem:
        job.problem = str(problem)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    record = {
        "run": run.name,
        "exit_code": code,
        "problem": job.problem,
        "outputs": outputs,
        "scheduler_id": scheduler_id(),
        "versions": {"python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"},
        "cost": {
            "wall_seconds": round(time.time() - begun, 3),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
            "max_rss_bytes": used.ru_maxrss * 1024,
        },
    }
    try:
        write_environment(run, plan)
        link_new(folder / EXIT, json.dumps(record))
    except OSError as problem:  # most likely a full disk: what can't be used any more makes room for saying so
        shutil.rmtree(run / "output", ignore_errors=True)
        record.update(outputs=[], problem=job.problem or str(problem))
        link_new(folder / EXIT, json.dumps(record))
    return 0 if code == 0 and not record["problem"] else 1


def own_words(run: Path) -> str:
    """Give what a program that failed says about it in its error file, and keep that file as a log."""
    said, kept = run / "output" / ERROR, run / "logs" / ERROR
    try:
        if said.is_symlink() or said.stat().st_size > _MOST_ERROR_BYTES:
            return ""
        said.replace(kept)
        content = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    message = content.get("message") if isinstance(content, dict) else None
    if not isinstance(message, str):
        return ""
    return " ".join(message.split())[:1000].encode(errors="replace").decode()  # JSON can hold what no text is


def write_environment(run: Path, plan: dict[str, Any]) -> None:
    """Put down what the batch system and the plan gave the program."""
    report = {name: os.environ[name] for name in REPORTED if name in os.environ}
    text = json.dumps({"batch": report, "job": plan["environment"]}, indent=1, sort_keys=True)
    (run / "logs" / "environment.json").write_text(text, encoding="utf-8")


def detach() -> None:
    """Leave the process that started this one: go on in a session of one's own."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)


def main(arguments: list[str]) -> int:
    """Run from the command line."""
    words = [word for word in arguments if word != "--detach"]
    task = words[1] if len(words) > 1 else os.environ.get("SLURM_ARRAY_TASK_ID", "0")
    if "--detach" in arguments:
        detach()
    return run_attempt(Path(words[0]) / task)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
