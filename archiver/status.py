"""How the archive stands: the claim about every source, and what an operator looks at; all from the database."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from archiver import coverage
from archiver.config import App
from archiver.coverage import Coverage, Json, seconds
from archiver.errors import EXIT_DONE, EXIT_INCOMPLETE, EXIT_LATER, EXIT_REFUSED
from archiver.language import ENGLISH, Language
from archiver.model import DAY_MS, SECOND_MS
from archiver.store.engine import Store, Tx
from archiver.store.read import status
from archiver.store.read.starts import MovedStart, moved_start
from archiver.store.read.status import SourceStatus
from archiver.store.schema import ATTACHMENT_STATES, STATES
from archiver.timeline import EPS_MS, trusted_now
from archiver.zones import IN_UTC, Calendar

log = logging.getLogger("archiver.status")

FOREIGN_SOON_MS = 2 * DAY_MS
"""So long before the provider would drop it, a file that nobody may fetch alarms: time enough to allow its host."""

_NONE_FOREIGN = status.ForeignFiles(0, 0, {})


class Configured(NamedTuple):
    """What the configuration says of a source: enough to show it before its first pull."""

    app: str
    source: str
    start_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport(Coverage):
    """One source, configured or only in the database, and its app's figures. Before the first pull: the defaults."""

    configured: bool
    lag_seconds: float
    overdue_seconds: float
    freshness_seconds: float | None = None
    time_to_loss_seconds: float | None = None
    retention_seconds: float | None = None
    messages: int = 0
    bodies: int = 0
    revisions: int = 0
    sealed: int = 0
    erased: int = 0
    expired: int = 0
    """Of the messages those that are withheld until they may be erased, that were erased, and that have expired."""
    clock_skew_ms: int | None = None
    start_problem: str | None = None
    windows: dict[str, int] = field(default_factory=lambda: {state: 0 for state in STATES if state != "skipped"})
    """How many windows of the first pass are in every state."""
    attachments: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ATTACHMENT_STATES, 0))
    foreign_expiring: int = 0
    foreign_hosts: int = 0
    foreign_reasons: dict[str, int] = field(default_factory=dict)
    attachments_time_to_loss_seconds: float | None = None
    last_run: dict[str, Any] | None = None
    running: int = 0
    runs: dict[str, int] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    refused_commits: int = 0
    last_canary: dict[str, Any] | None = None

    def to_json(self) -> Json:
        """The entry of `status --format json`, whose keys are a promise (docs/operations.md)."""
        return {
            "app": self.app,
            "source": self.source,
            **coverage.times(self),
            **{name: getattr(self, name) for name in (*_PLAIN, *SourceReport.__slots__)},
            **coverage.weaknesses_json(self),
            "holes": [coverage.hole_json(hole) for hole in self.holes],
        }


_PLAIN = (
    *("origin_ms", "order_trusted", "clock_problem", "zone_problem"),
    *("late_arrivals", "worst_lateness_ms", "quarantined"),
)


def report(store: Store, configured: Sequence[Configured], *, every_ms: int) -> list[SourceReport]:
    """All sources, configured or only in the database, in order of their names."""
    names = {(source.app, source.source): source for source in configured}
    with store.read() as tx:
        now_ms = tx.now_ms()
        known = {(source.app, source.key.source): source for source in status.read(tx)}
        reports = [_report(tx, source, now_ms, every_ms, names.get(name)) for name, source in known.items()]
        reports += [_unknown(source, now_ms, every_ms) for name, source in names.items() if name not in known]
    return sorted(reports, key=lambda one: (one.app, one.source))


def to_json(reports: Sequence[SourceReport]) -> Json:
    """The content of `status --format json`."""
    return {"version": 1, "apps": [one.to_json() for one in reports]}


class Verdict(NamedTuple):
    """How all configured sources stand together: the exit code of `status --check`, a word, and why."""

    exit_code: int
    word: Literal["OK", "OVERDUE", "HOLE", "REFUSED", "NOTHING CONFIGURED"]
    why: str


def verdict(
    reports: Sequence[SourceReport], *, overdue_ms: int, language: Language = ENGLISH, calendar: Calendar = IN_UTC
) -> Verdict:
    """The worst that stands now: credentials refused, then a hole that nobody accepted, then what is overdue."""
    say = language.say
    ours = [one for one in reports if one.configured]
    refused = [one for one in ours if one.last_run and one.last_run["outcome"] == "refused"]
    holes = [one for one in ours if coverage.has_hole([one])]
    late = [one for one in ours if one.overdue_seconds * SECOND_MS > overdue_ms]
    if not ours:
        return Verdict(EXIT_DONE, "NOTHING CONFIGURED", say("no app is configured"))
    if refused:
        why = say("the provider refuses the credentials of {sources}", sources=_named(refused))
        return Verdict(EXIT_REFUSED, "REFUSED", why)
    if holes:
        count = sum(hole.state != "accepted" for one in holes for hole in one.holes)
        why = say("{count} ranges are lost or stuck in {sources}", count=count, sources=_named(holes))
        return Verdict(EXIT_INCOMPLETE, "HOLE", why)
    if late:
        worst = max(late, key=lambda one: one.overdue_seconds)
        reason = (worst.last_run or {}).get("reason") or _no_reason(worst, language)
        length = language.length(worst.overdue_seconds * SECOND_MS)
        why = say("{sources}, by {length}: {reason}", sources=_named(late), length=length, reason=reason)
        return Verdict(EXIT_LATER, "OVERDUE", why)
    until = calendar.said(min(one.complete_until_ms for one in ours))
    why = language.plural(
        "the source is archived up to {until}",
        "all of {number} sources are archived up to {until}",
        len(ours),
        until=until,
    )
    return Verdict(EXIT_DONE, "OK", why)


def _no_reason(report: SourceReport, language: Language) -> str:
    return language.say("no run has said why") if report.last_run else language.say("nothing was pulled yet")


def _named(reports: Sequence[SourceReport]) -> str:
    return ", ".join(f"{one.app} ({one.source})" for one in reports)


def configured(apps: Iterable[App]) -> list[Configured]:
    """What of the apps' settings a status goes by."""
    return [Configured(app.name, app.source, app.start_ms) for app in apps]


def tell_moved_starts(store: Store, configured: Sequence[Configured]) -> None:
    """A line of log for every source whose `start` was moved back after its first pull."""
    for moved in moved_starts(store, configured):
        log.warning("%s (%s): %s (try: %s)", *moved)


def moved_starts(store: Store, configured: Sequence[Configured]) -> list[MovedStart]:
    """Where somebody has moved `start` back after the first pull, and may wait for what will not come."""
    with store.read() as tx:
        known = {(source.app, source.key.source): source for source in status.read(tx)}
        moved = [
            moved_start(tx, known[name], source.start_ms)
            for source in configured
            if (name := (source.app, source.source)) in known
        ]
    return [start for start in moved if start is not None]


def _report(tx: Tx, source: SourceStatus, now_ms: int, every_ms: int, configured: Configured | None) -> SourceReport:
    app_id, retention_ms = source.key.app_id, source.retention_ms
    counts = status.app_counts(tx, app_id)
    server_ms = _server_now(source, now_ms)
    newest_ms = status.newest_ms(tx, app_id, server_ms) if counts["messages"] else None
    lag_ms = server_ms - source.complete_until_ms
    return SourceReport(
        **coverage.facts(tx, source),
        configured=configured is not None,
        lag_seconds=seconds(lag_ms),
        overdue_seconds=seconds(max(0, lag_ms - source.settle_ms - source.grain_ms - EPS_MS - every_ms)),
        freshness_seconds=None if newest_ms is None else seconds(server_ms - newest_ms),
        time_to_loss_seconds=None if retention_ms is None else _time_to_loss(source, retention_ms, now_ms),
        retention_seconds=None if retention_ms is None else seconds(retention_ms),
        clock_skew_ms=source.skew_ms,
        start_problem=_start_problem(tx, source, configured),
        windows=status.states(tx, source.key),
        attachments_time_to_loss_seconds=_until(status.attachment_expiry_ms(tx, app_id), now_ms),
        last_run=status.last_run(tx, source.key),
        last_canary=status.last_canary(tx, source.key),
        messages=counts["messages"],
        bodies=counts["bodies"],
        revisions=counts["revisions"],
        **status.let_go(tx, app_id),
        **_attachments(tx, app_id, now_ms),
        **_runs(tx, source),
    )


def _start_problem(tx: Tx, source: SourceStatus, configured: Configured | None) -> str | None:
    moved = None if configured is None else moved_start(tx, source, configured.start_ms)
    return None if moved is None else f"{moved.text}: {moved.remedy}"


def _attachments(tx: Tx, app_id: int, now_ms: int) -> Json:
    """How what messages point to stands; of what is foreign, what expires within the time that alarms."""
    counts = status.attachment_counts(tx, app_id)
    foreign = status.foreign(tx, app_id, now_ms + FOREIGN_SOON_MS) if counts["foreign"] else _NONE_FOREIGN
    return {
        "attachments": counts,
        "foreign_expiring": foreign.files,
        "foreign_hosts": foreign.hosts,
        "foreign_reasons": foreign.reasons,
    }


def _server_now(source: SourceStatus, now_ms: int) -> int:
    """The provider's time now, by its skew; a clock that is not sound must not hide how late the archive is."""
    server_ms = now_ms + (source.skew_ms or 0)
    return max(server_ms, now_ms) if source.clock_problem else trusted_now(server_ms, now_ms)


def _time_to_loss(source: SourceStatus, retention_ms: int, now_ms: int) -> float:
    """In seconds, by the provider's clock, by which it drops what it keeps no longer."""
    server_ms = now_ms + (source.skew_ms or 0)
    lag_ms = (max(server_ms, now_ms) if source.clock_problem else server_ms) - source.complete_until_ms
    return seconds(retention_ms - lag_ms)


def _runs(tx: Tx, source: SourceStatus) -> Json:
    """What runs have counted; one without an end whose heart has stopped counts as crashed before another notes it."""
    counted = status.counted(tx, source.key)
    running, silent = status.open_runs(tx, source.key)
    if silent:
        counted["runs"]["crashed"] = counted["runs"].get("crashed", 0) + silent
    return {
        "running": running,
        "runs": counted["runs"],
        "requests": counted["requests"],
        "refused_commits": sum(counted["refused_commits"].values()),
    }


def _unknown(source: Configured, now_ms: int, every_ms: int) -> SourceReport:
    """A source that was never pulled: the claim is empty, and stands at its start."""
    lag_ms = max(0, now_ms - source.start_ms)
    return SourceReport(
        app=source.app,
        source=source.source,
        configured=True,
        origin_ms=source.start_ms,
        complete_from_ms=source.start_ms,
        complete_until_ms=source.start_ms,
        audited_until_ms=source.start_ms,
        lag_seconds=seconds(lag_ms),
        overdue_seconds=seconds(max(0, lag_ms - EPS_MS - every_ms)),
    )


def _until(ms: int | None, now_ms: int) -> float | None:
    return None if ms is None else seconds(ms - now_ms)
