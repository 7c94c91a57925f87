"""How a bucket is reached; the same fields on both sides of the bridge."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hpc_bridge.bucket.base import Bucket
from hpc_bridge.bucket.folder import FolderBucket
from hpc_bridge.digests import digest
from hpc_bridge.errors import SettingsError


class BucketSettings(BaseModel):
    """Where the bucket is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["folder", "s3"] = Field("folder", description="folder: a shared folder; s3: an S3 store")
    folder: Path | None = Field(None, description="the folder, for kind folder")
    bucket: str | None = Field(None, description="name of the S3 bucket")
    prefix: str = Field("", description="everything lies below this prefix")
    endpoint: str | None = Field(None, description="URL of the S3 store; empty: Amazon's")
    region: str = Field("us-east-1", description="region of the S3 store; most others than Amazon take any")
    addressing: Literal["path", "virtual", "auto"] = Field(
        "path", description="path: host/bucket; virtual: bucket.host"
    )
    ca_file: Path | None = Field(
        None, description="certificates (PEM) to believe, where the store has its own authority"
    )
    credentials_file: Path | None = Field(
        None, description="INI file with aws_access_key_id and aws_secret_access_key below [default], mode 0600"
    )
    checksums: Literal["when_required", "when_supported"] = Field(
        "when_required", description="when_supported adds boto3's checksums; RGW before 18 refuses them over TLS"
    )
    timeout_seconds: float = Field(30, gt=0, description="for connecting and for each answer")

    @model_validator(mode="after")
    def _complete(self) -> BucketSettings:
        if self.kind == "folder" and self.folder is None:
            raise ValueError("kind folder needs the entry folder")
        if self.kind == "s3" and not self.bucket:
            raise ValueError("kind s3 needs the entry bucket")
        return self

    @property
    def address(self) -> str:
        """A mark of where the bucket is: what was told to one bucket must be told to the next one again."""
        return digest(self.model_dump_json().encode())

    def credentials(self) -> dict[str, str]:
        """Read the credentials file; without one boto3's own places are asked.

        Raises
        ------
        SettingsError
            When it is missing or others may read it.
        """
        if self.credentials_file is None:
            return {}
        path = self.credentials_file.expanduser()
        try:
            if path.stat().st_mode & 0o077:
                raise SettingsError(f"{path.name} must be readable by its owner alone: chmod 600")
            reader = configparser.ConfigParser(interpolation=None)
            reader.read_string(path.read_text(encoding="utf-8"))
            return dict(reader["default"])
        except (OSError, KeyError, configparser.Error) as problem:
            raise SettingsError(f"{path.name}: {type(problem).__name__}") from None


def open_bucket(settings: BucketSettings) -> Bucket:
    """Open the bucket; `probe` it before anything is written."""
    if settings.kind == "s3":
        from hpc_bridge.bucket.s3 import S3Bucket  # noqa: PLC0415 - boto3 is slow to load

        return S3Bucket.connect(settings)
    if settings.folder is None:
        raise SettingsError("kind folder needs the entry folder")
    return FolderBucket(settings.folder.expanduser() / settings.prefix.strip("/"))
