"""Quarantined records whose term is over: nobody can read their stamps, so it begins when they were seen.

They go when their bytes cannot come again, and no hold of their app is in force: nobody can say which one a record
belongs to. So do files of hours that were damaged, with all that is in them, also where a good one came since.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from archiver.store import burying, erasing_records, erasure, unsalted
from archiver.store.burying import Burial
from archiver.store.engine import Tx
from archiver.store.erasures import NamingRecord
from archiver.store.expiring import TermOver
from archiver.store.quarantine import NO_PAGE
from archiver.store.schema import WITHHELD_ERASED, quarantine

REASON = "expired"
q = quarantine.c
_COLUMNS = (q.id, q.source, q.window_id, q.page_id, q.position, q.raw)


def _over(term: TermOver) -> sa.ColumnElement[bool]:
    # What was read goes with its message.
    left = sa.and_(sa.func.coalesce(q.withheld, 0) != WITHHELD_ERASED, sa.or_(q.resolved_at.is_(None), q.page_id == 0))
    return sa.and_(q.app_id == term.app_id, q.seen_at < max(0, term.floor_ms), left)


def count(tx: Tx, term: TermOver) -> int:
    """How many are over; some may have to stay."""
    return int(tx.conn.execute(sa.select(sa.func.count()).select_from(quarantine).where(_over(term))).scalar_one())


def expire(tx: Tx, term: TermOver, request_id: int, after: int) -> tuple[int, int | None]:
    """Let go of some behind one; gives how many, and the last one looked at, None at the end. The caller has the
    archive's lock."""
    if erasing_records.any_held(tx, term.app_id):
        return 0, None
    query = sa.select(*_COLUMNS, q.seen_at).where(_over(term), q.id > after).order_by(q.id)
    rows: Any = tx.conn.execute(query.limit(erasing_records.RECORDS_AT_ONCE)).all()
    audited = erasing_records.audited(tx, {row.window_id for row in rows})
    going = [NamingRecord._make(row[:-1]) for row in rows if row.window_id in audited]
    seen_ms = {row.id: row.seen_at for row in rows}
    stones = [*erasing_records.stones(tx, going), *erasing_records.stones_of_files(tx, going, seen_ms)]
    burying.add(tx, "expired", Burial(term.app_id, request_id), stones)
    for one in going:
        erasure.empty_record(tx, one.id, REASON)
    unsalted.empty_pages(tx, [one.page_id for one in going if one.page_id != NO_PAGE])
    return len(going), rows[-1].id if len(rows) == erasing_records.RECORDS_AT_ONCE else None
