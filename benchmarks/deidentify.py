"""`python -m benchmarks.deidentify [--rounds N] [--json]`: ms to de-identify a file, beside pydicom and the peers.

Real files of each vendor where they lie beside the checkout. Every contender reads a file from disk and writes one; the
peers run in their own environment, in one process for all rounds, so that starting Python is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import BENCH_BIN, ROOT

SHARED = ROOT.parent / "shared" / "data" / "dicom"
VENDORS = {
    "Siemens VE11 mosaic": "siemens_skyra_ve11_bold_mosaic_ap",
    "Siemens XA enhanced": "siemens_vida_xa10_bold_enhanced",
    "GE": "ge_pioneer_mr29_dwi",
    "Philips": "philips_achieva_bold",
    "Philips enhanced": "philips_achieva_b0map_enhanced",
    "UIH": "uih_umr770_dwi_ap",
    "Canon enhanced, 520 frames": "canon_galan_dwi_enhanced_ap",
}
#: Files of one vendor and round; more would only take longer.
MOST_FILES = 30
PEERS = ("dicognito", "dicom-anonymizer")
COLUMNS = ("pydicom", "heartbrain", *PEERS)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deidentify", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turn (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--worker", choices=COLUMNS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return serve(arguments.worker)
    if not SHARED.is_dir():
        sys.stderr.write("The reference data are not beside this checkout: nothing to measure.\n")
        return 0
    data = {"ms_per_file": measure(arguments.rounds), "headers_per_s": scan_speed(arguments.rounds)}
    if arguments.json:
        json.dump(data, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        show(data)
    return 0


def files_of(name: str) -> list[Path]:
    """Give the files of one vendor."""
    paths = (path for path in sorted((SHARED / name / "dicom").rglob("*")) if path.is_file())
    return [path for path in paths if path.suffix not in {".nii", ".json", ".bval", ".bvec"}][:MOST_FILES]


def measure(rounds: int) -> dict[str, dict[str, float | None]]:
    """Give the median ms per file by vendor and contender; None for a contender that is missing or fails."""
    workers = {name: _start(name) for name in COLUMNS}
    times: dict[str, dict[str, list[float]]] = {vendor: {name: [] for name in COLUMNS} for vendor in VENDORS}
    with tempfile.TemporaryDirectory() as target:
        for _ in range(rounds):
            for vendor, folder in VENDORS.items():
                paths = [str(path) for path in files_of(folder)]
                for name, worker in workers.items():
                    seconds = _ask(worker, {"paths": paths, "target": target})
                    if seconds is not None:
                        times[vendor][name].append(1000 * seconds / len(paths))
    for worker in workers.values():
        if worker is not None:
            worker.communicate()
    return {
        vendor: {name: statistics.median(found) if found else None for name, found in one.items()}
        for vendor, one in times.items()
    }


def _start(name: str) -> subprocess.Popen[str] | None:
    python = BENCH_BIN / "python" if name in PEERS else Path(sys.executable)
    if not python.exists():
        return None
    argv = [str(python), "-m", "benchmarks.deidentify", "--worker", name]
    return subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _ask(worker: subprocess.Popen[str] | None, question: dict[str, Any]) -> float | None:
    if worker is None or worker.stdin is None or worker.stdout is None or worker.poll() is not None:
        return None
    worker.stdin.write(json.dumps(question) + "\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    return float(answer) if answer.strip() not in {"", "failed"} else None


def serve(name: str) -> int:
    """Answer each line of paths with the seconds that their de-identification took."""
    warnings.simplefilter("ignore")
    run = {"pydicom": _pydicom, "heartbrain": _ours, "dicognito": _dicognito, "dicom-anonymizer": _kitware}[name]()
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = str(run(question["paths"], question["target"]))
        except Exception:  # noqa: BLE001 - a peer may fail on a file; the table says so
            answer = "failed"
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()
    return 0


Run = Callable[[Sequence[str], str], float]


def _timed(one: Callable[[str, str], object]) -> Run:
    def run(paths: Sequence[str], target: str) -> float:
        began = time.perf_counter()
        for path in paths:
            one(path, f"{target}/out.dcm")
        return time.perf_counter() - began

    return run


def _pydicom() -> Run:
    import pydicom  # noqa: PLC0415 - each contender loads its own

    return _timed(lambda path, target: pydicom.dcmread(path).save_as(target))


def _ours() -> Run:
    from heartbrain_ingest import dicom  # noqa: PLC0415 - the same
    from heartbrain_ingest.deidentify import (  # noqa: PLC0415 - the same
        Deidentifier,
        IdentifierCollector,
        Pseudonyms,
        Subject,
        load_rules,
    )

    rules = load_rules(ROOT / "crawler_config" / "deidentification.yml")
    subject = Subject("BENCH", -1000)

    def run(paths: Sequence[str], target: str) -> float:
        collector = IdentifierCollector()
        for path in paths:
            collector.add(dicom.read(Path(path).read_bytes()))
        identifiers = collector.identifiers
        # A session begins with nothing in memory but the automaton of its identifiers.
        deidentifier = Deidentifier(rules, Pseudonyms(b"a key for benchmarks, 32 bytes.."))
        began = time.perf_counter()
        for path in paths:
            data = deidentifier.deidentify(dicom.read(Path(path).read_bytes()), subject, identifiers)
            Path(target, "out.dcm").write_bytes(data)
        return time.perf_counter() - began

    return run


def _dicognito() -> Run:
    import pydicom  # noqa: PLC0415 - each contender loads its own
    from dicognito.anonymizer import Anonymizer  # type: ignore[import-not-found] # noqa: PLC0415 - the peers' environment

    anonymizer = Anonymizer(seed="bench")

    def one(path: str, target: str) -> None:
        dataset = pydicom.dcmread(path)
        anonymizer.anonymize(dataset)
        dataset.save_as(target)

    return _timed(one)


def _kitware() -> Run:
    from dicomanonymizer import anonymize_dicom_file  # type: ignore[import-not-found] # noqa: PLC0415 - the same

    return _timed(lambda path, target: anonymize_dicom_file(path, target, delete_private_tags=False))


def scan_speed(rounds: int) -> dict[str, float]:
    """Give the files per second whose header is read and sorted, beside pydicom without pixels."""
    import pydicom  # noqa: PLC0415 - each contender loads its own

    from heartbrain_ingest.inbox.facts import classify_files  # noqa: PLC0415 - the same
    from heartbrain_ingest.inbox.files import walk  # noqa: PLC0415 - the same

    warnings.simplefilter("ignore")
    paths = [path for folder in VENDORS.values() for path in files_of(folder)]
    found = [one for one in walk(SHARED) if Path(one.path) in set(paths)]
    ours, theirs = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        list(classify_files(found, limit=2**33))
        ours.append(len(found) / (time.perf_counter() - began))
        began = time.perf_counter()
        for path in paths:
            pydicom.dcmread(path, stop_before_pixels=True)
        theirs.append(len(paths) / (time.perf_counter() - began))
    return {"heartbrain": statistics.median(ours), "pydicom": statistics.median(theirs)}


def show(data: dict[str, Any]) -> None:
    """Print the tables."""
    width = max(map(len, VENDORS))
    print(f"{'ms per file':{width}}  " + "  ".join(f"{name:>16}" for name in COLUMNS) + "  ours/pydicom")
    for vendor, times in data["ms_per_file"].items():
        cells = (f"{times[name]:16.2f}" if times[name] else f"{'-':>16}" for name in COLUMNS)
        print(f"{vendor:{width}}  " + "  ".join(cells) + f"  {times['heartbrain'] / times['pydicom']:12.2f}")
    print("pydicom: read and write, nothing changed. dicom-anonymizer keeps private tags here. -: failed or missing")
    speed = data["headers_per_s"]
    print(f"headers read and sorted: {speed['heartbrain']:.0f} files/s; pydicom without pixels: {speed['pydicom']:.0f}")


if __name__ == "__main__":
    raise SystemExit(main())
