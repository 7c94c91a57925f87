"""What is slow or dead holds no page up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import yaml

from heartbrain_ingest.portal.patience import Patience, SlowError
from tests.portal.following import find, one_image
from tests.portal.site import SampleSite, Visit


def test_an_answer_is_kept_and_asked_for_once_by_all_who_come_together() -> None:
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        time.sleep(0.2)
        return len(asked)

    patience = Patience(5)
    found: list[int] = []
    visitors = [threading.Thread(target=lambda: found.append(patience.get("a", ask, keep=60))) for _ in range(8)]
    for one in visitors:
        one.start()
    for one in visitors:
        one.join()
    assert found == [1] * 8
    assert patience.get("a", ask, keep=60) == 1


def test_while_the_new_answer_is_late_the_old_one_is_given() -> None:
    patience, gate = Patience(0.1), threading.Event()
    assert patience.get("a", lambda: "old", keep=0) == "old"

    def late() -> str:
        gate.wait(10)
        return "new"

    began = time.monotonic()
    assert [patience.get("a", late, keep=60) for _ in range(20)] == ["old"] * 20
    assert time.monotonic() - began < 1
    gate.set()
    deadline = time.monotonic() + 5
    while patience.get("a", late, keep=60) != "new":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_never_answered_costs_one_wait_and_says_so() -> None:
    patience, gate = Patience(0.2), threading.Event()
    began = time.monotonic()
    for _ in range(10):
        with pytest.raises(SlowError):
            patience.get("a", gate.wait, keep=60)
    assert time.monotonic() - began < 1
    gate.set()


def test_what_went_wrong_is_told_and_not_tried_at_once_again() -> None:
    tries: list[int] = []

    def fail() -> int:
        tries.append(1)
        raise ValueError("broken")

    patience = Patience(1)
    for _ in range(5):
        with pytest.raises(ValueError, match="broken"):
            patience.get("a", fail, keep=0)
    assert len(tries) == 1


@pytest.fixture
def deaf() -> Iterator[int]:
    """Give a port where somebody listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_computing_centre_that_never_answers_gives_pages_and_no_hang(
    sample_site: SampleSite, deaf: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    image = one_image(sample_site, "DiffusionWeightedImage")
    content = yaml.safe_load(sample_site.file.read_text(encoding="utf-8"))
    bucket = {"kind": "s3", "bucket": "jobs", "endpoint": f"http://127.0.0.1:{deaf}"}
    content["bridge"]["routes"] = [{"name": "far", "users": ["*"], "bucket": bucket}]
    sample_site.file.write_text(yaml.safe_dump(content), encoding="utf-8")
    visit = Visit(sample_site.settings, **{"accept-language": "en"}).log_in("clara")
    assert len(find(visit, "clara", "FIND RECORD PostProcessingRequest")) == 4
    began = time.monotonic()
    answer = visit.get("/requests")
    assert answer.status_code == 200
    assert "tissue-volumes" in answer.text  # without the catalogue there are no titles
    refused = visit.get(f"/run?ids={image}")
    assert refused.status_code == 503
    assert "The computing centre can&#39;t be asked at the moment." in refused.text
    assert time.monotonic() - began < 8
