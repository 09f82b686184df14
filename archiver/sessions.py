"""The way to an app's provider: its client, its rate budget, its pinned application."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event, Lock
from typing import IO

from archiver.config import App, Settings
from archiver.http import Adapter, Client, Downloaded, Limits, SignedLink, Way, download
from archiver.http.download import Progress
from archiver.model import SECOND_MS, Source
from archiver.sources import Connection, provider_of
from archiver.store import apps, rate_limit
from archiver.store.engine import Store

_LONGEST_SILENCE_S = 55.0
"""One shot ends within a minute of its last progress."""


class IdleTimeout:
    """Lets one shot end within a minute of its last progress, whatever the provider does; the daemon has no such end.

    Waiting for a turn of the rate budget is no silence of the provider's.
    """

    def __init__(self) -> None:
        self.ends = False
        self._since_s = 0.0

    def progress(self, waited_s: float | None = None) -> None:
        """Begin anew; or, after a wait for a turn, leave that out."""
        self._since_s = time.monotonic() if waited_s is None else self._since_s + waited_s

    def left_s(self) -> float | None:
        return max(1.0, _LONGEST_SILENCE_S - (time.monotonic() - self._since_s)) if self.ends else None


@dataclass(slots=True)
class AppSession:
    """The connection to one app's provider, and the count of its answers by status."""

    app: App
    connection: Connection
    requests: dict[str, int]
    idle: IdleTimeout

    @property
    def source(self) -> Source:
        return self.connection.source


@contextmanager
def open_session(app: App, settings: Settings, store: Store, stop: Event) -> Iterator[AppSession]:
    """Open the way to an app's provider. Its rate budget and its pinned application live in the store."""
    requests: dict[str, int] = {}
    idle = IdleTimeout()
    budget = rate_limit.RateLimiter(store, _rate_group(app), app.rate.count, app.rate.period_ms)
    lock = Lock()

    def count(status: int | str) -> None:
        with lock:
            requests[str(status)] = requests.get(str(status), 0) + 1

    def take_turn(stop: Event) -> None:
        if wait_s := budget.take():
            stop.wait(wait_s)
            idle.progress(wait_s)

    def pin(application: str) -> None:
        with store.write() as tx:
            apps.pin(tx, app.name, application)

    def fetch_file(link: SignedLink, into: IO[bytes], progress: Progress) -> Downloaded:
        # Links of hourly files may be plain http, wherever the storage lies: they are signed, and carry nothing else.
        adapter = partial(Adapter, Way(way.ca_file, way.proxy))
        return download(link, into, stop=stop, progress=progress, adapter=adapter)

    def now_ms() -> int:
        with store.read() as tx:
            return tx.now_ms()

    way = way_to(app, settings)
    limits = Limits(deadline_s=settings.http.deadline_ms / SECOND_MS, give_up_s=app.give_up_ms / SECOND_MS)
    client = Client(
        app.base_url, stop=stop, limits=limits, take_turn=take_turn, rest=budget.rest, on_status=count, way=way
    )
    with client:
        connection = provider_of(app).connect(
            app, client, pin=pin, download=fetch_file, clock_ms=now_ms, within_s=idle.left_s
        )
        yield AppSession(app, connection, requests, idle)


def way_to(app: App, settings: Settings) -> Way:
    """How an app's provider is reached from this house."""
    return Way(settings.http.ca_path, settings.http.proxy_url, app.base_url.startswith("http://"))


def way_out(settings: Settings) -> Way:
    """How webhooks are reached."""
    return Way(settings.http.ca_path, settings.http.proxy_url)


def _rate_group(app: App) -> str:
    """The provider counts queries by address, and hourly files by app key."""
    host = app.base_url.partition("://")[2]
    return f"{host} {app.name} hourly" if app.source == "hourly" else host
