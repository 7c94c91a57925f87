"""An S3 server for functional tests, and things to put into stores."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from moto.server import ThreadedMotoServer

from hpc_bridge.digests import nonce
from hpc_bridge.protocol import JobSpec, keys

ACCESS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


class MotoServer:
    """moto as a server of its own thread: functional tests only, it has no lock between check and write."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)

    def __enter__(self) -> Self:
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    def client(self) -> Any:
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", **ACCESS)

    def address(self, folder: Path) -> dict[str, Any]:
        path = folder / "credentials"
        path.touch(mode=0o600)
        path.write_text("[default]\n" + "".join(f"{name} = {value}\n" for name, value in ACCESS.items()))
        return {"endpoint": self.endpoint, "credentials_file": path}


def make_spec(now: datetime, **changes: Any) -> JobSpec:
    """Give a specification of the function that the tests run."""
    facts: dict[str, Any] = {
        "job": keys.job_name("site", "R1", 1),
        "function": "checksum-report",
        "version": "1.0",
        "created": now,
        "expires": now + timedelta(days=1),
        "nonce": nonce(),
    }
    return JobSpec(**{**facts, **changes})
