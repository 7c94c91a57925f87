"""What the OpenAPI description allows, and what it does not, sent by schemathesis over HTTP.

`python -m tests.linkahead_embedded.fuzzing_openapi SECONDS` takes so much CPU time.
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
import time
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from lxml import etree
from schemathesis import Case, GenerationMode, checks

from linkahead_embedded.bootstrap import close_application, open_application
from linkahead_embedded.exchange import Request
from tests.linkahead_embedded.conftest import serving
from tests.linkahead_embedded.fuzzing import MODEL, STATUS, USER

TIMEOUT_S = 10
CHECKS = [checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance]


def description() -> dict[str, Any]:
    """Give the description that the server gives."""
    text = resources.files("linkahead_embedded").joinpath("openapi.yaml").read_text(encoding="utf-8")
    described: dict[str, Any] = yaml.safe_load(text)
    return described


def check(case: Case, response: requests.Response) -> int:
    """See that an answer is one that was foreseen, in the form that was promised; give its status."""
    shown = f"{case.as_curl_command()}\n{response.status_code} {response.text[:500]}"
    assert response.status_code in STATUS, shown
    assert "Internal error" not in response.text, shown
    kind = response.headers["Content-Type"].partition(";")[0]
    if kind == "text/xml" and case.method.upper() != "HEAD" and response.status_code != 416:
        root = etree.fromstring(response.content)
        assert root.tag == "Response", shown
        assert all(one.get("description") and one.get("code", "").isdigit() for one in root.iter("Error")), shown
        assert response.status_code < 400 or root.find("Error") is not None, shown
    elif response.status_code < 300:
        assert kind in {"application/octet-stream", "application/yaml", "text/xml"}, shown
    else:
        assert response.status_code == 416, shown
    return response.status_code


class Target:
    """A server with a small data model, and a session of an administrator."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url.rstrip("/")
        self.application = open_application(folder / "linkahead.db")
        self.application.handle(Request("POST", "Entity", MODEL.encode()), USER)
        self.session = requests.Session()
        self.session.trust_env = False
        self.log_in()

    def log_in(self) -> None:
        """Take a fresh token: what was sent may have voided the one before."""
        form = {"username": "tester", "password": "secret"}
        assert self.session.post(f"{self.url}/login", data=form, timeout=TIMEOUT_S).status_code == 200

    def send(self, case: Case) -> int:
        """Send one case, as the administrator; give the status of the answer."""
        arguments = case.as_transport_kwargs(base_url=self.url)
        arguments.pop("cookies", None)
        try:
            response = self.session.request(**arguments, timeout=TIMEOUT_S, allow_redirects=False)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader, UnicodeError, ValueError):
            return 0  # the library can't write this request
        except requests.exceptions.RequestException as problem:
            raise AssertionError(f"{arguments!r}\n{problem}") from problem
        case.validate_response(response, checks=CHECKS)
        return check(case, response)


def fuzz(target: Target, examples: int, started_from: int) -> Counter[int]:
    """Send so many cases to each operation, half of them as described, half of them not; count the statuses."""
    statuses: Counter[int] = Counter()
    relaxed = settings(
        max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    schema = schemathesis.openapi.from_dict(description())
    for operation in (one.ok() for one in schema.get_all_operations()):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if mode is GenerationMode.NEGATIVE and not _can_be_wrong(operation):
                continue
            target.log_in()

            @seed(started_from)
            @relaxed
            @given(operation.as_strategy(generation_mode=mode))
            def answers(case: Case) -> None:
                statuses[target.send(case)] += 1

            answers()
    return statuses


def _can_be_wrong(operation: Any) -> bool:
    return bool(operation.body or operation.query or operation.headers)


def fuzz_once(folder: Path, examples: int, started_from: int) -> Counter[int]:
    """Fuzz a server of its own; afterwards its database has to be sound."""
    database = folder / "linkahead.db"
    scripts = folder / "scripts"
    scripts.mkdir()
    (scripts / "hello.sh").write_text("#!/bin/sh\necho hello\n", encoding="utf-8")
    (scripts / "hello.sh").chmod(0o755)
    with serving(database, folder) as url:
        target = Target(folder, url)
        target.application.scripting.folder = scripts
        statuses = fuzz(target, examples, started_from)
        assert target.application.database.problems() == []
        target.session.close()
    close_application(database)
    return statuses


def main() -> int:
    """Fuzz for so many seconds of CPU time, each round in a fresh database, from a seed that is printed."""
    logging.disable(logging.CRITICAL)
    seconds, total = float(sys.argv[1]), Counter[int]()
    while time.process_time() < seconds:
        started_from = random.randrange(1 << 32)
        print(f"{time.process_time():.0f} s, seed {started_from}", flush=True)  # noqa: T201
        with tempfile.TemporaryDirectory() as folder:
            total += fuzz_once(Path(folder), 40, started_from)
    print(f"{time.process_time():.0f} s of CPU, {sum(total.values())} requests, {dict(sorted(total.items()))}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
