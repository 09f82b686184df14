"""An archive with a store of attachments, of both kinds; and traps: addresses that must never be connected to."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import obstore
import pytest
import requests

from archiver.blobs import Blobs
from tests.conftest import Database
from tests.flow.conftest import Archive, MakeArchive, make_archive
from tests.postgres import free_port
from tests.sources.conftest import Scripted, server

__all__ = ["make_archive", "server"]

KEYS = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up-too", "AWS_REGION": "us-east-1"}


_BOTH = ("verify", "same_rows")
"""What looks at the store itself is tried with both kinds of store."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The short run tries a test of four pairs of database and store on one of two; the full run on all of them."""
    for item in items:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        pair = params.get("database"), params.get("shelf")
        if None in pair:
            continue
        chosen: tuple[tuple[str, str], ...] = (("sqlite", "file"), ("postgresql", "s3"))
        if not any(name in item.name for name in _BOTH):
            chosen = chosen[crc32(item.name.partition("[")[0].encode()) % 2 :][:1]
        if pair not in chosen:
            item.add_marker("full")


class Shelf:
    """A store of attachments as a test looks at it."""

    def __init__(self, url: str, endpoint: str | None) -> None:
        self.url, self.endpoint = url, endpoint
        self.blobs = Blobs(url, endpoint)

    def names(self) -> list[str]:
        return sorted(self.blobs.names())

    def damage(self, sha256: str, data: bytes | None) -> None:
        """Change a content behind the program's back; None: remove it."""
        name = f"{sha256[:2]}/{sha256[2:4]}/{sha256}"
        store = self.blobs._store
        obstore.delete(store, name) if data is None else obstore.put(store, name, data)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """moto's server: the S3 API on a port of its own, in a process of its own."""
    port = free_port()
    environ = {**os.environ, **KEYS}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            requests.put(f"{url}/bucket", timeout=10).raise_for_status()
            break
        except requests.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait()


_numbers = iter(range(10_000))


@pytest.fixture(params=["file", "s3"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """An empty store of each kind."""
    if request.param == "file":
        return Shelf(f"file://{tmp_path}/files", None)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    endpoint = request.getfixturevalue("s3_endpoint")
    return Shelf(f"s3://bucket/{os.getpid()}/{next(_numbers)}", endpoint)


@pytest.fixture
def folder(tmp_path: Path) -> Shelf:
    """An empty local store, for what has nothing to do with the kind of store."""
    return Shelf(f"file://{tmp_path}/files", None)


class Collector(Archive):
    """An archive that fetches attachments."""

    shelf: Shelf
    keys: dict[str, Any]

    def write_config(self, **changes: Any) -> None:
        super().write_config(**changes)
        told = {"store": self.shelf.url, "endpoint": self.shelf.endpoint, "rate": "100000/s", **self.keys}
        lines = [f"{name} = {json.dumps(value)}" for name, value in told.items() if value is not None]
        text = self.config.read_text()
        self.config.write_text("\n".join([text, "[attachments]", *lines]))

    def configure(self, **keys: Any) -> None:
        self.keys |= keys
        self.write_config()

    def states(self) -> dict[str, int]:
        rows = self.database.rows("SELECT state, count(*) FROM attachments GROUP BY state")
        return {str(row[0]): int(row[1]) for row in rows}

    def reasons(self, state: str) -> set[str | None]:
        return {row[0] for row in self.database.rows("SELECT reason FROM attachments WHERE state = ?", state)}

    def send(self, msg_id: str, *bodies: dict[str, Any]) -> None:
        """One more message of the app, to be pulled."""
        at = self.server.start_ms + 1000
        record = {"msg_id": msg_id, "timestamp": at, "from": "a", "to": "b", "chat_type": "chat"}
        self.server.add({**record, "payload": {"bodies": list(bodies)}}, visible_ms=0)


MakeCollector = Callable[..., Collector]


@pytest.fixture
def make_collector(make_archive: MakeArchive) -> MakeCollector:
    def make(database: Database, shelf: Shelf, **options: Any) -> Collector:
        found = make_archive(database, **options)
        found.__class__ = Collector
        assert isinstance(found, Collector)
        found.shelf, found.keys = shelf, {}
        found.write_config()
        return found

    return make


class Trap:
    """Listens where nobody may connect, and remembers who did."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family)
        self.address, self.port = address, int(self._listener.getsockname()[1])
        self.caught = 0
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.caught += 1
            connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def traps() -> Iterator[list[Trap]]:
    """Traps on the usual ports of one test: other loopback addresses, and other ports of this one."""
    found = [Trap("127.0.0.1"), Trap("127.0.0.1"), Trap("127.0.0.2"), Trap("127.1.2.3")]
    with contextlib.suppress(OSError):  # where there is no IPv6
        found.append(Trap("::1"))
    yield found
    for trap in found:
        trap.close()


def bare(server: Scripted) -> None:
    """Forget what a scripted server was asked."""
    server.asked.clear()
    server.connections = 0
