"""Signed checkpoints of the ledger, where each of them went, and what kept one from being signed."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from archiver.store import ledger
from archiver.store.engine import Tx
from archiver.store.schema import anchorings, checkpoints, evidence_log, ledger_head

ANCHORED = "anchored"
SIGNING = "signing"
"""The sink under which is written what kept a checkpoint from being signed, and that one was signed again."""
SIGNED, UNSIGNED, TWO_SIGNERS = "signed", "unsigned", "two signers"
BEHIND, FORK, NO_STATE = "behind", "fork", "no state"


class Checkpoint(NamedTuple):
    """A signed note: the ledger at a size. `signed_ms`: by the database's clock."""

    origin: str
    size: int
    note: str
    signed_ms: int


class Anchoring(NamedTuple):
    """One attempt to put a checkpoint outside, or to sign one."""

    origin: str
    size: int
    outcome: str
    reason: str | None
    at_ms: int


def newest(tx: Tx, origin: str | None = None) -> Checkpoint | None:
    """The newest checkpoint; `origin`: of this epoch alone."""
    c = checkpoints.c
    query = sa.select(c.origin, c.size, c.note, c.signed_at).order_by(c.signed_at.desc(), c.size.desc()).limit(1)
    row = tx.conn.execute(query if origin is None else query.where(c.origin == origin)).first()
    return None if row is None else Checkpoint(*row)


def all_from(tx: Tx, after: tuple[str, int] | None, most: int) -> list[Checkpoint]:
    """Some checkpoints, in order of origin and size, behind one of them."""
    c = checkpoints.c
    query = sa.select(c.origin, c.size, c.note, c.signed_at).order_by(c.origin, c.size).limit(most)
    if after is not None:
        query = query.where(sa.tuple_(c.origin, c.size) > sa.tuple_(*map(sa.literal, after)))
    return [Checkpoint(*row) for row in tx.conn.execute(query)]


def of_sizes(tx: Tx, after: int, until: int) -> list[Checkpoint]:
    """Checkpoints of sizes in a range, `until` included, in order of size."""
    c = checkpoints.c
    query = sa.select(c.origin, c.size, c.note, c.signed_at).where(c.size > after, c.size <= until)
    return [Checkpoint(*row) for row in tx.conn.execute(query.order_by(c.size, c.origin))]


def count(tx: Tx) -> int:
    """How many checkpoints there are."""
    return int(tx.conn.scalar(sa.select(sa.func.count()).select_from(checkpoints)) or 0)


def anchored(tx: Tx, sink: str, after: int, most: int) -> list[tuple[int, str, int]]:
    """Id, origin and size of some of what a sink has taken, behind an id."""
    a = anchorings.c
    query = sa.select(a.id, a.origin, a.size).where(a.sink == sink, a.outcome == ANCHORED, a.id > after)
    return [(row[0], row[1], row[2]) for row in tx.conn.execute(query.order_by(a.id).limit(most))]


def lost(tx: Tx) -> list[tuple[int, str, int]]:
    """What a sink has taken, and no checkpoint is there of: id of the anchoring, origin and size."""
    a, c = anchorings.c, checkpoints.c
    there = sa.exists().where(c.origin == a.origin, c.size == a.size)
    query = sa.select(a.id, a.origin, a.size).where(a.outcome == ANCHORED, ~there).order_by(a.id).limit(1_000)
    return [(row[0], row[1], row[2]) for row in tx.conn.execute(query)]


def add(tx: Tx, origin: str, size: int, note: bytes, signer: str) -> None:
    """Keep a note that was signed just now, and who signed it. The caller holds the ledger's end."""
    now_ms = tx.now_ms()
    tx.conn.execute(checkpoints.insert().values(origin=origin, size=size, note=note.decode(), signed_at=now_ms))
    tx.conn.execute(ledger_head.update().values(signer=signer, signed_at=now_ms))


def has(tx: Tx, origin: str, size: int) -> bool:
    """Whether there is a checkpoint of this size."""
    c = checkpoints.c
    return tx.conn.execute(sa.select(c.size).where(c.origin == origin, c.size == size)).first() is not None


def last(tx: Tx, sink: str, outcome: str | None = None) -> Anchoring | None:
    """The newest attempt at a sink; `outcome`: only of those that came to this."""
    a = anchorings.c
    query = sa.select(a.origin, a.size, a.outcome, a.reason, a.at).where(a.sink == sink).order_by(a.id.desc()).limit(1)
    row = tx.conn.execute(query if outcome is None else query.where(a.outcome == outcome)).first()
    return None if row is None else Anchoring(*row)


def note(
    tx: Tx, sink: str, origin: str, size: int, outcome: str, *, proof: bytes | None = None, reason: str | None = None
) -> None:
    """Note what an attempt came to; a failure once, as long as it is the same one."""
    before = last(tx, sink)
    again = before is not None and (before.outcome, before.reason) == (outcome, reason)
    if again and outcome not in (ANCHORED, TWO_SIGNERS) and proof is None:
        return
    values = {"origin": origin, "size": size, "sink": sink, "outcome": outcome, "proof": proof, "reason": reason}
    tx.conn.execute(anchorings.insert().values(**values, at=tx.now_ms()))


def refused_since(tx: Tx, outcome: str, since_ms: int) -> str | None:
    """The reason of the newest row about signing with this outcome that is no older; None where there is none."""
    before = last(tx, SIGNING, outcome)
    return None if before is None or before.at_ms < since_ms else before.reason or ""


def only_tokens_behind(tx: Tx, size: int, end: int) -> bool:
    """Whether all entries from a size on seal tokens of time-stamping authorities, of which alone no note is made."""
    if end - size > 64:
        return False
    return all(
        kind == "rows" and '"table":"anchorings"' in entry
        for _, kind, _, entry, _ in ledger.entries_from(tx, size, end - size)
    )


def log_event(tx: Tx, who: str, event: str, reason: str | None) -> None:
    """Who began, resumed or handed over the ledger, and why: sealed like an export's row."""
    login = tx.conn.scalar(sa.text("SELECT session_user")) if tx.postgres else None
    values = {"at": tx.now_ms(), "who": who, "login": login, "event": event, "reason": reason}
    tx.conn.execute(evidence_log.insert().values(**values))
