"""One request to an address that is a secret itself, as a webhook's, or to a service. Errors name the host, no more.

It is not repeated here: who calls looks again soon, and has newer news then. Redirects are not followed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import requests

from archiver import __version__
from archiver.errors import AnswerTooLarge, AnswerUnusable, ProviderUnavailable
from archiver.http.failures import reason
from archiver.http.wire import DIRECT, FAILURES, Adapter, Deadline, Way, read

_DEADLINE_S, _BYTE_LIMIT = 10.0, 1 << 16
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": f"archiver/{__version__}"}


def call(url: str, payload: object | None = None, way: Way = DIRECT) -> None:
    """GET `url`, or POST `payload` to it as JSON. Raises ProviderUnavailable unless it was taken."""
    method = "GET" if payload is None else "POST"
    body = _send(requests.Request(method, url, _HEADERS, json=payload), _BYTE_LIMIT, way)
    if payload is not None and (code := _refusal(body)):
        raise ProviderUnavailable(f"{urlsplit(url).hostname}: it did not take the message (error {code})")


def post(url: str, body: bytes, content_type: str, byte_limit: int, way: Way = DIRECT) -> bytes:
    """POST some bytes; returns the answer's. Raises ProviderUnavailable unless the status is one of success."""
    headers = {**_HEADERS, "Content-Type": content_type}
    return _send(requests.Request("POST", url, headers, data=body), byte_limit, way)


def get(url: str, headers: Mapping[str, str], way: Way = DIRECT) -> tuple[int, bytes]:
    """GET `url` with further headers; status and body, whatever they are. Raises ProviderUnavailable."""
    return _exchange(requests.Request("GET", url, {**_HEADERS, **headers}), _BYTE_LIMIT, way)


def _send(unprepared: requests.Request, byte_limit: int, way: Way) -> bytes:
    status, body = _exchange(unprepared, byte_limit, way)
    if not 200 <= status < 300:
        raise ProviderUnavailable(f"{urlsplit(unprepared.url).hostname}: it answered with {status}")
    return body


def _exchange(unprepared: requests.Request, byte_limit: int, way: Way) -> tuple[int, bytes]:
    request, host = unprepared.prepare(), urlsplit(unprepared.url).hostname
    adapter = Adapter(way)
    try:
        with Deadline(_DEADLINE_S):
            response = adapter.send(request, stream=True, timeout=(5, _DEADLINE_S), verify=True)
            with closing(response):
                status, body = response.status_code, read(response.raw, byte_limit)
    except (AnswerTooLarge, AnswerUnusable):
        raise ProviderUnavailable(f"{host}: its answer cannot be read") from None
    except FAILURES as error:
        raise ProviderUnavailable(f"{host}: {reason(error)}") from None
    finally:
        adapter.close()
    return status, body


def _refusal(body: bytes) -> int:
    """Chat services answer 200 to what they refuse, with a number inside."""
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError):
        return 0
    codes = [answer.get(name) for name in ("errcode", "code", "StatusCode")] if isinstance(answer, dict) else []
    return next((code for code in codes if isinstance(code, int) and code not in (0, 200)), 0)
