"""`python -m sample_data OUTDIR [--small] [--seed N]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sample_data import DEFAULT_SEED, generate


def main() -> int:
    """Generate the study and say in one line what was written."""
    parser = argparse.ArgumentParser(
        prog="python -m sample_data", description="Write a synthetic study with known truth."
    )
    parser.add_argument("outdir", type=Path, help="a folder that does not exist yet or is empty")
    parser.add_argument("--small", action="store_true", help="1 subject x 2 sessions with tiny matrices")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of noise and file names (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        truth = generate(arguments.outdir, small=arguments.small, seed=arguments.seed)
    except FileExistsError as error:
        parser.error(str(error))
    sessions = sum(len(subject["sessions"]) for subject in truth["subjects"])
    sys.stdout.write(
        f"{len(truth['subjects'])} subject(s), {sessions} sessions, {truth['dicom_files']} DICOM files, "
        f"{truth['bytes'] / 1e6:.0f} MB in {arguments.outdir / 'inbox'}; the truth in {arguments.outdir / 'truth'}\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
