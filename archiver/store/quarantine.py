"""Records that could not be read: listed, shown, and settled once a later program can read them."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import sqlalchemy as sa

from archiver.model import MINUTE_MS
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx
from archiver.store.messages import InsertResult
from archiver.store.schema import FATES, apps, pages, quarantine, search_queue, windows
from archiver.store.windows import Held

NO_PAGE = 0
"""The page of what is no record of one: a file. Its position is its hour, in minutes since 1970."""


class QuarantineEntry(NamedTuple):
    """One record that could not be read; `raw` only where it was asked for."""

    id: int
    app: str
    app_id: int
    source: str
    window_id: int
    page_id: int
    position: int
    reason: str
    size: int
    seen: int
    seen_at_ms: int
    resolved_at_ms: int | None
    raw: bytes

    @property
    def is_file(self) -> bool:
        """A damaged file of an hour, not a record."""
        return self.page_id == NO_PAGE


def entries(
    tx: Tx, *, ids: list[int] | None = None, unresolved: bool = False, after: int = 0, most: int
) -> list[QuarantineEntry]:
    """Entries in order of id, beginning after `after`; not those that are withheld."""
    query = (
        sa.select(
            quarantine.c.id,
            apps.c.name,
            quarantine.c.app_id,
            quarantine.c.source,
            quarantine.c.window_id,
            quarantine.c.page_id,
            quarantine.c.position,
            quarantine.c.reason,
        )
        .add_columns(
            sa.func.length(quarantine.c.raw),
            quarantine.c.seen,
            quarantine.c.seen_at,
            quarantine.c.resolved_at,
            quarantine.c.raw,
        )
        .join(apps)
        .where(quarantine.c.id > after, quarantine.c.withheld.is_(None))
    )
    if ids:
        query = query.where(quarantine.c.id.in_(ids))
    if unresolved:
        query = query.where(quarantine.c.resolved_at.is_(None))
    return [QuarantineEntry._make(row) for row in tx.conn.execute(query.order_by(quarantine.c.id).limit(most))]


_FILES_OF_AN_HOUR = 3
"""A file may be damaged in another place every time it is asked for."""


def keep_file(held: Held, raw: bytes, reason: str) -> None:
    """Keep what came of an hour's file that is damaged, before the provider drops it; the hour stays as open as it is.

    Once a content and hour, however often it comes: its digest is over both, as all empty files are the same.
    """
    tx, claim = held
    hour = claim.window.lo_ms // MINUTE_MS
    digest = hashlib.sha256(b"file of the hour %d\n" % hour + raw).digest()
    of_hour = _files(claim.key, hour)
    known = tx.conn.scalars(sa.select(quarantine.c.digest).where(of_hour)).all()
    if digest not in map(bytes, known) and len(known) >= _FILES_OF_AN_HOUR:
        return
    row = {"app_id": claim.key.app_id, "source": claim.key.source, "window_id": claim.id, "page_id": NO_PAGE}
    row |= {"position": hour, "reason": reason, "raw": raw, "digest": digest, "seen_at": tx.now_ms()}
    again = {"seen": quarantine.c.seen + 1, "resolved_at": None}
    tx.conn.execute(
        tx.insert(quarantine).values(row).on_conflict_do_update(index_elements=["app_id", "digest"], set_=again)
    )


def file_came(held: Held) -> None:
    """An hour's file has been read well: what was kept of damaged ones is settled."""
    tx, claim = held
    waiting = sa.and_(_files(claim.key, claim.window.lo_ms // MINUTE_MS), quarantine.c.resolved_at.is_(None))
    tx.conn.execute(quarantine.update().where(waiting).values(resolved_at=tx.now_ms()))


def _files(key: SourceKey, hour: int) -> sa.ColumnElement[bool]:
    return sa.and_(
        quarantine.c.app_id == key.app_id,
        quarantine.c.source == key.source,
        quarantine.c.page_id == NO_PAGE,
        quarantine.c.position == hour,
    )


def add_page(tx: Tx, entry: QuarantineEntry) -> int:
    """A page for what is read from a file that was kept: it counts nothing, as requeued records are counted beside."""
    (page_id,) = tx.new_page_ids(1)
    same = {"id": page_id, "app_id": entry.app_id, "window_id": entry.window_id, "source": entry.source, "fence": 0}
    counts = dict.fromkeys((*FATES, "outside"), 0)
    answer = {"fetched_at": entry.seen_at_ms, "sha256": hashlib.sha256(entry.raw).hexdigest()}
    tx.conn.execute(pages.insert().values(same | counts | answer))
    tx.conn.execute(search_queue.insert().values(page_id=page_id))  # the triggers look at what a page counts
    return page_id


def lock(tx: Tx, entry: QuarantineEntry) -> bool:
    """Hold an entry to the end of the transaction; False when it has been resolved meanwhile."""
    query = (
        sa.select(quarantine.c.id)
        .where(quarantine.c.id == entry.id, quarantine.c.resolved_at.is_(None), quarantine.c.withheld.is_(None))
        .with_for_update()
    )
    return tx.conn.execute(query).first() is not None


def resolve(tx: Tx, entry: QuarantineEntry, stored: InsertResult) -> None:
    """Note that a record has left quarantine, and count it in its window: page rows stay as they were."""
    tx.conn.execute(quarantine.update().where(quarantine.c.id == entry.id).values(resolved_at=tx.now_ms()))
    tx.conn.execute(
        windows.update()
        .where(windows.c.id == entry.window_id)
        .values(
            requeued=windows.c.requeued + len(stored.new),
            requeued_bodies=windows.c.requeued_bodies + stored.bodies,
            requeued_changed=windows.c.requeued_changed + len(stored.changed),
        )
    )


def explain(tx: Tx, entry: QuarantineEntry, reason: str) -> None:
    """Say anew why a record cannot be read."""
    tx.conn.execute(quarantine.update().where(quarantine.c.id == entry.id).values(reason=reason))
