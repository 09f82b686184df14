"""Watching processes of the program from outside, and holding them where a test wants them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Protocol

from archiver.sandbox import Sandbox
from archiver.sandbox.wire import SandboxAnswer, SandboxRequest
from tests.fixtures.archive import Archive

Process = subprocess.Popen[bytes]
Start = Callable[..., Process]

_DRIP_S = 0.5


class Gate:
    """Lets through so many answers to requests whose path contains a text, and holds the others until it opens.

    So a process cannot be done before a test is done with it, however fast it is and however late the test comes. What
    is held drips, since a client gives up who is silent: for a file of 200 bytes that is well over a minute.
    """

    def __init__(self, server: Sandbox, path: str) -> None:
        self._server, self._path = server, path
        self._lock, self._left = Lock(), 0
        self._open = True
        self.held: list[SandboxAnswer] = []
        server._api.answer = self._answer

    def let(self, requests: int) -> None:
        """So many from now on, and then none."""
        with self._lock:
            self._open, self._left, self.held = False, requests, []

    def open(self) -> None:
        """All that wait, and all that come."""
        with self._lock:
            self._open = True
            for answer in self.held:
                answer.pause_s = 0

    def wait(self, requests: int = 1) -> None:
        """Until so many are held."""
        deadline = time.monotonic() + 60
        while len(self.held) < requests:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def _answer(self, request: SandboxRequest) -> SandboxAnswer:
        answer = self._server.answer(request)
        with self._lock:
            if self._path in request.path and not self._open and answer.status == 200:
                self._left -= 1
                if self._left < 0:
                    answer.broken, answer.pause_s, answer.pieces = "drip", _DRIP_S, len(answer.body)
                    self.held.append(answer)
        return answer


class Ends(Protocol):
    """A process that can be asked whether it has ended."""

    def poll(self) -> int | None: ...


def wait_for_pages(archive: Archive, pages: int, process: Ends) -> None:
    """Until so many pages are stored, or the process has ended."""
    deadline = time.monotonic() + 60
    while archive.count("pages") < pages and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_asked_to_stop(process: Process) -> None:
    """Until the process has taken a SIGTERM: it catches one, and leaves the next to the system."""
    deadline = time.monotonic() + 60
    while _catches(process, signal.SIGTERM):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _catches(process: Process, sign: signal.Signals) -> bool:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt")), "0")
    return bool(int(caught, 16) >> (sign - 1) & 1)


def halt(process: Process) -> None:
    """SIGSTOP, and wait until the process stands still."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def never_ahead(archive: Archive) -> None:
    """Whatever the claim covers is there."""
    marks = archive.database.rows("SELECT complete_from_ms, complete_until_ms FROM watermarks")
    stored = {row[0] for row in archive.database.rows("SELECT msg_id FROM messages")}
    for from_ms, until_ms in marks:
        claimed = {row.msg_id for row in archive.server.records if from_ms <= row.timestamp_ms < until_ms}
        assert claimed <= stored
