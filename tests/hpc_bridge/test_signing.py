"""Canonical bytes and signatures."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_bridge.errors import DocumentError, RefusedError, SettingsError, SignatureError
from hpc_bridge.protocol import (
    SigningKey,
    VerifyKey,
    canonical,
    keys,
    load_keys,
    read_spec,
    sign,
    sign_spec,
    verify,
)
from hpc_bridge.protocol.signing import parse
from tests.hpc_bridge.stores import make_spec

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('ab\u00e9\n"\\'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("xyz\u00fc", max_size=4), JSON, max_size=4))
def test_canonical_bytes_survive_any_reading_and_writing(document: dict[str, object]) -> None:
    body = canonical(document)
    assert canonical(json.loads(body)) == body
    assert canonical(dict(reversed(list(document.items())))) == body


def test_canonical_bytes_are_those_that_other_languages_write() -> None:
    assert canonical({"b": [1, True, None], "a": "ä\n"}) == '{"a":"ä\\n","b":[1,true,null]}'.encode()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "\ud800", object()])
def test_what_has_no_one_form_is_refused(bad: object) -> None:
    with pytest.raises(DocumentError):
        canonical({"a": bad})


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"]
)
def test_what_is_no_plain_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(DocumentError):
        parse(body)


def test_a_signed_specification_is_read_back_as_it_was(rdm_key: SigningKey) -> None:
    spec = make_spec(NOW, parameters={"text": "ä\n--help; rm"})
    assert read_spec(sign_spec(spec, rdm_key), {rdm_key.public.name: rdm_key.public}, job=spec.job) == spec


def test_a_forged_specification_is_refused(rdm_key: SigningKey) -> None:
    spec = make_spec(NOW)
    trusted = {rdm_key.public.name: rdm_key.public}
    forged = sign(spec.to_dict(), SigningKey.generate())
    with pytest.raises(SignatureError, match="not on the list"):
        read_spec(forged, trusted, job=spec.job)
    named = json.loads(forged)
    named["signature"]["key"] = rdm_key.public.name
    with pytest.raises(SignatureError, match="altered"):
        read_spec(json.dumps(named).encode(), trusted, job=spec.job)


@pytest.mark.parametrize("field", ["function", "job", "expires", "nonce", "parameters", "schema"])
def test_an_altered_specification_is_refused(rdm_key: SigningKey, field: str) -> None:
    spec = make_spec(NOW)
    document = json.loads(sign_spec(spec, rdm_key))
    document[field] = {"x": 1} if field == "parameters" else "changed"
    with pytest.raises(SignatureError, match="altered"):
        read_spec(json.dumps(document).encode(), {rdm_key.public.name: rdm_key.public}, job=spec.job)


@pytest.mark.parametrize(
    "signature",
    [None, {}, "x", {"algorithm": "none", "key": "a", "value": ""}, {"algorithm": "Ed25519", "key": [], "value": ""}],
)
def test_a_specification_without_a_proper_signature_is_refused(rdm_key: SigningKey, signature: object) -> None:
    document = {**make_spec(NOW).to_dict(), "signature": signature}
    with pytest.raises(SignatureError):
        verify(json.dumps(document).encode(), {rdm_key.public.name: rdm_key.public})


def test_a_specification_below_another_jobs_prefix_is_refused(rdm_key: SigningKey) -> None:
    body = sign_spec(make_spec(NOW), rdm_key)
    with pytest.raises(RefusedError, match="another job"):
        read_spec(body, {rdm_key.public.name: rdm_key.public}, job=keys.job_name("site", "R1", 2))


@pytest.mark.parametrize(
    ("later", "refused"),
    [
        (timedelta(), False),
        (timedelta(minutes=-10), False),
        (timedelta(minutes=-20), True),
        (timedelta(days=1, minutes=10), False),
        (timedelta(days=1, minutes=20), True),
    ],
)
def test_a_specification_holds_for_its_time_and_clocks_may_be_ten_minutes_off(later: timedelta, refused: bool) -> None:
    spec = make_spec(NOW)
    if refused:
        with pytest.raises(RefusedError):
            spec.check_time(NOW + later, longest=timedelta(days=7))
    else:
        spec.check_time(NOW + later, longest=timedelta(days=7))


def test_a_specification_that_lives_longer_than_the_site_allows_is_refused() -> None:
    with pytest.raises(RefusedError, match="lives longer"):
        make_spec(NOW, expires=NOW + timedelta(days=30)).check_time(NOW, longest=timedelta(days=7))


def test_a_private_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    key = SigningKey.generate()
    key.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(path).public == VerifyKey.from_line(key.public.line("portal"))
    assert "PRIVATE" not in repr(key)
    with pytest.raises(FileExistsError):
        key.save(path)
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        SigningKey.load(path)


def test_a_list_of_keys_is_read_by_line(tmp_path: Path) -> None:
    one, two = SigningKey.generate().public, SigningKey.generate().public
    path = tmp_path / "trusted"
    path.write_text(f"# ours\n{one.line('portal')}\n\n{two.line()}\n")
    assert set(load_keys(path)) == {one.name, two.name}
    path.write_text("ssh-ed25519 AAAA\n")
    with pytest.raises(SettingsError):
        load_keys(path)
