"""A filesystem so small that a test can fill it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.daemon import PATH


@contextlib.contextmanager
def mounted(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """Mount a filesystem in memory on the folder; skip where the kernel or the container does not let this user."""
    argv = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=1777", "tmpfs", str(folder)]
    done = subprocess.run(argv, env={"PATH": PATH}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small filesystem can't be mounted here: {done.stderr.splitlines()[0]}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], env={"PATH": PATH}, check=True)  # noqa: S607
