"""`python -m benchmarks [--small] [--rounds N] [--json]`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS, OWN, environment
from benchmarks.machine import describe_machine, tool_versions
from benchmarks.material import Material, make_material, make_slices
from benchmarks.runs import Bench, Plan
from benchmarks.table import Row, Series, as_data, main_table, make_rows, stage_tables

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def parser() -> argparse.ArgumentParser:
    """Give the options of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the whole ingest beside its peers."
    )
    made.add_argument("--small", action="store_true", help="the small study, one round, without peers")
    made.add_argument(
        "--input",
        choices=["study", "slices"],
        default="study",
        help="many small files of many sessions, or 2,400 slices of 256 x 256 voxels (default: %(default)s)",
    )
    made.add_argument("--rounds", type=int, default=3, help="runs of each, in turn (default: %(default)s)")
    made.add_argument(
        "--minutes", type=float, default=12.0, help="begin no round that would end later (default: %(default)s)"
    )
    made.add_argument(
        "--only", help="names of what is measured, with commas: " + ",".join(one.name for one in CONTENDERS)
    )
    made.add_argument("--no-stages", action="store_true", help="leave out the run that splits our time by stage")
    made.add_argument("--work", type=Path, help="folder for input and results (default: a temporary one)")
    made.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return made


def main() -> int:
    """Measure and print."""
    arguments = parser().parse_args()
    names = set(arguments.only.split(",")) if arguments.only else {one.name for one in CONTENDERS}
    chosen = [one for one in CONTENDERS if one.name in names and not (arguments.small and one.name not in OWN)]
    if not chosen:
        parser().error("--only names nothing that is known")
    with tempfile.TemporaryDirectory(prefix="heartbrain-bench-", dir=arguments.work) as folder:
        work = Path(folder)
        _say("Making the input ...")
        shared = SHARED if SHARED.is_dir() and not arguments.small else None
        material, single = (
            make_slices(work, small=arguments.small)
            if arguments.input == "slices"
            else make_material(work, small=arguments.small, shared=shared)
        )
        (work / "home").mkdir()
        variables = environment(work / "home")
        machine = describe_machine()
        plan = Plan(
            rounds=1 if arguments.small else arguments.rounds,
            minutes=arguments.minutes,
            help_runs=1 if arguments.small else 3,
            stages=not arguments.no_stages,
        )
        bench = Bench(chosen, material, single, work=work, environment=variables, say=_say)
        bench.run(plan)
        rows = make_rows(bench.series(), material.files)
        data = {
            "machine": machine,
            "versions": tool_versions(variables),
            "input": _input(material),
            **as_data(rows, bench.series()),
            "again_s": bench.again_s,
            "stages": bench.stages,
        }
    if arguments.json:
        json.dump(data, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return 0
    _print(data, rows, bench.series())
    return 0


def _input(material: Material) -> dict[str, float]:
    return {
        "files": material.files,
        "megabytes": round(material.megabytes, 1),
        "sessions": len(material.sessions),
        "without_dicom_header": material.unsorted,
    }


def _print(data: dict[str, Any], rows: Sequence[Row], all_series: Sequence[Series]) -> None:
    for name, value in (data["machine"] | data["versions"]).items():
        print(f"{name}: {value}")
    given = data["input"]
    rounds = max(len(one.trials) for one in all_series)
    print(
        f"input: {given['files']:,} files, {given['megabytes']:,.0f} MB, {given['sessions']} sessions, "
        f"{given['without_dicom_header']} files without a DICOM header\n"
        f"medians of {rounds} round(s); start-up: the same on one file, once for each process\n"
    )
    print(main_table(rows) + "\n")
    for row, one in zip(rows, all_series, strict=True):
        print(f"{one.name}: {one.remark}{'. ' + row.note if row.note else ''}")
    if data["again_s"] is not None:
        print(f"\nheartbrain ingest again, nothing new: {data['again_s']:.1f} s")
    if data["stages"]:
        print("\n" + stage_tables(data["stages"]))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
