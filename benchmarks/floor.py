"""The least that any ingest costs: read every byte, checksum it, write it once.

`python -m benchmarks.floor FROM TO` does it.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path


def copy(source: Path, target: Path) -> int:
    """Copy a tree, with a SHA-256 of each file beside it, and give the number of files."""
    sums = []
    files = sorted(path for path in source.rglob("*") if path.is_file())
    for path in files:
        below = path.relative_to(source)
        content = path.read_bytes()
        (target / below).parent.mkdir(parents=True, exist_ok=True)
        (target / below).write_bytes(content)
        sums.append(f"{hashlib.sha256(content).hexdigest()}  {below.as_posix()}\n")
    (target / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    return len(files)


if __name__ == "__main__":
    copy(Path(sys.argv[1]), Path(sys.argv[2]))
