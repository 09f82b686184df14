"""Apps and their sources: who is archived, since when, and what is remembered about the provider."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.errors import WrongApplication
from archiver.store.engine import Tx
from archiver.store.schema import apps, sources, watermarks


class Key(NamedTuple):
    """One way of reading one app."""

    app_id: int
    source: str

    @property
    def bound(self) -> dict[str, object]:
        """For statements that were built with `of_source`."""
        return {"of_app": self.app_id, "of_source": self.source}


def of_source(columns: Any) -> sa.ColumnElement[bool]:
    """`app_id` and `source` are those of a key that is bound later: what runs for every page is built once.

    Building a statement takes several times as long as running it.
    """
    return sa.and_(columns.app_id == sa.bindparam("of_app"), columns.source == sa.bindparam("of_source"))


class Remembered(NamedTuple):
    """What the archive remembers about a source. `origin_ms` never moves."""

    origin_ms: int
    backfill_from_ms: int | None
    order_trusted: bool


_LOCK = (
    sa.select(sources.c.origin_ms, sources.c.backfill_from_ms, sources.c.order_trusted)
    .where(of_source(sources.c))
    .with_for_update()
)
_TRUSTED = sa.select(sources.c.order_trusted).where(of_source(sources.c))
_CHANGE = sources.update().where(of_source(sources.c))


def register(
    tx: Tx, app: str, source: str, origin_ms: int, *, settle_ms: int, retention_ms: int | None, grain_ms: int = 0
) -> Key:
    """The key of an app's source; the first time, its rows are made and its origin is fixed for good.

    `grain_ms`: how much further than by `settle_ms` the watermark lags behind when all is well.
    """
    app_id = tx.conn.scalar(sa.select(apps.c.id).where(apps.c.name == app))
    if app_id is None:
        app_id = _add_app(tx, app)
    key = Key(app_id, source)
    settings = {"settle_ms": settle_ms, "grain_ms": grain_ms, "retention_ms": retention_ms}
    changed = tx.conn.execute(_CHANGE.returning(sources.c.app_id), key.bound | settings).first()
    if changed is None:
        now_ms = tx.now_ms()
        tx.conn.execute(
            sources.insert().values(app_id=app_id, source=source, origin_ms=origin_ms, created_at=now_ms, **settings)
        )
        tx.conn.execute(
            watermarks.insert().values(
                app_id=app_id,
                source=source,
                complete_from_ms=origin_ms,
                complete_until_ms=origin_ms,
                audited_until_ms=origin_ms,
                updated_at=now_ms,
            )
        )
    return key


def _add_app(tx: Tx, app: str) -> int:
    if tx.postgres:  # two first pulls at once: the second waits here, and then finds the row
        tx.conn.exec_driver_sql("LOCK TABLE apps IN SHARE ROW EXCLUSIVE MODE")
        found = tx.conn.scalar(sa.select(apps.c.id).where(apps.c.name == app))
        if found is not None:
            return int(found)
    values = {"name": app, "created_at": tx.now_ms()}
    return int(tx.conn.execute(apps.insert().values(values).returning(apps.c.id)).scalar_one())


def find(tx: Tx, app: str, source: str) -> Key | None:
    """The key of an app's source, if the archive knows it."""
    row = tx.conn.execute(
        sa.select(sources.c.app_id).join(apps).where(apps.c.name == app, sources.c.source == source)
    ).first()
    return None if row is None else Key(row.app_id, source)


def find_app(tx: Tx, app: str) -> int | None:
    """The number of an app, if the archive knows it."""
    return tx.conn.scalar(sa.select(apps.c.id).where(apps.c.name == app))


def pin(tx: Tx, app: str, application: str) -> None:
    """Tie an app to the uuid its credentials belong to. Raises WrongApplication when it is tied to another."""
    row = tx.conn.execute(sa.select(apps.c.id, apps.c.application).where(apps.c.name == app)).first()
    if row is None:
        tx.conn.execute(sa.update(apps).where(apps.c.id == _add_app(tx, app)).values(application=application))
    elif row.application is None:
        tx.conn.execute(sa.update(apps).where(apps.c.id == row.id).values(application=application))
    elif row.application != application:
        raise WrongApplication(
            f"{app}: the credentials belong to application {application}, but the archive holds {row.application}",
            hint="use the credentials of the archived app, or a database of its own for the other one",
        )


def lock(tx: Tx, key: Key) -> Remembered:
    """Hold the source's row to the end of the transaction: planning goes one at a time."""
    return Remembered(*tx.conn.execute(_LOCK, key.bound).one())


def set_backfill(tx: Tx, key: Key, from_ms: int) -> None:
    """Remember how far back a backfill shall go, so that it can be resumed; it only ever goes further."""
    tx.conn.execute(_CHANGE, key.bound | {"backfill_from_ms": from_ms})


def order_trusted(tx: Tx, key: Key) -> bool:
    """Whether the server's order is trusted now."""
    return bool(tx.conn.scalar(_TRUSTED, key.bound))


def note_order(tx: Tx, key: Key, *, ordered: bool, clean_needed: int = 100) -> bool:
    """Remember what a whole walk showed of the server's order; True when it has just lost our trust.

    Trust comes back after `clean_needed` walks in good order.
    """
    query = sa.select(sources.c.order_trusted, sources.c.clean_walks).where(of_source(sources.c)).with_for_update()
    row = tx.conn.execute(query, key.bound).one()
    if row.order_trusted and ordered:
        return False
    clean_walks = row.clean_walks + 1 if ordered else 0
    trusted = ordered and clean_walks >= clean_needed
    tx.conn.execute(_CHANGE, key.bound | {"clean_walks": clean_walks, "order_trusted": trusted})
    return bool(row.order_trusted) and not ordered


def note_skew(tx: Tx, key: Key, skew_ms: int) -> None:
    """Remember how far the provider's clock is ahead of the database's."""
    tx.conn.execute(_CHANGE, key.bound | {"skew_ms": skew_ms})
