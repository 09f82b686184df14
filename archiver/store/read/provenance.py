"""Where a message came from: the page that brought it, its window, its source, and the run that was at work."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.schema import attachments, message_bodies, messages, pages, runs, windows

p, w, r = pages.c, windows.c, runs.c


class MessageOrigin(NamedTuple):
    """Instants in ms. `sha256`: over the records of the page as they came. `run`: None where none is known."""

    page_id: int
    source: str
    fetched_ms: int
    received: int
    sha256: str
    window_id: int
    lo_ms: int
    hi_ms: int
    pass_no: int
    cause: str
    state: str
    run: int | None
    program: str | None


def of_page(tx: Tx, page_id: int) -> MessageOrigin | None:
    """Where the records of a page came from."""
    query = (
        sa.select(
            p.id, p.source, p.fetched_at, p.received, p.sha256, w.id, w.lo_ms, w.hi_ms, w["pass"], w.cause, w.state
        )
        .add_columns(p.app_id)
        .join_from(pages, windows, w.id == p.window_id)
        .where(p.id == page_id)
    )
    row = tx.conn.execute(query).first()
    if row is None:
        return None
    *known, app_id = row
    of_run = sa.select(r.id, r.program).where(
        r.app_id == app_id,
        r.source == row.source,
        r.started_at <= row.fetched_at,
        sa.or_(r.ended_at.is_(None), r.ended_at >= row.fetched_at),
    )
    run = tx.conn.execute(of_run.order_by(r.id.desc()).limit(1)).first()
    return MessageOrigin(*known, *((None, None) if run is None else run))


class NamedContent(NamedTuple):
    """A stored content, and what a message calls it."""

    sha256: str
    media_type: str | None
    filename: str | None
    msg_id: str


def contents(tx: Tx, app_id: int, msg_ids: list[str]) -> list[NamedContent]:
    """The stored contents that these messages point to."""
    a, b, m = attachments.c, message_bodies.c, messages.c
    query = (
        sa.select(a.sha256, a.media_type, b.filename, a.msg_id)
        .join_from(attachments, messages, sa.and_(m.app_id == a.app_id, m.msg_id == a.msg_id))
        .outerjoin(message_bodies, sa.and_(b.app_id == a.app_id, b.msg_id == a.msg_id, b.position == a.position))
        .where(a.app_id == app_id, tx.among(a.msg_id, msg_ids), a.state == "stored")
    )
    return [NamedContent(*row) for row in tx.conn.execute(query)]
