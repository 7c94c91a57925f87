"""What the intake costs: a run with nothing new, a real-time series, a large session.

`python -m benchmarks.intake [--full] [--only again,series,session] [--work DIR] [--json]`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import dcm2niix_program, environment
from benchmarks.measure import measure

TIMEOUT_S = 3600.0
#: Files of one session of the archive that a run with nothing new looks at.
FILES_A_SESSION = 400
#: Calls that ask the file system about one file.
ASKING = ("stat", "lstat", "access")
_HEARTBRAIN = (sys.executable, "-m", "heartbrain_ingest.cli")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large things are."""

    sessions: int
    series: int
    session: int


DEFAULT = Sizes(sessions=100, series=2_000, session=0)
FULL = Sizes(sessions=500, series=20_000, session=40_000)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    what: str
    files: int
    wall_s: float
    #: User and system time of all processes.
    cpu_s: float
    #: Sum over all processes; shared pages once.
    peak_mb: float
    remark: str = ""


def _row(what: str, files: int, found: tuple[float, float, float], remark: str = "") -> Row:
    return Row(what=what, files=files, wall_s=found[0], cpu_s=found[1], peak_mb=found[2], remark=remark)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intake", description="Measure the intake.")
    parser.add_argument("--full", action="store_true", help="200,000 files, a series of 20,000, a session of 40,000")
    parser.add_argument("--only", default="again,series,session", help="which, with commas (default: %(default)s)")
    parser.add_argument("--work", type=Path, help="folder for input and results (default: a temporary one)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    sizes = FULL if arguments.full else DEFAULT
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="heartbrain-intake-", dir=arguments.work) as folder:
        work = Path(folder)
        (work / "home").mkdir()
        chosen = arguments.only.split(",")
        if "again" in chosen:
            rows += again(work, sizes.sessions)
        if "series" in chosen:
            rows += taken_in(work, "one real-time series", sizes.series, series=1)
        if "session" in chosen and sizes.session:
            rows += taken_in(work, "one session of 40 series", sizes.session, series=40, alone=True)
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    print("| what | files | wall s | CPU s | peak MB | |\n|---|--:|--:|--:|--:|---|")
    for row in rows:
        print(f"| {row.what} | {row.files:,} | {row.wall_s:.2f} | {row.cpu_s:.2f} | {row.peak_mb:.0f} | {row.remark} |")
    return 0


# nothing new


def again(work: Path, sessions: int) -> list[Row]:
    """Measure a run over an archive of so many sessions that changes nothing, with full and with little inbox."""
    site = work / "again"
    settings = _site(site, work)
    small = work / "little"
    _published(site, sessions)
    shutil.copytree(site / "inbox" / "0000", small)
    rows = []
    for what, inbox in (("nothing new, all input still there", None), ("nothing new, input of one session", small)):
        words = ["--inbox", str(inbox)] if inbox is not None else []
        if inbox is not None:
            _take_note(settings, inbox)
        found = _measured([*_HEARTBRAIN, "ingest", "--settings", str(settings), *words, "--json"], work)
        asked = _asked(settings, inbox, work)
        files = sessions * FILES_A_SESSION if inbox is None else FILES_A_SESSION
        remark = f"archive of {sessions} sessions, {sessions * FILES_A_SESSION:,} files; {asked:,} files asked about"
        rows.append(_row(what, files, found, remark))
    shutil.rmtree(site)
    return rows


def _published(site: Path, sessions: int) -> None:
    """Make the state that taking in so many sessions leaves: files, ledger, no contents."""
    from heartbrain_ingest.ledger import DeliveryState, FileRow, Ledger, Outcome  # noqa: PLC0415 - only here

    facts = {"key": "", "patient_id": "", "birth_date": "", "sex": "", "patient_name": "x" * 20, "series_number": 1}
    with closing(Ledger(site / "state" / "ledger.db")) as ledger:
        for number in range(sessions):
            place = f"ExperimentalData/2023_HeartAndBrain/2023-01-01_sub-S{number:04d}_ses-20230101"
            inbox, archive = site / "inbox" / f"{number:04d}", site / "archive" / place
            inbox.mkdir()
            archive.mkdir(parents=True)
            rows = []
            for index in range(FILES_A_SESSION):
                path = inbox / f"{index:05d}.dcm"
                path.touch()
                (archive / f"{index:05d}.json").touch()
                rows.append(
                    FileRow(
                        path=str(path.resolve()),
                        size=0,
                        mtime_ns=path.stat().st_mtime_ns,
                        kind="dicom",
                        outcome=Outcome.CONVERTED,
                        sha256="0" * 64,
                        series=f"1.2.{number}",
                        instance=f"1.2.{number}.{index}",
                        facts=facts,
                        destination=f"{place}/sourcedata/dicom/0001_x.zip!{index:05d}.dcm",
                    )
                )
            with ledger.transaction():
                delivery = ledger.add_delivery(
                    key=f"{number:064x}",
                    kind="session",
                    project="2023_HeartAndBrain",
                    subject=f"S{number:04d}",
                    session="1",
                )
                ledger.record(rows)
                ids = [
                    row.id
                    for row in ledger.files("path > ? AND path < ?", (f"{inbox.resolve()}/", f"{inbox.resolve()}0"))
                ]
                ledger.assign(ids, delivery)
                ledger.add_folder(delivery, place)
                ledger.set_crawled(place)
                ledger.set_state(delivery, DeliveryState.CRAWLED)


def _take_note(settings: Path, inbox: Path) -> None:
    """Let the ledger know a second inbox, so that nothing in it is new."""
    from heartbrain_ingest.ledger import FileRow, Ledger, Outcome  # noqa: PLC0415 - only here

    paths = sorted(path.resolve() for path in inbox.iterdir())
    with closing(Ledger(settings.parent / "state" / "ledger.db")) as ledger, ledger.transaction():
        ledger.record(
            [
                FileRow(
                    path=str(path),
                    size=0,
                    mtime_ns=path.stat().st_mtime_ns,
                    kind="other",
                    outcome=Outcome.IGNORED,
                    code="NOT_DICOM",
                )
                for path in paths
            ]
        )


def _asked(settings: Path, inbox: Path | None, work: Path) -> int:
    """Count about how many files a run asks the file system."""
    words = [str(settings), *([str(inbox)] if inbox else [])]
    out = _run([sys.executable, "-m", "benchmarks.intake", "--count-for", *words], work)
    return int(out.strip().splitlines()[-1])


def count_for(settings: Path, inbox: Path | None) -> int:
    """Do a run in this process and count the calls in `ASKING`."""
    from heartbrain_ingest.pipeline import Run  # noqa: PLC0415 - only here
    from heartbrain_ingest.report import RunOptions  # noqa: PLC0415 - the same
    from heartbrain_ingest.settings import load_settings  # noqa: PLC0415 - the same

    run = Run(load_settings(settings), RunOptions(inbox=inbox))
    asked: Counter[str] = Counter()

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            asked[os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else str(path)] += 1
            return function(path, *arguments, **options)

        return call

    for name in ASKING:
        setattr(os, name, counting(getattr(os, name)))
    run.execute()
    return len(asked)


# files by the thousand


def taken_in(work: Path, what: str, files: int, *, series: int, alone: bool = False) -> list[Row]:
    """Measure an ingest of small slices, and bare dcm2niix beside it."""
    source = work / f"source{files}"
    make_slices(source, files, series)
    rows = []
    if not alone:
        target = work / "niftis"
        target.mkdir()
        program = [dcm2niix_program(), "-b", "y", "-z", "y", "-o", str(target), str(source)]
        rows.append(_row(f"{what}: dcm2niix -z y", files, _measured(program, work)))
        shutil.rmtree(target)
    site = work / f"site{files}"
    settings = _site(site, work)
    ours = [*_HEARTBRAIN, "ingest", "--settings", str(settings), "--inbox", str(source), "--json"]
    rows.append(_row(f"{what}: heartbrain ingest", files, _measured(ours, work, (0, 1)), "fidelity check on"))
    shutil.rmtree(site)
    shutil.rmtree(source)
    return rows


def make_slices(folder: Path, files: int, series: int) -> None:
    """Write single-slice images of a real-time sequence: one header, with the numbers of each file put into it."""
    folder.mkdir(parents=True)
    template, marks = _template()
    each = files // series
    for number in range(files):
        content = bytearray(template)
        one, index = divmod(number, each)
        seconds = 36000 + number * 0.05
        clock = f"{int(seconds) // 3600:02d}{int(seconds) % 3600 // 60:02d}{seconds % 60:09.6f}"
        values = {
            "instance": f"{number + 1:08d}",
            "series": f"{one + 1:06d}",
            "number": f"{index + 1:08d}",
            "serial": f"{one + 1:04d}",
            "clock": clock,
        }
        for name, places in marks.items():
            for place in places:
                content[place : place + len(values[name])] = values[name].encode()
        (folder / f"{number:06d}.dcm").write_bytes(content)


def _template() -> tuple[bytes, dict[str, list[int]]]:
    """Give a file and where its numbers stand."""
    import io  # noqa: PLC0415 - only here

    import numpy as np  # noqa: PLC0415 - the same
    from pydicom.dataset import Dataset, FileMetaDataset  # noqa: PLC0415 - the same
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage  # noqa: PLC0415 - the same

    words = {
        "instance": "71717171",
        "series": "626262",
        "number": "53535353",
        "serial": "4848",
        "clock": "101112.131313",
    }
    root = "1.2.826.0.1.3680043.8.498"
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = f"{root}.1{words['series']}.1{words['instance']}"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = "20230504"
    dataset.StudyTime = "100000"
    dataset.AcquisitionTime = words["clock"]
    dataset.Modality, dataset.Manufacturer, dataset.ManufacturerModelName = "MR", "SIEMENS", "Prisma"
    dataset.SeriesDescription = dataset.ProtocolName = "rt_heart_4ch"
    dataset.PatientName, dataset.PatientID = "Quandt^Oskar", "HB0099"
    dataset.PatientBirthDate, dataset.PatientSex = "19710203", "M"
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.MRAcquisitionType = "GR", "SK", "2D"
    dataset.SliceThickness, dataset.RepetitionTime, dataset.EchoTime, dataset.FlipAngle = 8.0, 2.2, 1.3, 12.0
    dataset.MagneticFieldStrength = 3.0
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{root}.2", f"{root}.3.1{words['series']}"
    dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = words["serial"], 1, words["number"]
    dataset.ImagePositionPatient = [-100.0, -100.0, 0.0]
    dataset.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = 96
    dataset.PixelSpacing = [2.0, 2.0]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    noise = np.random.default_rng(4).integers(0, 900, (96, 96))
    dataset.PixelData = noise.astype("<u2").tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    content = buffer.getvalue()
    return content, {name: list(_places(content, word.encode())) for name, word in words.items()}


def _places(content: bytes, word: bytes) -> Iterator[int]:
    at = content.find(word)
    while at >= 0:
        yield at
        at = content.find(word, at + 1)


# programs


def _site(folder: Path, work: Path) -> Path:
    _run([*_HEARTBRAIN, "init", str(folder)], work)
    return folder / "heartbrain.yml"


def _run(argv: list[str], work: Path) -> str:
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        argv, cwd=root, env=environment(work / "home"), capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    if done.returncode not in {0, 1}:
        raise SystemExit(f"{argv}: {done.stderr}")
    return done.stdout


def _measured(argv: list[str], work: Path, good: tuple[int, ...] = (0,)) -> tuple[float, float, float]:
    began = time.monotonic()
    variables = environment(work / "home")
    found = measure(argv, scratch=work, environment=variables, timeout_s=TIMEOUT_S, good=good, reports="--json" in argv)
    if found.reason:
        raise SystemExit(f"{argv[:4]} failed after {time.monotonic() - began:.0f} s: {found.reason}")
    return round(found.wall_s, 2), round(found.cpu_s, 2), round(found.peak_mb, 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--count-for"]:
        print(count_for(Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None))  # noqa: PLR2004
        raise SystemExit(0)
    raise SystemExit(main())
