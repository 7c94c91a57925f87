"""Canonical bytes and Ed25519 signatures: what makes a document in an untrusted bucket believable."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from hpc_bridge.errors import DocumentError, SettingsError, SignatureError

ALGORITHM = "Ed25519"
_KEY_LINE = "hpc-bridge-ed25519"
_MAX_DEPTH = 32


def canonical(document: Any) -> bytes:
    """Give the one byte form of a JSON document: keys sorted, no blanks, UTF-8 (RFC 8785 but for number formatting).

    Raises
    ------
    DocumentError
        When it has NaN, infinities, lone surrogates or things that JSON has no form for.
    """
    try:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as problem:
        raise DocumentError(f"no canonical form: {problem}") from None


def parse(body: bytes) -> dict[str, Any]:
    """Read a JSON object strictly: no double names, no NaN, no deep nests.

    Raises
    ------
    DocumentError
        When the bytes are anything else.
    """

    def no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise DocumentError("a name occurs twice in one object")
        return found

    def no_constant(name: str) -> Any:
        raise DocumentError(f"{name} is not a number")

    try:
        document = json.loads(body.decode(), object_pairs_hook=no_twins, parse_constant=no_constant)
    except (ValueError, RecursionError) as problem:
        raise DocumentError(f"not JSON: {type(problem).__name__}") from None
    if not isinstance(document, dict):
        raise DocumentError("not a JSON object")
    _check_depth(document, 0)
    return document


def _check_depth(value: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise DocumentError("nested too deeply")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        _check_depth(child, depth + 1)


@dataclass(frozen=True)
class VerifyKey:
    """A public key: whose signatures are believed."""

    key: Ed25519PublicKey

    @property
    def raw(self) -> bytes:
        """Its 32 bytes."""
        return self.key.public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def name(self) -> str:
        """The short name that signatures carry."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    def line(self, comment: str = "") -> str:
        """Give it as one line for the other side's list of keys."""
        return f"{_KEY_LINE} {base64.b64encode(self.raw).decode()} {comment}".rstrip()

    @staticmethod
    def from_line(line: str) -> VerifyKey:
        """Read the line that `line` writes.

        Raises
        ------
        SettingsError
            When it is no such line.
        """
        parts = line.split()
        with contextlib.suppress(IndexError, ValueError, binascii.Error):
            if parts[0] == _KEY_LINE:
                return VerifyKey(Ed25519PublicKey.from_public_bytes(base64.b64decode(parts[1], validate=True)))
        raise SettingsError(f"not a public key line: {line[:30]!r}")


@dataclass(frozen=True)
class SigningKey:
    """A private key; its representation shows nothing of it."""

    key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.public.name})"

    @property
    def public(self) -> VerifyKey:
        """The key that the other side puts on its list."""
        return VerifyKey(self.key.public_key())

    @staticmethod
    def generate() -> SigningKey:
        """Make a new one."""
        return SigningKey(Ed25519PrivateKey.generate())

    def save(self, path: Path) -> None:
        """Write it for its owner alone (mode 0600); an existing file is never overwritten."""
        body = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)

    @staticmethod
    def load(path: Path) -> SigningKey:
        """Read it; a file that others may read is refused.

        Raises
        ------
        SettingsError
            When it is missing, open to others or no Ed25519 key.
        """
        try:
            if path.stat().st_mode & 0o077:
                raise SettingsError(f"{path.name} must be readable by its owner alone: chmod 600")
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError) as problem:
            raise SettingsError(f"{path.name}: {type(problem).__name__}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise SettingsError(f"{path.name} is not an Ed25519 key")
        return SigningKey(key)


def load_keys(path: Path) -> dict[str, VerifyKey]:
    """Read a list of public keys, one a line, `#` for comments: short name -> key."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise SettingsError(f"{path.name}: {type(problem).__name__}") from None
    keys = [VerifyKey.from_line(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return {key.name: key for key in keys}


def sign(document: Mapping[str, Any], key: SigningKey) -> bytes:
    """Give the document's bytes with a `signature` over all the rest; its `schema` keeps kinds of documents apart."""
    bare = {name: value for name, value in document.items() if name != "signature"}
    value = base64.b64encode(key.key.sign(_signed_bytes(bare))).decode()
    return canonical({**bare, "signature": {"algorithm": ALGORITHM, "key": key.public.name, "value": value}})


def verify(body: bytes, keys: Mapping[str, VerifyKey]) -> tuple[dict[str, Any], str]:
    """Check a signed document and give it without its signature, and the name of the key.

    Raises
    ------
    SignatureError
        When there is no signature, its key is not on the list, or it does not hold.
    DocumentError
        When the bytes are no JSON object.
    """
    document = parse(body)
    signature = document.pop("signature", None)
    if not isinstance(signature, dict) or signature.get("algorithm") != ALGORITHM or set(signature) != _FIELDS:
        raise SignatureError("there is none")
    name = signature["key"]
    if not isinstance(name, str) or name not in keys:
        raise SignatureError("its key is not on the list")
    try:
        keys[name].key.verify(base64.b64decode(signature["value"], validate=True), _signed_bytes(document))
    except (InvalidSignature, TypeError, ValueError):
        raise SignatureError("the document was altered") from None
    return document, name


_FIELDS = {"algorithm", "key", "value"}


def _signed_bytes(document: Mapping[str, Any]) -> bytes:
    return b"hpc-bridge signed document\n" + canonical(dict(document))
