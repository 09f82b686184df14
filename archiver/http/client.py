"""HTTP as the archive needs it: one base URL, a deadline to the last byte, bounded answers, retries, the rate budget.

Redirects, cookies, proxies and .netrc are left out on purpose: each of them carries credentials to somebody else, so
requests' adapter is used without its session. Errors tell host and path only; a query may hold what must not be logged.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote

import requests
import tenacity

from archiver import __version__
from archiver.errors import AnswerUnusable, ProviderUnavailable, Stopped, UsageError
from archiver.http.answers import Answer, Passing, http_date_ms, refusal
from archiver.http.wire import FAILURES, Adapter, Deadline, inflate, is_unsent, read, reason

log = logging.getLogger(__name__)

_FIRST_WAIT_S = 0.5
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"archiver/{__version__}"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request (connect, silence, whole), of its repetition (give up, longest wait), and of an answer."""

    connect_s: float = 5
    read_s: float = 30
    deadline_s: float = 60
    give_up_s: float = 30
    longest_wait_s: float = 10
    byte_limit: int = 64 * 1024 * 1024


class Client:
    """Speaks with one base URL; may be used from several threads at once.

    `take_turn` waits for the shared rate budget before each physical request; `heard` is told each status, or "error".
    """

    def __init__(
        self,
        base_url: str,
        *,
        stop: threading.Event,
        limits: Limits | None = None,
        take_turn: Callable[[threading.Event], None] | None = None,
        heard: Callable[[int | str], None] | None = None,
        verify: bool | str = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.limits = limits or Limits()
        self._stop, self._take_turn, self._heard = stop, take_turn, heard or (lambda _: None)
        self._verify, self._clock = verify, clock
        self._adapter = Adapter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._adapter.close()

    def fetch(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        retry: bool = True,
        expect: Collection[int] = (200,),
        give_up_s: float | None = None,
        within_s: float | None = None,
    ) -> Answer:
        """The answer, if its status is expected; else RequestRefused, QuotaExceeded, ProviderUnavailable or Stopped.

        No attempt begins later than `give_up_s` after the first; all of them end `within_s`. With `retry=False` there
        is one attempt, and an error that says whether the service may have done what was asked.
        """
        request = requests.Request(method, self._url(path), {**_HEADERS, **(headers or {})}, params=params, json=json)
        call = _Call(request.prepare(), self.base_url.partition("://")[2] + path, expect, not retry, within_s)
        if not retry:
            return self._once(call)
        bounds = [self.limits.give_up_s if give_up_s is None else give_up_s, within_s]
        give_up = min(bound for bound in bounds if bound is not None)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Passing),
            wait=self._wait,
            stop=lambda state: self._is_enough(state, call, give_up),
            before_sleep=self._tell,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._attempt, call)
        except Passing as error:
            later = "" if error.retry_after_s is None else f"; it asks to be left alone for {error.retry_after_s:.0f} s"
            raise ProviderUnavailable(f"{error}{later}", retry_after_s=error.retry_after_s) from None

    def _url(self, path: str) -> str:
        """Only what lies below the base URL: neither `@host` nor `..` may lead the credentials elsewhere."""
        dots = any(unquote(part) in (".", "..") for part in path.split("/"))
        if dots or not re.fullmatch(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)+", path):
            raise UsageError(f"{path!r} is not a path below {self.base_url}")
        return self.base_url + path

    def _once(self, call: _Call) -> Answer:
        try:
            return self._attempt(call)
        except Passing as error:
            outcome = "nothing was done" if error.unsent else "the outcome is unknown: it may have been done"
            raise ProviderUnavailable(f"{error}; {outcome}", retry_after_s=error.retry_after_s) from None

    def _attempt(self, call: _Call) -> Answer:
        self._refuse_when_stopped()
        if self._take_turn:
            self._take_turn(self._stop)
            self._refuse_when_stopped()
        seconds = call.seconds_left(self._clock(), self.limits.deadline_s)
        try:
            answer = self._exchange(call, seconds)
        except AnswerUnusable as error:
            self._heard("error")
            raise AnswerUnusable(f"{call.where}: {error}") from None
        except FAILURES as error:
            self._heard("error")
            raise Passing(f"{call.where}: {reason(error)}", unsent=is_unsent(error)) from None
        self._heard(answer.status)
        if answer.status in call.expect:
            return answer
        raise refusal(answer)

    def _exchange(self, call: _Call, seconds: float) -> Answer:
        # What must not be done twice goes out on a connection of its own: one from the pool may be closing already,
        # and then nobody can say whether the request was taken.
        adapter = Adapter() if call.once else self._adapter
        timeout = (min(self.limits.connect_s, seconds), min(self.limits.read_s, seconds))
        with Deadline(seconds):
            try:
                response = adapter.send(call.request, stream=True, timeout=timeout, verify=self._verify)
                with closing(response):
                    body = read(response.raw, self.limits.byte_limit)
            finally:
                if call.once:
                    adapter.close()
        body = inflate(body, response.headers.get("Content-Encoding", ""), self.limits.byte_limit)
        date_ms = http_date_ms(response.headers.get("Date", ""))
        return Answer(response.status_code, response.headers, body, date_ms, call.where)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        asked = _passing(state).retry_after_s or 0.0
        jitter = tenacity.wait_random_exponential(multiplier=_FIRST_WAIT_S, max=self.limits.longest_wait_s)
        return max(asked, jitter(state))

    def _is_enough(self, state: tenacity.RetryCallState, call: _Call, give_up_s: float) -> bool:
        if (_passing(state).retry_after_s or 0.0) > self.limits.longest_wait_s:
            return True
        return call.spent(self._clock()) + state.upcoming_sleep > give_up_s

    def _tell(self, state: tenacity.RetryCallState) -> None:
        log.info("%s; asked again in %.1f s", _passing(state), state.upcoming_sleep)

    def _sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._refuse_when_stopped()

    def _refuse_when_stopped(self) -> None:
        if self._stop.is_set():
            raise Stopped


@dataclass(slots=True)
class _Call:
    """One call of `fetch` over its attempts; its time begins with the first turn, not with the wait for it."""

    request: requests.PreparedRequest
    where: str
    expect: Collection[int]
    once: bool
    within_s: float | None
    began: float | None = None

    def spent(self, now: float) -> float:
        return 0.0 if self.began is None else now - self.began

    def seconds_left(self, now: float, deadline_s: float) -> float:
        self.began = now if self.began is None else self.began
        return deadline_s if self.within_s is None else max(0.01, min(deadline_s, self.within_s - self.spent(now)))


def _passing(state: tenacity.RetryCallState) -> Passing:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, Passing)  # noqa: S101 - the only kind that is retried
    return error
