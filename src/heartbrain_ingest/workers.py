"""What runs in the worker processes: pure functions of their arguments and of the rules loaded once per process."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import multiprocessing
import os
import pickle
import threading
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heartbrain_ingest import physio
from heartbrain_ingest.bids import read_asl_context, read_background_suppression
from heartbrain_ingest.convert import Conversion, convert_folder, differences, is_spectra, spectra_shape, store_series
from heartbrain_ingest.deidentify import (
    Deidentifier,
    IdentifierCollector,
    Identifiers,
    Kind,
    LeakAudit,
    Pseudonyms,
    Subject,
    Tightener,
    load_rules,
)
from heartbrain_ingest.dicom import DicomFileError, read
from heartbrain_ingest.dicom.spectra import holds_spectra
from heartbrain_ingest.filesystem import pack_file
from heartbrain_ingest.inbox import FileFacts, FoundFile, classify_files, delivery_key, unpacked
from heartbrain_ingest.pictures import draw_pictures
from heartbrain_ingest.settings import Defacing

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


#: New objects between two searches for garbage in a worker.
GARBAGE_THRESHOLD = 50_000


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What every worker process needs to know."""

    rules: Path
    key_file: Path
    responsible: str
    unpacked_limit: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One instance to de-identify: a file of the inbox, or its copy in a zip that was published earlier."""

    file_id: int
    #: The file; None where its stored copy is to be taken.
    path: str | None
    #: Zip and member that hold the stored copy: it is taken as well where the file can't be read any more.
    stored: tuple[str, str] | None
    #: Name of the de-identified file.
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceResult:
    """What became of one instance."""

    file_id: int
    name: str
    sha256: str | None
    #: An issue code when it goes no further.
    code: str | None = None
    #: Whether it was made of the stored copy.
    is_stored: bool = False


@dataclass(frozen=True, kw_only=True)
class SeriesFolders:
    """Where one series is worked on."""

    cleaned: Path
    #: Links to the original files, under the names of the cleaned ones; None when nothing is compared.
    originals: Path | None
    output: Path


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """One image that was made, before it has a name."""

    nifti: Path
    stem: str
    sidecar: dict[str, Any]
    bval: Path | None
    bvec: Path | None
    b_values: tuple[float, ...]
    shape: tuple[int, ...]
    voxel_size: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class SeriesResult:
    """What became of one series."""

    images: tuple[ImageFacts, ...] = ()
    header: dict[str, Any] = field(default_factory=dict)
    code: str | None = None
    #: "equal", "different", "off" or "not comparable".
    fidelity: str = "off"
    differences: tuple[str, ...] = ()


#: What each file is, and the identifiers that stand in the headers, by delivery key.
Scanned = tuple[list[FileFacts], dict[str, Identifiers]]


#: What the text of a recording names, as an identifier.
_KIND_OF = {
    physio.Names.PERSON: Kind.NAME,
    physio.Names.PATIENT: Kind.PATIENT,
    physio.Names.PLACE: Kind.PLACE,
    physio.Names.CONTACT: Kind.CONTACT,
    physio.Names.DATE: Kind.DATE,
    physio.Names.ID: Kind.ID,
}


class _Tools:
    """The rules and keys of this process."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup
        self.rules = load_rules(setup.rules)
        pseudonyms = Pseudonyms.load(setup.key_file)
        self.deidentifier = Deidentifier(self.rules, pseudonyms)
        self.tightener = Tightener(self.rules, pseudonyms)
        self.exemptions = self.rules.exemptions.with_words("responsible", [setup.responsible])


_tools: _Tools | None = None


def start(setup: WorkerSetup) -> None:
    """Prepare this worker process; it ends by itself when the process that started it is gone."""
    global _tools  # noqa: PLW0603 - one per process, set once
    _tools = _Tools(setup)
    _audit.cache_clear()
    # Headers are many small objects without cycles: looking for cycles takes a fifth of the time.
    gc.set_threshold(GARBAGE_THRESHOLD)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def leave() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=leave, daemon=True).start()


def make_pool(setup: WorkerSetup, processes: int) -> Executor:
    """Start worker processes; with one process the work is done in this one, one piece after the other."""
    if processes == 1:
        start(setup)
        return SerialExecutor()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["heartbrain_ingest.workers", "nibabel"])
    return ProcessPoolExecutor(processes, mp_context=context, initializer=start, initargs=(setup,))


class SerialExecutor(Executor):
    """Does each piece of work at once, in this process."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it and give the finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - handed to whoever asks for the result
            future.set_exception(error)
        return future


def _ready() -> _Tools:
    if _tools is None:
        message = "start() was not called in this process"
        raise RuntimeError(message)
    return _tools


def scan_files(files: Sequence[FoundFile]) -> Scanned:
    """Say what each file is; collect the identifiers that stand in the headers, by delivery key."""
    tools = _ready()
    collectors: dict[str, IdentifierCollector] = {}
    named: dict[str, Identifiers] = {}
    results = []
    for facts, header in classify_files(files, limit=tools.setup.unpacked_limit):
        if header is not None and facts.dicom is not None:
            collector = collectors.setdefault(session_key(facts), IdentifierCollector(tools.rules.retained))
            try:
                collector.add(header)
            except Exception:  # noqa: BLE001 - what can't be searched for names is not published, and stops no run
                facts = replace(facts, code="INVALID_DICOM")  # noqa: PLW2901 - the same file, refused
        elif facts.kind == "physio" and facts.dicom is None:
            found = physio.find_names(Path(facts.found.path))
            named[session_key(facts)] = Identifiers(frozenset((_KIND_OF[what], value) for what, value in found))
        results.append(facts)
    return results, named | {key: collector.identifiers for key, collector in collectors.items()}


def digest_files(files: Sequence[FoundFile]) -> list[str | None]:
    """Give the SHA-256 of each file; None for one that can't be read."""
    digests: list[str | None] = []
    for found in files:
        try:
            with open(found.path, "rb") as file:  # noqa: PTH123 - a plain read
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        except OSError:
            digests.append(None)
    return digests


def session_key(facts: FileFacts) -> str:
    """Give the delivery key of a DICOM file: its study, and whose it is (a study can hold two people by mistake).

    Of a recording that is no DICOM object it is a key of its own, under which the identifiers in it are kept.
    """
    dicom = facts.dicom
    if dicom is None:
        return delivery_key("recording", facts.sha256 or "")
    return delivery_key("session", dicom.study, dicom.patient_id, dicom.birth_date, dicom.sex)


@lru_cache(maxsize=4)
def _identifiers(path: str) -> Identifiers:
    with open(path, "rb") as file:  # noqa: PTH123 - a plain read
        return pickle.load(file)  # type: ignore[no-any-return] # noqa: S301 - our own file in the identified zone


def clean_text(text: str, identifiers: str) -> str:
    """Take the identifiers of a session out of a text."""
    return _ready().deidentifier.clean_text(text, _identifiers(identifiers))


def keyed_uuid(text: str) -> str:
    """Give the UUID that stands for another in all that is published."""
    return _ready().deidentifier.pseudonyms.uuid(text)


def clean_instances(
    sources: Sequence[Source], subject: Subject, identifiers: str, folders: SeriesFolders
) -> list[InstanceResult]:
    """De-identify instances of one series into its folder."""
    tools = _ready()
    known = _identifiers(identifiers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.ExitStack() as stack:
            archives = _Archives(stack)
            return [_take_instance(tools, source, archives, subject, known, folders) for source in sources]


class _Archives:
    """The zip files that instances are taken out of, each opened once: to read its directory takes time."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._open: dict[str, zipfile.ZipFile] = {}

    def read(self, path: str, member: str) -> bytes:
        if path not in self._open:
            self._open[path] = self._stack.enter_context(zipfile.ZipFile(path))
        return self._open[path].read(member)


def _take_instance(
    tools: _Tools,
    source: Source,
    archives: _Archives,
    subject: Subject,
    identifiers: Identifiers,
    folders: SeriesFolders,
) -> InstanceResult:
    unreadable = InstanceResult(file_id=source.file_id, name=source.name, sha256=None, code="UNREADABLE_FILE")
    result = unreadable if source.path is None else _clean_instance(tools, source, subject, identifiers, folders)
    if result.code != "UNREADABLE_FILE" or source.stored is None:
        return result
    try:
        content = archives.read(*source.stored)
        stricter = tools.tightener.tighten(read(content), subject, identifiers)
    except Exception:  # noqa: BLE001 - the zip is gone or damaged: of that its session has to hear, not the whole run
        return unreadable
    _write(os.path.join(folders.cleaned, source.name), content if stricter is None else stricter)  # noqa: PTH118
    if folders.originals is not None:
        _write(os.path.join(folders.originals, source.name), content)  # noqa: PTH118
    return InstanceResult(file_id=source.file_id, name=source.name, sha256=None, is_stored=True)


def _clean_instance(
    tools: _Tools, source: Source, subject: Subject, identifiers: Identifiers, folders: SeriesFolders
) -> InstanceResult:
    path = source.path or ""
    target = os.path.join(folders.cleaned, source.name)  # noqa: PTH118 - here and below: a Path for each file costs time
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            packed = file.read()
        content = unpacked(packed, limit=tools.setup.unpacked_limit)
    except Exception:  # noqa: BLE001 - the file changed or vanished since it was scanned
        return InstanceResult(file_id=source.file_id, name=source.name, sha256=None, code="UNREADABLE_FILE")
    digest = hashlib.sha256(packed).hexdigest()
    code = None
    try:
        original = read(content)
        if original.has_pixels or holds_spectra(original):
            _write(target, tools.deidentifier.deidentify(original, subject, identifiers))
        else:
            code = "TRUNCATED_DICOM"
    except DicomFileError as error:
        code = error.code
    except OSError:
        raise  # a full disk is no fault of the data
    except Exception:  # noqa: BLE001 - damaged data can raise anything from the parser; the message may name a person
        code = "INVALID_DICOM"
    if code is None and folders.originals is not None:
        link = os.path.join(folders.originals, source.name)  # noqa: PTH118
        if content is packed:
            _link(path, link)
        else:
            _write(link, content)
    return InstanceResult(file_id=source.file_id, name=source.name, sha256=digest, code=code)


def _link(path: str, link: str) -> None:
    """Give a file another name: a hard link where it can be, as one to another file system can't."""
    try:
        os.link(path, link)
    except OSError:
        os.symlink(path, link)  # noqa: PTH211


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(content)


def convert_series(folders: SeriesFolders, timeout_s: float) -> SeriesResult:
    """Convert one de-identified series and, where asked, its originals; say whether both give the same image."""
    conversion = convert_folder(folders.cleaned, folders.output / "cleaned", timeout_s)
    invented = _invented_fields(folders.cleaned)
    conversion = conversion.without(invented)
    fidelity, found = "off", []
    if folders.originals is not None:
        reference = convert_folder(folders.originals, folders.output / "originals", timeout_s)
        reference = reference.without(invented)
        found = differences(reference, conversion) if reference.images else []
        fidelity = _fidelity(reference, found)
        for path in sorted((folders.output / "originals").iterdir()):
            path.unlink()
    if found:
        return SeriesResult(code="FIDELITY", fidelity=fidelity, differences=tuple(found))
    if not conversion.images:
        return SeriesResult(code=conversion.code, fidelity=fidelity)
    try:
        plain = series_header(folders.cleaned)
    except OSError:
        raise  # a full disk is no fault of the data
    except Exception:  # noqa: BLE001 - what pydicom can't read nobody can use who gets it; the message may quote it
        return SeriesResult(code="INVALID_DICOM", fidelity=fidelity)
    import nibabel  # noqa: PLC0415 - 0.2 s, only where images are made

    images = []
    for image in conversion.images:
        header: Any = nibabel.load(image.nifti).header
        shape = tuple(int(size) for size in header.get_data_shape())
        images.append(
            ImageFacts(
                nifti=image.nifti,
                stem=image.stem,
                sidecar=image.sidecar,
                bval=image.bval,
                bvec=image.bvec,
                b_values=image.b_values(),
                shape=spectra_shape(shape) if is_spectra(image.sidecar) else shape,
                voxel_size=_three([round(float(size), 6) for size in header.get_zooms()]),
            )
        )
    return SeriesResult(images=tuple(images), header=plain, fidelity=fidelity)


def _invented_fields(folder: Path) -> frozenset[str]:
    """Name the fields that dcm2niix fills with what happens to lie in memory: the times of an empty AcquisitionTime."""
    from pydicom import dcmread  # noqa: PLC0415 - loaded in the worker already

    first = min(folder.iterdir())
    try:
        times = dcmread(first, stop_before_pixels=True, specific_tags=["AcquisitionTime", "AcquisitionDateTime"])
    except Exception:  # noqa: BLE001 - what pydicom can't read, dcm2niix may
        return frozenset()
    if times.get("AcquisitionDateTime") or "AcquisitionTime" not in times or times.get("AcquisitionTime"):
        return frozenset()
    return frozenset({"AcquisitionTime", "AcquisitionDateTime"})


def _three(sizes: Sequence[float]) -> tuple[float, float, float]:
    """Give the size along i, j and k; what a single slice lacks is 1."""
    i, j, k = (*sizes, 1.0, 1.0, 1.0)[:3]
    return i, j, k


def _fidelity(reference: Conversion, found: Sequence[str]) -> str:
    if found:
        return "different"
    return "equal" if reference.images else "not comparable"


def series_header(folder: Path) -> dict[str, Any]:
    """Give the header of a series' first instance as plain values, and what each volume of a perfusion series is."""
    from pydicom import dcmread  # noqa: PLC0415 - loaded in the worker already

    paths = sorted(folder.iterdir())
    first = dcmread(paths[0], stop_before_pixels=True)
    header = plain_header(first)
    frames = first.get("PerFrameFunctionalGroupsSequence") or ()
    if frames and "MRArterialSpinLabelingSequence" in frames[0]:
        header["ASLContext"] = read_asl_context(dcmread(path, stop_before_pixels=True) for path in paths)
    if "asl" in f"{header.get('ImageType')} {header.get('SequenceName')} {header.get('ProtocolName')}".lower():
        header["BackgroundSuppression"] = read_background_suppression(paths[0].read_bytes())
    return header


def plain_header(dataset: Dataset) -> dict[str, Any]:
    """Give the public, unnested attributes of a header as plain values by keyword."""
    from pydicom.multival import MultiValue  # noqa: PLC0415 - the same

    def plain(value: Any) -> Any:
        if isinstance(value, MultiValue | list):
            return [plain(item) for item in value]
        if isinstance(value, int | str):
            return value
        return float(value) if hasattr(value, "real") else str(value)

    header: dict[str, Any] = {}
    for tag in dataset.keys():  # noqa: SIM118 - a Dataset iterates over converted elements
        if tag.is_private:
            continue
        with contextlib.suppress(Exception):  # an element that can't be read can't select a rule either
            element = dataset[tag]
            if element.keyword and element.VR not in {"SQ", "OB", "OW", "OF", "UN"} and element.value is not None:
                header[element.keyword] = plain(element.value)
    return header


def finish_image(nifti: Path, target: Path, texts: Mapping[Path, str], level: int, pictures: Path) -> str | None:
    """Write one published image: compressed, with its sidecar and tables, and its pictures (`pictures.draw_pictures`).

    Returns
    -------
    str or None
        The code NO_PICTURE where none could be drawn.
    """
    code = None
    try:
        draw_pictures(nifti, pictures)
    except OSError:
        raise  # a full disk is no fault of the image
    except Exception:  # noqa: BLE001 - a picture decides nothing: an odd image is published without
        code = "NO_PICTURE"
    pack_file(nifti, target, level=level)
    nifti.unlink()
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return code


def deface_images(images: Sequence[Path], defacing: Defacing) -> dict[str, str] | None:
    """Take the faces out of the images of a series; say by what, None when one of them still has its face."""
    from heartbrain_ingest.deidentify.defacing import deface, tool_version  # noqa: PLC0415 - few sites deface

    if not all(deface(image, defacing) for image in images):
        return None
    return {"DefacingTool": defacing.tool, "DefacingToolVersion": tool_version(defacing.tool)}


def finish_archive(folder: Path, target: Path) -> None:
    """Store the de-identified instances of a series."""
    store_series(sorted(folder.iterdir()), target)


@lru_cache(maxsize=4)
def _audit(identifiers: str) -> LeakAudit:
    return LeakAudit(_identifiers(identifiers), _ready().exemptions)


def audit(identifiers: str, folder: Path, paths: Sequence[Path]) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """Search files and folders below a folder, names included, for identifiers.

    Returns
    -------
    list of (place, kind), dict
        The hits (place relative to the folder, never the value) and how often each exemption applied.
    """
    checker = _audit(identifiers)
    leaks = checker.scan_paths(folder, paths)
    return [(leak.place, leak.kind) for leak in leaks], dict(checker.exempted)
