"""One page into the archive: its rows, its rejects, its late arrivals and its own row, in the caller's transaction."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from archiver.model import DAY_MS, Message, Page, Reject, Tally
from archiver.store import messages
from archiver.store.engine import Tx
from archiver.store.schema import late_arrivals, pages, quarantine, windows
from archiver.store.windows import Claim

_FIRST_MS = -(2**63)
_INSERT = pages.insert()


def insert(tx: Tx, claim: Claim, page: Page, walk0_ms: int) -> Tally:
    """Store a page that the walk of `claim` brought; `walk0_ms` is when that walk began, in server time."""
    page_id, now_ms = tx.next_page_id(), tx.now_ms()
    origin = messages.Origin(claim.key.app_id, page_id, now_ms)
    stored = messages.insert(tx, origin, page.messages)
    rejects = [*page.rejects, *stored.refused]
    late = _insert_late(tx, claim, page_id, walk0_ms, stored.new)
    tally = Tally(
        new=len(stored.new),
        known=stored.known,
        changed=len(stored.changed),
        quarantined=len(rejects),
        bodies=stored.bodies,
        late=len(late),
        worst_lateness_ms=max(late, default=None),
        outside=sum(1 for message in page.messages if not claim.covers(message.timestamp_ms)),
    )
    row = {
        "id": page_id,
        "app_id": claim.key.app_id,
        "window_id": claim.id,
        "source": claim.key.source,
        "fence": claim.fence,
        "fetched_at": now_ms,
        "server_ms": page.server_ms,
        "sha256": page.sha256,
        "received": tally.received,
        "new": tally.new,
        "known": tally.known,
        "changed": tally.changed,
        "quarantined": tally.quarantined,
        "outside": tally.outside,
    }
    tx.conn.execute(_INSERT, row)
    _quarantine(tx, claim, origin, rejects)
    return tally


def _quarantine(tx: Tx, claim: Claim, origin: messages.Origin, rejects: Iterable[Reject]) -> None:
    """Keep what could not be read, once per content; `seen` counts how often it came."""
    rows = [
        {
            "app_id": origin.app_id,
            "source": claim.key.source,
            "window_id": claim.id,
            "page_id": origin.page_id,
            "position": reject.position,
            "reason": reject.reason,
            "raw": reject.raw,
            "digest": hashlib.sha256(reject.raw).digest(),
            "seen_at": origin.archived_ms,
        }
        for reject in sorted(rejects, key=lambda reject: reject.raw)
    ]
    if rows:
        statement = tx.insert(quarantine).on_conflict_do_update(
            index_elements=["app_id", "digest"], set_={"seen": quarantine.c.seen + 1}
        )
        tx.conn.execute(statement, rows)


def _insert_late(tx: Tx, claim: Claim, page_id: int, walk0_ms: int, new: Sequence[Message]) -> list[int]:
    """Note new messages stamped within what pass 1 had already closed; gives their lateness, in ms."""
    suspects = [message for message in new if claim.number != 1 or not claim.covers(message.timestamp_ms)]
    if not suspects:
        return []
    stamps = [message.timestamp_ms for message in suspects]
    closed = _closed_ranges(tx, claim, min(stamps), max(stamps))
    starts = [lo_ms for lo_ms, _ in closed]
    rows = []
    for m in sorted(suspects, key=lambda message: message.msg_id):
        at = bisect_right(starts, m.timestamp_ms) - 1
        if at >= 0 and m.timestamp_ms < closed[at][1]:
            lateness_ms = max(0, walk0_ms - m.timestamp_ms)
            rows.append(
                (claim.key.app_id, m.msg_id, claim.key.source, m.timestamp_ms, walk0_ms, lateness_ms, claim.id, page_id)
            )
    if rows:
        tx.append(late_arrivals, late_arrivals.columns.keys(), rows)
    return [row[5] for row in rows]


def _closed_ranges(tx: Tx, claim: Claim, lo_ms: int, hi_ms: int) -> list[tuple[int, int]]:
    w = windows.c
    query = (
        sa.select(w.lo_ms, w.hi_ms)
        .where(
            w.app_id == claim.key.app_id,
            w.source == claim.key.source,
            w["pass"] == 1,
            w.state.in_(("closed", "presumed_empty")),
            w.lo_ms <= hi_ms,
            w.lo_ms > max(lo_ms - DAY_MS, _FIRST_MS),  # no window is wider: keeps the look-up short
            w.hi_ms > lo_ms,
        )
        .order_by(w.lo_ms)
    )
    return [(row.lo_ms, row.hi_ms) for row in tx.conn.execute(query)]
