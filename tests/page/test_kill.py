"""`kill -9` between a look's row and the first byte of what it shows: a row and nothing seen, never the reverse.

Commands write into a pipe that is full, so that each is held there; the page is killed as soon as somebody else sees
the row, and at moments around that. `ARCHIVER_PROVE_KILLS=100` makes it a hundred of each.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.fixtures.archive import Archive
from tests.flow.nursery import Child, Nursery, opened
from tests.page.browsing import PROXY, SECRET, Visitor, proxy_headers
from tests.page.test_looking import a_conversation
from tests.postgres import free_port

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]
KILLS = int(os.environ.get("ARCHIVER_PROVE_KILLS", "8"))
_MODULES = ("archiver.page.commands", "archiver.cli.review", "archiver.cli.search", "archiver.cli.conversation")


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    with opened(tmp_path, *_MODULES) as it:
        yield it


class FullPipe:
    """A pipe that takes nothing more until it is emptied."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.filler = 0
        for size in (4096, 1):
            with suppress(BlockingIOError):
                while True:
                    self.filler += os.write(self._end, b"\0" * size)

    def empty(self) -> bytes:
        """All that is in it, which ends it."""
        whole = bytearray()
        with suppress(BlockingIOError):
            while True:
                whole += os.read(self._end, 1 << 20)
        os.close(self._end)
        return bytes(whole)


def wait_for_looks(archive: Archive, count: int, process: Child) -> None:
    deadline = time.monotonic() + 60
    while archive.count("looks") < count and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_command_that_is_killed_behind_its_row_has_shown_nothing(
    pulled: Archive, nursery: Nursery, tmp_path: Path
) -> None:
    pulled.config.write_text("[review]\n" + pulled.config.read_text())
    words = [["search", "a"], ["conversation", *a_conversation(pulled).split("|")], ["conversations"]]
    for kill in range(KILLS):
        pipe, looks = FullPipe(tmp_path / f"pipe{kill}"), pulled.count("looks")
        process = nursery(pulled, *words[kill % 3], output=pipe.path)
        wait_for_looks(pulled, looks + 1, process)
        assert process.poll() is None, "it waits for the pipe, behind its row"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert pipe.empty() == b"\0" * pipe.filler, "a row, and not a byte"
        assert pulled.count("looks") == looks + 1


def test_a_command_that_is_killed_anywhere_shows_nothing_without_its_row(
    pulled: Archive, nursery: Nursery, tmp_path: Path
) -> None:
    pulled.config.write_text("[review]\n" + pulled.config.read_text())
    made, ends = random.Random(KILLS), list[float]()
    for kill in range(KILLS):
        output, looks = tmp_path / f"output{kill}", pulled.count("looks")
        begun = time.monotonic()
        process = nursery(pulled, "search", "a", output=output)
        if len(ends) < 2:  # how long it takes where it may end
            assert process.wait() == 0
            ends.append(time.monotonic() - begun)
        else:
            time.sleep(made.random() * 1.1 * max(ends))
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()
        shown = output.exists() and output.stat().st_size > 0
        assert not shown or pulled.count("looks") == looks + 1


class ReviewProcess:
    """The page as a process, started anew after each kill; who has signed in stays so."""

    def __init__(self, archive: Archive, nursery: Nursery) -> None:
        self._archive, self._nursery, self.port = archive, nursery, free_port()
        secret = archive.config.parent / "proxy.secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        section = PROXY.format(secret=secret).replace("127.0.0.1:0", f"127.0.0.1:{self.port}")
        archive.config.write_text(section + archive.config.read_text())
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self) -> Child:
        process = self._nursery(self._archive, "review")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return process
            time.sleep(0.005)
        raise AssertionError("the page does not answer")


class Reader(threading.Thread):
    """Sends a search and follows it; `received`: all bytes of answers that show something."""

    def __init__(self, li: Visitor) -> None:
        super().__init__()
        self._li, self.received = li, 0
        self.start()

    def run(self) -> None:
        headers = {"Connection": "close"}
        with suppress(requests.RequestException, OSError):
            form = {"csrf": self._li.csrf, "words": "a"}
            ours: dict[str, Any] = {"timeout": 60, "allow_redirects": False, "headers": headers}
            answer = self._li.session.post(f"{self._li.address}/search", data=form, **ours)
            if answer.status_code == 303:
                where = self._li.address + answer.headers["Location"]
                with self._li.session.get(where, stream=True, **ours) as shown:
                    for chunk in shown.iter_content(512):
                        self.received += len(chunk)


def test_a_page_that_is_killed_around_its_row_has_shown_nothing_without_it(pulled: Archive, nursery: Nursery) -> None:
    page, made = ReviewProcess(pulled, nursery), random.Random(KILLS)
    process = page.start()
    li = Visitor(page.address, proxy_headers("officer"))
    li.get("/")
    li.post("/signin")
    li.get("/search")
    assert li.csrf
    for _ in range(KILLS):
        looks = pulled.count("looks")
        reader = Reader(li)
        wait_for_looks(pulled, looks + 1, process)
        time.sleep(made.choice((0.0, made.random() * 0.02)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        reader.join()
        assert pulled.count("looks") == looks + 1, "with what was seen, or without"
        process = page.start()
    # The same without a kill, so that the reader is one who would have seen something.
    reader = Reader(li)
    reader.join()
    assert reader.received > 1_000
