"""Free text keeps its words and loses what names people (PS3.15 section E.3.6, Clean Descriptors)."""

from __future__ import annotations

import re
from typing import Final

from heartbrain_ingest.deidentify.identifiers import Matcher

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
    re.compile(r"(?<![\d.])\d{7,}(?!\.?\d)"),
    # somebody with a title
    re.compile(r"\b(?:Dr|Prof|Mr|Mrs|Ms|Herr|Frau|Hr|Fr)\b\.?(?:\s+(?:med|Dr|phil|rer|nat)\b\.?)*\s+[A-ZÀ-Þ][\w'-]+"),
)
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
    """Cleans the many short texts of private headers, each only once."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._cleaned: dict[bytes, bytes] = {}

    def clean(self, value: bytes) -> bytes:
        """Clean a text; those of private headers are ASCII, or Latin-1 on a scanner set so."""
        cleaned = self._cleaned.get(value)
        if cleaned is None:
            text = value.decode("latin-1")
            cleaned = clean(text, self._matcher).encode("latin-1")
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
