"""Contents of attachments that no row names any more: noted, and a day later removed, if that is still so.

A content is marked before its removal begins, and keeps the mark for a day behind it: whoever has fetched the same
content meanwhile finds the mark in the transaction that would name it, and fetches it again later.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from archiver.model import DAY_MS
from archiver.store.engine import Tx
from archiver.store.schema import attachments, blob_wipes

WAIT_MS = DAY_MS
_IS_STORED = sa.text("attachments.state = 'stored'")  # literally, or the partial index is not seen to fit
w = blob_wipes.c


def unnamed(tx: Tx, sums: Sequence[str]) -> list[str]:
    """Those of these contents that no row names, in their order."""
    query = sa.select(attachments.c.sha256).where(_IS_STORED, tx.among(attachments.c.sha256, sums)).distinct()
    named = set(tx.conn.scalars(query))
    return [sha256 for sha256 in sums if sha256 not in named]


def over(tx: Tx, after: str, most: int) -> list[str]:
    """Contents behind one of them that were noted a day ago or longer."""
    query = sa.select(w.sha256).where(w["at"] <= tx.now_ms() - WAIT_MS, w.sha256 > after)
    return list(tx.conn.scalars(query.order_by(w.sha256).limit(most)))


def forget(tx: Tx, sums: Sequence[str]) -> None:
    """Forget those that rows name again, and that were removed more than a day ago."""
    free = set(unnamed(tx, sums))
    named = [sha256 for sha256 in sums if sha256 not in free]
    tx.conn.execute(blob_wipes.delete().where(tx.among(w.sha256, named), w.removing_at.is_(None)))
    removed = w.removing_at <= tx.now_ms() - WAIT_MS
    tx.conn.execute(blob_wipes.delete().where(tx.among(w.sha256, sorted(free)), removed))


def begin(tx: Tx, sha256: str) -> bool:
    """Mark a content whose removal begins; False where a row names it by now.

    Who names it at this moment holds the row of the mark, and takes it out: then there is none to change.
    """
    if not unnamed(tx, [sha256]):
        return False
    values = {"removing_at": sa.func.coalesce(w.removing_at, sa.bindparam("now", tx.now_ms(), w.removing_at.type))}
    marked = blob_wipes.update().where(w.sha256 == sha256).values(values).returning(w.sha256)
    return tx.conn.execute(marked).first() is not None


def cancel(tx: Tx, sha256: str) -> bool:
    """Take a content out of what is to be removed, as a row names it; False where its removal has begun."""
    tx.conn.execute(blob_wipes.delete().where(w.sha256 == sha256, w.removing_at.is_(None)))
    return tx.conn.execute(sa.select(w.sha256).where(w.sha256 == sha256)).first() is None
