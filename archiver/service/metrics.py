"""How the archive stands, as Prometheus reads it: the same figures as `status`, from the database alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from archiver import __version__
from archiver.callbacks.report import CallbackReport
from archiver.errors import UsageError
from archiver.evidence.report import Report
from archiver.lifecycle.contradictions import Contradiction
from archiver.status import SourceReport

if TYPE_CHECKING:
    from prometheus_client.core import Metric


_GAUGES = (
    ("lag_seconds", "Time since the end of what is complete; never 0, since it includes settle."),
    ("overdue_seconds", "Lag beyond what settle and the schedule explain; 0 when all is well."),
    ("freshness_seconds", "Age of the newest message."),
    ("time_to_loss_seconds", "Until the provider drops what is not archived yet."),
    ("retention_seconds", "How long the provider keeps what is read."),
    ("quarantined", "Records that could not be read, and are kept as they came."),
    ("order_trusted", "1 while the server sorts as it was asked to."),
    ("attachments_time_to_loss_seconds", "Until the provider drops the first file that is not fetched yet."),
    ("foreign_expiring", "Files at hosts that are not configured that expire within two days, or have."),
    ("running", "Runs at work now."),
)
_COUNTERS = (
    ("messages", "Messages stored."),
    ("bodies", "Bodies of messages stored."),
    ("revisions", "Times a known message arrived with other content."),
    ("late_arrivals", "Messages that came into a range that was closed."),
    ("refused_commits", "Pages of a process that had lost its window; nothing of them was stored."),
)
_LABELLED = (
    ("windows", "state", "Windows of the first pass."),
    ("attachments", "state", "What messages point to."),
)
_MILLISECONDS = {
    "complete_from_ms": ("complete_from_timestamp_seconds", "Since when the archive is complete, as a Unix time."),
    "complete_until_ms": ("complete_until_timestamp_seconds", "Until when the archive is complete, as a Unix time."),
    "audited_until_ms": ("audited_until_timestamp_seconds", "Until when it was walked twice, as a Unix time."),
    "clock_skew_ms": ("clock_skew_seconds", "The server's clock ahead of the database's."),
    "worst_lateness_ms": ("worst_lateness_seconds", "The latest of the late arrivals."),
}
_COUNTED = (
    ("requests", "status", "Answers of the provider by status; error: none came."),
    ("runs", "outcome", "Runs that ended; crashed: without an end."),
)


def render(
    entries: Sequence[SourceReport],
    disk: Mapping[str, int | None],
    *,
    every_ms: int,
    overdue_ms: int,
    evidence: Report | None = None,
    callbacks: CallbackReport | None = None,
    reapply_since_ms: int | None = None,
    contradictions: Sequence[Contradiction] = (),
) -> bytes:
    """The text of an exposition. Raises UsageError where prometheus-client is not installed."""
    registry = _registry()
    from prometheus_client import generate_latest

    class Standing:
        def collect(self) -> Iterator[Metric]:
            yield from _program(every_ms, overdue_ms)
            yield from _disk(disk)
            yield from _sources(entries)
            yield from _evidence(evidence)
            yield from _callbacks(callbacks)
            yield from _restore(reapply_since_ms)
            yield _terms(contradictions)

    registry.register(Standing())
    return generate_latest(registry)


def without_database() -> bytes:
    """What can be said while the database cannot be asked."""
    registry = _registry()
    from prometheus_client import generate_latest
    from prometheus_client.core import GaugeMetricFamily

    class Nothing:
        def collect(self) -> Iterator[Metric]:
            yield GaugeMetricFamily("archiver_database_up", "1 while the database can be asked.", 0)

    registry.register(Nothing())
    return generate_latest(registry)


def _registry() -> Any:
    try:
        from prometheus_client import CollectorRegistry
    except ImportError:
        raise UsageError("metrics need prometheus-client", hint="pip install prometheus-client") from None
    return CollectorRegistry(auto_describe=False)


def _program(every_ms: int, overdue_ms: int) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

    yield InfoMetricFamily("archiver_build", "The program.", {"version": __version__})
    yield GaugeMetricFamily("archiver_database_up", "1 while the database can be asked.", 1)
    yield GaugeMetricFamily("archiver_schedule_interval_seconds", "[schedule] every.", every_ms / 1000)
    yield GaugeMetricFamily("archiver_overdue_limit_seconds", "[schedule] overdue.", overdue_ms / 1000)


def _disk(disk: Mapping[str, int | None]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    abouts = {
        "database_bytes": "Size of the database.",
        "disk_free_bytes": "Free where the database lies; SQLite only.",
        "disk_size_bytes": "Size of that disk; SQLite only.",
    }
    for name, about in abouts.items():
        if (value := disk.get(name)) is not None:
            yield GaugeMetricFamily(f"archiver_{name}", about, value)


def _evidence(evidence: Report | None) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    if evidence is None:
        return
    name = "archiver_evidence"
    yield GaugeMetricFamily(
        f"{name}_queue_age_seconds", "Age of the oldest entry that has no place yet.", evidence.queue_age_seconds
    )
    ages = GaugeMetricFamily(f"{name}_anchor_age_seconds", "Since a sink took a checkpoint.", labels=("sink",))
    for one in evidence.anchors:
        if one.age_seconds is not None:
            ages.add_metric((one.sink,), one.age_seconds)
    yield ages
    problem = GaugeMetricFamily(f"{name}_problem", "1 while this alert stands.", labels=("alert",))
    for name_of in sorted({one.name for one in evidence.problems}):
        problem.add_metric((name_of,), 1)
    yield problem
    if evidence.scrub_age_seconds is not None:
        about = "Since the whole archive was last verified."
        yield GaugeMetricFamily(f"{name}_scrub_age_seconds", about, evidence.scrub_age_seconds)
        about = "Differences that the last verification found."
        yield GaugeMetricFamily(f"{name}_differences", about, evidence.differences or 0)


def _callbacks(callbacks: CallbackReport | None) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    if callbacks is None:
        return
    name = "archiver_callbacks"
    total = CounterMetricFamily(f"{name}_events", "Events of callbacks stored.", labels=("app", "kind", "signed"))
    for app, kind, signed, count in callbacks.totals:
        total.add_metric((app, kind, signed), count)
    yield total
    if callbacks.spool_bytes is not None:
        yield GaugeMetricFamily(f"{name}_spool_bytes", "Callbacks that wait in the spool.", callbacks.spool_bytes)
        about = "Age of the oldest callbacks in the spool; 0 when none wait."
        yield GaugeMetricFamily(f"{name}_oldest_unread_seconds", about, callbacks.oldest_unread_seconds or 0)
    problem = GaugeMetricFamily(f"{name}_problem", "1 while this alert stands.", labels=("alert", "app"))
    for one in callbacks.problems:
        problem.add_metric((one.name, one.app), 1)
    yield problem


def _restore(since_ms: int | None) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    about = "1 while erasures wait for archiver erase reapply, after a restore."
    yield GaugeMetricFamily("archiver_reapply_pending", about, int(since_ms is not None))


def _terms(contradictions: Sequence[Contradiction]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    about = "1 while messages of the app are due for deletion by one term, and have to stay by the other."
    contradicted = GaugeMetricFamily("archiver_terms_contradicted", about, labels=("app",))
    for one in contradictions:
        contradicted.add_metric((one.app,), 1)
    return contradicted


Values = Iterator[tuple[tuple[str, ...], float]]
"""Values of one source with their further labels."""


def _sources(entries: Sequence[SourceReport]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    # What is not configured any more alarms nobody: the webhook and /readyz leave it out as well.
    ours = [entry for entry in entries if entry.configured]

    def family(kind: Any, name: str, about: str, pick: Callable[[SourceReport], Values], *labels: str) -> Metric:
        metric = kind(f"archiver_{name}", about, labels=("app", "source", *labels))
        for entry in ours:
            for more, value in pick(entry):
                metric.add_metric((entry.app, entry.source, *more), value)
        return metric  # type: ignore[no-any-return]

    gauge, counter = partial(family, GaugeMetricFamily), partial(family, CounterMetricFamily)
    for name, about in _GAUGES:
        yield gauge(name, about, partial(_one, name=name))
    for name, about in _COUNTERS:
        yield counter(name, about, partial(_one, name=name))
    for name, label, about in _LABELLED:
        yield gauge(name, about, partial(_labelled, name=name), label)
    for name, label, about in _COUNTED:
        yield counter(name, about, partial(_labelled, name=name), label)
    for key, (name, about) in _MILLISECONDS.items():
        yield gauge(name, about, partial(_one, name=key, per=1000))
    yield gauge("holes", "Ranges that are lost, cannot be walked, or were accepted as lost.", _holes, "state")
    yield gauge("last_run_timestamp_seconds", "When the last run ended.", _last_run, "outcome")
    yield gauge("canary_delay_seconds", "From sending to the archive, of the last canary that came.", _canary_delay)
    yield gauge("canary_ok", "0: the last canary was lost, or could not be sent.", _canary_ok)
    yield gauge("canary_timestamp_seconds", "When the last canary was sent whose fate is known.", _canary_sent)


def _one(entry: SourceReport, *, name: str, per: int = 1) -> Values:
    if (value := getattr(entry, name)) is not None:
        yield (), float(value) / per


def _labelled(entry: SourceReport, *, name: str) -> Values:
    for label, value in getattr(entry, name).items():
        yield (label,), value


def _holes(entry: SourceReport) -> Values:
    states = [hole.state for hole in entry.holes]
    for state in ("expired", "stuck", "accepted", "uncovered"):
        yield (state,), states.count(state)


def _last_run(entry: SourceReport) -> Values:
    if run := entry.last_run:
        yield (run["outcome"],), _unix(run["ended_at"])


def _canary_delay(entry: SourceReport) -> Values:
    if (canary := entry.last_canary) and canary["delay_seconds"] is not None:
        yield (), canary["delay_seconds"]


def _canary_ok(entry: SourceReport) -> Values:
    if canary := entry.last_canary:
        yield (), canary["outcome"] == "archived"


def _canary_sent(entry: SourceReport) -> Values:
    if canary := entry.last_canary:
        yield (), _unix(canary["sent_at"])


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
