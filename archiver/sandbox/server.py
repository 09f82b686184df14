"""The stand-in server: two hosts on loopback, and the way of a request through faults and routes to its answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from archiver.sandbox.callbacks import CallbackRule, CallbackSender
from archiver.sandbox.data import Seed, make_records
from archiver.sandbox.faults import Faults
from archiver.sandbox.routes import route
from archiver.sandbox.service import Service
from archiver.sandbox.shelf import Stored
from archiver.sandbox.trouble import instead, spoil
from archiver.sandbox.wire import Listener, SandboxAnswer, SandboxRequest

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


class Sandbox(Service):
    """A stand-in Easemob application with seeded messages and switchable faults.

    The sockets are bound at once and served within `with`. `start_ms` defaults to `span_ms` (two days) before now, on
    the hour. Records stamped later than `clock` become visible when their time comes. Only the port enters the seeded
    data, in the links of attachments; all else is the same for the same seed, start and span.
    """

    def __init__(
        self,
        messages: int = 2000,
        seed: int = 1,
        *,
        org: str = "easemob-demo",
        app: str = "sandbox",
        start_ms: int | None = None,
        span_ms: int = 2 * DAY_MS,
        faults: Faults | None = None,
        port: int = 0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(org, app, seed, faults, clock)
        self._api = Listener("api", port, self.answer)
        self._files = Listener("files", 0, self.answer)
        self.base_url, self.files_url = self._api.url, self._files.url
        self.start_ms = (self.true_ms() - span_ms) // HOUR_MS * HOUR_MS if start_ms is None else start_ms
        self.seed = Seed(messages, seed, self.start_ms, span_ms)
        self.shelf.load(make_records(self.seed, self.home))

    def __enter__(self) -> Self:
        self._api.start()
        self._files.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving, close the sockets and wait for the threads."""
        self._api.stop()
        self._files.stop()

    def announcement(self) -> dict[str, str]:
        """What a client needs to know; the first line that `archiver sandbox` prints."""
        start = datetime.fromtimestamp(self.start_ms / 1000, UTC)
        return {
            "base_url": self.base_url,
            "org": self.org,
            "app": self.app,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "application": self.application,
            "start": start.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }

    @property
    def records(self) -> list[Stored]:
        """All records, visible or not, in the order of their timestamps, ties in that of their creation."""
        return self.shelf.all()

    def add(
        self, record: dict[str, Any] | bytes, timestamp_ms: int | None = None, visible_ms: int | None = None
    ) -> Stored:
        """One more record. Bytes are served as they are, JSON or not.

        Without `timestamp_ms` it is indexed by its own timestamp, or by now where it has none that can be read.
        Without `visible_ms` it is served from now on.
        """
        return self.shelf.add(record, timestamp_ms, visible_ms, self.true_ms())

    def callbacks(self, url: str, *rules: CallbackRule) -> CallbackSender:
        """What sends the app's callbacks to a URL, by these rules."""
        name = f"{self.org}#{self.app}"
        return CallbackSender(url, name, rules, clock_ms=self.true_ms, faults=self.faults, seed=self.seed.number)

    def remove(self, row: Stored) -> None:
        """Forget one record and its attachments, as a recall does."""
        self.shelf.remove(row)

    def clear(self) -> None:
        """Forget all records."""
        self.shelf.clear()

    def answer(self, request: SandboxRequest) -> SandboxAnswer:
        """What becomes of a request, faults included."""
        request.started_ms = self.true_ms()
        self.dice.count(self.faults, request.path)
        jitter = self.faults.clock_jitter_ms
        request.skew_ms = self.dice.between(-jitter, jitter) if jitter else 0
        request.skew_ms += DAY_MS if self.hits("day_ahead", request) else 0
        answer = instead(self, request) or route(self, request)
        answer.delay_s = self.faults.latency_ms / 1000
        if answer.status == 200:
            spoil(self, request, answer)
        if not self.faults.date_missing:
            answer.now_ms = self.now_ms() + request.skew_ms
        self.log(request, 0 if answer.broken in ("reset", "hang") else answer.status)
        return answer
