"""Is this range archived: the answer for a range of time, with every hole and doubt in it, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from archiver import coverage
from archiver.coverage import Coverage, Json
from archiver.errors import UsageError
from archiver.model import Window
from archiver.store.engine import Store, Tx
from archiver.store.read import filters
from archiver.store.read.status import Hole
from archiver.store.schema import iso
from archiver.timeline import common, without

Verdict = Literal["complete", "partly", "not"]

BEFORE, LATER = "before_beginning", "not_yet"
"""States of what lies outside the claim: the archive begins later, or has not come so far."""


@dataclass(frozen=True, slots=True)
class SourceStatement:
    """What one source has of the range that was asked for. `asked` is empty where nothing can be asked of it yet."""

    coverage: Coverage
    asked: Window
    covered: tuple[Window, ...]
    """What of it is archived: closed, audited or not, and not lost."""
    holes: tuple[Hole, ...]
    """Those that touch the range, at their full width."""
    outside: tuple[Hole, ...]
    """What of the range lies before the archive's beginning, or beyond its end, in the states BEFORE and LATER."""
    doubtful: tuple[Window, ...]
    """Closed by an order of the server that proved false, when nobody could look again."""

    @property
    def verdict(self) -> Verdict:
        return _verdict(self.asked, self.covered)

    def to_json(self) -> Json:
        """The entry of `statement --format json`."""
        source = self.coverage
        return {
            "app": source.app,
            "source": source.source,
            "verdict": self.verdict,
            "from_ms": self.asked.lo_ms,
            "to_ms": self.asked.hi_ms,
            **coverage.times(source),
            "origin_ms": source.origin_ms,
            "covered": [window._asdict() for window in self.covered],
            "holes": [coverage.hole_json(hole) for hole in self.holes],
            "outside": [coverage.hole_json(hole) for hole in self.outside],
            "expired_before_ms": source.expired_before_ms,
            "unproven": [window._asdict() for window in self.doubtful],
            "late_arrivals": source.late_arrivals,
            "worst_lateness_ms": source.worst_lateness_ms,
            "quarantined": source.quarantined,
            "words": coverage.in_words(source),
        }


@dataclass(frozen=True, slots=True)
class Statement:
    """The answer for all sources that were asked. Where an app has two, what either has is archived."""

    from_ms: int | None
    to_ms: int | None
    sources: tuple[SourceStatement, ...]

    @property
    def verdict(self) -> Verdict:
        verdicts = {_of_app(sources) for sources in _by_app(self.sources)}
        if not verdicts or verdicts == {"not"}:
            return "not"
        return "complete" if verdicts == {"complete"} else "partly"

    def to_json(self) -> Json:
        """The content of `statement --format json`."""
        sources = [source.to_json() for source in self.sources]
        return {"version": 1, "verdict": self.verdict, **self.asked_json(), "apps": sources}

    def asked_json(self) -> Json:
        """The range that was asked for; None where it has no limit."""
        return {"from_ms": self.from_ms, "to_ms": self.to_ms, "from": _iso(self.from_ms), "to": _iso(self.to_ms)}

    def holes_json(self) -> list[Json]:
        """What of the range is not archived, by app and source: lost, before the beginning, or not yet."""
        return [
            {"app": source.coverage.app, "source": source.coverage.source, **coverage.hole_json(hole)}
            for source in self.sources
            for hole in sorted([*source.outside, *source.holes], key=lambda hole: hole.window)
        ]


def read(store: Store, from_ms: int | None, to_ms: int | None, app: str | None = None) -> Statement:
    """The statement about a range, from the database alone. Raises UsageError for an app that is not archived."""
    with store.patient.read() as tx:
        return of(tx, from_ms, to_ms, app)


def of(
    tx: Tx,
    from_ms: int | None,
    to_ms: int | None,
    app: str | None = None,
    *,
    claims: Sequence[Coverage] | None = None,
) -> Statement:
    """The same in the caller's snapshot. Without a beginning the archive's counts, without an end its watermark.

    `claims`: those of all sources, where they were read already.
    """
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise UsageError("--from must lie before --to")
    names = None if app is None else filters.app_names(tx, app)
    sources = [
        source for source in (coverage.read(tx) if claims is None else claims) if names is None or source.app in names
    ]
    return Statement(from_ms, to_ms, tuple(of_source(source, from_ms, to_ms) for source in sources))


def of_source(source: Coverage, from_ms: int | None, to_ms: int | None) -> SourceStatement:
    """The answer for one source."""
    lo_ms = source.complete_from_ms if from_ms is None else from_ms
    hi_ms = max(lo_ms, source.complete_until_ms) if to_ms is None else to_ms
    asked = Window(lo_ms, max(lo_ms, hi_ms))
    claimed = Window(source.complete_from_ms, source.complete_until_ms)
    holes = tuple(hole for hole in source.holes if common(hole.window, asked) is not None)
    doubtful = tuple(part for window in source.unproven if (part := common(window, asked)) is not None)
    inside = common(asked, claimed)
    lost = sorted([*(hole.window for hole in holes), *doubtful])
    covered = () if inside is None else tuple(without(inside, lost))
    return SourceStatement(source, asked, covered, holes, tuple(_outside(asked, claimed)), doubtful)


def _outside(asked: Window, claimed: Window) -> Iterable[Hole]:
    if asked.lo_ms < claimed.lo_ms and asked.lo_ms < asked.hi_ms:
        window = Window(asked.lo_ms, min(asked.hi_ms, claimed.lo_ms))
        yield Hole(window, BEFORE, f"the archive begins at {iso(claimed.lo_ms)}")
    if asked.hi_ms > claimed.hi_ms and asked.lo_ms < asked.hi_ms:
        window = Window(max(asked.lo_ms, claimed.hi_ms), asked.hi_ms)
        yield Hole(window, LATER, f"archived up to {iso(claimed.hi_ms)} so far")


def _by_app(sources: Sequence[SourceStatement]) -> Iterable[list[SourceStatement]]:
    apps: dict[str, list[SourceStatement]] = {}
    for source in sources:
        apps.setdefault(source.coverage.app, []).append(source)
    return apps.values()


def _of_app(sources: Sequence[SourceStatement]) -> Verdict:
    """What several sources of one app have together, over the widest range that any was asked for."""
    asked = Window(min(one.asked.lo_ms for one in sources), max(one.asked.hi_ms for one in sources))
    return _verdict(asked, sorted(window for one in sources for window in one.covered))


def _verdict(asked: Window, covered: Iterable[Window]) -> Verdict:
    covered = list(covered)
    if not covered:
        return "not"
    return "partly" if any(True for _ in without(asked, covered)) else "complete"


def _iso(ms: int | None) -> str | None:
    return None if ms is None else iso(ms)
