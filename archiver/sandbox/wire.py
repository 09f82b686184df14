"""HTTP/1.1 on plain sockets: read a request, write an answer, and break the wire where an answer says so.

Written on socketserver because the faults need the connection itself: resets, bodies cut short, bytes that drip.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

_LINE, _HEADERS, _BODY = 65_536, 200, 8 << 20


@dataclass(slots=True)
class SandboxRequest:
    """One request as it came in. Header names are in lower case; of a repeated parameter the first counts."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    client: str
    host: str
    """Which of the two hosts was asked: "api" or "files"."""
    skew_ms: int = 0
    """How far the clock that answers is off, on top of the server's offset."""
    started_ms: int = 0
    path: str = ""
    query: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path, _, query = self.target.partition("?")
        self.path = path
        for name, value in parse_qsl(query, keep_blank_values=True):
            self.query.setdefault(name, value)

    @property
    def segments(self) -> list[str]:
        return [unquote(part) for part in self.path.strip("/").split("/")]


@dataclass(slots=True)
class SandboxAnswer:
    """What goes out. `broken` names the way the wire breaks: "", reset, hang, drip, cut, unframed or close."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    broken: str = ""
    pause_s: float = 0.0
    """How long a hang lasts, or the pause between the pieces of a dripping body."""
    pieces: int = 1
    delay_s: float = 0.0
    """How long everything waits before the first byte."""
    now_ms: int | None = None
    """The time of the Date header; None: no such header."""


class Listener(socketserver.ThreadingTCPServer):
    """One listening socket, with a thread per connection."""

    allow_reuse_address = True
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, answer: Callable[[SandboxRequest], SandboxAnswer]) -> None:
        self.host, self.answer = host, answer
        self.stopping = threading.Event()
        self.open: set[socket.socket] = set()
        self.lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name=f"sandbox-{host}")
        super().__init__(("127.0.0.1", port), SandboxConnection)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close everything and wait until all threads have ended."""
        self.stopping.set()
        if self._thread.is_alive():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()  # wakes the accept
            self._thread.join()
        with self.lock:
            for connection in self.open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def _serve(self) -> None:
        while not self.stopping.is_set():
            self.handle_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are no news; anything else is a mistake in here and shows its traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class SandboxConnection(socketserver.StreamRequestHandler):
    server: Listener
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.open.add(self.connection)

    def finish(self) -> None:
        with self.server.lock:
            self.server.open.discard(self.connection)
        super().finish()

    def handle(self) -> None:
        while not self.server.stopping.is_set():
            request = self.read()
            if request is None:
                return
            answer = self.server.answer(request)
            keep = request.headers.get("connection", "").lower() != "close"
            if not self.write(request, answer, keep) or not keep:
                return

    def read(self) -> SandboxRequest | None:
        """The next request; None where the client has closed, or does not speak HTTP."""
        words = self.rfile.readline(_LINE).decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/"):
            return None
        headers: dict[str, str] = {}
        for _ in range(_HEADERS):
            name, colon, value = self.rfile.readline(_LINE).decode("latin-1").partition(":")
            if not colon:
                break
            headers[name.strip().lower()] = value.strip()
        if words[2] == "HTTP/1.0":
            headers.setdefault("connection", "close")
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.rfile.read(min(int(headers.get("content-length") or 0), _BODY))
        return SandboxRequest(words[0], words[1], headers, body, str(self.client_address[0]), self.server.host)

    def write(self, request: SandboxRequest, answer: SandboxAnswer, keep: bool) -> bool:
        """Send an answer; False where the connection is spent."""
        if answer.delay_s:
            self.server.stopping.wait(answer.delay_s)
        if answer.broken == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()
            return False
        if answer.broken == "hang":
            self.server.stopping.wait(answer.pause_s)
            return False
        body = b"" if request.method == "HEAD" else answer.body
        half = body[: len(body) // 2]
        head = _head(answer, keep and answer.broken != "unframed")
        if answer.broken == "drip":
            return self.drip(head, body, answer)
        self.wfile.write(head + (half if answer.broken in ("cut", "unframed") else body))
        return answer.broken == ""

    def drip(self, head: bytes, body: bytes, answer: SandboxAnswer) -> bool:
        self.wfile.write(head)
        step = max(1, -(-len(body) // max(1, answer.pieces)))
        for start in range(0, len(body), step):
            if self.server.stopping.wait(answer.pause_s):
                return False
            self.wfile.write(body[start : start + step])
        return True


def _head(answer: SandboxAnswer, keep: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", "Server: Tengine"]
    if answer.now_ms is not None:
        lines.append(f"Date: {formatdate(answer.now_ms / 1000, usegmt=True)}")
    lines.append(f"Content-Type: {answer.content_type}")
    if answer.broken != "unframed":
        lines.append(f"Content-Length: {len(answer.body)}")
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines.append(f"Connection: {'keep-alive' if keep else 'close'}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
