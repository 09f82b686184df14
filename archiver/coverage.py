"""What the archive claims of each source: from when to when it is complete, the holes, and what weakens the claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archiver.language import ENGLISH, Language
from archiver.model import HOUR_MS, SECOND_MS, Window
from archiver.store import floors, naming
from archiver.store.engine import Store, Tx
from archiver.store.read import status
from archiver.store.read.status import Hole, SourceStatus, Stretch
from archiver.store.schema import iso
from archiver.zones import IN_UTC, Calendar

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The claim about one source of one app, as its rows bear it out. Instants in ms; ranges in order of time."""

    app: str
    source: str
    origin_ms: int
    complete_from_ms: int
    complete_until_ms: int
    audited_until_ms: int
    audit_lag_ms: int | None = None
    """How long after the fact the audit looked that `audited_until_ms` speaks of."""
    holes: tuple[Hole, ...] = ()
    before: Window | None = None
    """What the provider kept no longer at the first pull: it lies before the archive's beginning, and is no hole."""
    unproven: tuple[Window, ...] = ()
    unaudited: tuple[Window, ...] = ()
    presumed_empty: int = 0
    """Hours for which no file ever came, while later ones did."""
    hours_confirmed_until_ms: int | None = None
    """Up to where messages show that hour_utc_offset is right; None for a source without hours."""
    order_trusted: bool = True
    clock_problem: str | None = None
    zone_problem: str | None = None
    late_arrivals: int = 0
    worst_lateness_ms: int | None = None
    quarantined: int = 0
    expired_before_ms: int | None = None
    """What is stamped before has expired, by the terms of the archive; the claim says that it had been stored."""


def read(tx: Tx) -> list[Coverage]:
    """The claim about every source that the database knows, in one snapshot."""
    return [Coverage(**facts(tx, source)) for source in status.read(tx)]


def claimed(tx: Tx, app: str | None = None) -> list[Coverage]:
    """The same without figures: what is archived and what is lost, for those who have somebody waiting.

    `app`: its whole name, where one alone is asked about.
    """
    return [Coverage(**claim(tx, source)) for source in status.read(tx) if app in (None, source.app)]


def claim(tx: Tx, source: SourceStatus) -> Json:
    """The fields of a Coverage that say what is archived and what is lost."""
    weakness = status.weakness(tx, source)
    return {
        "app": source.app,
        "source": source.key.source,
        "origin_ms": source.origin_ms,
        "complete_from_ms": source.complete_from_ms,
        "complete_until_ms": source.complete_until_ms,
        "audited_until_ms": source.audited_until_ms,
        "holes": tuple(status.holes(tx, source.key)),
        "unproven": tuple(weakness.unproven),
        "unaudited": tuple(weakness.unaudited),
        "expired_before_ms": floors.of_app(tx, source.key.app_id),
    }


def facts(tx: Tx, source: SourceStatus) -> Json:
    """All fields of a Coverage."""
    return claim(tx, source) | {
        "audit_lag_ms": status.audit_lag_ms(tx, source),
        "before": status.before_first_contact(tx, source.key),
        "presumed_empty": status.states(tx, source.key)["presumed_empty"],
        "hours_confirmed_until_ms": _confirmed_until(tx, source),
        "order_trusted": source.order_trusted,
        "clock_problem": source.clock_problem,
        "zone_problem": source.zone_problem,
        **status.source_counts(tx, source.key),
    }


def _confirmed_until(tx: Tx, source: SourceStatus) -> int | None:
    if source.hour_offset_ms is None:
        return None
    agreed_ms = naming.files(tx, source.key, source.hour_offset_ms).agreed_ms
    return source.origin_ms if agreed_ms is None else agreed_ms + HOUR_MS


def has_hole(sources: Sequence[Coverage]) -> bool:
    """Whether any source has a hole that nobody has accepted."""
    return any(hole.state != "accepted" for source in sources for hole in source.holes)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowReport(Coverage):
    """The claim with every window behind it, neighbours in the same state drawn together."""

    stretches: tuple[Stretch, ...]

    def to_json(self) -> Json:
        """The entry of `coverage --format json`."""
        return {
            "app": self.app,
            "source": self.source,
            **times(self),
            "holes": [hole_json(hole) for hole in self.holes],
            "order_trusted": self.order_trusted,
            "clock_problem": self.clock_problem,
            "zone_problem": self.zone_problem,
            "origin_ms": self.origin_ms,
            **weaknesses_json(self),
            "windows": [
                {
                    "pass": stretch.pass_no,
                    "cause": stretch.cause,
                    "state": stretch.state,
                    "lo_ms": stretch.window.lo_ms,
                    "hi_ms": stretch.window.hi_ms,
                    "windows": stretch.windows,
                    "received": stretch.received,
                    "reason": stretch.reason,
                }
                for stretch in self.stretches
            ],
        }


def report(store: Store) -> list[WindowReport]:
    """Every source that the database knows, with its windows."""
    with store.patient.read() as tx:
        return [
            WindowReport(**facts(tx, source), stretches=tuple(status.stretches(tx, source.key)))
            for source in status.read(tx)
        ]


def times(coverage: Coverage) -> Json:
    """From when to when, in ms and in words, as JSON."""
    return {
        "complete_from_ms": coverage.complete_from_ms,
        "complete_until_ms": coverage.complete_until_ms,
        "complete_from": iso(coverage.complete_from_ms),
        "complete_until": iso(coverage.complete_until_ms),
        "audited_until_ms": coverage.audited_until_ms,
    }


def weaknesses_json(coverage: Coverage) -> Json:
    """What weakens the claim, as ranges; and what lies before the archive's beginning, which it does not speak of."""
    before, lag_ms = coverage.before, coverage.audit_lag_ms
    return {
        "before": None if before is None else {**before._asdict(), "reason": "before_first_contact"},
        "expired_before_ms": coverage.expired_before_ms,
        "unproven": [window._asdict() for window in coverage.unproven],
        "unaudited": [window._asdict() for window in coverage.unaudited],
        "audit_lag_seconds": None if lag_ms is None else seconds(lag_ms),
        "hours_confirmed_until_ms": coverage.hours_confirmed_until_ms,
    }


def hole_json(hole: Hole) -> Json:
    """A hole, with who accepted it and when; both None where nobody has."""
    return {
        "lo_ms": hole.window.lo_ms,
        "hi_ms": hole.window.hi_ms,
        "state": hole.state,
        "reason": hole.reason,
        "accepted_by": hole.accepted_by,
        "accepted_at": None if hole.accepted_ms is None else iso(hole.accepted_ms),
    }


def seconds(ms: int) -> float:
    """Milliseconds in seconds."""
    return ms / SECOND_MS


def in_words(coverage: Coverage, language: Language = ENGLISH, calendar: Calendar = IN_UTC) -> str:
    """The claim in the protocol's words: nothing that was not walked, and with every weakness known."""
    at = calendar.exact
    if coverage.complete_from_ms == coverage.complete_until_ms:
        nothing = language.say(
            "Nothing is claimed yet: the archive of {app} begins at {begins}.",
            app=coverage.app,
            begins=at(coverage.complete_from_ms),
        )
        return language.sentences([nothing, *weaknesses(coverage, language, calendar)])
    words = language.say(
        "Complete from {begins} to {ends}: every message stamped in this range that the server made visible within the"
        " settling time is stored, or listed in quarantine",
        begins=at(coverage.complete_from_ms),
        ends=at(coverage.complete_until_ms),
    )
    accepted = sum(1 for hole in coverage.holes if hole.state == "accepted")
    if accepted or coverage.presumed_empty:
        words += language.say(
            ", except the holes listed ({accepted} accepted, {presumed} hours presumed empty)",
            accepted=accepted,
            presumed=coverage.presumed_empty,
        )
    if coverage.audited_until_ms > coverage.origin_ms:
        words += language.say(
            ". Audited from {begins} up to {ends}",
            begins=at(coverage.origin_ms),
            ends=at(coverage.audited_until_ms),
        )
        if coverage.audit_lag_ms:
            lag = f"{coverage.audit_lag_ms / HOUR_MS:g}"
            words += language.say(" ({hours} h after the fact)", hours=lag)
        if coverage.unaudited:
            words += language.say(
                ", except {number} ranges that nobody could look at any more (unaudited)",
                number=len(coverage.unaudited),
            )
    words += language.say(". Late arrivals observed: {number}", number=coverage.late_arrivals)
    if (worst_ms := coverage.worst_lateness_ms) is not None:
        words += language.say(", the worst {length}", length=language.length(worst_ms))
    return language.sentences([words + language.say("."), *weaknesses(coverage, language, calendar)])


def weaknesses(coverage: Coverage, language: Language = ENGLISH, calendar: Calendar = IN_UTC) -> list[str]:
    """What weakens the claim, a sentence for every kind; none where nothing is known."""
    at = calendar.exact
    sentences = []
    if coverage.expired_before_ms is not None:
        before = at(coverage.expired_before_ms)
        sentences.append(language.say("Messages stamped before {instant} have expired.", instant=before))
    if coverage.before is not None:
        lo, hi = at(coverage.before.lo_ms), at(coverage.before.hi_ms)
        sentences.append(
            language.say(
                "Before the archive's beginning lies {lo} to {hi}, which the provider kept no longer.", lo=lo, hi=hi
            )
        )
    if coverage.unproven:
        sentences.append(
            language.say(
                "{number} ranges rest on an order of the server that proved false later (unproven).",
                number=len(coverage.unproven),
            )
        )
    if not coverage.order_trusted:
        sentences.append(language.say("The server's order is not trusted at present."))
    if coverage.clock_problem:
        sentences.append(language.say("What is due is uncertain: {problem}.", problem=coverage.clock_problem))
    if coverage.zone_problem:
        sentences.append(language.say("Nothing of these files is claimed: {problem}.", problem=coverage.zone_problem))
    confirmed_ms = coverage.hours_confirmed_until_ms
    if confirmed_ms is not None and coverage.complete_until_ms > max(confirmed_ms, coverage.origin_ms):
        sentences.append(
            language.say(
                "That hour_utc_offset is right is confirmed by no message after {instant}.", instant=at(confirmed_ms)
            )
        )
    if coverage.source == "hourly":
        sentences.append(
            language.say("A file holds what arrived in its hour; what is filed later than that is found by audits.")
        )
    return sentences


def claims(tx: Tx, language: Language = ENGLISH, calendar: Calendar = IN_UTC) -> list[Json]:
    """What may be claimed of every source in this snapshot, in words, with its holes: for whoever gets a copy."""
    return [
        {
            "app": coverage.app,
            "source": coverage.source,
            **times(coverage),
            "late_arrivals": coverage.late_arrivals,
            "quarantined": coverage.quarantined,
            "words": in_words(coverage, language, calendar),
            "holes": [
                {"lo": iso(hole.window.lo_ms), "hi": iso(hole.window.hi_ms), **hole_json(hole)}
                for hole in coverage.holes
            ],
        }
        for coverage in read(tx)
    ]
