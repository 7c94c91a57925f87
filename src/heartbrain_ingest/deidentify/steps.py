"""What is to be done to all files of one layout, worked out once: which bytes are copied, which elements change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from heartbrain_ingest.deidentify.table import Action
from heartbrain_ingest.dicom.encoding import PIXEL_DATA, SPECIFIC_CHARACTER_SET, Encoding, Token
from heartbrain_ingest.dicom.files import charsets
from heartbrain_ingest.dicom.layouts import STRETCH, VARYING, Pattern, fixed, pattern

#: What stays of a private block whose creator is not known.
_NOTHING: Final[dict[int, Action]] = {}
#: Bytes of tag and length of an item (PS3.5 section 7.5.1).
_ITEM_HEADER: Final = 8
#: Longer elements that stay are never compared.
_LONGEST: Final = 4096


@dataclass(frozen=True, eq=False)
class Place:
    """How the text and the numbers around a value are written; one object for each way, so that it hashes fast."""

    encoding: Encoding
    #: Python names of the character sets.
    charsets: tuple[str, ...]


class Step(NamedTuple):
    """What becomes of one element."""

    token: Token
    action: Action
    place: Place
    #: Whether its bytes stay as they are.
    is_copied: bool


class Rulebook:
    """Looks up what the rules say of the elements of a data set or an item.

    Parameters
    ----------
    standard
        Gives the action for an attribute of the standard, by tag and VR.
    private
        Gives the actions of a private block by name of the creator and group.
    place
        Gives the object that stands for a way to write.
    """

    def __init__(
        self,
        standard: Callable[[int, str], Action],
        private: Callable[[str, int], dict[int, Action]],
        place: Callable[[Encoding, tuple[str, ...]], Place],
    ) -> None:
        self._standard = standard
        self._private = private
        self._place = place
        self._actions: dict[tuple[int, str], Action] = {}

    def steps(self, data: bytes, tokens: Iterable[Token], place: Place) -> list[Step]:
        """Give the elements that stay, in their order, and what becomes of each."""
        actions, keep, remove = self._actions, Action.KEEP, Action.REMOVE
        creators: dict[int, dict[int, Action]] = {}
        used: set[int] = set()
        found: list[Step] = []
        for token in tokens:
            tag, vr, _, value, value_end, _, undefined = token
            if not tag & 0x10000:
                action = actions.get((tag, vr)) or self._standard_action(tag, vr)
            elif 0x10 <= tag & 0xFFFF <= 0xFF:  # noqa: PLR2004 - it reserves a block (PS3.5 section 7.8.1)
                name = data[value:value_end].decode("latin-1").strip(" \0")
                creators[(tag & 0xFFFF0000) | (tag & 0xFF) << 8] = self._private(name, tag >> 16)
                action = keep
            else:
                action = creators.get(tag & 0xFFFFFF00, _NOTHING).get(tag & 0xFF, remove)
                if action is not remove:
                    used.add(tag & 0xFFFFFF00)
            if action is remove or tag & 0xFFFF == 0:  # group lengths are retired (PS3.5 section 7.2)
                continue
            if tag == SPECIFIC_CHARACTER_SET:
                place = self._place(place.encoding, charsets(data[value:value_end]))
            is_copied = action is keep and (tag == PIXEL_DATA if undefined else not (value_end - value) & 1)
            found.append(Step(token, action, place, is_copied))
        unused = {(block & 0xFFFF0000) | (block >> 8 & 0xFF) for block in creators if block not in used}
        return [step for step in found if step.token.tag not in unused] if unused else found

    def _standard_action(self, tag: int, vr: str) -> Action:
        action = self._actions[tag, vr] = self._standard(tag, vr)
        return action


class Copied(NamedTuple):
    """Bytes of the file that stay as they are."""

    first: int
    last: int


@dataclass(slots=True, eq=False)
class Stretch:
    """Some elements that follow one another in the file, and what they became in the file before."""

    #: First byte and first byte behind them.
    first: int
    last: int
    #: One after the other: bytes to copy, elements to change, bytes that are the same in every file.
    parts: list[Copied | Step | bytes]
    seen: bytes | None = None
    made: bytes = b""


@dataclass(frozen=True)
class Recipe:
    """How a file is put together."""

    parts: tuple[Copied | Stretch, ...]
    #: Where the element stands alone that is asked for; None where it goes.
    named: Stretch | None


def recipe(steps: Sequence[Step], added: Mapping[int, bytes], named: int) -> Recipe:
    """Put the steps of a data set into the order of their tags, neighbours together.

    Parameters
    ----------
    steps
        Of the elements of a file.
    added
        Elements that every file gets, by tag, in place of its own.
    named
        Tag of an element that is to be found again; it stands alone.
    """
    parts: dict[int, Step | bytes] = {step.token.tag: step for step in steps}
    parts.update(added)
    found: list[Copied | Stretch] = []
    #: The stretch that goes on.
    last: Stretch | None = None
    alone: Stretch | None = None
    for tag, part in sorted(parts.items()):
        if isinstance(part, bytes):
            if last is None:
                last = Stretch(0, 0, [])
                found.append(last)
            last.parts.append(part)
            continue
        token = part.token
        own: Copied | Step = Copied(token.start, token.end) if part.is_copied else part
        if part.is_copied and token.end - token.start > _LONGEST:
            found.append(Copied(token.start, token.end))
            last = None
        elif tag == named or tag in VARYING:
            single = Stretch(token.start, token.end, [own])
            found.append(single)
            alone = single if tag == named else alone
            last = None
        elif last and last.last and last.last <= token.start and token.end - last.first <= STRETCH:
            last.parts.append(own)
            last.last = token.end
        else:
            last = Stretch(token.start, token.end, [own])
            found.append(last)
    return Recipe(tuple(found), alone)


class Fixed(NamedTuple):
    """A step whose result has the same number of bytes in each item that is laid out alike."""

    step: Step
    size: int


@dataclass(frozen=True, eq=False, slots=True)
class ItemRecipe:
    """How an item is put together whose sequences, elements and lengths are those of another one.

    The frames of an enhanced image are such items (PS3.3 section C.7.6.16.1.2).
    """

    pattern: Pattern
    #: One after the other: bytes to copy, elements to change, the headers of sequences and items.
    parts: tuple[Copied | Fixed | bytes, ...]

    def fits(self, data: bytes) -> bool:
        """Say whether an item of the same length is laid out like this."""
        return self.pattern.fits(data)


class ItemReader:
    """Makes the recipe of an item out of one that stands for those like it.

    Parameters
    ----------
    rulebook
        What the rules say.
    changed
        Gives the element that a step makes of one of the item; None where it goes.
    """

    def __init__(self, rulebook: Rulebook, data: bytes, changed: Callable[[Step], bytes | None]) -> None:
        self._rulebook = rulebook
        self._data = data
        self._changed = changed
        self._ranges: list[tuple[int, int]] = []

    def recipe(self, place: Place) -> ItemRecipe | None:
        """Give the recipe; None where lengths are undefined, or there is nothing to be gained."""
        parts = self._parts(0, len(self._data), place)
        common = None if parts is None else pattern(self._data, sorted(self._ranges))
        return None if parts is None or common is None else ItemRecipe(common, tuple(_joined(parts)))

    def _parts(self, first: int, last: int, place: Place) -> list[Copied | Fixed | bytes] | None:
        data = self._data
        tokens = place.encoding.tokens(data, first, last)
        if any(token.undefined for token in tokens) or (tokens[-1].end if tokens else first) != last:
            return None
        self._ranges += fixed(tokens)
        found: list[Copied | Fixed | bytes] = []
        for step in self._rulebook.steps(data, tokens, place):
            token = step.token
            if step.is_copied:
                found.append(Copied(token.start, token.end))
            elif step.action is Action.CONTENTS and token.vr == "SQ":
                inner = self._sequence(step)
                if inner is None:
                    return None
                found.append(step.place.encoding.header(token.tag, token.vr, _size(inner)))
                found += inner
            else:
                found.append(Fixed(step, len(self._changed(step) or b"")))
        return found

    def _sequence(self, step: Step) -> list[Copied | Fixed | bytes] | None:
        found: list[Copied | Fixed | bytes] = []
        encoding = step.place.encoding
        position = step.token.value
        for first, last in encoding.items(self._data, step.token.value, step.token.value_end):
            # Before the first element of an item stand its tag and its length.
            if first != position + _ITEM_HEADER:
                return None
            self._ranges.append((position, first))
            inner = self._parts(first, last, step.place)
            if inner is None:
                return None
            found.append(encoding.item(bytes(_size(inner)))[:_ITEM_HEADER])
            found += inner
            position = last
        return found if position == step.token.value_end else None


def _size(parts: Iterable[Copied | Fixed | bytes]) -> int:
    sizes = (
        len(part) if isinstance(part, bytes) else part.size if isinstance(part, Fixed) else part.last - part.first
        for part in parts
    )
    return sum(sizes)


def _joined(parts: Iterable[Copied | Fixed | bytes]) -> Iterator[Copied | Fixed | bytes]:
    """Put neighbours together: what is the same in each item, and what is copied."""
    waiting: Copied | bytes = b""
    for part in parts:
        if isinstance(part, bytes) and isinstance(waiting, bytes):
            waiting += part
        elif isinstance(part, Copied) and isinstance(waiting, Copied) and waiting.last == part.first:
            waiting = Copied(waiting.first, part.last)
        else:
            if waiting != b"":
                yield waiting
            waiting = b""
            if isinstance(part, Fixed):
                yield part
            else:
                waiting = part
    if waiting != b"":
        yield waiting
