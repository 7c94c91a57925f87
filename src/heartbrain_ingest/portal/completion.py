"""Completes a question while it is being typed: words of the language, RecordTypes, properties, values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from heartbrain_ingest.answers import QuestionError
from heartbrain_ingest.portal.datamodel import DataModel, Property, data_model
from heartbrain_ingest.portal.pages import Translate, logged_in, translator
from heartbrain_ingest.portal.questions import MOST_LETTERS, quote
from heartbrain_ingest.portal.values import known_values

MOST = 12
_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<open>['"].*)|(?P<sign>!=|<=|>=|->|[=<>&|(),.@])"""
    r"""|(?P<word>[^\s=<>!&|(),.'"@]+))""",
    re.DOTALL,
)
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Expected(Enum):
    """What may come next."""

    VERB = "verb"
    KIND = "kind"
    AFTER_KIND = "after a kind"
    COLUMN = "column"
    AFTER_COLUMN = "after a column"
    PROPERTY = "property"
    AFTER_PROPERTY = "after a property"
    VALUE = "value"
    AFTER_VALUE = "after a value"


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """What could be typed, and what of the text it takes the place of."""

    text: str
    detail: str = ""
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a question somebody types."""

    expected: Expected
    #: What was typed of the next word.
    begun: str
    #: Where that word begins, counted from 0.
    start: int
    #: The RecordType whose properties are meant; empty for any.
    kind: str = ""
    #: The property that a value is for, as typed.
    name: str = ""


@dataclass
class _Reader:
    """Goes through the words before the cursor, and keeps what they are about."""

    model: DataModel
    expected: Expected = Expected.VERB
    #: The RecordType that conditions are about; the ones around parentheses below it.
    kinds: list[str] = field(default_factory=lambda: [""])
    #: The RecordType of what a subfilter is about, up to the next AND or OR.
    inner: str = ""
    name: str = ""
    is_first_kind: bool = True

    @property
    def kind(self) -> str:
        return self.inner or self.kinds[-1]

    def read(self, text: str, *, is_quoted: bool) -> None:
        word = "" if is_quoted else text.upper()
        if word in _STEPS:
            _STEPS[word](self)
        elif self.expected is Expected.KIND:
            self._name_kind(text)
        elif self.expected in {Expected.PROPERTY, Expected.COLUMN}:
            self.name = text
            is_column = self.expected is Expected.COLUMN
            self.expected = Expected.AFTER_COLUMN if is_column else Expected.AFTER_PROPERTY
        elif self.expected is Expected.VALUE:
            self.expected = Expected.AFTER_VALUE

    def _name_kind(self, text: str) -> None:
        kind = self.model.spelling(text)
        if self.is_first_kind:
            self.kinds, self.is_first_kind = [kind], False
        else:
            self.inner = kind
        self.expected = Expected.AFTER_KIND

    def follow(self) -> None:
        """Begin a condition: WITH, WHICH or a dot."""
        if self.expected is Expected.AFTER_PROPERTY:
            known = self.model.properties.get(self.name)
            self.inner = known.refers_to if known else ""
        self.expected = Expected.COLUMN if self.expected is Expected.AFTER_COLUMN else Expected.PROPERTY

    def join(self) -> None:
        """Take AND or OR: what a subfilter was about is over."""
        self.inner = ""
        self.expected = Expected.PROPERTY

    def open(self) -> None:
        self.kinds.append(self.kind)
        self.inner = ""
        self.expected = Expected.VALUE if self.expected is Expected.VALUE else Expected.PROPERTY

    def close(self) -> None:
        if len(self.kinds) > 1:
            self.kinds.pop()
        self.inner = ""
        self.expected = Expected.AFTER_VALUE

    def list_on(self) -> None:
        """Take a comma: in SELECT another column follows, in brackets another value."""
        self.expected = Expected.COLUMN if self.expected is Expected.AFTER_COLUMN else Expected.VALUE

    def expect(self, expected: Expected) -> None:
        self.expected = expected


def _expecting(expected: Expected) -> Callable[[_Reader], None]:
    return lambda reader: reader.expect(expected)


def _staying(_reader: _Reader) -> None:
    """Skip a word that changes nothing."""


_STEPS: dict[str, Callable[[_Reader], None]] = {
    **dict.fromkeys(("FIND", "COUNT", "FROM", "BY", "REFERENCES", "->"), _expecting(Expected.KIND)),
    "SELECT": _expecting(Expected.COLUMN),
    **dict.fromkeys(("WITH", "WHERE", "HAVING", "WHICH", "THAT", "HAS", "."), _Reader.follow),
    **dict.fromkeys(("AND", "OR", "&", "|"), _Reader.join),
    **dict.fromkeys(("=", "!=", "<", ">", "<=", ">=", "LIKE", "IN"), _expecting(Expected.VALUE)),
    **dict.fromkeys(
        ("A", "AN", "ANY", "NOT", "IS", "RECORD", "REFERENCED", "PROPERTY", "DOES", "HAVE", "ARE"), _staying
    ),
    "NULL": _expecting(Expected.AFTER_VALUE),
    "(": _Reader.open,
    ")": _Reader.close,
    ",": _Reader.list_on,
}
_WORDS = {
    Expected.VERB: ("FIND", "COUNT", "SELECT"),
    Expected.KIND: (),
    Expected.AFTER_KIND: ("WITH", "WHICH", "AND", "OR"),
    Expected.COLUMN: (),
    Expected.AFTER_COLUMN: ("FROM",),
    Expected.PROPERTY: ("REFERENCED BY", "REFERENCES", "NOT", "CREATED SINCE", "IS NOT REFERENCED BY"),
    Expected.AFTER_PROPERTY: ("=", ">", "<", ">=", "<=", "!=", "LIKE", "IS NULL", "WITH", "AND", "OR"),
    Expected.VALUE: (),
    Expected.AFTER_VALUE: ("AND", "OR"),
}


def place_in(text: str, model: DataModel) -> Place:
    """Tell what may come at the end of what was typed so far."""
    reader = _Reader(model)
    position = 0
    while (found := _TOKEN.match(text, position)) is not None:
        kind = found.lastgroup or "word"
        if kind == "open" or (kind == "word" and found.end() == len(text)):
            begun = found[kind].lstrip("'\"")
            return _place(reader, begun, found.start(kind))
        raw = found[kind]
        reader.read(re.sub(r"\\(.)", r"\1", raw[1:-1]) if kind == "quoted" else raw, is_quoted=kind == "quoted")
        position = found.end()
    return _place(reader, "", len(text))


def _place(reader: _Reader, begun: str, start: int) -> Place:
    return Place(expected=reader.expected, begun=begun, start=start, kind=reader.kind, name=reader.name)


def suggest(
    place: Place, end: int, model: DataModel, values: Callable[[str, Property, str], Iterable[str]]
) -> list[Suggestion]:
    """Suggest what may come.

    Parameters
    ----------
    place
        Where somebody types.
    end
        Where the word that is being typed ends.
    model
        The data model.
    values
        Gives values of a property that begin so: RecordType, property, beginning.
    """
    found: list[tuple[str, str]] = []
    if place.expected is Expected.KIND:
        found = [(_written(one.name), one.description) for one in model.kinds.values()]
    elif place.expected in {Expected.PROPERTY, Expected.COLUMN}:
        found = [(_written(one.name), _told(one)) for one in _properties(model, place.kind)]
    elif place.expected is Expected.VALUE and (prop := _named(model, place.name)) is not None:
        texts = ("TRUE", "FALSE") if prop.element == "BOOLEAN" else values(place.kind, prop, place.begun)
        found = [(one if _is_number(one) or prop.element == "BOOLEAN" else quote(one), "") for one in texts]
    words = [(one, "") for one in _WORDS[place.expected]]
    matching = _matching(found + words, place.begun)
    return [Suggestion(text=text, detail=detail[:120], start=place.start, end=end) for text, detail in matching[:MOST]]


def complete(request: Request) -> Response:
    """GET /complete: `q` is the question up to the cursor; or `of` (RecordType) or `kind` and `property`, with `q`."""
    visitor = logged_in(request)
    given = request.query_params
    text = given.get("q", "")[:MOST_LETTERS]
    model = data_model(visitor)

    def values(kind: str, prop: Property, begun: str) -> list[str]:
        try:
            return known_values(visitor, kind, prop, begun)
        except QuestionError:
            # A property that LinkAhead does not know has no values.
            return []

    if "of" in given:
        names = values("", Property(name="", datatype=given["of"][:200]), text)
        found = [Suggestion(text=one, start=0, end=len(text)) for one in names[:MOST]]
    elif "property" in given:
        prop = _named(model, given["property"].rpartition(".")[2])
        kind = "Session" if "." in given["property"] else given.get("kind", "")[:200]
        texts = values(kind, prop, text)[:MOST] if prop else []
        found = [Suggestion(text=one, start=0, end=len(text)) for one in texts]
    else:
        found = suggest(place_in(text, model), len(text), model, values)
    return JSONResponse([_shown(one, translator(request)) for one in found])


def _shown(one: Suggestion, _: Translate) -> dict[str, object]:
    return {"text": one.text, "detail": one.detail, "start": one.start, "end": one.end}


def _properties(model: DataModel, kind: str) -> list[Property]:
    """Give the properties of a RecordType before all others; of an unknown one, all."""
    found: dict[str, Property] = {}
    for name in model.descendants(kind) if kind in model.kinds else ():
        for one in model.properties_of(name).values():
            found.setdefault(one.name, one)
    return list(found.values()) or list(model.properties.values())


def _named(model: DataModel, name: str) -> Property | None:
    folded = name.casefold()
    return model.properties.get(name) or next(
        (one for one in model.properties.values() if one.name.casefold() == folded), None
    )


def _told(prop: Property) -> str:
    told = prop.description.partition(" (")[0]
    return f"{prop.unit} · {told}" if prop.unit else told


def _written(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and name.upper() not in _STEPS else quote(name)


def _matching(found: list[tuple[str, str]], begun: str) -> list[tuple[str, str]]:
    """Give what begins so, then what holds it elsewhere."""
    wanted = begun.casefold()
    first = [one for one in found if one[0].lstrip("'").casefold().startswith(wanted)]
    if not wanted:
        return first
    return first + [one for one in found if wanted in one[0].casefold() and one not in first]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


ROUTES = [Route("/complete", complete, methods=["GET"])]
