"""Canaries: marked messages that were sent, and the time it took until they were in the archive."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from archiver.model import HOUR_MS
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx
from archiver.store.schema import canaries, message_bodies, messages, sources


class SentCanary(NamedTuple):
    """One that was sent, or is about to be."""

    id: int
    marker: str
    sent_ms: int
    outcome: str = "waiting"
    archived_ms: int | None = None


def begin(tx: Tx, key: SourceKey, target: str, marker: str, *, spacing_ms: int = 0) -> SentCanary | None:
    """Note one that is sent next; None if the last one was sent less than `spacing_ms` ago, by whomever."""
    if tx.postgres:
        tx.conn.exec_driver_sql("LOCK TABLE canaries IN SHARE ROW EXCLUSIVE MODE")
    now_ms = tx.now_ms()
    last = sa.select(canaries.c.sent_at).where(_of(key)).order_by(canaries.c.id.desc()).limit(1)
    last_ms = tx.conn.scalar(last)
    # A clock that was set back must not keep the next one for as long.
    if last_ms is not None and last_ms <= now_ms < last_ms + spacing_ms:
        return None
    values = {**key._asdict(), "target": target, "marker": marker, "sent_at": now_ms}
    canary_id = tx.conn.execute(canaries.insert().values(values).returning(canaries.c.id)).scalar_one()
    return SentCanary(canary_id, marker, now_ms)


def end(tx: Tx, canary_id: int, outcome: str, reason: str) -> None:
    """It was lost, or could not be sent."""
    tx.conn.execute(canaries.update().where(canaries.c.id == canary_id).values(outcome=outcome, reason=reason))


def look(tx: Tx, key: SourceKey, within_ms: int) -> list[SentCanary]:
    """Settle the fate of those that are waited for; gives those that came and those that are too late."""
    settled = []
    waiting = (
        sa.select(canaries.c.id, canaries.c.marker, canaries.c.sent_at)
        .where(_of(key), canaries.c.outcome == "waiting")
        .order_by(canaries.c.id)
    )
    for canary_id, marker, sent_ms in tx.conn.execute(waiting).all():
        canary = SentCanary(canary_id, marker, sent_ms)
        if (row := _archived(tx, key, canary)) is not None:
            msg_id, archived_ms = row
            came = {"outcome": "archived", "msg_id": msg_id, "archived_at": archived_ms, "reason": None}
            tx.conn.execute(canaries.update().where(canaries.c.id == canary_id).values(came))
            settled.append(canary._replace(outcome="archived", archived_ms=archived_ms))
        elif not sent_ms <= tx.now_ms() <= sent_ms + within_ms:
            end(tx, canary_id, "lost", "it was not archived in time")
            settled.append(canary._replace(outcome="lost"))
    return settled


def _archived(tx: Tx, key: SourceKey, canary: SentCanary) -> tuple[str, int] | None:
    """The message with the marker; stamped about when it was sent, so that the index on the time helps."""
    skew_ms = (
        tx.conn.scalar(
            sa.select(sources.c.skew_ms).where(sources.c.app_id == key.app_id, sources.c.source == key.source)
        )
        or 0
    )
    both = messages.join(
        message_bodies,
        sa.and_(message_bodies.c.app_id == messages.c.app_id, message_bodies.c.msg_id == messages.c.msg_id),
    )
    query = (
        sa.select(messages.c.msg_id, messages.c.archived_at)
        .select_from(both)
        .where(
            messages.c.app_id == key.app_id,
            messages.c.sent_at >= canary.sent_ms + skew_ms - HOUR_MS,
            message_bodies.c.text == canary.marker,
        )
    )
    row = tx.conn.execute(query.limit(1)).first()
    return None if row is None else (row.msg_id, row.archived_at)


def _of(key: SourceKey) -> sa.ColumnElement[bool]:
    return sa.and_(canaries.c.app_id == key.app_id, canaries.c.source == key.source)
