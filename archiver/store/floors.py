"""Below the floor of an app everything has expired: what is not there is not stored again, whoever offers it."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.schema import expired_before, tombstones

_FLOOR = sa.select(sa.func.max(expired_before.c.ms)).where(expired_before.c.app_id == sa.bindparam("of_app"))


def of_app(tx: Tx, app_id: int) -> int | None:
    """The floor of an app (ms); None where nothing has expired."""
    floor_ms: int | None = tx.conn.scalar(_FLOOR, {"of_app": app_id})
    return floor_ms


def lower(tx: Tx, app_id: int, floor_ms: int, request_id: int) -> None:
    """Let everything of an app expire that is stamped before an instant, as an approved request says."""
    row = {"app_id": app_id, "ms": floor_ms, "request_id": request_id, "at": tx.now_ms()}
    tx.conn.execute(expired_before.insert().inline().values(row))


_NAMED = sa.text("msg_id IS NOT NULL AND (kind = 'expired' OR page_id = 0)")
"""Literally, or the partial index is not seen to fit."""
_ANY_NAMED = sa.select(tombstones.c.id).where(_NAMED).limit(1)


def gone_by_name(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> set[str]:
    """Those of these messages that are gone, have no row and lie behind the floor: stamped ahead, they have expired by
    when they were archived; or they were erased before a restore, and the restored database never had them."""
    if tx.conn.execute(_ANY_NAMED).first() is None:
        return set()
    t = tombstones.c
    query = sa.select(t.msg_id).where(_NAMED, t.app_id == app_id, tx.among(t.msg_id, msg_ids))
    return set(tx.conn.scalars(query))
