"""Hashes without salt over what pages and files brought: emptied when the last walk has come by that they speak of.

With the records that stay and such a hash, guesses of one that goes could be tested. Nothing is compared with them but
the records of a page, once, by `evidence baseline`: with a ledger, a page keeps its hash until it has a seal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from archiver.model import DAY_MS
from archiver.store.engine import Tx
from archiver.store.schema import OPEN_STATES, lifecycle, pages, seals, watermarks, windows

AT_ONCE = 500
KEPT_MS = 30 * DAY_MS
"""For so long at most: the last windows of a source that is given up are never audited."""
p, w, m, c = pages.c, windows.c, watermarks.c, lifecycle.c
_OF_SOURCE = sa.and_(m.app_id == w.app_id, m.source == w.source)
_UNTIL_MS = sa.case((m.audited_pass.is_(None), m.complete_until_ms), else_=m.audited_until_ms)
_AUDITED = sa.and_(w.state.not_in(OPEN_STATES), w.hi_ms <= _UNTIL_MS)
_SEALED = sa.exists().where(seals.c.page_id == p.id)
# Literally, or the partial indexes are not seen to fit.
_PAGE_HAS_ONE, _FILE_HAS_ONE = sa.text("pages.sha256 <> ''"), sa.text("windows.file_sha256 <> ''")
_PAGE_OF_WINDOW = sa.exists().where(p.window_id == w.id, p.sha256 != "").correlate(windows)


class HashedPages(NamedTuple):
    """Some pages with a hash: those whose is over, and the last one that was looked at; None at the end."""

    over: list[int]
    last: int | None


def hashed_pages(tx: Tx, after: int, *, sealed: bool) -> HashedPages:
    """The next pages behind one that have a hash; `sealed`: it is over only where a seal stands for it."""
    old = p.fetched_at < tx.now_ms() - KEPT_MS
    over = sa.func.coalesce(sa.or_(_AUDITED, old), sa.false())
    query = sa.select(p.id, sa.and_(over, _SEALED) if sealed else over).select_from(
        pages.join(windows, w.id == p.window_id).outerjoin(watermarks, _OF_SOURCE)
    )
    rows = tx.conn.execute(query.where(_PAGE_HAS_ONE, p.id > after).order_by(p.id).limit(AT_ONCE)).all()
    return HashedPages([row[0] for row in rows if row[1]], rows[-1][0] if len(rows) == AT_ONCE else None)


def empty_pages(tx: Tx, page_ids: Sequence[int]) -> int:
    """Empty the hashes of pages; gives how many. Who empties the same ones at this moment is not waited for."""
    query = sa.select(p.id).where(p.id.in_(page_ids), p.sha256 != "").order_by(p.id)
    ids = list(tx.conn.scalars(query.with_for_update(skip_locked=True)))
    tx.conn.execute(pages.update().where(p.id.in_(ids)).values(sha256=""))
    return len(ids)


def empty_files(tx: Tx) -> int:
    """Empty the hashes of some files that are over, and whose pages have none any more; gives how many."""
    old = sa.func.coalesce(w.file_seen_at, w.created_at) < tx.now_ms() - KEPT_MS
    query = sa.select(w.id).select_from(windows.outerjoin(watermarks, _OF_SOURCE)).where(
        _FILE_HAS_ONE, sa.or_(_AUDITED, old), ~_PAGE_OF_WINDOW
    )  # fmt: skip
    ids = list(tx.conn.scalars(query.order_by(w.id).limit(AT_ONCE)))
    locked = sa.select(w.id).where(w.id.in_(ids), w.file_sha256 != "").order_by(w.id)
    free = list(tx.conn.scalars(locked.with_for_update(skip_locked=True)))
    tx.conn.execute(windows.update().where(w.id.in_(free)).values(file_sha256=""))
    return len(free)


def empty_since(tx: Tx, app_id: int, since_ms: int) -> None:
    """Empty the hashes of all pages of an app that were fetched since an instant, and of their files."""
    # Instants before 1970 have no text in SQLite.
    later = sa.and_(p.app_id == app_id, p.fetched_at >= max(0, since_ms))
    of_these = sa.exists().where(later, p.window_id == w.id).correlate(windows)
    tx.conn.execute(windows.update().where(_FILE_HAS_ONE, w.app_id == app_id, of_these).values(file_sha256=""))
    tx.conn.execute(pages.update().where(_PAGE_HAS_ONE, later).values(sha256=""))


def empty_below(tx: Tx, app_id: int, floor_ms: int) -> int:
    """Empty hashes of some pages and files of windows that reach below a floor; gives how many that were."""
    below = sa.and_(w.app_id == app_id, w.lo_ms < floor_ms)
    query = sa.select(p.id).join_from(pages, windows, w.id == p.window_id).where(_PAGE_HAS_ONE, below)
    count = empty_pages(tx, list(tx.conn.scalars(query.order_by(p.id).limit(AT_ONCE))))
    ids = list(tx.conn.scalars(sa.select(w.id).where(_FILE_HAS_ONE, below).order_by(w.id).limit(AT_ONCE)))
    tx.conn.execute(windows.update().where(w.id.in_(ids)).values(file_sha256=""))
    return count + len(ids)


def stands_at(tx: Tx) -> int | None:
    """Behind which page to go on; None where hashes stay, as nothing is to be deleted here."""
    row = tx.conn.execute(sa.select(c.deletion_since, c.hashes_after)).first()
    return None if row is None or row.deletion_since is None else row.hashes_after or 0


def go_on_behind(tx: Tx, page_id: int) -> None:
    """Note how far this has come; 0: it begins anew."""
    tx.conn.execute(lifecycle.update().values(hashes_after=page_id or None))
