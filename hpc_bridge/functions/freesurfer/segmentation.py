"""Segments a brain with FreeSurfer or FastSurfer and reads what came out; goes on where a time limit ended it.

Standard library only: it runs in the program's own image, or where the program is installed.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import records
import stats

VERSION = "1.1.0"
PROGRAMS = {"freesurfer": "bin/recon-all", "fastsurfer": "run_fastsurfer.sh"}
#: Its parts, one after the other. `recon-all -all` on a folder that it had begun would do everything once more, and its
#: `-make all` leaves tables out: each part that came to its end is marked, and an attempt begins with the next.
STAGES = {"freesurfer": ("-autorecon1", "-autorecon2", "-autorecon3"), "fastsurfer": ("-all",)}
#: Where the programs are when nothing else is said; a file `place` beside this one names another folder.
PLACES = {
    "freesurfer": ("/opt/freesurfer", "/usr/local/freesurfer", "/usr/local/freesurfer/*"),
    "fastsurfer": ("/fastsurfer", "/opt/fastsurfer"),
}
#: Kept of the subject's folder besides `stats/`.
KEPT = (
    "mri/orig.mgz", "mri/brainmask.mgz", "mri/aseg.mgz", "mri/aparc+aseg.mgz", "mri/aparc.a2009s+aseg.mgz",
    "mri/aparc.DKTatlas+aseg*.mgz", "mri/wmparc.mgz", "surf/?h.white", "surf/?h.pial", "surf/?h.thickness",
    "label/?h.aparc*.annot",
)  # fmt: skip
#: What BIDS has no name for.
IGNORED = (
    "/freesurfer", "/*_morph.tsv", "/*_morph.json", "/function", "/logs",
    "/result.json", "/specification.json", "/manifest.json", "/history.json", "/error.json",
)  # fmt: skip
#: Lines of a table that name the machine, a user or folders of the computing centre.
_PRIVATE = re.compile(r"#\s*(user|hostname|SUBJECTS_DIR|cmdline|InVolFile |ColorTable |sysname|machine)")
#: recon-all tells about so many steps.
STEPS = 55
POLL_SECONDS = 5.0


class CantWork(Exception):  # noqa: N818 - it is told to people
    """A reason in plain words, with a code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def hold(keep: Path) -> IO[str]:
    """Keep two jobs from working on one subject's folder; give the open lock."""
    file = (keep / "lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise CantWork("AT_WORK", "Another job works on this image already: wait for its result.") from None
    except OSError:
        pass  # this file system knows no locks
    return file


def home_of(program: str, function: Path) -> Path:
    """Find where the program is installed."""
    said = function / "place"
    places = [said.read_text(encoding="utf-8").strip()] if said.is_file() else []
    places += [os.environ.get(f"{program.upper()}_HOME", ""), *PLACES[program]]
    for place in filter(None, places):
        for folder in sorted(Path("/").glob(place.lstrip("/"))):
            if (folder / PROGRAMS[program]).is_file():
                return folder
    raise CantWork(
        "NOT_INSTALLED",
        f"{program} is not there at the computing centre: use its container image, or write its folder into the file "
        f"functions/{program}/place of the agent.",
    )


def licence_of(home: Path, function: Path) -> Path:
    """Find FreeSurfer's licence: beside this file, or in the installation."""
    for path in (function / "license.txt", home / "license.txt", home / ".license"):
        if path.is_file() and path.stat().st_size:
            return path
    raise CantWork(
        "NO_LICENCE",
        "FreeSurfer's licence is missing: get one (free) from the FreeSurfer site and save it as "
        f"functions/{function.name}/license.txt of the agent.",
    )


def image_of(folder: Path) -> Path:
    """Give the one T1-weighted image."""
    found = sorted(folder.rglob("*_T1w.nii.gz"))
    if len(found) != 1:
        raise CantWork("MISSING_INPUT", f"One T1-weighted image (_T1w.nii.gz) is needed; there are {len(found)}.")
    return found[0]


def command_of(
    program: str, home: Path, *, image: Path, subject: str, subjects: Path, cpus: int, licence: Path, stage: str
) -> list[str]:
    """Give the command line of a stage; the first reads the image."""
    if program == "fastsurfer":
        return [
            str(home / PROGRAMS[program]), "--t1", str(image), "--sid", subject, "--sd", str(subjects),
            "--fs_license", str(licence), "--threads", str(cpus), "--parallel", "--allow_root",
        ]  # fmt: skip
    words = [str(home / PROGRAMS[program]), "-subject", subject, "-sd", str(subjects), stage]
    words += ["-i", str(image)] if stage == STAGES[program][0] else []
    return [*words, "-parallel", "-openmp", str(cpus)] if cpus > 1 else words


def environment_of(program: str, home: Path, licence: Path, subjects: Path) -> dict[str, str]:
    """Give the environment that the programs' images and set-up scripts make: a job begins with a clean one."""
    freesurfer, first = home, [home / "bin"]
    if program == "fastsurfer":
        known = [os.environ.get("FREESURFER_HOME", ""), *(one for one in PLACES["freesurfer"] if "*" not in one)]
        freesurfer = next((Path(one) for one in known if one and (Path(one) / "bin").is_dir()), home)
        first = [home, Path("/venv/bin"), freesurfer / "bin"]  # its image has its Python in /venv
    return {
        **os.environ,
        "OS": "Linux",
        "FS_OVERRIDE": "0",
        "FIX_VERTEX_AREA": "",
        "FSF_OUTPUT_FORMAT": "nii.gz",
        "FREESURFER_HOME": str(freesurfer),
        "FS_LICENSE": str(licence),
        "SUBJECTS_DIR": str(subjects),
        "PATH": ":".join([*map(str, first), os.environ.get("PATH", "/usr/bin:/bin")]),
    }


def segment(command: list[str], environment: dict[str, str], subject: Path, status: Path | None) -> None:
    """Run the program and tell how far it is."""
    set_up = Path(environment["FREESURFER_HOME"]) / "SetUpFreeSurfer.sh"
    if set_up.is_file():
        command = ["bash", "-c", '. "$0"; exec "$@"', str(set_up), *command]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    while True:
        try:
            code = process.wait(POLL_SECONDS)
            break
        except subprocess.TimeoutExpired:
            report(status, 0.97 * min(1.0, steps_done(subject) / STEPS))
    if code != 0:
        raise CantWork(
            "PROGRAM_FAILED",
            f"The segmentation ended with status {code}: look at its last words in stdout.txt. "
            "Most often the image is not a whole head, or memory was short. Asked for again it goes on from there.",
        )


def steps_done(subject: Path) -> int:
    """Count the steps that recon-all's own status file tells about."""
    try:
        text = (subject / "scripts" / "recon-all-status.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return len(re.findall(r"^#@#", text, re.MULTILINE))


def report(status: Path | None, part: float) -> None:
    """Tell how far the work is."""
    if status is not None:
        draft = status / "progress.part"
        draft.write_text(f"{part:.3f}", encoding="ascii")
        draft.replace(status / "progress")


def take_over(subject: Path, output: Path) -> list[dict[str, str]]:
    """Copy what is kept into the result; tables without the lines that name people and machines."""
    target = output / "freesurfer" / subject.name
    files = []
    for path in sorted((subject / "stats").glob("*.stats")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        copy = target / "stats" / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("".join(line for line in lines if not _PRIVATE.match(line)), encoding="utf-8")
        files.append((copy, "table"))
    for pattern in KEPT:
        for path in sorted(subject.glob(pattern)):
            copy = target / path.relative_to(subject)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            files.append((copy, "segmentation" if path.parent.name == "mri" else "surface"))
    return [{"path": path.relative_to(output).as_posix(), "role": role} for path, role in files]


def write_result(output: Path, *, program: str, image: Path, subject: Path, resumed: bool) -> None:
    """Read the tables and write `result.json`, all numbers as tables, and the dataset's description."""
    folder = subject / "stats"
    if not (folder / "aseg.stats").is_file():
        raise CantWork("NO_TABLES", "The segmentation ended without its table aseg.stats: look at stdout.txt.")
    unread: list[str] = []
    cells = stats.read_all(folder, unread)
    notes = [{"code": "RESUMED", "text": "It went on where an earlier attempt had stopped."}] if resumed else []
    notes += [
        {"code": "UNREAD_TABLE", "text": f"The table {name} can't be read; it is kept as a file."} for name in unread
    ]
    files = take_over(subject, output)
    table = output / f"{subject.name}_desc-all_morph.tsv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["table", "hemisphere", "region", "quantity", "value", "unit"])
        for cell in cells:
            shown = "n/a" if cell.value is None else repr(cell.value)
            writer.writerow(
                [cell.table, cell.hemisphere or "n/a", cell.region or "n/a", cell.quantity, shown, cell.unit or "n/a"]
            )
    files.append({"path": table.name, "role": "table"})
    for path in records.write_tables(output, subject.name, records.to_tables(cells)):
        files.append({"path": path.name, "role": "records"})
        files.append({"path": path.with_suffix(".json").name, "role": "description"})
    version = program_version(folder)
    values = [
        {"name": name, "value": value, **({"unit": unit} if unit else {})}
        for name, (value, unit) in sorted(stats.to_values(cells).items())
    ]
    result: dict[str, Any] = {
        "ResultType": "FreeSurferSegmentation",
        "Function": program,
        "Version": VERSION,
        "Sources": [image.name],
        "Values": values,
        "Files": files,
        "Notes": notes,
        "Details": {"Versions": {program: version, "segmentation": VERSION}},
    }
    description = {
        "Name": "FreeSurferSegmentation",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": program, "Version": version}],
        "SourceDatasets": [{"URL": "../../../ExperimentalData"}],  # as the result lies in the archive
    }
    (output / ".bidsignore").write_text("\n".join(IGNORED) + "\n", encoding="utf-8")
    (output / "dataset_description.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    (output / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def program_version(folder: Path) -> str:
    """Give the version that the tables name."""
    text = (folder / "aseg.stats").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^# (?:cvs_version|.*freesurfer.*?)\s+(\S*\d+\.\d+\S*)", text, re.MULTILINE)
    return found[1] if found else "unknown"


def work(options: argparse.Namespace) -> None:
    """Do it."""
    image = image_of(options.input)
    function = options.function.resolve()
    home = home_of(options.program, function)
    licence = licence_of(home, function)
    subjects = options.keep / "subjects"
    subjects.mkdir(parents=True, exist_ok=True)
    with hold(options.keep):
        segment_and_read(options, image, home, licence, subjects)


def segment_and_read(options: argparse.Namespace, image: Path, home: Path, licence: Path, subjects: Path) -> None:
    """Run the program if it has not run to its end, and read what is there."""
    subject = subjects / image.name.split("_T1w")[0]
    stages = STAGES[options.program]
    marks = {stage: subject / "scripts" / f"done{stage}" for stage in stages}
    open_stages = [stage for stage in stages if not marks[stage].is_file()]
    resumed = len(open_stages) < len(stages)
    if not resumed and subject.exists():
        shutil.rmtree(subject)  # both refuse a folder that they did not begin now
    for stage in open_stages:
        for lock in (subject / "scripts").glob("IsRunning*"):
            lock.unlink()
        command = command_of(
            options.program, home, image=image, subject=subject.name, subjects=subjects,
            cpus=options.cpus, licence=licence, stage=stage,
        )  # fmt: skip
        started = time.monotonic()
        segment(command, environment_of(options.program, home, licence, subjects), subject, options.status)
        marks[stage].parent.mkdir(exist_ok=True)
        marks[stage].touch()
        print(f"{stage[1:]}: {time.monotonic() - started:.0f} s", flush=True)  # noqa: T201 - the job's log
    write_result(options.output, program=options.program, image=image, subject=subject, resumed=resumed)
    report(options.status, 1.0)
    shutil.rmtree(subject, ignore_errors=True)


def check(program: str, function: Path, image: str) -> None:
    """See that the program and its licence are there; what is in a container's image is not looked at."""
    licence_of(function if image else home_of(program, function), function)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line: 0, or 3 with the reason in `error.json`; a check prints the reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", choices=sorted(PROGRAMS), required=True)
    parser.add_argument("--function", type=Path, required=True)
    parser.add_argument(
        "--check", metavar="IMAGE", help="only say whether it can run; IMAGE: the container's, or empty"
    )
    for name in ("input", "output", "keep", "status"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--cpus", type=int, default=1)
    options = parser.parse_args(argv)
    try:
        if options.check is not None:
            check(options.program, options.function.resolve(), options.check)
            return 0
        work(options)
    except CantWork as problem:
        if options.check is not None:
            print(problem)  # noqa: T201 - the agent reads it
            return 3
        content = {"code": problem.code, "message": str(problem)}
        (options.output / "error.json").write_text(json.dumps(content) + "\n", encoding="utf-8")
        print(f"{problem.code}: {problem}", file=sys.stderr)  # noqa: T201 - the job's log
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
