"""The connection itself: a deadline over all its phases, bounded bodies, and the libraries' errors in our words."""

from __future__ import annotations

import ipaddress
import logging
import math
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3 import exceptions as urllib3_errors
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from archiver.errors import AnswerTooLarge, AnswerUnusable

_PIECE, _POOL = 1 << 16, 64
for _quotes_urls in ("urllib3.connection", "urllib3.connectionpool"):
    # Even a warning about a header quotes the query, which may be a credential; what matters is in our own errors.
    logging.getLogger(_quotes_urls).addFilter(lambda _: False)
FAILURES = (urllib3_errors.HTTPError, HTTPException, OSError, ValueError)
"""All that a request can raise: requests' own errors are OSErrors; a negative chunk size ends in a ValueError."""


class Broken(OSError):
    """An answer that ended before its end, or was not given its time."""


class NotPrivate(Broken):
    """Plain http was on its way to an address that is not a private one."""


class _Watch:
    """Ends the requests whose time is up, in one thread: as many threads would wait for their turn every time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[Deadline, float] = {}
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None

    def add(self, deadline: Deadline) -> None:
        with self._changed:
            self._due[deadline] = at = time.monotonic() + deadline.seconds
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            elif at < self._wakes_at:
                self._changed.notify()

    def remove(self, deadline: Deadline) -> None:
        with self._changed:
            self._due.pop(deadline, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                self._expire(now)
                self._wakes_at = min(self._due.values(), default=math.inf)
                self._changed.wait(min(self._wakes_at - now, threading.TIMEOUT_MAX))

    def _expire(self, now: float) -> None:
        for late in [deadline for deadline, due_at in self._due.items() if due_at <= now]:
            self._due[late] = now + late.seconds
            if late.expire():
                self._due.pop(late, None)


class Deadline:
    """Ends a request when its time is up, whatever phase it is in.

    requests bounds single reads, never their sum: a server that sends a byte of a header every few seconds holds it for
    ever. So a watch shuts the connection down, by a descriptor of its own, since TLS takes the first one over.
    """

    at_work = threading.local()
    problem = "not finished within"
    _watch = _Watch()

    def __init__(self, seconds: float) -> None:
        self.seconds, self._over = seconds, False
        self._lock = threading.Lock()
        self._twins: list[socket.socket] = []

    def __enter__(self) -> Self:
        self.at_work.deadline = self
        self._watch.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.at_work.deadline = None
        self._watch.remove(self)
        with self._lock:
            over, twins, self._twins = self._over, self._twins, []
        for twin in twins:
            twin.close()
        if over:  # even without an error: headers that end early look like an answer without a body
            raise Broken(f"{self.problem} {self.seconds:g} s")

    @classmethod
    def watch_this(cls, connection: socket.socket | None) -> None:
        deadline: Deadline | None = getattr(cls.at_work, "deadline", None)
        if deadline and connection is not None:
            twin = socket.fromfd(connection.fileno(), connection.family, connection.type)
            with deadline._lock:
                deadline._twins.append(twin)
                if deadline._over:
                    _shut(twin)

    def expire(self) -> bool:
        """Its time is up. False where it goes on for as long again."""
        with self._lock:
            self._over = True
            for twin in self._twins:
                _shut(twin)
        return True


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # it is gone already; a line in the log could hold up those who wait for the watch
        connection.shutdown(socket.SHUT_RDWR)


class _WatchedConnection(HTTPConnection):
    """New or taken from the pool: every request puts its connection under the deadline at work in this thread."""

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        Deadline.watch_this(connection)  # now, because the TLS handshake can drip as well
        return connection

    def putrequest(self, *args: Any, **options: Any) -> None:
        Deadline.watch_this(self.sock)
        super().putrequest(*args, **options)


class WatchedTLSConnection(_WatchedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _WatchedConnection


class HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = WatchedTLSConnection


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach others from this house: whom it trusts besides, by which proxy, and where plain http may go.

    `ca_file`: certificates that are trusted beside the usual ones, in PEM. `proxy`: for all but addresses of this
    machine and of a private network, written as numbers. `private_http`: plain http is spoken to a private address
    only, looked at when the connection stands, before a byte is sent.
    """

    ca_file: str | None = None
    proxy: str | None = field(default=None, repr=False)
    private_http: bool = False


DIRECT = Way()


class _PrivateConnection(_WatchedConnection):
    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        if not is_private(str(connection.getpeername()[0])):
            connection.close()
            raise NotPrivate("its address is not a private one, and plain http goes nowhere else")
        return connection


class _PrivatePool(HTTPConnectionPool):
    ConnectionCls = _PrivateConnection


def is_private(text: str) -> bool:
    """Whether an address is one of this machine or of a private network (RFC 1918, RFC 4193): written as numbers."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_loopback or any(address in network for network in _PRIVATE if network.version == address.version)


_PRIVATE = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]


class Adapter(HTTPAdapter):
    def __init__(self, way: Way = DIRECT) -> None:
        self._way = way
        super().__init__(pool_connections=1, pool_maxsize=_POOL, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        if self._way.ca_file:
            # The usual ones are loaded into it by urllib3, which `verify=True` makes do: these come beside them.
            options["ssl_context"] = context = create_urllib3_context()
            context.load_verify_locations(self._way.ca_file)
        super().init_poolmanager(*args, **options)
        self._watch_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        if self._way.ca_file:
            options["ssl_context"] = context = create_urllib3_context()
            context.load_verify_locations(self._way.ca_file)
        manager = super().proxy_manager_for(proxy, **options)
        self._watch_pools(manager)
        return manager

    def _watch_pools(self, manager: Any) -> None:
        plain = _PrivatePool if self._way.private_http else _Pool
        manager.pool_classes_by_scheme = {"http": plain, "https": HTTPSPool}

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        host = urlsplit(request.url).hostname or ""
        if self._way.proxy and not (host == "localhost" or is_private(host)):
            options["proxies"] = dict.fromkeys(("http", "https"), self._way.proxy)
        return super().send(request, *args, **options)


def read(raw: BaseHTTPResponse, byte_limit: int) -> bytes:
    """The body in bounded pieces. We ask for plain bytes; one that comes packed all the same is unpacked as it comes.

    Raises AnswerTooLarge, before a byte is read where the answer itself says so; Broken where a packed one is cut.
    """
    unpack = _Unpacking(raw.headers.get("Content-Encoding", ""))
    length = raw.headers.get("Content-Length", "")
    body = bytearray()
    if length.isdecimal() and len(length) < 20 and int(length) > byte_limit:
        raise _too_large(byte_limit)
    while piece := raw.read(_PIECE, decode_content=False):
        for plain in unpack.feed(piece):
            body += plain
            if len(body) > byte_limit:
                raise _too_large(byte_limit)
    unpack.finish()
    return bytes(body)


class _Unpacking:
    """gzip in bounded pieces: a thousandth of what it inflates to may be a bomb."""

    def __init__(self, encoding: str) -> None:
        encoding = encoding.strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise AnswerUnusable("the answer has an encoding that was not asked for")
        self._inflater = zlib.decompressobj(wbits=31) if encoding in ("gzip", "x-gzip") else None

    def feed(self, piece: bytes) -> Iterator[bytes]:
        if self._inflater is None:
            yield piece
            return
        while piece:
            if self._inflater.eof:  # another member
                self._inflater = zlib.decompressobj(wbits=31)
            try:
                yield self._inflater.decompress(piece, _PIECE)
            except zlib.error:
                raise Broken("the packed answer is damaged") from None
            piece = self._inflater.unconsumed_tail or self._inflater.unused_data

    def finish(self) -> None:
        if self._inflater is not None and not self._inflater.eof:
            raise Broken("the packed answer was cut off")


def _too_large(byte_limit: int) -> AnswerTooLarge:
    return AnswerTooLarge(f"the answer is larger than {byte_limit} bytes")
