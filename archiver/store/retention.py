"""How long the messages of an app must stay, and may: terms whose rows are only added, the newest in force."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.schema import apps, retention_terms


class RetentionTerms(NamedTuple):
    """`5y` or `1826d`; None: no such term."""

    keep_at_least: str | None = None
    keep_at_most: str | None = None


class SetTerms(NamedTuple):
    """The terms of an app, and who set them last; these are None where nobody has."""

    app_id: int
    app: str
    terms: RetentionTerms
    reason: str | None
    who: str | None
    at_ms: int | None


def read(tx: Tx) -> list[SetTerms]:
    """The terms in force of every app, in the order of names."""
    t = retention_terms.c
    newest = sa.select(sa.func.max(t.id)).group_by(t.app_id)
    query = (
        sa.select(apps.c.id, apps.c.name, t.keep_at_least, t.keep_at_most, t.reason, t.who, t["at"])
        .outerjoin_from(apps, retention_terms, sa.and_(t.app_id == apps.c.id, t.id.in_(newest)))
        .order_by(apps.c.name)
    )
    return [SetTerms(row[0], row[1], RetentionTerms(row[2], row[3]), *row[4:]) for row in tx.conn.execute(query)]


def may_read(tx: Tx) -> bool:
    """Whether this login sees terms: readers of messages alone do not."""
    sees = sa.select(sa.func.has_table_privilege("retention_terms", "SELECT"))
    return not tx.postgres or bool(tx.conn.scalar(sees))


def add(tx: Tx, app_id: int, terms: RetentionTerms, *, reason: str, who: str, request_id: int | None = None) -> None:
    """Set the terms of an app; the database refuses shorter ones without an approved request."""
    row = {"app_id": app_id, **terms._asdict(), "reason": reason, "who": who, "request_id": request_id}
    tx.conn.execute(retention_terms.insert().inline(), row | {"at": tx.now_ms()})
