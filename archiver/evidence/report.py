"""How the evidence stands, from the database: what waits, what is signed and anchored, and what was verified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from archiver import signing
from archiver.config.evidence import Evidence
from archiver.coverage import seconds
from archiver.evidence.keys import epoch_at
from archiver.model import MINUTE_MS
from archiver.store import checkpoints, ledger, scrubs
from archiver.store.checkpoints import BEHIND, FORK, NO_STATE, SIGNING, TWO_SIGNERS, UNSIGNED
from archiver.store.engine import Store, Tx
from archiver.store.schema import iso

Json = dict[str, Any]
_GRACE_MS = 10 * MINUTE_MS
_BEHIND_AT_ONCE = 64


class Anchor(NamedTuple):
    """What one sink has. `size` and `at_ms` are None where it never took anything."""

    sink: str
    size: int | None
    at_ms: int | None
    age_seconds: float | None
    every_ms: int


class Problem(NamedTuple):
    """An alert that stands, by the name that Prometheus' rules have for it."""

    name: str
    text: str
    critical: bool = True


@dataclass(frozen=True, kw_only=True)
class Report:
    """The evidence of one archive. Ages in seconds, by the database's clock."""

    name: str
    origin: str
    size: int
    fingerprint: str
    signed_ms: int | None
    queue_age_seconds: float
    unanchored_age_seconds: float
    anchors: tuple[Anchor, ...]
    scrub_ended_ms: int | None
    scrub_age_seconds: float | None
    differences: int | None
    problems: tuple[Problem, ...]

    def to_json(self) -> Json:
        """The value of `evidence` in `status --format json`, whose keys are a promise."""
        scrub = {"ended_at": _iso(self.scrub_ended_ms), "differences": self.differences}
        return {
            "name": self.name,
            "origin": self.origin,
            "size": self.size,
            "fingerprint": self.fingerprint,
            "signed_at": _iso(self.signed_ms),
            "queue_age_seconds": self.queue_age_seconds,
            "anchors": [
                {"sink": one.sink, "size": one.size, "at": _iso(one.at_ms), "age_seconds": one.age_seconds}
                for one in self.anchors
            ],
            "scrub": None if self.scrub_ended_ms is None else scrub,
        }


def report(store: Store, evidence: Evidence | None) -> Report | None:
    """How the evidence stands; None where it is off, or was not begun."""
    if evidence is None:
        return None
    with store.read() as tx:
        end, epoch = ledger.head(tx), epoch_at(tx)
        if end is None or epoch is None:
            return None
        anchors = tuple(_anchor(tx, name, sink.every_ms) for name, sink in evidence.sinks.items())
        newest, scrub = checkpoints.newest(tx, epoch.origin), scrubs.last(tx)
        unanchored_s = _unanchored_s(tx, end.size, anchors)
        problems = [
            *_refusals(tx, evidence),
            *_lateness(anchors, 0 if newest is None else newest.size, unanchored_s),
            *_scrubbing(tx, evidence, scrub, ledger.made_ms(tx, 0)),
        ]
        return Report(
            name=evidence.name,
            origin=epoch.origin,
            size=end.size,
            fingerprint=signing.fingerprint(list(epoch.keys.values())[-1]),
            signed_ms=None if newest is None else newest.signed_ms,
            queue_age_seconds=_age_s(tx, ledger.oldest_waiting_ms(tx)) or 0.0,
            unanchored_age_seconds=unanchored_s,
            anchors=anchors,
            scrub_ended_ms=None if scrub is None else scrub.ended_ms,
            scrub_age_seconds=None if scrub is None else _age_s(tx, scrub.ended_ms),
            differences=None if scrub is None else scrub.differences,
            problems=tuple(problems),
        )


def _anchor(tx: Tx, name: str, every_ms: int) -> Anchor:
    last = checkpoints.last(tx, name, checkpoints.ANCHORED)
    if last is None:
        return Anchor(name, None, None, None, every_ms)
    return Anchor(name, last.size, last.at_ms, _age_s(tx, last.at_ms), every_ms)


def _unanchored_s(tx: Tx, end: int, anchors: tuple[Anchor, ...]) -> float:
    """How long ago the oldest entry was made that no sink has; tokens alone do not count."""
    size = max((one.size or 0 for one in anchors), default=0)
    while size < end:
        for seq, kind, _, entry, _ in ledger.entries_from(tx, size, _BEHIND_AT_ONCE):
            if kind != "rows" or '"table":"anchorings"' not in entry:
                return _age_s(tx, ledger.made_ms(tx, seq)) or 0.0
        size += _BEHIND_AT_ONCE
    return _age_s(tx, ledger.oldest_waiting_ms(tx)) or 0.0


def _lateness(anchors: tuple[Anchor, ...], size: int, unanchored_s: float) -> Iterator[Problem]:
    if anchors and unanchored_s > seconds(min(one.every_ms for one in anchors) + _GRACE_MS):
        yield Problem("ArchiverUnanchored", f"the oldest entry that no sink has is {unanchored_s:.0f} s old")
    for one in anchors:
        age_s = unanchored_s if one.age_seconds is None else one.age_seconds
        if (one.size or 0) < size and age_s > seconds(one.every_ms + _GRACE_MS):
            yield Problem("ArchiverAnchorLate", f"{one.sink} has had nothing for {age_s:.0f} s", critical=False)


_REFUSED = {BEHIND: "ArchiverLedgerBehind", FORK: "ArchiverLedgerFork", NO_STATE: "ArchiverLedgerBehind"}


def _refusals(tx: Tx, evidence: Evidence) -> Iterator[Problem]:
    """What keeps checkpoints from being signed, and what has a place without a valid signature."""
    last, epoch = checkpoints.last(tx, SIGNING), epoch_at(tx)
    if last is not None and last.outcome in _REFUSED:
        yield Problem(_REFUSED[last.outcome], last.reason or "")
    since_ms = tx.now_ms() - evidence.checkpoint_ms - _GRACE_MS
    if (reason := checkpoints.refused_since(tx, TWO_SIGNERS, since_ms)) is not None:
        yield Problem("ArchiverTwoSigners", reason)
    unsigned = checkpoints.last(tx, SIGNING, UNSIGNED)
    if unsigned is not None and epoch is not None and unsigned.origin == epoch.origin:
        yield Problem("ArchiverEntryUnsigned", unsigned.reason or "")


def _scrubbing(tx: Tx, evidence: Evidence, scrub: scrubs.Scrub | None, begun_ms: int | None) -> Iterator[Problem]:
    if scrub is not None and scrub.differences:
        text = f"{scrub.differences} differences were found: archiver evidence verify names them"
        yield Problem("ArchiverDifference", text)
    since_ms = begun_ms if scrub is None else scrub.ended_ms
    if evidence.scrub_ms is not None and since_ms is not None:
        age_ms = tx.now_ms() - since_ms
        if age_ms > evidence.scrub_ms * 3 // 2:
            text = f"the archive was last verified {age_ms // 86_400_000} days ago"
            yield Problem("ArchiverScrubLate", text, critical=False)


def _age_s(tx: Tx, ms: int | None) -> float | None:
    return None if ms is None else max(0.0, seconds(tx.now_ms() - ms))


def _iso(ms: int | None) -> str | None:
    return None if ms is None else iso(ms)
