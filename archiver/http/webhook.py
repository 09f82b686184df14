"""One request to an address that is a secret itself: a webhook, or a heartbeat. Errors name the host, nothing more.

It is not repeated here: who calls looks again soon, and has newer news then. Redirects are not followed.
"""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import requests

from archiver import __version__
from archiver.errors import AnswerTooLarge, AnswerUnusable, ProviderUnavailable
from archiver.http.wire import DIRECT, FAILURES, Adapter, Deadline, Way, read, reason

_DEADLINE_S, _BYTE_LIMIT = 10.0, 1 << 16
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": f"archiver/{__version__}"}


def call(url: str, payload: object | None = None, way: Way = DIRECT) -> None:
    """GET `url`, or POST `payload` to it as JSON. Raises ProviderUnavailable unless it was taken."""
    host = urlsplit(url).hostname
    method = "GET" if payload is None else "POST"
    request = requests.Request(method, url, _HEADERS, json=payload).prepare()
    adapter = Adapter(way)
    try:
        with Deadline(_DEADLINE_S):
            response = adapter.send(request, stream=True, timeout=(5, _DEADLINE_S), verify=True)
            with closing(response):
                status, body = response.status_code, read(response.raw, _BYTE_LIMIT)
    except (AnswerTooLarge, AnswerUnusable):
        raise ProviderUnavailable(f"{host}: its answer cannot be read") from None
    except FAILURES as error:
        raise ProviderUnavailable(f"{host}: {reason(error)}") from None
    finally:
        adapter.close()
    if not 200 <= status < 300:
        raise ProviderUnavailable(f"{host}: it answered with {status}")
    if payload is not None and (code := _refusal(body)):
        raise ProviderUnavailable(f"{host}: it did not take the message (error {code})")


def _refusal(body: bytes) -> int:
    """Chat services answer 200 to what they refuse, with a number inside."""
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError):
        return 0
    codes = [answer.get(name) for name in ("errcode", "code", "StatusCode")] if isinstance(answer, dict) else []
    return next((code for code in codes if isinstance(code, int) and code not in (0, 200)), 0)
