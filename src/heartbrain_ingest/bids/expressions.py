"""The expression language of the BIDS schema, as far as naming needs it.

The schema's selectors and checks are short expressions (``suffix == "bold"``, ``"EchoTime1" in sidecar``). They
become a Python syntax tree, which a small interpreter walks; nothing is ever handed to ``eval``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

_STRING = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_OPERATORS = ((re.compile(r"&&"), " and "), (re.compile(r"\|\|"), " or "), (re.compile(r"!(?!=)"), " not "))
_WORDS = {"null": "None", "true": "True", "false": "False"}


class NotKnownError(Exception):
    """The expression asks for something that is not known at naming time."""


def evaluate(expression: str, context: Mapping[str, Any]) -> Any:
    """Compute an expression.

    Parameters
    ----------
    expression
        Text as it stands in the schema.
    context
        Top-level name -> value; mappings are reached into with dots, where a missing key is null.
        A mapping of type `Partial` raises for missing keys instead.

    Raises
    ------
    NotKnownError
        When the context does not hold a name, or the expression uses a form that is not implemented.
    """
    return _walk(_parse(expression), context)


class Partial(dict[str, Any]):
    """A mapping of which only some keys are known: asking for another one is not null but unknown."""


@lru_cache(maxsize=2048)
def _parse(expression: str) -> ast.expr:
    pieces = _STRING.split(expression)
    for index, piece in enumerate(pieces):
        if index % 2:
            pieces[index] = repr(piece[1:-1])
            continue
        for pattern, replacement in _OPERATORS:
            piece = pattern.sub(replacement, piece)  # noqa: PLW2901 - rewritten step by step
        pieces[index] = re.sub(r"\b(null|true|false)\b", lambda found: _WORDS[found[0]], piece)
    try:
        return ast.parse(f"({''.join(pieces).strip()})", mode="eval").body
    except SyntaxError as error:
        raise NotKnownError(expression) from error


def _walk(node: ast.expr, context: Mapping[str, Any]) -> Any:  # noqa: PLR0911 - one branch a kind of node
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            if name not in context:
                raise NotKnownError(name)
            return context[name]
        case ast.Attribute(value=inner, attr=key):
            return _reach(_walk(inner, context), key)
        case ast.List(elts=items):
            return [_walk(item, context) for item in items]
        case ast.BoolOp(op=operator, values=values):
            return _combine(isinstance(operator, ast.And), values, context)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _walk(operand, context)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_walk(operand, context)
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return _compare(operator, _walk(left, context), _walk(right, context))
        case ast.BinOp(left=left, op=operator, right=right):
            return _calculate(operator, _walk(left, context), _walk(right, context))
        case ast.Subscript(value=value, slice=index):
            return _reach(_walk(value, context), _walk(index, context))
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*[_walk(argument, context) for argument in arguments])
    raise NotKnownError(ast.dump(node))


def _combine(every: bool, values: list[ast.expr], context: Mapping[str, Any]) -> Any:
    result: Any = every
    for value in values:
        result = _walk(value, context)
        if bool(result) != every:
            break
    return result


def _reach(value: Any, key: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, Partial) and key not in value:
        raise NotKnownError(str(key))
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list | tuple | str) and isinstance(key, int):
        return value[key] if -len(value) <= key < len(value) else None
    return None


def _compare(operator: ast.cmpop, left: Any, right: Any) -> bool:
    match operator:
        case ast.Eq():
            return bool(left == right)
        case ast.NotEq():
            return bool(left != right)
        case ast.In():
            return right is not None and left in right
    if left is None or right is None:
        return False
    match operator:
        case ast.Lt():
            return bool(left < right)
        case ast.LtE():
            return bool(left <= right)
        case ast.Gt():
            return bool(left > right)
        case ast.GtE():
            return bool(left >= right)
    raise NotKnownError(ast.dump(operator))


def _calculate(operator: ast.operator, left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.Mod():
            return left % right
        case ast.Pow():
            return left**right
    raise NotKnownError(ast.dump(operator))


def _type_of(value: Any) -> str:
    kinds: tuple[tuple[Any, str], ...] = (
        (bool, "boolean"),
        (int | float, "number"),
        (str, "string"),
        (list | tuple, "array"),
        (Mapping, "object"),
    )
    return "null" if value is None else next((name for kind, name in kinds if isinstance(value, kind)), "object")


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _match(text: Any, pattern: Any) -> bool:
    return text is not None and re.search(pattern, str(text)) is not None


def _extreme(choose: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    def extreme(values: Any) -> Any:
        numbers = [value for value in _listed(values) if isinstance(value, int | float)]
        return choose(numbers) if numbers else None

    return extreme


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "type": _type_of,
    "match": _match,
    "intersects": lambda left, right: [item for item in _listed(left) if item in _listed(right)] or False,
    "length": lambda value: None if value is None else len(value),
    "count": lambda values, item: _listed(values).count(item),
    "min": _extreme(min),
    "max": _extreme(max),
    "sorted": lambda values, *_: None if values is None else sorted(values),
    "allequal": lambda left, right: _listed(left) == _listed(right),
    "index": lambda values, item: values.index(item) if item in values else None,
}
