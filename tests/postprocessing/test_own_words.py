"""A program that can't work says why; its words reach the request."""

from __future__ import annotations

import json

from linkahead.queries import count

from tests.postprocessing.conftest import Bridged, status

SCRIPT = """
import json, pathlib, sys
output = pathlib.Path(sys.argv[sys.argv.index("--output") + 1])
problem = {"code": "TOO_DARK", "message": "The image is too dark.\\nScan again."}
output.joinpath("error.json").write_text(json.dumps(problem))
raise SystemExit(3)
"""


def test_what_a_program_says_about_its_failure_is_the_requests_message(bridged: Bridged) -> None:
    script = bridged.centre.home / "functions" / "checksum-report" / "report.py"
    script.write_text(SCRIPT, encoding="ascii")
    bridged.centre.tick()
    (name,) = bridged.request()
    bridged.until_settled(name)
    assert status(name) == ("failed", "The job failed: The image is too dark. Scan again.")
    assert count("COUNT AnalysisResult") == 0
    (folder,) = bridged.results
    assert json.loads((folder / "logs" / "error.json").read_text())["code"] == "TOO_DARK"


def test_an_error_file_that_is_no_json_changes_nothing(bridged: Bridged) -> None:
    script = bridged.centre.home / "functions" / "checksum-report" / "report.py"
    script.write_text(SCRIPT.replace("json.dumps(", "str("), encoding="ascii")
    bridged.centre.tick()
    (name,) = bridged.request()
    bridged.until_settled(name)
    assert status(name) == ("failed", "The program ended with exit status 3; its last words are in stderr.txt.")
