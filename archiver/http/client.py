"""HTTP as the archive needs it: one base URL, a deadline to the last byte, bounded answers, retries, the rate budget.

Redirects, cookies, proxies and .netrc are left out on purpose: all of them carry credentials to somebody else, so
requests' adapter is used without its session. Errors name host and path only; a query may hold what must not be logged.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self, TypedDict, TypeVar, Unpack
from urllib.parse import unquote

import requests
import tenacity

from archiver import __version__
from archiver.errors import AnswerTooLarge, AnswerUnusable, Stopped, UsageError
from archiver.http.failures import is_unsent, permanent, reason, remedy
from archiver.http.response import Answer, RetryableError, asks_for_rest, http_date_ms, refusal
from archiver.http.wire import DIRECT, FAILURES, Adapter, Deadline, Way, read

log = logging.getLogger(__name__)
T = TypeVar("T")

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"archiver/{__version__}"}


_HASTE_S = 1.0
_haste: ContextVar[bool] = ContextVar("haste", default=False)


@contextmanager
def haste(hasty: bool = True) -> Iterator[None]:
    """Within the block, here and in threads of its context, no failing request is repeated for longer than a moment.

    For what may fail by its own fault: patience is for a service that may come back, and is not spent on every record.
    """
    before = _haste.set(hasty)
    try:
        yield
    finally:
        _haste.reset(before)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request (connect, silence, whole), of its repetition (give up, longest wait), and of an answer."""

    connect_s: float = 5
    read_s: float = 30
    deadline_s: float = 60
    give_up_s: float = 30
    longest_wait_s: float = 10
    byte_limit: int = 24 * 1024 * 1024
    first_wait_s: float = 0.5


class RequestOptions(TypedDict, total=False):
    """What a single call may set.

    With `retry=False` there is one attempt, and its error says whether the service may have done what was asked. No
    attempt begins later than `give_up_s` after the first, and none lasts beyond `within_s`; neither counts the wait for
    the first turn. A status in `expect` is an answer, not an error.
    """

    params: Mapping[str, str] | None
    json: object
    headers: Mapping[str, str]
    retry: bool
    expect: Collection[int]
    give_up_s: float | None
    within_s: float | None


class Client:
    """Speaks with one base URL; may be used from several threads at once.

    `take_turn` waits for the shared rate budget before every physical request. `rest` receives the seconds for which an
    answer asks to be left alone; `on_status` receives every status, or "error".
    """

    def __init__(
        self,
        base_url: str,
        *,
        stop: threading.Event,
        limits: Limits | None = None,
        take_turn: Callable[[threading.Event], None] | None = None,
        rest: Callable[[float], None] = lambda _: None,
        on_status: Callable[[int | str], None] | None = None,
        verify: bool | str = True,
        way: Way = DIRECT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.limits = limits or Limits()
        self._stop, self._take_turn, self._on_status = stop, take_turn, on_status or (lambda _: None)
        self._rest = rest
        self._verify, self._clock = verify, clock
        self._way = way
        self._adapter = Adapter(way)
        # One for all calls: it is a circle of objects, which only the garbage collector takes away.
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(RetryableError),
            wait=self._wait,
            stop=self._is_enough,
            before_sleep=self._tell,
            sleep=self._sleep,
            reraise=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._adapter.close()

    def fetch(self, method: str, path: str, **options: Unpack[RequestOptions]) -> Answer:
        """The answer, if its status is expected; else RequestRefused, QuotaExceeded, ProviderUnavailable or Stopped."""
        return self.fetch_as(lambda answer: answer, method, path, **options)

    def fetch_as(
        self, read_answer: Callable[[Answer], T], method: str, path: str, **options: Unpack[RequestOptions]
    ) -> T:
        """What `read_answer` makes of the answer. Its AnswerUnusable is an answer damaged on the way: asked again.

        Not so AnswerTooLarge: the same question would have the same answer.
        """
        call = self._prepared(method, path, options)
        if call.once:
            return self._once(call, read_answer)
        try:
            result: T = self._retrying(self._attempt, call, read_answer)
        except RetryableError as error:
            given_up = error.given_up()
        else:
            return result
        raise given_up from None

    def _prepared(self, method: str, path: str, options: RequestOptions) -> _Call:
        headers = {**_HEADERS, **options.get("headers", {})}
        request = requests.Request(
            method, self._url(path), headers, params=options.get("params"), json=options.get("json")
        )
        within_s = float("inf") if (asked := options.get("within_s")) is None else asked
        give_up_s = self.limits.give_up_s if (asked := options.get("give_up_s")) is None else asked
        give_up_s = min(give_up_s, _HASTE_S) if _haste.get() else give_up_s
        return _Call(
            request.prepare(),
            self.base_url.partition("://")[2] + path,
            options.get("expect", (200,)),
            not options.get("retry", True),
            within_s,
            min(give_up_s, within_s),
        )

    def _url(self, path: str) -> str:
        """Only what lies below the base URL: neither `@host` nor `..` may lead the credentials elsewhere."""
        dots = any(unquote(part) in (".", "..") for part in path.split("/"))
        if dots or not re.fullmatch(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)+", path):
            raise UsageError(f"{path!r} is not a path below {self.base_url}")
        return self.base_url + path

    def _once(self, call: _Call, read_answer: Callable[[Answer], T]) -> T:
        try:
            return self._attempt(call, read_answer)
        except RetryableError as error:
            given_up = error.given_up("nothing was done" if error.unsent else "it is unknown whether it was done")
        raise given_up from None

    def _attempt(self, call: _Call, read_answer: Callable[[Answer], T]) -> T:
        answer = self._answer(call)
        self._on_status(answer.status)
        if answer.status not in call.expect:
            if rest_s := asks_for_rest(answer):
                self._rest(rest_s)
            raise refusal(answer)
        failure: Exception
        try:
            return read_answer(answer)
        except AnswerTooLarge as error:
            failure = AnswerTooLarge(f"{call.where}: {error}")
        except AnswerUnusable as error:
            text = str(error)
            text = text if text.startswith(call.where) else f"{call.where}: {text}"
            failure = RetryableError(text, unusable=True, hint=error.hint)
        del answer  # an error holds on to the frames that it came through, and to others that it was raised from
        raise failure from None

    def _answer(self, call: _Call) -> Answer:
        self._refuse_when_stopped()
        if self._take_turn:
            self._take_turn(self._stop)
            self._refuse_when_stopped()
        try:
            return self._exchange(call, call.seconds_left(self._clock(), self.limits.deadline_s))
        except AnswerUnusable as error:
            self._on_status("error")
            raise type(error)(f"{call.where}: {error}") from None
        except FAILURES as error:
            self._on_status("error")
            failure = permanent(call.where, error) or RetryableError(
                f"{call.where}: {reason(error)}", unsent=is_unsent(error), hint=remedy(error)
            )
        raise failure from None

    def _exchange(self, call: _Call, seconds: float) -> Answer:
        # What must not be done twice goes out on a connection of its own: one from the pool may be closing already,
        # and then nobody can say whether the request was taken.
        adapter = Adapter(self._way) if call.once else self._adapter
        timeout = (min(self.limits.connect_s, seconds), min(self.limits.read_s, seconds))
        with Deadline(seconds):
            began = self._clock()
            try:
                response = adapter.send(call.request, stream=True, timeout=timeout, verify=self._verify)
                elapsed_ms = math.ceil((self._clock() - began) * 1000)
                with closing(response):
                    body = read(response.raw, self.limits.byte_limit)
            finally:
                if call.once:
                    adapter.close()
        date_ms = http_date_ms(response.headers.get("Date", ""))
        return Answer(response.status_code, response.headers, body, date_ms, call.where, elapsed_ms)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        asked = _passing(state).retry_after_s or 0.0
        jitter = tenacity.wait_random_exponential(multiplier=self.limits.first_wait_s, max=self.limits.longest_wait_s)
        return max(asked, jitter(state))

    def _is_enough(self, state: tenacity.RetryCallState) -> bool:
        call: _Call = state.args[0]
        if (_passing(state).retry_after_s or 0.0) > self.limits.longest_wait_s:
            return True
        return call.spent(self._clock()) + state.upcoming_sleep > call.give_up_s

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
    within_s: float
    give_up_s: float
    began: float | None = None

    def spent(self, now: float) -> float:
        return 0.0 if self.began is None else now - self.began

    def seconds_left(self, now: float, deadline_s: float) -> float:
        self.began = now if self.began is None else self.began
        return max(0.01, min(deadline_s, self.within_s - self.spent(now)))


def _passing(state: tenacity.RetryCallState) -> RetryableError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, RetryableError)  # noqa: S101 - the only kind that is retried
    return error
