"""`evidence baseline`: seals what was stored before there was a ledger; beside pulls, and to be gone on with.

The statement for these rows is "unchanged since the baseline". Where a page brought nothing but new records, the digest
that it was stored with is compared on the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from threading import Event
from typing import Any, NamedTuple

from archiver import __version__, notes
from archiver.config.evidence import Evidence
from archiver.errors import Stopped, UsageError
from archiver.evidence.keys import epoch_at
from archiver.evidence.publish import Publisher
from archiver.evidence.verify import columns
from archiver.evidence.verify.columns import Decode
from archiver.store import baseline, checkpoints, ledger, sealed_pages, tombstones
from archiver.store.baseline import BaselinePage
from archiver.store.engine import Store, Tx
from archiver.store.ledger import Line
from archiver.store.sealed_pages import PageRow, StoredRecord
from archiver.store.sealed_rows import TABLES
from archiver.store.seals import Signer, seal

PAGES_AT_ONCE, _ROWS_AT_ONCE = 100, 1_000


class Baselined(NamedTuple):
    """What was sealed. `differing`: pages whose records are not those that they were stored with."""

    pages: int
    rows: int
    differing: tuple[int, ...]
    was_there: bool = False


class BaselineRun:
    """One call of the command."""

    def __init__(
        self,
        store: Store,
        evidence: Evidence,
        signer: Signer,
        decode: Decode,
        *,
        stop: Event,
        progress: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        self._store, self._evidence, self._signer = store, evidence, signer
        self._decode, self._stop, self._progress = decode, stop, progress
        self._differing: list[int] = []

    def __call__(self, publisher: Publisher, who: str) -> Baselined:
        """Seal all that lacks a seal, and say so in the ledger. Raises Stopped, UsageError, and TryAgainLater."""
        with self._store.read() as tx:
            starts = [entry for _, entry in ledger.latest(tx, "start")]
        if not starts:
            raise UsageError("the archive has no ledger yet", hint="archiver evidence init")
        if any(entry["event"] == "baseline" for entry in starts):
            return Baselined(0, 0, (), was_there=True)
        first_page = next(entry["first_page"] for entry in reversed(starts) if entry["event"] == "init")
        last, pages = self._pages(first_page)
        self._windows()
        rows = self._rows()
        publisher.sequence(time.monotonic() + 3600)
        with self._store.write() as tx:
            self._finish(tx, first_page, {"last_page": last, "pages": pages})
            checkpoints.log_event(tx, who, "baseline", None)
        return Baselined(pages, rows, tuple(self._differing))

    def _pages(self, first_page: int) -> tuple[int, int]:
        """Seal the pages below the first one that had a seal from its beginning; gives the last one, and how many."""
        after = count = 0
        while True:
            self._check_stop()
            with self._store.read() as tx:
                rows = [row for row in sealed_pages.page_rows(tx, after, PAGES_AT_ONCE) if row.id < first_page]
                known = baseline.sealed_among(tx, [row.id for row in rows])
                lacking = [row for row in rows if row.id not in known]
                made = list(self._sealed(tx, lacking)) if lacking else []
            if not rows:
                return after, count
            if made:
                with self._store.write() as tx:
                    baseline.add_pages(tx, self._signer, made)
            after, count = rows[-1].id, count + len(rows)
            self._progress("pages", after, first_page - 1)

    def _sealed(self, tx: Tx, rows: Sequence[PageRow]) -> list[BaselinePage]:
        """The seals of pages, made of what is there."""
        made: list[BaselinePage] = []
        for lo, hi, part in sealed_pages.parts(rows, rows[0].id - 1, rows[-1].id):
            records = sealed_pages.stored(tx, lo, hi, columns=True)
            kept = sealed_pages.by_page(sealed_pages.kept(tx, lo, hi))
            bodies = sealed_pages.bodies(tx, lo, hi)
            stones = tombstones.read(tx, lo, hi)
            for page in part:
                mine = records.get(page.id, [])
                self._compare(page, mine)
                same = all(
                    columns.problem(self._decode, one, bodies.get((one.app_id, one.msg_id, one.revision), ())) is None
                    for one in mine
                )
                leaves = sealed_pages.leaves(mine, kept.get(page.id, []))
                gone = tombstones.leaves_of(stones.get(page.id, {}))
                made_of_page = tombstones.seal_beside(leaves, gone) if gone else seal(leaves)
                made.append(BaselinePage(page, made_of_page, __version__ if same else None))
        return made

    def _compare(self, page: PageRow, records: Sequence[StoredRecord]) -> None:
        """Where all that came was new, its bytes are those that the page was stored with."""
        if page.received != page.new or not page.fence or not page.sha256:
            return
        digest = sha256()
        for one in sorted(records, key=lambda one: one.position):
            digest.update(one.raw)
        if digest.hexdigest() != page.sha256:
            self._differing.append(page.id)

    def _windows(self) -> None:
        after: int | None = 0
        while after is not None:
            self._check_stop()
            with self._store.write() as tx:
                after = baseline.add_windows(tx, self._signer, after)

    def _rows(self) -> int:
        count = 0
        for sealed in TABLES.values():
            with self._store.read() as tx:
                known = baseline.sealed_keys(tx, sealed.name)
            after: tuple[Any, ...] | None = None
            while True:
                self._check_stop()
                with self._store.write() as tx:
                    after, more = baseline.add_rows(tx, self._signer, sealed, known, after, _ROWS_AT_ONCE)
                count += more
                if after is None:
                    break
        return count

    def _finish(self, tx: Tx, first_page: int, told: dict[str, int]) -> None:
        """From this entry on, what was stored before the ledger has a seal, or is a difference."""
        end, epoch = ledger.lock(tx), epoch_at(tx)
        if end is None or epoch is None:
            raise UsageError("the archive has no ledger yet", hint="archiver evidence init")
        keys = [notes.vkey(epoch.origin, public) for public in epoch.keys.values()]
        start = {"kind": "start", "at": tx.now_ms(), "event": "baseline", "origin": epoch.origin, "keys": keys}
        start |= {"keeper": None, "first_page": first_page, "previous": None, "baseline": told}
        ledger.append(tx, end, [Line(self._signer.line(start))])

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped("stopped; what is sealed stays, the same command goes on")
