"""From measurements to the table: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

#: What the ratios are taken to.
REFERENCE = "dcm2niix"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One contender taking the whole material in, once.

    Attributes
    ----------
    wall_s, cpu_s
        Sum over its commands, in seconds.
    startup_s
        Wall time on an input of one file just before, in seconds: what starting costs, whatever is to be done.
    peak_mb
        Largest memory of its process tree, in MB.
    files
        Input files of the commands that ended well.
    images
        NIfTI files that it wrote.
    failures
        `session: reason` of the commands that did not end well.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    files: int
    images: int
    failures: tuple[str, ...] = ()
    startup_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Series:
    """All trials of one contender, round by round.

    Attributes
    ----------
    bare_s
        Wall time of `--help`, in seconds.
    processes
        How often it is started for the whole material, so how often it pays for starting.
    missing
        Why it was not run.
    """

    name: str
    remark: str
    bare_s: float = 0.0
    processes: int = 1
    trials: tuple[Trial, ...] = ()
    missing: str | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; medians over the rounds, None where nothing was measured."""

    name: str
    files: int | None = None
    images: int | None = None
    wall_s: float | None = None
    startup_s: float | None = None
    bare_s: float | None = None
    net_s: float | None = None
    files_per_s: float | None = None
    cpu_s: float | None = None
    peak_mb: float | None = None
    #: Wall time, and wall time less start-up, as multiples of the reference of the same round.
    ratio: float | None = None
    net_ratio: float | None = None
    #: Processor time as a multiple of that of the reference: what a busy machine changes least.
    cpu_ratio: float | None = None
    note: str = ""


def net_seconds(trial: Trial, processes: int) -> float:
    """Take off the start-up of every process that a contender is; not below zero."""
    return max(trial.wall_s - processes * trial.startup_s, 0.0)


def make_rows(all_series: Sequence[Series], total_files: int) -> list[Row]:
    """Give one row for each contender, failing and missing ones included."""
    reference = next((one for one in all_series if one.name == REFERENCE), None)
    return [_row(one, reference, total_files) for one in all_series]


def _row(series: Series, reference: Series | None, total_files: int) -> Row:
    trials = series.trials
    if series.missing or not trials:
        return Row(name=series.name, note=series.missing or "not run")
    wall = median(trial.wall_s for trial in trials)
    files = min(trial.files for trial in trials)
    pairs = list(zip(trials, reference.trials, strict=False)) if reference else []
    ratios = [own.wall_s / other.wall_s for own, other in pairs if other.wall_s > 0]
    net = median(net_seconds(trial, series.processes) for trial in trials)
    nets = [
        net_seconds(own, series.processes) / other
        for own, base in pairs
        if reference and (other := net_seconds(base, reference.processes)) > 0
    ]
    cpus = [own.cpu_s / other.cpu_s for own, other in pairs if other.cpu_s > 0]
    return Row(
        name=series.name,
        files=files,
        images=min(trial.images for trial in trials),
        wall_s=wall,
        startup_s=median(trial.startup_s for trial in trials) * series.processes,
        bare_s=series.bare_s,
        net_s=net,
        files_per_s=files / wall if wall > 0 and files else None,
        cpu_s=median(trial.cpu_s for trial in trials),
        peak_mb=max(trial.peak_mb for trial in trials),
        ratio=median(ratios) if ratios else None,
        net_ratio=median(nets) if nets else None,
        cpu_ratio=median(cpus) if cpus else None,
        note=_note(trials, series, total_files),
    )


def _note(trials: Sequence[Trial], series: Series, total_files: int) -> str:
    failures = sorted({failure for trial in trials for failure in trial.failures})
    if not failures:
        return f"{series.processes} processes" if series.processes > 1 else ""
    files = min(trial.files for trial in trials)
    return f"FAILS for {len(failures)} of {series.processes} (takes {files} of {total_files} files): " + "; ".join(
        failures
    )


COLUMNS: Mapping[str, str] = {
    "": "name",
    "files": "files",
    "images": "images",
    "wall s": "wall_s",
    "start-up s": "startup_s",
    "net s": "net_s",
    "files/s": "files_per_s",
    "x dcm2niix": "ratio",
    "net x": "net_ratio",
    "CPU s": "cpu_s",
    "CPU x": "cpu_ratio",
    "memory MB": "peak_mb",
    "--help s": "bare_s",
}
_DIGITS = {"files_per_s": 0, "peak_mb": 0, "wall_s": 1, "net_s": 1, "cpu_s": 1}


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Give a Markdown table whose columns are aligned: the first to the left, the others to the right."""
    widths = [max(len(line[column]) for line in (header, *lines)) for column in range(len(header))]

    def shown(line: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"

    rule = ["-" * width if index == 0 else "-" * (width - 1) + ":" for index, width in enumerate(widths)]
    return "\n".join([shown(header), "|" + "|".join(f" {part} " for part in rule) + "|", *map(shown, lines)])


def main_table(rows: Sequence[Row]) -> str:
    """Give the table of all contenders."""
    lines = [[_cell(field, getattr(row, field)) for field in COLUMNS.values()] for row in rows]
    return markdown(list(COLUMNS), lines)


def stage_tables(stages: Mapping[str, Mapping[str, float]]) -> str:
    """Give where one ingest spent its time: wall time by stage, time in the workers by function."""
    wall = stages["wall_s"]
    total = sum(wall.values())
    by_stage = [
        [name, f"{seconds:.1f}", f"{100 * seconds / total:.0f} %"] for name, seconds in wall.items() if total > 0
    ]
    calls = stages["worker_calls"]
    ordered = sorted(stages["worker_s"].items(), key=lambda item: item[1], reverse=True)
    by_function = [[name, f"{seconds:.1f}", f"{calls[name]:.0f}"] for name, seconds in ordered]
    in_main = [[name, f"{seconds:.1f}"] for name, seconds in stages["main_s"].items()]
    tables = (
        markdown(["stage of one ingest", "wall s", "share"], by_stage),
        markdown(["in the workers, all together", "s", "calls"], by_function),
        markdown(["in the main process meanwhile", "s"], in_main),
    )
    return "\n\n".join(tables)


def _cell(field: str, value: float | str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{_DIGITS.get(field, 2)}f}"


def as_data(rows: Sequence[Row], all_series: Sequence[Series]) -> dict[str, Any]:
    """Give rows and every trial as plain data."""
    return {"rows": [asdict(row) for row in rows], "series": [asdict(one) for one in all_series]}
