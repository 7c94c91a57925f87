from __future__ import annotations

import re
from pathlib import Path

import requests
import schemathesis

from linkahead_embedded.bootstrap import close_application, open_application
from tests.linkahead_embedded.conftest import serving
from tests.linkahead_embedded.fuzzing import fuzz
from tests.linkahead_embedded.fuzzing_openapi import description, fuzz_once


def test_whatever_arrives_is_answered_and_the_database_stays_sound(tmp_path: Path) -> None:
    rounds = iter([True, False])
    statuses = fuzz(tmp_path, 150, lambda: next(rounds))
    assert statuses[200] > 20
    assert sum(statuses.values()) >= 100


def test_each_described_operation_answers_as_described_to_what_fits_and_to_what_does_not(tmp_path: Path) -> None:
    statuses = fuzz_once(tmp_path, 4, started_from=20261122)
    assert statuses[200] > 30
    assert statuses[404] > 20
    assert sum(statuses.values()) > 150


def test_the_description_names_exactly_what_is_answered(tmp_path: Path) -> None:
    database = tmp_path / "linkahead.db"
    described = {
        (method.upper(), path.split("/")[1])
        for path, item in description()["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == open_application(database).routes
    close_application(database)


def test_the_description_is_served_to_everybody_and_all_else_but_the_login_needs_a_session(tmp_path: Path) -> None:
    database = tmp_path / "linkahead.db"
    with serving(database, tmp_path) as url, requests.Session() as session:
        session.trust_env = False
        served = session.get(f"{url}openapi.yaml", timeout=10)
        assert served.headers["Content-Type"] == "application/yaml"
        assert re.match(rb"(#.*\n)*openapi: 3\.", served.content)
        schema = schemathesis.openapi.from_dict(description())
        for operation in (one.ok() for one in schema.get_all_operations()):
            path = re.sub(r"\{\w+\}", "x", operation.path)
            answer = session.request(operation.method, url.rstrip("/") + path, timeout=10)
            is_open = operation.definition.raw.get("security") == []
            expected = {200, 401} if is_open else {401}
            assert answer.status_code in expected, (operation.method, path)
    close_application(database)


def test_an_upload_whose_end_never_comes_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    database = tmp_path / "linkahead.db"
    body = b'--B\r\nContent-Disposition: form-data; name="FileRepresentation"\r\n\r\n<Insert/>--B--'
    with serving(database, tmp_path) as url:
        headers = {"Content-Type": "multipart/form-data; boundary=B"}
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(f"{url}Entity", body, headers=headers, timeout=10)
        assert answer.status_code == 400
        assert "closing delimiter" in answer.text
    close_application(database)
