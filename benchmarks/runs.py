"""Run the contenders in turn, round by round, so that a busy or slow machine meets all of them alike."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import Command, Contender, Ours
from benchmarks.material import Material
from benchmarks.measure import Measurement, measure
from benchmarks.table import Series, Trial

#: Longest time for one command; what takes longer is shown as failing. Unit: seconds.
TIMEOUT_S = 600.0
REASON_LENGTH = 100


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How often.

    Attributes
    ----------
    rounds
        Runs of each contender.
    minutes
        No round begins that would, by the round before, end later than this after the start.
    help_runs
        Runs of `--help`.
    stages
        Whether one more ingest says where its time goes.
    """

    rounds: int
    minutes: float
    help_runs: int
    stages: bool


class Bench:
    """The measurements of one call.

    Parameters
    ----------
    contenders
        What is measured.
    material, single
        The whole input, and the one of a single file.
    work
        Folder for what the contenders write.
    environment
        Environment variables of every command.
    say
        Told what is being done.
    """

    def __init__(
        self,
        contenders: Sequence[Contender],
        material: Material,
        single: Material,
        *,
        work: Path,
        environment: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        self._contenders = contenders
        self._material = material
        self._single = single
        self._work = work
        self._environment = environment
        self._say = say
        self._bare: dict[str, float] = {}
        self._trials: dict[str, list[Trial]] = {one.name: [] for one in contenders}
        #: Seconds of a second ingest of the same folder, when nothing is new; None when ours is not measured.
        self.again_s: float | None = None
        #: Where the time of one ingest goes; None when not asked for.
        self.stages: dict[str, dict[str, float]] | None = None

    def run(self, plan: Plan) -> None:
        """Measure everything."""
        began = time.monotonic()
        able = [one for one in self._contenders if one.missing() is None]
        for one in able:
            self._say(f"Start-up of {one.name} ...")
            self._bare[one.name] = self._help(one, plan.help_runs)
        again = []
        for number in range(1, plan.rounds + 1):
            round_began = time.monotonic()
            for one in able:
                self._say(f"Round {number} of {plan.rounds}: {one.name} ...")
                single, target = self._trial(one, self._single)
                shutil.rmtree(target)
                trial, target = self._trial(one, self._material)
                trial = replace(trial, startup_s=single.wall_s)
                self._trials[one.name].append(trial)
                if isinstance(one, Ours) and not trial.failures:
                    again.append(self._command(one.ingest(self._material, target)).wall_s)
                shutil.rmtree(target)
            took = time.monotonic() - round_began
            if time.monotonic() - began + took > plan.minutes * 60:
                break
        self.again_s = median(again) if again else None
        if plan.stages and any(isinstance(one, Ours) for one in able):
            self._say("One more ingest, stage by stage ...")
            self.stages = self._split()

    def series(self) -> list[Series]:
        """Give what was measured, in the order of the contenders."""
        return [
            Series(
                name=one.name,
                remark=one.remark,
                bare_s=self._bare.get(one.name, 0.0),
                processes=max(1, sum(1 for command in self._commands(one) if command.session)),
                trials=tuple(self._trials[one.name]),
                missing=one.missing(),
            )
            for one in self._contenders
        ]

    def _commands(self, one: Contender) -> list[Command]:
        return [] if one.missing() else one.commands(self._material, self._work)

    def _help(self, one: Contender, runs: int) -> float:
        """Run on one file, so that caches are filled (byte code, pages); then time a command that only starts."""
        _trial, target = self._trial(one, self._single)
        shutil.rmtree(target)
        return median(self._command(Command(argv=one.bare(), files=0)).wall_s for _ in range(runs))

    def _trial(self, one: Contender, material: Material) -> tuple[Trial, Path]:
        target = self._work / "target"
        target.mkdir()
        commands = one.commands(material, target)
        measured = [(command, self._command(command)) for command in commands]
        bad = [(command, result) for command, result in measured if result.reason]
        trial = Trial(
            wall_s=sum(result.wall_s for _, result in measured),
            cpu_s=sum(result.cpu_s for _, result in measured),
            peak_mb=max(result.peak_mb for _, result in measured),
            files=sum(command.files for command, result in measured if not result.reason),
            images=sum(1 for path in target.rglob("*.nii.gz") if path.is_file()),
            failures=tuple(f"{command.session or 'all'}: {self._short(result.reason)}" for command, result in bad),
        )
        return trial, target

    def _command(self, command: Command) -> Measurement:
        return measure(
            command.argv,
            scratch=self._work,
            environment=self._environment,
            timeout_s=TIMEOUT_S,
            good=command.good,
            reports=command.reports,
        )

    def _short(self, reason: str) -> str:
        return reason.replace(str(self._work), "...").replace("|", "/")[:REASON_LENGTH]

    def _split(self) -> dict[str, Any] | None:
        target, result = self._work / "target", self._work / "stages.json"
        target.mkdir()
        self._command(Ours().commands(self._material, target)[0])
        settings = target / "site" / "heartbrain.yml"
        own = ("-m", "benchmarks.stages", str(settings), str(self._material.folder), str(result))
        done = self._command(Command(argv=(sys.executable, *own), files=0))
        shutil.rmtree(target)
        if done.reason:
            self._say(f"That failed: {self._short(done.reason)}")
            return None
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found
