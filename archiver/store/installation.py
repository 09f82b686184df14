"""What is this database's alone, and no part of a copy: which archive it is, and since when it deletes."""

from __future__ import annotations

import secrets
from typing import NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.schema import lifecycle

DATABASE, PAGE = "database", "page"
"""Where requests are made and decided on: by commands, or on the review page."""


class Installation(NamedTuple):
    """The row of `lifecycle`. Instants in ms."""

    archive_id: str
    decided_in: str
    deletion_since_ms: int | None
    reapply_since_ms: int | None
    """Since when erasures are known that this database lacks: it was restored from an older one."""
    wiped_ms: int | None
    """When deleted bytes were taken out of its files last."""


def read(tx: Tx) -> Installation | None:
    """None where `archiver migrate` has not seen a [lifecycle] yet."""
    c = lifecycle.c
    query = sa.select(c.archive_id, c.decided_in, c.deletion_since, c.reapply_since, c.wiped_at)
    row = tx.conn.execute(query).first()
    return None if row is None else Installation(*row)


def decided_in(tx: Tx) -> str | None:
    """Where this archive decides; None where no [lifecycle] has said so: then anywhere."""
    place: str | None = tx.conn.scalar(sa.select(lifecycle.c.decided_in))
    return place


def decide_in(tx: Tx, place: str) -> str | None:
    """Note where this archive decides from now on; gives where it did before, None where nobody had said so."""
    before = decided_in(tx)
    begin(tx, deletion=False)
    if before != place:
        tx.conn.execute(lifecycle.update().values(decided_in=place))
    return before


def begin(tx: Tx, *, deletion: bool) -> None:
    """Note which archive this is, if nobody has; and that it deletes from now on, if it does."""
    now_ms = tx.now_ms()
    row = {"id": 1, "archive_id": secrets.token_hex(16), "decided_in": DATABASE}
    tx.conn.execute(tx.insert(lifecycle).values(row).on_conflict_do_nothing())
    if deletion:
        since = lifecycle.update().where(lifecycle.c.deletion_since.is_(None))
        tx.conn.execute(since.values(deletion_since=now_ms))


def wiped(tx: Tx) -> None:
    """Note that deleted bytes are gone from the files."""
    begin(tx, deletion=False)
    tx.conn.execute(lifecycle.update().values(wiped_at=tx.now_ms()))


def reapply(tx: Tx, *, needed: bool) -> None:
    """Note that erasures have to be made again, or that they were."""
    state = lifecycle.c.reapply_since
    if needed:
        tx.conn.execute(lifecycle.update().where(state.is_(None)).values(reapply_since=tx.now_ms()))
    else:
        tx.conn.execute(lifecycle.update().where(state.is_not(None)).values(reapply_since=None))
