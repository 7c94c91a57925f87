"""docs/howto-hpc.md, followed line by line in a HOME in which nothing is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from hpc_bridge.protocol import SigningKey
from tests.hpc_bridge.stores import ACCESS, MotoServer

PAGE = Path(__file__).parents[2] / "docs" / "howto-hpc.md"
PROGRAM = Path(sys.executable).with_name("hpc-bridge")


def lines_of(heading: str) -> list[str]:
    """Give the indented command lines of a section."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}")[2].partition("\n## ")[0]
    found = re.findall(r"^ {4,6}(\S.*)$", section, re.MULTILINE)
    return [line.partition("  #")[0].rstrip() for line in found]


class Account:
    """A user's account on a login node: an empty HOME, and a small environment as a login gives it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        self.env = {"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
        # The installation itself needs a package index; what follows is the same with any.
        (home / "hpc-bridge-venv").mkdir()
        (home / "hpc-bridge-venv" / "bin").symlink_to(PROGRAM.parent)
        if "PYTHONPATH" in os.environ:
            self.env["PYTHONPATH"] = os.environ["PYTHONPATH"]

    def run(self, line: str, **more: str) -> subprocess.CompletedProcess[str]:
        argv = ["/bin/sh", "-c", line]
        return subprocess.run(
            argv, env={**self.env, **more}, cwd=self.home, capture_output=True, text=True, check=False
        )


def test_from_nothing_to_a_running_agent_by_the_lines_of_the_page(moto_server: MotoServer, tmp_path: Path) -> None:
    account = Account(tmp_path / "home")
    store = moto_server.client()
    store.create_bucket(Bucket="heartbrain")

    link = next(line for line in lines_of("1.") if "ln -s" in line)
    assert account.run(link).returncode == 0

    [init] = lines_of("2.")
    init = init.replace("https://s3.example.org", moto_server.endpoint).replace(
        "--scheduler slurm", "--scheduler local"
    )
    made = account.run(init)
    assert (made.returncode, made.stderr) == (0, "")
    assert re.search(r"^ +hpc-bridge-ed25519 \S+ agent$", made.stdout, re.MULTILINE)

    home = account.home / ".hpc-bridge"
    with (home / "trusted_keys").open("a") as file:
        file.write(SigningKey.generate().public.line("rdm") + "\n")
    words = [line.strip().replace("...", ACCESS.get(line.split()[0], "")) for line in lines_of("3.")]
    assert words[0] == "[default]"
    (home / "credentials").write_text("\n".join(words) + "\n")
    account.run("chmod 600 ~/.hpc-bridge/credentials")

    [doctor] = lines_of("4.")
    checked = account.run(doctor)
    assert "FIX" not in checked.stdout, checked.stdout
    assert checked.returncode == 0

    shown = lines_of("5.")[0]
    [cron] = re.findall(r"^ +(\*/2 .*)$", made.stdout, re.MULTILINE)
    assert re.sub(r"\S+/", "", shown) == re.sub(r"\S+/", "", cron)
    ticked = account.run(cron.split(maxsplit=5)[5], PATH="/usr/bin:/bin")
    assert (ticked.returncode, (home / "tick.log").read_text()) == (0, "")
    found = [one["Key"] for one in store.list_objects_v2(Bucket="heartbrain", Prefix="site-1/")["Contents"]]
    assert "site-1/catalogue/checksum-report/1.0.json" in found
    assert any(key.startswith("site-1/agents/") for key in found)

    again = account.run(init)
    assert "all is there" in again.stdout
    assert cron in again.stdout
    assert account.run("hpc-bridge functions").stdout.count("checksum-report 1.0") == 1
