"""From the text of a query to its meaning."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from linkahead_embedded.errors import Code, QueryError

from . import ast

MAX_LENGTH = 500_000
MAX_DEPTH = 40
MAX_CONDITIONS = 2_000
_SHOWN = 24
_ROLES = {
    "entity": None,
    "entities": None,
    "record": "Record",
    "recordtype": "RecordType",
    "property": "Property",
    "properties": "Property",
    "file": "File",
    "querytemplate": "QueryTemplate",
}
_WORDS = {
    "FIND": "FIND",
    "COUNT": "COUNT",
    "SELECT": "SELECT",
    "FROM": "FROM",
    "ROLE": "a role (RECORD, FILE, ...)",
    "WITH": "WITH",
    "WHICH": "WHICH",
    "HAVE": "HAS",
    "DOT": "'.'",
    "WORD": "a name",
    "QUOTED": "a quoted text",
    "REGEXP": "<<a regular expression>>",
    "OPERATOR": "an operator (= != < > <= >=)",
    "LIKE": "LIKE",
    "IN": "IN",
    "IS_NULL": "IS NULL",
    "REFERENCES": "REFERENCES",
    "REFERENCED": "REFERENCED BY",
    "STORED_AT": "STORED AT",
    "TRANSACTION": "CREATED or UPDATED",
    "VALUE": "a value",
    "LIST_VALUE": "a value",
    "SELECTOR": "a column",
    "PATH": "a path",
    "DATE": "a date",
    "BY": "BY",
    "TODAY": "TODAY",
    "PREPOSITION": "ON, BEFORE, AFTER, SINCE or UNTIL",
    "NEGATION": "NOT",
    "_AND": "AND",
    "_OR": "OR",
    "AGGREGATE": "THE GREATEST",
    "RPAR": "')'",
    "LPAR": "'('",
    "COMMA": "','",
    "SLASH": "'/'",
    "$END": "the end",
}
_PARENTHESIS = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|<<.*?>>|[()]""", re.DOTALL)
_NEGATIONS = re.compile(r"(?:!\s*){20,}|(?:\bNOT\s+){20,}", re.IGNORECASE)


def parse(text: str) -> ast.Query:
    """Parse a query.

    Raises
    ------
    QueryError
        If it is no query; the message names the place and what was expected there.
    """
    if len(text) > MAX_LENGTH:
        raise QueryError(f"The query is longer than {MAX_LENGTH} characters.", Code.QUERY_LIMIT)
    _check_depth(text)
    try:
        query: ast.Query = _parser().parse(text)  # type: ignore[assignment]  # the transformer makes a Query of the tree
    except UnexpectedInput as problem:
        raise QueryError(_explain(text, problem)) from None
    return query


def _check_depth(text: str) -> None:
    depth = 0
    for match in _PARENTHESIS.finditer(text):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth > MAX_DEPTH:
            raise QueryError(f"Parentheses are nested more than {MAX_DEPTH} deep.", Code.QUERY_LIMIT)
    if _NEGATIONS.search(text):
        raise QueryError("Too many negations in a row.", Code.QUERY_LIMIT)


def _explain(text: str, problem: UnexpectedInput) -> str:
    expected: set[str] = set()
    place = len(text)
    if isinstance(problem, UnexpectedToken):
        expected = set(problem.accepts or problem.expected)
        if problem.token.type != "$END":
            place = problem.token.start_pos if problem.token.start_pos is not None else place
    elif isinstance(problem, UnexpectedCharacters):
        expected, place = set(problem.allowed or ()), problem.pos_in_stream or 0
    elif isinstance(problem, UnexpectedEOF):
        expected = set(problem.expected)
    words = sorted({_WORDS[one] for one in expected if one in _WORDS})
    found = f"'{text[place : place + _SHOWN]}'" if place < len(text) else "the end of the query"
    wanted = f" Expected {' or '.join(words)}." if words else ""
    return f"Query syntax error at character {place + 1}: unexpected {found}.{wanted}"


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = files(__package__).joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", transformer=_ToAst(), maybe_placeholders=False)


def unescape(raw: str) -> str:
    """Take the quotes and the backslashes off; an asterisk stays one."""
    return re.sub(r"\\(.)", r"\1", raw[1:-1], flags=re.DOTALL) if "\\" in raw else raw[1:-1]


def pattern_parts(text: str) -> tuple[str, ...]:
    r"""Split at asterisks that no backslash escapes: `a\*b*c` gives `("a*b", "c")`."""
    if "*" not in text and "\\" not in text:
        return (text,)
    parts, current, letters = [], [], iter(text)
    for letter in letters:
        if letter == "\\":
            current.append(next(letters, "\\"))
        elif letter == "*":
            parts.append("".join(current))
            current = []
        else:
            current.append(letter)
    return (*parts, "".join(current))


@v_args(inline=True)
class _ToAst(Transformer[Token, Any]):
    """Builds the AST while the parser reduces. Sugar tokens reach the methods and are dropped there."""

    def start(self, *parts: Any) -> ast.Query:
        *before, query = parts
        return ast.Query(query.kind, query.role, query.entity, query.filter, query.selectors, True) if before else query

    def any_version(self, _: Token) -> bool:
        return True

    def find(self, *parts: Any) -> ast.Query:
        return _query("FIND", parts)

    def count(self, *parts: Any) -> ast.Query:
        return _query("COUNT", parts)

    def select(self, *parts: Any) -> ast.Query:
        return _query("SELECT", parts)

    def selectors(self, *selectors: tuple[str, ...]) -> _Selectors:
        return _Selectors(selectors)

    def selector(self, *segments: str) -> tuple[str, ...]:
        return tuple(one for one in segments if not isinstance(one, Token))

    def quoted_segment(self, raw: Token) -> str:
        return unescape(raw)

    def bare_segment(self, raw: Token) -> str:
        return str(raw).strip()

    def target(self, *parts: Any) -> _Target:
        role: str | None = "Record"
        entity: ast.Expression | None = None
        for part in parts:
            if isinstance(part, Token):
                word = part.lower()
                role = _ROLES[word if word in _ROLES else word.removesuffix("s")]
            else:
                entity = part
        return _Target(role, entity, is_empty=not parts)

    def quoted_name(self, raw: Token) -> ast.Name:
        return ast.Name(pattern_parts(raw[1:-1]))

    def bare_name(self, *words: Token) -> ast.Name:
        return ast.Name(pattern_parts(" ".join(words)))

    def regexp(self, raw: Token) -> ast.Regexp:
        return ast.Regexp(raw[2:-2].replace("\\>>", ">>"))

    def filters(self, *parts: Any) -> ast.Filter:
        meant = [part for part in parts if not isinstance(part, Token)]
        return meant[0] if meant else ast.Nothing()

    def disjunction(self, *filters: ast.Filter) -> ast.Filter:
        return filters[0] if len(filters) == 1 else ast.Or(filters)

    def conjunction(self, *filters: ast.Filter) -> ast.Filter:
        return filters[0] if len(filters) == 1 else ast.And(filters)

    def filter(self, *parts: Any) -> Any:
        return _meant(parts)

    def subfilter(self, *parts: Any) -> Any:
        return _meant(parts)

    def negation(self, *parts: Any) -> ast.Filter:
        return ast.Not(_meant(parts))

    def group(self, inner: ast.Filter) -> ast.Filter:
        return inner

    def exists(self, prop: ast.Expression, sub: ast.Filter | None = None) -> ast.Filter:
        return ast.Pov(prop, sub=sub)

    def compare(self, prop: ast.Expression, comparison: ast.Comparison) -> ast.Filter:
        return ast.Pov(prop, comparison)

    def compare_any(self, comparison: ast.Comparison) -> ast.Filter:
        return ast.Pov(None, comparison)

    def aggregate(self, word: Token, *parts: Any) -> ast.Filter:
        return ast.Extreme(
            _meant(parts), is_greatest=word.split()[-1].upper() in {"GREATEST", "LARGEST", "HIGHEST", "MAX", "MAXIMUM"}
        )

    def property_reference(self, prop: ast.Expression, *parts: Any) -> ast.Filter:
        entity, *sub = (part for part in parts if not isinstance(part, Token))
        return ast.Reference(entity, prop, sub[0] if sub else None)

    def operator(self, operator: Token, value: str) -> ast.Comparison:
        return ast.Compare(str(operator), value)  # type: ignore[arg-type]  # the lexer admits only these

    def like(self, _: Token, pattern: ast.Expression) -> ast.Comparison:
        return ast.Like(pattern)

    def not_like(self, _: Token, pattern: ast.Expression) -> ast.Comparison:
        return ast.Like(pattern, is_negated=True)

    def in_operator(self, word: Token) -> bool:
        return word.type == "NOT_IN"

    def in_list(self, is_negated: bool, *values: str) -> ast.Comparison:
        return ast.Within(values, is_negated)

    def in_value(self, is_negated: bool, value: str) -> ast.Comparison:
        return ast.Within((value,), is_negated)

    def is_null(self, words: Token) -> ast.Comparison:
        upper = words.upper().split()
        return ast.Null(is_negated="NOT" in upper, is_empty_string="EMPTY" in upper)

    def quoted_value(self, raw: Token) -> str:
        return unescape(raw)

    def bare_value(self, raw: Token) -> str:
        return str(raw).strip()

    def quoted_pattern(self, raw: Token) -> ast.Name:
        return ast.Name(pattern_parts(raw[1:-1]))

    def bare_pattern(self, raw: Token) -> ast.Name:
        return ast.Name(pattern_parts(str(raw).strip()))

    def via(self, *parts: Any) -> _Via:
        return _Via(_meant(parts))

    def reference(self, *parts: Any) -> ast.Filter:
        entity, via, sub = _link(parts)
        return ast.Reference(entity, via, sub)

    def referenced(self, *parts: Any) -> ast.Filter:
        entity, via, sub = _link(parts)
        return ast.BackReference(entity, via, sub)

    def referenced_symbol(self, *parts: Any) -> ast.Filter:
        names = [part for part in parts if isinstance(part, ast.Name | ast.Regexp)]
        subs = [part for part in parts if not isinstance(part, ast.Name | ast.Regexp | Token)]
        return ast.BackReference(names[0], names[1] if len(names) > 1 else None, subs[0] if subs else None)

    def storedat(self, _: Token, path: Token) -> ast.Filter:
        if path.type == "PATH":
            return ast.StoredAt(str(path))
        return ast.StoredAt(re.sub(r"\\([^*])", r"\1", path[1:-1], flags=re.DOTALL))

    def transaction(self, word: Token, *parts: dict[str, Any]) -> ast.Filter:
        fields: dict[str, Any] = {}
        for part in parts:
            fields.update(part)
        return ast.Transaction(word.upper() != "UPDATED", **fields)

    def by_me(self, *_: Token) -> dict[str, Any]:
        return {"is_by_me": True}

    def by_user(self, _: Token, user: ast.Expression) -> dict[str, Any]:
        return {"by": user}

    def by_others(self, *_: Token) -> dict[str, Any]:
        return {"is_by_others": True, "is_by_me": True}

    def by_others_but(self, *parts: Any) -> dict[str, Any]:
        return {"is_by_others": True, "by": parts[-1]}

    def when_today(self, *words: Token) -> dict[str, Any]:
        return {"is_today": True, "preposition": words[0].upper() if len(words) > 1 else None}

    def when_date(self, *parts: Any) -> dict[str, Any]:
        return {"date": parts[-1], "preposition": parts[0].upper() if len(parts) > 1 else None}


class _Target:
    def __init__(self, role: str | None, entity: ast.Expression | None, *, is_empty: bool) -> None:
        self.role, self.entity, self.is_empty = role, entity, is_empty


class _Via:
    def __init__(self, prop: ast.Expression) -> None:
        self.property = prop


class _Selectors(tuple[tuple[str, ...], ...]):
    __slots__ = ()


def _meant(parts: tuple[Any, ...]) -> Any:
    """Give the one part that is no sugar."""
    return next(part for part in parts if not isinstance(part, Token))


def _link(parts: tuple[Any, ...]) -> tuple[ast.Expression | None, ast.Expression | None, ast.Filter | None]:
    entity: ast.Expression | None = None
    via: ast.Expression | None = None
    sub: ast.Filter | None = None
    for part in parts:
        if isinstance(part, Token):
            continue
        if isinstance(part, _Via):
            via = part.property
        elif isinstance(part, ast.Name | ast.Regexp):
            entity = part
        else:
            sub = part
    return entity, via, sub


def _query(kind: Any, parts: tuple[Any, ...]) -> ast.Query:
    target = next(part for part in parts if isinstance(part, _Target))
    selectors = next((part for part in parts if isinstance(part, _Selectors)), ())
    filters = [part for part in parts if not isinstance(part, Token | _Target | _Selectors | bool)]
    if target.is_empty and not filters:
        raise QueryError("Query syntax error: a role, an entity or a filter is needed after the first word.")
    return ast.Query(kind, target.role, target.entity, filters[0] if filters else None, tuple(selectors), True in parts)
