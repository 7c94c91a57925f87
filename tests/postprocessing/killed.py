"""Exchange again and again, each time killed a little later, until one comes through: `killed.py SETTINGS STEP`.

The kill is SIGKILL to the process itself, between two calls of the bridge's own functions.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from heartbrain_ingest.postprocessing import bridge
from heartbrain_ingest.settings import load_settings

OURS = (
    "heartbrain_ingest/postprocessing/",
    "heartbrain_ingest/filesystem/",
    "hpc_bridge/",
    "heartbrain_ingest/crawl/run",
)


def main(settings_file: Path, step: int) -> int:
    deaths = 0
    while True:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = exchange(settings_file, calls=step // 3 + deaths * step)
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            print(deaths)  # noqa: T201 - for the test
            return os.waitstatus_to_exitcode(status)
        deaths += 1


def exchange(settings_file: Path, calls: int) -> int:
    settings = load_settings(settings_file)
    bridge.connect(settings)
    left = calls

    def count(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal left
        if event == "call" and any(part in frame.f_code.co_filename for part in OURS):
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    report = bridge.Site(settings).exchange()
    sys.setprofile(None)
    print("\n".join(report.troubles), file=sys.stderr)  # noqa: T201 - for the test
    return 1 if report.troubles else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2])))
