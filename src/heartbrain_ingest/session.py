"""Build one session in the staging area: de-identify, convert, name, physiology, audit. Touches nothing published."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from heartbrain_ingest import physio, workers
from heartbrain_ingest.bids import NamedImage, name_session
from heartbrain_ingest.carried import carry_recordings
from heartbrain_ingest.convert import finish_sidecar
from heartbrain_ingest.deidentify import shows_face
from heartbrain_ingest.filesystem import EXPERIMENTAL_DATA, checksum_list
from heartbrain_ingest.instances import ChosenInstances, choose_instances, choose_recordings
from heartbrain_ingest.ledger import PUBLISHED, FileRow, Outcome
from heartbrain_ingest.papers import write_certificate, write_facts, write_readme
from heartbrain_ingest.pictures import picture_stem
from heartbrain_ingest.plans import BuildTools, BuiltSession, FileOutcome, SeriesReport, SessionPlan
from heartbrain_ingest.recorded import RecordingSource, RecordingTask, write_recordings
from heartbrain_ingest.series import Series, name_archives, number_of_volumes
from heartbrain_ingest.withheld import find_stored, withheld_place

#: Instances that one worker takes at a time: enough to hide the cost of handing over, few enough to share a series.
CHUNK = 48

#: Mean size in bytes up to which the files of a series count as small.
SMALL = 1024 * 1024


class SessionBuilder:
    """Builds sessions below one staging folder.

    Parameters
    ----------
    plan
        The session.
    tools
        Rules, worker processes and options.
    scratch
        An empty folder in the identified zone; removed by the caller.
    stage
        An empty folder on the filesystem of the archive.
    memory
        An empty folder in memory for series of small files, if there is one; removed by the caller.
    withheld
        Folder for DICOM that is not published; made where there is some, and removed by the caller.
    advance
        Called with the number of files that are done, for a progress bar.
    """

    def __init__(
        self,
        plan: SessionPlan,
        tools: BuildTools,
        *,
        scratch: Path,
        stage: Path,
        memory: Path | None,
        withheld: Path,
        advance: Callable[[int], None],
    ) -> None:
        self._plan = plan
        self._tools = tools
        self._scratch = scratch
        self._memory = memory
        self._withheld = withheld
        self._memory_left = tools.memory_scratch if memory else 0
        self._folder = stage / plan.folder_name
        self._advance = advance
        self._identifiers = scratch / "identifiers"
        self._built = BuiltSession(folder=None)
        #: Those of the plan without copies.
        self._recordings: list[FileRow] = []

    def build(self) -> BuiltSession:
        """Do every stage from de-identification to audit."""
        self._identifiers.write_bytes(pickle.dumps(self._plan.identifiers))
        series = self._group()
        self._recordings = self._keep(choose_recordings(self._plan.recordings))
        if self._plan.again is None and self._plan.revision > 1 and not self._brings_news(series):
            self._built.unchanged = True
            return self._built
        self._built.warnings.update(self._plan.codes)
        self._clean(series)
        self._convert(series)
        for one in series:
            self._settle_refused(one)
        good = [one for one in series if one.result.code is None and one.result.images]
        if not good:
            codes = Counter(one.result.code for one in series if one.result.code) or Counter(
                one.code or "" for one in self._built.outcomes if one.outcome is Outcome.QUARANTINED
            )
            self._built.code = codes.most_common(1)[0][0] if codes else "NOT_CONVERTIBLE"
            # Recordings without their images wait for the session to come again.
            self._settle(self._recordings, Outcome.QUARANTINED, code=self._built.code)
            self._report(series)
            return self._built
        self._name(good)
        good = self._deface(good)
        if not good:
            self._built.code = "DEFACING_FAILED"
            self._settle(self._recordings, Outcome.QUARANTINED, code=self._built.code)
            self._report(series)
            return self._built
        if self._refuses_revision(series):
            return self._built
        self._folder.mkdir(parents=True)
        self._write_images(good)
        self._write_archives(good)
        self._write_recordings(good)
        if self._refuses_revision(series):
            return self._built
        if self._plan.again is None and self._plan.revision > 1 and not self._holds_news():
            self._report(series)
            return self._built
        papers = [one.published() for one in series]
        write_facts(self._folder, self._plan, self._tools.responsible, papers)
        write_readme(self._folder, self._plan, self._tools.responsible, papers)
        # Once before the audit: a steward's reason stands in it.
        write_certificate(self._folder, self._plan, self._tools, papers, {})
        leaks, exempted = self._audit()
        write_certificate(self._folder, self._plan, self._tools, papers, exempted)
        self._report(series)
        if leaks:
            self._refuse(leaks)
        else:
            self._built.folder = self._folder
        return self._built

    def _brings_news(self, series: list[Series]) -> bool:
        """Say whether something came that is not published: copies of what is there make no new revision."""
        rows = [row for one in series for row in one.rows]
        return any(row.outcome is Outcome.WAITING for row in (*rows, *self._recordings))

    def _holds_news(self) -> bool:
        """Say whether the revision holds a file that no earlier one does; else only why none is held is noted."""
        waiting = {row.id for row in (*self._plan.rows, *self._plan.recordings) if row.outcome is Outcome.WAITING}
        if any(one.outcome in PUBLISHED and one.file_id in waiting for one in self._built.outcomes):
            return True
        self._built.unchanged = True
        self._built.outcomes = [one for one in self._built.outcomes if one.outcome not in PUBLISHED]
        del self._built.warnings["LATE_FILES"]
        return False

    # grouping

    def _group(self) -> list[Series]:
        rows = self._choose()
        by_uid: dict[str, list[FileRow]] = {}
        for row in rows:
            by_uid.setdefault(row.series or "", []).append(row)
        series = []
        ordered = sorted(by_uid.items(), key=lambda item: (item[1][0].facts["series_number"], item[0]))
        for index, (uid, members) in enumerate(ordered):
            members.sort(key=lambda row: (row.facts["instance_number"], row.instance or ""))
            base = self._scratch_for(members) / f"{index:04d}"
            # Original files and stored ones are not of one series for dcm2niix: all of one kind, or no comparison.
            stored = {self._is_stored(row) for row in members}
            sampled = self._tools.compared and index % self._tools.compared == 0
            compare = sampled and len(stored) == 1
            folders = workers.SeriesFolders(
                cleaned=base / "dicom", originals=base / "originals" if compare else None, output=base / "output"
            )
            folders.cleaned.mkdir(parents=True)
            if folders.originals:
                folders.originals.mkdir()
            series.append(
                Series(uid=uid, number=members[0].facts["series_number"], description="", rows=members, folders=folders)
            )
        return series

    def _scratch_for(self, members: Sequence[FileRow]) -> Path:
        """Choose memory for a series of small files while there is room: its cleaned copy and both its images."""
        size = sum(row.size for row in members)
        if self._memory is None or size > SMALL * len(members) or 3 * size > self._memory_left:
            return self._scratch
        self._memory_left -= 3 * size
        return self._memory

    def _choose(self) -> list[FileRow]:
        """Take one file of each instance, and settle the others."""
        return self._keep(choose_instances(self._plan.rows, self._plan.lets_pass))

    def _keep(self, chosen: ChosenInstances) -> list[FileRow]:
        for one in chosen.settled:
            self._settle(
                [one.row], one.outcome, code=one.code, digests={one.row.id: one.sha256} if one.sha256 else None
            )
        return chosen.kept

    # de-identification and conversion

    def _clean(self, series: list[Series]) -> None:
        futures = []
        for one in series:
            width = max(5, len(str(len(one.rows))))
            sources = [self._source(row, f"{index:0{width}d}.dcm") for index, row in enumerate(one.rows, start=1)]
            for chunk in _chunks(sources, CHUNK):
                future = self._tools.pool.submit(
                    workers.clean_instances, chunk, self._plan.subject, str(self._identifiers), one.folders
                )
                futures.append((one, future))
        for one, future in futures:
            results = future.result()
            one.cleaned += results
            self._advance(len(results))

    def _is_stored(self, row: FileRow) -> bool:
        """Say whether the published, de-identified copy of a file is read from the start, not the file itself."""
        has_copy = row.destination is not None and "!" in row.destination
        return has_copy and (self._plan.again is not None or not Path(row.path).exists())

    def _source(self, row: FileRow, name: str) -> workers.Source:
        found = find_stored(row.destination, archive=self._tools.archive, withheld=self._tools.withheld)
        stored = (str(found[0]), found[1]) if found else None
        return workers.Source(file_id=row.id, path=None if self._is_stored(row) else row.path, stored=stored, name=name)

    def _convert(self, series: list[Series]) -> None:
        ready = [one for one in series if one.kept]
        # The longest first, so that the last worker does not start a long one alone.
        ready.sort(key=lambda one: len(one.kept), reverse=True)
        futures = []
        for one in ready:
            # Where some files could not be read and their stored copies were taken, there is nothing to compare with.
            mixed = len({instance.is_stored for instance in one.kept}) > 1
            folders = replace(one.folders, originals=None) if mixed else one.folders
            futures.append((one, self._tools.pool.submit(workers.convert_series, folders, self._tools.timeout_s)))
        for one, future in futures:
            one.result = future.result()
            header = one.result.header
            one.description = str(header.get("SeriesDescription") or header.get("ProtocolName") or "")

    def _settle_refused(self, one: Series) -> None:
        for instance in one.cleaned:
            if instance.code:
                self._built.outcomes.append(
                    FileOutcome(
                        file_id=instance.file_id,
                        outcome=Outcome.QUARANTINED,
                        code=instance.code,
                        sha256=instance.sha256,
                    )
                )
        if one.result.code:
            self._settle_series(one)

    def _settle_series(self, one: Series) -> None:
        if one.result.code:
            self._built.warnings[one.result.code] += 1
            self._built.outcomes += [
                FileOutcome(
                    file_id=instance.file_id,
                    outcome=Outcome.QUARANTINED,
                    code=one.result.code,
                    sha256=instance.sha256,
                )
                for instance in one.kept
            ]

    # names and files

    def _name(self, series: list[Series]) -> None:
        pairs = [(candidate, one) for one in series for candidate in one.candidates()]
        owners = {candidate.key: one for candidate, one in pairs}
        candidates = [candidate for candidate, _ in pairs]
        named = name_session(
            candidates, self._tools.naming, subject=self._plan.subject.label, session=self._plan.session
        )
        for made in named:
            owners[made.candidate.key].named.append(made)
            if made.naming.code:
                self._built.warnings[made.naming.code] += 1
            self._built.warnings.update(made.notes)
        name_archives(series)

    def _deface(self, series: list[Series]) -> list[Series]:
        """Take the faces out of anatomical images; a series whose image keeps its face goes into quarantine."""
        defacing = self._tools.defacing
        if defacing.tool == "none":
            return series
        futures = []
        for one in series:
            made = {image.stem: image for image in one.result.images}
            faces = [
                made[named.candidate.key.rpartition("/")[2]].nifti
                for named in one.named
                if named.path is not None and shows_face(named.path, named.candidate.shape)
            ]
            if faces:
                futures.append((one, self._tools.pool.submit(workers.deface_images, faces, defacing)))
        for one, future in futures:
            done = future.result()
            if done is None:
                one.result = replace(one.result, code="DEFACING_FAILED", images=())
                one.named = []
                self._settle_series(one)
            else:
                one.defaced = done
        return [one for one in series if one.result.code is None]

    def _write_images(self, series: list[Series]) -> None:
        futures = []
        for one in series:
            made = {image.stem: image for image in one.result.images}
            for named in one.named:
                if named.path is None:
                    continue
                image = made[named.candidate.key.rpartition("/")[2]]
                stem = self._folder / named.path
                stem.parent.mkdir(parents=True, exist_ok=True)
                texts = {_with_suffix(stem, ".json"): finish_sidecar(image.sidecar, one.own_fields(named))}
                for table, extension in ((image.bval, ".bval"), (image.bvec, ".bvec")):
                    if table is not None and named.b_table:
                        texts[_with_suffix(stem, extension)] = table.read_text()
                texts |= {self._folder / path: text for path, text in named.tables.items()}
                futures.append(
                    self._tools.pool.submit(
                        workers.finish_image,
                        image.nifti,
                        _with_suffix(stem, ".nii.gz"),
                        texts,
                        self._tools.compression_level,
                        self._folder / picture_stem(named.path),
                    )
                )
        self._built.warnings.update(code for future in futures if (code := future.result()))

    def _write_archives(self, series: list[Series]) -> None:
        target = self._folder / "sourcedata" / "dicom"
        target.mkdir(parents=True)
        if any(one.defaced for one in series):
            self._withheld.mkdir(parents=True, mode=0o700)
            self._built.withheld = self._withheld
        futures = [
            self._tools.pool.submit(
                workers.finish_archive,
                one.folders.cleaned,
                (self._withheld if one.defaced else target) / one.archive_name,
            )
            for one in series
        ]
        for future in futures:
            future.result()
        for folder in (target, *((self._built.withheld,) if self._built.withheld else ())):
            (folder / "SHA256SUMS").write_text(checksum_list(folder), encoding="utf-8")
        project, name = self._plan.project, self._folder.name
        for one in series:
            place = f"{EXPERIMENTAL_DATA}/{project}/{name}/sourcedata/dicom/{one.archive_name}"
            if one.defaced:
                place = withheld_place(project, name, one.archive_name)
            self._built.outcomes += [
                FileOutcome(
                    file_id=instance.file_id,
                    outcome=Outcome.CONVERTED,
                    destination=f"{place}!{instance.name}",
                    sha256=instance.sha256,
                )
                for instance in one.kept
            ]

    # physiology

    def _write_recordings(self, series: list[Series]) -> None:
        # What was read as a part of another file needs not to be there once that one is stored.
        parts = [row for row in self._recordings if row.code == "PHYSIO_PART" and not _is_readable(Path(row.path))]
        self._settle(parts, Outcome.IGNORED, code="PHYSIO_PART")
        self._recordings = [row for row in self._recordings if row not in parts]
        if not self._recordings:
            return
        sources = {row.id: self._recording_source(row) for row in self._recordings}
        lost = [row for row in self._recordings if sources[row.id] is None]
        if lost:
            # Published before logs were stored, and not to be read again: it is taken over as it is.
            published = self._tools.archive / "/".join((lost[0].destination or "").split("/")[:3])
            self._carry_recordings(published, lost)
            self._built.warnings["PHYSIO_GONE"] += 1
        recordings = [row for row in self._recordings if sources[row.id] is not None]
        spans = [(one, span) for one in series for named in one.named if (span := self._span(named))]
        task = RecordingTask(
            sources=tuple(source for row in recordings if (source := sources[row.id])),
            spans=tuple(span for _, span in spans),
            instances=tuple(one.instance() for one, _ in spans),
            rules=self._tools.physio,
            day=self._plan.studied,
            identifiers=str(self._identifiers),
            whole=self._folder / "sourcedata" / "physio" / f"sub-{self._plan.subject.label}_ses-{self._plan.session}",
            folder=self._folder,
        )
        results = self._tools.pool.submit(write_recordings, task).result()
        for row, result in zip(recordings, results, strict=True):
            self._built.warnings.update(result.notes)
            if result.stored is None:
                self._settle([row], result.outcome, code=result.code)
                continue
            place = f"{EXPERIMENTAL_DATA}/{self._plan.project}/{self._folder.name}"
            inside = result.stored.relative_to(self._folder).as_posix()
            self._settle([row], result.outcome, code=result.code, destination=f"{place}/{inside}")

        stored = self._folder / "sourcedata" / "physio"
        if stored.is_dir():
            (stored / "SHA256SUMS").write_text(checksum_list(stored), encoding="utf-8")

    def _recording_source(self, row: FileRow) -> RecordingSource | None:
        """Say where a recording is to be read; None where it can't be and only its published tables are left."""
        if row.destination is None or (self._plan.again is None and _is_readable(Path(row.path))):
            return RecordingSource(path=row.path, stored=None)
        stored = self._tools.archive / row.destination
        is_log = stored.name.endswith(physio.LOG_ENDING)
        return RecordingSource(path=row.path, stored=stored) if is_log else None

    def _carry_recordings(self, published: Path, rows: Sequence[FileRow]) -> None:
        """Take recordings over from the published folder."""
        carry_recordings(published, self._folder)
        place = f"{EXPERIMENTAL_DATA}/{self._plan.project}/{self._folder.name}"
        for row in rows:
            inside = (row.destination or "").split("/", 3)[-1]
            self._settle([row], row.outcome, code=row.code, destination=f"{place}/{inside}" if inside else None)

    def _span(self, named: NamedImage) -> physio.ImageSpan | None:
        start = _seconds(named.candidate.acquisition_time)
        volumes = number_of_volumes(named.candidate.shape)
        computed = named.naming.datatype is not None and named.naming.folder is not None
        duration = physio.scan_duration(named.candidate.sidecar, volumes)
        if named.path is None or computed or start is None or duration is None:
            return None
        path = _with_suffix(self._folder / named.path, ".nii.gz")
        return physio.ImageSpan(path=path, start_s=start, duration_s=duration, volumes=volumes)

    # audit

    def _audit(self) -> tuple[list[tuple[str, str]], dict[str, int]]:
        paths = sorted(self._folder.rglob("*"))
        # Each archive of instances for itself, all others together.
        parts = [[path] for path in paths if path.suffix == ".zip"]
        parts.append([path for path in paths if path.suffix != ".zip"])
        identifiers = str(self._identifiers)
        futures = [self._tools.pool.submit(workers.audit, identifiers, self._folder, part) for part in parts]
        leaks: list[tuple[str, str]] = []
        exempted: dict[str, int] = {}
        for future in futures:
            found, exempted = future.result()
            leaks += found
        for path in self._folder.rglob("*.json"):
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                leaks.append((path.relative_to(self._folder).as_posix(), "INVALID_SIDECAR"))
        passed = {release.place for release in self._plan.releases}
        return [(place, kind) for place, kind in leaks if audit_place(place, kind) not in passed], exempted

    def _refuses_revision(self, series: Sequence[Series]) -> bool:
        """Refuse a revision that would lack what the one before it holds; say whether it is refused."""
        files = (*self._plan.rows, *self._plan.recordings)
        published = {row.id for row in files if row.outcome in PUBLISHED}
        lost = Counter(
            one.code or ""
            for one in self._built.outcomes
            if one.outcome is Outcome.QUARANTINED and one.file_id in published
        )
        if not lost:
            return False
        self._built.code = lost.most_common(1)[0][0]
        failed = [one for one in self._built.outcomes if one.outcome in {Outcome.QUARANTINED, Outcome.IGNORED}]
        known = {one.file_id for one in failed}
        self._built.outcomes = failed
        self._settle([row for row in files if row.id not in known], Outcome.QUARANTINED, code="REVISION_FAILED")
        self._report(series)
        places = [f"series {one.number}: {one.result.code}" for one in series if one.result.code]
        places += [f"{count} files: {code}" for code, count in sorted(lost.items())]
        self._built.series.append(SeriesReport(uid="", number=0, code="REVISION_FAILED", report={"places": places}))
        return True

    def _refuse(self, leaks: Sequence[tuple[str, str]]) -> None:
        self._built.code = "INVALID_SIDECAR" if all(kind == "INVALID_SIDECAR" for _, kind in leaks) else "LEAK"
        self._built.refused = self._folder
        self._built.outcomes = [
            outcome
            if outcome.outcome in {Outcome.QUARANTINED, Outcome.IGNORED}
            else FileOutcome(
                file_id=outcome.file_id, outcome=Outcome.QUARANTINED, code=self._built.code, sha256=outcome.sha256
            )
            for outcome in self._built.outcomes
        ]
        self._built.series.append(
            SeriesReport(
                uid="",
                number=0,
                code=self._built.code,
                report={"places": sorted({audit_place(place, kind) for place, kind in leaks})},
            )
        )

    def _report(self, series: Sequence[Series]) -> None:
        for one in series:
            if one.announces_other_count():
                self._built.warnings["INSTANCE_COUNT"] += 1
            self._built.series.append(one.report())

    def _settle(
        self,
        rows: Sequence[FileRow],
        outcome: Outcome,
        *,
        code: str | None = None,
        destination: str | None = None,
        digests: Mapping[int, str] | None = None,
    ) -> None:
        self._built.outcomes += [
            FileOutcome(
                file_id=row.id,
                outcome=outcome,
                code=code,
                destination=destination,
                sha256=digests.get(row.id) if digests else None,
            )
            for row in rows
        ]
        self._advance(len(rows))


def _is_readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False


def audit_place(place: str, kind: str) -> str:
    """Give a hit of the leak audit as the ledger and the steward know it: never with the value."""
    return f"{kind}: {place}"


def _seconds(time: str) -> float | None:
    """Read `HH:MM:SS.ffffff` or `HHMMSS.ffffff` as seconds since midnight."""
    digits = time.replace(":", "")
    try:
        return int(digits[0:2]) * 3600 + int(digits[2:4]) * 60 + float(digits[4:])
    except ValueError:
        return None


def _with_suffix(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


def _chunks(items: Sequence[workers.Source], size: int) -> Iterator[Sequence[workers.Source]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
