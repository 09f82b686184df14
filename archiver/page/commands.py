"""Puts the page together: the archive, the way in, the zone and the language, and the server."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from socket import socket
from threading import Event
from typing import NamedTuple

from archiver.attachments import commands as attachments
from archiver.blobs import Blobs
from archiver.config import Review, Settings
from archiver.errors import UsageError
from archiver.page.app import create
from archiver.page.context import ReviewPage
from archiver.page.server import listen, listen_privately, serve
from archiver.page.signin import OneTimeLink, Person, TrustedProxy, read_secret
from archiver.page.viewings import Viewings
from archiver.store import decisions, installation
from archiver.store.engine import Store
from archiver.zones import Calendar

Clock = Callable[[], float]
"""Seconds of a clock that nobody sets."""


class PageView(NamedTuple):
    """The zone of the page's times, and the language of those who have chosen none."""

    calendar: Calendar
    language: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The page, listening. `address`: what browsers see; `link`: what signs one person in, where it is for one."""

    page: ReviewPage
    bound: socket
    address: str
    link: str | None

    def serve(self, stop: Event) -> None:
        """Answer until stopped."""
        serve(self.bound, create(self.page), stop)


def demand_login(store: Store) -> None:
    """Raises UsageError where requests are made on the page, and the database would not take them from this login."""
    with store.read() as tx:
        refused = installation.decided_in(tx) == installation.PAGE and not decisions.may_be_page(tx)
    if refused:
        problem = "requests are made on the page here, and this login is no member of archive_page"
        raise UsageError(problem, hint="archiver migrate --roles, then GRANT archive_page TO this login")


def open_for_one(
    settings: Settings, store: Store, person: Person, look: PageView, clock: Clock = time.monotonic
) -> Opened:
    """The page for one person, on this machine alone."""
    bound = listen_privately()
    host, port = bound.getsockname()[:2]
    address, door = f"http://{host}:{port}", OneTimeLink(person, clock)
    return Opened(_page(settings, store, door, address, look, clock), bound, address, f"{address}/signin/{door.token}")


def open_behind_proxy(
    settings: Settings, store: Store, section: Review, look: PageView, clock: Clock = time.monotonic
) -> Opened:
    """The page behind a proxy that signs people in. Raises ConfigurationError, and ArchiverError for a taken port."""
    door, url = TrustedProxy(section, read_secret(section.secret_file)), section.url or ""
    bound = listen(section.host, section.port)
    return Opened(_page(settings, store, door, url, look, clock), bound, url, None)


def _page(
    settings: Settings, store: Store, door: OneTimeLink | TrustedProxy, site: str, look: PageView, clock: Clock
) -> ReviewPage:
    return ReviewPage(store.answering(), settings, door, site, Viewings(clock), *look, _blobs(settings))


def _blobs(settings: Settings) -> Callable[[], Blobs] | None:
    if settings.attachments is None:
        return None
    return lambda: attachments.open_blobs(settings)
