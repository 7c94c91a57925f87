"""Run the main job on the synthetic study and show what a user sees: `python -m sample_data.demo DIR`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from sample_data.centre import Centre

QUESTION = "FIND T1WeightedImage"
MEDICAL = (
    "SELECT mean_f, mean_D, mean_Dstar, Subject FROM IVIMAnalysis WITH mean_f > 0.05",
    "SELECT GreyMatterVolume, WhiteMatterVolume, CSFVolume, Subject FROM TissueVolumes WITH GreyMatterVolume > 650 mL",
)
#: `heartbrain ingest` ends with 1 when something wants the steward's attention: no failure of the demo.
FINE = (0, 1)


def run(*arguments: str, fine: tuple[int, ...] = (0,)) -> None:
    """Run one command of heartbrain and stop where it fails."""
    command = [str(Path(sys.executable).with_name("heartbrain")), *arguments]
    done = subprocess.run(command, check=False)
    if done.returncode not in fine:
        sys.exit(done.returncode)


def say(text: str) -> None:
    """Print a line at once, so that it stands before what the next command prints."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(folder: Path) -> None:
    """Make a site and a computing centre, take the study in, have it computed, ask."""
    settings = folder / "heartbrain.yml"
    centre = Centre(folder / "centre", settings)
    say(f"\n1. A site in {folder}/ (settings, rules, key, folders) and a computing centre in {folder}/centre/")
    run("init", str(folder))
    centre.set_up()
    say(f"\n2. Taking in {folder}/study/inbox: find sessions, de-identify, convert, name, check, publish, make records")
    run("ingest", "--settings", str(settings), "--inbox", str(folder / "study" / "inbox"), fine=FINE)
    say(f"\n3. A researcher asks: {QUESTION}")
    run("query", "--settings", str(settings), QUESTION)
    say("\n4. The rules have asked for IVIM and tissue volumes: the requests go to the centre, the results come back")
    started = time.monotonic()
    count = centre.work()
    say(f"{count} results in {time.monotonic() - started:.0f} s")
    for number, question in enumerate(MEDICAL, start=5):
        say(f"\n{number}. A researcher asks: {question}")
        run("query", "--settings", str(settings), question)
    command = Path(sys.executable).with_name("heartbrain")
    relative = command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command
    say(
        f"""
The same in a browser, where one click has something computed:
  {relative} serve --settings {settings} --exchange      name and password: {folder}/state/first-login.txt
  {relative.with_name("hpc-bridge")} watch --home {folder}/centre --every 5   the computing centre, in a second terminal

What to try next (export HEARTBRAIN_SETTINGS={settings}):
  {relative} query "FIND DiffusionWeightedImage WITH BValues > 500"
  {relative} query "FIND LaboratoryMeasurement WITH Analyte = creatinine AND ReferenceFlag = H"
  {relative} query "FIND Session WITH Age > 50"
  {relative} query "FIND IVIMAnalysis WITH mean_f > 0.05 AND WHICH REFERENCES Session WITH Age > 50"
  {relative} run ivim --show
  {relative} explain t1_mprage
  {relative} status
  {relative} check
  {relative} ingest --inbox YOUR_FOLDER
The published files are in {folder}/archive; the true values behind the study in {folder}/study/truth."""
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
