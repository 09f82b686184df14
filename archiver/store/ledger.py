"""The ledger: entries get their places, under the lock of one row, and the Merkle tree over them grows with it.

Any writer may do this. Two that race wait for the row and never fork; a row of the queue that is not committed yet
comes next time, whatever its id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver import merkle
from archiver.errors import ArchiveIncomplete, DatabaseUnavailable
from archiver.store import sealed_rows
from archiver.store.engine import Tx
from archiver.store.schema import ledger, ledger_head, ledger_nodes, ledger_queue, pages, seals
from archiver.store.seals import Signer, root_text

MOST_AT_ONCE = 1_000


class Head(NamedTuple):
    """Where the ledger ends, and who signed a checkpoint of it last, and when (ms)."""

    size: int
    signer: str | None
    signed_ms: int | None


class Waiting(NamedTuple):
    """What one snapshot saw: the size of the ledger, and the ids of what waited in the queue."""

    size: int
    ids: frozenset[int]


class Line(NamedTuple):
    """An entry that gets its place."""

    entry: str
    seal_id: int | None = None


_HEAD = sa.select(ledger_head.c.size, ledger_head.c.signer, ledger_head.c.signed_at)
_QUEUE = sa.select(ledger_queue).order_by(ledger_queue.c.id).limit(MOST_AT_ONCE)


def head(tx: Tx) -> Head | None:
    """Where the ledger ends; None where there is none."""
    row = tx.conn.execute(_HEAD).first()
    return None if row is None else Head(*row)


def lock(tx: Tx, *, within_s: float = 5.0) -> Head | None:
    """Hold the ledger's end to the end of the transaction. Raises DatabaseUnavailable where it is held for long."""
    if tx.postgres:
        tx.conn.exec_driver_sql(f"SET LOCAL lock_timeout = '{max(1, int(within_s * 1000))}ms'")
    row = tx.conn.execute(_HEAD.with_for_update()).first()
    return None if row is None else Head(*row)


def begin(tx: Tx) -> None:
    """Make the ledger's end, which says that there is a ledger. Raises DatabaseUnavailable where it is there."""
    if head(tx) is not None:
        raise DatabaseUnavailable("another process has begun the ledger meanwhile")
    tx.conn.execute(ledger_head.insert().values(id=1, size=0))


def next_page(tx: Tx) -> int:
    """The number above those of all pages so far."""
    return int(tx.conn.scalar(sa.select(sa.func.max(pages.c.id))) or 0) + 1


def waiting(tx: Tx) -> Waiting | None:
    """What waits for its place, in this snapshot; None where there is no ledger."""
    end = head(tx)
    if end is None:
        return None
    ids = tx.conn.scalars(sa.select(ledger_queue.c.id).order_by(ledger_queue.c.id).limit(MOST_AT_ONCE + 1))
    return Waiting(end.size, frozenset(ids))


def export_waits(tx: Tx) -> bool:
    """Whether an export is among what waits: then the claim of this moment is entered with it."""
    query = sa.select(ledger_queue.c.id).where(ledger_queue.c.table_name == "audit_log").limit(1)
    return tx.conn.execute(query).first() is not None


def stored(tx: Tx) -> merkle.Stored:
    """Reads hashes of the tree, for `merkle.stored_frontier` and `merkle.stored_path`."""

    def nodes(level: int, first: int, count: int) -> Sequence[bytes]:
        if level == 0:
            key, query = ledger.c.seq, sa.select(ledger.c.leaf)
        else:
            key, query = ledger_nodes.c.n, sa.select(ledger_nodes.c.hash).where(ledger_nodes.c.level == level)
        query = query.where(key >= first, key < first + count).order_by(key)
        return [bytes(node) for node in tx.conn.scalars(query)]

    return nodes


def root(tx: Tx, size: int) -> bytes:
    """The root of the first `size` entries. Raises ArchiveIncomplete where not all of them are there."""
    try:
        return merkle.stored_frontier(size, stored(tx)).root()
    except ValueError as error:
        raise ArchiveIncomplete(f"the ledger lacks entries: {error}", hint="archiver evidence verify") from None


class Appended(NamedTuple):
    """What a round did: how many entries it appended, how many of the queue it took, and whether claims were among it.

    `only_tokens`: nothing but tokens of time-stamping authorities was sealed, of which alone no note is made.
    """

    entries: int
    taken: int
    claims: bool = False
    only_tokens: bool = False


def sequence(
    tx: Tx, signer: Signer, *, seen: Waiting | None = None, claims: Sequence[Mapping[str, Any]] = ()
) -> Appended:
    """Give what waits its place, at most `MOST_AT_ONCE` rows of the queue; the caller commits durably.

    `claims` are what was true when the snapshot `seen` was taken: they come behind what that saw, and before the rest;
    where that cannot be done, as others were faster, they are left for the next time.
    """
    end = lock(tx)
    if end is None:
        return Appended(0, 0)
    rows = tx.conn.execute(_QUEUE).all()
    ids = {row.id for row in rows}
    fits = seen is not None and seen.size == end.size and seen.ids <= ids
    known = seen.ids if fits and seen is not None else frozenset()
    before, after = [row for row in rows if row.id in known], [row for row in rows if row.id not in known]
    lines = _lines(tx, signer, before)
    lines += [Line(signer.line(dict(claim))) for claim in claims] if fits else []
    lines += _lines(tx, signer, after)
    if ids:
        tx.conn.execute(ledger_queue.delete().where(ledger_queue.c.id.in_(sorted(ids))))
    append(tx, end, lines)
    tokens = all(row.table_name == "anchorings" for row in rows) and not (fits and claims)
    return Appended(len(lines), len(rows), fits, tokens)


def _lines(tx: Tx, signer: Signer, rows: Sequence[Any]) -> list[Line]:
    """Finished entries as they are; and one over the rows of each table that wait."""
    keys: dict[str, list[Any]] = {}
    for row in rows:
        if row.table_name is not None:
            keys.setdefault(row.table_name, []).append(json.loads(row.key))
    lines = [Line(row.entry, row.seal_id) for row in rows if row.entry is not None]
    return lines + [line for name in sorted(keys) for line in seal_rows(tx, signer, name, keys[name])]


def seal_rows(tx: Tx, signer: Signer, table: str, keys: Sequence[Sequence[Any]], **more: Any) -> list[Line]:
    """The entry over rows of a table, with its seal; none where no row is there any more. `more`: fields of it."""
    sealed = sealed_rows.TABLES.get(table)
    if sealed is None:
        return []
    made, order = sealed_rows.seal_rows(tx, sealed, keys)
    if not order:
        return []
    texts = json.dumps(order, ensure_ascii=False, separators=(",", ":"))
    values = {"table_name": table, **made._asdict(), "keys": texts, "made_at": tx.now_ms()}
    seal_id = tx.conn.execute(seals.insert().values(values).returning(seals.c.id)).scalar_one()
    entry = {"kind": "rows", "at": tx.now_ms(), "table": table, "n": made.leaves, "root": root_text(made.root), **more}
    return [Line(signer.line(entry), seal_id)]


def append(tx: Tx, end: Head, lines: Sequence[Line]) -> None:
    """Append entries to a ledger whose end is held."""
    if not lines:
        return
    try:
        frontier = merkle.stored_frontier(end.size, stored(tx))
    except ValueError as error:
        raise ArchiveIncomplete(f"the ledger lacks entries: {error}", hint="archiver evidence verify") from None
    rows, nodes, now_ms = [], [], tx.now_ms()
    for seq, line in enumerate(lines, end.size):
        leaf = merkle.leaf_hash(line.entry.encode())
        nodes += frontier.append(leaf)
        rows.append(
            {
                "seq": seq,
                "kind": _kind(line.entry),
                "seal_id": line.seal_id,
                "entry": line.entry,
                "leaf": leaf,
                "at": now_ms,
            }
        )
    tx.conn.execute(ledger.insert(), rows)
    if nodes:
        tx.conn.execute(ledger_nodes.insert(), [{"level": level, "n": n, "hash": node} for level, n, node in nodes])
    tx.conn.execute(ledger_head.update().values(size=frontier.size))


def _kind(entry: str) -> str:
    """What an entry says that it is; also what is no entry gets a place, and verification reports it."""
    try:
        return str(json.loads(entry)["kind"])
    except (ValueError, KeyError, TypeError):
        return "unknown"


def entries_from(tx: Tx, first: int, count: int) -> list[tuple[int, str, int | None, str, bytes]]:
    """Place, kind, seal, text and leaf of some entries, in their order."""
    query = (
        sa.select(ledger.c.seq, ledger.c.kind, ledger.c.seal_id, ledger.c.entry, ledger.c.leaf)
        .where(ledger.c.seq >= first, ledger.c.seq < first + count)
        .order_by(ledger.c.seq)
    )
    return [(row[0], row[1], row[2], row[3], bytes(row[4])) for row in tx.conn.execute(query)]


def entries_behind(tx: Tx, first: int, count: int) -> list[tuple[int, str, int | None, str, bytes]]:
    """As `entries_from`, where the next one is not there: what comes behind the gap."""
    behind: int | None = tx.conn.scalar(sa.select(sa.func.min(ledger.c.seq)).where(ledger.c.seq > first))
    return [] if behind is None else entries_from(tx, behind, count)


def latest(tx: Tx, kind: str, most: int = 1_000) -> list[tuple[int, dict[str, Any]]]:
    """Places and contents of the newest entries of a rare kind (claim, start), the newest first."""
    rare = sa.text("kind IN ('claim', 'start')")  # literally, or the partial index is not seen to fit
    query = sa.select(ledger.c.seq, ledger.c.entry).where(ledger.c.kind == kind, rare)
    rows = tx.conn.execute(query.order_by(ledger.c.seq.desc()).limit(most))
    return [(row[0], json.loads(row[1])) for row in rows]


def oldest_waiting_ms(tx: Tx) -> int | None:
    """When the oldest entry was made that has no place yet (ms); None where nothing waits."""
    row = tx.conn.execute(
        sa.select(ledger_queue.c.entry).where(ledger_queue.c.entry.is_not(None)).order_by(ledger_queue.c.id).limit(1)
    ).first()
    return None if row is None else int(json.loads(row.entry)["at"])


def made_ms(tx: Tx, seq: int) -> int | None:
    """When the entry at a place got it (ms); None where there is none."""
    at: int | None = tx.conn.scalar(sa.select(ledger.c.at).where(ledger.c.seq == seq))
    return at
