"""What must be true of the output of a planted file; each check gives a reason why it is not, never a value."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

from heartbrain_ingest.deidentify.selftest.nodes import Path, Reader
from heartbrain_ingest.dicom import DicomFile
from heartbrain_ingest.dicom.files import MEDIA_STORAGE_SOP_INSTANCE

_SECRET: Final = re.compile(r"zq[bcdfghjklmnpqrstvwxz]{5}")
_NUMBER: Final = re.compile(r"(?<![\d.])\d{7,}(?![\d.])")
_FRACTION: Final = re.compile(r"\.(7\d{5})(?!\d)")
_UID: Final = re.compile(r"1\.2\.826\.0\.1\.3680043\.8\.1055\.7\.\d+")

Check = Callable[["Output"], str | None]


class Output:
    """What came out for one planted file, indexed for the checks."""

    def __init__(self, file: DicomFile) -> None:
        self.file = file
        self._reader = Reader(file)

    @cached_property
    def _text(self) -> str:
        return self.file.data.decode("latin-1").lower()

    @cached_property
    def secrets(self) -> frozenset[str]:
        """All planted words, numbers, fractions of times and UIDs that are left."""
        found = {*_SECRET.findall(self._text), *_NUMBER.findall(self._text), *_UID.findall(self._text)}
        return frozenset(found | set(_FRACTION.findall(self._text)))

    def value(self, path: Path) -> bytes | None:
        """Give the value of an element without padding; None where it is gone."""
        value = self._reader.value(path)
        return None if value is None else value.rstrip(b"\0 ")


def lost(secret: str) -> Check:
    """Require that a planted secret is nowhere in the output."""
    return lambda output: "it is still there" if secret in output.secrets else None


def differs(found: bytes | None, wanted: bytes) -> str | None:
    """Say whether a value is gone or another one."""
    if found is None:
        return "it is gone"
    return None if found == wanted.rstrip(b"\0 ") else "it was changed"


def stands(path: Path, wanted: bytes) -> Check:
    """Require that the element has this value."""
    return lambda output: differs(output.value(path), wanted)


def is_not(path: Path, value: bytes) -> Check:
    """Require that the element has another value, or none."""
    return lambda output: "it is still there" if output.value(path) == value.rstrip(b"\0 ") else None


def is_neither(path: Path, values: Sequence[bytes]) -> Check:
    """Require that the element has none of these values."""
    return lambda output: "it is still there" if output.value(path) in values else None


def is_or_gone(path: Path, wanted: bytes) -> Check:
    """Require that the element has this value, or none."""
    return lambda output: None if output.value(path) in {None, b"", wanted} else "it was not moved like the others"


def lacks(path: Path, secret: str) -> Check:
    """Require that the text does not stand in the element, in any case of letters."""
    return lacks_bytes(path, secret.encode("latin-1"))


def lacks_bytes(path: Path, secret: bytes) -> Check:
    """Require that the bytes do not stand in the element, in any case of letters."""
    return lambda output: "it is still there" if secret.lower() in _unpacked(output.value(path)).lower() else None


def holds(path: Path, words: str) -> Check:
    """Require that the text stands in the element."""
    return holds_bytes(path, words.encode("latin-1"))


def holds_bytes(path: Path, part: bytes) -> Check:
    """Require that the bytes stand in the element."""
    return lambda output: None if part in _unpacked(output.value(path)) else "it is gone"


def _unpacked(value: bytes | None) -> bytes:
    """Give the bytes of a value, those of a packed block unpacked."""
    if value is not None and value[4:6] == b"\x1f\x8b":
        return zlib.decompressobj(wbits=31).decompress(value[4:])
    return value or b""


def meta_fits(output: Output) -> str | None:
    """Require that the file meta group names the instance by its new UID."""
    meta = output.file.meta_text(MEDIA_STORAGE_SOP_INSTANCE).encode("ascii")
    return None if meta and meta == output.value((0x00080018,)) else "it is not the instance's"


def codes(output: Output, wanted: set[str]) -> str | None:
    """Require that the codes of the profile are exactly these."""
    found = set(re.findall(rb"1131\d\d", output.value((0x00120064,)) or b""))
    return None if {code.decode() for code in found} == wanted else "not exactly the options that are on"
