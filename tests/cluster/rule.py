"""What a Citus cluster refuses, read off the text of a statement: where this is developed there is no cluster.

Every machine runs a statement on the rows that it has, and the coordinator puts the answers together. So big tables
meet on the key by which they are spread, and nothing looks up rows of another machine one by one. In part this is
stricter than Citus 13: what it would do by collecting a whole big table on the coordinator is refused as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from archiver.store.schema import COPIED, SHARD_KEY, SHARDED, metadata, placed
from tests.cluster.reading import aggregates, conjuncts, is_limited, read, sources, subqueries, unwrapped

KEY = ("app_id", SHARD_KEY)
FREE, CENTRAL, GATHERED = "free", "central", "gathered"
"""Beside COPIED and SHARDED: what no machine has in particular, as values and functions; what lies on the coordinator;
and what is collected there from all machines."""
SEARCHES = "archive_search"
"""A function that asks all machines itself."""

NOT_TIED = "big tables meet on other columns than app_id and msg_id"
OUTER = "a big table is outer-joined to rows that lie on no machine with it"
COLLECTED = "a big table is joined to rows that were collected from big tables"
ONE_BY_ONE = "rows of a big table are looked up one by one, on other columns than app_id and msg_id"
CENTRAL_ONE_BY_ONE = "rows of the coordinator are looked up one by one for rows of a big table"
FROM_ELSEWHERE = "rows of a big table are looked up one by one for rows that lie on no machine with them"
IN_HAVING = "a subquery in HAVING refers to the outer query"
COUNTED = "a correlated subquery counts or limits rows of a big table"
LATERAL = "a lateral subquery reads a big table"
LOCKS = "rows of a big table are locked"
SETS = "a big table is grouped by several sets, or sampled"
RECURSIVE = "a recursive query reads a big table"


@dataclass(frozen=True, slots=True)
class Layout:
    """Which tables lie where, and what the views of a distributed archive are."""

    views: Mapping[str, str]
    sharded: frozenset[str] = frozenset(table.name for table in placed(SHARDED))
    copied: frozenset[str] = frozenset(table.name for table in placed(COPIED))

    def concerns(self, sql: str) -> bool:
        """Whether a statement reads or writes what is spread: cheap, and says so too often rather than too seldom."""
        words = set(re.findall(r"\w+", sql))
        return not words.isdisjoint({*self.sharded, *self.views, SEARCHES})


@dataclass(frozen=True, slots=True)
class Rows:
    """What stands in FROM: where its rows lie, its columns where they are known, and which of them are the key."""

    place: str
    columns: frozenset[str] = frozenset()
    keys: Mapping[str, str] = field(default_factory=dict)
    """By the name of a column, the column of a big table that it is."""
    reads: bool = False
    """Whether any big table is read for it."""


Column = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Block:
    """One SELECT while it is looked at: what it reads, under which names, and the block around it."""

    sources: dict[str, Rows]
    outer: Block | None
    ctes: Mapping[str, Rows]
    equal: list[tuple[Column, Column]] = field(default_factory=list)

    def find(self, column: exp.Column) -> tuple[Block, Column] | None:
        """Whose column this is: of this block, or of one around it."""
        name = column.name
        for alias, rows in self.sources.items():
            if column.table == alias or (not column.table and (name in rows.columns or len(self.sources) == 1)):
                if not column.table and name not in rows.columns and self.outer and self.outer.has(name):
                    continue
                return self, (alias, name)
        return None if self.outer is None else self.outer.find(column)

    def has(self, name: str) -> bool:
        return any(name in rows.columns for rows in self.sources.values()) or bool(self.outer and self.outer.has(name))

    def of(self, place: str) -> list[str]:
        return [alias for alias, rows in self.sources.items() if rows.place == place]

    def key(self, alias: str, part: str) -> set[Column]:
        """The columns that hold this part of the key."""
        return {(alias, name) for name, of in self.sources[alias].keys.items() if of == part}

    def same(self, column: Column) -> set[Column]:
        """All that is equal to a column by the conditions of this block."""
        known, before = {column}, 0
        while len(known) != before:
            before = len(known)
            known |= {b for pair in self.equal for a, b in (pair, pair[::-1]) if a in known}
        return known

    def tied(self, one: str, other: str) -> bool:
        """Whether rows of the one and the other meet on the whole key."""
        return all(any(self.same(column) & self.key(other, part) for column in self.key(one, part)) for part in KEY)


def refusals(sql: str, layout: Layout) -> list[str]:
    """Why a cluster would not run this; nothing where it would."""
    judge = _Judge(layout)
    for statement in read(sql):
        judge.query(statement, None, {})
    return list(dict.fromkeys(judge.problems))


class _Judge:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.problems: list[str] = []

    def query(self, node: exp.Expr, outer: Block | None, ctes: Mapping[str, Rows]) -> Rows:
        """Look at a query and all within it; gives what it is to who reads from it."""
        ctes = {**ctes, **self._ctes(node, outer, ctes)}
        while isinstance(node, exp.Subquery | exp.Paren):
            node = node.this
        if isinstance(node, exp.SetOperation):
            return self._several(node, [self.query(leaf, outer, ctes) for leaf in (node.this, node.expression)])
        if isinstance(node, exp.Insert):
            if isinstance(node.args.get("expression"), exp.Query):
                self.query(node.expression, outer, ctes)
            return Rows(CENTRAL)
        return self._block(node, outer, ctes)

    def _ctes(self, node: exp.Expr, outer: Block | None, known: Mapping[str, Rows]) -> dict[str, Rows]:
        within: dict[str, Rows] = {}
        clause = node.args.get("with_") or exp.With(expressions=[])
        for cte in clause.expressions:
            rows = self.query(cte.this, outer, {**known, **within})
            if clause.args.get("recursive") and rows.reads:
                self.problems.append(RECURSIVE)
            within[cte.alias] = self._collected(rows)
        return within

    @staticmethod
    def _collected(rows: Rows) -> Rows:
        return Rows(GATHERED, rows.columns, reads=True) if rows.reads else rows

    @staticmethod
    def _several(node: exp.Expr, leaves: list[Rows]) -> Rows:
        """Of a set operation: every machine makes its part where all leaves have the key in the same columns."""
        first = leaves[0]
        alike = all(rows.place == SHARDED and rows.keys == first.keys for rows in leaves)
        if alike and SHARD_KEY in first.keys.values() and not is_limited(node):
            return first
        reads = any(rows.reads for rows in leaves)
        return Rows(GATHERED if reads else CENTRAL, first.columns, reads=reads)

    def _block(self, node: exp.Expr, outer: Block | None, ctes: Mapping[str, Rows]) -> Rows:
        block = Block({}, outer, ctes)
        for source, join in sources(node):
            self._join(block, source, join)
        for condition in conjuncts(node.args.get("where")):
            _note(block, condition)
        self._check_joins(block)
        looked_up = [self._lookup(node, found, clause, block) for clause, found in subqueries(node)]
        return self._result(node, block, reads=any(looked_up))

    def _join(self, block: Block, source: exp.Expr, join: exp.Join | None) -> None:
        rows = self._rows(source, block)
        before = block.of(SHARDED)
        alias = source.alias_or_name or f"unnamed {len(block.sources)}"
        others = list(block.sources)
        block.sources[alias] = rows
        if source.name == "apps":  # each has one name, by which views show it
            block.equal.append(((alias, "id"), (alias, "name")))
        side = join.side.upper() if join is not None else ""
        tying = Block(block.sources, block.outer, block.ctes, list(block.equal)) if side else block
        if join is not None:
            for condition in conjuncts(join.args.get("on")):
                _note(tying, condition)
            for name in join.args.get("using") or ():
                tying.equal.extend(((alias, name.name), (other, name.name)) for other in others)
        if side and rows.place == SHARDED and not (side == "LEFT" and any(tying.tied(alias, one) for one in before)):
            self.problems.append(OUTER)
        if side in ("RIGHT", "FULL") and before and rows.place != SHARDED:
            self.problems.append(OUTER)
        if side and before and rows.place == SHARDED:
            block.sources[alias] = Rows("tied", rows.columns, rows.keys, rows.reads)

    def _rows(self, source: exp.Expr, block: Block) -> Rows:
        if isinstance(source, exp.Lateral):
            rows = self.query(source.this, block, block.ctes) if source.find(exp.Query) else Rows(FREE)
            if rows.reads:
                self.problems.append(LATERAL)
            return rows
        if isinstance(source, exp.Subquery):
            return self.query(source, block.outer, block.ctes)
        if not isinstance(source, exp.Table):
            return Rows(FREE)
        if isinstance(source.this, exp.Func):
            return Rows(GATHERED, reads=True) if source.this.name.lower() == SEARCHES else Rows(FREE)
        if source.args.get("sample"):
            self.problems.append(SETS)
        return self._named(source.name, block)

    def _named(self, name: str, block: Block) -> Rows:
        if name in block.ctes:
            return block.ctes[name]
        if name in self._layout.views:
            return self.query(read(self._layout.views[name])[0], None, {})
        columns = frozenset(metadata.tables[name].columns.keys()) if name in metadata.tables else frozenset()
        if name in self._layout.sharded:
            return Rows(SHARDED, columns, {part: part for part in KEY}, reads=True)
        return Rows(COPIED if name in self._layout.copied else CENTRAL, columns)

    def _check_joins(self, block: Block) -> None:
        first, *others = block.of(SHARDED) or [""]
        if any(not block.tied(first, other) for other in others):
            self.problems.append(NOT_TIED)
        if first and block.of(GATHERED):
            self.problems.append(COLLECTED)

    def _lookup(self, node: exp.Expr, found: exp.Expr, clause: str, block: Block) -> bool:
        """Look at a subquery within the conditions or columns of a block; gives whether it reads a big table."""
        rows = self.query(found, block, block.ctes)
        refers = _refers(found, block)
        spread = block.of(SHARDED) + block.of("tied")
        if not refers or not (rows.reads or spread):
            return rows.reads
        if not rows.reads:
            if rows.place == CENTRAL and any(alias in spread for alias, _ in refers):
                self.problems.append(CENTRAL_ONE_BY_ONE)
        elif clause == "having":
            self.problems.append(IN_HAVING)
        elif not spread:
            self.problems.append(FROM_ELSEWHERE)
        else:
            self._check_correlated(found, block, spread)
        return rows.reads

    def _check_correlated(self, found: exp.Expr, block: Block, spread: list[str]) -> None:
        query = unwrapped(found)
        if not isinstance(query, exp.Select):
            self.problems.append(ONE_BY_ONE)
            return
        inner = Block({}, block, block.ctes)
        quiet = _Judge(self._layout)
        for source, join in sources(query):
            quiet._join(inner, source, join)
        for condition in conjuncts(query.args.get("where")):
            _note(inner, condition, outside=True)
        both = Block({**block.sources, **inner.sources}, None, {}, [*block.equal, *inner.equal])
        if not any(both.tied(one, other) for one in inner.of(SHARDED) for other in spread):
            self.problems.append(ONE_BY_ONE)
        if is_limited(query) or (aggregates(query) and not query.args.get("group")):
            self.problems.append(COUNTED)

    def _result(self, node: exp.Expr, block: Block, *, reads: bool) -> Rows:
        spread = block.of(SHARDED) + block.of("tied")
        group = node.args.get("group")
        if spread and node.args.get("locks"):
            self.problems.append(LOCKS)
        if spread and group and (group.find(exp.GroupingSets, exp.Cube, exp.Rollup)):
            self.problems.append(SETS)
        names = frozenset(column.alias_or_name for column in node.expressions) if isinstance(node, exp.Select) else None
        if any(isinstance(column, exp.Star) or column.is_star for column in node.expressions):
            names = frozenset().union(*(rows.columns for rows in block.sources.values()))
        if not spread:
            collected = reads or any(rows.reads for rows in block.sources.values())
            places = {rows.place for rows in block.sources.values()}
            place = CENTRAL if CENTRAL in places else COPIED if COPIED in places else FREE
            return Rows(GATHERED if collected else place, names or frozenset(), reads=collected)
        keys = _projected(node, block, spread)
        if SHARD_KEY not in keys.values() and (group or node.args.get("distinct")):
            return Rows(GATHERED, names or frozenset(), reads=True)
        if is_limited(node) or node.find(exp.Window) or (aggregates(node) and not group):
            return Rows(GATHERED, names or frozenset(), reads=True)
        return Rows(SHARDED, names or frozenset(), keys, reads=True)


def _projected(node: exp.Expr, block: Block, spread: list[str]) -> dict[str, str]:
    """Which columns of a query's answer are columns of the key."""
    keys: dict[str, str] = {}
    for column in node.expressions:
        if isinstance(column, exp.Star) or column.is_star:
            keys |= {name: part for alias in spread for name, part in block.sources[alias].keys.items()}
        elif isinstance(column.unalias(), exp.Column) and (found := block.find(column.unalias())):
            same = block.same(found[1])
            for part in KEY:
                if any(same & block.key(alias, part) for alias in spread):
                    keys[column.alias_or_name] = part
    return keys


def _note(block: Block, condition: exp.Expr, *, outside: bool = False) -> None:
    """Remember which columns a condition makes equal; `outside`: also with those of the block around."""
    sides = (condition.this, condition.expression) if isinstance(condition, exp.EQ) else ()
    found = [block.find(side) for side in sides if isinstance(side, exp.Column)]
    if len(found) == 2 and None not in found:
        (one, a), (other, b) = found  # type: ignore[misc]
        if outside or (one is block and other is block):
            block.equal.append((a, b))


def _refers(found: exp.Expr, block: Block) -> set[Column]:
    """The columns of a block, and of those around it, to which a subquery refers."""
    own = {source.alias_or_name for source in found.find_all(exp.Table, exp.Subquery, exp.Lateral, exp.Unnest)}
    known = {name for table in found.find_all(exp.Table) for name in _columns_of(table.name)}
    refers: set[Column] = set()
    for column in found.find_all(exp.Column):
        if column.table in own or (not column.table and (column.name in known or not _is_ours(column, block))):
            continue
        if place := block.find(column):
            refers.add(place[1])
    return refers


def _is_ours(column: exp.Column, block: Block) -> bool:
    return block.has(column.name)


def _columns_of(table: str) -> frozenset[str]:
    return frozenset(metadata.tables[table].columns.keys()) if table in metadata.tables else frozenset()
