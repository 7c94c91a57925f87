"""Requests that nobody would send. `python -m tests.linkahead_embedded.fuzzing SECONDS` takes so much CPU time."""

from __future__ import annotations

import logging
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from linkahead_embedded.app import Application
from linkahead_embedded.auth import User
from linkahead_embedded.bootstrap import close_application, open_application
from linkahead_embedded.exchange import Request
from linkahead_embedded.files import FileStore
from linkahead_embedded.multipart import parse_multipart
from tests.linkahead_embedded.conftest import serving

USER = User("fuzz")
#: What a request may be answered with; 500 only if something went wrong that nobody foresaw.
STATUS = {200, 206, 400, 401, 403, 404, 405, 409, 413, 414, 416, 418, 422, 431, 501}
MODEL = (
    '<Insert><Property id="-1" name="number" datatype="INTEGER"/><Property id="-2" name="text" datatype="TEXT"/>'
    '<Property id="-3" name="when" datatype="DATETIME"/><Property id="-4" name="length" datatype="DOUBLE" unit="mm"/>'
    '<RecordType id="-5" name="Person"/><RecordType id="-6" name="Sample"><Parent id="-5"/></RecordType>'
    '<Property id="-7" name="people" datatype="LIST&lt;Person&gt;"/>'
    '<Record id="-8" name="Ann"><Parent id="-5"/></Record><Record id="-9" name="S1"><Parent id="-6"/>'
    '<Property id="-1">5</Property><Property id="-4">1.5</Property><Property id="-3">2020-01</Property>'
    '<Property id="-7"><Value>-8</Value></Property></Record></Insert>'
)


def _words(text: str) -> list[str]:
    return text.split()


_ODD = st.one_of(
    st.sampled_from(
        [
            "", "0", "-1", "-9", "100", "104", "99999999999999999999", "1e400", "NaN", "a" * 300, "Person", "number",
            "LIST<Person>", "LIST<LIST<TEXT>>", "TEXT", "LIST<", "/a/../b", "/a/b.txt", "%00", "\u202e", "\U0001f600",
            "2020-13-45", "0000", "9999-12-31T23:59:59.999999999Z", "true", "OBLIGATORY", "inheritance:ALL,",
            "104@HEAD~1",
            "' OR 1=1 --", "\ufffe", "é\u0301", "number&text", "name", "id", "..", ".",
        ]
    ),
    st.text(max_size=12),
    st.integers(-200, 200).map(str),
)  # fmt: skip
_WORDS = st.sampled_from(
    _words("""FIND COUNT SELECT FROM ANY VERSION OF ENTITY RECORD RECORDTYPE PROPERTY FILE WITH WHICH HAS A THE IS
        NOT NULL AND OR ( ) ( ) = != < > <= >= LIKE IN -> REFERENCES REFERENCED BY AS @ STORED AT CREATED
        UPDATED ON BEFORE TODAY ME SOMEONE ELSE BUT GREATEST SMALLEST . , * 'x*' "x" ' " \\ << >> <<a.*>>
        <<(a|b)+>> 5 5mm 1.5 2020-01 2020-01-01T10:00 number text when length people Person Sample Ann name
        id description unit value /a/** '' \\* ! & | \x00 ü""")
)
queries = st.one_of(
    st.lists(_WORDS, max_size=14).map(" ".join),
    st.lists(_WORDS, max_size=8).map(lambda words: "FIND Sample WITH " + " ".join(words)),
    st.lists(_WORDS, max_size=6).map(lambda words: "FIND ANY VERSION OF RECORD WITH " + " ".join(words)),
    st.text(max_size=40),
    st.text(max_size=20).map(lambda text: f"FIND RECORD WITH text='{text}'"),
)
_ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        _words("""id name description datatype unit path checksum size importance flag upload cuid role""")
    ),
    _ODD.map(lambda text: "".join(one for one in text if one.isprintable())),
    max_size=6,
)
_TAGS = st.sampled_from(
    _words("""Record RecordType Property File Parent Value EmptyString Query Version EntityACL Entity x""")
)


def _element(tag: str, attributes: dict[str, str], text: str, children: list[etree._Element]) -> etree._Element:
    element = etree.Element(tag, attributes)
    element.text = "".join(one for one in text if one.isprintable()) or None
    element.extend(children)
    return element


elements = st.recursive(
    st.builds(_element, _TAGS, _ATTRIBUTES, _ODD, st.just([])),
    lambda inner: st.builds(_element, _TAGS, _ATTRIBUTES, _ODD, st.lists(inner, max_size=4)),
    max_leaves=12,
)
documents = st.builds(
    lambda root, children: etree.tostring(_element(root, {}, "", children), encoding="UTF-8"),
    st.sampled_from(["Insert", "Update", "Request", "Roles", "PermissionRules"]),
    st.lists(elements, max_size=4),
)


def _mutate(content: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, inserted in edits:
        start = place % (len(content) + 1)
        content = content[:start] + inserted + content[start + length :]
    return content


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """Give a content with a few places cut out or overwritten."""
    edit = st.tuples(st.integers(0, 5000), st.integers(0, 12), st.binary(max_size=6))
    return st.lists(edit, min_size=1, max_size=4).map(lambda edits: _mutate(content, edits))


bodies = st.one_of(documents, mutated(MODEL.encode()), st.binary(max_size=60))
_SEGMENTS = st.one_of(
    st.sampled_from(
        _words("""Entity FileSystem Thumbnails Info login logout User UserRoles Role PermissionRules EntityPermissions
            scripting _server_properties Shared webinterface PAM""")
    ),
    _ODD.map(lambda text: quote(text.encode("utf-8", "surrogatepass"), safe="")),
    st.sampled_from(["%", "%zz", "%ff", "..", "", "100%26104", "104%40HEAD", "?", "a?b=c&d"]),
)
_FLAGS = st.dictionaries(
    st.sampled_from(
        _words("""query P uniquename strict force-missing-obligatory ACL history InsertFilesInDir
            fileStorageConsistency cache x""")
    ),
    _ODD,
    max_size=3,
).map(
    lambda flags: "&".join(
        f"{quote(name)}={quote(value.encode('utf-8', 'surrogatepass'), safe='')}" for name, value in flags.items()
    )
)
_MULTIPART = (
    b'--B\r\nContent-Disposition: form-data; name="FileRepresentation"\r\n\r\n<Insert><File id="-1" path="/u" '
    b'upload="u"/></Insert>\r\n--B\r\nContent-Disposition: form-data; name="f"; filename="u"\r\n\r\ndata\r\n--B\r\n'
    b'Content-Disposition: form-data; name="g"; filename="d/sub/x"\r\n\r\nmore\r\n--B--\r\n'
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Give a request as the application sees it."""
    kind = draw(st.sampled_from(["query", "entities", "path"]))
    if kind == "query":
        return Request("GET", "Entity?query=" + quote(draw(queries).encode("utf-8", "surrogatepass"), safe=""))
    if kind == "entities":
        method = draw(st.sampled_from(["POST", "PUT"]))
        return Request(method, f"Entity?{draw(_FLAGS)}", draw(bodies))
    path = "/".join(draw(st.lists(_SEGMENTS, min_size=1, max_size=4)))
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"]))
    return Request(method, f"{path}?{draw(_FLAGS)}", draw(bodies), {"range": draw(_ODD), "cookie": draw(_ODD)})


#: A connection's bytes: several requests, some of them sound.
_SOUND = b"POST /Entity HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n<Insert></Insert>   GET /Info HTTP/1.1\r\n\r\n"
connections = st.one_of(
    mutated(_SOUND),
    mutated(b"POST /Entity HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n<Insert/>\r\n0\r\n\r\n"),
    mutated(b'POST /Entity HTTP/1.1\r\nContent-Type: multipart/form-data; boundary="B"\r\n\r\n' + _MULTIPART),
    mutated(b"POST /login HTTP/1.1\r\nContent-Length: 29\r\n\r\nusername=tester&password=wrong"),
    st.binary(max_size=200),
)


def check(application: Application, request: Request) -> int:
    """Send a request; the answer has to be one that was foreseen, and well formed."""
    response = application.handle(request, USER)
    shown = f"{request!r}\n{response.body[:500]!r}"
    assert response.status in STATUS, shown
    assert b"Internal error" not in response.body, shown
    if response.body and response.content_type.startswith("text/xml"):
        assert etree.fromstring(response.body).tag == "Response", shown
    return response.status


def check_multipart(files: FileStore, content: bytes) -> None:
    """Read a multipart body; it is read or refused, and never waits for more than there is."""
    from linkahead_embedded.errors import RequestError  # noqa: PLC0415

    spooled: list[Path] = []
    rest = content

    def read(size: int) -> bytes:
        nonlocal rest
        block, rest = rest[:size], rest[size:]
        return block

    try:
        parts = parse_multipart(read, "multipart/form-data; boundary=B", files.spool, spooled)
        assert all(".." not in Path(name).parts for one in parts.uploads.values() for name in one.files)
    except RequestError:
        pass
    finally:
        for one in spooled:
            one.unlink(missing_ok=True)


def check_connection(address: tuple[str, int], content: bytes) -> None:
    """Send bytes over a connection and close our side; the server has to answer or to close, soon."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while block := connection.recv(1 << 16):
            answer += block
    assert not answer or answer.startswith(b"HTTP/1.1 "), answer[:200]
    assert b" 500 " not in answer.split(b"\r\n", 1)[0], (content, answer[:500])


def fuzz(folder: Path, examples: int, go_on: Callable[[], bool]) -> Counter[int]:
    """Send rounds of examples as long as `go_on` says so; give how often each status was answered."""
    statuses: Counter[int] = Counter()
    relaxed = settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    database = folder / "linkahead.db"
    application = open_application(database, folder)
    application.handle(Request("POST", "Entity", MODEL.encode()), USER)

    @relaxed
    @given(requests())
    def application_answers(request: Request) -> None:
        statuses[check(application, request)] += 1

    @relaxed
    @given(mutated(_MULTIPART))
    def multipart_is_read(content: bytes) -> None:
        check_multipart(application.files, content)

    with serving(database, folder) as url:
        place = urlsplit(url)

        @settings(relaxed, max_examples=max(1, examples // 4))
        @given(connections)
        def connections_end(content: bytes) -> None:
            check_connection((place.hostname or "", place.port or 0), content)

        while go_on():
            application_answers()
            multipart_is_read()
            connections_end()
    assert application.database.problems() == []
    close_application(database)
    return statuses


def main() -> int:
    """Fuzz for so many seconds of CPU time, each round in a fresh database."""
    logging.disable(logging.CRITICAL)
    seconds, total = float(sys.argv[1]), Counter[int]()
    while time.process_time() < seconds:
        end = min(seconds, time.process_time() + 60)
        with tempfile.TemporaryDirectory() as folder:
            total += fuzz(Path(folder), 2000, lambda: time.process_time() < end)  # noqa: B023 - called in this round
    print(f"{time.process_time():.0f} s of CPU, {sum(total.values())} requests, {dict(sorted(total.items()))}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
