"""The connection to PostgreSQL is cut at a COMMIT, before the server has it or before its reply arrives.

The client sees the same error both times; in the second case the rows are there. Nothing may be lost or doubled, and
nobody may be needed.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from itertools import count
from threading import Event
from typing import Any

import psycopg
import pytest

from tests.fixtures.databases import Database
from tests.proof import scenarios
from tests.proof.scene import Scene

_COMMIT = b"COMMIT\0"


class CuttingProxy:
    """Passes bytes on between clients and a server, and cuts the connection at one of the COMMITs."""

    def __init__(self, server: tuple[socket.AddressFamily, Any], at: int, *, done: bool) -> None:
        self.server, self.at, self.done = server, at, done
        self.commits = 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listening.getsockname()[1])
        self._numbers = count(1)
        self._open: list[socket.socket] = [self.listening]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            server = socket.socket(self.server[0])
            server.connect(self.server[1])
            self._open += [client, server]
            swallow, swallowed = threading.Event(), threading.Event()
            for pass_on, one, other in ((self._ask, client, server), (self._answer, server, client)):
                self._threads.append(threading.Thread(target=pass_on, args=(one, other, swallow, swallowed)))
                self._threads[-1].start()

    def _ask(self, one: socket.socket, other: socket.socket, swallow: Event, swallowed: Event) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(65536):
                if _COMMIT in piece:
                    self.commits += 1
                    if next(self._numbers) == self.at:
                        if self.done:
                            swallow.set()
                            other.sendall(piece)
                            assert swallowed.wait(60)  # the server has answered: the commit is done
                        break
                other.sendall(piece)
        _cut(one, other)

    def _answer(self, one: socket.socket, other: socket.socket, swallow: Event, swallowed: Event) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(65536):
                if swallow.is_set():
                    break
                other.sendall(piece)
        swallowed.set()
        _cut(one, other)

    def close(self) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)


def _cut(*both: socket.socket) -> None:
    for each in both:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def cutting(database: Database, at: int, *, done: bool) -> Iterator[tuple[CuttingProxy, str]]:
    """A proxy before this database, and the URL that leads through it."""
    known = psycopg.conninfo.conninfo_to_dict(database.url)
    host, port = str(known.get("host", "127.0.0.1")), known.get("port") or 5432
    target = (socket.AF_UNIX, f"{host}/.s.PGSQL.{port}") if host.startswith("/") else (socket.AF_INET, (host, port))
    proxy = CuttingProxy(target, at, done=done)
    login = str(known.get("user", "postgres")) + (f":{known['password']}" if known.get("password") else "")
    try:
        yield proxy, f"postgresql+psycopg://{login}@127.0.0.1:{proxy.port}/{known['dbname']}"
    finally:
        proxy.close()


COMMITS = 9
"""An undisturbed pull of this scene commits so often at least."""


@pytest.mark.parametrize("done", [False, True], ids=["commit not done", "reply lost"])
@pytest.mark.parametrize(
    "at", [4, 6, *(pytest.param(at, marks=pytest.mark.full) for at in range(1, COMMITS + 1) if at not in (4, 6))]
)
def test_a_connection_cut_at_commit_costs_nothing(both: Sequence[Database], at: int, done: bool) -> None:
    scene = Scene(both[1], scenarios.TALK)
    with scene.surroundings(), cutting(both[1], at, done=done) as (proxy, url):
        direct, scene.url = scene.url, url
        with contextlib.suppress(Exception):  # before there is a run, the error comes up as it is
            outcome = scene.pull()
            assert outcome is not None
            assert outcome.exit_code in (0, 75)
        assert proxy.commits >= at
        scene.url = direct
        scene.check()
        scene.clock.now_ms += 180_000  # where the give-back was lost, too, the lease runs out by itself
        scene.complete()
