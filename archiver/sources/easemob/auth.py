"""Calls to one app under its token: fetched once for all threads, renewed before its end, and once after a 401.

The provider bans clients that ask for tokens all the time. So a token that was refused on its first use, or a refused
token call, ends in CredentialsRefused, and from then on one token call a minute is made at most until one works.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, Unpack

from pydantic import SecretStr

from archiver import logs
from archiver.errors import AnswerUnusable, CredentialsRefused, ProviderUnavailable, RequestRefused, TryAgainLater
from archiver.http import Answer, Client, RequestOptions, envelope

log = logging.getLogger(__name__)
T = TypeVar("T")

_SPACING_S, _MARGIN_S, _MARGIN_SHARE = 60.0, 60.0, 0.05
_ABOUT_THE_TOKEN = ("", "unauthorized", "auth_bad_access_token", "expired_token", "forbidden")


@dataclass(slots=True)
class _Token:
    text: str = field(repr=False)
    renew_at: float | None
    worked: bool = False


class Tokens:
    """`fetch` as the client's, below the app's prefix and under its token; may be used from several threads.

    `pin` receives the application of every token before its first use, and may raise WrongApplication.
    """

    def __init__(
        self,
        client: Client,
        path_prefix: str,
        client_id: str,
        client_secret: SecretStr,
        *,
        pin: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        logs.keep_secret(client_secret.get_secret_value())
        self._client, self._prefix, self._clock, self._pin = client, path_prefix, clock, pin
        self._client_id, self._client_secret = client_id, client_secret
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._asked_at = -math.inf
        self._refused = False
        self._failures = 0

    def fetch(self, method: str, path: str, **options: Unpack[RequestOptions]) -> Answer:
        """See `Client.fetch`; raises CredentialsRefused and WrongApplication besides. `path` begins with a slash."""
        return self.fetch_as(lambda answer: answer, method, path, **options)

    def fetch_as(
        self, read_answer: Callable[[Answer], T], method: str, path: str, **options: Unpack[RequestOptions]
    ) -> T:
        """See `Client.fetch_as`."""
        bounds = _Bounds(options, self._clock)
        refused: RequestRefused | None = None
        for _ in range(2):
            token = self._usable_token(bounds)
            headers = {**options.get("headers", {}), "Authorization": f"Bearer {token.text}"}
            call: RequestOptions = {**options, **bounds.left(), "headers": headers}
            try:
                result = self._client.fetch_as(read_answer, method, self._prefix + path, **call)
            except RequestRefused as error:
                if not _is_about_the_token(error):
                    raise
                # The second token in a row counts as fresh, even if it works elsewhere: there shall be no third.
                token.worked = token.worked and refused is None
                self._drop(token, error)
                refused = error
            else:
                token.worked = True
                self._refused = self._refused and self._token is not token
                return result
        raise _storm(refused)

    def borrow(self) -> str:
        """The token, for requests that a `Client` cannot make. Raises as `fetch` does."""
        return self._usable_token(_Bounds({}, self._clock)).text

    def give_back(self, text: str) -> None:
        """A borrowed token was refused: fetch another one next time, unless this one was fetched just now."""
        with self._lock:
            fresh = self._clock() - self._asked_at < _SPACING_S
            if self._token and self._token.text == text and not fresh:
                self._token = None

    def _usable_token(self, bounds: _Bounds) -> _Token:
        failures = self._failures
        with self._lock:
            if self._token and not self._is_over(self._token):
                return self._token
            if self._failures != failures:  # while we waited; not one give-up time after the other, a thread at a time
                raise ProviderUnavailable("the token could not be renewed just now")
            try:
                self._token = self._fetch_token(bounds.left())
            except TryAgainLater:
                self._failures += 1
                raise
            return self._token

    def _drop(self, token: _Token, error: RequestRefused) -> None:
        """A refused token is not used again. CredentialsRefused if it was fresh: a new one would fare no better."""
        with self._lock:
            if self._token is not token:
                return  # another thread was faster
            self._token = None
            if token.worked or self._is_over(token):
                log.info("%s; renewing the token", error)
                return
            self._refused = True
        raise _storm(error) from None

    def _is_over(self, token: _Token) -> bool:
        return token.renew_at is not None and self._clock() >= token.renew_at

    def _fetch_token(self, bounds: RequestOptions) -> _Token:
        wait = self._asked_at + _SPACING_S - self._clock()
        if self._refused and wait > 0:
            raise CredentialsRefused(
                f"The service refused our credentials; not asked again for {wait:.0f} s.",
                hint="check client_id and client_secret",
            )
        began = self._clock()
        credentials = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret.get_secret_value(),
        }
        call: RequestOptions = {**bounds, "json": credentials}
        try:
            given = self._client.fetch_as(_understood, "POST", f"{self._prefix}/token", **call)
        except RequestRefused as error:
            if error.status not in (400, 401, 403, 404):
                raise
            self._asked_at, self._refused = self._clock(), True
            hint = "check org, app and base_url" if error.status == 404 else "check client_id and client_secret"
            raise CredentialsRefused(f"{error}: the service refused our credentials", hint=hint) from None
        self._asked_at = self._clock()
        text, seconds, application = given
        logs.keep_secret(text, renewed=True)
        if self._pin:
            self._pin(application)
        return _Token(text, began + seconds - min(_MARGIN_S, seconds * _MARGIN_SHARE) if seconds else None)


class _Bounds:
    """What is left of a call's time for the requests it takes."""

    def __init__(self, options: RequestOptions, clock: Callable[[], float]) -> None:
        self._give_up_s, self._clock = options.get("give_up_s"), clock
        within_s = options.get("within_s")
        self._ends_at = None if within_s is None else clock() + within_s

    def left(self) -> RequestOptions:
        within_s = None if self._ends_at is None else max(0.01, self._ends_at - self._clock())
        return {"give_up_s": self._give_up_s, "within_s": within_s}


def _storm(error: RequestRefused | None) -> CredentialsRefused:
    return CredentialsRefused(f"{error}: a token that was fetched just now is refused")


def _is_about_the_token(error: RequestRefused) -> bool:
    """A 401 always, whatever its text. A 403 is as often about a right or a limit, and then has a code of its own."""
    return error.status == 401 or (error.status == 403 and error.code in _ABOUT_THE_TOKEN)


def _understood(answer: Answer) -> tuple[str, float, str]:
    """Token, life in seconds (0: it never ends), application."""
    content = envelope(answer)
    text, seconds, application = (content.get(key) for key in ("access_token", "expires_in", "application"))
    if isinstance(seconds, str) and re.fullmatch(r"[0-9]{1,15}", seconds):
        seconds = int(seconds)
    if not isinstance(text, str) or not re.fullmatch(r"[!-~]{1,4096}", text):
        raise AnswerUnusable(f"{answer.where}: the answer has no token that could be used")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise AnswerUnusable(f"{answer.where}: the answer does not say how long the token lives")
    if not isinstance(application, str) or not re.fullmatch(r"[!-~]{1,128}", application):
        raise AnswerUnusable(f"{answer.where}: the answer does not say which application the token is for")
    return text, min(float(seconds), 1e12), application
