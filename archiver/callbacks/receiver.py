"""Accepts callbacks over HTTP: looks at alias and token alone, and answers 200 when the bytes are on the disk.

It never answers by signature, and knows no secret: the provider bans who refuses 90 callbacks in 30 s, and a mistyped
secret must not end in that. No request reaches the database either.
"""

from __future__ import annotations

import hmac
import logging
import shutil
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from archiver import serving
from archiver.callbacks.spool import Received
from archiver.callbacks.spooling import SpoolRefused, SpoolWriter
from archiver.errors import ArchiverError, UsageError

log = logging.getLogger("archiver.callbacks.receiver")

LARGEST_BODY = 2**20
_LEAST_FREE = 0.1
_FIGURES_S, _TICK_S, _BACKLOG = 60.0, 0.5, 1_024
_REQUEST_S = 4.0
"""So long a request may take to arrive: the server's own limit is between two reads, and a byte a second keeps it."""
_STATUS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 413: "Content Too Large", 503: "Service Unavailable"}

StartResponse = Callable[[str, list[tuple[str, str]]], object]


class Receiver:
    """The application by WSGI. `tokens`: by alias. `free`: which part of the spool's disk is free."""

    def __init__(self, tokens: Mapping[str, str], writer: SpoolWriter, free: Callable[[], float]) -> None:
        self._tokens = {alias.encode(): token.lower().encode() for alias, token in tokens.items()}
        self._writer, self._free = writer, free
        self._lock, self._counts = Lock(), Counter[str]()

    def __call__(self, environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        status = self._status(environ)
        with self._lock:
            self._counts["taken" if status == 200 else f"refused_{status}"] += 1
        headers = [("Content-Length", "0")] + ([("Allow", "POST")] if status == 405 else [])
        start_response(f"{status} {_STATUS[status]}", headers)
        return [b""]

    def counts(self) -> dict[str, int]:
        """What was answered since the last call, by kind."""
        with self._lock:
            counts, self._counts = dict(self._counts), Counter()
        return counts

    def _status(self, environ: Mapping[str, Any]) -> int:
        """No exception leaves this: the server would log the path, and with it the token."""
        try:
            alias = self._alias(environ.get("PATH_INFO", ""))
            if alias is None:
                return 404
            if environ["REQUEST_METHOD"] != "POST":
                return 405
            return self._take(alias, environ)
        except SpoolRefused as error:
            log.error("a callback was refused: %s", error)
        except Exception as error:  # the edge of a thread
            log.error("a callback was refused: %s", type(error).__name__)
        return 503

    def _take(self, alias: str, environ: Mapping[str, Any]) -> int:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > LARGEST_BODY:
            return 413
        if self._free() < _LEAST_FREE:
            return 503
        body = environ["wsgi.input"].read(length)
        self._writer.append(Received(alias, time.time_ns() // 1_000_000, body))
        return 200

    def _alias(self, path: str) -> str | None:
        """Whose callback this is; None where alias or token is wrong, which takes as long for either."""
        parts = path.encode("latin-1", "replace").split(b"/")
        if len(parts) != 4 or parts[:2] != [b"", b"callback"]:
            return None
        alias, token = parts[2:]
        known = self._tokens.get(alias)
        is_right = hmac.compare_digest(token.lower(), known or b"0" * 32)
        return alias.decode("ascii") if known and is_right else None


def free_part(folder: Path) -> Callable[[], float]:
    """Which part of a folder's disk is free, looked up once a second at most."""
    last = (0.0, 1.0)

    def free() -> float:
        nonlocal last
        now = time.monotonic()
        if not last[0] or now - last[0] > 1.0:
            usage = shutil.disk_usage(folder)
            last = (now, usage.free / usage.total)
        return last[1]

    return free


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections. Raises ArchiverError where the port is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _no_port(host, port, error) from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise _no_port(host, port, error) from None
    return bound


def _no_port(host: str, port: int, error: OSError) -> ArchiverError:
    problem = f"{host}:{port} cannot be listened on: {error.strerror or type(error).__name__}"
    return ArchiverError(problem, hint="stop what listens there, or set another [callbacks] listen")


def announce(bound: socket.socket, writer: SpoolWriter) -> None:
    """Say where callbacks are taken from now on, and what a crash of the machine has cut off."""
    host, port = bound.getsockname()[:2]
    log.info("receiving callbacks", extra={"fields": {"address": f"{host}:{port}", "bytes_cut_off": writer.cut}})


def serve(bound: socket.socket, receiver: Receiver, writer: SpoolWriter, stop: Event) -> None:
    """Answer until stopped; then those whose requests are at work, and no others. Raises UsageError."""
    server = _server(receiver, bound)
    ticker = Thread(target=_tick, args=(receiver, writer, stop), name="spool")
    ticker.start()
    slow = _SlowRequests()
    try:
        while not stop.is_set():
            serving.turn(server)
            slow.cut(list(server.active_channels.values()))
    finally:
        stop.set()
        ticker.join()
        serving.finish(server)


class _SlowRequests:
    """Ends connections whose request does not arrive in time, whatever keeps them alive."""

    def __init__(self) -> None:
        self._since: dict[tuple[Any, Any], float] = {}
        self._looked_at = 0.0

    def cut(self, channels: list[Any]) -> None:
        now = time.monotonic()
        if now - self._looked_at < _TICK_S:
            return
        self._looked_at = now
        arriving = {(channel, channel.request) for channel in channels if channel.request is not None}
        self._since = {pair: self._since.get(pair, now) for pair in arriving}
        for (channel, _), since in self._since.items():
            if now - since > _REQUEST_S:
                channel.handle_close()


def _server(receiver: Receiver, bound: socket.socket) -> Any:
    """Every thread may wait in one group commit, so there are many; bodies stay in memory, as they are small."""
    try:
        from waitress import create_server
    except ImportError:
        raise UsageError("`receive` needs the package waitress", hint="pip install waitress") from None
    logging.getLogger("waitress").setLevel(logging.ERROR)
    return create_server(
        receiver,
        sockets=[bound],
        threads=32,
        channel_timeout=10,
        cleanup_interval=2,
        connection_limit=1_000,
        backlog=_BACKLOG,
        max_request_header_size=16_384,
        max_request_body_size=LARGEST_BODY + 1,  # waitress refuses from there on
        inbuf_overflow=2 * LARGEST_BODY,
        clear_untrusted_proxy_headers=True,
        expose_tracebacks=False,
        ident=None,
        log_socket_errors=False,
        asyncore_use_poll=True,
    )


def _tick(receiver: Receiver, writer: SpoolWriter, stop: Event) -> None:
    """Closes segments in time, and logs figures."""
    since = time.monotonic()
    while not stop.wait(_TICK_S):
        try:
            writer.close_due()
        except SpoolRefused as error:
            log.error("%s", error)
        if time.monotonic() - since >= _FIGURES_S:
            since = time.monotonic()
            _log_figures(receiver)
    _log_figures(receiver)


def _log_figures(receiver: Receiver) -> None:
    if counts := receiver.counts():
        log.info("callbacks were received", extra={"fields": counts})
