"""How the archive stands: the claim in the protocol's words, and what an operator looks at; all from the database."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from archiver.config import App
from archiver.model import DAY_MS, HOUR_MS, SECOND_MS
from archiver.store import hours
from archiver.store.engine import Store, Tx
from archiver.store.read import status
from archiver.store.read.starts import MovedStart, moved_start
from archiver.store.read.status import Hole, SourceStatus
from archiver.store.schema import ATTACHMENT_STATES, STATES, iso
from archiver.timeline import EPS_MS, trusted_now

log = logging.getLogger("archiver.status")

Entry = dict[str, Any]

FOREIGN_SOON_MS = 2 * DAY_MS
"""So long before the provider would drop it, a file that nobody may fetch alarms: time enough to allow its host."""

_NONE_FOREIGN = status.Foreign(0, 0, {})


class Configured(NamedTuple):
    """What the configuration says of a source: enough to show it before its first pull."""

    app: str
    source: str
    start_ms: int


def report(store: Store, configured: Sequence[Configured], *, every_ms: int) -> Mapping[str, list[Entry]]:
    """The content of `status --format json`: one entry an app and source, configured or only in the database."""
    names = {(each.app, each.source): each for each in configured}
    with store.read() as tx:
        now_ms = tx.now_ms()
        known = {(each.app, each.key.source): each for each in status.read(tx)}
        entries = [_entry(tx, each, now_ms, every_ms, configured=names.get(name)) for name, each in known.items()]
        entries += [_unknown(each, now_ms, every_ms) for name, each in names.items() if name not in known]
    return {"apps": sorted(entries, key=lambda entry: (entry["app"], entry["source"]))}


def configured(apps: Iterable[App]) -> list[Configured]:
    """What of the apps' settings a status goes by."""
    return [Configured(app.name, app.source, app.start_ms) for app in apps]


def tell_moved_starts(store: Store, configured: Sequence[Configured]) -> None:
    """A line of log for each source whose `start` was moved back after its first pull."""
    for moved in moved_starts(store, configured):
        log.warning("%s (%s): %s (try: %s)", *moved)


def moved_starts(store: Store, configured: Sequence[Configured]) -> list[MovedStart]:
    """Where somebody has moved `start` back after the first pull, and may wait for what will not come."""
    with store.read() as tx:
        known = {(each.app, each.key.source): each for each in status.read(tx)}
        moved = [
            moved_start(tx, known[name], source.start_ms)
            for source in configured
            if (name := (source.app, source.source)) in known
        ]
    return [start for start in moved if start is not None]


def has_hole(entries: Sequence[Entry]) -> bool:
    """Whether any entry has a hole that nobody has accepted."""
    return any(hole["state"] != "accepted" for entry in entries for hole in entry["holes"])


def _entry(tx: Tx, each: SourceStatus, now_ms: int, every_ms: int, *, configured: Configured | None) -> Entry:
    app_id = each.key.app_id
    counts, of_source = status.app_counts(tx, app_id), status.source_counts(tx, each.key)
    server_ms = _server_now(each, now_ms)
    newest_ms = status.newest_ms(tx, app_id, server_ms) if counts["messages"] else None
    lag_ms = server_ms - each.complete_until_ms
    retention_ms = each.retention_ms
    return {
        "app": each.app,
        "source": each.key.source,
        "configured": configured is not None,
        **_times(each.complete_from_ms, each.complete_until_ms, each.audited_until_ms),
        "origin_ms": each.origin_ms,
        "lag_seconds": _seconds(lag_ms),
        "overdue_seconds": _seconds(max(0, lag_ms - each.settle_ms - each.grain_ms - EPS_MS - every_ms)),
        "freshness_seconds": None if newest_ms is None else _seconds(server_ms - newest_ms),
        "time_to_loss_seconds": None if retention_ms is None else _time_to_loss(each, retention_ms, now_ms),
        "retention_seconds": None if retention_ms is None else _seconds(retention_ms),
        **counts,
        **of_source,
        "order_trusted": each.order_trusted,
        "clock_skew_ms": each.skew_ms,
        "clock_problem": each.clock_problem,
        "zone_problem": each.zone_problem,
        "start_problem": _start_problem(tx, each, configured),
        **_weak(tx, each),
        "windows": status.states(tx, each.key),
        "holes": [hole_entry(hole) for hole in status.holes(tx, each.key)],
        **_attachments(tx, app_id, now_ms),
        "attachments_time_to_loss_seconds": _until(status.attachment_expiry_ms(tx, app_id), now_ms),
        "last_run": status.last_run(tx, each.key),
        **_runs(tx, each),
        "last_canary": status.last_canary(tx, each.key),
    }


def _start_problem(tx: Tx, each: SourceStatus, configured: Configured | None) -> str | None:
    moved = None if configured is None else moved_start(tx, each, configured.start_ms)
    return None if moved is None else f"{moved.text}: {moved.remedy}"


def _attachments(tx: Tx, app_id: int, now_ms: int) -> Entry:
    """How what messages point to stands; of what is foreign, what expires within the time that alarms."""
    counts = status.attachment_counts(tx, app_id)
    foreign = status.foreign(tx, app_id, now_ms + FOREIGN_SOON_MS) if counts["foreign"] else _NONE_FOREIGN
    return {
        "attachments": counts,
        "foreign_expiring": foreign.files,
        "foreign_hosts": foreign.hosts,
        "foreign_reasons": foreign.reasons,
    }


def _server_now(each: SourceStatus, now_ms: int) -> int:
    """The provider's time now, by its skew; a clock that is not sound must not hide how late the archive is."""
    server_ms = now_ms + (each.skew_ms or 0)
    return max(server_ms, now_ms) if each.clock_problem else trusted_now(server_ms, now_ms)


def _time_to_loss(each: SourceStatus, retention_ms: int, now_ms: int) -> float:
    """In seconds, by the provider's clock, by which it drops what it keeps no longer."""
    server_ms = now_ms + (each.skew_ms or 0)
    lag_ms = (max(server_ms, now_ms) if each.clock_problem else server_ms) - each.complete_until_ms
    return _seconds(retention_ms - lag_ms)


def _weak(tx: Tx, each: SourceStatus) -> Entry:
    """What weakens the claim, as ranges; and what lies before the archive's beginning, which it does not speak of."""
    weakness, before = status.weakness(tx, each), status.before_first_contact(tx, each.key)
    return {
        "before": None if before is None else {**before._asdict(), "reason": "before_first_contact"},
        "unproven": [window._asdict() for window in weakness.unproven],
        "unaudited": [window._asdict() for window in weakness.unaudited],
        "audit_lag_seconds": None if (lag_ms := status.audit_lag_ms(tx, each)) is None else _seconds(lag_ms),
        "hours_confirmed_until_ms": _confirmed_until(tx, each),
    }


def _confirmed_until(tx: Tx, each: SourceStatus) -> int | None:
    """Up to where messages show that hour_utc_offset is right; None for a source without hours."""
    if each.hour_offset_ms is None:
        return None
    agreed_ms = hours.files(tx, each.key, each.hour_offset_ms).agreed_ms
    return each.origin_ms if agreed_ms is None else agreed_ms + HOUR_MS


def _runs(tx: Tx, each: SourceStatus) -> Entry:
    """What runs have counted; one without an end whose heart has stopped counts as crashed before another notes it."""
    found = status.counted(tx, each.key)
    running, silent = status.open_runs(tx, each.key)
    if silent:
        found["runs"]["crashed"] = found["runs"].get("crashed", 0) + silent
    return {
        "running": running,
        "runs": found["runs"],
        "requests": found["requests"],
        "refused_commits": sum(found["refused_commits"].values()),
    }


def _unknown(each: Configured, now_ms: int, every_ms: int) -> Entry:
    """A source that was never pulled: the claim is empty, and stands at its start."""
    lag_ms = max(0, now_ms - each.start_ms)
    return {
        "app": each.app,
        "source": each.source,
        "configured": True,
        **_times(each.start_ms, each.start_ms, each.start_ms),
        "origin_ms": each.start_ms,
        "lag_seconds": _seconds(lag_ms),
        "overdue_seconds": _seconds(max(0, lag_ms - EPS_MS - every_ms)),
        **dict.fromkeys(("freshness_seconds", "time_to_loss_seconds", "retention_seconds")),
        **dict.fromkeys(("messages", "bodies", "revisions", "late_arrivals"), 0),
        "worst_lateness_ms": None,
        "quarantined": 0,
        "order_trusted": True,
        "clock_skew_ms": None,
        "clock_problem": None,
        "zone_problem": None,
        "start_problem": None,
        "before": None,
        "unproven": [],
        "unaudited": [],
        "audit_lag_seconds": None,
        "hours_confirmed_until_ms": None,
        "windows": {state: 0 for state in STATES if state != "skipped"},
        "holes": [],
        "attachments": dict.fromkeys(ATTACHMENT_STATES, 0),
        "foreign_expiring": 0,
        "foreign_hosts": 0,
        "foreign_reasons": {},
        "attachments_time_to_loss_seconds": None,
        "last_run": None,
        "running": 0,
        "runs": {},
        "requests": {},
        "refused_commits": 0,
        "last_canary": None,
    }


def _until(ms: int | None, now_ms: int) -> float | None:
    return None if ms is None else _seconds(ms - now_ms)


def _times(from_ms: int, until_ms: int, audited_ms: int) -> Entry:
    return {
        "complete_from_ms": from_ms,
        "complete_until_ms": until_ms,
        "complete_from": iso(from_ms),
        "complete_until": iso(until_ms),
        "audited_until_ms": audited_ms,
    }


def hole_entry(hole: Hole) -> Entry:
    """A hole as `status` and `coverage` tell it."""
    return {"lo_ms": hole.window.lo_ms, "hi_ms": hole.window.hi_ms, "state": hole.state, "reason": hole.reason}


def coverage(store: Store) -> Mapping[str, list[Entry]]:
    """The content of `coverage --format json`: every window, neighbours in the same state drawn together."""
    with store.patient.read() as tx:
        return {"apps": [_coverage_entry(tx, each) for each in status.read(tx)]}


def _coverage_entry(tx: Tx, each: SourceStatus) -> Entry:
    return {
        "app": each.app,
        "source": each.key.source,
        **_times(each.complete_from_ms, each.complete_until_ms, each.audited_until_ms),
        "holes": [hole_entry(hole) for hole in status.holes(tx, each.key)],
        "order_trusted": each.order_trusted,
        "clock_problem": each.clock_problem,
        "zone_problem": each.zone_problem,
        "origin_ms": each.origin_ms,
        **_weak(tx, each),
        "windows": [
            {
                "pass": stretch.number,
                "cause": stretch.cause,
                "state": stretch.state,
                "lo_ms": stretch.window.lo_ms,
                "hi_ms": stretch.window.hi_ms,
                "windows": stretch.windows,
                "received": stretch.received,
                "reason": stretch.reason,
            }
            for stretch in status.stretches(tx, each.key)
        ],
    }


def claim_in_words(entry: Entry) -> str:
    """What may be claimed, in the protocol's words: nothing that was not walked, and with every weakness known."""
    until = entry["complete_until"]
    if entry["complete_from_ms"] == entry["complete_until_ms"]:
        nothing = f"Nothing is claimed yet: the archive of {entry['app']} begins at {entry['complete_from']}."
        return " ".join([nothing, *weaknesses(entry)])
    accepted = sum(1 for hole in entry["holes"] if hole["state"] == "accepted")
    presumed = entry["windows"]["presumed_empty"]
    words = (
        f"Complete from {entry['complete_from']} to {until}: every message stamped in this range that the server made "
        f"visible within the settling time is stored, or listed in quarantine"
    )
    if accepted or presumed:
        words += f", except the holes listed ({accepted} accepted, {presumed} hours presumed empty)"
    audited_ms = entry["audited_until_ms"]
    if audited_ms > entry["origin_ms"]:
        words += f". Audited from {iso(entry['origin_ms'])} up to {iso(audited_ms)}"
        if entry["audit_lag_seconds"]:
            words += f" ({entry['audit_lag_seconds'] / 3600:g} h after the fact)"
        if entry["unaudited"]:
            words += f", except {len(entry['unaudited'])} ranges that nobody could look at any more (unaudited)"
    words += f". Late arrivals observed: {entry['late_arrivals']}"
    worst_ms = entry["worst_lateness_ms"]
    words += f", the worst {worst_ms / SECOND_MS:.1f} s." if worst_ms is not None else "."
    return " ".join([words, *weaknesses(entry)])


def weaknesses(entry: Entry) -> list[str]:
    """What weakens the claim, a sentence for each kind; none where nothing is known."""
    sentences = []
    if entry["before"] is not None:
        lo, hi = iso(entry["before"]["lo_ms"]), iso(entry["before"]["hi_ms"])
        sentences.append(f"Before the archive's beginning lies {lo} to {hi}, which the provider kept no longer.")
    if entry["unproven"]:
        count = len(entry["unproven"])
        sentences.append(f"{count} ranges rest on an order of the server that proved false later (unproven).")
    if not entry["order_trusted"]:
        sentences.append("The server's order is not trusted at present.")
    if entry["clock_problem"]:
        sentences.append(f"What is due is uncertain: {entry['clock_problem']}.")
    if entry["zone_problem"]:
        sentences.append(f"Nothing of these files is claimed: {entry['zone_problem']}.")
    confirmed_ms = entry["hours_confirmed_until_ms"]
    if confirmed_ms is not None and entry["complete_until_ms"] > max(confirmed_ms, entry["origin_ms"]):
        sentences.append(f"That hour_utc_offset is right is confirmed by no message after {iso(confirmed_ms)}.")
    if entry["source"] == "hourly":
        sentences.append("A file holds what arrived in its hour; what is filed later than that is found by audits.")
    return sentences


def claims(tx: Tx) -> list[Entry]:
    """What may be claimed of each source in this snapshot, in words, with its holes: for whoever gets a copy."""
    now_ms = tx.now_ms()
    entries = [_entry(tx, each, now_ms, 0, configured=None) for each in status.read(tx)]
    names = ("app", "source", "complete_from", "complete_until", "complete_from_ms", "complete_until_ms")
    return [
        {name: entry[name] for name in (*names, "audited_until_ms", "late_arrivals", "quarantined")}
        | {
            "words": claim_in_words(entry),
            "holes": [{"lo": iso(hole["lo_ms"]), "hi": iso(hole["hi_ms"]), **hole} for hole in entry["holes"]],
        }
        for entry in entries
    ]


def _seconds(ms: int) -> float:
    return round(ms / SECOND_MS, 3)
