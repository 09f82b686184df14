"""What was wrong before, as mutants: each defect that an attack on the statement found, put back from outside.

Each changes one decision to what it was; wider worlds of some kind notice it, or a scenario does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from archiver import coverage
from archiver.errors import LeaseLost
from archiver.model import HOUR_MS, Pass, Source, Step
from archiver.pull import clocks, closing, plan, registration, run, setbacks, workers
from archiver.pull import walk as walker
from archiver.pull.run import Pull
from archiver.pull.setbacks import Setback
from archiver.pull.walk import WindowWalker
from archiver.pull.workers import Failures
from archiver.sources.easemob import cursor, hourly
from archiver.sources.listing import ListingCheck
from archiver.store import apps, blame, hours, naming, passes, planning, reopening, unclosed, watermarks, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx
from archiver.store.hours import Looked
from archiver.store.naming import HourFiles, HourReading
from archiver.store.schema import OPEN_STATES, TILING_STATES
from archiver.store.schema import passes as pass_rows
from archiver.store.schema import windows as window_rows
from archiver.store.windows import Claim, ClaimOptions, Held, Target
from archiver.timeline import ZoneVerdict, is_expired, trusted_now
from tests.proof import scenarios
from tests.proof.mutants import Databases, Mutant, Patch

w = window_rows.c


def _while_in(patch: Patch, owner: type, method: str, module: object, name: str, mutated: object) -> None:
    """One function in the place of another, for as long as a method runs."""
    original = getattr(owner, method)

    def within(self: Any, *args: Any, **ways: Any) -> Any:
        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(module, name, mutated)
            return original(self, *args, **ways)

    patch.setattr(owner, method, within)


def _never(*_: object, **__: object) -> bool:
    return False


def _always(*_: object, **__: object) -> bool:
    return True


def _nothing(*_: object, **__: object) -> None: ...


# What the database forgot


def commits_not_compared(patch: Patch) -> None:
    fits = sa.select(w.id).where(w.id == sa.bindparam("number"), w.fence == sa.bindparam("ours"), w.state == "leased")

    def hold(tx: Tx, claim: Claim, **_: bool) -> Held:
        if tx.conn.execute(fits, {"number": claim.id, "ours": claim.fence}).first() is None:
            raise LeaseLost
        return Held(tx, claim)

    patch.setattr(windows, "hold", hold)


# What the provider dropped


def retention_ignored_at_close(patch: Patch) -> None:
    patch.setattr(WindowWalker, "_lost_until", _nothing)


def hour_dropped_taken_for_empty(patch: Patch) -> None:
    _while_in(patch, WindowWalker, "_end_hour", walker, "is_expired", _never)


def file_gone_taken_for_empty(patch: Patch) -> None:
    patch.setattr(hours, "had_a_file", _never)


def age_by_the_databases_clock(patch: Patch) -> None:
    def aged(at_ms: int, server_ms: int, database_ms: int, retention_ms: int | None) -> bool | None:
        believed_ms = trusted_now(server_ms, database_ms)
        return is_expired(at_ms, believed_ms, believed_ms, retention_ms)

    patch.setattr(walker, "is_expired", aged)


def cut_between_members_believed(patch: Patch) -> None:
    patch.setattr(hourly, "_check_ends", _nothing)


# Wrong names of hours


def _evidence_of(tx: Tx, key: SourceKey) -> list[tuple[int, dict[int, int]]]:
    """What every file says, whatever it was read under; the newest first."""
    query = sa.select(w.lo_ms, w.zone_evidence).where(w.app_id == key.app_id, w.source == key.source)
    rows = tx.conn.execute(query.where(w.zone_evidence.is_not(None)).order_by(w.lo_ms.desc()))
    return [(lo_ms, {int(at): count for at, count in json.loads(text).items()}) for lo_ms, text in rows]


def _right(found: list[tuple[int, dict[int, int]]]) -> HourFiles:
    """As if the newest file vouched for all that there is."""
    return HourFiles((HourReading(found[0][0], 1 << 60),), None, ZoneVerdict(None, 0, doubtful=False))


def one_message_proves_the_zone(patch: Patch) -> None:
    original = naming.files

    def files(tx: Tx, key: SourceKey, naming_ms: int) -> HourFiles:
        found = _evidence_of(tx, key)
        if any(0 <= at < 4 for _, evidence in found for at in evidence):
            return _right(found)
        return original(tx, key, naming_ms)

    patch.setattr(naming, "files", files)


def changed_zone_reopens_nothing(patch: Patch) -> None:
    def change_zone(tx: Tx, key: SourceKey, _source: Source, _before_ms: int | None, offset_ms: int) -> None:
        apps.set_hour_offset(tx, key, offset_ms)
        tx.conn.execute(window_rows.update().where(w.naming_ms.is_not(None)).values(naming_ms=offset_ms))

    patch.setattr(registration, "_change_zone", change_zone)


def right_once_right_for_ever(patch: Patch) -> None:
    original = naming.files

    def files(tx: Tx, key: SourceKey, naming_ms: int) -> HourFiles:
        found = original(tx, key, naming_ms)
        return found if found.agreed_ms is None else _right(_evidence_of(tx, key))

    patch.setattr(naming, "files", files)


def close_with_none_to_vouch(patch: Patch) -> None:
    original = hours.close

    def close(*args: Any, **_: object) -> None:
        original(*args, vouching=None)

    patch.setattr(hours, "close", close)


# Settings changed under work that goes on


def lag_rewritten(patch: Patch) -> None:
    def set_lag(tx: Tx, key: SourceKey, pass_no: int, lag_ms: int) -> None:
        of_pass = sa.and_(w.app_id == key.app_id, w.source == key.source, w["pass"] == pass_no)
        still_open = sa.and_(w.state.in_(OPEN_STATES), w.cause != planning.AUDIT)
        tx.conn.execute(window_rows.update().where(of_pass, still_open).values(lag_ms=lag_ms))

    patch.setattr(reopening, "read_again_at", set_lag)


def not_read_again_at_a_longer_lag(patch: Patch) -> None:
    patch.setattr(reopening, "read_again_at", _nothing)


def neighbour_read_at_any_lag(patch: Patch) -> None:
    read = sa.or_(hours._AFTER.c.walked_at.is_not(None), hours._AFTER.c.state.in_(hours.READ))
    patch.setattr(hours, "_CLOSE_KNOWN", hours._close_known(read))
    patch.setattr(reopening, "read_neighbours_again", _nothing)


# Disorder that is forgotten


def disorder_noted_at_the_walks_end(patch: Patch) -> None:
    walk, commit, distrust = WindowWalker.walk, WindowWalker._commit, apps.distrust_order
    shown: set[int] = set()

    def note(self: WindowWalker, lot: Sequence[Step]) -> None:
        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(apps, "distrust_order", _never)
            commit(self, lot)
        if not lot[-1].ordered:
            shown.add(id(self))

    def walk_and_note(self: WindowWalker) -> None:
        shown.discard(id(self))
        walk(self)
        if id(self) in shown:
            with self.context.store.write() as tx:
                if distrust(tx, self.claim.key):
                    self._reopen_by_order(tx)

    patch.setattr(WindowWalker, "_commit", note)
    patch.setattr(WindowWalker, "walk", walk_and_note)


def progress_survives_distrust(patch: Patch) -> None:
    original = windows.claim

    def claim(tx: Tx, key: SourceKey, wanted: Target, terms: ClaimOptions) -> Claim | None:
        tx.conn.execute(window_rows.update().values(distrusts=terms.distrusts))
        return original(tx, key, wanted, terms)

    patch.setattr(windows, "claim", claim)


# Beside a lost file


def tail_before_a_lost_file_closed(patch: Patch) -> None:
    read = sa.or_(hours._HAS_BEEN_READ, hours._AFTER.c.state.in_(hours.LOST))
    patch.setattr(hours, "_CLOSE_KNOWN", hours._close_known(read))


def closed_without_later_files(patch: Patch) -> None:
    def configured(source: Source) -> tuple[Pass, ...]:
        return source.passes

    patch.setattr(plan, "with_looks", configured)
    patch.setattr(closing, "_looked", lambda *_: Looked(1 << 60, HOUR_MS, begun=True))


def head_behind_a_lost_file_closed(patch: Patch) -> None:
    patch.setattr(hours, "cut_heads", _nothing)


# Audits


def audits_numbered_by_place(patch: Patch) -> None:
    p = pass_rows.c

    def numbered(tx: Tx, key: SourceKey, configured: Sequence[Pass]) -> tuple[Pass, ...]:
        tx.conn.execute(pass_rows.delete().where(p.app_id == key.app_id, p.source == key.source))
        for each in configured:
            if each.pass_no >= passes.FIRST_AUDIT:
                row = {"app_id": key.app_id, "source": key.source, "number": each.pass_no, "lag_ms": each.lag_ms}
                tx.conn.execute(pass_rows.insert(), row)
        return tuple(configured)

    patch.setattr(passes, "numbered", numbered)


def _tiles(patch: Patch, *conditions: sa.ColumnElement[bool]) -> None:
    query = sa.select(w.lo_ms, w.hi_ms).where(apps.of_source(w), w["pass"] == sa.bindparam("pass_no"), *conditions)
    query = query.limit(watermarks._CHUNK)
    edge: sa.BindParameter[int] = sa.bindparam("edge_ms")
    patch.setattr(watermarks, "_TILES_ABOVE", query.where(w.lo_ms >= edge).order_by(w.lo_ms))
    patch.setattr(watermarks, "_TILES_BELOW", query.where(w.lo_ms < edge).order_by(w.lo_ms.desc()))


def audits_stop_at_what_was_skipped(patch: Patch) -> None:
    _tiles(patch, w.state.in_(TILING_STATES), w.cause != hours.BEFORE)


def claim_reaches_below_the_origin(patch: Patch) -> None:
    skipped = sa.and_(w["pass"] >= passes.FIRST_AUDIT, w.state == "skipped")
    _tiles(patch, sa.or_(w.state.in_(TILING_STATES), skipped))


def audit_asked_for_is_due_by_settle(patch: Patch) -> None:
    original = Pull._begin

    def begin(self: Pull) -> None:
        original(self)
        if self.options.audit is not None and self._due_ms is not None:
            self._targets = [Target(self.options.audit, planning.AUDIT, self._due_ms)]

    patch.setattr(Pull, "_begin", begin)
    patch.setattr(run, "_FOR_EVER_MS", 0)  # what is not due was not left, either


def audit_asked_for_says_nothing(patch: Patch) -> None:
    patch.setattr(Pull, "_missed", _nothing)


# Said, but not shown


def weaknesses_not_in_words(patch: Patch) -> None:
    patch.setattr(coverage, "weaknesses", lambda *_: [])


def clocks_not_compared(patch: Patch) -> None:
    patch.setattr(clocks, "clock_problem", _nothing)


def seconds_taken_for_milliseconds(patch: Patch) -> None:
    patch.setattr(cursor, "_EARLIEST_MS", 0)
    clocks_not_compared(patch)


# It stands still, or alarms falsely, or not at all


def outage_blamed_on_windows(patch: Patch) -> None:
    def to_blame(self: Setback, _tx: Tx, _error: Exception) -> bool:
        return self.claim.attempts >= setbacks.ATTEMPTS_BEFORE_BLAME

    patch.setattr(Setback, "_is_to_blame", to_blame)
    patch.setattr(Setback, "_cannot_be_walked", _always)


def known_rows_counted_over_all_lists(patch: Patch) -> None:
    original = ListingCheck.begin_list

    def begin_list(self: ListingCheck) -> None:
        original(self)
        self._listed = None

    patch.setattr(ListingCheck, "begin_list", begin_list)


def hour_is_never_stuck(patch: Patch) -> None:
    patch.setattr(blame, "hour_is_to_blame", _never)


def failed_windows_first(patch: Patch) -> None:
    original = windows._claimable

    def claimable(patient: bool, retry_stuck: bool, newest_first: bool) -> sa.Select[tuple[int, int, str]]:
        query = original(patient, retry_stuck, newest_first)
        return query.order_by(None).order_by(w.hi_ms.desc() if newest_first else w.lo_ms)

    patch.setattr(windows, "_claimable", claimable)
    # Nor was anything looked at from the far end, and two failures in a row ended a pull.
    patch.setattr(Failures, "afar", False)
    patch.setattr(workers, "FAILURES_IN_A_ROW", 2)


def done_while_hours_wait(patch: Patch) -> None:
    patch.setattr(unclosed, "is_due_unclosed", _never)


def broken_order(databases: Databases) -> None:
    with databases.sqlite() as database:
        scenarios.break_the_order(database)


_Apply = Callable[[Patch], None]


def _of(kind: str, name: str, apply: _Apply, *seeds: int, **ways: Any) -> Mutant:
    return Mutant(name, apply, kind=kind, seeds=seeds, **ways)


WIDE_MUTANTS = (
    _of("cursor forgets", "commits that were lost not noticed", commits_not_compared, 2, 3),
    _of("cursor retention", "retention ignored where a window closes", retention_ignored_at_close, 0, 1),
    _of("hourly outage", "an hour dropped by the provider taken for empty", hour_dropped_taken_for_empty, 3, 5),
    _of("hourly gone", "a file that was there and is gone taken for empty", file_gone_taken_for_empty, 1, 0),
    _of("hourly behind", "age by the database's clock alone", age_by_the_databases_clock, 1, 10),
    _of("hourly cut", "a file cut between two members believed", cut_between_members_believed, 0, 1),
    _of("hourly zone", "one message that fits proves the zone", one_message_proves_the_zone, 39, 24),
    _of("hourly zone", "a changed offset reopens nothing", changed_zone_reopens_nothing, 4, 7),
    _of("hourly zone", "a zone once right is right for ever", right_once_right_for_ever, 24, 14),
    _of("hourly quiet", "hours close with no file to vouch for them", close_with_none_to_vouch, 0, 1),
    _of("hourly settle", "an hour closes by a neighbour read at a shorter lag", neighbour_read_at_any_lag, 29, 1),
    _of("hourly settle", "lag rewritten on open windows", lag_rewritten, 0, 1),
    _of("hourly settle", "waiting hours not read again at a longer lag", not_read_again_at_a_longer_lag, 0, 2),
    _of("cursor disorder", "disorder noted at a walk's end only", disorder_noted_at_the_walks_end, 8, 9),
    Mutant("progress survives distrust", progress_survives_distrust, scenario=broken_order),
    _of("hourly spoilt", "tail of the hour before a lost file closed", tail_before_a_lost_file_closed, 0, 1),
    _of("hourly slow", "hours closed without a look at later files", closed_without_later_files, 3, 4),
    _of("hourly heads", "head of the hour behind a lost file closed", head_behind_a_lost_file_closed, 0, 1),
    _of("cursor audits", "audits numbered by their place", audits_numbered_by_place, 0, 1),
    _of("cursor retention", "audits stop at what was skipped", audits_stop_at_what_was_skipped, 0, 1),
    _of("hourly asked", "an audit asked for is due by settle", audit_asked_for_is_due_by_settle, 1, 2),
    _of("hourly asked", "an audit asked for says nothing of what was missing", audit_asked_for_says_nothing, 4),
    _of("cursor retention", "the claim reaches below the origin", claim_reaches_below_the_origin, 0, 2),
    _of("cursor disorder", "weaknesses not in words", weaknesses_not_in_words, 0, 1),
    _of("hourly standing", "the server's clock not held against the database's", clocks_not_compared, 0, 4),
    _of("hourly standing", "a server's time in seconds believed", seconds_taken_for_milliseconds, 0, 1),
    _of("cursor outage", "an outage blamed on windows", outage_blamed_on_windows, 0, 1),
    _of("cursor ties", "known rows counted over all lists", known_rows_counted_over_all_lists, 0, 1),
    _of("hourly spoilt", "an hour is never stuck", hour_is_never_stuck, 3),
    _of("hourly row", "failed windows come first", failed_windows_first, 0, 1),
    _of("hourly plain", "done while due hours wait", done_while_hours_wait, 2, 4),
)
