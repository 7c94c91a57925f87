"""Collect from original headers all that identifies people, so that texts can be cleaned and outputs audited."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from pydicom.charset import decode_bytes
from pydicom.dataset import Dataset
from pydicom.valuerep import TEXT_VR_DELIMS

from heartbrain_ingest.deidentify import files, table
from heartbrain_ingest.deidentify.encoding import (
    IMPLICIT_LITTLE,
    SPECIFIC_CHARACTER_SET,
    UNDEFINED,
    Encoding,
    EncodingError,
    known_vr,
)
from heartbrain_ingest.deidentify.identifiers import Identifiers, Kind

_PATIENT_GROUP: Final = 0x0010
#: Classes of objects and of software, which say nothing of anyone.
_CLASSES: Final = frozenset({0x00020002, 0x00020010, 0x00020012, 0x00080016, 0x0008001A, 0x0008001B, 0x00081150})
_STANDARD_ROOT: Final = "1.2.840.10008"
_TEXT_VRS: Final = frozenset({"AE", "LO", "LT", "SH", "ST", "UC", "UR", "UT"})
#: Manufacturer, ManufacturerModelName, SoftwareVersions, Modality: what they say names nobody.
_EQUIPMENT: Final = frozenset({0x00080070, 0x00081090, 0x00181020, 0x00080060})
_WORD: Final = re.compile(r"[^\W_]{2,}")
#: A table row whose keyword has one of these is of that kind; the first that fits counts.
_KINDS: Final = (
    (re.compile("Telephone|Telecom|Phone"), Kind.CONTACT),
    (re.compile("Address|Residence|Location"), Kind.PLACE),
    (re.compile("Institution|Organization|Department|Site|CoordinatingCenter|Sponsor|Committee"), Kind.PLACE),
    (re.compile("Station|DeviceSerial|AETitle|DeviceID|Detector|Gantry|Cassette|Plate|Generator"), Kind.DEVICE),
    (re.compile("Physician|Operator|Person|Name$|Author|Recorder|Transcriber|EnteredBy|Alias"), Kind.NAME),
)
#: Blocks of text in private elements: Siemens series header and protocols.
_PRIVATE_TEXTS: Final = {(0x0029, 0x20), (0x0021, 0x19), (0x0021, 0x01)}
_UID_IN_TEXT: Final = re.compile(rb"(?<![\d.])1\.[0-3](?:\.\d+){6,}")
#: `<ParamString."PatientName"> { "Doe" }` and its like in a Siemens XProtocol.
_PARAMETER: Final = re.compile(
    rb'<ParamString\."+t?(?P<what>Patient(?:Name|sName|ID|LOID)|PatientBirth\w*|\w*Physician\w*|\w*Operator\w*'
    rb'|Institution\w*|AccessionNumber|StudyID)"+>\s*\{[^}"]*"+(?P<value>[^"{}]*)"'
)


@cache
def _kinds() -> dict[int, Kind]:
    """Give the kind of the text attributes of PS3.15 table E.1-1 that identify people."""
    found = {}
    for row in table.rows():
        if row.vr not in _TEXT_VRS or set(row.options) - {"device_identity", "institution_identity"}:
            continue
        found[row.tag] = next(
            (kind for pattern, kind in _KINDS if pattern.search(row.keyword)),
            Kind.PATIENT if row.tag >> 16 == _PATIENT_GROUP else Kind.ID,
        )
    return found


class IdentifierCollector:
    """Takes the headers of a session one by one; equal values cost next to nothing."""

    def __init__(self) -> None:
        self._values: set[tuple[Kind, str]] = set()
        self._equipment: set[str] = set()
        self._seen: set[tuple[object, ...]] = set()

    @property
    def identifiers(self) -> Identifiers:
        """All that was found so far."""
        return Identifiers(frozenset(self._values), frozenset(self._equipment))

    def add(self, dataset: Dataset) -> None:
        """Take the identifiers of one header, of its file meta, sequences at any depth and protocols in private blocks.

        A damaged sequence is passed over here; de-identification refuses the file.
        """
        for element in dataset.file_meta:
            if element.VR in {"UI", "AE"}:
                self._take(int(element.tag), element.VR, str(element.value).encode("latin-1", "replace"), ("iso8859",))
        encoding = files.encoding_of(dataset)
        charsets = files.charsets_of(dataset)
        for tag in dataset._dict:  # the raw elements; public access would decode them
            raw = files.raw(dataset._dict[tag], dataset)
            if raw.length and raw.length != UNDEFINED and raw.value:
                self._element(int(tag), raw.VR or known_vr(tag), raw.value, encoding, charsets)

    def _element(self, tag: int, vr: str, value: bytes, encoding: Encoding, charsets: tuple[str, ...]) -> None:
        if vr in {"OB", "OW", "UN", "UT"} and tag & 0x10000:
            if (tag >> 16, tag & 0xFF) in _PRIVATE_TEXTS:
                self._protocol(value)
            elif vr == "UN":
                self._sequence(value, IMPLICIT_LITTLE, charsets)
        elif vr == "SQ":
            self._sequence(value, encoding, charsets)
        elif vr in {"PN", "DA", "DT", "UI"} or tag in _kinds() or tag in _EQUIPMENT:
            self._take(tag, vr, value, charsets)

    def _sequence(self, value: bytes, encoding: Encoding, charsets: tuple[str, ...]) -> None:
        key = ("SQ", encoding, hash(value))
        if key in self._seen:
            return
        self._seen.add(key)
        try:
            for first, last in encoding.items(value):
                self._item(value[first:last], encoding, charsets)
        except EncodingError:
            return

    def _item(self, data: bytes, encoding: Encoding, charsets: tuple[str, ...]) -> None:
        key = ("item", encoding, hash(data))
        if key in self._seen:
            return
        self._seen.add(key)
        for token in encoding.tokens(data):
            value = data[token.value : token.value_end]
            if token.tag == SPECIFIC_CHARACTER_SET:
                charsets = files.charsets(value)
            elif value:
                self._element(token.tag, token.vr, value, encoding, charsets)

    def _take(self, tag: int, vr: str, value: bytes, charsets: tuple[str, ...]) -> None:
        key = (tag, value, charsets)
        if key in self._seen:
            return
        self._seen.add(key)
        text = decode_bytes(value, list(charsets), TEXT_VR_DELIMS)
        for part in filter(None, (piece.strip(" \0") for piece in text.split("\\"))):
            if tag in _EQUIPMENT:
                self._equipment.update((part.lower(), *(word.lower() for word in _WORD.findall(part))))
            elif vr == "PN":
                self._values.update((Kind.NAME, group.strip(" ^")) for group in part.split("=") if group.strip(" ^"))
            elif vr in {"DA", "DT"}:
                self._values.add((Kind.DATE, part.replace(".", "")[:8]))
            elif vr == "UI":
                if tag not in _CLASSES and not part.startswith(_STANDARD_ROOT):
                    self._values.add((Kind.UID, part))
            else:
                kind = Kind.PATIENT if tag >> 16 == _PATIENT_GROUP else Kind.ID
                self._values.add((_kinds().get(tag, kind), part))

    def _protocol(self, value: bytes) -> None:
        key = ("protocol", hash(value))
        if key in self._seen:
            return
        self._seen.add(key)
        uids = (uid.decode("ascii") for uid in _UID_IN_TEXT.findall(value))
        self._values.update((Kind.UID, uid) for uid in uids if not uid.startswith(_STANDARD_ROOT))
        for found in _PARAMETER.finditer(value):
            text = found["value"].decode("latin-1").strip()
            what = found["what"]
            if not text:
                continue
            if b"Birth" in what:
                self._values.add((Kind.DATE, text.replace("-", "").replace(".", "")[:8]))
            elif b"Name" in what or b"Physician" in what or b"Operator" in what:
                self._values.add((Kind.NAME, text))
            else:
                self._values.add(
                    (Kind.PLACE if b"Institution" in what else Kind.PATIENT if b"Patient" in what else Kind.ID, text)
                )
