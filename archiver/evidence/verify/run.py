"""A whole verification: the ledger from its beginning, then the pages in slices, then the claim as it stands now."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from threading import Event
from typing import Protocol

from archiver.errors import Stopped, UsageError
from archiver.evidence.verify.claims import Entered
from archiver.evidence.verify.columns import Decode
from archiver.evidence.verify.entries import AT_ONCE, LedgerCheck
from archiver.evidence.verify.findings import NOT_SEALED_YET, VerifyFindings
from archiver.evidence.verify.pages import PageCheck, Sealing
from archiver.evidence.verify.shelf import NoteShelf
from archiver.notes import TrustedKey
from archiver.store import checkpoints, ledger, sealed_pages, verifying
from archiver.store.engine import Store, Tx
from archiver.store.sealed_pages import PageRow
from archiver.store.sealed_rows import TABLES

SLICE = 1_000
_SNAPSHOT_S = 10.0
"""A server keeps what a snapshot may still ask for."""
Part = tuple[int, int, list[PageRow]]


class VerifyProgress(Protocol):
    """Hears how far a verification is: entries of so many, then pages."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class VerifyOptions:
    """What is verified. `trusted`: keys from outside; `since_ms`, `sample`: of pages only those, or so many slices."""

    name: str
    trusted: Sequence[TrustedKey] | None = None
    columns: bool = True
    since_ms: int | None = None
    sample: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.columns and self.since_ms is None and self.sample is None


class Verification:
    """One verification of an archive."""

    def __init__(
        self,
        store: Store,
        options: VerifyOptions,
        decode: Decode,
        *,
        stop: Event,
        progress: VerifyProgress = lambda *_: None,
        draw: random.Random | None = None,
    ) -> None:
        self._store, self._options, self._decode, self._stop = store.patient, options, decode, stop
        self._progress, self._draw = progress, draw or random.SystemRandom()
        self.findings = VerifyFindings()
        self._ledger = LedgerCheck(self.findings, options.name, options.trusted)

    def entries(self, anchors: NoteShelf | None = None) -> None:
        """Follow the ledger to its end, as it was when this began. Raises UsageError where there is none."""
        self._anchors = anchors or NoteShelf()
        with self._store.read() as tx:
            head = ledger.head(tx)
        if head is None:
            raise UsageError("the archive has no ledger", hint="archiver evidence init")
        more = True
        while more:
            self._check_stop()
            with self._store.read() as tx:
                more = self._some_entries(tx)
            self._progress("entries", self._ledger.size, max(head.size, self._ledger.size))

    def _some_entries(self, tx: Tx) -> bool:
        """Follow a batch of entries; gives whether there are more."""
        rows = ledger.entries_from(tx, self._ledger.size, AT_ONCE)
        if not rows:
            rows = ledger.entries_behind(tx, self._ledger.size, AT_ONCE)
        if not rows:
            return False
        self._ledger.batch(tx, rows, self._anchors.until(rows[-1][0] + 1))
        return True

    def pages(self, after: int = -sealed_pages.LAST_PAGE, *, on_slice: Callable[[int], None] = lambda _: None) -> None:
        """Compare pages with their seals, in slices of a snapshot each; `on_slice` hears the last page of each."""
        place, options = self._ledger.place, self._options
        sealing = Sealing(place.first_page, baselined=place.baselined)
        check = PageCheck(self.findings, sealing, self._decode, with_columns=options.columns)
        if options.since_ms is not None:
            with self._store.read() as tx:
                first = sealed_pages.first_page_since(tx, options.since_ms)
            after = sealed_pages.LAST_PAGE if first is None else max(after, first - 1)
        for lo, hi in self._slices(after):
            with self._store.read() as tx:
                rows = sealed_pages.page_rows_between(tx, lo, hi)
            parts = list(sealed_pages.parts(rows, lo, hi))
            while parts:
                self._check_stop()
                parts = self._some_parts(check, parts)
            on_slice(hi)

    def _some_parts(self, check: PageCheck, parts: list[Part]) -> list[Part]:
        """Compare parts of a slice in one snapshot, for some seconds; gives those that are left."""
        ends_at = time.monotonic() + _SNAPSHOT_S
        with self._store.read() as tx:
            while parts and time.monotonic() < ends_at:
                lo, hi, rows = parts.pop(0)
                check.part(tx, lo, hi, rows)
        return parts

    def _slices(self, after: int) -> Iterable[tuple[int, int]]:
        """Ranges of page ids without gaps: all from `after` on, or so many of them, chosen at random."""
        bounds = [after]
        with self._store.read() as tx:
            while (last := sealed_pages.last_of(tx, bounds[-1], SLICE)) is not None:
                bounds.append(last)
        if len(bounds) == 1 or self._options.sample is None:
            bounds.append(sealed_pages.LAST_PAGE)
        ranges = list(pairwise(bounds))
        if self._options.sample is not None and self._options.sample < len(ranges):
            ranges = sorted(self._draw.sample(ranges, self._options.sample))
        for done, (lo, hi) in enumerate(ranges, 1):
            yield lo, hi
            self._progress("slices of pages", done, len(ranges))

    def claim(self) -> None:
        """Compare windows, watermarks and sealed rows with the entries, all of them in one snapshot."""
        with self._store.read() as tx:
            while self._some_entries(tx):
                pass
            self._ledger.end(tx, self._anchors.rest())
            for number, line in verifying.waiting_entries(tx):
                entry = self._ledger.judged(line.encode(errors="replace"), "ledger_queue", number)
                if entry is not None:
                    self._ledger.follow(entry, "ledger_queue", number)
            self._windows(tx)
            place = self._ledger.place
            for sealed in TABLES.values():
                self._ledger.rows.unsealed(tx, sealed, begun_ms=place.begun_ms, baselined=place.baselined)
            if self._options.columns:
                for app_id, msg_id in sealed_pages.revisions_with_gaps(tx):
                    self.findings.differ("message_revisions", msg_id, f"are not numbered from 1 on (app {app_id})")

    def _windows(self, tx: Tx) -> None:
        check = self._ledger
        seen: dict[tuple[str, str], int] = {}
        for app, source, number, (*values, by_order, fence, closed_ms) in verifying.window_rows(tx):
            known = check.sources.get((app, source))
            row = Entered._make((*values, bool(by_order), fence, True))
            if known is not None and number in known.windows:
                seen[app, source] = seen.get((app, source), 0) + 1
                problem = known.row_problem(number, row)
            else:
                problem = self._unentered(row, closed_ms)
            if problem is not None:
                self.findings.differ("windows", number, problem)
            self.findings.checked["windows"] += 1
        for name, known in check.sources.items():
            if seen.get(name, 0) != len(known.windows):
                self._missing_windows(tx, name)
        if check.is_complete:
            self._watermarks(tx)

    def _unentered(self, row: Entered, closed_ms: int | None) -> str | None:
        """What is wrong with a window that no entry names."""
        if row.state in ("pending", "leased", "not_ready"):
            return None
        if not self._ledger.is_complete and closed_ms is not None and closed_ms < self._ledger.place.begun_ms:
            self.findings.classes[NOT_SEALED_YET] += 1
            return None
        return f"is {row.state}, and no entry says so"

    def _watermarks(self, tx: Tx) -> None:
        for app, source, from_ms, until_ms, audited_ms in verifying.watermark_rows(tx):
            known = self._ledger.sources.get((app, source))
            problem = None if known is None else known.range_problem(from_ms, until_ms, audited_ms)
            if known is None and from_ms != until_ms:
                problem = "claims a range, and no window of it has an entry"
            if problem is not None:
                self.findings.differ("watermarks", f"{app} {source}", problem)

    def _missing_windows(self, tx: Tx, name: tuple[str, str]) -> None:
        there = {number for app, source, number, _ in verifying.window_rows(tx) if (app, source) == name}
        for number in sorted(self._ledger.sources[name].windows.keys() - there):
            self.findings.differ("windows", number, "has an entry, and is not there")

    def sinks(self, names: Iterable[str]) -> None:
        """Whether sinks that were read still have what they have taken."""
        for name in names:
            after, more = 0, True
            while more:
                with self._store.read() as tx:
                    taken = checkpoints.anchored(tx, name, after, AT_ONCE)
                for number, origin, size in taken:
                    if not self._anchors.has(name, origin, size):
                        self.findings.differ("anchorings", number, f"{name} has no note of {origin} at {size} any more")
                after, more = (taken[-1][0], True) if taken else (after, False)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped("stopped before everything was verified")
