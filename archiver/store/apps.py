"""Apps and their sources: who is archived, since when, and what is remembered about the provider."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.errors import WrongApplication
from archiver.store.engine import Tx
from archiver.store.schema import apps, sources, watermarks


class SourceKey(NamedTuple):
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


class SourceState(NamedTuple):
    """What the archive remembers about a source. `origin_ms` never moves; `distrusts` counts how often order broke."""

    origin_ms: int
    backfill_from_ms: int | None
    order_trusted: bool
    distrusts: int


_LOCK = (
    sa.select(sources.c.origin_ms, sources.c.backfill_from_ms, sources.c.order_trusted, sources.c.distrusts)
    .where(of_source(sources.c))
    .with_for_update()
)
_CLOCKS = sa.select(sources.c.server_ms, sources.c.server_seen_at).where(of_source(sources.c))
_OFFSET = sa.select(sources.c.hour_offset_ms).where(of_source(sources.c))
_ZONE = sa.select(sources.c.zone_problem).where(of_source(sources.c))
_TRUSTED = sa.select(sources.c.order_trusted).where(of_source(sources.c))
_CHANGE = sources.update().where(of_source(sources.c))
_DISTRUST = _CHANGE.values(
    order_trusted=False,
    clean_walks=0,
    distrusts=sources.c.distrusts + sa.case((sources.c.order_trusted, 1), else_=0),
)
_MOST_DOUBLINGS = 7


def register(
    tx: Tx, app: str, source: str, origin_ms: int, *, settle_ms: int, retention_ms: int | None, grain_ms: int = 0
) -> SourceKey:
    """The key of an app's source; the first time, its rows are made and its origin is fixed for good.

    `grain_ms`: how much further than by `settle_ms` the watermark lags behind when all is well.
    """
    app_id = tx.conn.scalar(sa.select(apps.c.id).where(apps.c.name == app))
    if app_id is None:
        app_id = _add_app(tx, app)
    key = SourceKey(app_id, source)
    settings = {"settle_ms": settle_ms, "grain_ms": grain_ms, "retention_ms": retention_ms}
    change = _CHANGE.returning(sources.c.app_id)
    changed = tx.conn.execute(change, key.bound | settings).first()
    if changed is None and not is_first_contact(tx, app, source):  # another process's is over now
        changed = tx.conn.execute(change, key.bound | settings).first()
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


def is_first_contact(tx: Tx, app: str, source: str) -> bool:
    """Whether nothing is known of a source. If so, the app is held to the end of the transaction: of two first pulls
    at once one makes the rows, and the other waits for it and finds them.
    """
    if find(tx, app, source) is not None:
        return False
    app_id = find_app(tx, app)
    if app_id is None:
        app_id = _add_app(tx, app)
    # Those who add rows that point to the app need not wait for this.
    tx.conn.execute(sa.select(apps.c.id).where(apps.c.id == app_id).with_for_update(key_share=True))
    return find(tx, app, source) is None


def _add_app(tx: Tx, app: str) -> int:
    if tx.postgres:  # two first pulls at once: the second waits here, and then finds the row
        tx.conn.exec_driver_sql("LOCK TABLE apps IN SHARE ROW EXCLUSIVE MODE")
        known_id = tx.conn.scalar(sa.select(apps.c.id).where(apps.c.name == app))
        if known_id is not None:
            return int(known_id)
    values = {"name": app, "created_at": tx.now_ms()}
    return int(tx.conn.execute(apps.insert().values(values).returning(apps.c.id)).scalar_one())


def find(tx: Tx, app: str, source: str) -> SourceKey | None:
    """The key of an app's source, if the archive knows it."""
    row = tx.conn.execute(
        sa.select(sources.c.app_id).join(apps).where(apps.c.name == app, sources.c.source == source)
    ).first()
    return None if row is None else SourceKey(row.app_id, source)


def find_app(tx: Tx, app: str) -> int | None:
    """The number of an app, if the archive knows it."""
    return tx.conn.scalar(sa.select(apps.c.id).where(apps.c.name == app))


def pin(tx: Tx, app: str, application: str) -> None:
    """Tie an app to the uuid its credentials belong to. Raises WrongApplication when it is tied to another."""
    query = sa.select(apps.c.id, apps.c.application).where(apps.c.name == app)
    row = tx.conn.execute(query).first()
    if row is None:
        _add_app(tx, app)
        row = tx.conn.execute(query).one()
    if row.application == application:
        return
    # Of two processes at once the second one waits here, and then there is nothing left to tie.
    free = sa.update(apps).where(apps.c.id == row.id, apps.c.application.is_(None)).values(application=application)
    tx.conn.execute(free)
    held = tx.conn.scalar(sa.select(apps.c.application).where(apps.c.id == row.id))
    if held != application:
        raise WrongApplication(
            f"{app}: the credentials belong to application {application}, but the archive holds {held}",
            hint="use the credentials of the archived app, or a database of its own for the other one",
        )


def lock(tx: Tx, key: SourceKey) -> SourceState:
    """Hold the source's row to the end of the transaction: planning goes one at a time."""
    return SourceState(*tx.conn.execute(_LOCK, key.bound).one())


def set_backfill(tx: Tx, key: SourceKey, from_ms: int) -> None:
    """Remember how far back a backfill shall go, so that it can be resumed; it only ever goes further."""
    tx.conn.execute(_CHANGE, key.bound | {"backfill_from_ms": from_ms})


def order_trusted(tx: Tx, key: SourceKey) -> bool:
    """Whether the server's order is trusted now."""
    return bool(tx.conn.scalar(_TRUSTED, key.bound))


def distrust_order(tx: Tx, key: SourceKey) -> bool:
    """Remember that the server sorts falsely, in the transaction that stores what shows it; True when that is news."""
    trusted = order_trusted(tx, key)
    tx.conn.execute(_DISTRUST, key.bound)
    return trusted


def note_clean_walk(tx: Tx, key: SourceKey, *, clean_needed: int = 100) -> None:
    """Count a whole walk in good order; trust comes back after `clean_needed` of them, twice as many every time.

    A server that sorts falsely now and then would otherwise have the same windows opened and closed for ever.
    """
    query = (
        sa.select(sources.c.order_trusted, sources.c.clean_walks, sources.c.distrusts)
        .where(of_source(sources.c))
        .with_for_update()
    )
    row = tx.conn.execute(query, key.bound).one()
    if not row.order_trusted:
        clean, needed = row.clean_walks + 1, clean_needed << min(max(row.distrusts - 1, 0), _MOST_DOUBLINGS)
        tx.conn.execute(_CHANGE, key.bound | {"clean_walks": clean, "order_trusted": clean >= needed})


def note_skew(tx: Tx, key: SourceKey, skew_ms: int) -> None:
    """Remember how far the provider's clock is ahead of the database's."""
    tx.conn.execute(_CHANGE, key.bound | {"skew_ms": skew_ms})


def last_clocks(tx: Tx, key: SourceKey) -> tuple[int, int] | None:
    """The provider's clock and the database's at the last look at both, in ms."""
    row = tx.conn.execute(_CLOCKS, key.bound).one()
    return None if row.server_ms is None or row.server_seen_at is None else (row.server_ms, row.server_seen_at)


def note_clocks(tx: Tx, key: SourceKey, server_ms: int, problem: str | None) -> None:
    """Remember the provider's clock beside the database's, for the next look at their pace; and what is wrong now."""
    seen = {"server_ms": server_ms, "server_seen_at": tx.now_ms()}
    tx.conn.execute(_CHANGE, key.bound | seen | {"clock_problem": problem})


def note_zone(tx: Tx, key: SourceKey, problem: str | None) -> None:
    """Remember what is wrong with the zone of the hours, as the files that prove it are opened again; None: nothing."""
    other = sources.c.zone_problem.is_distinct_from(problem)
    tx.conn.execute(_CHANGE.where(other), key.bound | {"zone_problem": problem})


def zone_problem(tx: Tx, key: SourceKey) -> str | None:
    """What has been proved of the zone of the hours."""
    problem: str | None = tx.conn.execute(_ZONE, key.bound).scalar_one()
    return problem


def hour_offset(tx: Tx, key: SourceKey) -> int | None:
    """The zone by which the hours were named at the last pull."""
    offset_ms: int | None = tx.conn.execute(_OFFSET, key.bound).scalar_one()
    return offset_ms


def set_hour_offset(tx: Tx, key: SourceKey, offset_ms: int) -> None:
    """Remember the zone by which the hours are named from now on."""
    tx.conn.execute(_CHANGE, key.bound | {"hour_offset_ms": offset_ms})
