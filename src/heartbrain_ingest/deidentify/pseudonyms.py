"""Keyed, repeatable pseudonyms: subject labels, days to shift by, UIDs and device tokens, all by HMAC-SHA256."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
import unicodedata
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

import yaml

from heartbrain_ingest.errors import KeyFileError

_KEY_BYTES: Final = 32
_OWNER_ONLY: Final = 0o600
#: No 0, 1, I, O: labels are read aloud and typed.
_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_LABEL_LENGTH: Final = 8
_DEVICE_LENGTH: Final = 6
#: A shift is at least a year, so that no date stays, and at most eleven: a scan from 2010 stays after 1999.
_LEAST_DAYS: Final = 366
_MOST_DAYS: Final = 4015
#: UIDs of the standard itself (SOP classes, transfer syntaxes, coding schemes; PS3.6 annex A) say nothing of anyone.
_STANDARD_ROOT: Final = "1.2.840.10008."
#: For what a site defines itself (RFC 9562, section 5.8).
_OWN_VERSION: Final = 8
_LABEL = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True)
class Subject:
    """Who somebody is from now on."""

    #: BIDS label without the `sub-` prefix, letters and digits only.
    label: str
    #: Days to add to each date of this subject; negative.
    days: int

    @property
    def name(self) -> str:
        """The BIDS name, `sub-<label>`."""
        return f"sub-{self.label}"


@dataclass(frozen=True)
class Pseudonyms:
    """The site's secret and the subjects that the steward named. Its text shows neither."""

    _key: bytes = field(repr=False)
    _subjects: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new key file, readable by its owner only.

        Raises
        ------
        KeyFileError
            There is a key already: another one would give everybody a second pseudonym.
        """
        key = secrets.token_bytes(_KEY_BYTES)
        text = f"# The secret of all pseudonyms. Back it up; never publish it.\nkey: {key.hex()}\nsubjects: {{}}\n"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        except FileExistsError as error:
            raise KeyFileError(f"{path} exists") from error
        except OSError as error:
            raise KeyFileError(f"{path}: {error.strerror}") from error
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        return cls(key)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file: `key` (64 hexadecimal digits) and, if the steward wants, `subjects: {PatientID: LABEL}`.

        Raises
        ------
        KeyFileError
            The file is missing, others can read it, or it holds something else.
        """
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise KeyFileError(f"{path}: {error.strerror}") from error
        if mode & 0o077:
            raise KeyFileError(f"{path} has mode {mode:04o}")
        try:
            content = yaml.load(text, _TextLoader)  # noqa: S506 - a loader that makes text, lists and maps only
        except yaml.YAMLError as error:
            raise KeyFileError(f"{path} is not YAML") from error
        return cls(*_checked(content, path))

    def subject(self, patient_id: str, birth_date: str = "", sex: str = "", fallback: str = "") -> Subject:
        """Give the subject of a patient.

        The steward's label for the PatientID goes before all else. Otherwise the label is the keyed hash of PatientID,
        birth date and sex together: one PatientID with two birth dates is two subjects.

        Parameters
        ----------
        patient_id, birth_date, sex
            As in the header; case and blanks do not count.
        fallback
            What stands for the patient where the PatientID is empty, such as name and birth date.
        """
        own = _normal(patient_id)
        identity = "\0".join((own, _normal(birth_date), _normal(sex)) if own else ("", _normal(fallback)))
        digest = self._digest("subject", identity)
        label = self._subjects.get(own) or _text(digest, _LABEL_LENGTH)
        # The days follow the label, so that a subject whom the steward joined from two IDs has one shift.
        shift = self._digest("days", label)
        return Subject(label, -(_LEAST_DAYS + int.from_bytes(shift[:8], "big") % (_MOST_DAYS - _LEAST_DAYS)))

    def uid(self, uid: str) -> str:
        """Give the UID that stands for another: a 2.25 UID (PS3.5 annex B); one of the standard stays."""
        uid = uid.strip("\0 ")
        if not uid or uid.startswith(_STANDARD_ROOT):
            return uid
        return _remapped(self._key, uid)

    def uuid(self, text: str) -> str:
        """Give the UUID that stands for another, as a sequence writes it into images and recordings alike.

        It is of version 8 (RFC 9562), so that one that stands for another already is known and stays.
        """
        known = uuid.UUID(text)
        if known.version == _OWN_VERSION:
            return str(known)
        digest = bytearray(self._digest("uuid", str(known))[:16])
        digest[6] = digest[6] & 0x0F | _OWN_VERSION << 4
        digest[8] = digest[8] & 0x3F | 0x80
        return str(uuid.UUID(bytes=bytes(digest)))

    def device(self, serial: str) -> str:
        """Give a short token for a device's serial number."""
        serial = _normal(serial)
        return _text(self._digest("device", serial), _DEVICE_LENGTH) if serial else ""

    def _digest(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self._key, f"{purpose}\0{text}".encode(), "sha256")


@lru_cache(maxsize=65536)
def _remapped(key: bytes, uid: str) -> str:
    digest = hmac.digest(key, b"uid\0" + uid.encode("utf-8", "surrogateescape"), "sha256")
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"


class _TextLoader(yaml.SafeLoader):
    """Reads each scalar as text: a PatientID of 007 stays 007."""


_TextLoader.yaml_implicit_resolvers = {}


def _checked(content: Any, path: Path) -> tuple[bytes, dict[str, str]]:
    if not isinstance(content, dict) or not set(content) <= {"key", "subjects"}:
        raise KeyFileError(f"{path} may hold `key` and `subjects` only")
    try:
        key = bytes.fromhex(content["key"])
    except (KeyError, TypeError, ValueError) as error:
        raise KeyFileError(f"{path}: `key` is not hexadecimal") from error
    if len(key) != _KEY_BYTES:
        raise KeyFileError(f"{path}: `key` is not {_KEY_BYTES} bytes long")
    subjects = content.get("subjects") or {}
    if not isinstance(subjects, dict):
        raise KeyFileError(f"{path}: `subjects` is not a map of PatientID to label")
    labels = {}
    for number, (patient_id, named) in enumerate(subjects.items(), start=1):
        label = str(named).removeprefix("sub-")
        if not _LABEL.fullmatch(label):
            raise KeyFileError(f"{path}: label {number} of `subjects` has more than letters and digits")
        labels[_normal(str(patient_id))] = label
    return key, labels


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text.replace("\0", " ")).casefold().split())


def _text(digest: bytes, length: int) -> str:
    number = int.from_bytes(digest, "big")
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)
