"""Apply the rules to a data set: the one place where values of a header are changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from pydicom.charset import decode_bytes, encode_string
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pydicom.valuerep import TEXT_VR_DELIMS

from heartbrain_ingest import __version__
from heartbrain_ingest.deidentify import cleaning, csa, files, protocols
from heartbrain_ingest.deidentify.dates import shifted
from heartbrain_ingest.deidentify.encoding import (
    IMPLICIT_LITTLE,
    SPECIFIC_CHARACTER_SET,
    UNDEFINED,
    Encoding,
    EncodingError,
    known_vr,
    padded,
)
from heartbrain_ingest.deidentify.identifiers import SHORTEST_TO_CLEAN, Identifiers, Matcher
from heartbrain_ingest.deidentify.pseudonyms import Pseudonyms, Subject
from heartbrain_ingest.deidentify.rules import Rules
from heartbrain_ingest.deidentify.table import Action

_NUMBERS: Final = re.compile(rb"[-+0-9.eE \\\0]*")
_BINARY_NUMBERS: Final = frozenset({"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
#: VRs that do not tell text from numbers.
_OPAQUE: Final = frozenset({"UN", "OB", "OW"})
_READABLE: Final = re.compile(rb"[\x20-\x7e]+\0?")
_LONGEST_NUMBER: Final = 8
_AGE: Final = re.compile(rb"(\d{3})Y")
_OLDEST: Final = 89
#: Bytes of values to remember; beyond it the memory is worth more than the time.
_MEMORY: Final = 16 * 1024 * 1024
#: What an entry takes beside its bytes.
_OVERHEAD: Final = 300
_DUMMIES: Final = {
    "DA": b"19000101",
    "DT": b"19000101",
    "TM": b"000000",
    "AS": b"000Y",
    "DS": b"0",
    "IS": b"0",
    "CS": b"REMOVED",
    "PN": b"REMOVED",
    "AE": b"REMOVED",
    "UI": b"2.25.0",
    "UR": b"removed:",
    **dict.fromkeys(("LO", "LT", "SH", "ST", "UC", "UT"), b"removed"),
    **dict.fromkeys(("US", "SS", "OB", "OW", "UN"), b"\0\0"),
    **dict.fromkeys(("UL", "SL", "FL", "AT", "OL", "OF"), b"\0" * 4),
    **dict.fromkeys(("FD", "UV", "SV", "OD", "OV"), b"\0" * 8),
}


@dataclass
class _Session:
    """What is the same for all files of one subject in one session, with what was worked out already."""

    subject: Subject
    matcher: Matcher
    cleaner: cleaning.TextCleaner
    #: (tag, VR, character sets, bytes) to the bytes that stand for them; None: the element goes.
    values: dict[tuple[object, ...], bytes | None] = field(default_factory=dict)

    #: Bytes in it.
    size: int = 0

    def remember(self, key: tuple[object, ...], old: bytes, new: bytes | None) -> bytes | None:
        """Keep what a value became; forget all when it gets too much."""
        if self.size > _MEMORY:
            self.values.clear()
            self.size = 0
        self.values[key] = new
        self.size += _OVERHEAD + len(old) + len(new or b"")
        return new


@dataclass(frozen=True, eq=False)
class _Place:
    """How the text and the numbers around a value are written; one object for each way, so that it hashes fast."""

    encoding: Encoding
    #: Python names of the character sets.
    charsets: tuple[str, ...]


_place = lru_cache(maxsize=64)(_Place)


class Deidentifier:
    """De-identifies data sets by the rules, with the site's pseudonyms."""

    def __init__(self, rules: Rules, pseudonyms: Pseudonyms) -> None:
        self.rules = rules
        self.pseudonyms = pseudonyms
        self._sessions: dict[tuple[Subject, Identifiers], _Session] = {}
        self._actions: dict[tuple[int, str], Action] = {}
        self._handlers: dict[Action, Callable[[_Session, _Place, str, bytes], bytes | None]] = {
            Action.REMOVE: lambda *_: None,
            Action.EMPTY: lambda *_: b"",
            Action.DUMMY: lambda _s, _p, vr, _v: _DUMMIES.get(vr, b""),
            Action.CLEAN: self._clean,
            Action.SHIFT: self._shift,
            Action.REMAP: self._remap,
            Action.SUBJECT: lambda session, *_: session.subject.name.encode("ascii"),
            Action.DEVICE: self._device,
            Action.AGE: self._age,
            Action.CONTENTS: self._contents,
            Action.NUMBER: self._number,
            Action.CSA: self._csa,
            Action.PROTOCOL: self._protocol,
            Action.GE_PROTOCOL: self._ge_protocol,
            Action.BLANK_TEXT: lambda session, _p, _v, value: cleaning.blank(value, session.matcher),
        }

    def read(self, source: Path | str | bytes) -> Dataset:
        """Read a file without decoding its values; see `files.read` for what it takes and raises."""
        return files.read(source)

    def write(self, dataset: Dataset, path: Path) -> None:
        """Write a data set; the same data set gives the same bytes, with a zeroed preamble."""
        files.write(dataset, path)

    def deidentify(self, dataset: Dataset, subject: Subject, identifiers: Identifiers) -> Dataset:
        """Give a new data set in which nothing identifies a person. The old one stays as it is.

        Untouched elements, pixel data among them, are shared with the old one as bytes.

        Parameters
        ----------
        dataset
            As `read` gives it; also one whose values somebody has looked at.
        subject
            Whose it is.
        identifiers
            All that identifies people in the headers of the session, for cleaning its texts.

        Raises
        ------
        DicomFileError
            A sequence in it can't be taken apart.
        """
        session = self._session(subject, identifiers)
        encoding = files.encoding_of(dataset)
        place = _place(encoding, files.charsets_of(dataset))
        creators: dict[int, dict[int, Action]] = {}
        kept: dict[BaseTag, RawDataElement] = {}
        try:
            for tag in sorted(dataset._dict, key=int):
                element = files.raw(dataset._dict[tag], dataset)
                old = element.value or b""
                vr = element.VR or known_vr(tag)
                if element.length == UNDEFINED:
                    kept[tag] = element
                    continue
                new = self._value(session, place, int(tag), vr, old, creators)
                if new is old:
                    kept[tag] = element
                elif new is not None:
                    value = padded(vr, new)
                    kept[tag] = element._replace(value=value, length=len(value))
        except EncodingError as error:
            raise files.DicomFileError(f"a sequence is damaged: {error}") from error
        self._drop_creators(kept, creators)
        self._stamp(kept, session, encoding)
        return self._dataset(dataset, kept, encoding)

    def _session(self, subject: Subject, identifiers: Identifiers) -> _Session:
        key = (subject, identifiers)
        if key not in self._sessions:
            self._sessions.clear()
            matcher = identifiers.matcher(SHORTEST_TO_CLEAN, self.rules.exemptions.all_words)
            self._sessions[key] = _Session(subject, matcher, cleaning.TextCleaner(matcher))
        return self._sessions[key]

    def _value(
        self,
        session: _Session,
        place: _Place,
        tag: int,
        vr: str,
        value: bytes,
        creators: dict[int, dict[int, Action]],
    ) -> bytes | None:
        """Give what stands for a value: the same object where it stays, None where the element goes."""
        if tag & 0x10000:
            action = self._private_action(tag, value, creators)
        else:
            known = (tag, vr)
            found = self._actions.get(known)
            if found is None:
                found = self._actions[known] = self.rules.action(tag, vr)
            action = found
        if action is Action.KEEP or (not value and action not in {Action.REMOVE, Action.SUBJECT, Action.DUMMY}):
            return value
        if action is Action.REMOVE:
            return None
        key = (action, vr, place, value)
        try:
            cached = session.values[key]
        except KeyError:
            new = self._handlers[action](session, place, vr, value)
            session.remember(key, value, new)
            return value if new == value else new
        return value if cached == value else cached

    def _private_action(self, tag: int, value: bytes, creators: dict[int, dict[int, Action]]) -> Action:
        element = tag & 0xFFFF
        if 0x10 <= element <= 0xFF:  # noqa: PLR2004 - it reserves a block (PS3.5 section 7.8.1)
            name = value.decode("latin-1").strip(" \0")
            creators[(tag & 0xFFFF0000) | element << 8] = self.rules.private(name, tag >> 16)
            return Action.KEEP
        block = creators.get(tag & 0xFFFFFF00)
        return block.get(tag & 0xFF, Action.REMOVE) if block else Action.REMOVE

    @staticmethod
    def _drop_creators(kept: dict[BaseTag, RawDataElement], creators: dict[int, dict[int, Action]]) -> None:
        used = {int(tag) & 0xFFFFFF00 for tag in kept if tag & 0x10000}
        for block in creators:
            if block not in used:
                kept.pop(BaseTag((block & 0xFFFF0000) | (block >> 8 & 0xFF)), None)

    # One method for each action; each is a pure function of the session and the bytes.

    def _clean(self, session: _Session, place: _Place, _vr: str, value: bytes) -> bytes:
        text = decode_bytes(value, list(place.charsets), TEXT_VR_DELIMS)
        cleaned = cleaning.clean(text, session.matcher)
        return value if cleaned is text else encode_string(cleaned, list(place.charsets))

    def _shift(self, session: _Session, _place: _Place, _vr: str, value: bytes) -> bytes:
        return b"\\".join(shifted(part, session.subject.days) for part in value.split(b"\\"))

    def _remap(self, _session: _Session, _place: _Place, _vr: str, value: bytes) -> bytes:
        parts = value.decode("ascii", "replace").rstrip("\0 ").split("\\")
        new = "\\".join(map(self.pseudonyms.uid, parts)).encode("ascii")
        return value if new == value.rstrip(b"\0 ") else new

    def _device(self, _session: _Session, _place: _Place, _vr: str, value: bytes) -> bytes:
        return self.pseudonyms.device(value.decode("latin-1")).encode("ascii")

    def _age(self, _session: _Session, _place: _Place, _vr: str, value: bytes) -> bytes:
        found = _AGE.fullmatch(value.strip(b" \0"))
        if found is None:
            return value if re.fullmatch(rb"\d{3}[DWM]", value.strip(b" \0")) else b""
        return b"%03dY" % (_OLDEST + 1) if int(found[1]) > _OLDEST else value

    def _number(self, session: _Session, _place: _Place, vr: str, value: bytes) -> bytes:
        if vr in _BINARY_NUMBERS or _NUMBERS.fullmatch(value):
            return value
        if vr not in _OPAQUE:
            return b""
        # Without a VR (implicit encoding) a number can be binary; a longer readable value is none.
        if len(value) > _LONGEST_NUMBER and _READABLE.fullmatch(value):
            return b""
        return cleaning.blank(value, session.matcher)

    def _contents(self, session: _Session, place: _Place, vr: str, value: bytes) -> bytes:
        if vr not in {"SQ", "UN"}:
            return b""
        # A sequence whose VR was not known is implicit (PS3.5 section 6.2.2).
        inner = _place(IMPLICIT_LITTLE, place.charsets) if vr == "UN" else place
        return b"".join(
            inner.encoding.item(self._item(session, inner, value[first:last]))
            for first, last in inner.encoding.items(value)
        )

    def _item(self, session: _Session, place: _Place, data: bytes) -> bytes:
        key = ("item", place, data)
        if key in session.values:
            return session.values[key] or b""
        encoding = place.encoding
        creators: dict[int, dict[int, Action]] = {}
        parts: list[tuple[int, bytes]] = []
        for token in encoding.tokens(data):
            if token.tag & 0xFFFF == 0:
                continue
            old = data[token.value : token.value_end]
            vr = token.vr
            if token.tag == SPECIFIC_CHARACTER_SET:
                place = _place(encoding, files.charsets(old))
            if (
                encoding.implicit
                and vr == "UN"
                and creators.get(token.tag & 0xFFFFFF00, {}).get(token.tag & 0xFF) is Action.CONTENTS
            ):
                vr = "SQ"
            new = self._value(session, place, token.tag, vr, old, creators)
            if new is old and not token.undefined:
                parts.append((token.tag, data[token.start : token.end]))
            elif new is not None:
                parts.append((token.tag, encoding.element(token.tag, vr, new)))
        if creators:
            used = {tag & 0xFFFFFF00 for tag, _ in parts}
            unused = {(block & 0xFFFF0000) | (block >> 8 & 0xFF) for block in creators if block not in used}
            parts = [(tag, part) for tag, part in parts if tag not in unused]
        return session.remember(key, data, b"".join(part for _, part in parts)) or b""

    def _csa(self, session: _Session, _place: _Place, _vr: str, value: bytes) -> bytes:
        if not csa.is_csa(value):
            return self._protocol(session, _place, _vr, value)
        try:
            return csa.clean(value, self.rules.csa, session.cleaner, lambda inner: self._ascconv(session, inner))
        except csa.CsaError:
            return b""

    def _protocol(self, session: _Session, _place: _Place, _vr: str, value: bytes) -> bytes:
        return self._ascconv(session, value)

    def _ascconv(self, session: _Session, value: bytes) -> bytes:
        key = ("ascconv", value)
        if key in session.values:
            return session.values[key] or b""
        rules = self.rules
        cleaned = protocols.clean_ascconv(value, rules.protocol_strings, rules.protocol_versions, session.cleaner)
        return session.remember(key, value, cleaned) or b""

    def _ge_protocol(self, session: _Session, _place: _Place, _vr: str, value: bytes) -> bytes:
        return protocols.clean_ge_protocol(
            value, self.rules.ge_protocol_drop, lambda text: cleaning.clean(text, session.matcher)
        )

    # What is added.

    def _stamp(self, kept: dict[BaseTag, RawDataElement], session: _Session, encoding: Encoding) -> None:
        label = session.subject.name.encode("ascii")
        method = f"heartbrain-ingest {__version__} rules {self.rules.version}".encode("ascii")
        earlier = self._kept_value(kept, 0x00120063).strip(b" ")
        if earlier and method not in earlier:
            method = earlier + b"\\" + method
        items = self._kept_value(kept, 0x00120064)
        for code, meaning in self.rules.codes:
            if code.encode("ascii") not in items:
                items += encoding.item(
                    encoding.element(0x00080100, "SH", code.encode("ascii"))
                    + encoding.element(0x00080102, "SH", b"DCM")
                    + encoding.element(0x00080104, "LO", meaning.encode("ascii"))
                )
        moved = self.rules.action(0x00080020, "DA") is Action.SHIFT
        for tag, vr, content in (
            (0x00100010, "PN", label),
            (0x00100020, "LO", label),
            (0x00120062, "CS", b"YES"),
            (0x00120063, "LO", method),
            (0x00120064, "SQ", items),
            (0x00280303, "CS", b"MODIFIED" if moved else b"REMOVED"),
        ):
            value = padded(vr, content)
            kept[BaseTag(tag)] = RawDataElement(
                BaseTag(tag),
                None if encoding.implicit else vr,
                len(value),
                value,
                0,
                encoding.implicit,
                encoding.little,
            )

    @staticmethod
    def _kept_value(kept: dict[BaseTag, RawDataElement], tag: int) -> bytes:
        element = kept.get(BaseTag(tag))
        return b"" if element is None or not element.value else element.value

    def _dataset(self, old: Dataset, kept: dict[BaseTag, RawDataElement], encoding: Encoding) -> Dataset:
        new = Dataset({tag: kept[tag] for tag in sorted(kept, key=int)})
        new.file_meta = type(old.file_meta)()
        for keyword in ("MediaStorageSOPClassUID", "TransferSyntaxUID", "ImplementationVersionName"):
            # dcm2niix tells some software versions by the ImplementationVersionName.
            if keyword in old.file_meta:
                setattr(new.file_meta, keyword, old.file_meta[keyword].value)
        if "MediaStorageSOPClassUID" not in new.file_meta and "SOPClassUID" in new:
            new.file_meta.MediaStorageSOPClassUID = new.SOPClassUID
        instance = self._kept_value(kept, 0x00080018).rstrip(b"\0 ")
        if instance:
            new.file_meta.MediaStorageSOPInstanceUID = UID(instance.decode("ascii", "replace"))
        elif "MediaStorageSOPInstanceUID" in old.file_meta:
            uid = self.pseudonyms.uid(str(old.file_meta.MediaStorageSOPInstanceUID))
            new.file_meta.MediaStorageSOPInstanceUID = UID(uid)
        new.file_meta.ImplementationClassUID = UID(files.IMPLEMENTATION_CLASS_UID)
        new.set_original_encoding(encoding.implicit, encoding.little, list(files.charsets_of(new)))
        return new
