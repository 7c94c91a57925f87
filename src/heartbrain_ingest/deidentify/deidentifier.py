"""Apply the rules to a data set: the one place where values of a header are changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from pydicom.charset import encode_string

from heartbrain_ingest import __version__
from heartbrain_ingest.deidentify import cleaning, csa, protocols
from heartbrain_ingest.deidentify.dates import shifted
from heartbrain_ingest.deidentify.identifiers import SHORTEST_TO_CLEAN, Identifiers, Matcher
from heartbrain_ingest.deidentify.pseudonyms import Pseudonyms, Subject
from heartbrain_ingest.deidentify.rules import Rules
from heartbrain_ingest.deidentify.steps import (
    Copied,
    Fixed,
    ItemReader,
    ItemRecipe,
    Place,
    Recipe,
    Rulebook,
    Step,
    Stretch,
    recipe,
)
from heartbrain_ingest.deidentify.table import Action
from heartbrain_ingest.dicom import DicomFile, DicomFileError, files
from heartbrain_ingest.dicom.encoding import (
    IMPLICIT_LITTLE,
    PIXEL_DATA,
    Encoding,
    EncodingError,
    Token,
)
from heartbrain_ingest.dicom.layouts import Layout, Layouts
from heartbrain_ingest.dicom.spectra import is_complex_numbers

_NUMBERS: Final = re.compile(rb"[-+0-9.eE \\\0]*")
_BINARY_NUMBERS: Final = frozenset({"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
#: VRs that do not tell text from numbers.
_OPAQUE: Final = frozenset({"UN", "OB", "OW"})
_BLOCKS: Final = frozenset({"OB", "OF", "OW", "UN"})
_READABLE: Final = re.compile(rb"[\x20-\x7e]+\0?")
_LONGEST_NUMBER: Final = 8
#: Names of implementations that are known to be none of a person: of scanners, archives and libraries.
_VERSION: Final = re.compile(
    rb"(?i)(?:MR_?V|XA|SIEMENS|SYNGO|GE|PHILIPS|PMS|MR ?DCM|TOSHIBA|TM_|CANON|UIH|HITACHI|BRUKER|OFFIS|DCMTK|DCM4CHE"
    rb"|MERGECOM|PYDICOM|GDCM|OSIRIX|HOROS|DICOM|ORTHANC|CTP|LEADTOOLS|CONQUEST|AGFA|VISUS|IMPAX|CENTRICITY)"
    rb"[A-Z]{0,6}[\d._ -][\d\w. -]*"
)
_AGE: Final = re.compile(rb"(\d{3})Y")
_OLDEST: Final = 89
_SOP_CLASS: Final = 0x00080016
_SOP_INSTANCE: Final = 0x00080018
#: DeidentificationMethod and its codes.
_METHOD: Final = 0x00120063
_METHOD_CODES: Final = 0x00120064
_MOST_STAMPS: Final = 100
#: Layouts of files for which it is remembered what to do.
_MOST_RECIPES: Final = 200
#: Longer elements, pixel data above all, are not copied before the file is put together.
_LARGE: Final = 64 * 1024
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
    csa: csa.CsaCleaner
    #: What was stamped, by what stood there before.
    stamps: dict[tuple[Place, bytes, bytes], dict[int, bytes]] = field(default_factory=dict)
    #: What to do to the files of a layout; None where each has to be looked at.
    recipes: dict[Layout, Recipe | None] = field(default_factory=dict)
    #: What to do to items of sequences, by the way they are written.
    items: Layouts[ItemRecipe] = field(default_factory=Layouts)
    #: (action, place, element) to the element that stands for it, and the like for parts of values; None: it goes.
    known: dict[tuple[object, ...], bytes | None] = field(default_factory=dict)
    #: Bytes in it.
    size: int = 0

    def remember(self, key: tuple[object, ...], old: bytes, new: bytes | None) -> bytes | None:
        """Keep what something became; forget all when it gets too much."""
        if self.size > _MEMORY:
            self.known.clear()
            self.size = 0
        self.known[key] = new
        self.size += _OVERHEAD + len(old) + len(new or b"")
        return new


place_of = lru_cache(maxsize=64)(Place)


class Deidentifier:
    """De-identifies data sets by the rules, with the site's pseudonyms."""

    def __init__(self, rules: Rules, pseudonyms: Pseudonyms) -> None:
        self.rules = rules
        self.pseudonyms = pseudonyms
        self._sessions: dict[tuple[Subject, Identifiers], _Session] = {}
        self._rulebook = Rulebook(rules.action, rules.private, place_of)
        self._handlers: dict[Action, Callable[[_Session, Place, str, bytes], bytes | None]] = {
            Action.REMOVE: lambda *_: None,
            Action.EMPTY: lambda *_: b"",
            Action.DUMMY: lambda _s, _p, vr, _v: _DUMMIES.get(vr, b""),
            Action.CLEAN: self._clean,
            Action.VOCABULARY: self._words,
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
            Action.SPECTRUM: self._spectrum,
            Action.BLANK_TEXT: lambda session, _p, _v, value: cleaning.blank(value, session.matcher),
        }

    def deidentify(self, file: DicomFile, subject: Subject, identifiers: Identifiers) -> bytes:
        """Give the bytes of a new file in which nothing identifies a person; the same input gives the same bytes.

        Parameters
        ----------
        file
            As `dicom.read` gives it.
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
        place = place_of(file.encoding, file.charsets)
        known = self._recipe(session, place, file)
        tokens = [] if known else [file.elements[tag] for tag in sorted(file.elements)]
        try:
            if known:
                return self._follow(known, session, place, file)
            elements = dict(self._elements(session, place, file.data, tokens))
        except EncodingError as error:
            raise DicomFileError(f"a sequence is damaged: {error}") from error
        self._stamp(elements, session, place)
        if PIXEL_DATA in elements:
            elements[PIXEL_DATA] = _pixels(file, elements[PIXEL_DATA])
        return b"".join((self._opening(file, elements, place), *(elements[tag] for tag in sorted(elements))))

    def _session(self, subject: Subject, identifiers: Identifiers) -> _Session:
        key = (subject, identifiers)
        if key not in self._sessions:
            self._sessions.clear()
            matcher = identifiers.matcher(SHORTEST_TO_CLEAN, self.rules.exemptions.all_words)
            cleaner = cleaning.TextCleaner(matcher, self.pseudonyms.uuid)
            self._sessions[key] = _Session(subject, matcher, cleaner, self._csa_cleaner(cleaner))
        return self._sessions[key]

    def clean_text(self, text: str, identifiers: Identifiers) -> str:
        """Take the identifiers of a session out of a text that is no part of a header."""
        return cleaning.clean(text, identifiers.matcher(SHORTEST_TO_CLEAN, self.rules.exemptions.all_words))

    def _csa_cleaner(self, cleaner: cleaning.TextCleaner) -> csa.CsaCleaner:
        return csa.CsaCleaner(self.rules.csa, cleaner, lambda protocol: self._clean_protocol(protocol, cleaner))

    def _elements(
        self, session: _Session, place: Place, data: bytes, tokens: Iterable[Token]
    ) -> list[tuple[int, bytes | memoryview]]:
        """Give tag and bytes of the elements that stand for those of a data set or an item, in their order."""
        parts: list[tuple[int, bytes | memoryview]] = []
        for step in self._rulebook.steps(data, tokens, place):
            token = step.token
            if step.is_copied:
                size = token.end - token.start
                source = data if size < _LARGE else memoryview(data)
                parts.append((token.tag, source[token.start : token.end]))
            elif (new := self._made(session, data, step)) is not None:
                parts.append((token.tag, new))
        return parts

    def _made(self, session: _Session, data: bytes, step: Step) -> bytes | None:
        """Give the element that stands for one that changes; None where it goes."""
        (tag, vr, start, value, value_end, end, _), action, place, _ = step
        element = data[start:end]
        key = (action, place, element)
        known = session.known
        if key in known:
            return known[key]
        return session.remember(key, element, self._changed(session, place, action, tag, vr, data[value:value_end]))

    # Files of which the layout is known.

    def _recipe(self, session: _Session, place: Place, file: DicomFile) -> Recipe | None:
        """Give what is to be done to a file laid out like this; None where it has to be looked at."""
        layout = file.layout
        if layout is None:
            return None
        if layout not in session.recipes:
            if len(session.recipes) >= _MOST_RECIPES:
                session.recipes.clear()
            session.recipes[layout] = self._new_recipe(session, place, file)
        return session.recipes[layout]

    def _new_recipe(self, session: _Session, place: Place, file: DicomFile) -> Recipe | None:
        pixels = file.elements.get(PIXEL_DATA)
        # What was stamped before is looked at, and pixel data are cut where there are too many.
        if {_METHOD, _METHOD_CODES} & file.elements.keys() or pixels is None or pixels.undefined:
            return None
        element = file.data[pixels.start : pixels.end]
        if _pixels(file, element) is not element:
            return None
        tokens = [file.elements[tag] for tag in sorted(file.elements)]
        steps = self._rulebook.steps(file.data, tokens, place)
        return recipe(steps, self._stamps(session, place, b"", b""), _SOP_INSTANCE)

    def _follow(self, known: Recipe, session: _Session, place: Place, file: DicomFile) -> bytes:
        """Give the bytes of a new file, put together as for the others of its layout."""
        data = file.data
        view = memoryview(data)
        parts: list[bytes | memoryview] = [b""]
        for part in known.parts:
            if isinstance(part, Stretch):
                stretch = data[part.first : part.last]
                if stretch != part.seen:
                    part.made = b"".join(self._stretch(session, data, part))
                    part.seen = stretch
                parts.append(part.made)
            else:
                parts.append(view[part.first : part.last])
        ends = {_SOP_INSTANCE: known.named.made if known.named else b"", _SOP_CLASS: _element(file, _SOP_CLASS)}
        parts[0] = self._opening(file, ends, place)
        return b"".join(parts)

    def _stretch(self, session: _Session, data: bytes, stretch: Stretch) -> Iterator[bytes]:
        for part in stretch.parts:
            if isinstance(part, Step):
                yield self._made(session, data, part) or b""
            elif isinstance(part, Copied):
                yield data[part.first : part.last]
            else:
                yield part

    def _changed(
        self, session: _Session, place: Place, action: Action, tag: int, vr: str, value: bytes
    ) -> bytes | None:
        """Give the whole element that stands for one; None where it goes."""
        new: bytes | None = value
        if action is not Action.KEEP and (value or action in {Action.SUBJECT, Action.DUMMY}):
            new = self._handlers[action](session, place, vr, value)
        return None if new is None else place.encoding.element(tag, vr, new)

    # One method for each action; each is a pure function of the session and the bytes.

    def _clean(self, session: _Session, place: Place, _vr: str, value: bytes) -> bytes:
        text = files.decoded(value, place.charsets)
        cleaned = cleaning.clean(text, session.matcher)
        return value if cleaned is text else encode_string(cleaned, list(place.charsets))

    def _words(self, session: _Session, place: Place, _vr: str, value: bytes) -> bytes:
        text = files.decoded(value, place.charsets)
        cleaned = self.rules.vocabulary.clean(cleaning.clean(text, session.matcher))
        return value if cleaned == text else encode_string(cleaned, list(place.charsets))

    def _shift(self, session: _Session, _place: Place, _vr: str, value: bytes) -> bytes:
        return b"\\".join(shifted(part, session.subject.days) for part in value.split(b"\\"))

    def _remap(self, _session: _Session, _place: Place, _vr: str, value: bytes) -> bytes:
        parts = value.decode("ascii", "replace").rstrip("\0 ").split("\\")
        new = "\\".join(map(self.pseudonyms.uid, parts)).encode("ascii")
        return value if new == value.rstrip(b"\0 ") else new

    def _device(self, _session: _Session, _place: Place, _vr: str, value: bytes) -> bytes:
        return self.pseudonyms.device(value.decode("latin-1")).encode("ascii")

    def _age(self, _session: _Session, _place: Place, _vr: str, value: bytes) -> bytes:
        found = _AGE.fullmatch(value.strip(b" \0"))
        if found is None:
            return value if re.fullmatch(rb"\d{3}[DWM]", value.strip(b" \0")) else b""
        return b"%03dY" % (_OLDEST + 1) if int(found[1]) > _OLDEST else value

    def _number(self, session: _Session, _place: Place, vr: str, value: bytes) -> bytes:
        if vr in _BINARY_NUMBERS or _NUMBERS.fullmatch(value):
            return value
        if vr not in _OPAQUE:
            return b""
        # Without a VR (implicit encoding) a number can be binary; a longer readable value is none.
        if len(value) > _LONGEST_NUMBER and _READABLE.fullmatch(value):
            return b""
        return cleaning.blank(value, session.matcher)

    def _contents(self, session: _Session, place: Place, vr: str, value: bytes) -> bytes:
        if vr not in {"SQ", "UN"}:
            return b""
        # A sequence whose VR was not known is implicit (PS3.5 section 6.2.2).
        inner = place_of(IMPLICIT_LITTLE, place.charsets) if vr == "UN" else place
        return b"".join(
            inner.encoding.item(self._item(session, inner, value[first:last]))
            for first, last in inner.encoding.items(value)
        )

    def _item(self, session: _Session, place: Place, data: bytes) -> bytes:
        key = ("item", place, data)
        if key in session.known:
            return session.known[key] or b""
        known = session.items.find(place, data)
        made = None if known is None else self._follow_item(known, session, data)
        if made is not None:
            return made
        if session.items.is_wanted(place, data):
            reader = ItemReader(self._rulebook, data, lambda step: self._made(session, data, step))
            new = reader.recipe(place)
            if new is not None:
                session.items.note(place, data, new)
        parts = self._elements(session, place, data, place.encoding.tokens(data))
        return session.remember(key, data, b"".join(part for _, part in parts)) or b""

    def _follow_item(self, known: ItemRecipe, session: _Session, data: bytes) -> bytes | None:
        """Give the bytes of a new item, put together as for others like it; None where a length is another one."""
        parts: list[bytes] = []
        for part in known.parts:
            if isinstance(part, Copied):
                parts.append(data[part.first : part.last])
            elif isinstance(part, Fixed):
                new = self._made(session, data, part.step) or b""
                if len(new) != part.size:
                    return None
                parts.append(new)
            else:
                parts.append(part)
        return b"".join(parts)

    def _csa(self, session: _Session, _place: Place, _vr: str, value: bytes) -> bytes:
        if not csa.is_csa(value):
            return self._protocol(session, _place, _vr, value)
        try:
            return session.csa.clean(value)
        except csa.CsaError:
            return b""

    def _protocol(self, session: _Session, _place: Place, _vr: str, value: bytes) -> bytes:
        return self._clean_protocol(value, session.cleaner)

    def _clean_protocol(self, value: bytes, cleaner: cleaning.TextCleaner) -> bytes:
        return protocols.clean_ascconv(value, self.rules.protocol_strings, self.rules.protocol_versions, cleaner)

    def _spectrum(self, _session: _Session, place: Place, vr: str, value: bytes) -> bytes | None:
        # Bytes (OB) are in the order of the scanner, which is little in all that is known.
        little = place.encoding.little or vr != "OF"
        return value if vr in _BLOCKS and is_complex_numbers(value, little=little) else None

    def _ge_protocol(self, session: _Session, _place: Place, _vr: str, value: bytes) -> bytes:
        return protocols.clean_ge_protocol(
            value, self.rules.ge_protocol_drop, lambda text: cleaning.clean(text, session.matcher)
        )

    # What is added.

    def _stamp(self, elements: dict[int, bytes | memoryview], session: _Session, place: Place) -> None:
        """Say who the subject is now and what was done (PS3.15 section E.1.1)."""
        method, codes = (_value(elements, tag, place.encoding) for tag in (_METHOD, _METHOD_CODES))
        elements.update(self._stamps(session, place, method, codes))

    def _stamps(self, session: _Session, place: Place, method: bytes, codes: bytes) -> dict[int, bytes]:
        key = (place, method, codes)
        stamp = session.stamps.get(key)
        if stamp is None:
            if len(session.stamps) > _MOST_STAMPS:
                session.stamps.clear()
            stamp = session.stamps[key] = self._made_stamp(session.subject, place.encoding, method, codes)
        return stamp

    def _made_stamp(self, subject: Subject, encoding: Encoding, earlier: bytes, items: bytes) -> dict[int, bytes]:
        label = subject.name.encode("ascii")
        method = f"heartbrain-ingest {__version__} rules {self.rules.version}".encode("ascii")
        earlier = earlier.strip(b" ")
        if earlier and method not in earlier:
            method = earlier + b"\\" + method
        for code, meaning in self.rules.codes:
            if code.encode("ascii") not in items:
                items += encoding.item(
                    encoding.element(0x00080100, "SH", code.encode("ascii"))
                    + encoding.element(0x00080102, "SH", b"DCM")
                    + encoding.element(0x00080104, "LO", meaning.encode("ascii"))
                )
        moved = self.rules.action(0x00080020, "DA") is Action.SHIFT
        return {
            tag: encoding.element(tag, vr, value)
            for tag, vr, value in (
                (0x00100010, "PN", label),
                (0x00100020, "LO", label),
                (0x00120062, "CS", b"YES"),
                (_METHOD, "LO", method),
                (_METHOD_CODES, "SQ", items),
                (0x00280303, "CS", b"MODIFIED" if moved else b"REMOVED"),
            )
        }

    def _opening(self, file: DicomFile, elements: Mapping[int, bytes | memoryview], place: Place) -> bytes:
        """Give preamble and file meta group of the new file."""
        instance = _value(elements, _SOP_INSTANCE, place.encoding).rstrip(b"\0 ")
        if not instance and (old := file.meta_text(files.MEDIA_STORAGE_SOP_INSTANCE)):
            instance = self.pseudonyms.uid(old).encode("ascii")
        sop_class = file.meta_text(files.MEDIA_STORAGE_SOP_CLASS).encode("ascii", "replace")
        # dcm2niix tells some software versions by it.
        version = file.meta_text(files.IMPLEMENTATION_VERSION_NAME).encode("ascii", "replace")
        version = version if _VERSION.fullmatch(version) else b""
        meta = {
            files.MEDIA_STORAGE_SOP_CLASS: sop_class or _value(elements, _SOP_CLASS, place.encoding).rstrip(b"\0 "),
            files.MEDIA_STORAGE_SOP_INSTANCE: instance,
            files.TRANSFER_SYNTAX: file.syntax.encode("ascii", "replace"),
            files.IMPLEMENTATION_VERSION_NAME: version,
        }
        return files.opening({tag: value for tag, value in meta.items() if value})


def _element(file: DicomFile, tag: int) -> bytes:
    token = file.elements.get(tag)
    return b"" if token is None else file.data[token.start : token.end]


def _pixels(file: DicomFile, element: bytes | memoryview) -> bytes | memoryview:
    """Give pixel data without what stands behind the last pixel, and without a table of offsets that is none."""
    token = file.elements[PIXEL_DATA]
    if token.undefined:
        return _without_false_offsets(file, token, element)
    announced = files.pixel_bytes(file)
    excess = token.value_end - token.value - announced
    if not announced or excess <= 1:
        return element
    whole = bytearray(element)
    whole[len(whole) - excess :] = bytes(excess)
    return bytes(whole)


def _without_false_offsets(file: DicomFile, token: Token, element: bytes | memoryview) -> bytes | memoryview:
    """Leave the Basic Offset Table (PS3.5 section A.4) out where it holds anything but offsets into the fragments."""
    items = list(file.encoding.items(file.data, token.value, token.value_end))
    if not items or items[0][0] == items[0][1]:
        return element
    first, last = items[0]
    starts = {begin - 8 - last for begin, _ in items[1:]}
    order: Literal["little", "big"] = "little" if file.encoding.little else "big"
    table = (int.from_bytes(file.data[at : at + 4], order) for at in range(first, last, 4))
    if (last - first) % 4 == 0 and all(offset in starts for offset in table):
        return element
    head = first - token.start - 8
    return b"".join((element[:head], file.encoding.item(b""), element[last - token.start :]))


def _value(elements: Mapping[int, bytes | memoryview], tag: int, encoding: Encoding) -> bytes:
    """Give the value of an element that was put together."""
    element = bytes(elements.get(tag, b""))
    return element[encoding.token(element, 0, len(element)).value :] if element else b""
