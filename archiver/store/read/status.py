"""How the archive stands, from the windows' own counters: nothing here counts a big table."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.model import Window
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx
from archiver.store.runs import SILENT_MS
from archiver.store.schema import (
    ATTACHMENT_STATES,
    STATES,
    apps,
    attachments,
    canaries,
    iso,
    messages,
    passes,
    quarantine,
    run_counters,
    runs,
    sources,
    tombstones,
    watermarks,
    windows,
)

w = windows.c
_HOLES = ("expired", "stuck", "accepted")


class Hole(NamedTuple):
    """A range of which the archive does not have what it should, or of which nobody knows."""

    window: Window
    state: str
    reason: str | None
    accepted_by: str | None = None
    accepted_ms: int | None = None


class SourceStatus(NamedTuple):
    """One source of one app, as its rows say. Instants in ms; counters as in `windows`."""

    key: SourceKey
    app: str
    origin_ms: int
    settle_ms: int
    grain_ms: int
    retention_ms: int | None
    order_trusted: bool
    skew_ms: int | None
    hour_offset_ms: int | None
    clock_problem: str | None
    zone_problem: str | None
    complete_from_ms: int
    complete_until_ms: int
    audited_until_ms: int
    audited_pass: int | None


def read(tx: Tx) -> list[SourceStatus]:
    """Every source that the database knows."""
    s, m = sources.c, watermarks.c
    query = (
        sa.select(
            s.app_id,
            s.source,
            apps.c.name,
            s.origin_ms,
            s.settle_ms,
            s.grain_ms,
            s.retention_ms,
            s.order_trusted,
            s.skew_ms,
            s.hour_offset_ms,
            s.clock_problem,
            s.zone_problem,
        )
        .add_columns(m.complete_from_ms, m.complete_until_ms, m.audited_until_ms, m.audited_pass)
        .select_from(sources.join(apps).join(watermarks, sa.and_(m.app_id == s.app_id, m.source == s.source)))
        .order_by(apps.c.name, s.source)
    )
    return [SourceStatus(SourceKey(row[0], row[1]), *row[2:]) for row in tx.conn.execute(query)]


def states(tx: Tx, key: SourceKey) -> dict[str, int]:
    """How many windows of pass 1 are in every state."""
    query = sa.select(w.state, sa.func.count()).where(_first_pass(key)).group_by(w.state)
    counts = {row[0]: int(row[1]) for row in tx.conn.execute(query)}
    return {state: counts.get(state, 0) for state in STATES if state != "skipped"}


def app_counts(tx: Tx, app_id: int) -> dict[str, int]:
    """Messages, bodies and revisions of an app, whichever source brought them."""
    query = sa.select(
        sa.func.coalesce(sa.func.sum(w.new + w.requeued), 0).label("messages"),
        sa.func.coalesce(sa.func.sum(w.bodies + w.requeued_bodies), 0).label("bodies"),
        sa.func.coalesce(sa.func.sum(w.changed + w.requeued_changed), 0).label("revisions"),
    ).where(w.app_id == app_id)
    return {name: int(value) for name, value in tx.conn.execute(query).one()._mapping.items()}


def let_go(tx: Tx, app_id: int) -> dict[str, Any]:
    """Of the messages of an app those that are sealed, that were erased, and that have expired."""
    t, m = tombstones.c, messages.c
    query = sa.select(t.kind, sa.func.sum(t.messages)).where(t.app_id == app_id).group_by(t.kind)
    gone = {row[0]: int(row[1]) for row in tx.conn.execute(query)}
    sealed = sa.select(sa.func.count()).where(m.app_id == app_id, sa.text("withheld = 1"))
    return {
        "sealed": int(tx.conn.execute(sealed.select_from(messages)).scalar_one()),
        "erased": gone.get("erased", 0),
        "expired": gone.get("expired", 0),
    }


def messages_of(tx: Tx, app: str) -> int:
    """How many messages of an app are stored, by the counters of its windows."""
    total = sa.func.coalesce(sa.func.sum(w.new + w.requeued), 0)
    query = sa.select(total).select_from(windows.join(apps)).where(apps.c.name == app)
    return int(tx.conn.execute(query).scalar_one())


def source_counts(tx: Tx, key: SourceKey) -> dict[str, int | None]:
    """Late arrivals, the worst lateness (ms) and what is in quarantine, of one source."""
    late = sa.select(sa.func.coalesce(sa.func.sum(w.late), 0), sa.func.max(w.worst_lateness_ms)).where(
        w.app_id == key.app_id, w.source == key.source
    )
    count, worst_ms = tx.conn.execute(late).one()
    q = quarantine.c
    waiting = sa.select(sa.func.count()).where(q.app_id == key.app_id, q.source == key.source, q.resolved_at.is_(None))
    return {
        "late_arrivals": int(count),
        "worst_lateness_ms": worst_ms,
        "quarantined": int(tx.conn.execute(waiting).scalar_one()),
    }


def attachment_counts(tx: Tx, app_id: int) -> dict[str, int]:
    """How many attachments of an app are in every state."""
    a = attachments.c
    query = sa.select(a.state, sa.func.count()).where(a.app_id == app_id).group_by(a.state)
    counts = {row[0]: int(row[1]) for row in tx.conn.execute(query)}
    return {state: counts.get(state, 0) for state in ATTACHMENT_STATES}


def attachment_expiry_ms(tx: Tx, app_id: int) -> int | None:
    """When the provider drops the first attachment that is not had yet; None where all are."""
    a = attachments.c
    is_open = sa.text("state IN ('pending', 'failed')")
    first_ms: int | None = tx.conn.scalar(sa.select(sa.func.min(a.expires_at)).where(a.app_id == app_id, is_open))
    return first_ms


class ForeignFiles(NamedTuple):
    """Files that nobody is allowed to fetch and that have expired or soon will; `reasons`: the most frequent ones."""

    files: int
    hosts: int
    reasons: dict[str, int]


def foreign(tx: Tx, app_id: int, soon_ms: int) -> ForeignFiles:
    """What an app's messages point to at other hosts, and expires before `soon_ms`. Only asked where there is some."""
    a, count = attachments.c, sa.func.count()
    expiring = sa.and_(a.app_id == app_id, a.state == "foreign", a.expires_at < soon_ms)
    files, hosts = tx.conn.execute(sa.select(count, sa.func.count(a.reason.distinct())).where(expiring)).one()
    query = sa.select(a.reason, count).where(expiring).group_by(a.reason).order_by(count.desc(), a.reason).limit(5)
    return ForeignFiles(int(files), int(hosts), {str(row[0]): int(row[1]) for row in tx.conn.execute(query)})


def newest_ms(tx: Tx, app_id: int, now_ms: int) -> int | None:
    """The newest stamp of an app's messages that is not in the future."""
    query = sa.select(messages.c.timestamp_ms).where(messages.c.app_id == app_id, messages.c.sent_at <= now_ms)
    return tx.conn.scalar(query.order_by(messages.c.sent_at.desc()).limit(1))


def holes(tx: Tx, key: SourceKey) -> list[Hole]:
    """What pass 1 has lost, cannot walk or has had accepted, and what no row covers; in order of time."""
    columns = (w.lo_ms, w.hi_ms, w.state, w.reason, w.accepted_by, w.accepted_at)
    query = sa.select(*columns).where(_first_pass(key), w.state.in_(_HOLES))
    lost = [Hole(Window(lo_ms, hi_ms), *more) for lo_ms, hi_ms, *more in tx.conn.execute(query)]
    lost += [Hole(window, "uncovered", "no window covers this range") for window in _gaps(tx, key)]
    return sorted(lost, key=lambda hole: hole.window)


def _gaps(tx: Tx, key: SourceKey) -> list[Window]:
    """What no window covers between the first and the last.

    Windows do not overlap, so there is nothing to look for where they are as long together as from end to end: a year
    of minutes need not be sorted to know that.
    """
    whole = sa.select(sa.func.min(w.lo_ms), sa.func.max(w.hi_ms), sa.func.sum(w.hi_ms - w.lo_ms))
    lo_ms, hi_ms, covered_ms = tx.conn.execute(whole.where(_first_pass(key))).one()
    if lo_ms is None or hi_ms - lo_ms == covered_ms:
        return []
    before = sa.func.lag(w.hi_ms).over(order_by=w.lo_ms).label("before_ms")
    tiles = sa.select(before, w.lo_ms).where(_first_pass(key)).subquery()
    between = tx.conn.execute(sa.select(tiles).where(tiles.c.before_ms < tiles.c.lo_ms))
    return [Window(row.before_ms, row.lo_ms) for row in between]


class Weakness(NamedTuple):
    """Ranges of the claim that rest on less than it says; in order of time, neighbours drawn together."""

    unproven: list[Window]
    """Closed by an order of the server that proved false when the provider kept them no longer."""
    unaudited: list[Window]
    """Passed over by the longest audit, as nobody could look at them any more."""


def weakness(tx: Tx, source: SourceStatus) -> Weakness:
    """What the windows know to be weak in the claim."""
    unproven = sa.and_(_first_pass(source.key), w.unproven, w.state == "closed")
    audits = sa.and_(w.app_id == source.key.app_id, w.source == source.key.source, w["pass"] == source.audited_pass)
    missed = sa.and_(audits, w.unproven, w.state == "skipped", w.hi_ms > source.complete_from_ms)
    return Weakness(_ranges(tx, unproven), [] if source.audited_pass is None else _ranges(tx, missed))


def _ranges(tx: Tx, condition: sa.ColumnElement[bool]) -> list[Window]:
    drawn: list[Window] = []
    for lo_ms, hi_ms in tx.conn.execute(sa.select(w.lo_ms, w.hi_ms).where(condition).order_by(w.lo_ms)):
        if drawn and drawn[-1].hi_ms >= lo_ms:
            drawn[-1] = Window(drawn[-1].lo_ms, max(hi_ms, drawn[-1].hi_ms))
        else:
            drawn.append(Window(lo_ms, hi_ms))
    return drawn


def before_first_contact(tx: Tx, key: SourceKey) -> Window | None:
    """What the provider had dropped before the archive began: it lies before the claim, and was accepted by nobody."""
    before = sa.and_(_of_first_pass(key), w.cause == "before_first_contact")
    row = tx.conn.execute(sa.select(w.lo_ms, w.hi_ms).where(before)).first()
    return None if row is None else Window(row.lo_ms, row.hi_ms)


def reach_ms(tx: Tx, source: SourceStatus) -> int:
    """From where on the archive knows what it has, or will know when the backfill that was asked for is done."""
    before = before_first_contact(tx, source.key)
    backfill_ms = tx.conn.scalar(
        sa.select(sources.c.backfill_from_ms).where(
            sources.c.app_id == source.key.app_id, sources.c.source == source.key.source
        )
    )
    known = (source.origin_ms, source.complete_from_ms, backfill_ms, None if before is None else before.lo_ms)
    return min(ms for ms in known if ms is not None)


def audit_lag_ms(tx: Tx, source: SourceStatus) -> int | None:
    """The lag of the audit that `audited_until_ms` speaks of."""
    p = passes.c
    this = sa.and_(p.app_id == source.key.app_id, p.source == source.key.source, p.number == source.audited_pass)
    lag_ms: int | None = tx.conn.scalar(sa.select(p.lag_ms).where(this))
    return lag_ms


def last_run(tx: Tx, key: SourceKey) -> dict[str, Any] | None:
    """Outcome, reason and end of the newest run that has ended; the reason is None where all went well."""
    r = runs.c
    query = sa.select(r.outcome, r.reason, r.ended_at).where(
        r.app_id == key.app_id, r.source == key.source, r.ended_at.is_not(None)
    )
    row = tx.conn.execute(query.order_by(r.id.desc()).limit(1)).first()
    return None if row is None else {"outcome": row.outcome, "reason": row.reason, "ended_at": iso(row.ended_at)}


def counted(tx: Tx, key: SourceKey) -> dict[str, dict[str, int]]:
    """What all runs together have counted: by kind, then by label."""
    c = run_counters.c
    query = sa.select(c.kind, c.label, c["count"]).where(c.app_id == key.app_id, c.source == key.source)
    counts: dict[str, dict[str, int]] = {"requests": {}, "runs": {}, "refused_commits": {}}
    for kind, label, count in tx.conn.execute(query.order_by(c.kind, c.label)):
        counts[kind][label] = count
    return counts


def open_runs(tx: Tx, key: SourceKey) -> tuple[int, int]:
    """How many runs have no end: those at work, and those whose heart has stopped."""
    r = runs.c
    query = sa.select(r.heartbeat_at).where(r.app_id == key.app_id, r.source == key.source, r.ended_at.is_(None))
    silent = [beat < tx.now_ms() - SILENT_MS for beat in tx.conn.scalars(query)]
    return silent.count(False), silent.count(True)


def last_canary(tx: Tx, key: SourceKey) -> dict[str, Any] | None:
    """The newest canary whose fate is known, and how long it took."""
    c = canaries.c
    known = sa.and_(c.app_id == key.app_id, c.source == key.source, c.outcome != "waiting")
    row = tx.conn.execute(sa.select(canaries).where(known).order_by(c.id.desc()).limit(1)).first()
    if row is None:
        return None
    delay_ms = None if row.archived_at is None else row.archived_at - row.sent_at
    delay_s = None if delay_ms is None else delay_ms / 1000
    return {"outcome": row.outcome, "sent_at": iso(row.sent_at), "delay_seconds": delay_s}


class Stretch(NamedTuple):
    """Neighbouring windows of one pass in one state, as one."""

    pass_no: int
    cause: str
    state: str
    window: Window
    windows: int
    received: int
    reason: str | None


def stretches(tx: Tx, key: SourceKey) -> list[Stretch]:
    """All windows of a source, neighbours in the same state drawn together."""
    query = (
        sa.select(w["pass"], w.cause, w.state, w.lo_ms, w.hi_ms, w.received, w.reason)
        .where(w.app_id == key.app_id, w.source == key.source)
        .order_by(w["pass"], w.lo_ms)
    )
    drawn: list[Stretch] = []
    for number, cause, state, lo_ms, hi_ms, received, reason in tx.conn.execute(query):
        last = drawn[-1] if drawn else None
        if last and (last.pass_no, last.cause, last.state, last.reason, last.window.hi_ms) == (
            number,
            cause,
            state,
            reason,
            lo_ms,
        ):
            drawn[-1] = last._replace(
                window=Window(last.window.lo_ms, hi_ms), windows=last.windows + 1, received=last.received + received
            )
        else:
            drawn.append(Stretch(number, cause, state, Window(lo_ms, hi_ms), 1, received, reason))
    return drawn


def _of_first_pass(key: SourceKey) -> sa.ColumnElement[bool]:
    return sa.and_(w.app_id == key.app_id, w.source == key.source, w["pass"] == 1)


def _first_pass(key: SourceKey) -> sa.ColumnElement[bool]:
    """Its windows within the archive, without what lies before it."""
    return sa.and_(_of_first_pass(key), w.cause != "before_first_contact")
