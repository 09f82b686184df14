"""A file from its own address: credentials in headers of the caller's, redirects handed back, never followed here.

Who follows one decides where to, and sends no credentials: requests would drop Authorization on another host, but
forward `share-secret` to it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO

import requests

from archiver import __version__
from archiver.http.download import DownloadLimits, Pieces, Progress, SignedLink, keep
from archiver.http.response import Answer, asks_for_rest, error_code, http_date_ms, retry_after_s
from archiver.http.wire import Adapter

_HEADERS = {
    "Accept": "application/octet-stream",
    "Accept-Encoding": "identity",
    "User-Agent": f"archiver/{__version__}",
}
_ERROR_BYTES = 1 << 13


@dataclass(frozen=True, slots=True)
class Transfer:
    """What came. 200: the file, whose end was declared if `framed`; else the status, and what is known of the reason.

    `location` is where a redirect points, as it stands there; `code` the `error` of the provider's envelope.
    """

    status: int
    size: int = 0
    sha256: str = ""
    framed: bool = False
    served_as: str = ""
    location: str = ""
    code: str = ""
    retry_after_s: float | None = None
    rest_s: float | None = None
    """For how long the service asks to be left alone by all."""


def transfer(
    link: SignedLink,
    into: IO[bytes],
    *,
    headers: Mapping[str, str],
    stop: threading.Event,
    limits: DownloadLimits | None = None,
    progress: Progress = lambda _: None,
    adapter: Callable[[], Adapter] = Adapter,
    verify: bool | str = True,
) -> Transfer:
    """Append the file's bytes to `into`; one request. Raises ProviderUnavailable, WalkFailed (too large), Stopped."""
    limits = limits or DownloadLimits()
    pieces = _Pieces(link, limits, verify, time.monotonic)
    pieces.adapter, pieces.headers = adapter, {**_HEADERS, **headers}
    got = keep(pieces, into, limits, stop=stop, progress=progress)
    if pieces.other is not None:
        return pieces.other
    return Transfer(200, got.size, got.sha256, got.framed, pieces.served_as)


class _Pieces(Pieces):
    other: Transfer | None = None
    served_as = ""

    def accept(self, response: requests.Response) -> None:
        self.served_as = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def refuse(self, response: requests.Response) -> None:
        body = b"" if response.status_code < 400 else response.raw.read(_ERROR_BYTES, decode_content=False)
        date_ms = http_date_ms(response.headers.get("Date", ""))
        answer = Answer(response.status_code, response.headers, body, date_ms)
        self.other = Transfer(
            answer.status,
            location=answer.headers.get("Location", ""),
            code=error_code(body),
            retry_after_s=retry_after_s(answer),
            rest_s=asks_for_rest(answer),
        )
