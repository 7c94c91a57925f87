"""Large objects to and from S3: in parts, several at once, taken up again where a break left them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hpc_bridge.bucket.files import appearing, check
from hpc_bridge.errors import VerificationError

PART = 16 << 20
#: S3 takes 10,000 parts.
_MOST_PARTS = 9000
_THREADS = 8


def part_size(size: int) -> int:
    """Give the size of the parts of an object, the same whenever it is asked for."""
    return max(PART, -(-size // _MOST_PARTS))


class Transfer:
    """Uploads and downloads of one bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.client = client
        self.bucket = bucket

    def upload(self, path: Path, key: str, sha256: str) -> None:
        """Store a file; its checksum goes along as metadata, so that a complete object is known again."""
        size = path.stat().st_size
        if size <= PART:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=path.read_bytes(), Metadata={"sha256": sha256})
            return
        if self._is_there(key, size, sha256):
            return
        known = self._unfinished(key)
        upload = known or self._begin(key, sha256)
        there = self._parts(key, upload) if known else {}
        step = part_size(size)

        def send(number: int) -> dict[str, Any]:
            with path.open("rb") as file:
                file.seek((number - 1) * step)
                body = file.read(step)
            mark = hashlib.md5(body, usedforsecurity=False).hexdigest()
            if there.get(number) != mark:
                reply = self.client.upload_part(
                    Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=number, Body=body
                )
                return {"PartNumber": number, "ETag": reply["ETag"]}
            return {"PartNumber": number, "ETag": f'"{mark}"'}

        with ThreadPoolExecutor(_THREADS) as pool:
            parts = list(pool.map(send, range(1, -(-size // step) + 1)))
        self.client.complete_multipart_upload(
            Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
        )

    def _is_there(self, key: str, size: int, sha256: str) -> bool:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - boto3 is loaded by now

        try:
            head = self.client.head_object(Bucket=self.bucket, Key=key)
        except ClientError:
            return False
        return bool(head["ContentLength"] == size and head.get("Metadata", {}).get("sha256") == sha256)

    def _begin(self, key: str, sha256: str) -> str:
        reply = self.client.create_multipart_upload(Bucket=self.bucket, Key=key, Metadata={"sha256": sha256})
        return str(reply["UploadId"])

    def _unfinished(self, key: str) -> str | None:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - boto3 is loaded by now

        try:
            reply = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=key)
        except ClientError:
            return None
        return next((str(one["UploadId"]) for one in reply.get("Uploads", ()) if one["Key"] == key), None)

    def _parts(self, key: str, upload: str) -> dict[int, str]:
        pages = self.client.get_paginator("list_parts").paginate(Bucket=self.bucket, Key=key, UploadId=upload)
        return {part["PartNumber"]: part["ETag"].strip('"') for page in pages for part in page.get("Parts", ())}

    def download(self, key: str, path: Path, size: int, sha256: str) -> None:
        """Fetch an object into a file that appears complete and verified."""
        if size <= PART:
            with appearing(path) as draft:
                self._fetch_small(key, draft, size)
                check(draft, key, size=size, sha256=sha256)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name[:100]}.{sha256[:16]}.part")
        record = draft.with_suffix(".json")
        self._fetch_parts(key, draft, record, size)
        try:
            check(draft, key, size=size, sha256=sha256)
        except VerificationError:
            draft.unlink(missing_ok=True)
            raise
        finally:
            record.unlink(missing_ok=True)
        draft.replace(path)

    def _fetch_small(self, key: str, draft: Path, size: int) -> None:
        reply = self.client.get_object(Bucket=self.bucket, Key=key)
        with contextlib.closing(reply["Body"]) as stream:
            if reply["ContentLength"] != size:
                raise VerificationError(f"{key}: not {size} bytes")
            draft.write_bytes(stream.read())

    def _fetch_parts(self, key: str, draft: Path, record: Path, size: int) -> None:
        done = _read_record(record) if draft.exists() and draft.stat().st_size == size else set()
        step = part_size(size)
        with draft.open("rb+" if done else "wb") as file:
            file.truncate(size)

        def bring(number: int) -> int:
            start = number * step
            span = f"bytes={start}-{min(start + step, size) - 1}"
            reply = self.client.get_object(Bucket=self.bucket, Key=key, Range=span)
            with contextlib.closing(reply["Body"]) as stream:
                if reply.get("ContentRange", "").rpartition("/")[2] != str(size):
                    raise VerificationError(f"{key}: not {size} bytes")
                body = stream.read()
            descriptor = os.open(draft, os.O_WRONLY)
            try:
                os.pwrite(descriptor, body, start)
            finally:
                os.close(descriptor)
            return number

        wanted = [number for number in range(-(-size // step)) if number not in done]
        with ThreadPoolExecutor(_THREADS) as pool:
            for number in pool.map(bring, wanted):
                done.add(number)
                record.write_text(json.dumps(sorted(done)))


def _read_record(record: Path) -> set[int]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(record.read_text())
        if isinstance(found, list):
            return {number for number in found if isinstance(number, int)}
    return set()
