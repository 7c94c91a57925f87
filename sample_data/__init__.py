"""A synthetic study with known truth, as scanner, physiology monitor and laboratory would leave it in an inbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DEFAULT_SEED = 20230504


def generate(outdir: Path, *, small: bool = False, seed: int = DEFAULT_SEED) -> dict[str, Any]:
    """Write the study below `outdir`: `inbox/` as it was left, `truth/` as it is.

    Parameters
    ----------
    outdir:
        A folder that does not exist yet or is empty.
    small:
        1 subject x 2 sessions with tiny matrices in seconds, instead of 3 x 2.
    seed:
        Of the noise and the file names; everything else is fixed.

    Returns
    -------
    What `truth/truth.json` holds.

    Raises
    ------
    FileExistsError
        If `outdir` holds anything already.
    """
    from sample_data.plan import study_plan  # noqa: PLC0415 - the package stays cheap to import
    from sample_data.study import write_study  # noqa: PLC0415

    return write_study(study_plan(small=small, seed=seed), outdir)


__all__ = ["DEFAULT_SEED", "generate"]
