"""A server that follows a script to the byte, and a clock that only waiting moves."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

Step = bytes | Callable[["Scripted", socket.socket], None]


class Time:
    """A monotonic clock, and a stop event whose `wait` moves it at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.stop = _Stop(self)

    def __call__(self) -> float:
        return self.now


class _Stop(threading.Event):
    def __init__(self, clock: Time) -> None:
        super().__init__()
        self._of = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._of.waits.append(timeout or 0.0)
        self._of.now += timeout or 0.0
        return self.is_set()


class Scripted:
    """Answers each request with the next step of its script, the last one again and again; remembers the requests."""

    def __init__(self) -> None:
        self.script: list[Step] = []
        self.asked: list[bytes] = []
        self.connections = 0
        self.over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._listen)]
        self._lock = threading.Lock()
        self._threads[0].start()

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        return [asked.split(b"\r\n", 1)[0].decode() for asked in self.asked]

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open.append(connection)
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while request := _request(connection):
                with self._lock:
                    self.asked.append(request)
                    step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if isinstance(step, bytes):
                    connection.sendall(step)
                else:
                    step(self, connection)

    def close(self) -> None:
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    # The steps a script is made of.

    @staticmethod
    def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> bytes:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    @staticmethod
    def cut(data: bytes = b"") -> Step:
        """Send this much, then close."""

        def step(_: Scripted, connection: socket.socket) -> None:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_RDWR)

        return step

    @staticmethod
    def reset() -> Step:
        def step(_: Scripted, connection: socket.socket) -> None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        return step

    @staticmethod
    def hang() -> Step:
        def step(server: Scripted, _: socket.socket) -> None:
            server.over.wait()

        return step

    @staticmethod
    def drip(data: bytes, whole: bytes = b"", pause: float = 0.02) -> Step:
        """Send `whole` at once, then `data` byte by byte for as long as anybody listens."""

        def step(server: Scripted, connection: socket.socket) -> None:
            connection.sendall(whole)
            for byte in data:
                connection.sendall(bytes([byte]))
                if server.over.wait(pause):
                    break

        return step


def _request(connection: socket.socket) -> bytes:
    """One whole request; empty when the other side has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
        if data.startswith(b"\x16"):  # a TLS client saying hello
            return data
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    yield scripted
    scripted.close()


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def began() -> Callable[[], float]:
    """Seconds since the test began, by the real clock."""
    start = time.monotonic()
    return lambda: time.monotonic() - start
