"""Bombs and drips: each is read in a process of its own, whose memory and processor time are bounded."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
MOST_MB, MOST_S = 96, 60
LONG, DRIPPING = (200, 200), (4, 200)
"""How long a reader waits: not for ever for a drip, and for whatever takes long on a slow machine long enough."""

Body = Iterator[bytes]


def head(*lines: str) -> bytes:
    return "\r\n".join(
        ["HTTP/1.1 200 OK", "Content-Type: application/json", "Connection: close", *lines, "", ""]
    ).encode()


def page_of(record: bytes, times: int, tail: bytes = b"", begin: bytes = b"") -> Body:
    yield head() + b'{"timestamp":1790000000000,"duration":1,"entities":[' + begin
    for _ in range(times):
        yield record
    yield tail + b"]}"


def gigabyte() -> Body:
    yield head() + b'{"entities":["'
    for _ in range(1024):
        yield b"x" * MIB


def gigabyte_declared() -> Body:
    yield head(f"Content-Length: {1 << 30}") + b"{"
    yield b" " * MIB


def packed(block: bytes, times: int, begin: bytes = b"") -> Body:
    packer = zlib.compressobj(9, wbits=31)
    yield head("Content-Encoding: gzip") + packer.compress(begin)
    for _ in range(times):
        yield packer.compress(block)
    yield packer.flush()


def packed_twice() -> Body:
    yield head("Content-Encoding: gzip") + gzip.compress(gzip.compress(b" " * MIB) * 1024)


def file_of(block: bytes, times: int) -> Body:
    yield head()
    packer = zlib.compressobj(9, wbits=31)
    for _ in range(times):
        yield packer.compress(block)
    yield packer.flush()


def drip(first: bytes, piece: bytes) -> Body:
    yield first
    while True:
        time.sleep(0.3)
        yield piece


def page_chunk() -> Body:
    yield head("Transfer-Encoding: chunked")
    for _ in range(64):
        yield b"0" * MIB


def silence() -> Body:
    time.sleep(200)
    yield b""


PAGES: dict[str, tuple[Callable[[], Body], str]] = {
    "a body of 1 GB": (gigabyte, "AnswerTooLarge"),
    "1 GB, as it says itself": (gigabyte_declared, "AnswerTooLarge"),
    "a gzip bomb of 1 GB": (lambda: packed(b" " * MIB, 1024), "AnswerTooLarge"),
    "a bomb of brackets": (lambda: packed(b"[" * MIB, 23, b'{"entities":['), "AnswerUnusable"),
    "gzip within gzip": (packed_twice, "AnswerUnusable"),
    "20 MB of empty objects": (lambda: page_of(b"{}," * 349525, 20, b"{}"), "AnswerTooLarge"),
    "20 MB of nothing but commas": (lambda: page_of(b"," * MIB, 20), "AnswerUnusable"),
    "one record of 7 million values": (lambda: page_of(b"[" + b"{}," * 6_990_500 + b"0]", 1), "1 records"),
    "100,000 levels": (lambda: page_of(b"[" * 100_000 + b"]" * 100_000, 1), "1 records"),
    "20 MB of one bracket": (lambda: page_of(b"[" * MIB, 20), "AnswerUnusable"),
    "a string without an end": (lambda: page_of(b'\\"' * 524288, 20, begin=b'"'), "AnswerUnusable"),
    "dripping headers": (lambda: drip(b"HTTP/1.1 200 OK\r\nX: ", b"x"), "not finished within 4 s"),
    "dripping header lines": (lambda: drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), "not finished within 4 s"),
    "100 Continue without end": (lambda: drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "not finished within 4 s"),
    "a dripping body": (lambda: drip(head(), b" "), "not finished within 4 s"),
    "dripping chunks": (lambda: drip(head("Transfer-Encoding: chunked"), b"1\r\n \r\n"), "not finished within 4 s"),
    "a chunk size without end": (page_chunk, "the connection broke off"),
    "silence": (silence, "silent for too long"),
}
FILES: dict[str, tuple[Callable[[], Body], str]] = {
    "a file of 256 MB of spaces": (lambda: file_of(b" " * MIB, 256), "WalkFailed"),
    "a file of 256 MB of zeros": (lambda: file_of(b"\0" * MIB, 256), "WalkFailed"),
    "a file with a line of 64 MB": (lambda: file_of(b'{"a":"' + b"x" * MIB, 64), "WalkFailed"),
    "a file of half a million empty objects": (lambda: file_of(b"{}" * 524288, 1), "524288 records"),
    "a dripping file": (lambda: drip(head(), b"\x1f"), "hardly anything came"),
}


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[], Body]], str]]:
    """Serves a body to whoever connects, as long as he listens."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def run(body: Callable[[], Body]) -> None:
        while not over.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1 << 16)
                    for piece in body():
                        if over.is_set():
                            break
                        connection.sendall(piece)

    thread: list[threading.Thread] = []

    def start(body: Callable[[], Body]) -> str:
        thread.append(threading.Thread(target=run, args=(body,), daemon=True))
        thread[0].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    over.set()
    listener.close()


def limits(name: str) -> tuple[int, int]:
    return (200, 2) if name == "silence" else DRIPPING if "drip" in name or "Continue" in name else LONG


def measure(url: str, kind: str, *limits: int) -> tuple[str, float, float]:
    program = [sys.executable, "-m", "tests.hostile.growth", url, kind, *map(str, limits)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=600, cwd=ROOT, check=True)
    told = json.loads(done.stdout)
    return told["outcome"], told["growth_mb"], told["seconds"]


def check(name: str, url: str, kind: str, expected: str, record: Callable[[str, object], None]) -> None:
    outcome, growth_mb, seconds = measure(url, kind, *limits(name))
    record(name, f"{growth_mb:.0f} MB, {seconds:.1f} s: {outcome}")
    assert expected in outcome
    assert growth_mb < MOST_MB
    assert seconds < MOST_S


SHORT = ("a gzip bomb of 1 GB", "20 MB of empty objects", "dripping headers")


@pytest.mark.full
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SHORT else pytest.mark.full) for n in PAGES])
def test_a_page_neither_fills_the_memory_nor_takes_for_ever(
    name: str, serve: Callable[[Callable[[], Body]], str], record_property: Callable[[str, object], None]
) -> None:
    body, expected = PAGES[name]
    check(name, serve(body), "page", expected, record_property)


@pytest.mark.full
@pytest.mark.parametrize("name", FILES)
def test_an_hourly_file_neither_fills_the_memory_nor_takes_for_ever(
    name: str, serve: Callable[[Callable[[], Body]], str], record_property: Callable[[str, object], None]
) -> None:
    body, expected = FILES[name]
    check(name, serve(body), "file", expected, record_property)
