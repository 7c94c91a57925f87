"""Free text keeps its words and loses what names people (PS3.15 section E.3.6, Clean Descriptors)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from heartbrain_ingest.deidentify.identifiers import Matcher

#: A word with a capital, or in capitals, and perhaps another one that is no abbreviation.
_NAME: Final = r"[A-ZÀ-Þ][\w'-]+(?:[\s_]+[A-ZÀ-Þ][a-zß-ÿ'-]{2,})?"
#: What looks like an identifier even where no header holds it.
_SUSPECT: Final = (
    # a UID
    re.compile(r"(?<![\d.])[0-2](?:\.\d+){5,}(?![\d.]*\w)"),
    # a mail address
    re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"),
    # a date: 2018-09-18, 18.09.2018, 09/18/2018 ...
    re.compile(r"(?<!\d)(?:19|20)\d\d([-./_])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?!\d)"),
    re.compile(r"(?<!\d)(?:0?[1-9]|[12]\d|3[01])([-./_])(?:0?[1-9]|[12]\d|3[01])\1(?:19|20)\d\d(?!\d)"),
    # a date without separators, alone or before a time
    re.compile(r"(?<![\d.])(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?=\d{4}(?:\d\d)?(?!\d)|(?!\d))"),
    # a phone number, a registration number
    re.compile(r"(?<![\w.])(?:\+\d{1,3}|0\d{1,5})(?:[ /-]\d{2,}){1,5}(?![\d.]*\d)"),
    re.compile(r"(?i)(?<![^\W_])(?:tel|telefon|phone|fon|fax|mobile?|handy)\b[\s.:]*[+(\d][\d\s/()-]{4,}\d"),
    re.compile(r"(?<![\d.])\d{7,}(?!\.?\d)"),
    # the number of an insurance, of a case; the forms of the German and of the American ones
    re.compile(
        r"(?i)(?<![^\W_])(?:kv-?nr|vers(?:icherten)?-?(?:nr|nummer)|svnr|ahv|ssn|nhs|mrn|pat(?:ienten)?-?(?:id|nr)"
        r"|fall-?(?:nr|nummer)|case ?no)[\s.:#]*[a-z]?\d[\w.-]*"
    ),
    re.compile(r"(?<![^\W_])[A-Z]\d{9}(?![^\W_])"),
    re.compile(r"(?<![\d.-])\d{3}-\d{2}-\d{4}(?![\d.-])"),
    # somebody with a title
    re.compile(
        r"(?<![^\W_])(?:Dr|DR|Prof|PROF|Mrs|Mr|Ms|Miss|Mme|Herrn?|HERRN?|Frau|FRAU|Hr|Fr|Schwester|Pfleger)\b[\s._]*"
        r"(?:(?:Prof|Dr|DR|med|phil|rer|nat|dent|habil)\b[\s._]*)*" + _NAME
    ),
    # somebody's name or date of birth
    re.compile(
        r"(?<![^\W_])(?:geb|Geb|GEB|geborene?|née|nee|born|DOB|dob|Geburts\w+|maiden name)\b[\s.:_]*"
        r"(?:\d[\d./-]*\d|" + _NAME + ")"
    ),
)
_UUID: Final = re.compile(r"(?<![^\W_])([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![^\W_])\W*)")
_UUID_LENGTH: Final = 36
_MOST_TEXTS: Final = 20000
_MARKS: Final = re.compile(r"([\s_^,;:/\\|-])[\s_^,;:/\\|-]*\Z")
_LEADING: Final = re.compile(r"\A[\s_^,;:|-]+")


def clean(text: str, matcher: Matcher) -> str:
    """Take the identifiers out of a text, and one of the separators where two would meet.

    A text without any comes back unchanged, the same object.
    """
    spans = [(match.start, match.end) for match in matcher.find(text)]
    for pattern in _SUSPECT:
        spans += [match.span() for match in pattern.finditer(text)]
    if not spans:
        return text
    kept = ""
    position = 0
    for start, end in sorted(spans):
        if end <= position:
            continue
        kept = _joined(kept, text[position : max(start, position)])
        position = end
    kept = _joined(kept, text[position:])
    return _MARKS.sub("", _LEADING.sub("", kept))


class TextCleaner:
    """Cleans the many short texts of private headers, each only once.

    Parameters
    ----------
    matcher
        Finds the identifiers of the session.
    keyed
        Gives the UUID that stands for another.
    """

    def __init__(self, matcher: Matcher, keyed: Callable[[str], str]) -> None:
        self._matcher = matcher
        self._keyed = keyed
        self._cleaned: dict[bytes, bytes] = {}

    def clean(self, value: bytes) -> bytes:
        """Clean a text; those of private headers are ASCII, or Latin-1 on a scanner set so."""
        cleaned = self._cleaned.get(value)
        if cleaned is None:
            text = value.decode("latin-1")
            # Texts and UUIDs, with what parts these from what follows, take turns.
            parts = _UUID.split(text)
            parts[0::2] = [clean(part, self._matcher) for part in parts[0::2]]
            parts[1::2] = [self._keyed(part[:_UUID_LENGTH]) + part[_UUID_LENGTH:] for part in parts[1::2]]
            cleaned = "".join(parts).encode("latin-1")
            if len(self._cleaned) < _MOST_TEXTS:
                self._cleaned[value] = cleaned
        return cleaned

    def identifies(self, value: bytes) -> bool:
        """Tell whether a value holds an identifier of the session."""
        return next(self._matcher.find(value.decode("latin-1")), None) is not None


def _joined(left: str, right: str) -> str:
    if not left:
        return right
    if not right:
        return left
    if _LEADING.match(right) and _MARKS.search(left):
        right = _LEADING.sub("", right)
    return left + right


def blank(data: bytes, matcher: Matcher) -> bytes:
    """Overwrite identifiers and dates in a binary block with zeros, at the same length."""
    spans: list[tuple[int, int]] = []
    for run in _READABLE.finditer(data):
        text = run.group().decode("latin-1")
        first = run.start()
        spans += [(first + match.start, first + match.end) for match in matcher.find(text)]
        spans += [(first + found.start(), first + found.end()) for found in _SLASHED_DATE.finditer(text)]
    if not spans:
        return data
    result = bytearray(data)
    for start, end in spans:
        result[start:end] = bytes(end - start)
    return bytes(result)


_READABLE: Final = re.compile(rb"[\x20-\x7e\xa0-\xff]{4,}")
#: GE writes 11/16/118 for 16 November 2018.
_SLASHED_DATE: Final = re.compile(r"(?<!\d)\d{1,2}/\d{1,2}/\d{2,4}(?!\d)")
