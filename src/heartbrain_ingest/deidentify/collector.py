"""Collect from original headers all that identifies people, so that texts can be cleaned and outputs audited."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import Final

from pydicom.datadict import keyword_dict

from heartbrain_ingest.deidentify import table
from heartbrain_ingest.deidentify.identifiers import Identifiers, Kind
from heartbrain_ingest.deidentify.vocabulary import EQUIPMENT
from heartbrain_ingest.dicom import DicomFile
from heartbrain_ingest.dicom.encoding import (
    IMPLICIT_LITTLE,
    SPECIFIC_CHARACTER_SET,
    Encoding,
    EncodingError,
    Token,
    known_vr,
)
from heartbrain_ingest.dicom.files import charsets as charsets_named
from heartbrain_ingest.dicom.files import decoded
from heartbrain_ingest.dicom.layouts import Latest, Layout, Spot, Stretch, stretches

_PATIENT_GROUP: Final = 0x0010
_STANDARD_ROOT: Final = "1.2.840.10008"
_TEXT_VRS: Final = frozenset({"AE", "LO", "LT", "SH", "ST", "UC", "UR", "UT"})
#: Manufacturer, ManufacturerModelName, SoftwareVersions, Modality: what they say names nobody.
_EQUIPMENT: Final = frozenset({0x00080070, 0x00081090, 0x00181020, 0x00080060})
_CLASS: Final = re.compile("SOPClass|TransferSyntax|ImplementationClass")
#: VRs of private elements that can hold a block of text or a sequence.
_BLOCK_VRS: Final = frozenset({"OB", "OW", "UN", "UT"})
#: Longer elements are known by the hash of their value.
_SHORT: Final = 4096
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
def _classes() -> frozenset[int]:
    """Give the attributes that name a class of objects, an encoding or a software: those say nothing of anyone."""
    return frozenset(tag for keyword, tag in keyword_dict.items() if _CLASS.search(keyword))


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


@cache
def _is_telling(tag: int, vr: str) -> bool:
    """Tell whether elements of this tag and VR can hold an identifier, or a name of equipment that is none."""
    if tag & 0x10000 and vr in _BLOCK_VRS:
        return vr == "UN" or (tag >> 16, tag & 0xFF) in _PRIVATE_TEXTS
    if vr == "UI":
        return tag not in _classes()
    return vr in {"SQ", "PN", "DA", "DT"} or tag in _kinds() or tag in _EQUIPMENT


@lru_cache(maxsize=256)
def _telling_stretches(layout: Layout) -> tuple[Stretch, ...]:
    return stretches(_telling(layout.elements.values()))


def _telling(tokens: Iterable[Token]) -> Iterator[Spot]:
    """Give the elements that can hold an identifier, or a name of equipment that is none."""
    for tag, vr, start, value, end, *_ in tokens:
        if value != end and _is_telling(tag, vr):
            yield Spot(tag, vr, start, value, end)


def _equipment(text: str) -> set[str]:
    """Give the words of a make, model or software version that are known to be none of a person, and it as a whole."""
    words = _WORD.findall(text)
    known = {word for word in words if word in EQUIPMENT or not word.isalpha()}
    return known | {text} if len(known) == len(set(words)) else known


class IdentifierCollector:
    """Takes the headers of a session one by one; equal values cost next to nothing.

    Parameters
    ----------
    retained
        Attributes that the rules keep on purpose (`Rules.retained`): their values are no identifiers.
    """

    def __init__(self, retained: frozenset[int] = frozenset()) -> None:
        self._retained = retained
        self._values: set[tuple[Kind, str]] = set()
        self._equipment: set[str] = set()
        #: What was looked at: elements of the outermost level by their bytes, others by a hash or their value.
        self._taken: dict[tuple[Encoding, tuple[str, ...]], set[bytes]] = {}
        self._seen: set[tuple[object, ...]] = set()
        self._latest = Latest()

    @property
    def identifiers(self) -> Identifiers:
        """All that was found so far."""
        return Identifiers(frozenset(self._values), frozenset(self._equipment))

    def add(self, file: DicomFile) -> None:
        """Take the identifiers of one header, of its file meta, sequences at any depth and protocols in private blocks.

        A damaged sequence is passed over here; de-identification refuses the file.
        """
        for tag, value in file.meta.items():
            vr = known_vr(tag)
            if vr in {"UI", "AE"}:
                self._take(tag, vr, value, ())
        encoding, charsets = file.encoding, file.charsets
        data = file.data
        taken = self._taken.setdefault((encoding, charsets), set())
        layout = file.layout
        now: list[bytes] = []
        spots: Iterable[Spot] = _telling(file.elements.values())
        if layout is not None:
            spots, now = self._latest.compare(layout, data, _telling_stretches(layout))
        for tag, vr, start, first, end in spots:
            # The headers of a series are nearly equal: what was taken once is known by its bytes.
            element = data[start:end]
            if element in taken:
                continue
            self._element(tag, vr, data[first:end], encoding, charsets)
            if len(element) <= _SHORT:
                taken.add(element)
        if layout is not None:
            self._latest.keep(layout, now)

    def _element(self, tag: int, vr: str, value: bytes, encoding: Encoding, charsets: tuple[str, ...]) -> None:
        if tag & 0x10000 and vr in _BLOCK_VRS:
            if (tag >> 16, tag & 0xFF) in _PRIVATE_TEXTS:
                self._protocol(value)
            elif vr == "UN":
                self._sequence(value, IMPLICIT_LITTLE, charsets)
        elif vr == "SQ":
            self._sequence(value, encoding, charsets)
        else:
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
                charsets = charsets_named(value)
            elif value and _is_telling(token.tag, token.vr):
                self._element(token.tag, token.vr, value, encoding, charsets)

    def _take(self, tag: int, vr: str, value: bytes, charsets: tuple[str, ...]) -> None:
        key = (tag, value, charsets)
        if key in self._seen:
            return
        self._seen.add(key)
        if tag in self._retained:
            return
        text = decoded(value, charsets)
        for part in filter(None, (piece.strip(" \0") for piece in text.split("\\"))):
            if tag in _EQUIPMENT:
                self._equipment.update(_equipment(part.lower()))
            elif vr == "PN":
                self._values.update((Kind.NAME, group.strip(" ^")) for group in part.split("=") if group.strip(" ^"))
            elif vr in {"DA", "DT"}:
                self._values.add((Kind.DATE, part.replace(".", "")[:8]))
            elif vr == "UI":
                if tag not in _classes() and not part.startswith(_STANDARD_ROOT):
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
