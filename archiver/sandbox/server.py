"""The stand-in server: two hosts on loopback, and the way of a request through faults and routes to its answer."""

from __future__ import annotations

import gzip
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from archiver.sandbox.data import Seed, make_records
from archiver.sandbox.faults import Faults
from archiver.sandbox.pages import list_messages
from archiver.sandbox.service import Service
from archiver.sandbox.shelf import Stored
from archiver.sandbox.tokens import give_token, refusal
from archiver.sandbox.wire import Answer, Listener, Request

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
_HTML = (
    b"<html>\r\n<head><title>%s</title></head>\r\n<body><center><h1>%s</h1></center><hr>tengine</body>\r\n</html>\r\n"
)


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
        self._recent: dict[str, deque[int]] = {}

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

    def clear(self) -> None:
        """Forget all records."""
        self.shelf.clear()

    def answer(self, request: Request) -> Answer:
        """What becomes of a request, faults included."""
        request.started_ms = self.true_ms()
        self.dice.count(self.faults, request.path)
        jitter = self.faults.clock_jitter_ms
        request.skew_ms = self.dice.between(-jitter, jitter) if jitter else 0
        request.skew_ms += DAY_MS if self.hits("day_ahead", request) else 0
        answer = self._instead(request) or self._route(request)
        if self.faults.latency_ms:
            time.sleep(self.faults.latency_ms / 1000)
        if answer.status == 200:
            self._spoil(request, answer)
        if not self.faults.date_missing:
            answer.now_ms = self.now_ms() + request.skew_ms
        self.log(request, 0 if answer.broken in ("reset", "hang") else answer.status)
        return answer

    def _instead(self, request: Request) -> Answer | None:
        """The answer of a fault or a limit, given before anybody looks at the request."""
        if self.hits("reset", request):
            return Answer(200, broken="reset")
        if self.hits("hang", request):
            return Answer(200, broken="hang", pause_s=self.faults.hang_s)
        if self.hits("http_500", request):
            return self.error(request, 500, "web_application", "Internal error, please try again")
        if self.hits("http_502_html", request):
            return Answer(502, _HTML % (b"502 Bad Gateway", b"502 Bad Gateway"), "text/html")
        if self.hits("http_429", request):
            return self._too_often(request, "429")
        if self.hits("http_503", request) or self._over_rate(request):
            return self._too_often(request, self.faults.over_rate)
        if self.hits("html_200", request):
            return Answer(200, _HTML % (b"Login", b"Please log in to this network"), "text/html")
        if self.hits("error_200", request):
            refused = self.error(request, 200, "web_application", "Internal error, please try again")
            return Answer(200, refused.body)
        if self.hits("redirect", request):
            return Answer(307, headers={"Location": (self.faults.redirect_to or self.files_url) + request.target})
        return None

    def _over_rate(self, request: Request) -> bool:
        rate = self.faults.requests_per_second
        if rate <= 0 or request.host != "api" or request.path.endswith("/token"):
            return False
        with self.lock:
            times = self._recent.setdefault(request.client, deque())
            while times and request.started_ms - times[0] >= max(1000, 1000 / rate):
                times.popleft()
            if len(times) >= max(1, rate):
                return True
            times.append(request.started_ms)
        return False

    def _too_often(self, request: Request, form: str) -> Answer:
        if form == "503_text":
            answer = Answer(503, b"Service Temporarily Unavailable", "text/plain")
        elif form == "503":
            answer = self.error(request, 503, "service_unavailable", "Service Temporarily Unavailable")
        else:
            answer = self.error(request, 429, "reach_limit", "This request has reached api limit")
        if self.faults.retry_after:
            answer.headers["Retry-After"] = self.faults.retry_after
        return answer

    def _route(self, request: Request) -> Answer:
        segments = request.segments
        if request.host != "api":
            return self.not_found(request)
        if segments[:2] != [self.org, self.app]:
            where = "/".join(segments[:2])
            description = f"Could not find application for {where} from URI: {'/'.join(segments)}"
            return self.error(request, 404, "organization_application_not_found", description)
        match request.method, segments[2:]:
            case "POST", ["token"]:
                return give_token(self, request)
            case "GET", ["chatmessages"]:
                return self._limited(request) or list_messages(self, request)
        return self.not_found(request)

    def _limited(self, request: Request, *, bare: bool = False) -> Answer | None:
        """The refusal of a request whose token or quota is not in order."""
        refused = refusal(self, request, bare=bare)
        if refused is None and self.faults.resource_limited:
            words = "You have exceeded the limit of the Free edition. Please upgrade to a higher edition."
            return self.error(request, 429, "resource_limited", words)
        return refused

    def _spoil(self, request: Request, answer: Answer) -> None:
        """Break a good answer on its way out."""
        if answer.broken:
            return
        if answer.content_type == "application/json":
            answer.content_type += f";charset={self.faults.charset}"
        if self.hits("cut_json", request):
            answer.body = answer.body[: len(answer.body) // 2]
        if self.hits("gzip_bomb", request):
            answer.body = gzip.compress(bytes(1 << 20)) * self.faults.bomb_mb
            answer.headers["Content-Encoding"] = "gzip"
        elif (cut := self.hits("cut_gzip", request)) or self._encodes(request, answer):
            packed = gzip.compress(answer.body, 1)
            answer.body = packed[: len(packed) // 2] if cut else packed
            answer.headers["Content-Encoding"] = "gzip"
        for fault, broken in (
            ("cut_body", "cut"),
            ("cut_unframed", "unframed"),
            ("drip", "drip"),
            ("silent_close", "close"),
        ):
            if self.hits(fault, request):
                answer.broken = broken
                answer.pause_s, answer.pieces = self.faults.drip_ms / 1000, self.faults.drip_pieces
                return

    def _encodes(self, request: Request, answer: Answer) -> bool:
        accepted = "gzip" in request.headers.get("accept-encoding", "")
        return self.faults.gzip and accepted and "Content-Encoding" not in answer.headers
