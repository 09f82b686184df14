"""A file behind a signed link, to a temporary file of the caller's.

A signed link is a credential, since its bearer can read the file; so its text is in no log, no error and no repr. The
storage host is somebody else: it gets nothing but the link, and its redirects are not followed.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO

import requests

from archiver import __version__
from archiver.errors import AnswerUnusable, ProviderUnavailable, RequestRefused, Stopped, TryAgainLater, WalkFailed
from archiver.http.failures import permanent, reason
from archiver.http.wire import FAILURES, Adapter, Broken, Deadline

Progress = Callable[[int], None]
"""Receives the number of bytes processed since its last call; may raise to end the work."""

_PIECE = 1 << 16
_ERROR_BYTES = _LINK_CHARS = 1 << 13
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": f"archiver/{__version__}"}
_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_CHAR = r"[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2}"
_LINK = re.compile(
    rf"https?://(?P<host>{_NAME}(?:\.{_NAME})*)(?::(?P<port>[0-9]{{1,5}}))?/(?:{_CHAR})*(?:\?(?:{_CHAR}|\?)*)?"
)


@dataclass(frozen=True, slots=True)
class SignedLink:
    """Where a file can be fetched without other credentials; AnswerUnusable unless it is plainly that.

    No user, no fragment, no backslash, nothing that two readers could understand in two ways. Plain http is accepted
    here alone: the provider hands out such links (all of its published examples).
    """

    url: str = field(repr=False)

    def __post_init__(self) -> None:
        match = _LINK.fullmatch(self.url) if len(self.url) <= _LINK_CHARS else None
        if match is None or not 0 < int(match["port"] or 1) < 65536:
            raise AnswerUnusable("the link to the file is no plain http or https address")

    @property
    def host(self) -> str:
        """The part that may be logged."""
        match = _LINK.fullmatch(self.url)
        return match["host"] if match else ""


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Bounds of one download. It stalls when for `stall_s` less than 64 KiB came, or not the end of the file."""

    connect_s: float = 5
    stall_s: float = 20
    total_s: float = 3600
    byte_limit: int = 8 << 30
    progress_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What came: `framed`: the answer declared its end, so that one cut short was noticed."""

    size: int
    sha256: str
    framed: bool


class _Pace(Deadline):
    """A deadline that begins anew as long as enough has come since it began."""

    problem = "hardly anything came for"

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._moved = False

    def moved(self) -> None:
        self._moved = True

    def expire(self) -> bool:
        with self._lock:
            moved, self._moved = self._moved, False
        return not moved and super().expire()


def download(
    link: SignedLink,
    into: IO[bytes],
    *,
    stop: threading.Event,
    limits: DownloadLimits | None = None,
    progress: Progress = lambda _: None,
    verify: bool | str = True,
    adapter: Callable[[], Adapter] = Adapter,
    clock: Callable[[], float] = time.monotonic,
) -> Downloaded:
    """Append the file's bytes, as they come over the wire, to `into`; one attempt.

    `progress` is called by arriving bytes, never by time: a download that stands still renews nobody's lease.
    Raises ProviderUnavailable, RequestRefused (a redirect), WalkFailed (larger than the limit), Stopped.
    """
    limits = limits or DownloadLimits()
    pieces = Pieces(link, limits, verify, clock)
    pieces.adapter = adapter
    return keep(pieces, into, limits, stop=stop, progress=progress)


def keep(
    pieces: Pieces, into: IO[bytes], limits: DownloadLimits, *, stop: threading.Event, progress: Progress
) -> Downloaded:
    """Write what arrives to `into`, within its limits."""
    whole, size, reported = hashlib.sha256(), 0, 0
    with closing(pieces.fetch()) as arriving:
        for piece in arriving:
            size += len(piece)
            if size > limits.byte_limit:
                raise _too_large(pieces.link, limits)
            whole.update(piece)
            _kept(into.write, piece)
            if stop.is_set():
                raise Stopped
            if size - reported >= limits.progress_bytes:
                progress(size - reported)
                reported = size
                pieces.pace.moved()
    _kept(into.flush)
    return Downloaded(size, whole.hexdigest(), pieces.framed)


def _kept(act: Callable[..., object], *pieces: bytes) -> None:
    try:
        act(*pieces)
    except OSError as error:
        raise TryAgainLater(f"a temporary file cannot be written: {error.strerror}") from error


class Pieces:
    """The bytes of one answer as they arrive. Only in here do the network's errors arise."""

    adapter: Callable[[], Adapter] = Adapter
    headers: Mapping[str, str] = _HEADERS

    def __init__(
        self, link: SignedLink, limits: DownloadLimits, verify: bool | str, clock: Callable[[], float]
    ) -> None:
        self.link, self._limits, self._verify, self._clock = link, limits, verify, clock
        self.pace = _Pace(limits.stall_s)
        self.framed = False

    def fetch(self) -> Generator[bytes, None, None]:
        try:
            with closing(self.adapter()) as adapter, self.pace:
                yield from self._arriving(adapter)
        except FAILURES as error:
            failure = permanent(self.link.host, error) or ProviderUnavailable(f"{self.link.host}: {reason(error)}")
        else:
            return
        # Out here, where no other error hangs on it: those of the libraries quote the link.
        raise failure

    def _arriving(self, adapter: Adapter) -> Generator[bytes, None, None]:
        limits, ends_at, recent = self._limits, self._clock() + self._limits.total_s, 0
        request = requests.Request("GET", self.link.url, dict(self.headers)).prepare()
        timeout = (limits.connect_s, 3 * limits.stall_s)  # of one read; the pace is cut before
        with closing(adapter.send(request, stream=True, timeout=timeout, verify=self._verify)) as response:
            if response.status_code != 200:
                self.refuse(response)
                return
            self.accept(response)
            length = response.headers.get("Content-Length", "")
            # Not by the header's text: a length that the library could not read is one that it does not hold it to.
            self.framed = response.raw.length_remaining is not None or response.raw.chunked
            if length.isdecimal() and int(length) > limits.byte_limit:
                raise _too_large(self.link, limits)
            while piece := response.raw.read1(_PIECE, decode_content=False):
                recent += len(piece)
                if recent >= _PIECE:
                    recent = 0
                    self.pace.moved()
                if self._clock() > ends_at:
                    raise Broken(f"not finished within {limits.total_s:g} s")
                yield piece

    def accept(self, response: requests.Response) -> None:
        """Look at the head of a file that comes."""

    def refuse(self, response: requests.Response) -> None:
        """The storage's errors are XML with a `Code` (AccessDenied: the link is too old); no more is quoted."""
        status = response.status_code
        body = b"" if status < 400 else response.raw.read(_ERROR_BYTES, decode_content=False)
        code = re.search(rb"<Code>([A-Za-z]{1,64})</Code>", body)
        problem = f"{self.link.host} answered {status}{f' ({code[1].decode()})' if code else ''}"
        if 300 <= status < 400:
            raise RequestRefused(f"{problem}: a redirected file is not fetched", status=status)
        raise ProviderUnavailable(problem)


def _too_large(link: SignedLink, limits: DownloadLimits) -> WalkFailed:
    return WalkFailed(f"{link.host}: the file is larger than {limits.byte_limit} bytes")
