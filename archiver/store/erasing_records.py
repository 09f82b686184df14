"""Erases quarantined records that name an erased message: only when their bytes cannot come again.

Nobody can read them, so nothing but their bytes tells whether they were seen before, and no hash of these may stay.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from archiver.store import burying, burying_rows, erasure
from archiver.store.burying import Burial, GoingRecord
from archiver.store.burying_rows import SealedRow, Stone
from archiver.store.engine import Tx
from archiver.store.erasures import NamingRecord
from archiver.store.quarantine import NO_PAGE
from archiver.store.schema import (
    WITHHELD_ERASED,
    WITHHELD_SEALED,
    pages,
    quarantine,
    watermarks,
    windows,
)
from archiver.store.seals import key_text

RECORDS_AT_ONCE = 100
_HOLDS = sa.table("holds_in_force", sa.column("app_id"))


class ErasedRecords(NamedTuple):
    """How many records were erased, and how many are sealed until they can be."""

    erased: int
    sealed: int


def erase(tx: Tx, burial: Burial, records: Sequence[NamingRecord], over_ms: int | None) -> ErasedRecords:
    """Erase some quarantined records of an app, or seal them; the caller has the archive's lock.

    Any hold of the app keeps them all: which one a record belongs to cannot be said. A term counts from when the record
    was seen.
    """
    q, numbers = quarantine.c, [one.id for one in records]
    left = sa.func.coalesce(q.withheld, 0) != WITHHELD_ERASED
    rows = tx.conn.execute(sa.select(q.id, q.seen_at, q.window_id).where(q.id.in_(numbers), left)).all()
    held = any_held(tx, burial.app_id)
    past = audited(tx, {row.window_id for row in rows})
    may_go = {
        row.id: row.seen_at
        for row in rows
        if not held and row.window_id in past and (over_ms is None or row.seen_at < over_ms)
    }
    going = [one for one in records if one.id in may_go]
    staying = sorted({row.id for row in rows} - may_go.keys())
    unsealed = sa.and_(q.id.in_(staying), q.withheld.is_(None))
    tx.conn.execute(quarantine.update().where(unsealed).values(withheld=WITHHELD_SEALED))
    erasure.add(tx, burial, [*stones(tx, going), *stones_of_files(tx, going, may_go)])
    for one in going:
        erasure.empty_record(tx, one.id)
        if one.page_id != NO_PAGE:
            tx.conn.execute(pages.update().where(pages.c.id == one.page_id, pages.c.sha256 != "").values(sha256=""))
    return ErasedRecords(len(going), len(staying))


def any_held(tx: Tx, app_id: int) -> bool:
    """Whether any hold that is in force may be about records of an app."""
    of_app = sa.or_(_HOLDS.c.app_id.is_(None), _HOLDS.c.app_id == app_id)
    query = sa.select(sa.literal(1)).select_from(_HOLDS).where(of_app)
    return tx.conn.execute(query.limit(1)).first() is not None


def audited(tx: Tx, window_ids: set[int]) -> set[int]:
    """Those of these windows over which the last walk that will come has passed: the longest audit, if there is any."""
    w, m = windows.c, watermarks.c
    until = sa.case((m.audited_pass.is_(None), m.complete_until_ms), else_=m.audited_until_ms)
    same = sa.and_(m.app_id == w.app_id, m.source == w.source)
    query = sa.select(w.id).select_from(windows.join(watermarks, same)).where(w.id.in_(window_ids), w.hi_ms <= until)
    return set(tx.conn.scalars(query))


_NOTHING = dict.fromkeys(("messages", "bodies", "revisions"), 0)


def stones(tx: Tx, records: Sequence[NamingRecord]) -> Iterator[Stone]:
    """Tombstones without an id: so the database refuses those of an erasure while any hold of the app is in force."""
    places: dict[int, set[int]] = defaultdict(set)
    for one in records:
        if one.page_id != NO_PAGE:
            places[one.page_id].add(one.position)
    for page_id, positions in sorted(places.items()):
        leaves = burying.leaves_at(tx, page_id, positions)
        for position in sorted(positions):
            yield burying.stone_of(GoingRecord(page_id, position, 0, 0, 0), leaves)


def stones_of_files(tx: Tx, records: Sequence[NamingRecord], seen_ms: Mapping[int, int]) -> Iterator[Stone]:
    """Damaged files lie on no page, and are sealed as rows."""
    for one in records:
        if one.page_id == NO_PAGE:
            row = SealedRow(seen_ms[one.id])
            place = {"msg_id": None, "seal_id": None, "page_id": NO_PAGE, "position": one.position}
            alone = {**place, "leaf": secrets.token_bytes(32), **_NOTHING}
            yield from list(burying_rows.stones(tx, quarantine.name, {key_text((one.id,)): row})) or [alone]
