"""What the audit refused: kept in the identified zone until a steward has looked at it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

_NAME = re.compile(r"delivery-([0-9]+)")


def refused_folder(quarantine: Path, delivery: int) -> Path:
    """Give the folder that holds what was made of a refused delivery."""
    return quarantine / f"delivery-{delivery}"


def refused_deliveries(quarantine: Path) -> list[int]:
    """Give the numbers of the deliveries of which the quarantine holds something; a steward's own folders are none."""
    found = (_NAME.fullmatch(path.name) for path in quarantine.glob("delivery-*"))
    return sorted(int(match[1]) for match in found if match)


def keep_refused(quarantine: Path, delivery: int, built: Path | None) -> None:
    """Take what was made of a refused delivery into the quarantine, and away what was there of it before.

    Parameters
    ----------
    built
        The staged folder; None when the delivery is not refused any more.
    """
    target = refused_folder(quarantine, delivery)
    if target.exists():
        shutil.rmtree(target)
    if built is not None:
        quarantine.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.mkdir(mode=0o700)
        shutil.move(built, target / built.name)
