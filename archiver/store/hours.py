"""Windows that are hours of files: when an hour closes, and what its files say of the zone by which they are named.

A file holds what *arrived* in its hour: 07:59:59.9 may lie in file 08, and a message that was hours on its way in a
later one. So one file proves nothing about its hour. An hour closes when its own file and the next have been read at
their lag, and every other file that may hold its messages has been looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.model import DAY_MS, HOUR_MS, Window
from archiver.store.apps import SourceKey, of_source
from archiver.store.engine import Tx
from archiver.store.naming import HourReading, vouched
from archiver.store.planning import OF_PASS, plan
from archiver.store.schema import sources, windows
from archiver.store.windows import Claim, Held, end
from archiver.timeline import EPS_MS

READ = ("closed", "presumed_empty")
LOST = ("expired", "accepted")
_IS_OPEN = windows.c.state.in_(("pending", "leased"))
_ASKED_AGAIN_MS = 6 * HOUR_MS
BEFORE = "before_first_contact"
_FIRST_RECORDS = "its first records may lie in the file of the hour before, which is lost"
_LAST_RECORDS = "its last records may lie in the file of the next hour, which is lost"


class Looked(NamedTuple):
    """Up to where every file has been looked at once; looks are made `margin_ms` after the end of an hour.

    `begun`: the file before the origin's has been looked at, too, if it was to be had.
    """

    until_ms: int
    margin_ms: int
    begun: bool


def add_before_first_contact(tx: Tx, key: SourceKey, window: Window, lag_ms: int) -> None:
    """Note what the provider had dropped before this archive began; it lies before the archive, not in it."""
    plan(tx, key, 1, BEFORE, lag_ms, [window], state="accepted")
    first = sa.and_(windows.c.app_id == key.app_id, windows.c.source == key.source, windows.c.cause == BEFORE)
    tx.conn.execute(windows.update().where(first).values(reason=BEFORE))


def walked(held: Held, **values: Any) -> None:
    """Note that an hour's file has been read to its end; the hour waits for its neighbour now."""
    end(held, "pending", walked_at=held.tx.now_ms(), next_attempt_at=None, **values)


_AFTER = windows.alias("after")
_NEIGHBOUR = sa.and_(
    _AFTER.c.app_id == windows.c.app_id,
    _AFTER.c.source == windows.c.source,
    _AFTER.c["pass"] == windows.c["pass"],
    _AFTER.c.lo_ms == windows.c.hi_ms,
)
_IS_OLD_ENOUGH = _AFTER.c.walk0_ms >= _AFTER.c.hi_ms + windows.c.lag_ms + EPS_MS
_HAS_BEEN_READ = sa.or_(
    sa.and_(_AFTER.c.walked_at.is_not(None), sa.or_(_AFTER.c.lag_ms >= windows.c.lag_ms, _IS_OLD_ENOUGH)),
    _AFTER.c.state == "presumed_empty",
)
_IS_MISSED = sa.and_(_AFTER.c["pass"] > 1, _AFTER.c.state == "skipped")
"""An audit that could not look at an hour says so there, and does not wait for it with the hour before."""
_IS_LOST = sa.and_(_AFTER.c.walked_at.is_(None), _AFTER.c.state.in_(LOST))


def _of_neighbour(column: sa.ColumnElement[Any]) -> sa.ScalarSelect[Any]:
    return sa.select(column).where(_NEIGHBOUR).correlate(windows).scalar_subquery()


_CLOSE = (
    windows.update()
    .where(
        OF_PASS,
        windows.c.state == "pending",
        windows.c.walked_at.is_not(None),
        windows.c.naming_ms == sa.bindparam("named_ms"),
        sa.or_(
            windows.c.hi_ms + windows.c.lag_ms <= sa.bindparam("reach_ms"),
            windows.c.lag_ms <= sa.bindparam("short_ms"),
        ),
    )
    .returning(windows.c.id)
)


def _close_known(has_been_read: sa.ColumnElement[bool]) -> sa.Update:
    known = sa.exists().where(_NEIGHBOUR, sa.or_(has_been_read, _IS_MISSED))
    return _CLOSE.where(known).values(state="closed", reason=None, closed_at=sa.bindparam("now_ms"))


_CLOSE_KNOWN = _close_known(_HAS_BEEN_READ)
# What was accepted of the next hour was accepted with the tail of this one that it holds.
_CLOSE_LOST = _CLOSE.where(sa.exists().where(_NEIGHBOUR, _IS_LOST)).values(
    **{name: _of_neighbour(_AFTER.c[name]) for name in ("state", "accepted_by", "accepted_at")},
    reason=_of_neighbour(_LAST_RECORDS + sa.func.coalesce(": " + _AFTER.c.reason, "")),
)


def close(
    tx: Tx, key: SourceKey, pass_no: int, naming_ms: int, looked: Looked, *, vouching: Sequence[HourReading] | None
) -> None:
    """Close every hour of a pass of which all files have been read. The caller holds and moves the watermark.

    `vouching`: only what these files vouch for, as the zone may be wrong. An hour whose next file is lost for good is
    itself part of the hole, since its tail may lie there.
    """
    if not looked.begun:
        return
    if pass_no == 1:
        cut_heads(tx, key)
    bound = key.bound | {"pass_no": pass_no, "named_ms": naming_ms}
    bound |= {"reach_ms": looked.until_ms + looked.margin_ms, "short_ms": looked.margin_ms + HOUR_MS}
    sure = sa.true() if vouching is None else vouched(vouching)
    tx.changed(tx.conn.scalars(_CLOSE_KNOWN.where(sure), bound | {"now_ms": tx.now_ms()}).all())
    if pass_no == 1:
        tx.changed(tx.conn.scalars(_CLOSE_LOST.where(sure), bound).all())


HOUR_BEFORE = windows.alias("before")
IS_HOUR_BEFORE = sa.and_(
    HOUR_BEFORE.c.app_id == windows.c.app_id,
    HOUR_BEFORE.c.source == windows.c.source,
    HOUR_BEFORE.c["pass"] == windows.c["pass"],
    HOUR_BEFORE.c.hi_ms == windows.c.lo_ms,
)
_COPIED = ("app_id", "source", "pass", "cause", "lag_ms", "walk0_ms", "walked_at", "naming_ms")
_INHERITED = ("state", "accepted_by", "accepted_at", "reason")
_BEHIND_LOST = (
    sa.select(
        windows.c.id,
        windows.c.lo_ms,
        *(windows.c[name] for name in _COPIED),
        *(HOUR_BEFORE.c[name].label(f"their_{name}") for name in _INHERITED),
    )
    .join_from(windows, HOUR_BEFORE, IS_HOUR_BEFORE)
    .where(
        of_source(windows.c),
        windows.c["pass"] == 1,
        windows.c.naming_ms.is_not(None),
        windows.c.state.in_(("pending", *READ)),
        HOUR_BEFORE.c.walked_at.is_(None),
        HOUR_BEFORE.c.state.in_(LOST),
        HOUR_BEFORE.c.cause != BEFORE,
    )
)


def cut_heads(tx: Tx, key: SourceKey) -> None:
    """The first moments of an hour behind a lost file belong to the hole: another node's clock may file them before.

    The watermark stands before the loss, so it does not matter whether the hour is closed already. The caller moves it.
    """
    for row in tx.conn.execute(_BEHIND_LOST, key.bound).mappings().all():
        edge_ms, now_ms = row["lo_ms"] + EPS_MS, tx.now_ms()
        tx.conn.execute(windows.update().where(windows.c.id == row["id"]).values(lo_ms=edge_ms))
        head = {name: row[name] for name in _COPIED} | {name: row[f"their_{name}"] for name in _INHERITED}
        head |= {"lo_ms": row["lo_ms"], "hi_ms": edge_ms, "created_at": now_ms, "closed_at": now_ms}
        head["reason"] = _FIRST_RECORDS + (f": {head['reason']}" if head["reason"] else "")
        tx.changed([row["id"], tx.conn.scalars(windows.insert().returning(windows.c.id), head).one()])


_ORIGIN_MS = sa.select(sources.c.origin_ms).where(of_source(sources.c)).scalar_subquery()
_BEFORE_ORIGIN = (
    sa.select(windows.c.id)
    .where(of_source(windows.c), windows.c["pass"] == 0, _IS_OPEN, windows.c.lo_ms < _ORIGIN_MS)
    .limit(1)
)


def has_begun(tx: Tx, key: SourceKey) -> bool:
    """Whether nothing before the origin is still to be looked at."""
    return tx.conn.execute(_BEFORE_ORIGIN, key.bound).first() is None


_EARLY = windows.alias("early")
_IS_FIRST, _IS_LOOK = windows.c["pass"] == 1, windows.c["pass"] == 0
_SEEN_EARLY = sa.exists().where(
    _EARLY.c.app_id == windows.c.app_id,
    _EARLY.c.source == windows.c.source,
    _EARLY.c["pass"] == 0,
    _EARLY.c.lo_ms == windows.c.lo_ms,
    _EARLY.c.state == "closed",
)
_UNREAD = sa.and_(_IS_FIRST, _IS_OPEN, windows.c.walked_at.is_(None), ~_SEEN_EARLY)
_OPEN_MS = sa.select(sa.func.min(windows.c.lo_ms)).where(of_source(windows.c), sa.or_(_UNREAD, _IS_LOOK & _IS_OPEN))
_END_MS = sa.select(sa.func.max(windows.c.hi_ms)).where(of_source(windows.c), windows.c["pass"] <= 1)
_PLANNED_MS = sa.select(sa.func.max(windows.c.hi_ms)).where(of_source(windows.c), _IS_FIRST)
# A look that was spared as pass 1 is due is none before pass 1 has been planned there.
_SPARED_MS = sa.select(sa.func.min(windows.c.lo_ms)).where(
    of_source(windows.c),
    _IS_LOOK,
    windows.c.state == "skipped",
    windows.c.unproven.is_(False),
    windows.c.hi_ms > sa.func.coalesce(_PLANNED_MS.scalar_subquery(), 0),
)


def looked_until(tx: Tx, key: SourceKey) -> int:
    """Up to where every hour's file has been looked at once, by whatever pass: to the first that has not."""
    stops = [tx.conn.scalar(_OPEN_MS, key.bound), tx.conn.scalar(_END_MS, key.bound)]
    if (at_ms := tx.conn.scalar(_SPARED_MS, key.bound)) is not None:
        stops.append(max(at_ms, tx.conn.scalar(_PLANNED_MS, key.bound) or at_ms))
    return min((stop for stop in stops if stop is not None), default=0)


def adopt(tx: Tx, key: SourceKey, naming_ms: int) -> None:
    """Archives of before there were namings: what was read, was read under the one that is configured now."""
    read = sa.and_(
        of_source(windows.c),
        windows.c.naming_ms.is_(None),
        sa.or_(windows.c.walked_at.is_not(None), windows.c.state.in_(READ)),
    )
    tx.conn.execute(windows.update().where(read).values(naming_ms=naming_ms), key.bound)


def had_a_file(tx: Tx, claim: Claim) -> bool:
    """Whether any pass was ever given a file of this hour: then an answer that there is none means no empty hour."""
    query = sa.select(windows.c.id).where(
        of_source(windows.c), windows.c.lo_ms == claim.window.lo_ms, windows.c.file_seen_at.is_not(None)
    )
    return claim.file_seen or tx.conn.execute(query.limit(1), claim.key.bound).first() is not None


def presumed_empty(held: Held) -> bool:
    """Whether an hour without a file was asked for twice, six hours apart, while a later hour's file is a day old.

    Notes the first time that the file was missing.
    """
    tx, claim = held
    now_ms = tx.now_ms()
    missing_ms = tx.conn.execute(sa.select(windows.c.missing_at).where(windows.c.id == claim.id)).scalar_one()
    if missing_ms is None:
        tx.conn.execute(windows.update().where(windows.c.id == claim.id).values(missing_at=now_ms))
        return False
    later = sa.select(windows.c.id).where(
        windows.c.app_id == claim.key.app_id,
        windows.c.source == claim.key.source,
        windows.c.lo_ms > claim.window.lo_ms,
        windows.c.file_sha256.is_not(None),
        windows.c.walked_at <= now_ms - DAY_MS,
    )
    return missing_ms <= now_ms - _ASKED_AGAIN_MS and tx.conn.execute(later.limit(1)).first() is not None
