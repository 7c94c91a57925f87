"""The files of a series are laid out alike: what was found in one of them is not looked for again in the next.

A layout holds where each element lies. It is that of another file if the same tags, value representations and lengths
stand at the same places: to compare those takes a tenth of the time that it takes to find them. And most of its values
are those of the file before, so that whole stretches of elements need not be looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from heartbrain_ingest.dicom.encoding import SPECIFIC_CHARACTER_SET, Encoding, Token

_PREAMBLE: Final = 128
#: Sequences of undefined length are parts of a layout as a whole, up to this number of bytes in all.
_LARGEST_FIXED: Final = 16 * 1024
#: Layouts for each size of a file, sizes, layouts in all (40 kB each), and those of which the latest file is kept.
_MOST: Final = 6
_MOST_SIZES: Final = 4096
_MOST_LAYOUTS: Final = 400
_MOST_LATEST: Final = 200
#: Bytes of a stretch of elements: so many that few comparisons do, so few that most are the same in the next file.
STRETCH: Final = 384
#: Layouts that may be noted before the first of them is of use.
_CREDIT: Final = 16
#: Elements that differ from one image of a series to the next, as a rule: they stand alone. InstanceCreationTime,
#: SOPInstanceUID, AcquisitionDateTime, AcquisitionTime, ContentTime, TriggerTime, AcquisitionNumber, InstanceNumber,
#: ImagePositionPatient, TemporalPositionIdentifier, SliceLocation, smallest and largest pixel value, window; Siemens'
#: times and place of slices.
VARYING: Final = frozenset(
    {0x00080013, 0x00080018, 0x0008002A, 0x00080032, 0x00080033, 0x00181060, 0x00200012, 0x00200013, 0x00200032}
    | {0x00200100, 0x00201041, 0x00280106, 0x00280107, 0x00281050, 0x00281051, 0x00191015, 0x00191016, 0x00191029}
    | {0x0051100D}
)
#: Elements whose values belong to the layout: what they say is worked out once. Those of the file meta group (class,
#: transfer syntax, implementation), character set, and what says how large the pixels are.
_FIXED: Final = frozenset(
    {0x00020002, 0x00020010, 0x00020012, 0x00020013, SPECIFIC_CHARACTER_SET, 0x00080016}
    | {0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280100}
)


@dataclass(frozen=True, eq=False, slots=True)
class Pattern:
    """What some bytes have in common with others: the same bytes at the same places."""

    form: struct.Struct
    expected: tuple[bytes, ...]

    def fits(self, data: bytes) -> bool:
        """Say whether some bytes, as many as those of the pattern, have that in common."""
        return self.form.unpack_from(data) == self.expected


def pattern(data: bytes, ranges: Iterable[tuple[int, int]]) -> Pattern | None:
    """Give the pattern of what stands at some places, first and first byte behind each; None if there is too much.

    The places are in their order; where one begins before the one before it ends, there is no pattern.
    """
    parts, position, size = ["="], 0, 0
    for first, last in ranges:
        size += last - first
        if first < position or size > _LARGEST_FIXED:
            return None
        parts.append(f"{first - position}x{last - first}s")
        position = last
    form = struct.Struct("".join(parts))
    return Pattern(form, form.unpack_from(data))


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Layout:
    """Where everything lies in files that are laid out alike; one object stands for all of them."""

    pattern: Pattern
    #: Tag, first byte and first byte behind the value, of the file meta group.
    meta: tuple[tuple[int, int, int], ...]
    #: First byte behind the file meta group.
    body: int
    syntax: str
    encoding: Encoding
    #: All elements in the order of the file, with group lengths and those whose tag comes again.
    tokens: tuple[Token, ...]
    elements: Mapping[int, Token]
    has_pixels: bool
    #: Bytes of uncompressed pixel data that the header announces.
    pixel_bytes: int

    def fits(self, data: bytes) -> bool:
        """Say whether a file of the same size is laid out like this."""
        return self.pattern.fits(data)


class _Fitting(Protocol):
    def fits(self, data: bytes) -> bool: ...


_T = TypeVar("_T", bound=_Fitting)


@dataclass(slots=True)
class _Shelf(Generic[_T]):
    """The layouts of one size, the latest first."""

    layouts: list[_T] = field(default_factory=list)
    #: How many more may be noted before one is of use: where no two files are alike, noting is a waste.
    credit: int = _CREDIT


class Layouts(Generic[_T]):
    """Remembers the layouts of what was read last: of files, or of items of sequences."""

    def __init__(self) -> None:
        #: None where one file of that size came so far: it may be the only one.
        self._shelves: dict[tuple[object, int], _Shelf[_T] | None] = {}
        self._count = 0

    def find(self, part: object, data: bytes) -> _T | None:
        """Give the layout of some bytes where it is known."""
        shelf = self._shelves.get((part, len(data)))
        if shelf is None:
            return None
        for layout in shelf.layouts:
            if layout.fits(data):
                shelf.credit = _CREDIT
                return layout
        return None

    def is_wanted(self, part: object, data: bytes) -> bool:
        """Say whether the layout of a file is worth noting: another one of its size came before."""
        key = (part, len(data))
        if key not in self._shelves:
            if len(self._shelves) >= _MOST_SIZES:
                self._shelves.clear()
                self._count = 0
            self._shelves[key] = None
            return False
        shelf = self._shelves[key]
        if shelf is None:
            shelf = self._shelves[key] = _Shelf()
        return shelf.credit > 0

    def note(self, part: object, data: bytes, layout: _T) -> None:
        """Remember the layout of a file."""
        shelf = self._shelves.get((part, len(data)))
        if shelf is not None:
            shelf.credit -= 1
            shelf.layouts.insert(0, layout)
            self._count += 1 if len(shelf.layouts) <= _MOST else 0
            del shelf.layouts[_MOST:]
            if self._count > _MOST_LAYOUTS:
                self._shelves.clear()
                self._count = 0


class Spot(NamedTuple):
    """Where an element lies, or bytes between elements."""

    tag: int
    #: Empty for what is no element.
    vr: str
    start: int
    #: First byte of the value.
    value: int
    #: First byte after the value.
    end: int


class Stretch(NamedTuple):
    """Neighbouring elements: first byte, first byte behind them, and each of them."""

    first: int
    last: int
    spots: tuple[Spot, ...]


def stretches(spots: Iterable[Spot]) -> tuple[Stretch, ...]:
    """Put neighbouring elements together, as many as are worth one comparison."""
    found: list[Stretch] = []
    last: Stretch | None = None
    for spot in spots:
        if spot.tag in VARYING:
            found.append(Stretch(spot.start, spot.end, (spot,)))
            last = None
            continue
        if last and last.last == spot.start and spot.end - last.first <= STRETCH:
            found[-1] = Stretch(last.first, spot.end, (*last.spots, spot))
        else:
            found.append(Stretch(spot.start, spot.end, (spot,)))
        last = found[-1]
    return tuple(found)


class Latest:
    """Remembers what stood in the latest file of each layout."""

    def __init__(self) -> None:
        self._files: dict[Layout, list[bytes]] = {}

    def compare(self, layout: Layout, data: bytes, found: Sequence[Stretch]) -> tuple[list[Spot], list[bytes]]:
        """Say which elements are to be looked at because something near them is not as in the file before.

        Parameters
        ----------
        layout
            Of the file.
        data
            Its bytes.
        found
            The stretches of the layout that matter; the same at each call.

        Returns
        -------
        list of elements, list of bytes
            Those to be looked at, and what to `keep` when that went well.
        """
        now = [data[first:last] for first, last, _ in found]
        before = self._files.get(layout)
        if before is None:
            return [spot for stretch in found for spot in stretch.spots], now
        news: list[Spot] = []
        for index, stretch in enumerate(now):
            if stretch != before[index]:
                news += found[index].spots
        return news, now

    def keep(self, layout: Layout, now: list[bytes]) -> None:
        """Remember a file."""
        if len(self._files) >= _MOST_LATEST:
            self._files.clear()
        self._files[layout] = now


def describe(
    data: bytes,
    *,
    meta: Sequence[Token],
    tokens: Sequence[Token],
    syntax: str,
    encoding: Encoding,
    elements: Mapping[int, Token],
    has_pixels: bool,
    pixel_bytes: int,
) -> Layout | None:
    """Give the layout of a file with preamble; None where its elements do not follow one another without a gap.

    Parameters
    ----------
    data
        The file, or its beginning up to the pixel data.
    meta, tokens
        The elements of the file meta group and those behind it, in the order of the file.
    """
    body = meta[-1].end if meta else _PREAMBLE + 4
    end = tokens[-1].end if tokens else body
    ranges = [(_PREAMBLE, _PREAMBLE + 4), *fixed(meta), *fixed(tokens), (end, min(end + 4, len(data)))]
    heads = pattern(data, ranges)
    if heads is None:
        return None
    return Layout(
        pattern=heads,
        meta=tuple((token.tag, token.value, token.value_end) for token in meta),
        body=body,
        syntax=syntax,
        encoding=encoding,
        tokens=tuple(tokens),
        elements=elements,
        has_pixels=has_pixels,
        pixel_bytes=pixel_bytes,
    )


def fixed(tokens: Iterable[Token]) -> Iterable[tuple[int, int]]:
    """Give first byte and first byte behind what two files must have in common, element by element."""
    for token in tokens:
        is_creator = token.tag & 0x10000 and 0x10 <= token.tag & 0xFFFF <= 0xFF  # noqa: PLR2004 - PS3.5 section 7.8.1
        whole = token.undefined or is_creator or token.tag in _FIXED
        yield token.start, token.end if whole else token.value
