"""What was measured on: processor, Python, versions of the programs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.contenders import BENCH_BIN, dcm2niix_program


def describe_machine() -> dict[str, str]:
    """Give what decides the figures besides the programs."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "load before (1, 5, 15 min)": load,
        # With it `-z y` packs in parallel; without it dcm2niix packs by itself.
        "pigz": "found" if shutil.which("pigz") else "not there",
    }


def tool_versions(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the versions of the programs that are there."""
    commands = {
        "dcm2niix": [dcm2niix_program(), "--version"],
        "dcm2bids": [str(BENCH_BIN / "dcm2bids"), "--version"],
        "heudiconv": [str(BENCH_BIN / "heudiconv"), "--version"],
    }
    found = {name: _version(command, environment) for name, command in commands.items()}
    return {name: version for name, version in found.items() if version}


def _version(command: list[str], environment: Mapping[str, str]) -> str | None:
    if not Path(command[0]).exists():
        return None
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    match = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    return match.group() if match else None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    match = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.is_file() else None
    return match.group(1) if match else platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
