"""By the kernel's account: every answer of the receiver follows the fsync of its bytes, and of a new file's folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.callbacks.posting import TOKEN, posted
from tests.callbacks.test_receiver import CONFIG, free_port, is_open
from tests.deploy.conftest import Tool
from tests.fixtures.service import wait_until

_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>")


class Call(NamedTuple):
    """A system call: the lines of the trace in which it began and ended."""

    name: str
    arguments: str
    begun: int
    ended: int


def calls(trace: str) -> Iterator[Call]:
    open_calls: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(trace.splitlines()):
        if resumed := _RESUMED.match(line):
            if pending := open_calls.pop(resumed[1], None):
                yield Call(*pending, number)
        elif call := _CALL.match(line):
            if line.endswith("<unfinished ...>"):
                open_calls[call[1]] = (call[2], call[3], number)
            else:
                yield Call(call[2], call[3], number, number)


@pytest.fixture
def traced(tool: Tool, tmp_path: Path) -> str:
    """What a receiver did while eight threads sent twenty callbacks each, over a connection for every one."""
    port, trace = free_port(), tmp_path / "trace"
    (tmp_path / "config.toml").write_text(CONFIG.format(port=port))
    (tmp_path / "token").write_text(TOKEN)
    command = [tool("strace"), "-f", "-yy", "-s", "300", "-e", "trace=write,fsync,sendto", "-o", str(trace)]
    command += [sys.executable, "-m", "archiver", "--config", str(tmp_path / "config.toml"), "receive"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_open(port) or process.poll() is not None)
        threads = [threading.Thread(target=send, args=(port, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in map(int, children):  # strace itself would leave it behind
            os.kill(child, signal.SIGTERM)
        process.wait()
    return trace.read_text(errors="replace")


def send(port: int, thread: int) -> None:
    for number in range(20):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.connect()
        ours = connection.sock.getsockname()[1]
        assert posted(connection, f"marker-{ours}-{thread}-{number}-end".encode(), f"/callback/support/{TOKEN}") == 200
        connection.close()


def test_every_answer_follows_the_fsync_of_its_bytes_and_of_the_folder_of_a_new_file(traced: str) -> None:
    made = sorted(calls(traced), key=lambda call: call.ended)
    writes = {}
    for call in made:
        if call.name == "write" and (marker := re.search(r"marker-(\d+)-", call.arguments)):
            segment = re.search(r"<(/[^>]*\.segment)>", call.arguments)
            assert segment
            writes[marker[1]] = (call.ended, segment[1])
    syncs = [
        (call, path[1]) for call in made if call.name == "fsync" and (path := re.match(r"\d+<([^>]*)>", call.arguments))
    ]
    answers = [call for call in made if call.name == "sendto" and "HTTP/1.1 200" in call.arguments]
    assert len(answers) == len(writes) == 160
    for answer in answers:
        client = re.search(r"->127\.0\.0\.1:(\d+)\]", answer.arguments)
        assert client
        written, place = writes[client[1]]
        before = [(call, path) for call, path in syncs if call.ended < answer.begun]
        of_bytes = [call for call, path in before if path == place and written < call.begun]
        assert of_bytes, "answered before its bytes were on the disk"
        folder = str(Path(place).parent)
        assert folder in [path for _, path in before], "and before its name was"
