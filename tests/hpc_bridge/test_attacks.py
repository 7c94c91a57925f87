"""What a stolen bucket key, a hostile request and a hostile callback can't do."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpc_bridge import callback
from hpc_bridge.bucket import MemoryBucket
from hpc_bridge.catalog import load_function, may_be_set
from hpc_bridge.errors import CatalogueError, SignatureError
from hpc_bridge.protocol import Event, SigningKey, State, check_call, close, fetch, keys, sign, sign_spec
from hpc_bridge.protocol.calls import HEADER, make_body
from tests.hpc_bridge.conftest import Clock
from tests.hpc_bridge.site import Site, wall_clock


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, MemoryBucket())


def plant(site: Site, body: bytes, job: str) -> str:
    """Put a specification and its first event into the bucket, as who has stolen the bucket's key can."""
    site.bucket.put(keys.spec(job), body)
    site.rdm.add(site.rdm.standing(job) or _before(job), Event.ASK)
    return job


def _before(job: str) -> Any:
    from hpc_bridge.protocol.journal import ask  # noqa: PLC0415

    return ask(job)


def ran(site: Site) -> bool:
    return any((site.home / "scratch").glob("attempts/*/*/run-*"))


def refused(site: Site, job: str) -> str:
    site.tick()
    assert site.standing(job).state is State.FAILED
    assert not ran(site)
    return site.conclusion(job).message


def test_a_forged_specification_runs_nothing(site: Site) -> None:
    spec = site.spec()
    assert "not on the list" in refused(site, plant(site, sign(spec.to_dict(), SigningKey.generate()), spec.job))


def test_an_altered_specification_runs_nothing(site: Site) -> None:
    spec = site.spec()
    body = sign_spec(spec, site.key).replace(b'"parameters":{}', b'"parameters":{"wait":9}')
    assert "altered" in refused(site, plant(site, body, spec.job))


def test_an_expired_specification_runs_nothing(site: Site) -> None:
    spec = site.spec(created=wall_clock() - timedelta(days=3), expires=wall_clock() - timedelta(days=2))
    assert "expired" in refused(site, plant(site, sign_spec(spec, site.key), spec.job))


def test_a_specification_copied_to_another_job_runs_nothing(site: Site) -> None:
    body = sign_spec(site.spec("R1"), site.key)
    assert "another job" in refused(site, plant(site, body, keys.job_name("site", "R2", 1)))


def test_a_specification_of_ten_megabytes_is_not_even_read(site: Site) -> None:
    job = plant(site, b"[" * 10_000_000, keys.job_name("site", "R1", 1))
    assert "larger than its limit" in refused(site, job)


def test_a_replayed_specification_runs_nothing(site: Site) -> None:
    job = site.ask().job
    body = site.bucket.get(keys.spec(job), limit=10**6) or b""
    close(site.rdm, site.until(job))
    site.tick()
    for entry in list(site.bucket.listing("")):
        site.bucket.delete([entry.key])
    assert "used before" in refused(site, plant(site, body, job))


def test_events_rolled_back_while_the_job_runs_start_nothing_again(site: Site) -> None:
    job = site.ask(parameters={"wait": 20}).job
    site.until(job, State.RUNNING)
    while not ran(site):
        pass
    for number in (4, 3):
        site.bucket.delete([entry.key for entry in site.bucket.listing(keys.event(job, number))])
    site.tick()
    assert site.standing(job).state is State.FAILED
    assert "has run before" in site.conclusion(job).message
    assert len(list((site.home / "scratch" / "attempts").iterdir())) == 1


def test_an_event_that_names_a_foreign_batch_job_ends_nothing_of_it(site: Site) -> None:
    """Who has stolen a key claims that a job runs under the name of another batch job, and asks to cancel it."""
    victim = site.ask("victim", parameters={"wait": 2}).job
    site.until(victim, State.RUNNING)
    attempt = next(event.attempt for event in site.rdm.history(victim, 4) if event.attempt)
    forged = site.agent().journal
    other = site.ask("other")
    for event in (Event.TAKE, Event.STAGED, Event.SUBMITTED):
        other = forged.add(other, event, attempt=attempt)
    site.bucket.put(keys.cancel(other.job), b"")
    assert site.until(other.job).state is State.CANCELLED
    assert site.until(victim).state is State.FINISHED


@pytest.mark.parametrize(
    "changes",
    [
        {"function": "no-such"},
        {"version": "9"},
        {"parameters": {"script": "rm -rf /"}},
        {"parameters": {"label": "x" * 300}},
        {"parameters": {"algorithm": "md5; id"}},
        {"parameters": {"wait": 1e9}},
        {"environment": {"LD_PRELOAD": "x"}},
        {"environment": {"PATH": "/x"}},
        {"environment": {"BASH_ENV": "x"}},
        {"environment": {"PYTHONPATH": "x"}},
        {"environment": {"SOMETHING": "x"}},
        {"inputs": ()},
    ],
)
def test_what_the_catalogue_does_not_offer_is_refused(site: Site, changes: dict[str, Any]) -> None:
    files = {"a": site.file()}
    spec = site.spec(files=files)
    spec = spec.model_copy(update=changes)
    assert refused(site, plant(site, sign_spec(spec, site.key), spec.job)).startswith("Refused")


@pytest.mark.parametrize("text", ["$(id)", "`id`", "a\nb", "; rm -rf ~", "--o=/etc", "-rf", "{output}", "'"])
def test_a_parameter_reaches_the_program_as_it_is(site: Site, text: str) -> None:
    job = site.ask(parameters={"label": text}).job
    assert site.until(job).state is State.FINISHED
    fetch(site.rdm, site.conclusion(job), site.folder / "result")
    assert json.loads((site.folder / "result/output/report.json").read_text())["label"] == text


@pytest.mark.parametrize(
    ("text", "refuses"), [("-rf", True), ("--config=x", True), ("plain", False), ("{input}", False)]
)
def test_an_argument_that_looks_like_an_option_is_refused_unless_it_is_glued_to_one(
    site: Site, text: str, refuses: bool
) -> None:
    path = site.home / "functions" / "checksum-report"
    entry = yaml.safe_load((path / "function.yml").read_text())
    entry["command"] = ["python3", "{function}/report.py", "{param:label}", "--label={param:label}"]
    (path / "function.yml").write_text(yaml.safe_dump(entry))
    (path / "report.py").write_text("import sys, json; json.dump(sys.argv[1:], open('report.json', 'w'))")
    job = site.ask(parameters={"label": text}).job
    assert site.until(job).state is (State.FAILED if refuses else State.FINISHED)
    if not refuses:
        fetch(site.rdm, site.conclusion(job), site.folder / "result")
        assert json.loads((site.folder / "result/output/report.json").read_text()) == [text, f"--label={text}"]


@pytest.mark.parametrize(
    "name",
    ["LD_PRELOAD", "LD_X", "PATH", "BASH_ENV", "BASH_FUNC_x", "ENV", "IFS", "PYTHONPATH", "PYTHONSTARTUP", "PERL5LIB",
     "HOME", "SLURM_JOB_ID", "APPTAINER_BIND", "https_proxy", "lower", "A B", "A=B", "", "GIT_SSH",
     "AWS_SECRET_ACCESS_KEY"],
)  # fmt: skip
def test_no_catalogue_entry_can_allow_a_dangerous_variable(site: Site, name: str) -> None:
    assert not may_be_set(name)
    path = site.home / "functions" / "checksum-report"
    entry = yaml.safe_load((path / "function.yml").read_text())
    (path / "function.yml").write_text(yaml.safe_dump({**entry, "environment": [name]}))
    with pytest.raises(CatalogueError):
        load_function(path)


# Callbacks


class Receiver:
    """A server of the RDM side that notes what it gets."""

    def __init__(self, status: int = 204, location: str = "") -> None:
        calls: list[tuple[str, bytes, str]] = []
        self.calls = calls

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                calls.append((self.path, body, self.headers.get(HEADER, "")))
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


def test_a_finished_job_calls_back_with_a_signature(tmp_path: Path, receiver: Receiver) -> None:
    site = Site(tmp_path, MemoryBucket(), settings={"callbacks": {"hosts": [f"127.0.0.1:{receiver.port}"]}})
    job = site.ask(callback=f"http://127.0.0.1:{receiver.port}/wake").job
    site.until(job)
    [(path, body, header)] = receiver.calls
    secret = (site.home / "callback_secret").read_bytes().strip()
    assert path == "/wake"
    assert check_call(secret, body, header, wall_clock()) == (job, State.FINISHED)
    with pytest.raises(SignatureError):
        check_call(secret, body.replace(b"finished", b"failed  "), header, wall_clock())


def test_a_call_that_nobody_answers_is_tried_again_and_harms_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    site = Site(tmp_path, MemoryBucket(), settings={"callbacks": {"hosts": [f"127.0.0.1:{port}"]}})
    job = site.ask(callback=f"http://127.0.0.1:{port}/").job
    assert site.until(job).state is State.FINISHED
    problems = [site.tick().problems for _ in range(6)]
    assert sum(bool(one) for one in problems) == 4


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/",
        "http://localhost:1/",
        "https://evil.example/",
        "https://rdm.example@evil.example/",
        "https://rdm.example:8443/",
        "http://rdm.example/",
        "file:///etc/passwd",
        "gopher://rdm.example/",
        "https://rdm.example/\r\nX: y",
        "https://[::ffff:169.254.169.254]/",
    ],
)
def test_a_callback_goes_nowhere_but_to_listed_hosts(url: str) -> None:
    with pytest.raises(callback.CallbackError):
        callback.call(url, b"{}", b"s", hosts=("rdm.example",), seconds=1)


@pytest.mark.parametrize("address", ["169.254.169.254", "127.0.0.1", "240.0.0.1", "224.0.0.1"])
def test_a_listed_name_that_leads_to_a_metadata_address_is_not_called(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", (address, 443))])
    with pytest.raises(callback.CallbackError, match="address"):
        callback.call("https://rdm.example/", b"{}", b"s", hosts=("rdm.example",), seconds=1)


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    first = Receiver(302, f"http://127.0.0.1:{receiver.port}/")
    try:
        with pytest.raises(callback.CallbackError, match="302"):
            callback.call(f"http://127.0.0.1:{first.port}/", b"{}", b"s", hosts=(f"127.0.0.1:{first.port}",), seconds=2)
    finally:
        first.close()
    assert receiver.calls == []


def test_an_old_call_is_not_believed(clock: Clock) -> None:
    body = make_body("j" * 32, State.FINISHED, 6, clock())
    header = callback.signature(b"s", body)
    clock.forward(minutes=16)
    with pytest.raises(Exception, match="another time"):
        check_call(b"s", body, header, clock())
