"""The parts of a statement as sqlglot reads it: what stands in FROM, what is demanded, and the queries within it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import sqlglot
from sqlglot import exp

_VALUE = re.compile(r"%\(\w+\)s|%s|\$\d+")
_ASKS = re.compile(r"\s*(\(|SELECT|WITH|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)


def read(sql: str) -> list[exp.Expr]:
    """The statements of a text that the driver is given which ask for rows or change some; none of any other text."""
    if not _ASKS.match(sql):
        return []
    plain = re.sub(r"FETCH FIRST .*? ROWS", "FETCH FIRST 1 ROWS", _VALUE.sub("0", sql).replace("%%", "%"))
    return [one for one in sqlglot.parse(plain, dialect="postgres") if isinstance(one, exp.Query | exp.DML)]


def sources(node: exp.Expr) -> Iterator[tuple[exp.Expr, exp.Join | None]]:
    """What stands in FROM, in order, without the brackets around joins; of a change, the table that it is of."""
    if isinstance(node, exp.Update | exp.Delete):
        yield from flat(node.this, None)
    clause = node.args.get("from_")
    for source in [clause.this] if clause else node.args.get("using") or []:
        yield from flat(source, None)
    for join in node.args.get("joins") or []:
        yield from flat(join.this, join)


def flat(source: exp.Expr, join: exp.Join | None) -> Iterator[tuple[exp.Expr, exp.Join | None]]:
    if isinstance(source, exp.Subquery) and not isinstance(unwrapped(source), exp.Query | exp.Values):
        yield from flat(source.this, join)
    else:
        yield source, join
    for inner in source.args.get("joins") or []:
        yield from flat(inner.this, inner)


def conjuncts(clause: exp.Expr | None) -> Iterator[exp.Expr]:
    while isinstance(clause, exp.Where | exp.Paren):
        clause = clause.this
    if isinstance(clause, exp.And):
        yield from conjuncts(clause.this)
        yield from conjuncts(clause.expression)
    elif clause is not None:
        yield clause


def subqueries(node: exp.Expr) -> Iterator[tuple[str, exp.Expr]]:
    """The queries within the columns and conditions of a block, outermost ones, with the clause in which they stand."""
    for clause in ("expressions", "where", "having", "order", "distinct", "qualify", "group"):
        parts = node.args.get(clause) or []
        for part in parts if isinstance(parts, list) else [parts]:
            yield from ((clause, found) for found in outermost(part))
    for _, join in sources(node):
        if join is not None and (on := join.args.get("on")):
            yield from (("where", found) for found in outermost(on))


def outermost(part: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(part, exp.Query):
        yield part
    else:
        for inner in part.iter_expressions():
            yield from outermost(inner)


def unwrapped(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Subquery | exp.Paren | exp.Exists):
        node = node.this
    return node


def is_limited(node: exp.Expr) -> bool:
    return bool(node.args.get("limit") or node.args.get("offset"))


def aggregates(node: exp.Expr) -> bool:
    return any(
        True
        for column in node.expressions
        for found in column.find_all(exp.AggFunc)
        if found.find_ancestor(exp.Select) is node
    )
