"""What every part of the stand-in server shares: its identity, clock, faults, records, and the envelopes of answers."""

from __future__ import annotations

import base64
import random
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from archiver.sandbox.faults import Dice, Faults
from archiver.sandbox.phrases import NAMES
from archiver.sandbox.shelf import Shelf, render
from archiver.sandbox.tokens import IssuedTokens
from archiver.sandbox.trouble import Recent
from archiver.sandbox.wire import SandboxAnswer, SandboxRequest

EXCEPTIONS = {
    "illegal_argument": "java.lang.IllegalArgumentException",
    "invalid_grant": "org.apache.usergrid.rest.exceptions.AuthErrorInfo",
    "json_parse": "com.fasterxml.jackson.core.JsonParseException",
    "organization_application_not_found": "org.apache.usergrid.rest.exceptions.OrganizationApplicationNotFound",
    "query_parse": "org.apache.usergrid.persistence.exceptions.QueryParseException",
    "service_resource_not_found": "org.apache.usergrid.services.exceptions.ServiceResourceNotFoundException",
    "auth_bad_access_token": "org.apache.usergrid.rest.exceptions.SecurityException",
    "unauthorized": "org.apache.shiro.authz.UnauthorizedException",
}


class Logged(NamedTuple):
    """A request as it came in, and the status it was answered with (0: none, the wire broke)."""

    method: str
    path: str
    query: dict[str, str]
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    host: str
    """Which host was asked: "api", or "files" (signed links and redirects)."""


class Service:
    """The state of one stand-in application."""

    base_url: str
    files_url: str
    """The other host: where signed links and redirects of attachments point."""

    def __init__(self, org: str, app: str, seed: int, faults: Faults | None, clock: Callable[[], float] | None) -> None:
        self.org, self.app = org, app
        self.faults = faults or Faults()
        self.clock = clock or (lambda: time.time() * 1000)
        made_up = random.Random(f"{org}#{app} {seed}")
        self.client_id = _credential(made_up)
        self.client_secret = _credential(made_up)
        self.application = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{org}#{app} {seed}"))
        self.shelf = Shelf()
        self.dice = Dice(seed)
        self.tokens = IssuedTokens(seed)
        self.recent = Recent()
        self.online = {name.lower() for name in NAMES[::3]}
        """Users that presence calls online, in lower case; all others are offline."""
        self._log: deque[Logged] = deque(maxlen=200_000)

    @property
    def home(self) -> str:
        return f"{self.base_url}/{self.org}/{self.app}"

    def true_ms(self) -> int:
        """What the server does goes by this clock: visibility, expiry, rates."""
        return int(self.clock())

    def now_ms(self) -> int:
        """What the server says goes by this clock; `clock_offset_ms` sets it wrong."""
        return self.true_ms() + self.faults.clock_offset_ms

    @property
    def requests(self) -> list[Logged]:
        """Every request so far, in the order of their answers."""
        return list(self._log)

    def log(self, request: SandboxRequest, status: int) -> None:
        self._log.append(
            Logged(request.method, request.path, request.query, status, request.headers, request.body, request.host)
        )

    def count(self, part: str = "", *, method: str | None = None, status: int | None = None) -> int:
        """How many requests had `part` in their path."""
        return sum(
            part in one.path and method in (None, one.method) and status in (None, one.status) for one in self.requests
        )

    def forget_requests(self) -> None:
        self._log.clear()

    def hits(self, fault: str, request: SandboxRequest) -> bool:
        return self.dice.hits(self.faults, fault, request.path)

    def times(self, request: SandboxRequest) -> tuple[int, int]:
        """The `timestamp` and `duration` of an envelope."""
        duration = max(0, self.true_ms() - request.started_ms)
        return self.now_ms() + request.skew_ms, duration

    def uri(self, path: str) -> str:
        return self.home + path

    def reply(self, request: SandboxRequest, parts: dict[str, Any], *, named: bool = True) -> SandboxAnswer:
        """An envelope around `parts`. The newer interfaces do not name the application (`named`)."""
        timestamp, duration = self.times(request)
        body = {"action": request.method.lower(), "application": self.application, **parts}
        if not self.faults.timestamp_missing:
            body |= {"timestamp": timestamp, "duration": duration}
        body |= {"organization": self.org, "applicationName": self.app}
        if not named:
            for name in ("application", "organization", "applicationName"):
                del body[name]
        return SandboxAnswer(200, render(body))

    def error(self, request: SandboxRequest, status: int, error: str, description: str | None = None) -> SandboxAnswer:
        timestamp, duration = self.times(request)
        body: dict[str, Any] = {"error": error}
        if not self.faults.timestamp_missing:
            body |= {"timestamp": timestamp, "duration": duration}
        body["exception"] = EXCEPTIONS.get(error, f"com.easemob.rest.{error.title().replace('_', '')}Exception")
        if description is not None:
            body["error_description"] = description
        return SandboxAnswer(status, render(body))

    def not_found(self, request: SandboxRequest) -> SandboxAnswer:
        return self.error(request, 404, "service_resource_not_found", "Service resource not found")


def _credential(made_up: random.Random) -> str:
    return "YXA6" + base64.urlsafe_b64encode(made_up.randbytes(21)).decode()
