"""Fetches what messages point to, the most endangered first: claim, fetch, store, settle; and reads the store again.

What has expired comes after all that the provider still keeps, however often it fails; of the latter, what has failed
several times comes after the rest. So nothing that cannot be had keeps from its turn what can.

The row turns `stored` only after the store has the whole content under its SHA-256. A process that dies in between
leaves a claim behind that the next one takes over, and at worst a content without a row, which the next attempt uses.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Lock
from typing import IO, NamedTuple, Protocol

from archiver import host, logs
from archiver.attachments.media import HEAD_BYTES, media_type
from archiver.errors import ArchiveIncomplete, ArchiverError, DatabaseRefused, DatabaseUnavailable, LeaseLost, Stopped
from archiver.model import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Fetched, Pointer
from archiver.outages import Services, anywhere
from archiver.store import attachments, owner, rate_limit
from archiver.store.attachments import GIVEN_UP, FileClaim, FileLook, Result
from archiver.store.engine import Store, Tx

log = logging.getLogger("archiver.attachments.fetch")

ENDANGERED_MS = 2 * DAY_MS
"""What is not had so long before it expires, alarms."""

BELIEVED_AFTER = 3
"""A page instead of a file is asked for again; one that comes so often is what the provider has."""

REFUSED_AFTER = 5
"""A 401 may be the token's fault or the file's; after so many it is the file's."""

GIVEN_UP_AFTER = 5
"""What has expired is gone after so many failures, whatever they were; they are spread over days."""

_LOOKS = (FileLook(), FileLook(stubborn=True), FileLook(expired=True))

_PAGES = ("text/html", "application/json")

FetchFile = Callable[[Pointer, IO[bytes], Callable[[int], None]], Fetched]
"""One attempt to fetch a file; see `Chatfiles.fetch`."""


class BlobStore(Protocol):
    """Where contents are kept."""

    def save(self, file: IO[bytes], sha256: str, size: int, progress: Callable[[int], None]) -> bool: ...

    def digest(self, sha256: str) -> tuple[str, int] | None: ...

    def sweep(self) -> None: ...


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How to fetch: so many at once, all under leases; at most `limit`; none begun after `enough` says so."""

    workers: int = 4
    lease_ms: int = 180 * SECOND_MS
    limit: int | None = None
    enough: Callable[[], bool] = lambda: False


class FetchOutcome(NamedTuple):
    """What a run came to. `left`: pending or failed, `endangered`: of these, those that expire soon."""

    stored: int
    gone: int
    refused: int
    foreign: int
    failed: int
    left: int
    endangered: int
    error: ArchiverError | None

    @property
    def tried(self) -> int:
        return self.stored + self.gone + self.refused + self.foreign + self.failed


class Fetching:
    """One run over what is due of one app: every attachment is tried once at most, so that a run ends."""

    def __init__(
        self,
        store: Store,
        app_id: int,
        blobs: BlobStore,
        fetch: FetchFile,
        options: FetchOptions,
        *,
        stop: Event,
        take_turn: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self._store, self._app_id, self._blobs, self._fetch = store, app_id, blobs, fetch
        self._options, self._stop, self._take_turn = options, stop, take_turn
        self._lock = Lock()
        self._looks = list(_LOOKS)
        self._after: tuple[int, str, int, str] | None = None
        self._services = Services()
        self._begun = 0
        self._counts = dict.fromkeys(("stored", "gone", "refused", "foreign", "failed"), 0)
        self._error: ArchiverError | None = None

    def run(self) -> FetchOutcome:
        """Fetch until nothing is due, or something beyond single files fails; never raises for that."""
        try:
            with self._store.write() as tx:
                attachments.free_the_dead(tx, self._app_id)
            self._blobs.sweep()
            with ThreadPoolExecutor(self._options.workers, thread_name_prefix="attachments", **logs.carried()) as pool:
                for done in [pool.submit(self._work) for _ in range(self._options.workers)]:
                    done.result()
        except ArchiverError as error:
            self._error = self._error or error
        with self._store.read() as tx:
            left = attachments.still_open(tx, self._app_id, ENDANGERED_MS)
        return FetchOutcome(**self._counts, left=left.files, endangered=left.endangered, error=self._error)

    def _work(self) -> None:
        try:
            while (claim := self._next()) is not None:
                self._one(claim)
        except ArchiverError as error:
            with self._lock:
                self._error = self._error or error

    def _next(self) -> FileClaim | None:
        with self._lock:
            limit = self._options.limit
            if self._stop.is_set() or self._error or self._options.enough() or self._begun == limit:
                return None
            with self._store.write() as tx:
                claim = self._search(tx)
            self._begun += claim is not None
            return claim

    def _search(self, tx: Tx) -> FileClaim | None:
        """The next one; every look goes once from its beginning to its end."""
        down, doubt = self._services.down, self._services.doubt
        while self._looks:
            look = self._looks[0]._replace(unlike=down)
            if look == FileLook(unlike=down) and doubt is not None:
                first_ms = self._after[0] if self._after else tx.now_ms()
                near_ms = anywhere(first_ms, attachments.last_expiry_ms(tx, self._app_id) or first_ms, doubt)
                if (claim := self._claim(tx, look._replace(near_ms=near_ms))) is not None:
                    return claim
            if (claim := self._claim(tx, look, after=self._after)) is not None:
                self._after = claim.place
                return claim
            self._after = None
            del self._looks[0]
        return None

    def _claim(self, tx: Tx, look: FileLook, after: tuple[int, str, int, str] | None = None) -> FileClaim | None:
        return attachments.claim(tx, self._app_id, owner.me(), self._options.lease_ms, after=after, look=look)

    def _one(self, claim: FileClaim) -> None:
        held = _Held(self._store, claim, self._options.lease_ms)
        try:
            with rate_limit.on_wait(held.queue):
                self._wait_for_turn()
            with host.temporary_file() as file:
                result = self._attempt(claim, held, file)
            with self._store.write() as tx:
                if result.next_attempt_ms is not None:
                    result = result._replace(next_attempt_ms=result.next_attempt_ms + tx.now_ms())
                attachments.settle(tx, claim, result)
        except LeaseLost:
            log.warning("an attachment was taken over by another process; nothing was changed")
            return
        except BaseException:
            # Not this file's fault: credentials, the store, the database, a stop.
            with suppress(DatabaseUnavailable, DatabaseRefused, LeaseLost), self._store.write() as tx:
                attachments.put_back(tx, claim)
            raise
        with self._lock:
            self._counts[result.state] += 1
            if result.state != "failed":
                self._services.answers(claim.pointer.url)
            elif not _is_expired(claim) and claim.attempts <= attachments.STUBBORN_AFTER:
                self._services.fails(claim.pointer.url)

    def _wait_for_turn(self) -> None:
        self._take_turn(self._stop)
        if self._stop.is_set():
            raise Stopped

    def _attempt(self, claim: FileClaim, held: _Held, file: IO[bytes]) -> Result:
        got = self._fetch(claim.pointer, file, held.progress)
        if got.state == "stored":
            problem = _contradiction(claim, got)
            # A user's program wrote the length: an answer that declared its end, and is no page, is believed before it.
            is_page = got.served_as in _PAGES
            whole = got.framed or self._comes_again(claim, got, held)
            if problem is None or (whole and (not is_page or claim.attempts >= BELIEVED_AFTER)):
                return self._keep(got, problem, file, held)
            got = Fetched("failed", problem, status=got.status)
        if got.state == "failed":
            return self._later(claim, got)
        return Result(got.state, got.reason)

    def _comes_again(self, claim: FileClaim, got: Fetched, held: _Held) -> bool:
        """Whether an answer that did not tell its end is whole: what cuts a connection does not cut it twice so."""
        if _contradiction(claim, got) is None:
            return True
        with rate_limit.on_wait(held.queue):
            self._wait_for_turn()
        with host.temporary_file() as other:
            again = self._fetch(claim.pointer, other, held.progress)
        return again.state == "stored" and again.sha256 == got.sha256

    def _keep(self, got: Fetched, note: str | None, file: IO[bytes], held: _Held) -> Result:
        file.seek(0)
        kind = media_type(file.read(HEAD_BYTES))
        try:
            self._blobs.save(file, got.sha256, got.size, held.progress)
        except ArchiveIncomplete as error:
            log.error("the store of attachments is damaged: %s", error)
            return Result("failed", str(error), next_attempt_ms=HOUR_MS)
        return Result("stored", note, got.sha256, got.size, kind)

    def _later(self, claim: FileClaim, got: Fetched) -> Result:
        """The next attempt comes after twice the time: 1 minute to 1 hour; 6 hours to 2 days for what has expired."""
        reason = got.reason or ""
        if claim.attempts >= REFUSED_AFTER and got.status == 401:
            return Result("refused", reason)
        if _is_expired(claim):
            with self._store.read() as tx:
                failures = attachments.failures_since_expiry(tx, claim) + 1
            if failures >= GIVEN_UP_AFTER:
                return Result("gone", f"{reason}{GIVEN_UP}")
            return Result("failed", reason, next_attempt_ms=min(6 * HOUR_MS << (failures - 1), 2 * DAY_MS))
        wait_ms = max(MINUTE_MS << min(claim.attempts - 1, 10), int((got.retry_after_s or 0) * SECOND_MS))
        return Result("failed", reason, next_attempt_ms=min(wait_ms, HOUR_MS))


def _is_expired(claim: FileClaim) -> bool:
    return claim.claimed_ms > claim.expires_ms


class _Held:
    """Renews a claim by a turn that is booked and by what arrives, never by a timer: what stands still loses it."""

    def __init__(self, store: Store, claim: FileClaim, lease_ms: int) -> None:
        self._store, self._claim, self._lease_ms = store, claim, lease_ms
        self._renewed = time.monotonic()

    def queue(self, seconds: float) -> None:
        """See `rate_limit.on_wait`."""
        with self._store.write() as tx:
            attachments.renew(tx, self._claim, self._lease_ms + int(seconds * SECOND_MS))
        self._renewed = time.monotonic() + seconds

    def progress(self, size: int) -> None:
        now = time.monotonic()
        if size and now - self._renewed > self._lease_ms / SECOND_MS / 3:
            with self._store.write() as tx:
                attachments.renew(tx, self._claim, self._lease_ms)
            self._renewed = now


def _contradiction(claim: FileClaim, got: Fetched) -> str | None:
    """Why what came may not be the file: a proxy's page, or half of it."""
    declared = claim.declared_length
    if declared is not None and declared != got.size:
        return f"declared with {declared} bytes, came with {got.size}"
    if not got.framed and declared is None:
        return "the answer did not tell where it ends"
    if declared is None and got.served_as in _PAGES:
        return f"served as {got.served_as}"
    return None


class BlobDifference(NamedTuple):
    """A content that is not in the store as the rows say."""

    sha256: str
    problem: str
    messages: list[tuple[str, str, int, str]]


def verify(store: Store, blobs: BlobStore, *, sample: int | None, stop: Event) -> Iterator[BlobDifference | None]:
    """Read contents again and compare them with their rows; None for every one that is as it should be."""
    contents = attachments.contents(store) if sample is None else _sampled(store, sample)
    for sha256, size in contents:
        if stop.is_set():
            raise Stopped
        there = blobs.digest(sha256)
        problem = None
        if there is None:
            problem = "is missing"
        elif there[1] != size:
            problem = f"has {there[1]} bytes instead of {size}"
        elif there[0] != sha256:
            problem = "has other bytes"
        if problem is None:
            yield None
            continue
        with store.read() as tx:
            yield BlobDifference(sha256, problem, attachments.stored_as(tx, sha256))


def _sampled(store: Store, sample: int) -> Iterator[tuple[str, int]]:
    seen = set()
    for _ in range(sample):
        drawn = attachments.content_behind(store, secrets.token_hex(32))
        if drawn is not None and drawn not in seen:
            seen.add(drawn)
            yield drawn
