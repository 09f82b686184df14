"""Whether it is a window that cannot be had, or the provider: by what else it has answered meanwhile."""

from __future__ import annotations

import sqlalchemy as sa

from archiver.model import DAY_MS, HOUR_MS
from archiver.store.apps import of_source
from archiver.store.engine import Tx
from archiver.store.schema import pages, windows
from archiver.store.windows import Claim

_PAGES_LOOKED_AT = 10_000
_AN_HOURS_PATIENCE_MS = 6 * HOUR_MS


def others_close(tx: Tx, claim: Claim, since_ms: int) -> bool:
    """Whether other windows of this source came to their end since then."""
    others = sa.and_(
        windows.c.app_id == claim.key.app_id, windows.c.source == claim.key.source, windows.c.id != claim.id
    )
    query = sa.select(windows.c.id).where(others, windows.c.closed_at >= since_ms)
    return tx.conn.execute(query.limit(1)).first() is not None


def others_succeed(tx: Tx, claim: Claim, since_ms: int) -> bool:
    """Whether the provider has answered for other windows of this source since then, so that this one is to blame.

    The time of a page is the database's, as `since_ms` is. Only ids near the newest are looked at.
    """
    newest = sa.select(sa.func.coalesce(sa.func.max(pages.c.id), 0)).scalar_subquery()
    query = sa.select(pages.c.id).where(
        pages.c.id > newest - _PAGES_LOOKED_AT,
        pages.c.app_id == claim.key.app_id,
        pages.c.source == claim.key.source,
        pages.c.window_id != claim.id,
        pages.c.fetched_at >= since_ms,
    )
    return tx.conn.execute(query.limit(1)).first() is not None


def hour_is_to_blame(tx: Tx, claim: Claim, *, missing: bool) -> bool:
    """Whether it is this hour that cannot be had, not the provider, by what else it has answered meanwhile.

    Other hours' files soon prove that; in an app that hardly writes, answers of any kind do after a day. Where the file
    is `missing`, that takes a day longer: it may be presumed empty before.
    """
    if claim.failed_ms is None:
        return False
    failing_ms = tx.now_ms() - claim.failed_ms
    others = sa.and_(of_source(windows.c), windows.c.id != claim.id, windows.c.walked_at > claim.failed_ms)
    if failing_ms < (2 * DAY_MS if missing else DAY_MS):
        others = sa.and_(others, windows.c.file_sha256.is_not(None))
        if missing or failing_ms < _AN_HOURS_PATIENCE_MS:
            return False
    return tx.conn.execute(sa.select(windows.c.id).where(others).limit(1), claim.key.bound).first() is not None
