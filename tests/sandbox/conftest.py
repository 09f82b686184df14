"""A plain client of the stand-in server: what it sends is what the tests say, and what it gets is what was sent."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest

from archiver.sandbox import Faults, Sandbox

START = 1_789_000_000_000
HOUR, DAY = 3_600_000, 86_400_000
ALL = f"select * where timestamp > {START - 1} and timestamp < {START + 400 * DAY} order by timestamp asc"


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def ids(self) -> list[str]:
        return [entity["msg_id"] for entity in self.json["entities"]]

    @property
    def cursor(self) -> str:
        return str(self.json.get("cursor") or "")


class Clock:
    """A clock in ms that goes where a test puts it."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> float:
        return self.now_ms


class Client:
    """Asks one stand-in server over one connection, with a token once `sign_in` has run."""

    start, all = START, ALL
    """Where the seeded records begin, and the query that reads everything in ascending order."""

    def __init__(self, server: Sandbox, clock: Clock) -> None:
        self.server, self.clock, self.headers = server, clock, dict[str, str]()
        self.prefix = f"/{server.org}/{server.app}"
        self.connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=10)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Got:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.connection.request(method, path, data, self.headers | (headers or {}))
            answer = self.connection.getresponse()
            return Got(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        except (http.client.HTTPException, OSError):
            self.connection.close()
            raise

    def get(self, path: str, **query: Any) -> Got:
        return self.ask("GET", self.prefix + path + ("?" + urlencode(query) if query else ""))

    def post(self, path: str, body: Any) -> Got:
        return self.ask("POST", self.prefix + path, body)

    def sign_in(self, **more: Any) -> Got:
        grant = {"grant_type": "client_credentials", "client_id": self.server.client_id}
        got = self.post("/token", grant | {"client_secret": self.server.client_secret} | more)
        if got.status == 200:
            self.headers["Authorization"] = f"Bearer {got.json['access_token']}"
        return got

    def page(self, ql: str | None = None, limit: int | None = None, cursor: str | None = None) -> Got:
        query: dict[str, Any] = {"ql": ql, "limit": limit, "cursor": cursor}
        return self.get("/chatmessages", **{name: value for name, value in query.items() if value is not None})

    def walk(self, ql: str, limit: int, most: int = 1000) -> list[Got]:
        """All pages, as a client that stops only where there is no cursor."""
        pages = [self.page(ql, limit)]
        while pages[-1].cursor and len(pages) < most:
            pages.append(self.page(ql, limit, pages[-1].cursor))
        return pages


Start = Callable[..., Client]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers: `start(messages, **faults)` gives a signed-in client; everything stops with the test."""
    with ExitStack() as stack:

        def begin(messages: int = 0, *, now_ms: int = START + 2 * DAY, span_ms: int = DAY, **faults: Any) -> Client:
            clock = Clock(now_ms)
            server = stack.enter_context(
                Sandbox(messages, start_ms=START, span_ms=span_ms, faults=Faults(**faults), clock=clock)
            )
            client = Client(server, clock)
            stack.callback(client.connection.close)
            if not server.faults.only and "refuse_tokens" not in faults:
                client.sign_in()
            return client

        yield begin
