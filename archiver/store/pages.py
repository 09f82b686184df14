"""Pages into the archive: messages, rejects, late arrivals, and rows of their own, in the caller's transaction."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from archiver.model import DAY_MS, Message, Page, Reject, Tally
from archiver.store import messages
from archiver.store.appending import Provenance
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx
from archiver.store.quarantine import QuarantineEntry
from archiver.store.schema import late_arrivals, pages, quarantine, windows
from archiver.store.seals import CHANGED, NEW, QUARANTINED, Leaf, PageSeal, SealJournal, SealMade
from archiver.store.windows import Claim, Held

_FIRST_MS = -(2**63)
_PAGE_COLUMNS = (
    *("id", "app_id", "window_id", "source", "fence"),
    *("fetched_at", "server_ms", "sha256"),
    *("received", "new", "known", "changed", "quarantined", "outside"),
)


def insert(held: Held, arrived: Sequence[Page], walk0_ms: int) -> list[Tally]:
    """Store pages that the walk of a held window brought; `walk0_ms` is when that walk began, in server time."""
    tx, claim = held
    now_ms, ids = tx.now_ms(), tx.new_page_ids(len(arrived))
    origin = Provenance(claim.key.app_id, now_ms)
    stored = messages.insert(
        tx, origin, [messages.Batch(page_id, page.messages) for page_id, page in zip(ids, arrived, strict=True)]
    )
    late = _insert_late(tx, claim, walk0_ms, dict(zip(ids, (result.new for result in stored), strict=True)))
    tallies, rows = [], []
    for page_id, page, result in zip(ids, arrived, stored, strict=True):
        tally = _tally(claim, page, result, late.get(page_id, []))
        tallies.append(tally)
        fates = (tally.received, tally.new, tally.known, tally.changed, tally.quarantined)
        # With a neighbour's bytes, a hash over what was deleted and is offered still would tell guesses apart.
        answer = (tx.given.instant(now_ms), page.server_ms, "" if result.deleted else page.sha256)
        place = (page_id, claim.key.app_id, claim.id, claim.key.source, claim.fence)
        rows.append((*place, *answer, *fates, tally.outside))
    tx.append(pages, _PAGE_COLUMNS, rows)
    rejects = [
        (page_id, reject)
        for page_id, page, result in zip(ids, arrived, stored, strict=True)
        for reject in (*page.rejects, *result.refused)
    ]
    fresh = _quarantine(tx, claim, now_ms, rejects)
    if isinstance(tx.journal, SealJournal):
        for page_id, page, tally, result in zip(ids, arrived, tallies, stored, strict=True):
            seal = _to_seal(claim, page_id, tally, (now_ms, page.server_ms))
            if (made := _prepared(tx.journal, page, tally)) is not None:
                seal = seal._replace(made=made)
            else:
                seal = seal._replace(leaves=_leaves(result, fresh.get(page_id, [])))
            tx.journal.add_page(seal)
    return tallies


def has_emptied(tx: Tx, claim: Claim) -> bool:
    """Whether a page of a window has no hash: then the file that it came from keeps none either."""
    query = sa.select(pages.c.id).where(pages.c.window_id == claim.id, pages.c.sha256 == "").limit(1)
    return tx.conn.execute(query).first() is not None


def _leaves(stored: messages.InsertResult, quarantined: Sequence[Reject]) -> list[Leaf]:
    """What of a page was stored by it, in order of position: what is known has its leaf elsewhere."""
    leaves = [(message.position, NEW, message.raw) for message in stored.new]
    leaves += [(message.position, CHANGED, message.raw) for message in stored.changed]
    leaves += [(reject.position, QUARANTINED, reject.raw) for reject in quarantined]
    return sorted(leaves)


def _prepared(journal: SealJournal, page: Page, tally: Tally) -> SealMade | None:
    """The seal that was made when the page came, if all of it is new indeed."""
    made = journal.signer.prepared.take(page)
    return made if tally.new == tally.received else None


def _to_seal(claim: Claim, page_id: int, tally: Tally, times: tuple[int, int | None]) -> PageSeal:
    counts = (tally.received, tally.new, tally.known, tally.changed, tally.quarantined)
    place = (claim.key, page_id, claim.id, claim.fence, claim.pass_no, *claim.window)
    return PageSeal(*place, counts, tally.outside, *times, ())


def seal_requeued(tx: Tx, entry: QuarantineEntry, page_id: int, stored: messages.InsertResult) -> None:
    """Seal the page to which the records of a damaged file were moved; like its row, it counts nothing."""
    if isinstance(tx.journal, SealJournal):
        query = sa.select(windows.c["pass"], windows.c.lo_ms, windows.c.hi_ms).where(windows.c.id == entry.window_id)
        place = tx.conn.execute(query).one()
        key, counts = SourceKey(entry.app_id, entry.source), (0, 0, 0, 0, 0)
        times = (entry.seen_at_ms, None)
        seal = PageSeal(key, page_id, entry.window_id, 0, *place, counts, 0, *times, _leaves(stored, []))
        tx.journal.add_page(seal)


def _tally(claim: Claim, page: Page, stored: messages.InsertResult, late: Sequence[int]) -> Tally:
    return Tally(
        new=len(stored.new),
        known=stored.known,
        changed=len(stored.changed),
        quarantined=len(page.rejects) + len(stored.refused),
        bodies=stored.bodies,
        late=len(late),
        worst_lateness_ms=max(late, default=None),
        outside=len(claim.outside(page.messages)),
        expired=stored.expired,
    )


def _quarantine(tx: Tx, claim: Claim, seen_ms: int, rejects: Sequence[tuple[int, Reject]]) -> dict[int, list[Reject]]:
    """Keep what could not be read, once per content; `seen` counts how often it came.

    Gives those that are here for the first time, by page: of a content that is known there is a leaf elsewhere.
    """
    contents: dict[bytes, list[tuple[int, Reject]]] = {}
    for page_id, reject in sorted(rejects, key=lambda entry: entry[1].raw):
        contents.setdefault(hashlib.sha256(reject.raw).digest(), []).append((page_id, reject))
    rows = [
        {
            "app_id": claim.key.app_id,
            "source": claim.key.source,
            "window_id": claim.id,
            "page_id": page_id,
            "position": reject.position,
            "reason": reject.reason,
            "raw": reject.raw,
            "digest": digest,
            "seen": len(seen),
            "seen_at": seen_ms,
        }
        for digest, seen in contents.items()
        for page_id, reject in seen[:1]
    ]
    if not rows:
        return {}
    insert = tx.insert(quarantine)
    statement = insert.on_conflict_do_update(
        index_elements=["app_id", "digest"], set_={"seen": quarantine.c.seen + insert.excluded.seen}
    ).returning(quarantine.c.page_id, quarantine.c.position)
    kept = {(row[0], row[1]) for row in tx.conn.execute(statement, rows)}
    fresh: dict[int, list[Reject]] = {}
    for seen in contents.values():
        page_id, reject = seen[0]
        if (page_id, reject.position) in kept:
            fresh.setdefault(page_id, []).append(reject)
    return fresh


_LATE_COLUMNS = ("app_id", "msg_id", "source", "timestamp_ms", "found_at_ms", "lateness_ms", "window_id", "page_id")


def _insert_late(tx: Tx, claim: Claim, walk0_ms: int, new: Mapping[int, Sequence[Message]]) -> dict[int, list[int]]:
    """Note new messages stamped within what pass 1 had already closed; gives the lateness by page, in ms."""
    suspects = sorted(
        (message.msg_id, page_id, message.timestamp_ms)
        for page_id, messages in new.items()
        for message in (claim.outside(messages) if claim.pass_no == 1 else messages)
    )
    if not suspects:
        return {}
    stamps = [stamp_ms for _, _, stamp_ms in suspects]
    closed = _closed_ranges(tx, claim, min(stamps), max(stamps))
    starts = [lo_ms for lo_ms, _ in closed]
    key, rows = claim.key, []
    late: dict[int, list[int]] = {}
    for msg_id, page_id, stamp_ms in suspects:
        at = bisect_right(starts, stamp_ms) - 1
        if at >= 0 and stamp_ms < closed[at][1]:
            lateness_ms = max(0, walk0_ms - stamp_ms)
            rows.append((key.app_id, msg_id, key.source, stamp_ms, walk0_ms, lateness_ms, claim.id, page_id))
            late.setdefault(page_id, []).append(lateness_ms)
    if rows:
        tx.append(late_arrivals, _LATE_COLUMNS, rows)
    return late


def _closed_ranges(tx: Tx, claim: Claim, lo_ms: int, hi_ms: int) -> list[tuple[int, int]]:
    query = (
        sa.select(windows.c.lo_ms, windows.c.hi_ms)
        .where(
            windows.c.app_id == claim.key.app_id,
            windows.c.source == claim.key.source,
            windows.c["pass"] == 1,
            windows.c.state.in_(("closed", "presumed_empty")),
            windows.c.lo_ms <= hi_ms,
            windows.c.lo_ms > max(lo_ms - DAY_MS, _FIRST_MS),  # no window is wider: keeps the look-up short
            windows.c.hi_ms > lo_ms,
        )
        .order_by(windows.c.lo_ms)
    )
    return [(row.lo_ms, row.hi_ms) for row in tx.conn.execute(query)]
