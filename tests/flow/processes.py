"""Watching processes of the program from outside."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from tests.flow.conftest import Archive

Process = subprocess.Popen[bytes]
Start = Callable[..., Process]


def wait_for_pages(archive: Archive, pages: int, process: Process) -> None:
    """Until so many pages are stored, or the process has ended."""
    deadline = time.monotonic() + 60
    while archive.count("pages") < pages and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def never_ahead(archive: Archive) -> None:
    """Whatever the claim covers is there."""
    marks = archive.database.rows("SELECT complete_from_ms, complete_until_ms FROM watermarks")
    stored = {row[0] for row in archive.database.rows("SELECT msg_id FROM messages")}
    for from_ms, until_ms in marks:
        claimed = {row.msg_id for row in archive.server.records if from_ms <= row.timestamp_ms < until_ms}
        assert claimed <= stored
