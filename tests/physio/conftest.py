"""Small logs as a scanner writes them, and the shipped rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heartbrain_ingest.physio import PhysioRules, load_rules


@pytest.fixture(scope="session")
def rules(project_root: Path) -> PhysioRules:
    return load_rules(project_root / "crawler_config" / "physio.yml")


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, line: str, start_ms: int | None = 36_000_000, stop_ms: int | None = None) -> Path:
        clock = ""
        if start_ms is not None:
            stop = start_ms + 1000 if stop_ms is None else stop_ms
            clock = (
                f"LogStartMDHTime:  {start_ms}\r\nLogStopMDHTime:   {stop}\r\n"
                f"LogStartMPCUTime: {start_ms + 90}\r\nLogStopMPCUTime:  {stop + 90}\r\n"
            )
        path = tmp_path / name
        path.write_text(f"{line}\r\nECG  Freq Per: 0 0\r\nPULS Freq Per: 60 1000\r\n{clock}6003\r\n", newline="")
        return path

    return write
