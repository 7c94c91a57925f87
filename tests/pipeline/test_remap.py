"""After a change of rules what is published is made again from itself: a new revision only where something differs."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from heartbrain_ingest.remap import Remap
from heartbrain_ingest.report import RunOptions, RunReport
from heartbrain_ingest.settings import load_settings
from tests.pipeline.conftest import TakenIn
from tests.pipeline.scans import write_series
from tests.pipeline.site import Site

T2 = {"SeriesDescription": "t2_tse_tra", "ProtocolName": "t2_tse_tra", "InversionTime": None}
#: Kills a remap at a moment that is named.
DYING = """
import os, signal, sys
from pathlib import Path
from heartbrain_ingest import pipeline, remap
from heartbrain_ingest.report import RunOptions
from heartbrain_ingest.settings import load_settings

settings, moment = sys.argv[1:]
owner, name = {"decision": (pipeline.Ledger, "stage_outcomes"), "renamed": (pipeline, "publish"),
               "compared": (remap, "is_same")}[moment]
function = getattr(owner, name)


def die(*arguments, **options):
    function(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)


setattr(owner, name, die)
remap.Remap(load_settings(Path(settings)), None, RunOptions(jobs=1)).execute()
"""


@dataclass(frozen=True, kw_only=True)
class Done:
    report: RunReport
    unchanged: list[str]


def _remap(site: Site, where: str | None = None, **options: Any) -> Done:
    run = Remap(load_settings(site.settings), where, RunOptions(jobs=1, **options))
    return Done(report=run.execute(), unchanged=run.unchanged)


def _edit(site: Site, name: str, change: Any) -> None:
    path = site.folder / "crawler_config" / name
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _two_sessions(site: Site, inbox: Path) -> None:
    write_series(inbox / "a")
    write_series(inbox / "b", series=3, PatientID="HB0100", **T2)
    site.take_in(inbox)
    shutil.rmtree(inbox)  # nothing that names anybody is needed any more


def test_what_comes_out_the_same_stays_untouched_byte_for_byte(site: Site, tmp_path: Path) -> None:
    _two_sessions(site, tmp_path / "study")
    tree = site.tree()
    stamps = {path: path.stat().st_mtime_ns for path in site.archive.rglob("*")}
    path = site.folder / "crawler_config" / "bids_rules.yml"
    path.write_text(path.read_text(encoding="utf-8") + "\n# a word\n", encoding="utf-8")
    run = _remap(site)
    assert len(run.unchanged) == 2
    assert site.tree() == tree
    assert {path: path.stat().st_mtime_ns for path in site.archive.rglob("*")} == stamps
    assert len(_remap(site).unchanged) == 2


def test_a_new_name_makes_a_new_revision_of_that_session_alone_and_the_records_move(site: Site, tmp_path: Path) -> None:
    _two_sessions(site, tmp_path / "study")
    before = site.tree()
    old = next(folder for folder in site.sessions() if list(folder.rglob("*_T2w.json")))
    path = site.folder / "crawler_config" / "bids_rules.yml"
    path.write_text(path.read_text(encoding="utf-8").replace("T2w", "PDw"), encoding="utf-8")
    trial = _remap(site, dry_run=True)
    assert len(trial.report.announced) == 1
    assert site.tree() == before
    run = _remap(site)
    assert run.report.published == [f"{old.relative_to(site.archive).as_posix()}_rev-2"]
    assert len(run.unchanged) == 1
    new = old.with_name(f"{old.name}_rev-2")
    assert len(list(new.rglob("*_PDw.nii.gz"))) == 1
    assert {path: digest for path, digest in site.tree().items() if "_rev-2/" not in path} == before
    assert f"revisionOf: {old.name}" in (new / "README.md").read_text(encoding="utf-8")
    stored = [next(folder.rglob("*.zip")).read_bytes() for folder in (old, new)]
    assert stored[0] == stored[1]
    assert site.count("RECORD Session") == 2
    assert site.count("RECORD Session WITH Revision = 2") == 1
    assert site.count("RECORD T2WeightedImage") + site.count("RECORD PDWeightedImage") == 1
    tree = site.tree()
    again = _remap(site)
    assert (again.report.published, len(again.unchanged)) == ([], 2)
    assert site.tree() == tree


def test_stricter_rules_take_away_what_is_published_in_the_new_revision(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study", PatientWeight="71")
    site.take_in(tmp_path / "study")
    shutil.rmtree(tmp_path / "study")
    old = site.sessions()[0]
    assert b"Prisma" in next(old.rglob("*.zip")).read_bytes()

    def stricter(content: Any) -> None:
        content["overrides"].insert(
            0, {"attributes": ["ManufacturerModelName"], "action": "empty", "reason": "The study promised so."}
        )

    _edit(site, "deidentification.yml", stricter)
    run = _remap(site)
    assert len(run.report.published) == 1
    new = site.archive / run.report.published[0]
    assert b"Prisma" not in next(new.rglob("*.zip")).read_bytes()
    assert site.facts(new)["ManufacturersModelName"] is None
    kept = ("Subject", "Session", "Date", "Age", "Device")
    assert {name: site.facts(new)[name] for name in kept} == {name: site.facts(old)[name] for name in kept}
    sidecars = [json.loads(next(folder.rglob("*_T1w.json")).read_text(encoding="utf-8")) for folder in (old, new)]
    assert sidecars[0]["SeriesInstanceUID"] == sidecars[1]["SeriesInstanceUID"]


def test_only_what_is_asked_for_is_made_again(site: Site, tmp_path: Path) -> None:
    _two_sessions(site, tmp_path / "study")
    path = site.folder / "crawler_config" / "bids_rules.yml"
    path.write_text(path.read_text(encoding="utf-8").replace("T2w", "PDw"), encoding="utf-8")
    names = {site.facts(folder)["Subject"]: folder.name for folder in site.sessions()}
    t2 = next(folder for folder in site.sessions() if list(folder.rglob("*_T2w.json")))
    subject = site.facts(t2)["Subject"]
    other = next(one for one in names if one != subject)
    assert _remap(site, other, dry_run=True).report.announced == []
    assert _remap(site, "FIND T1WeightedImage", dry_run=True).report.announced == []
    assert len(_remap(site, "FIND T2WeightedImage", dry_run=True).report.announced) == 1
    assert len(_remap(site, subject).report.published) == 1


def test_killed_anywhere_the_next_one_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    trees = []
    for moment in ("", "compared", "decision", "renamed"):
        site = Site.make(tmp_path / f"site{moment}")
        _two_sessions(site, tmp_path / "study")
        path = site.folder / "crawler_config" / "bids_rules.yml"
        path.write_text(path.read_text(encoding="utf-8").replace("T2w", "PDw"), encoding="utf-8")
        if moment:
            argv = [sys.executable, "-c", DYING, str(site.settings), moment]
            done = subprocess.run(argv, capture_output=True, env=site.environment(), timeout=120, check=False)
            assert done.returncode == -signal.SIGKILL
            site.take_in()  # a night's run in between finishes or forgets what was begun
        _remap(site)
        trees.append((site.tree(), site.count("RECORD Session WITH Revision = 2")))
    assert all(tree == trees[0] for tree in trees)


def test_a_study_with_recordings_comes_out_the_same_without_its_inbox(sample: TakenIn, tmp_path: Path) -> None:
    site = Site(folder=tmp_path / "site")
    shutil.copytree(sample.site.folder, site.folder)
    inbox = sample.inbox.rename(tmp_path / "elsewhere")
    try:
        path = site.folder / "crawler_config" / "bids_rules.yml"
        path.write_text(path.read_text(encoding="utf-8") + "\n# a word\n", encoding="utf-8")
        done = site.run("remap", "--json")
        assert done.code == 0, done.err
        assert (done.report["published"], len(done.report["unchanged"])) == ([], len(site.sessions()))
    finally:
        inbox.rename(sample.inbox)
