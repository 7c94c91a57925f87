"""The agent's call wakes the exchange and can do nothing else."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heartbrain_ingest.postprocessing import bridge
from heartbrain_ingest.postprocessing.callback import Answer, Doorbell, open_doorbell, read_secret
from heartbrain_ingest.postprocessing.errors import BridgeSettingsError
from heartbrain_ingest.settings import load_settings
from hpc_bridge.protocol import State, keys
from hpc_bridge.protocol.calls import make_body, signature
from tests.postprocessing.conftest import Bridged

SECRET = b"only the two of us"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOB = keys.job_name("site", "R1", 1)
WOKEN, HEARD, FORBIDDEN = (
    Answer(status=204, is_woken=True),
    Answer(status=204),
    Answer(status=403),
)


class Bell:
    def __init__(self) -> None:
        self.now = NOW
        self.woken = 0
        self.door = Doorbell({"default": SECRET}, wake=self._wake, clock=lambda: self.now)

    def _wake(self) -> None:
        self.woken += 1

    def ring(self, body: bytes, *, secret: bytes = SECRET, route: str = "default") -> Answer:
        return self.door.ring(route, body, signature(secret, body))


@pytest.fixture
def bell() -> Bell:
    return Bell()


def test_a_genuine_call_wakes_the_exchange_and_a_repeated_one_does_not(bell: Bell) -> None:
    body = make_body(JOB, State.FINISHED, 6, NOW)
    assert [bell.ring(body) for _ in range(3)] == [WOKEN, HEARD, HEARD]
    assert bell.ring(make_body(JOB, State.FINISHED, 6, NOW)) == HEARD
    assert bell.ring(make_body(keys.job_name("site", "R2", 1), State.FAILED, 6, NOW)) == WOKEN
    bell.now += timedelta(minutes=2)
    assert bell.ring(body) == WOKEN  # replayed: an exchange that finds nothing
    assert bell.woken == 3


def test_a_replayed_call_of_yesterday_is_refused(bell: Bell) -> None:
    body = make_body(JOB, State.FINISHED, 6, NOW)
    bell.now += timedelta(days=1)
    assert bell.ring(body) == FORBIDDEN


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (b"{}", signature(b"another secret", b"{}")),
        (b"{}", signature(SECRET, b"{}")),
        (b"not json", signature(SECRET, b"not json")),
        (make_body(JOB, State.FINISHED, 6, NOW), ""),
        (make_body(JOB, State.FINISHED, 6, NOW), "sha256="),
        (make_body(JOB, State.FINISHED, 6, NOW), "md5=\u00e9\u0000"),
        (make_body(JOB, State.FINISHED, 6, NOW) + b" ", signature(SECRET, make_body(JOB, State.FINISHED, 6, NOW))),
    ],
    ids=["other secret", "no call", "no JSON", "unsigned", "empty signature", "other method", "altered"],
)
def test_a_forged_or_altered_call_is_refused(bell: Bell, body: bytes, header: str) -> None:
    assert bell.door.ring("default", body, header) == FORBIDDEN
    assert bell.woken == 0


def test_a_call_for_an_unknown_route_or_of_10_mb_is_refused(bell: Bell) -> None:
    body = make_body(JOB, State.FINISHED, 6, NOW)
    assert bell.ring(body, route="other") == FORBIDDEN
    assert bell.ring(body, route="other", secret=b"no secret") == FORBIDDEN
    assert bell.ring(b"x" * 10_000_000) == Answer(status=413)
    assert bell.woken == 0


def test_a_call_ends_the_waiting_of_a_watching_bridge(bridged: Bridged, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET + b"\n")
    secret.chmod(0o600)
    settings_file = bridged.folder / "heartbrain.yml"
    route = f"{{name: default, users: ['*'], bucket: {{folder: bucket}}, callback_secret: {secret}}}"
    settings_file.write_text(f"bridge: {{interval_seconds: 3600, routes: [{route}]}}\n", encoding="utf-8")
    settings = load_settings(settings_file)
    reports: list[bridge.BridgeReport] = []
    watching = threading.Thread(
        target=lambda: bridge.watch(bridge.Site(settings), settings, reports.append, rounds=2), daemon=True
    )
    watching.start()
    deadline = time.monotonic() + 60
    while not reports:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    body = make_body(JOB, State.FINISHED, 6, bridge.utc_now())
    assert open_doorbell(settings).ring("default", body, signature(SECRET, body)) == WOKEN
    watching.join(60)
    assert not watching.is_alive()
    assert [report.troubles for report in reports] == [[], []]


def test_a_secret_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    path.chmod(0o640)
    with pytest.raises(BridgeSettingsError, match="chmod 600"):
        read_secret(path)
    path.chmod(0o600)
    path.write_bytes(b"\n")
    with pytest.raises(BridgeSettingsError, match="is empty"):
        read_secret(path)
