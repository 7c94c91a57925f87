"""Containers of charliecloud run as they are and inside real batch jobs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.services.daemon import environment, need, run
from tests.services.slurm import Slurm


def ch_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = ["ch-run", *arguments]
    return subprocess.run(argv, env=environment(), capture_output=True, text=True, check=False)


def test_a_program_in_an_image_sees_the_image_and_not_this_machine(container_image: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("42")
    script = "from pathlib import Path; print(Path('/mnt/0/data').read_text(), Path('/var').exists())"
    done = ch_run(f"--bind={tmp_path}:/mnt/0", str(container_image), "--", "python3", "-c", script)
    assert (done.stderr, done.stdout) == ("", "42 False\n")


def test_the_environment_can_be_cleaned(container_image: Path) -> None:
    done = ch_run("--unset-env=*", "--set-env=PATH=/usr/bin", str(container_image), "--", "env")
    assert sorted(done.stdout.splitlines()) == ["CH_RUNNING=Weird Al Yankovic", "PATH=/usr/bin"]


def test_an_image_is_read_only_and_the_exit_status_comes_through(container_image: Path) -> None:
    done = ch_run(str(container_image), "--", "sh", "-c", "touch /usr/bin/new; exit 7")
    assert "Read-only file system" in done.stderr
    assert done.returncode == 7


def test_a_folder_that_an_image_lacks_is_not_made(container_image: Path, tmp_path: Path) -> None:
    done = ch_run(f"--bind={tmp_path}:/mnt/3", str(container_image), "--", "true")
    assert done.returncode != 0
    assert "can't mkdir" in done.stderr


def test_a_batch_job_runs_in_a_container(container_image: Path, slurm: Slurm) -> None:
    folder = slurm.folder / "home" / "contained"
    folder.mkdir()
    script = "from pathlib import Path; Path('/mnt/0/result').write_text(str(Path('/var').exists()))"
    job = slurm.sbatch(f'ch-run --bind={folder}:/mnt/0 {container_image} -- python3 -c "{script}"; exit $?')
    assert slurm.wait(job) == "COMPLETED"
    assert (folder / "result").read_text() == "False"


def test_an_image_may_be_one_file(container_image: Path, tmp_path: Path) -> None:
    need("mksquashfs", package="squashfs-tools")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("this machine or container gives this user no /dev/fuse, which charliecloud needs for image files")
    image = tmp_path / "image.sqfs"
    run(["mksquashfs", str(container_image), str(image), "-quiet", "-noI", "-noD", "-noF"], env=environment())
    done = ch_run(str(image), "--", "python3", "-c", "print(6 * 7)")
    assert (done.stderr, done.stdout) == ("", "42\n")
