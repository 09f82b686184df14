"""Takes an app out of the database that never stored anything, as after a mistyped name."""

from __future__ import annotations

import sqlalchemy as sa

from archiver.errors import UsageError
from archiver.store.engine import Tx
from archiver.store.schema import DECIDED, DELETED, alerts, apps, metadata, of_kind, pages, seals, search_queue

_KEPT_FOR = (
    *("messages", "message_revisions", "quarantine", "late_arrivals", "attachments", "look_conversations"),
    *(table.name for table in of_kind(DECIDED, DELETED) if "app_id" in table.c),
    "events",
)


def forget(tx: Tx, name: str) -> str | None:
    """Delete an app and its sources, or say what it is kept for. Raises UsageError where there is no such app."""
    app_id = tx.conn.scalar(sa.select(apps.c.id).where(apps.c.name == name).with_for_update())
    if app_id is None:
        known = ", ".join(tx.conn.scalars(sa.select(apps.c.name).order_by(apps.c.name))) or "none"
        raise UsageError(f"no app named {name!r} is in the archive; there is: {known}")
    for table in _KEPT_FOR:
        rows = metadata.tables[table]
        if tx.conn.execute(sa.select(sa.literal(1)).where(rows.c.app_id == app_id).limit(1)).first() is not None:
            return f"the archive has {table.replace('_', ' ')} of it"
    its_pages = sa.select(pages.c.id).where(pages.c.app_id == app_id)
    if tx.conn.execute(sa.select(seals.c.id).where(seals.c.page_id.in_(its_pages)).limit(1)).first() is not None:
        return "the ledger has pages of it"
    tx.conn.execute(search_queue.delete().where(search_queue.c.page_id.in_(its_pages)))
    tx.conn.execute(alerts.delete().where(alerts.c.app == name))
    for rows in reversed(metadata.sorted_tables):
        if "app_id" in rows.c and rows.name not in _KEPT_FOR:
            tx.conn.execute(rows.delete().where(rows.c.app_id == app_id))
    tx.conn.execute(apps.delete().where(apps.c.id == app_id))
    return None
