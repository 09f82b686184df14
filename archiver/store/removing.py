"""Takes out of the tables what belongs to messages, in the order that their keys and triggers demand.

Who calls has the archive's lock exclusively, and has stored what the triggers ask for: without tombstones they refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.schema import (
    attachment_attempts,
    attachments,
    blob_wipes,
    events,
    late_arrivals,
    message_bodies,
    message_revisions,
    messages,
    revision_bodies,
    search_texts,
)
from archiver.store.search.text import bigrams

_CONTENT = (revision_bodies, message_revisions, message_bodies)
_ROWS = (late_arrivals, attachment_attempts, attachments, messages)
_FORGET = "INSERT INTO search_index (search_index, rowid, bigrams) VALUES ('delete', ?, ?)"


def of_these(tx: Tx, table: sa.Table, app_id: int, msg_ids: Sequence[str]) -> sa.ColumnElement[bool]:
    """The rows of a table that belong to these messages."""
    return sa.and_(table.c.app_id == app_id, tx.among(table.c.msg_id, msg_ids))


def content(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> None:
    """Delete bodies and revisions of messages, and what the search index has of them."""
    texts(tx, app_id, msg_ids)
    for table in _CONTENT:
        tx.conn.execute(table.delete().where(of_these(tx, table, app_id, msg_ids)))


def rows(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> None:
    """Delete messages, and all that has a key to them; contents of attachments are noted to be wiped."""
    wipe(tx, contents(tx, app_id, msg_ids))
    content(tx, app_id, msg_ids)
    about(tx, app_id, msg_ids)
    for table in _ROWS:
        tx.conn.execute(table.delete().where(of_these(tx, table, app_id, msg_ids)))


def texts(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> None:
    """Take messages out of the search index. SQLite's keeps no texts: it has to be given what it shall forget."""
    those = of_these(tx, search_texts, app_id, msg_ids)
    if not tx.postgres:
        known = tx.conn.execute(sa.select(search_texts.c.number, search_texts.c.text).where(those)).all()
        if known:
            tx.conn.exec_driver_sql(_FORGET, [(number, " ".join(bigrams(text))) for number, text in known])
    tx.conn.execute(search_texts.delete().where(those))


def about(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> None:
    """Delete the events of these messages, and those that report of them."""
    for column in (events.c.msg_id, events.c.target_msg_id):
        tx.conn.execute(events.delete().where(events.c.app_id == app_id, tx.among(column, msg_ids)))


def contents(tx: Tx, app_id: int, msg_ids: Sequence[str]) -> list[str]:
    """The contents that attachments of these messages name, by SHA-256."""
    named = sa.select(attachments.c.sha256).where(
        of_these(tx, attachments, app_id, msg_ids), attachments.c.sha256.is_not(None)
    )
    return sorted(set(tx.conn.scalars(named)))


def wipe(tx: Tx, sums: Iterable[str]) -> None:
    """Note contents that no row may name any more; they are removed a day later, if that is so."""
    rows_of = [{"sha256": sha256, "at": tx.now_ms()} for sha256 in sums]
    if rows_of:
        tx.conn.execute(tx.insert(blob_wipes).on_conflict_do_nothing(), rows_of)
