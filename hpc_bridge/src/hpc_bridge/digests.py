"""SHA-256 of bytes and files, and random marks."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path


def nonce() -> str:
    """Give 128 random bits as text."""
    return secrets.token_hex(16)


def digest(body: bytes) -> str:
    """Give the SHA-256 of bytes as hexadecimal text."""
    return hashlib.sha256(body).hexdigest()


def file_digest(path: Path) -> str:
    """Give the SHA-256 of a file as hexadecimal text."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()
