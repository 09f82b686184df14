"""The connection itself: a deadline over all its phases, bounded bodies, and the libraries' errors in our words."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from http.client import HTTPException
from types import TracebackType
from typing import Any, Self

from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3 import exceptions as urllib3_errors
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from archiver.errors import AnswerUnusable

log = logging.getLogger(__name__)

_PIECE, _POOL = 1 << 16, 64
for _quotes_urls in ("urllib3.connection", "urllib3.connectionpool"):
    # Even a warning about a header quotes the query, which may be a credential; what matters is in our own errors.
    logging.getLogger(_quotes_urls).addFilter(lambda _: False)
FAILURES = (urllib3_errors.HTTPError, HTTPException, OSError, ValueError)
"""All that a request can raise: requests' own errors are OSErrors; a negative chunk size ends in a ValueError."""


class Broken(OSError):
    """An answer that ended before its end, or was not given its time."""


class Deadline:
    """Ends a request when its time is up, whatever phase it is in.

    requests bounds each read, never their sum: a server that sends a byte of a header every few seconds holds it for
    ever. So a timer shuts the connection down, by a descriptor of its own, since TLS takes the first one over.
    """

    at_work = threading.local()
    told = "not finished within"

    def __init__(self, seconds: float) -> None:
        self._seconds, self._over = seconds, False
        self._lock = threading.Lock()
        self._twins: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self.at_work.deadline = self
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.at_work.deadline = None
        self._timer.cancel()
        with self._lock:
            over, twins, self._twins = self._over, self._twins, []
        for twin in twins:
            twin.close()
        if over:  # even without an error: headers that end early look like an answer without a body
            raise Broken(f"{self.told} {self._seconds:g} s")

    @classmethod
    def watch_this(cls, connection: socket.socket | None) -> None:
        deadline: Deadline | None = getattr(cls.at_work, "deadline", None)
        if deadline and connection is not None:
            twin = socket.fromfd(connection.fileno(), connection.family, connection.type)
            with deadline._lock:
                deadline._twins.append(twin)
                if deadline._over:
                    _shut(twin)

    def _cut(self) -> None:
        with self._lock:
            self._over = True
            for twin in self._twins:
                _shut(twin)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        log.debug("a connection was gone before its deadline")


class _WatchedConnection(HTTPConnection):
    """New or taken from the pool: each request puts its connection under the deadline at work in this thread."""

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        Deadline.watch_this(connection)  # now, because the TLS handshake can drip as well
        return connection

    def putrequest(self, *args: Any, **options: Any) -> None:
        Deadline.watch_this(self.sock)
        super().putrequest(*args, **options)


class _WatchedTLSConnection(_WatchedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _WatchedConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTLSConnection


class Adapter(HTTPAdapter):
    def __init__(self) -> None:
        super().__init__(pool_connections=1, pool_maxsize=_POOL, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


def read(raw: BaseHTTPResponse, byte_limit: int) -> bytes:
    """The body in bounded pieces, as it came over the wire."""
    body = bytearray()
    while piece := raw.read(_PIECE, decode_content=False):
        body += piece
        if len(body) > byte_limit:
            raise AnswerUnusable(f"the answer is larger than {byte_limit} bytes")
    return bytes(body)


def inflate(body: bytes, encoding: str, byte_limit: int) -> bytes:
    """We ask for plain bytes; a server that packs them all the same must do so whole and within the limit."""
    if encoding.strip().lower() in ("", "identity"):
        return body
    if encoding.strip().lower() not in ("gzip", "x-gzip"):
        raise AnswerUnusable("the answer has an encoding that was not asked for")
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, byte_limit + 1)
    except zlib.error:
        raise Broken("the packed answer is damaged") from None
    if len(plain) > byte_limit:
        raise AnswerUnusable(f"the answer is larger than {byte_limit} bytes")
    if not inflater.eof:
        raise Broken("the packed answer was cut off")
    return plain


def reason(error: BaseException) -> str:
    """Why a request failed. The libraries' own texts hold the query string."""
    for cause in _causes(error):
        match cause:
            case Broken():
                return str(cause)
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted ({cause.verify_message})"
            case socket.gaierror():
                return "its name cannot be resolved"
            case ConnectionRefusedError():
                return "it refused the connection"
            case urllib3_errors.ConnectTimeoutError() if not isinstance(cause, urllib3_errors.NewConnectionError):
                return "it did not take the connection in time"
            case urllib3_errors.ReadTimeoutError():
                return "it was silent for too long"
    return "the connection broke off"


def is_unsent(error: BaseException) -> bool:
    """Whether the request certainly never reached the service."""
    before = (urllib3_errors.ConnectTimeoutError, urllib3_errors.NewConnectionError, ssl.SSLCertVerificationError)
    return any(isinstance(cause, before) for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
