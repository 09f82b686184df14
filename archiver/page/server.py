"""The page's server: where it listens, and that it answers until it is stopped."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Callable
from threading import Event
from typing import Any

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask

from archiver import serving
from archiver.errors import ArchiverError
from archiver.page.headers import HEADERS

log = logging.getLogger("archiver.page.server")

THREADS = 4
_LARGEST_BODY = 1 << 20
"""The application refuses from 64 KiB on, in words; what is larger than this is not even read."""


def listen_privately(random: Callable[[int], int] = secrets.randbelow) -> socket.socket:
    """A random address of this machine and a free port: cookies of 127.0.0.1 are shared by all of its ports."""
    for _ in range(20):
        address = f"127.{random(256)}.{random(256)}.{1 + random(254)}"
        try:
            return listen(address, 0)
        except ArchiverError:  # not every system has the whole network
            continue
    return listen("127.0.0.1", 0)


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections. Raises ArchiverError where the port is taken."""
    bound: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)
    except OSError as error:
        if bound is not None:
            bound.close()
        problem = f"{host}:{port} cannot be listened on: {error.strerror or type(error).__name__}"
        raise ArchiverError(problem, hint="end what listens there, or another [review] listen") from None
    return bound


class _GuardedError(ErrorTask):  # type: ignore[misc]
    """What waitress itself refuses, as a request that is none, has the headers of every other answer."""

    def execute(self) -> None:
        self.response_headers += list(HEADERS.items())
        super().execute()


class _Channel(HTTPChannel):  # type: ignore[misc]
    error_task_class = _GuardedError


def serve(bound: socket.socket, app: Flask, stop: Event) -> None:
    """Answer until stopped; then those whose requests are at work, and no others."""
    server = _server(bound, app)
    try:
        while not stop.is_set():
            serving.turn(server)
    finally:
        serving.finish(server)


def _server(bound: socket.socket, app: Flask) -> Any:
    logging.getLogger("waitress").setLevel(logging.ERROR)
    server = create_server(
        app,
        sockets=[bound],
        threads=THREADS,
        channel_timeout=30,
        cleanup_interval=5,
        connection_limit=200,
        max_request_header_size=16_384,
        max_request_body_size=_LARGEST_BODY,
        inbuf_overflow=2 * _LARGEST_BODY,
        clear_untrusted_proxy_headers=False,  # the page trusts no header before it has compared the peer's address
        expose_tracebacks=False,
        ident=None,
        log_socket_errors=False,
        asyncore_use_poll=True,
    )
    server.channel_class = _Channel
    return server
