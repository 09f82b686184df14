"""The scheduled scrub: `run` verifies everything once in a while, with a fiftieth of a core, and notes the result."""

from __future__ import annotations

import logging
import time
from threading import Event

from archiver.config import Settings
from archiver.errors import ArchiverError, Stopped
from archiver.evidence import sinks
from archiver.evidence.verify.columns import Decode
from archiver.evidence.verify.run import Verification, VerifyOptions
from archiver.evidence.verify.shelf import NoteShelf
from archiver.evidence.verify.whole import take_in
from archiver.store import ledger, scrubs
from archiver.store.engine import Store, Tx
from archiver.store.sealed_pages import LAST_PAGE

log = logging.getLogger("archiver.evidence")

_SHARE = 50
"""So many times as long as it works it rests."""
_LONGEST_REST_S = 60.0


class ScrubJob:
    """Called again and again; works through a whole verification once in `[evidence] scrub`, until stopped."""

    def __init__(self, store: Store, settings: Settings, decode: Decode, halt: Event, *, share: int = _SHARE) -> None:
        self._store, self._settings, self._decode = store, settings, decode
        self._halt, self._share = halt, share
        self._worked_s = 0.0
        self._said = 0

    def __call__(self) -> None:
        """Go on with the scrub that is there, or begin one if it is time; what fails is tried at the next call."""
        try:
            with self._store.write() as tx:
                scrub = self._due(tx)
            if scrub is not None:
                self._work(scrub)
        except Stopped:
            return
        except ArchiverError as error:
            log.error("the archive was not verified: %s", error)
        except Exception:  # the edge of a job that must not end the daemon
            log.exception("the archive was not verified")

    def _due(self, tx: Tx) -> scrubs.Scrub | None:
        section = self._settings.evidence
        if section is None or section.scrub_ms is None or ledger.head(tx) is None:
            return None
        if (current := scrubs.current(tx)) is not None:
            return current
        last = scrubs.last(tx)
        # A clock that was set back must not put it off for as long.
        if last is not None and last.ended_ms is not None and 0 <= tx.now_ms() - last.ended_ms < section.scrub_ms:
            return None
        return scrubs.begin(tx)

    def _work(self, scrub: scrubs.Scrub) -> None:
        section = self._settings.evidence
        assert section is not None  # noqa: S101 - nothing is due without it
        shelf, read = self._anchors()
        self._worked_s, self._said = time.thread_time(), 0
        options = VerifyOptions(section.name)
        verification = Verification(self._store, options, self._decode, stop=self._halt, progress=self._rest)
        verification.entries(shelf)

        def note(position: int) -> None:
            self._say(verification)
            if position < LAST_PAGE:
                self._advance(scrub, position, verification.findings.count)

        verification.pages(scrub.position or -LAST_PAGE, on_slice=note)
        verification.claim()
        verification.sinks(read)
        self._say(verification)
        self._advance(scrub, scrub.position, verification.findings.count, ended=True)
        log.info("the archive was verified", extra={"fields": dict(verification.findings.checked)})

    def _anchors(self) -> tuple[NoteShelf, list[str]]:
        """What the readable sinks have, and which were read; one that cannot be read has its own alarm."""
        shelf, read = NoteShelf(), []
        for sink in sinks.reached(self._settings):
            if sink.readable:
                try:
                    take_in(shelf, sink)
                except ArchiverError as error:
                    log.warning("%s could not be read: %s", sink.name, error)
                    continue
                read.append(sink.name)
        return shelf, read

    def _advance(self, scrub: scrubs.Scrub, position: int, differences: int, *, ended: bool = False) -> None:
        with self._store.write() as tx:
            scrubs.advance(tx, scrub, position, scrub.differences + differences, ended=ended)

    def _say(self, verification: Verification) -> None:
        """A line of log for each difference, by table and id."""
        for difference in verification.findings.differences[self._said :]:
            fields = {"table": difference.table, "id": difference.id}
            log.critical("the archive is not as it was sealed: %s", difference.problem, extra={"fields": fields})
        self._said = len(verification.findings.differences)

    def _rest(self, what: str, done: int, total: int) -> None:  # noqa: ARG002 - as progress is told
        now_s = time.thread_time()
        rest_s = min(_LONGEST_REST_S, (now_s - self._worked_s) * self._share)
        self._worked_s = now_s
        if self._halt.wait(rest_s):
            raise Stopped
