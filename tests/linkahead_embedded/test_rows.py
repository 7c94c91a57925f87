"""What is written to the tables is what the answer said, whatever shape the entities of a request have."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkahead_embedded.app import Application
from linkahead_embedded.auth import User
from linkahead_embedded.bootstrap import close_application, open_application
from linkahead_embedded.exchange import Request

MODEL = (
    '<Insert><RecordType id="-1" name="T"/><Property id="-2" name="i" datatype="INTEGER"/>'
    '<Property id="-3" name="d" datatype="DOUBLE" unit="mm"/><Property id="-4" name="t" datatype="TEXT"/>'
    '<Property id="-5" name="b" datatype="BOOLEAN"/><Property id="-6" name="w" datatype="DATETIME"/>'
    '<Property id="-7" name="r" datatype="T"/><Property id="-8" name="l" datatype="LIST&lt;TEXT&gt;"/>'
    '<Record id="-9" name="one"><Parent id="-1"/></Record></Insert>'
)
VALUES = {
    "i": ["5", "0", "-7", "9223372036854775807", ""],
    "d": ["1.5", "NaN", "inf", "-0.0", ""],
    "t": ["x", "é &amp; &lt;", "<EmptyString/>", "0", "NULL", ""],
    "b": ["TRUE", "FALSE", ""],
    "w": ["2020", "2020-01-02T03:04:05.5Z", ""],
    "r": ["one", "one", ""],
    "l": ["<Value>a</Value><Value/><Value><EmptyString/></Value>", "<Value>a</Value>" * 100, ""],
}


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    database = tmp_path / "linkahead.db"
    application = open_application(database)
    assert b"<Error" not in application.handle(Request("POST", "Entity", MODEL.encode()), User("x")).body
    yield application
    close_application(database)


def records(text: bytes) -> dict[str, str]:
    return {one[1]: one[0] for one in re.findall(r'(<Record id="(\d+)".*?</Record>)', text.decode())}


def record(chosen: random.Random, number: int) -> str:
    names = chosen.sample(sorted(VALUES), chosen.randint(0, 7)) if number % 3 else ["i", "t", "w"]
    values = "".join(f'<Property name="{name}">{chosen.choice(VALUES[name])}</Property>' for name in names)
    return f'<Record id="-{number + 1}"><Parent name="T"/>{values}</Record>'


@pytest.mark.parametrize("seed", range(4))
def test_what_the_tables_hold_is_what_the_answer_said(application: Application, seed: int) -> None:
    chosen = random.Random(seed)
    body = "".join(record(chosen, number) for number in range(60))
    answer = application.handle(Request("POST", "Entity", f"<Insert>{body}</Insert>".encode()), User("x")).body
    assert b"<Error" not in answer
    said = records(answer)
    assert len(said) == 60
    changed = "".join(
        record(chosen, number).replace(f'"-{number + 1}"', f'"{one}"')
        for number, one in enumerate(list(said)[:30], start=100)
    )
    answer = application.handle(Request("PUT", "Entity", f"<Update>{changed}</Update>".encode()), User("x")).body
    assert b"<Error" not in answer
    said |= records(answer)
    with application.database.write() as connection:
        connection.execute("DELETE FROM document")
    stored = application.handle(Request("GET", f"Entity/{'%26'.join(said)}"), User("x")).body
    assert records(stored) == said
    assert application.database.problems() == []
