"""Erases messages: content, names and everything that leads back to them go; id, time and a tombstone stay.

What a hold keeps, or a term that is running, is sealed instead, and erased when that has ended. By the id that stays
the provider's copy is known, and not stored again.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.errors import DatabaseRefused
from archiver.store import burying, burying_rows, holds, removing, unsalted
from archiver.store.burying import Burial, GoingRecord
from archiver.store.burying_rows import SealedRow, Stone
from archiver.store.engine import Tx
from archiver.store.expiring import begins
from archiver.store.holds import NOTED
from archiver.store.quarantine import NO_PAGE
from archiver.store.schema import (
    WITHHELD_ERASED,
    WITHHELD_SEALED,
    attachment_attempts,
    attachments,
    events,
    message_bodies,
    message_revisions,
    messages,
    pages,
    quarantine,
    request_items,
    revision_bodies,
)
from archiver.store.seals import key_text

REASON = "erased"
MESSAGES_AT_ONCE, PAGES_AT_ONCE = 1_000, 50


_MAY = sa.select(sa.func.has_table_privilege("tombstones", "INSERT"), sa.func.has_table_privilege("pages", "INSERT"))


def demand_rights(tx: Tx) -> None:
    """Raises DatabaseRefused for a login that may not erase, before anything is begun."""
    if tx.postgres and not all(tx.conn.execute(_MAY).one()):
        problem = "this login may not erase: it needs archive_writer and archive_eraser"
        raise DatabaseRefused(problem, hint="GRANT archive_writer, archive_eraser TO the login of who erases")


class LeftMessage(NamedTuple):
    """A message of a request that is not erased yet, and the page that its first copy lies on."""

    app_id: int
    page_id: int
    msg_id: str


def left(tx: Tx, request_id: int) -> list[LeftMessage]:
    """What of a request is not erased yet, in the order of pages."""
    i, m = request_items.c, messages.c
    same = sa.and_(i.app_id == m.app_id, i.msg_id == m.msg_id)
    query = sa.select(m.app_id, m.page_id, m.msg_id).select_from(request_items.join(messages, same))
    query = query.where(i.request_id == request_id, sa.func.coalesce(m.withheld, 0) != WITHHELD_ERASED)
    return sorted(LeftMessage(*row) for row in tx.conn.execute(query))


class ErasureBatch(NamedTuple):
    """What came of some messages: these are erased, and so many are sealed."""

    erased: list[str]
    sealed: int


Note = Callable[[Sequence[str]], None]
"""Called with ids of messages that this transaction erases, before its commit."""


def erase(tx: Tx, burial: Burial, msg_ids: Sequence[str], over_ms: int | None, note: Note) -> ErasureBatch:
    """Erase some messages of an app, or seal them; the caller has the archive's lock.

    `over_ms`: a message whose term began before that may go; None: there is no term.
    """
    going, staying = _judged(tx, burial.app_id, msg_ids, over_ms)
    if staying:
        m = messages.c
        unsealed = sa.and_(removing.of_these(tx, messages, burial.app_id, staying), m.withheld.is_(None))
        tx.conn.execute(messages.update().where(unsealed).values(withheld=WITHHELD_SEALED))
    if going:
        _bury(tx, burial, going)
        note(going)
        _empty_files(tx, burial.app_id, going)
        removing.content(tx, burial.app_id, going)
        removing.about(tx, burial.app_id, going)
        _empty(tx, burial.app_id, going)
    return ErasureBatch(going, len(staying))


def _judged(tx: Tx, app_id: int, msg_ids: Sequence[str], over_ms: int | None) -> tuple[list[str], list[str]]:
    """Which of these may go, and which have to stay: a hold keeps them, or their term is running."""
    holds.note(tx)
    m = messages.alias("m")
    keeps: sa.ColumnElement[Any] = sa.literal_column(f"({NOTED.replace('{holds}', 'holds_in_force')})")
    if over_ms is not None:
        keeps = sa.or_(keeps, sa.literal_column(f"({begins(tx)})", sa.BigInteger) >= over_ms)
    left_over = sa.func.coalesce(m.c.withheld, 0) != WITHHELD_ERASED
    query = sa.select(m.c.msg_id, keeps).where(m.c.app_id == app_id, tx.among(m.c.msg_id, list(msg_ids)), left_over)
    rows = sorted((row[0], bool(row[1])) for row in tx.conn.execute(query))
    return [msg_id for msg_id, kept in rows if not kept], [msg_id for msg_id, kept in rows if kept]


def _bury(tx: Tx, burial: Burial, msg_ids: Sequence[str]) -> None:
    """A tombstone for every leaf: first copies, revisions, and sealed rows of attachments and events."""
    places = _places(tx, burial.app_id, msg_ids)
    by_page: dict[int, dict[int, tuple[str, GoingRecord]]] = defaultdict(dict)
    for msg_id, place in places:
        by_page[place.page_id][place.position] = (msg_id, place)
    rows: list[Stone] = []
    for page_id, going in sorted(by_page.items()):
        leaves = burying.leaves_at(tx, page_id, set(going))
        for position, (msg_id, place) in going.items():
            rows.append(burying.stone_of(place, leaves) | {"msg_id": msg_id})
            _empty_quarantined(tx, page_id, position)
    rows += burying_rows.stones(tx, attachments.name, _sealed_files(tx, burial.app_id, msg_ids))
    rows += burying_rows.stones(tx, events.name, _sealed_events(tx, burial.app_id, msg_ids))
    add(tx, burial, rows)


def add(tx: Tx, burial: Burial, stones: Sequence[Stone]) -> None:
    """Store tombstones of an erasure; the database refuses them without an approved request."""
    burying.add(tx, "erased", burial, stones)


def stand_in(tx: Tx, burial: Burial, msg_ids: Sequence[str]) -> None:
    """Tombstones for messages that are not there, by which they are known when they come."""
    nothing = dict.fromkeys(("messages", "bodies", "revisions"), 0)
    place = {"page_id": NO_PAGE, "seal_id": None, "position": None, "leaf": None}
    add(tx, burial, [{"msg_id": msg_id, **place, **nothing} for msg_id in msg_ids])


def _places(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> list[tuple[str, GoingRecord]]:
    m, r, b, c = messages.c, message_revisions.c, message_bodies.c, revision_bodies.c
    those = {
        table: removing.of_these(tx, table, app_id, msg_ids)
        for table in (messages, message_bodies, message_revisions, revision_bodies)
    }
    counted = sa.select(b.msg_id, sa.func.count()).where(those[message_bodies]).group_by(b.msg_id)
    bodies = {row[0]: row[1] for row in tx.conn.execute(counted)}
    counted_later = sa.select(c.msg_id, c.revision, sa.func.count()).where(those[revision_bodies])
    later = {(row[0], row[1]): row[2] for row in tx.conn.execute(counted_later.group_by(c.msg_id, c.revision))}
    places = [
        (row[0], GoingRecord(row[1], row[2], 1, bodies.get(row[0], 0), 0))
        for row in tx.conn.execute(sa.select(m.msg_id, m.page_id, m.position).where(those[messages]))
    ]
    revised = sa.select(r.msg_id, r.page_id, r.position, r.revision).where(those[message_revisions])
    return places + [
        (row[0], GoingRecord(row[1], row[2], 0, later.get((row[0], row[3]), 0), 1)) for row in tx.conn.execute(revised)
    ]


def _sealed_files(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> dict[str, SealedRow]:
    a = attachments.c
    query = sa.select(*attachments.primary_key, a.fetched_at, a.msg_id)
    stored = query.where(removing.of_these(tx, attachments, app_id, msg_ids), a.state == "stored")
    return {key_text(row[:-2]): SealedRow(row[-2] or 0, row[-1]) for row in tx.conn.execute(stored)}


def _sealed_events(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> dict[str, SealedRow]:
    e, ids = events.c, set(msg_ids)
    rows: dict[str, SealedRow] = {}
    for column in (e.msg_id, e.target_msg_id):
        query = sa.select(e.id, e.received_at, column).where(e.app_id == app_id, tx.among(column, list(ids)))
        rows |= {key_text(row[:1]): SealedRow(row[1], row[2]) for row in tx.conn.execute(query)}
    return rows


def _empty_quarantined(tx: Tx, page_id: int, position: int) -> None:
    """The record as it lay in quarantine, where the message came from there."""
    q = quarantine.c
    came = sa.and_(q.page_id == page_id, q.position == position, sa.func.coalesce(q.withheld, 0) != WITHHELD_ERASED)
    for number in tx.conn.scalars(sa.select(q.id).where(came)).all():
        empty_record(tx, number)


def empty_record(tx: Tx, number: int, reason: str = REASON) -> None:
    """Take the bytes of a quarantined record, and what it could be known by."""
    q = quarantine.c
    blank = {"raw": b"", "digest": secrets.token_bytes(32), "reason": reason, "withheld": WITHHELD_ERASED}
    resolved = sa.func.coalesce(q.resolved_at, sa.bindparam("now", tx.now_ms(), q.resolved_at.type))
    tx.conn.execute(quarantine.update().where(q.id == number).values(**blank, resolved_at=resolved))


def _empty_files(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> None:
    """Rows of attachments stay, without what they point to; who downloads one now finds another fence."""
    removing.wipe(tx, removing.contents(tx, app_id, msg_ids))
    blank = dict.fromkeys(("sha256", "size", "declared_length", "media_type"))
    gone = {"state": "gone", "url": "", "reason": REASON, "fence": attachments.c.fence + 1}
    tx.conn.execute(
        attachments.update().where(removing.of_these(tx, attachments, app_id, msg_ids)).values(gone | blank)
    )
    attempts = removing.of_these(tx, attachment_attempts, app_id, msg_ids)
    tx.conn.execute(attachment_attempts.update().where(attempts).values(reason=None))


_HUSKS = """
UPDATE messages SET raw = '', digest = decode(j.value, 'hex'), sender = NULL, recipient = NULL, conversation = NULL,
    ext = NULL, withheld = :erased
FROM json_each_text(CAST(:digests AS json)) j WHERE messages.app_id = :app_id AND messages.msg_id = j.key
"""


def _empty(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> None:
    """Leave husks. On PostgreSQL in one statement: a trigger of every statement looks at all that holds keep."""
    hashes_since = _since_ms(tx, app_id, msg_ids)
    if tx.postgres:
        digests = json.dumps({msg_id: secrets.token_hex(32) for msg_id in msg_ids})
        bound = {"erased": WITHHELD_ERASED, "digests": digests, "app_id": app_id}
        tx.conn.execute(sa.text(_HUSKS), bound)
    else:
        blank = dict.fromkeys(("sender", "recipient", "conversation"))
        husk = {"raw": b"", "digest": sa.func.randomblob(32), "ext": sa.null(), "withheld": WITHHELD_ERASED}
        those = removing.of_these(tx, messages, app_id, msg_ids)
        tx.conn.execute(messages.update().where(those).values(blank | husk))
    # No hash without salt stays over a page that can have had one of them, also where it was known there.
    unsalted.empty_since(tx, app_id, hashes_since)


def _since_ms(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> int:
    """When the first of these messages can have been on any page (ms)."""
    m = messages.c
    query = sa.select(sa.func.min(m.timestamp_ms), sa.func.min(pages.c.fetched_at))
    query = query.select_from(messages.outerjoin(pages, pages.c.id == m.page_id))
    stamp_ms, fetched_ms = tx.conn.execute(query.where(removing.of_these(tx, messages, app_id, msg_ids))).one()
    return min(int(one) for one in (stamp_ms, fetched_ms) if one is not None)
