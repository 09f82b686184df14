"""The rows of `windows`: planned, claimed, fenced, ended. One row is the unit of progress, retry and proof.

A claim is a compare-and-swap that raises the row's fence; every later write names the fence it holds. A process that
was paused, or taken for dead, finds another fence and rolls back. Leases go by the database's clock alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.errors import CommitsLost, LeaseLost
from archiver.model import HOUR_MS, MINUTE_MS, Message, Tally, Window
from archiver.store.apps import SourceKey, of_source
from archiver.store.engine import Tx
from archiver.store.planning import BACKFILL, OF_CAUSE, plan
from archiver.store.schema import FATES, windows
from archiver.timeline import cut

_PIECES = 8
_COUNTED = (*FATES, "outside", "bodies", "late", "pages")


class Claim(NamedTuple):
    """A window that this process holds, as long as `fence` is the row's."""

    id: int
    key: SourceKey
    pass_no: int
    """The pass: 0 early, 1 moves the watermark, 2 and up are audits."""
    cause: str
    window: Window
    lag_ms: int
    fence: int
    attempts: int
    walk0_ms: int | None
    progress_ms: int | None
    pages: int = 0
    """How many pages the row counts, as far as this process knows: what was there, and what it has committed since."""
    owner: str = ""
    failed_ms: int | None = None
    """When this window failed first, since it last stored a page or was planned."""
    file_seen: bool = False
    """Some walk of this hour was given a file: it cannot be empty any more."""

    def outside(self, messages: Sequence[Message]) -> list[Message]:
        """Those that are stamped outside the window: mostly none, which a look at the extremes tells."""
        lo_ms, hi_ms = self.window
        stamps = [message.timestamp_ms for message in messages]
        if not stamps or (lo_ms <= min(stamps) and max(stamps) < hi_ms):
            return []
        return [message for message in messages if not lo_ms <= message.timestamp_ms < hi_ms]


class Held(NamedTuple):
    """A claim whose row this transaction has locked, with the values of the claim: only `hold` makes it.

    Every writer of a window's state asks for one, so that a forgotten fence is an error of types.
    """

    tx: Tx
    claim: Claim


class Target(NamedTuple):
    """Which windows to claim: those of one pass and cause that end at `due_ms` or before."""

    pass_no: int
    cause: str
    due_ms: int
    lag_ms: int | None = None
    """The lag in force; None: that which the window was planned with."""


class ClaimOptions(NamedTuple):
    """Who claims, for how long, whom he takes for dead, and what he has tried already."""

    owner: str
    lease_ms: int
    dead: Collection[str] = ()
    tried: Collection[int] = ()
    patient: bool = True
    """Respect the back-off of windows that failed before; a one-shot pull does not."""
    retry_stuck: bool = False
    afar: bool = False
    """From the far end of what is planned."""
    distrusts: int = 0
    """How often the server's order has broken: progress from before that counts for nothing."""


_THIS = windows.c.id == sa.bindparam("window_id")
_OWNERS = sa.select(windows.c.owner).distinct().where(of_source(windows.c), windows.c.state == "leased")
_HOLD = (
    sa.select(windows.c.owner, windows.c.lo_ms, windows.c.hi_ms, windows.c.pages)
    .where(_THIS, windows.c.fence == sa.bindparam("our_fence"), windows.c.state == "leased")
    .with_for_update()
)
_CHANGE = windows.update().where(_THIS)
_TAKE = _CHANGE.values(fence=windows.c.fence + 1, attempts=windows.c.attempts + 1).returning(windows)
_ADVANCE = _CHANGE.values({name: windows.c[name] + sa.bindparam(f"more_{name}") for name in _COUNTED})
_WORSE = _CHANGE.where(sa.func.coalesce(windows.c.worst_lateness_ms, -1) < sa.bindparam("lateness_ms")).values(
    worst_lateness_ms=sa.bindparam("lateness_ms")
)
_END = _CHANGE.values(fence=windows.c.fence + 1)


def claim(tx: Tx, key: SourceKey, target: Target, options: ClaimOptions) -> Claim | None:
    """Take the next window to walk, if there is one: the most endangered first, a backfill's newest first.

    The lag in force now becomes the window's: whatever is configured later, it closes by the lag of its claim.
    """
    now_ms = tx.now_ms()
    query = _claimable(options.patient, options.retry_stuck, (target.cause == BACKFILL) != options.afar)
    bound = {"pass_no": target.pass_no, "the_cause": target.cause, "due_ms": target.due_ms}
    clock = {"now_ms": now_ms, "later_ms": now_ms + 2 * MINUTE_MS, "much_later_ms": now_ms + 2 * HOUR_MS}
    lists = {"dead": list(options.dead), "tried": list(options.tried)}
    free = tx.conn.execute(query, key.bound | bound | clock | lists).first()
    if free is None:
        return None
    taken = {"window_id": free.id, "state": "leased", "reason": None, "distrusts": options.distrusts}
    if target.lag_ms is not None:
        taken["lag_ms"] = target.lag_ms
    if free.distrusts != options.distrusts:  # it was reached by an order that broke since
        taken |= {"progress_ms": None, "walk0_ms": None}
    if free.state == "stuck":
        tx.changed([free.id])
    lease = {"owner": options.owner, "lease_until": now_ms + options.lease_ms}
    return _claim(key, tx.conn.execute(_TAKE, taken | lease).one())


@cache
def _claimable(patient: bool, retry_stuck: bool, newest_first: bool) -> sa.Select[tuple[int, int, str]]:
    # A failed window rests for a minute at most, one that is stuck for an hour; longer ones met a clock set back.
    confused = sa.or_(
        sa.and_(windows.c.state == "pending", windows.c.next_attempt_at > sa.bindparam("later_ms")),
        windows.c.next_attempt_at > sa.bindparam("much_later_ms"),
    )
    rested = sa.or_(windows.c.next_attempt_at.is_(None), windows.c.next_attempt_at <= sa.bindparam("now_ms"), confused)
    waits = sa.and_(windows.c.state.in_(("pending", "not_ready")), windows.c.walked_at.is_(None))
    free = sa.or_(
        windows.c.lease_until < sa.bindparam("now_ms"), windows.c.owner.in_(sa.bindparam("dead", expanding=True))
    )
    may_be_taken = sa.or_(
        sa.and_(waits, rested) if patient else waits,
        sa.and_(windows.c.state == "leased", free),
        sa.and_(windows.c.state == "stuck", sa.true() if retry_stuck else rested),
    )
    return (
        sa.select(windows.c.id, windows.c.distrusts, windows.c.state)
        .where(
            OF_CAUSE,
            windows.c.hi_ms <= sa.bindparam("due_ms"),
            may_be_taken,
            windows.c.id.not_in(sa.bindparam("tried", expanding=True)),
        )
        # What has failed comes after what has not: two bad hours must not keep all the good ones from being read.
        .order_by(windows.c.failed_at.is_not(None), windows.c.hi_ms.desc() if newest_first else windows.c.lo_ms)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def _claim(key: SourceKey, row: Any) -> Claim:
    return Claim(
        row.id,
        key,
        row._mapping["pass"],
        row.cause,
        Window(row.lo_ms, row.hi_ms),
        row.lag_ms,
        row.fence,
        row.attempts,
        row.walk0_ms,
        row.progress_ms,
        row.pages,
        row.owner,
        row.failed_at,
        row.file_seen_at is not None,
    )


def release(tx: Tx, key: SourceKey, owner: str) -> None:
    """Let what `owner` still holds be claimed at once: for a process that knows that it walks nothing now."""
    held = sa.and_(
        windows.c.app_id == key.app_id,
        windows.c.source == key.source,
        windows.c.state == "leased",
        windows.c.owner == owner,
    )
    tx.conn.execute(windows.update().where(held).values(lease_until=0))


def owners(tx: Tx, key: SourceKey) -> list[str]:
    """Who holds windows of this source now."""
    return [row.owner for row in tx.conn.execute(_OWNERS, key.bound)]


_LEASED = sa.select(windows.c.id).where(
    sa.text("state = 'leased'"), windows.c.lease_until > sa.bindparam("now_ms", type_=windows.c.lease_until.type)
)


def any_leased(tx: Tx) -> bool:
    """Whether anybody walks a window now."""
    return tx.conn.execute(_LEASED.limit(1), {"now_ms": tx.now_ms()}).first() is not None


def hold(tx: Tx, claim: Claim, *, exact: bool = True) -> Held:
    """Lock the claimed row to the end of the transaction. Raises LeaseLost unless it is still ours: the fence.

    The row must also say what this process has committed. A database may forget its last commits (a crash without
    synchronous_commit, a fail-over to a replica that lags): then the fence may fit still, or fit again, and a walk that
    went on would close its window without the page that was lost. Raises CommitsLost then. Unless `exact`, when a
    window is given back, whatever it counts.
    """
    row = tx.conn.execute(_HOLD, {"window_id": claim.id, "our_fence": claim.fence}).first()
    if row is None or row.owner != claim.owner:
        raise LeaseLost
    if exact and (row.lo_ms, row.hi_ms, row.pages) != (*claim.window, claim.pages):
        raise CommitsLost
    return Held(tx, claim)


def advance(held: Held, tally: Tally, *, pages: int, walk0_ms: int, progress_ms: int | None, lease_ms: int) -> None:
    """Count stored pages, renew the lease and remember how far the walk is."""
    tx, claim = held
    more = {f"more_{name}": pages if name == "pages" else getattr(tally, name) for name in _COUNTED}
    walk = {"walk0_ms": walk0_ms, "progress_ms": progress_ms, "lease_until": tx.now_ms() + lease_ms, "failed_at": None}
    tx.conn.execute(_ADVANCE, more | walk | {"window_id": claim.id})
    if tally.worst_lateness_ms is not None:
        tx.conn.execute(_WORSE, {"window_id": claim.id, "lateness_ms": tally.worst_lateness_ms})


def renew(held: Held, lease_ms: int) -> None:
    """Lengthen the lease of a window."""
    tx, claim = held
    tx.conn.execute(_CHANGE, {"window_id": claim.id, "lease_until": tx.now_ms() + lease_ms})


def end(held: Held, state: str, *, reason: str | None = None, **values: Any) -> None:
    """Give the window up in its new state; a process that still holds it by an older fence has lost it."""
    given_up = {"state": state, "reason": reason, "owner": None, "lease_until": None}
    held.tx.conn.execute(_END, {"window_id": held.claim.id, **given_up, **values})
    if state not in ("pending", "not_ready"):
        held.tx.changed([held.claim.id])


def close(held: Held, *, by_order: bool, **values: Any) -> None:
    """Close a window that was walked to its end. The caller moves the watermark in the same transaction."""
    now_ms = held.tx.now_ms()
    end(held, "closed", by_order=by_order, progress_ms=None, closed_at=now_ms, next_attempt_at=None, **values)


def retry(
    held: Held, reason: str, *, at_ms: int | None, keep_progress: bool, state: str = "pending", **values: Any
) -> None:
    """Put a window back that could not be walked to its end; `at_ms`: not before, by the database's clock."""
    forgotten = {} if keep_progress else {"progress_ms": None, "walk0_ms": None}
    end(held, state, reason=reason, next_attempt_at=at_ms, **forgotten, **values)


def give_up(held: Held, reason: str, **values: Any) -> str:
    """End a window that will never be walked; gives its state: a hole in pass 1, a look that was missed elsewhere."""
    missed = held.claim.pass_no != 1
    state = "skipped" if missed else "expired"
    end(held, state, reason=reason, closed_at=held.tx.now_ms(), next_attempt_at=None, unproven=missed, **values)
    return state


def split(held: Held, at_ms: int, *, span_ms: int | None = None) -> Held:
    """Cut a held window at `at_ms`; gives the lower part, still held, while the rest waits.

    The rest is one window, or begins with some of `span_ms`.
    """
    tx, claim = held
    tx.conn.execute(windows.update().where(windows.c.id == claim.id).values(hi_ms=at_ms))
    pieces = [] if span_ms is None else cut(at_ms, claim.window.hi_ms, span_ms, _PIECES)
    rest_ms = pieces[-1].hi_ms if pieces else at_ms
    if rest_ms < claim.window.hi_ms:
        pieces.append(Window(rest_ms, claim.window.hi_ms))
    plan(tx, claim.key, claim.pass_no, claim.cause, claim.lag_ms, pieces)
    return Held(tx, claim._replace(window=Window(claim.window.lo_ms, at_ms)))


def split_off(held: Held, at_ms: int) -> Held:
    """Cut a held window at `at_ms`; gives the upper part, which the caller holds as a window of its own."""
    tx, claim = held
    lower = windows.update().where(windows.c.id == claim.id).values(hi_ms=at_ms)
    copied = (
        windows.c.app_id,
        windows.c.source,
        windows.c["pass"],
        windows.c.cause,
        windows.c.lag_ms,
        windows.c.walk0_ms,
        windows.c.distrusts,
        windows.c.created_at,
    )
    upper = sa.select(*copied, sa.literal(at_ms), windows.c.hi_ms, sa.literal("pending"), sa.literal(1)).where(
        windows.c.id == claim.id
    )
    names = [column.name for column in copied] + ["lo_ms", "hi_ms", "state", "attempts"]
    rest = tx.conn.execute(windows.insert().from_select(names, upper).returning(windows.c.id, windows.c.fence)).one()
    tx.conn.execute(lower)
    window = Window(at_ms, claim.window.hi_ms)
    return Held(tx, claim._replace(id=rest.id, fence=rest.fence, window=window, pages=0))
