"""The S3 server of these tests is a real one, and does what a bridge has to live with."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import threading
import time
from typing import Any

import botocore.auth
import botocore.exceptions
import pytest
import requests

from tests.services.rgw import Credentials, Rgw

MEBIBYTE = 1024 * 1024


def refusal(error: pytest.ExceptionInfo[botocore.exceptions.ClientError]) -> tuple[int, str]:
    response: Any = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def keys(client: Any, bucket: str, **more: Any) -> list[str]:
    return [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket, **more).get("Contents", [])]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_what_was_put_is_what_one_gets(rgw: Rgw, owner: Credentials, bucket_name: str, tls: bool) -> None:
    client = rgw.client(owner, endpoint=rgw.tls_endpoint if tls else rgw.endpoint)
    client.put_object(Bucket=bucket_name, Key="a/b", Body=b"body")
    got = client.get_object(Bucket=bucket_name, Key="a/b")
    assert got["Body"].read() == b"body"
    assert got["ETag"] == f'"{hashlib.md5(b"body", usedforsecurity=False).hexdigest()}"'


def test_a_second_put_if_absent_is_refused_and_changes_nothing(rgw: Rgw, owner: Credentials, bucket_name: str) -> None:
    client = rgw.client(owner)
    client.put_object(Bucket=bucket_name, Key="0001", Body=b"first", IfNoneMatch="*")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        client.put_object(Bucket=bucket_name, Key="0001", Body=b"second", IfNoneMatch="*")
    assert refusal(error) == (412, "PreconditionFailed")
    assert client.get_object(Bucket=bucket_name, Key="0001")["Body"].read() == b"first"


def test_of_many_puts_if_absent_at_once_one_wins(rgw: Rgw, owner: Credentials, bucket_name: str) -> None:
    clients = [rgw.client(owner) for _ in range(8)]
    for number in range(10):
        start = threading.Barrier(len(clients))
        won: list[int] = []

        def race(
            contestant: int, key: str = f"{number:04}", start: threading.Barrier = start, won: list[int] = won
        ) -> None:
            start.wait()
            try:
                clients[contestant].put_object(Bucket=bucket_name, Key=key, Body=str(contestant), IfNoneMatch="*")
            except botocore.exceptions.ClientError:
                return
            won.append(contestant)

        threads = [threading.Thread(target=race, args=(contestant,)) for contestant in range(len(clients))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert clients[0].get_object(Bucket=bucket_name, Key=f"{number:04}")["Body"].read() == str(won[0]).encode()


def test_on_a_versioned_bucket_the_condition_is_ignored(rgw: Rgw, owner: Credentials, bucket_name: str) -> None:
    client = rgw.client(owner)
    client.put_bucket_versioning(Bucket=bucket_name, VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket=bucket_name, Key="0001", Body=b"first", IfNoneMatch="*")
    client.put_object(Bucket=bucket_name, Key="0001", Body=b"second", IfNoneMatch="*")
    assert client.get_object(Bucket=bucket_name, Key="0001")["Body"].read() == b"second"


def test_a_listing_is_in_order_of_bytes_and_shows_a_put_at_once(rgw: Rgw, owner: Credentials, bucket_name: str) -> None:
    client = rgw.client(owner)
    names = ["open/j10/0001", "open/j1/0001", "open/j1/0001.new", "open/j1/0002", "open/J1/0001", "open/é/0001", "z"]
    for name in names:
        client.put_object(Bucket=bucket_name, Key=name, Body=b"")
        assert name in keys(client, bucket_name)
    assert keys(client, bucket_name) == sorted(names, key=lambda name: name.encode())
    assert keys(client, bucket_name, Prefix="open/j1/") == ["open/j1/0001", "open/j1/0001.new", "open/j1/0002"]
    first = client.list_objects_v2(Bucket=bucket_name, MaxKeys=3)
    assert first["IsTruncated"]
    rest = keys(client, bucket_name, ContinuationToken=first["NextContinuationToken"])
    assert [entry["Key"] for entry in first["Contents"]] + rest == keys(client, bucket_name)


def test_a_multipart_upload_is_put_together_and_visible_only_at_its_end(
    rgw: Rgw, owner: Credentials, bucket_name: str
) -> None:
    client = rgw.client(owner)
    parts = [bytes([number]) * (5 * MEBIBYTE) for number in (1, 2)] + [b"end"]
    upload = client.create_multipart_upload(Bucket=bucket_name, Key="large")["UploadId"]
    done = []
    for number, part in enumerate(parts, start=1):
        tag = client.upload_part(Bucket=bucket_name, Key="large", UploadId=upload, PartNumber=number, Body=part)["ETag"]
        done.append({"PartNumber": number, "ETag": tag})
    assert keys(client, bucket_name) == []
    assert [part["Size"] for part in client.list_parts(Bucket=bucket_name, Key="large", UploadId=upload)["Parts"]] == [
        len(part) for part in parts
    ]
    client.complete_multipart_upload(Bucket=bucket_name, Key="large", UploadId=upload, MultipartUpload={"Parts": done})
    assert client.get_object(Bucket=bucket_name, Key="large")["Body"].read() == b"".join(parts)
    assert (
        client.get_object(Bucket=bucket_name, Key="large", Range="bytes=5242879-5242880")["Body"].read() == b"\x01\x02"
    )


def test_an_unknown_a_wrong_and_a_withdrawn_key_are_refused(rgw: Rgw, owner: Credentials, bucket_name: str) -> None:
    unknown = Credentials(user="nobody", access_key="NOBODY", secret_key="secret")
    wrong = Credentials(user=owner.user, access_key=owner.access_key, secret_key="wrong")
    withdrawn = rgw.user("dismissed")
    rgw.withdraw(withdrawn)
    for credentials, code in (
        (unknown, "InvalidAccessKeyId"),
        (wrong, "SignatureDoesNotMatch"),
        (withdrawn, "InvalidAccessKeyId"),
    ):
        with pytest.raises(botocore.exceptions.ClientError) as error:
            rgw.client(credentials).list_objects_v2(Bucket=bucket_name)
        assert refusal(error) == (403, code)


def test_a_temporary_credential_works_until_it_expires(rgw: Rgw, owner: Credentials, bucket_name: str) -> None:
    client = rgw.client(rgw.temporary(owner, seconds=3))
    client.put_object(Bucket=bucket_name, Key="in time", Body=b"")
    time.sleep(3.5)
    with pytest.raises(botocore.exceptions.ClientError) as error:
        client.put_object(Bucket=bucket_name, Key="too late", Body=b"")
    assert refusal(error) == (403, "AccessDenied")
    assert keys(rgw.client(owner), bucket_name) == ["in time"]


@pytest.mark.parametrize(("minutes", "status"), [(-10, 200), (10, 200), (-20, 403), (20, 403)])
def test_a_clock_ten_minutes_off_is_accepted_and_one_twenty_minutes_off_refused(
    rgw: Rgw, owner: Credentials, bucket_name: str, minutes: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = rgw.client(owner)
    shift = dt.timedelta(minutes=minutes)
    monkeypatch.setattr(
        botocore.auth,
        "get_current_datetime",
        lambda: dt.datetime.now(tz=dt.UTC).replace(tzinfo=None) + shift,
    )
    if status == 200:
        client.put_object(Bucket=bucket_name, Key="key", Body=b"")
        return
    with pytest.raises(botocore.exceptions.ClientError) as error:
        client.put_object(Bucket=bucket_name, Key="key", Body=b"")
    assert refusal(error) == (403, "RequestTimeTooSkewed")


def test_an_expired_link_is_refused(rgw: Rgw, owner: Credentials, bucket_name: str) -> None:
    client = rgw.client(owner)
    client.put_object(Bucket=bucket_name, Key="key", Body=b"body")
    link = client.generate_presigned_url("get_object", Params={"Bucket": bucket_name, "Key": "key"}, ExpiresIn=1)
    assert requests.get(link, timeout=10).content == b"body"
    time.sleep(2.1)
    assert requests.get(link, timeout=10).status_code == 403


def test_a_second_user_sees_only_what_a_policy_opens(
    rgw: Rgw, owner: Credentials, stranger: Credentials, bucket_name: str
) -> None:
    client, other = rgw.client(owner), rgw.client(stranger)
    client.put_object(Bucket=bucket_name, Key="jobs/mine/spec.json", Body=b"{}")
    client.put_object(Bucket=bucket_name, Key="jobs/theirs/spec.json", Body=b"{}")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        other.get_object(Bucket=bucket_name, Key="jobs/theirs/spec.json")
    assert refusal(error) == (403, "AccessDenied")
    opened = {
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:aws:iam:::user/{stranger.user}"]},
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket_name}/jobs/theirs/*"],
    }
    client.put_bucket_policy(Bucket=bucket_name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [opened]}))
    assert other.get_object(Bucket=bucket_name, Key="jobs/theirs/spec.json")["Body"].read() == b"{}"
    for denied in (
        lambda: other.get_object(Bucket=bucket_name, Key="jobs/mine/spec.json"),
        lambda: other.put_object(Bucket=bucket_name, Key="jobs/theirs/spec.json", Body=b""),
        lambda: other.list_objects_v2(Bucket=bucket_name),
    ):
        with pytest.raises(botocore.exceptions.ClientError) as error:
            denied()
        assert refusal(error) == (403, "AccessDenied")


def test_what_was_answered_survives_the_sudden_death_of_the_gateway(fragile_rgw: Rgw) -> None:
    owner = fragile_rgw.user("rdm")
    bucket = fragile_rgw.bucket(owner)
    client = fragile_rgw.client(owner)
    client.put_object(Bucket=bucket, Key="kept", Body=b"body")
    fragile_rgw.gateway.kill()
    with pytest.raises((botocore.exceptions.EndpointConnectionError, botocore.exceptions.ConnectionClosedError)):
        client.get_object(Bucket=bucket, Key="kept")
    fragile_rgw.start_gateway()
    assert client.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"body"
    with pytest.raises(botocore.exceptions.ClientError) as error:
        client.put_object(Bucket=bucket, Key="kept", Body=b"", IfNoneMatch="*")
    assert refusal(error) == (412, "PreconditionFailed")
