"""Simpler forms of filters, before they are planned."""

from __future__ import annotations

from linkahead_embedded.model import fold

from . import ast


def simplified(wanted: ast.Filter) -> ast.Filter:
    """Gather `id=1 OR id=2 OR ...`, which clients send by the hundred, into one condition."""
    if isinstance(wanted, ast.Or):
        ids: list[str] = []
        others: list[ast.Filter] = []
        for one in wanted.filters:
            value = _id_value(one)
            if value is None:
                others.append(simplified(one))
            else:
                ids.append(value)
        if ids:
            others.insert(0, ast.Pov(ast.Name(("id",)), ast.Within(tuple(ids))))
        return others[0] if len(others) == 1 else ast.Or(tuple(others))
    if isinstance(wanted, ast.And):
        return ast.And(tuple(simplified(one) for one in wanted.filters))
    return wanted


def _id_value(wanted: ast.Filter) -> str | None:
    match wanted:
        case ast.Pov(ast.Name((name,)), ast.Compare("=", value), None) if fold(name) == "id":
            return value
        case _:
            return None


def conditions_in(wanted: ast.Filter) -> int:
    """Count the conditions of a filter."""
    total, pending = 0, [wanted]
    while pending:
        one = pending.pop()
        total += 1
        match one:
            case ast.And(filters) | ast.Or(filters):
                pending.extend(filters)
            case ast.Not(inner):
                pending.append(inner)
            case ast.Pov() | ast.Reference() | ast.BackReference():
                pending += [one.sub] if one.sub is not None else []
            case _:
                pass
    return total
