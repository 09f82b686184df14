"""What of the windows is not closed: still open, lost, stuck, missed by an audit, or accepted as a loss."""

from __future__ import annotations

import sqlalchemy as sa

from archiver.model import Window
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx
from archiver.store.planning import LIVE, OF_CAUSE, OF_PASS
from archiver.store.schema import windows
from archiver.store.windows import Target

_LOST = windows.c.state.in_(("expired", "stuck"))
_TOUCHES = sa.and_(windows.c.lo_ms < sa.bindparam("until_ms"), windows.c.hi_ms > sa.bindparam("from_ms"))
_IS_OPEN = (
    sa.select(windows.c.id)
    .where(
        OF_CAUSE,
        windows.c.hi_ms <= sa.bindparam("due_ms"),
        windows.c.state.in_(("pending", "leased", "not_ready")),
        windows.c.walked_at.is_(None),
    )
    .limit(1)
)


def is_due_unclosed(tx: Tx, key: SourceKey, due_ms: int) -> bool:
    """Whether pass 1 has a window that begins before then and is not closed, read or not, nor stuck, nor lost.

    One that ends later was planned by another process, whose due was later; what is due of it is not closed, either.
    """
    still_open = windows.c.state.in_(("pending", "leased", "not_ready"))
    query = sa.select(windows.c.id).where(OF_CAUSE, windows.c.lo_ms < sa.bindparam("due_ms"), still_open).limit(1)
    return tx.conn.execute(query, key.bound | {"pass_no": 1, "the_cause": LIVE, "due_ms": due_ms}).first() is not None


def missed(tx: Tx, key: SourceKey, pass_no: int) -> bool:
    """Whether a pass has windows that nobody could look at."""
    query = sa.select(windows.c.id).where(OF_PASS, windows.c.state == "skipped", windows.c.unproven).limit(1)
    return tx.conn.execute(query, key.bound | {"pass_no": pass_no}).first() is not None


def is_open(tx: Tx, key: SourceKey, kind: Target) -> bool:
    """Whether a window of this kind has neither been closed, nor called stuck or lost."""
    bound = {"pass_no": kind.pass_no, "the_cause": kind.cause, "due_ms": kind.due_ms}
    return tx.conn.execute(_IS_OPEN, key.bound | bound).first() is not None


def unaccepted_hole(tx: Tx, key: SourceKey) -> bool:
    """Whether a window of pass 1 is lost or stuck, and nobody has accepted that."""
    query = sa.select(windows.c.id).where(OF_PASS, _LOST).limit(1)
    return tx.conn.execute(query, key.bound | {"pass_no": 1}).first() is not None


def lost(tx: Tx, key: SourceKey, window: Window) -> list[Window]:
    """What pass 1 has lost or cannot walk, as far as it touches a range."""
    query = sa.select(windows.c.lo_ms, windows.c.hi_ms).where(OF_PASS, _LOST, _TOUCHES).order_by(windows.c.lo_ms)
    bound = key.bound | {"pass_no": 1} | _edges(window)
    return [Window(row.lo_ms, row.hi_ms) for row in tx.conn.execute(query, bound)]


def has_accepted(tx: Tx, key: SourceKey, window: Window) -> bool:
    """Whether something that touches a range has been accepted already."""
    query = (
        sa.select(windows.c.id)
        .where(OF_PASS, windows.c.state == "accepted", windows.c.cause != "before_first_contact", _TOUCHES)
        .limit(1)
    )
    return tx.conn.execute(query, key.bound | {"pass_no": 1} | _edges(window)).first() is not None


def _edges(window: Window) -> dict[str, object]:
    return {"from_ms": window.lo_ms, "until_ms": window.hi_ms}


def accept(tx: Tx, key: SourceKey, window: Window, *, reason: str, who: str) -> int:
    """Accept what is lost or stuck in a range; gives how many windows that were.

    With an hour whose file is lost go the tail of the hour before and the head of the next, lost with the same file.
    """
    lost_in = windows.update().where(OF_PASS, _LOST, _TOUCHES).values(fence=windows.c.fence + 1).returning(windows.c.id)
    after = windows.alias("after")
    same = sa.and_(
        after.c.app_id == windows.c.app_id, after.c.source == windows.c.source, after.c["pass"] == windows.c["pass"]
    )
    beside = sa.or_(after.c.lo_ms == windows.c.hi_ms, after.c.hi_ms == windows.c.lo_ms)
    holds_tail = sa.and_(same, beside, after.c.state == "accepted", after.c.walked_at.is_(None))
    is_tail = sa.and_(windows.c.state == "expired", windows.c.walked_at.is_not(None), sa.exists().where(holds_tail))
    tails = windows.update().where(OF_PASS, is_tail).returning(windows.c.id)
    verdict = {"state": "accepted", "accepted_by": who, "accepted_at": tx.now_ms()}
    bound = key.bound | {"pass_no": 1} | _edges(window)
    accepted = tx.conn.scalars(lost_in, bound | verdict | {"reason": reason, "next_attempt_at": None}).all()
    accepted = [*accepted, *tx.conn.scalars(tails, bound | verdict)]
    tx.changed(accepted)
    return len(accepted)
