"""A computing centre on this machine: an agent with the shipped functions, a folder as bucket, processes as jobs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import yaml

#: What the demo adds to the site's settings.
_SITE: Final = "\n# Of the demo: it looks so often that a click is answered soon.\nbridge:\n  interval_seconds: 5\n"
#: What the demo sets apart from what `hpc-bridge init` writes: small machines have few cores and little room.
_CHANGES: Final = {"limits": {"free_bytes": 0, "jobs_at_once": 4}, "isolation": "best-effort"}
_PATIENCE_SECONDS: Final = 600.0
#: Between two looks at the jobs, so that these have the processors.
_PAUSE_SECONDS: Final = 1.0
#: States in which a job is over for the centre.
_OVER: Final = frozenset({"finished", "failed", "cancelled", "lost", "closed"})


class Centre:
    """An agent that works for one site.

    Parameters
    ----------
    home
        The agent's folder; made when absent.
    settings
        Settings file of the site.
    """

    def __init__(self, home: Path, settings: Path) -> None:
        self._home = home
        self._settings = settings

    def set_up(self) -> None:
        """Install the agent and exchange the public keys, as docs/howto-hpc.md says."""
        site = self._settings.parent
        settings = self._settings.read_text(encoding="utf-8")
        if "\nbridge:" not in settings:
            self._settings.write_text(settings + _SITE, encoding="utf-8")
        made = self._agent("init", "--folder", str(site.resolve() / "bucket"), "--json")
        config = self._home / "config.yml"
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
        config.write_text(yaml.safe_dump({**content, **_CHANGES}, sort_keys=False), encoding="utf-8")
        key = _output("heartbrain", "bridge", "keys", "--settings", str(self._settings))
        (self._home / "trusted_keys").write_text(key, encoding="ascii")
        (site / "state" / "bridge" / "default.agents").write_text(made["public_key"] + "\n", encoding="ascii")
        self.tick()

    def tick(self) -> int:
        """Let the agent do its next steps; give how many jobs were not over before."""
        jobs = self._agent("tick", "--json")["jobs"]
        return sum(count for state, count in jobs.items() if state not in _OVER)

    def work(self) -> int:
        """Let the site send, the agent work, and the site collect until nothing is open; give how many results came."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        finished = 0
        while True:
            report = json.loads(_output("heartbrain", "bridge", "--json", "--settings", str(self._settings)))
            finished += int(report["finished"])
            if not report["open"]:
                return finished
            busy = True
            while busy:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{report['open']} jobs are not over")
                busy = self.tick() > 0
                time.sleep(_PAUSE_SECONDS)

    def _agent(self, *arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(_output("hpc-bridge", *arguments, "--home", str(self._home)))
        return answer


def _output(program: str, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    # The reports tell what went wrong; exit status 1 asks for a look.
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if done.returncode not in (0, 1):
        sys.stderr.write(done.stderr)
        raise SystemExit(done.returncode)
    return done.stdout
