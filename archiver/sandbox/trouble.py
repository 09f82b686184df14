"""Faults of the answer as a whole: what is sent instead of it, and how a good one is broken on its way out."""

from __future__ import annotations

import gzip
import threading
from collections import deque
from typing import TYPE_CHECKING

from archiver.sandbox.wire import SandboxAnswer, SandboxRequest

if TYPE_CHECKING:
    from archiver.sandbox.service import Service

_HTML = (
    b"<html>\r\n<head><title>%s</title></head>\r\n<body><center><h1>%s</h1></center><hr>tengine</body>\r\n</html>\r\n"
)
_WIRE = {"cut_body": "cut", "cut_unframed": "unframed", "drip": "drip", "silent_close": "close"}


class Recent:
    """Says who asks too often: at most `most` requests of one of them within a span."""

    def __init__(self) -> None:
        self._times: dict[str, deque[int]] = {}
        self._lock = threading.Lock()

    def too_many(self, who: str, now_ms: int, most: float, span_ms: float) -> bool:
        """Whether this request is one too many; if not, it counts. `most` below 1 stretches the span."""
        span_ms /= min(1.0, most)
        with self._lock:
            times = self._times.setdefault(who, deque())
            while times and not 0 <= now_ms - times[0] < span_ms:
                times.popleft()
            if len(times) >= max(1.0, most):
                return True
            times.append(now_ms)
        return False


def instead(service: Service, request: SandboxRequest) -> SandboxAnswer | None:
    """The answer of a fault or a limit, given before anybody looks at the request."""
    faults = service.faults
    if service.hits("reset", request):
        return SandboxAnswer(200, broken="reset")
    if service.hits("hang", request):
        return SandboxAnswer(200, broken="hang", pause_s=faults.hang_s)
    if service.hits("http_500", request):
        return service.error(request, 500, "web_application", "Internal error, please try again")
    if service.hits("http_502_html", request):
        return SandboxAnswer(502, _HTML % (b"502 Bad Gateway", b"502 Bad Gateway"), "text/html")
    if service.hits("http_429", request):
        return too_often(service, request, "429")
    if service.hits("http_503", request) or _over_rate(service, request):
        return too_often(service, request, faults.over_rate)
    if service.hits("html_200", request):
        return SandboxAnswer(200, _HTML % (b"Login", b"Please log in to this network"), "text/html")
    if service.hits("error_200", request):
        refused = service.error(request, 500, "web_application", "Internal error, please try again")
        return SandboxAnswer(200, refused.body)
    if service.hits("redirect", request):
        return SandboxAnswer(307, headers={"Location": (faults.redirect_to or service.files_url) + request.target})
    return None


def _over_rate(service: Service, request: SandboxRequest) -> bool:
    rate = service.faults.requests_per_second
    if rate <= 0 or request.host != "api" or request.path.endswith("/token"):
        return False
    return service.recent.too_many(request.client, request.started_ms, rate, 1000)


def too_often(service: Service, request: SandboxRequest, form: str) -> SandboxAnswer:
    """A refusal that asks to come back later, with `Retry-After` where one is set."""
    if form == "503_text":
        answer = SandboxAnswer(503, b"Service Temporarily Unavailable", "text/plain")
    elif form == "503":
        answer = service.error(request, 503, "service_unavailable", "Service Temporarily Unavailable")
    else:
        answer = service.error(request, 429, "reach_limit", "This request has reached api limit")
    if service.faults.retry_after:
        answer.headers["Retry-After"] = service.faults.retry_after
    return answer


def spoil(service: Service, request: SandboxRequest, answer: SandboxAnswer) -> None:
    """Break a good answer on its way out."""
    if answer.broken:
        return
    if answer.content_type == "application/json":
        answer.content_type += f";charset={service.faults.charset}"
    if service.hits("cut_json", request):
        answer.body = answer.body[: len(answer.body) // 2]
    if service.hits("gzip_bomb", request):
        answer.body = bomb(service)
        answer.headers["Content-Encoding"] = "gzip"
    elif (cut := service.hits("cut_gzip", request)) or _encodes(service, request, answer):
        packed = gzip.compress(answer.body, 1)
        answer.body = packed[: len(packed) // 2] if cut else packed
        answer.headers["Content-Encoding"] = "gzip"
    broken = (state for fault, state in _WIRE.items() if service.hits(fault, request))
    answer.broken = next(broken, "")
    answer.pause_s, answer.pieces = service.faults.drip_ms / 1000, service.faults.drip_pieces


def bomb(service: Service) -> bytes:
    """Spaces without end, a thousandth of their size: legal JSON whitespace, one gzip member per MiB."""
    return gzip.compress(b" " * (1 << 20)) * service.faults.bomb_mb


def _encodes(service: Service, request: SandboxRequest, answer: SandboxAnswer) -> bool:
    accepted = "gzip" in request.headers.get("accept-encoding", "")
    return service.faults.gzip and accepted and "Content-Encoding" not in answer.headers
