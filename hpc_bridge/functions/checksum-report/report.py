"""Report size and checksum of every input file."""

import argparse
import hashlib
import json
import os
import time
from pathlib import Path


def checksum(path: Path, algorithm: str) -> str:
    """Give a file's checksum as hexadecimal text."""
    total = hashlib.new(algorithm)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("parameters", "input", "output", "status"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    places = parser.parse_args()
    parameters = json.loads(places.parameters.read_text(encoding="utf-8"))
    time.sleep(parameters["wait"])
    paths = sorted(path for path in places.input.rglob("*") if path.is_file())
    rows = []
    for number, path in enumerate(paths, 1):
        name = path.relative_to(places.input).as_posix()
        value = checksum(path, parameters["algorithm"])
        rows.append({"name": name, "size": path.stat().st_size, "checksum": value})
        (places.status / "progress").write_text(f"{number / len(paths):.3f}", encoding="utf-8")
    report = {
        "algorithm": parameters["algorithm"],
        "label": parameters["label"],
        "note": os.environ.get("REPORT_NOTE", ""),
        "files": rows,
    }
    text = json.dumps(report, indent=1, ensure_ascii=False)
    (places.output / "report.json").write_text(text, encoding="utf-8")
    if parameters["algorithm"].startswith("sha"):
        lines = [f"{row['checksum']}  {row['name']}\n" for row in rows]
        (places.output / f"{parameters['algorithm'].upper()}SUMS").write_text("".join(lines), encoding="utf-8")
    print(f"{len(rows)} files")  # noqa: T201 - the job's log


if __name__ == "__main__":
    main()
