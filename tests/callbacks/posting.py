"""Those who send callbacks, as the provider does: one connection each, and a status for every body."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from archiver.callbacks import receiver, spool
from archiver.callbacks.spool import Received
from archiver.callbacks.spooling import SpoolWriter

TOKEN = "0123456789abcdef0123456789abcdef"


def post(port: int, body: bytes, *, alias: str = "support", token: str = TOKEN, method: str = "POST") -> int:
    """One callback over a connection of its own; gives the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        return posted(connection, body, f"/callback/{alias}/{token}", method)
    finally:
        connection.close()


def posted(connection: http.client.HTTPConnection, body: bytes, path: str, method: str = "POST") -> int:
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.read() == b""
    return answer.status


class Crowd:
    """Threads that send one body after the other until nobody answers; `answered`: what was taken, in order."""

    def __init__(self, port: int, threads: int = 8) -> None:
        self._port = port
        self.answered: list[bytes] = []
        self.sent: set[bytes] = set()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _send(self, thread: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            for number in range(1_000_000):
                body = json.dumps({"callId": f"{thread}-{number}", "padding": "x" * 200}).encode()
                self.sent.add(body)
                if posted(connection, body, f"/callback/support/{TOKEN}") != 200:
                    return
                self.answered.append(body)
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def spooled(folder: Path) -> list[Received]:
    """All that is in a spool, wherever it stands."""
    segments = sorted(folder.rglob("*.segment"), key=lambda path: path.name)
    return [received for path in segments for received, _ in spool.records(path)]


class Serving:
    """A receiver at work in this process."""

    def __init__(self, folder: Path, *, free: float = 1.0, now_ms: int | None = None) -> None:
        self.free = free
        self.stop = threading.Event()
        self.writer = SpoolWriter(folder, lambda: now_ms if now_ms is not None else _now_ms())
        bound = receiver.listen("127.0.0.1", 0)
        self.port: int = bound.getsockname()[1]
        self.application = receiver.Receiver({"support": TOKEN}, self.writer, lambda: self.free)
        arguments = (bound, self.application, self.writer, self.stop)
        self._bound = bound
        self._thread = threading.Thread(target=receiver.serve, args=arguments)
        self._thread.start()

    def end(self) -> None:
        self.stop.set()
        self._thread.join()
        self.writer.close()
        self._bound.close()


def _now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000


@contextmanager
def serving(folder: Path, *, free: float = 1.0, now_ms: int | None = None) -> Iterator[Serving]:
    with ExitStack() as stack:
        served = Serving(folder, free=free, now_ms=now_ms)
        stack.callback(served.end)
        yield served
