# ruff: noqa: S608 - SQL is composed of constants and placeholders; values are always bound
"""From the meaning of a query to SQL over indexed tables."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import count

from linkahead_embedded import dates
from linkahead_embedded.errors import Code, QueryError, ValueFormatError
from linkahead_embedded.model import FIRST_USER_ID, Message, fold
from linkahead_embedded.patterns import compiled
from linkahead_embedded.storage import members
from linkahead_embedded.values import split_reference

from . import ast, comparisons
from .parser import MAX_CONDITIONS
from .paths import stored_at
from .rewrite import conditions_in, simplified
from .sql import ALWAYS, NEVER, Condition, Sql, choose, conjunction, disjunction, join, negation, union

_ATTRIBUTES = {
    "name": ("name_key", True, False),
    "id": ("id", False, True),
    "description": ("description", False, False),
    "unit": ("unit", False, False),
    "value": ("content", False, False),
    "path": ("path", False, False),
    "size": ("size", False, True),
    "checksum": ("checksum", False, False),
}
"""Special name -> (column of entity, whether it is case-folded, whether it is a number)."""
_ALWAYS_ATTRIBUTES = frozenset({"name", "id"})
_IDENTIFIER = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _PropertySet:
    """The abstract properties that an expression means, and overriding names. None for any property."""

    ids: tuple[int, ...]
    names: tuple[str, ...]

    def on(self, alias: str, *, is_driving: bool) -> Sql:
        """Give SQL on a statement.

        Where a test already has the entity, the index on properties must not tempt SQLite.
        """
        plus = "" if is_driving else "+"
        pieces = []
        if self.ids:
            clause, parameters = members(self.ids)
            pieces.append(Sql(f"{plus}{alias}.property IN {clause}", tuple(parameters)))
        if self.names:
            clause, parameters = members(self.names)
            pieces.append(Sql(f"{alias}.usage IN (SELECT id FROM usage WHERE name IN {clause})", tuple(parameters)))
        return join(pieces, "OR")

    @property
    def is_empty(self) -> bool:
        return not self.ids and not self.names


class Planner:
    """Plans one query on one snapshot, for one user."""

    def __init__(self, connection: sqlite3.Connection, user: str) -> None:
        self._connection = connection
        self._user = user
        self._alias = count(1)
        self._target: Condition = ALWAYS
        self._unknown: dict[str, Message] = {}

    def plan(self, query: ast.Query) -> Sql:
        """Give a SELECT of the ids of all entities that match, each once, in ascending order.

        Raises
        ------
        QueryError
            If the query has too many conditions or asks for what is not implemented.
        """
        wanted = simplified(query.filter) if query.filter is not None else None
        if wanted is not None and conditions_in(wanted) > MAX_CONDITIONS:
            raise QueryError(f"The query has more than {MAX_CONDITIONS} conditions.", Code.QUERY_LIMIT)
        self._target = self._named(query.entity)
        role = None if query.role is None else Sql("e.role = ?", (query.role,))
        parts = [self._target] if query.entity is not None else []
        if wanted is not None:
            parts += [self.filter(one) for one in (wanted.filters if isinstance(wanted, ast.And) else (wanted,))]
        whole = conjunction(self._connection, parts)
        if whole.driver is None:
            test = whole.test("e.id")
            where = join([role, test] if role is not None else [test], "AND")
            if query.entity is None and wanted is None:
                # an empty database is empty; internal entities are found by those who ask for something about them
                where = join([where, Sql(f"abs(e.id) >= {FIRST_USER_ID}")], "AND")
            return Sql(f"SELECT e.id AS id FROM entity e WHERE {where.text} ORDER BY e.id", where.parameters)
        if query.is_any_version:
            # the views of all versions are looked through only one at a time
            exists = "EXISTS (SELECT 1 FROM entity e WHERE e.id = q.id" + ("" if role is None else f" AND {role.text}")
            text = f"SELECT DISTINCT q.id AS id FROM ({whole.driver.text}) q WHERE {exists}) ORDER BY q.id"
            return Sql(text, whole.driver.parameters + (role.parameters if role is not None else ()))
        on_role = f" AND {role.text}" if role is not None else ""
        listed = f"({whole.driver.text}) q CROSS JOIN entity e ON e.id = q.id{on_role}"
        text = f"SELECT DISTINCT e.id AS id FROM {listed} ORDER BY e.id"
        return Sql(text, whole.driver.parameters + (role.parameters if role is not None else ()))

    def warnings(self) -> list[Message]:
        """Say what the planned query named in vain, and what may have been meant."""
        return list(self._unknown.values())

    def _note_unknown(self, expression: ast.Expression, roles: Sequence[str], what: str) -> None:
        literal = expression.literal if isinstance(expression, ast.Name) else None
        if literal is None or literal in self._unknown:
            return
        clause, parameters = members(roles)
        names = {
            row[0]: row[1]
            for row in self._connection.execute(
                f"SELECT name_key, name FROM entity WHERE role IN {clause} AND name_key IS NOT NULL", parameters
            )
        }
        near = [names[one] for one in get_close_matches(fold(literal), names, n=1)]
        hint = f" Did you mean '{near[0]}'?" if near else ""
        text = f"There is no {what} '{literal[:80]}'.{hint}"
        self._unknown[literal] = Message("Warning", Code.UNKNOWN_NAME, text)

    def filter(self, wanted: ast.Filter) -> Condition:  # noqa: PLR0911 - one return for each kind of filter
        """Compile one filter."""
        match wanted:
            case ast.And(filters):
                return conjunction(self._connection, [self.filter(one) for one in filters])
            case ast.Or(filters):
                return disjunction([self.filter(one) for one in filters])
            case ast.Not(inner):
                return negation(self.filter(inner))
            case ast.Pov(prop, comparison, sub):
                return self._pov(prop, comparison, sub)
            case ast.Reference(entity, prop, sub):
                return self._reference_to(entity, self._properties(prop), sub)
            case ast.BackReference(entity, prop, sub):
                return self._back_reference(self._properties(prop), self._linked(entity, sub))
            case ast.Extreme(prop, is_greatest):
                return self._extreme(prop, is_greatest=is_greatest)
            case ast.StoredAt(path):
                return stored_at(path)
            case ast.Transaction():
                return self._transaction(wanted)
            case ast.Nothing():
                return NEVER

    def _linked(self, entity: ast.Expression | None, sub: ast.Filter | None) -> Condition:
        parts = ([self._named(entity)] if entity is not None else []) + ([self.filter(sub)] if sub is not None else [])
        return conjunction(self._connection, parts)

    # entities by name, id or ancestor

    def _named(self, expression: ast.Expression | None) -> Condition:
        found = self._entity(expression)
        if found is NEVER and expression is not None:
            self._note_unknown(expression, ("RecordType", "Property"), "entity")
        return found

    def _entity(self, expression: ast.Expression | None) -> Condition:
        """Match entities whose own name or id matches, or that of any ancestor."""
        if expression is None:
            return ALWAYS
        literal = expression.literal if isinstance(expression, ast.Name) else None
        if literal is not None:
            ids = self._ids_of(literal)
            types = self._descendants(ids)
            return self._typed_condition(Sql(*_in(ids)), types) if ids else NEVER
        if isinstance(expression, ast.Regexp):
            compiled(expression.pattern)
        named = comparisons.text_pattern(
            "a.name" if isinstance(expression, ast.Regexp) else "a.name_key", expression, is_folded=True
        )
        types = [
            row[0]
            for row in self._connection.execute(
                f"SELECT DISTINCT s.descendant FROM subtype s JOIN entity a ON a.id = s.ancestor WHERE {named.text}",
                named.parameters,
            )
        ]
        return self._pattern_condition(named, types)

    def _ids_of(self, text: str) -> list[int]:
        rows = self._connection.execute("SELECT id FROM entity WHERE name_key = ?", (fold(text),)).fetchall()
        ids = [row[0] for row in rows]
        if _IDENTIFIER.fullmatch(text.strip()):
            ids += [row[0] for row in self._connection.execute("SELECT id FROM entity WHERE id = ?", (int(text),))]
        return ids

    def _descendants(self, ids: Sequence[int]) -> list[int]:
        clause, parameters = members(ids)
        return [
            row[0]
            for row in self._connection.execute(
                f"SELECT DISTINCT descendant FROM subtype WHERE ancestor IN {clause}", parameters
            )
        ]

    @staticmethod
    def _typed_condition(own: Sql, types: Sequence[int]) -> Condition:
        clause, parameters = _in(types)

        def test(column: str) -> Sql:
            itself = Sql(f"{column} IN {own.text}", own.parameters)
            below = Sql(
                f"EXISTS (SELECT 1 FROM parent p WHERE p.child = {column} AND +p.parent IN {clause})", parameters
            )
            return join([itself, below], "OR") if types else itself

        listed = Sql(f"SELECT id FROM entity WHERE id IN {own.text}", own.parameters)
        children = Sql(f"SELECT child AS id FROM parent WHERE parent IN {clause}", parameters)
        return Condition(test, union([listed, children]) if types else listed, rank=5 if types else 1)

    @staticmethod
    def _pattern_condition(named: Sql, types: Sequence[int]) -> Condition:
        clause, parameters = _in(types)

        def test(column: str) -> Sql:
            itself = Sql(f"EXISTS (SELECT 1 FROM entity a WHERE a.id = {column} AND {named.text})", named.parameters)
            below = Sql(
                f"EXISTS (SELECT 1 FROM parent p WHERE p.child = {column} AND +p.parent IN {clause})", parameters
            )
            return join([itself, below], "OR")

        listed = Sql(f"SELECT a.id AS id FROM entity a WHERE {named.text}", named.parameters)
        children = Sql(f"SELECT child AS id FROM parent WHERE parent IN {clause}", parameters)
        return Condition(test, union([listed, children]), rank=6)

    # properties

    def _properties(self, expression: ast.Expression | None) -> _PropertySet | None:
        """Give the abstract properties with a name or id, and those below them."""
        if expression is None:
            return None
        overriding = [
            row[0] for row in self._connection.execute("SELECT DISTINCT name FROM usage WHERE name IS NOT NULL")
        ]
        literal = expression.literal if isinstance(expression, ast.Name) else None
        if literal is not None:
            ids = self._ids_of(literal)
            names = [name for name in overriding if fold(name) == fold(literal)]
            if not ids and not names and fold(literal) not in _ATTRIBUTES:
                self._note_unknown(expression, ("Property", "RecordType"), "property")
        else:
            column = "a.name" if isinstance(expression, ast.Regexp) else "a.name_key"
            named = comparisons.text_pattern(column, expression, is_folded=True)
            ids = [
                row[0]
                for row in self._connection.execute(
                    f"SELECT a.id FROM entity a WHERE a.role IN ('Property', 'RecordType') AND {named.text}",
                    named.parameters,
                )
            ]
            names = [name for name in overriding if _covers(expression, name)]
        return _PropertySet(tuple(sorted({*ids, *self._descendants(ids)})), tuple(names))

    def _pov(self, prop: ast.Expression | None, comparison: ast.Comparison | None, sub: ast.Filter | None) -> Condition:
        literal = fold(prop.literal or "") if isinstance(prop, ast.Name) else ""
        if literal in _ATTRIBUTES and sub is None:
            own = self._attribute(literal, comparison)
            if literal in _ALWAYS_ATTRIBUTES:
                return own
            properties = self._properties(prop)
            return (
                own
                if properties is None or properties.is_empty
                else disjunction([own, self._values(properties, comparison)])
            )
        properties = self._properties(prop)
        if properties is not None and properties.is_empty:
            return NEVER
        if sub is not None:
            return self._reference(properties, self.filter(sub))
        return self._values(properties, comparison)

    @staticmethod
    def _attribute(name: str, comparison: ast.Comparison | None) -> Condition:
        column, is_folded, is_number = _ATTRIBUTES[name]
        on = comparisons.attribute(f"x.{column}", comparison, is_folded=is_folded, is_number=is_number)

        def test(subject: str) -> Sql:
            return Sql(f"EXISTS (SELECT 1 FROM entity x WHERE x.id = {subject} AND {on.text})", on.parameters)

        is_indexed = column in {"id", "name_key", "path"} and isinstance(
            comparison, ast.Compare | ast.Within | ast.Like
        )
        if not is_indexed or getattr(comparison, "operator", "=") == "!=" or getattr(comparison, "is_negated", False):
            return Condition(test)
        is_exact = isinstance(comparison, ast.Within) or getattr(comparison, "operator", "") == "="
        return Condition(
            test, Sql(f"SELECT x.id AS id FROM entity x WHERE {on.text}", on.parameters), rank=0 if is_exact else 4
        )

    def _values(self, properties: _PropertySet | None, comparison: ast.Comparison | None) -> Condition:
        """Match entities with a property, perhaps with a value that compares."""
        pieces = self._alternatives(properties, comparison) if comparison is not None else [Sql("1")]
        if not pieces:
            return NEVER
        if properties is None:
            return Condition(_has_statement(Sql("1"), pieces))
        test = _has_statement(properties.on("s", is_driving=False), pieces)
        return Condition(test, _with_statement(properties.on("s", is_driving=True), pieces), rank=_rank(comparison))

    def _alternatives(self, properties: _PropertySet | None, comparison: ast.Comparison) -> list[Sql]:
        on = properties.on("u", is_driving=True) if properties is not None and not properties.names else Sql("1")
        rows = self._connection.execute(
            f"SELECT DISTINCT type, unit FROM usage u WHERE {on.text}", on.parameters
        ).fetchall()
        stored = comparisons.Stored(frozenset(row[0] for row in rows), frozenset(row[1] for row in rows if row[1]))
        pieces = comparisons.branches(comparison, stored)
        unit = comparisons.unfit_unit(comparison, stored)
        if unit is not None:
            known = ", ".join(sorted(stored.units)) or "none"
            text = f"No value that is compared has a unit that '{unit[:40]}' can be converted to; their units: {known}."
            self._unknown[unit] = Message("Warning", Code.UNKNOWN_UNIT, text)
        if stored.has_references and isinstance(comparison, ast.Compare):
            pieces += self._reference_values(comparison)
        elif stored.has_references and isinstance(comparison, ast.Within) and not comparison.is_negated:
            pieces += [
                piece for value in comparison.values for piece in self._reference_values(ast.Compare("=", value))
            ]
        return pieces

    def _reference_values(self, comparison: ast.Compare) -> list[Sql]:
        """`p = X` also means that p references X or something below it."""
        if comparison.operator not in {"=", "!="}:
            return []
        split = split_reference(comparison.value)
        if split is not None and split[1] is not None:
            return [Sql(f"(s.target = ? AND s.lexical {comparison.operator} ?)", (split[0], comparison.value.strip()))]
        entity = self._entity(ast.Name((comparison.value,)))
        if entity is NEVER:
            return [] if comparison.operator == "=" else [Sql("s.target IS NOT NULL")]
        inner = entity.test("s.target")
        if comparison.operator == "!=":
            return [Sql(f"(s.target IS NOT NULL AND NOT {inner.text})", inner.parameters)]
        if entity.driver is not None and entity.rank <= 1:
            return [Sql(f"s.target IN ({entity.driver.text})", entity.driver.parameters)]
        return [Sql(f"(s.target IS NOT NULL AND {inner.text})", inner.parameters)]

    # references

    def _reference_to(
        self, entity: ast.Expression | None, properties: _PropertySet | None, sub: ast.Filter | None
    ) -> Condition:
        """`-> X`; of `id@version` the version has to be the one that the value names."""
        split = split_reference(entity.literal or "") if isinstance(entity, ast.Name) else None
        if split is None or split[1] is None:
            return self._reference(properties, self._linked(entity, sub))
        number, version = split
        return self._reference(properties, self._linked(ast.Name((str(number),)), sub), f"{number}{version}")

    def _reference(self, properties: _PropertySet | None, target: Condition, versioned: str | None = None) -> Condition:
        alias = f"r{next(self._alias)}"
        if properties is not None and properties.is_empty:
            return NEVER

        def on(*, is_driving: bool) -> Sql:
            via = properties.on(alias, is_driving=is_driving) if properties is not None else Sql("1")
            return via if versioned is None else join([via, Sql(f"{alias}.lexical = ?", (versioned,))], "AND")

        def test(column: str) -> Sql:
            via, inner = on(is_driving=False), target.test(f"{alias}.target")
            return Sql(
                f"EXISTS (SELECT 1 FROM statement {alias} WHERE {alias}.entity = {column} "
                f"AND +{alias}.target IS NOT NULL AND {via.text} AND {inner.text})",
                via.parameters + inner.parameters,
            )

        candidates = []
        if target.driver is not None:
            via = on(is_driving=False)
            listed = f"({target.driver.text}) t CROSS JOIN statement {alias} ON {alias}.target = t.id"
            text = f"SELECT {alias}.entity AS id FROM {listed} AND {via.text}"
            candidates.append(Condition(test, Sql(text, target.driver.parameters + via.parameters), rank=target.rank))
        if properties is not None or target.driver is None:
            via, inner = on(is_driving=True), target.test(f"{alias}.target")
            where = f"{via.text} AND {alias}.target IS NOT NULL AND {inner.text}"
            text = f"SELECT {alias}.entity AS id FROM statement {alias} WHERE {where}"
            candidates.append(Condition(test, Sql(text, via.parameters + inner.parameters), rank=7))
        return choose(self._connection, candidates) or Condition(test)

    def _back_reference(self, properties: _PropertySet | None, source: Condition) -> Condition:
        alias = f"b{next(self._alias)}"
        if properties is not None and properties.is_empty:
            return NEVER
        via = properties.on(alias, is_driving=False) if properties is not None else Sql("1")

        def test(column: str) -> Sql:
            inner = source.test(f"{alias}.entity")
            return Sql(
                f"EXISTS (SELECT 1 FROM statement {alias} WHERE {alias}.target = {column} "
                f"AND {via.text} AND {inner.text})",
                via.parameters + inner.parameters,
            )

        if source.driver is not None:
            listed = f"({source.driver.text}) t CROSS JOIN statement {alias} ON {alias}.entity = t.id"
            text = f"SELECT {alias}.target AS id FROM {listed}"
            driver = Sql(
                f"{text} AND {alias}.target IS NOT NULL AND {via.text}", source.driver.parameters + via.parameters
            )
            return Condition(test, driver, rank=source.rank)
        inner = source.test(f"{alias}.entity")
        where = f"{alias}.target IS NOT NULL AND {via.text} AND {inner.text}"
        text = f"SELECT {alias}.target AS id FROM statement {alias} WHERE {where}"
        return Condition(test, Sql(text, via.parameters + inner.parameters), rank=8)

    # the rest

    def _extreme(self, expression: ast.Expression, *, is_greatest: bool) -> Condition:
        """Match the entities whose value is extreme among all that match the entity part."""
        order = "DESC" if is_greatest else "ASC"
        literal = fold(expression.literal or "") if isinstance(expression, ast.Name) else ""
        if literal == "id":
            among = self._target.test("e2.id")
            text = f"(SELECT e2.id FROM entity e2 WHERE {among.text} ORDER BY e2.id {order} LIMIT 1)"
            return Condition(
                lambda column: Sql(f"{column} = {text}", among.parameters),
                Sql(f"SELECT {text} AS id", among.parameters),
                rank=0,
            )
        properties = self._properties(expression)
        if properties is None or properties.is_empty:
            return NEVER
        on = properties.on("s", is_driving=True)
        among = self._target.test("s.entity")
        alternatives = []
        for column in ("number", "low"):
            where = f"{on.text} AND s.{column} IS NOT NULL AND {among.text}"
            value = f"(SELECT s.{column} FROM statement s WHERE {where} ORDER BY s.{column} {order} LIMIT 1)"
            alternatives.append(Sql(f"s.{column} = {value}", on.parameters + among.parameters))
        return Condition(_has_statement(on, alternatives), _with_statement(on, alternatives), rank=4)

    def _transaction(self, wanted: ast.Transaction) -> Condition:
        when = _when(wanted)
        if wanted.is_creation:
            on = join([self._by(wanted, "x.created_by"), when("x.created_at")], "AND")
            return Condition(
                lambda column: Sql(
                    f"EXISTS (SELECT 1 FROM entity x WHERE x.id = {column} AND {on.text})", on.parameters
                )
            )
        head = join([self._by(wanted, "x.changed_by"), when("x.changed_at")], "AND")
        past = join([self._by(wanted, "h.changed_by"), when("h.changed_at")], "AND")

        def test(column: str) -> Sql:
            return Sql(
                f"(EXISTS (SELECT 1 FROM entity x WHERE x.id = {column} AND x.number > 1 AND {head.text}) "
                f"OR EXISTS (SELECT 1 FROM history h WHERE h.entity = {column} AND h.number > 1 AND {past.text}))",
                head.parameters + past.parameters,
            )

        return Condition(test)

    def _by(self, wanted: ast.Transaction, column: str) -> Sql:
        pieces = []
        if wanted.is_by_me:
            pieces.append(Sql(f"{column} {'<>' if wanted.is_by_others else '='} ?", (self._user,)))
        if wanted.by is not None:
            named = comparisons.text_pattern(column, wanted.by)
            pieces.append(Sql(f"NOT {named.text}", named.parameters) if wanted.is_by_others else named)
        return join(pieces, "AND")


def _when(wanted: ast.Transaction) -> Callable[[str], Sql]:
    """Give SQL on a moment in a column, by the date of the filter."""
    if not wanted.is_today and wanted.date is None:
        return lambda _: Sql("1")
    try:
        span = dates.today() if wanted.is_today else dates.parse_date(wanted.date or "")
    except ValueFormatError as problem:
        raise QueryError(f"Query syntax error: {problem}") from None
    match wanted.preposition:
        case "BEFORE":
            return lambda column: Sql(f"{column} < ?", (span.low,))
        case "AFTER":
            return lambda column: Sql(f"{column} >= ?", (span.high,))
        case "SINCE":
            return lambda column: Sql(f"{column} >= ?", (span.low,))
        case "UNTIL":
            return lambda column: Sql(f"{column} < ?", (span.high,))
        case _:
            return lambda column: Sql(f"({column} >= ? AND {column} < ?)", (span.low, span.high))


def _covers(expression: ast.Expression, name: str) -> bool:
    if isinstance(expression, ast.Regexp):
        return compiled(expression.pattern).covers(name)
    pattern = ".*".join(re.escape(fold(part)) for part in expression.parts)
    return re.fullmatch(pattern, fold(name), re.DOTALL) is not None


def _has_statement(on: Sql, pieces: Sequence[Sql]) -> Callable[[str], Sql]:
    """Give the test that an entity has a statement `s` that is `on` a property and fits one of the pieces."""
    any_of = join(pieces, "OR")

    def test(column: str) -> Sql:
        return Sql(
            f"EXISTS (SELECT 1 FROM statement s WHERE s.entity = {column} AND {on.text} AND {any_of.text})",
            on.parameters + any_of.parameters,
        )

    return test


def _with_statement(on: Sql, pieces: Sequence[Sql]) -> Sql:
    """List the entities that have such a statement."""
    return union(
        [
            Sql(
                f"SELECT s.entity AS id FROM statement s WHERE {on.text} AND {one.text}", on.parameters + one.parameters
            )
            for one in pieces
        ]
    )


def _rank(comparison: ast.Comparison | None) -> int:
    match comparison:
        case None:
            return 7
        case ast.Compare("=", _):
            return 2
        case ast.Compare("!=", _) | ast.Null(True, _):
            return 7
        case ast.Within(_, is_negated):
            return 7 if is_negated else 3
        case _:
            return 4


def _in(ids: Sequence[int]) -> tuple[str, tuple[int | str, ...]]:
    clause, parameters = members(ids)
    return clause, tuple(parameters)
