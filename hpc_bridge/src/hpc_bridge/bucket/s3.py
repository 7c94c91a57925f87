"""An S3 store: AWS, Ceph RGW, MinIO and others, through boto3."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_bridge.bucket.base import Bucket, Conditions, Entry
from hpc_bridge.bucket.transfer import Transfer
from hpc_bridge.errors import BridgeError, BucketError, DeniedError, TooLargeError, UnclearError, VerificationError

if TYPE_CHECKING:
    from hpc_bridge.bucket.settings import BucketSettings

_ABSENT = {"404", "NoSuchKey", "NotFound"}
_DENIED = {
    "401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "RequestTimeTooSkewed",
    "InvalidToken", "TokenRefreshRequired",
}  # fmt: skip
_TAKEN = {"412", "PreconditionFailed"}
_FEW = 3
_AT_ONCE = 1000


class S3Bucket(Bucket):
    """One bucket, or what lies below a prefix in it."""

    def __init__(self, client: Any, name: str, prefix: str = "") -> None:
        self.client = client
        self.name = name
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._transfer = Transfer(client, name)

    @staticmethod
    def connect(settings: BucketSettings) -> S3Bucket:
        """Open the bucket that the settings describe.

        Checksum trailers are sent only where a request needs them: RGW before 18 answers 411 to them over TLS.
        """
        import boto3  # noqa: PLC0415 - half a second that commands without a bucket don't pay
        from botocore.config import Config  # noqa: PLC0415

        credentials = settings.credentials()
        client = boto3.client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            verify=str(settings.ca_file) if settings.ca_file else None,
            aws_access_key_id=credentials.get("aws_access_key_id"),
            aws_secret_access_key=credentials.get("aws_secret_access_key"),
            aws_session_token=credentials.get("aws_session_token"),
            config=Config(
                s3={"addressing_style": settings.addressing},
                retries={"max_attempts": 3, "mode": "standard"},
                connect_timeout=settings.timeout_seconds,
                read_timeout=settings.timeout_seconds,
                request_checksum_calculation=settings.checksums,
                response_checksum_validation=settings.checksums,
                max_pool_connections=16,
            ),
        )
        return S3Bucket(client, str(settings.bucket), settings.prefix)

    @property
    def versioned(self) -> bool:
        """Whether versioning is or was on; a store that does not say has none."""
        try:
            with translated("versioning"):
                return bool(self.client.get_bucket_versioning(Bucket=self.name).get("Status"))
        except UnclearError:
            raise
        except BucketError:
            return False

    def listing(self, prefix: str) -> Iterator[Entry]:
        """Give all objects below, page by page."""
        more: dict[str, str] = {}
        while True:
            with translated(prefix):
                page = self.client.list_objects_v2(Bucket=self.name, Prefix=self.prefix + prefix, **more)
            for one in page.get("Contents", ()):
                yield Entry(one["Key"][len(self.prefix) :], one["Size"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def get(self, key: str, *, limit: int) -> bytes | None:
        """Read an object; one that is too large is not read."""
        try:
            with translated(key):
                reply = self.client.get_object(Bucket=self.name, Key=self.prefix + key)
                with contextlib.closing(reply["Body"]) as stream:
                    if reply["ContentLength"] > limit:
                        raise TooLargeError(f"{key}: {reply['ContentLength']} bytes")
                    body: bytes = stream.read()
                    return body
        except _AbsentError:
            return None

    def put(self, key: str, body: bytes) -> None:
        """Store an object."""
        with translated(key):
            self.client.put_object(Bucket=self.name, Key=self.prefix + key, Body=body)

    def create(self, key: str, body: bytes) -> bool:
        """Store an object where none is."""
        if self.conditions is not Conditions.HONOURED:
            if self.get(key, limit=1 << 26) is not None:
                return False
            self.put(key, body)
            return True
        try:
            with translated(key):
                self.client.put_object(Bucket=self.name, Key=self.prefix + key, Body=body, IfNoneMatch="*")
        except _TakenError:
            return False
        return True

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, 1,000 in one request where the store can."""
        wanted = [self.prefix + key for key in keys]
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            if len(some) <= _FEW or not self._delete_together(some):
                for key in some:
                    with translated(key), contextlib.suppress(_AbsentError):
                        self.client.delete_object(Bucket=self.name, Key=key)

    def _delete_together(self, keys: list[str]) -> bool:
        """Say whether the store did it; older ones want a Content-MD5 that boto3 sends no more.

        Ceph RGW 16 allows it to a bucket's owner alone, whatever the bucket's policy says.
        """
        try:
            with translated("several objects"):
                reply = self.client.delete_objects(
                    Bucket=self.name, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
                )
        except UnclearError:
            raise
        except BucketError:
            return False
        return not reply.get("Errors")

    def upload(self, path: Path, key: str, *, sha256: str) -> None:
        """Store a file, in parts where it is large; parts that an earlier try left are kept."""
        with translated(key):
            self._transfer.upload(path, self.prefix + key, sha256)

    def download(self, key: str, path: Path, *, size: int, sha256: str) -> None:
        """Fetch a file, in parts where it is large; parts that an earlier try left are kept."""
        try:
            with translated(key):
                self._transfer.download(self.prefix + key, path, size, sha256)
        except _AbsentError:
            raise VerificationError(f"{key}: absent") from None


class _AbsentError(BucketError):
    """There is no such object."""


class _TakenError(BucketError):
    """There is an object already."""


@contextlib.contextmanager
def translated(key: str) -> Iterator[None]:
    """Turn boto3's errors into ours."""
    from botocore import exceptions as boto  # noqa: PLC0415 - boto3 is loaded by now
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - a reply that breaks off while it is read

    try:
        yield
    except BridgeError:
        raise
    except boto.ClientError as problem:
        raise _from_reply(key, problem.response) from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError):
        raise DeniedError("there are no credentials") from None
    except boto.SSLError as problem:
        raise BucketError(f"{key}: {type(problem).__name__}") from None
    except (boto.HTTPClientError, boto.ConnectionError, HTTPError, ConnectionError, TimeoutError) as problem:
        # Refused too: boto3 tries again by itself, and an earlier try may have taken effect.
        raise UnclearError(f"{key}: {type(problem).__name__}") from None
    except boto.BotoCoreError as problem:
        raise BucketError(f"{key}: {type(problem).__name__}") from None


def _from_reply(key: str, reply: dict[str, Any]) -> BucketError:
    code = str(reply.get("Error", {}).get("Code", ""))
    status = int(reply.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    names = {code, str(status)}
    text = f"{key}: {status} {code}"
    if names & {"NoSuchBucket", "NoSuchUpload"}:
        return BucketError(text)
    for which, kind in ((_ABSENT, _AbsentError), (_TAKEN, _TakenError), (_DENIED, DeniedError)):
        if names & which:
            return kind(text)
    if status == 501:  # noqa: PLR2004 - Not Implemented
        return BucketError(text)
    return UnclearError(text) if status >= 500 or status == 409 else BucketError(text)  # noqa: PLR2004 - HTTP
