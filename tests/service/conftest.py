"""The daemon at work, who it reports to, and a stand-in for systemd's end of the notify socket."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from archiver.config import Settings, load
from archiver.service.daemon import Daemon
from archiver.service.systemd import Notifier
from archiver.store.engine import LIMITS, Store, open_store
from archiver.store.postgres import Limits
from tests.conftest import Database
from tests.flow.conftest import Archive, MakeArchive, archive, make_archive, start

__all__ = ["Archive", "MakeArchive", "archive", "make_archive", "start"]


def wait_until(true: Callable[[], object], seconds: float = 60) -> None:
    """Timing is no verdict: this only ends a wait for what should have come long ago."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


class Manager:
    """systemd's end: what the service said, in order."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.heard: list[str] = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while text := self._socket.recv(65536).decode():
            self.heard += text.splitlines()

    def says(self, word: str) -> int:
        return sum(line.startswith(word) for line in self.heard)

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


@pytest.fixture
def database(sqlite_template: Path, tmp_path: Path) -> Database:
    """What the daemon does around its pulls does not depend on the kind; the tests that differ name theirs."""
    shutil.copy(sqlite_template, tmp_path / "archive.db")
    return Database("sqlite", f"sqlite:///{tmp_path / 'archive.db'}")


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a service may keep things."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))


@pytest.fixture
def manager() -> Iterator[Manager]:
    found = Manager(f"@archiver-test-{os.getpid()}-{time.monotonic_ns()}")
    yield found
    found.close()


class Service:
    """The daemon in a thread of this process, over the reading of its configuration."""

    def __init__(self, config: Path, notifier: Notifier | None, wall: Callable[[], float], limits: Limits) -> None:
        self.config = config
        self.stop, self.hangup = threading.Event(), threading.Event()
        settings = self.read()
        self.store: Store = open_store(settings.database.sqlalchemy_url, limits=limits)
        daemon = Daemon(self.store, self.stop, hangup=self.hangup, reload=self.read, notifier=notifier, wall=wall)
        self.failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(daemon, settings))
        self._thread.start()

    def read(self) -> Settings:
        return load(self.config, {})

    def _run(self, daemon: Daemon, settings: Settings) -> None:
        try:
            daemon.run(settings)
        except Exception as error:
            self.failed = error

    def end(self) -> None:
        self.stop.set()
        self._thread.join()
        self.store.dispose()


MakeService = Callable[..., Service]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[MakeService]:
    """Starts daemons; they end with the test."""
    running: list[Service] = []

    def begin(
        archive: Archive,
        *,
        top: str = '[schedule]\nevery = "1s"\n',
        notifier: Notifier | None = None,
        wall: Callable[[], float] = time.time,
        limits: Limits = LIMITS,
        **changes: Any,
    ) -> Service:
        archive.write_config(**changes)
        archive.config.write_text(top + archive.config.read_text())
        running.append(Service(archive.config, notifier, wall, limits))
        return running[-1]

    yield begin
    for each in running:
        each.end()


class Listener:
    """Somebody who is told by HTTP: a chat service's webhook, or the far end of a heartbeat."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.status, self.answer = 200, b"{}"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests.append((self.command, self.path, json.loads(body) if body else None))
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.answer)))
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()
                self.wfile.write(outer.answer)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def of(self, method: str) -> list[Any]:
        return [(path, body) for one, path, body in list(self.requests) if one == method]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.close()


@contextmanager
def opened(database: Database) -> Iterator[Store]:
    store = open_store(database.url.replace("postgresql://", "postgresql+psycopg://"))
    yield store
    store.dispose()
