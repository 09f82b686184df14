"""A small HTTP listener for those who watch the daemon: a table of paths, GET and HEAD, nothing else.

It has no access control of its own, so it listens on loopback unless the configuration says otherwise.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self

from archiver.errors import ConfigurationError

log = logging.getLogger(__name__)

TEXT = "text/plain; charset=utf-8"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
_READ_S = 10
_MOST_AT_ONCE = 16


class Reply(NamedTuple):
    status: int
    body: bytes
    kind: str = TEXT


class Endpoint:
    """Serves `routes` while it is entered. Raises ConfigurationError where the address cannot be had."""

    def __init__(self, host: str, port: int, routes: Mapping[str, Callable[[], Reply]]) -> None:
        class Handler(_EndpointHandler):
            table = routes

        class Server(_Server):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        try:
            self._server = Server((host, port), Handler)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigurationError(f"[metrics] listen: {host}:{port} is not available: {reason}") from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._free = threading.BoundedSemaphore(_MOST_AT_ONCE)
        super().__init__(address, handler)

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002 - as the library has it
        """A crowd of idle connections must not become a crowd of threads."""
        return self._free.acquire(blocking=False)

    def process_request_thread(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        log.debug("a client of the metrics went away")


class _EndpointHandler(BaseHTTPRequestHandler):
    table: Mapping[str, Callable[[], Reply]]
    timeout = _READ_S
    server_version, sys_version = "archiver", ""

    def do_GET(self) -> None:
        route = self.table.get(self.path.partition("?")[0])
        if route is None:
            reply = Reply(404, ("there is: " + ", ".join(self.table) + "\n").encode())
        else:
            try:
                reply = route()
            except Exception:  # the edge of a thread: the next one who asks may fare better
                log.exception("%s could not be answered", self.path.partition("?")[0])
                reply = Reply(500, b"see the log\n")
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Who scrapes every few seconds is no news."""
