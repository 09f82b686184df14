"""The receiver: what it takes, what it refuses, and that nothing is lost that it answered 200 to."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archiver import cli
from archiver.callbacks import spool
from archiver.callbacks.spool import Received
from tests.callbacks.posting import TOKEN, Crowd, post, serving, spooled
from tests.fixtures.service import wait_until

CONFIG = """
[callbacks]
spool = "spool"
listen = "127.0.0.1:{port}"
[[callbacks.apps]]
app = "acme#support"
alias = "support"
token_file = "token"
secrets_file = "nobody reads this"
[[apps]]
org = "acme"
app = "support"
client_id = "id"
client_secret_file = "nobody reads this either"
start = 0
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def configured(tmp_path: Path) -> tuple[Path, int]:
    """A configuration without database, secrets and credentials, and its port."""
    port = free_port()
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(port=port))
    (tmp_path / "token").write_text(TOKEN + "\n")
    return path, port


Begin = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def begin(configured: tuple[Path, int]) -> Iterator[Begin]:
    """Starts receivers of that configuration as processes, which listen when it returns."""
    import sys

    path, port = configured
    running = []

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "archiver", "--config", str(path), "receive"]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE))
        wait_until(lambda: is_open(port) or running[-1].poll() is not None)
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_callback_is_taken_whole_and_answered_with_an_empty_body(tmp_path: Path) -> None:
    bodies = [b'{"callId": "a"}', b"", b"no JSON \xff\x00", "中文".encode(), bytes(2**20)]
    with serving(tmp_path) as served:
        before = time.time_ns() // 1_000_000
        assert [post(served.port, body) for body in bodies] == [200] * len(bodies)
        assert sorted(received.body for received in spooled(tmp_path)) == sorted(bodies)
    assert {received.alias for received in spooled(tmp_path)} == {"support"}
    assert all(before <= received.received_ms <= time.time_ns() // 1_000_000 for received in spooled(tmp_path))


def test_what_is_not_for_a_known_alias_and_token_is_refused_and_counted(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        assert post(served.port, b"{}", token="0" * 32) == 404
        assert post(served.port, b"{}", token="") == 404
        assert post(served.port, b"{}", alias="other") == 404
        assert post(served.port, b"{}", alias="other", token="0" * 32) == 404
        assert post(served.port, b"{}", alias="../support") == 404
        assert post(served.port, b"{}", token=TOKEN + "/x") == 404
        assert post(served.port, b"{}", token=TOKEN[:-1] + "%00") == 404
        assert post(served.port, b"", method="GET", token="1" * 32) == 404
        assert post(served.port, b"", method="GET") == 405
        assert post(served.port, b"{}", token=TOKEN.upper()) == 200
        assert served.application.counts() == {"refused_404": 8, "refused_405": 1, "taken": 1}
        assert served.application.counts() == {}


def test_a_body_of_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        connection.putrequest("POST", f"/callback/support/{TOKEN}")
        connection.putheader("Content-Length", str(2**20 + 1))
        connection.endheaders()
        assert connection.getresponse().status == 413
        connection.close()
        chunks = (bytes(2**16) for _ in range(17))
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        try:
            connection.request("POST", f"/callback/support/{TOKEN}", chunks, encode_chunked=True, headers=_CHUNKED)
            assert connection.getresponse().status == 413
        except OSError:
            pass  # it closed before all was sent
        connection.close()
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        connection.request(
            "POST", f"/callback/support/{TOKEN}", iter([b"ab", b"cd"]), encode_chunked=True, headers=_CHUNKED
        )
        assert connection.getresponse().status == 200
        connection.close()
    assert [received.body for received in spooled(tmp_path)] == [b"abcd"]


_CHUNKED = {"Transfer-Encoding": "chunked"}


def test_nothing_is_taken_below_a_tenth_of_the_disk_and_all_again_above_it(tmp_path: Path) -> None:
    with serving(tmp_path, free=0.099) as served:
        assert post(served.port, b"{}") == 503
        assert spooled(tmp_path) == []
        served.free = 0.1
        assert post(served.port, b"{}") == 200


def test_slow_senders_do_not_stop_others(tmp_path: Path) -> None:
    """More of them than there are threads."""
    with serving(tmp_path) as served:
        slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(40)]
        for connection in slow:
            head = f"POST /callback/support/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx"
            connection.sendall(head.encode())
        assert [post(served.port, b"%d" % number) for number in range(20)] == [200] * 20
        for connection in slow:
            connection.close()
    assert len(spooled(tmp_path)) == 20


class Disk:
    """What of a folder would survive a cut of the power: synced bytes under synced names, and nothing else."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._sync, self._lock = os.fsync, threading.Lock()
        self._bytes: dict[int, bytes] = {}  # by inode
        self.names: dict[str, int] = {}  # of segments, by path
        patch.setattr(os, "fsync", self.fsync)

    def fsync(self, descriptor: int) -> None:
        self._sync(descriptor)
        status = os.fstat(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        with self._lock:
            if stat.S_ISDIR(status.st_mode):
                for name in [name for name in self.names if Path(name).parent == path]:
                    del self.names[name]
                for entry in path.iterdir():
                    self.names[str(entry)] = entry.stat().st_ino
            else:
                with path.open("rb") as file:  # what is written while this reads may survive as well
                    self._bytes[status.st_ino] = file.read()

    def after_a_cut(self, folder: Path) -> set[bytes]:
        """The bodies that a receiver and an ingest would find."""
        with self._lock:
            files = {name: self._bytes.get(inode, b"") for name, inode in self.names.items()}
        folder.mkdir()
        for number, content in enumerate(files.values()):
            (folder / f"{number}.segment").write_bytes(content)
        return {received.body for received in spooled(folder)}


def cuts_under_load(tmp_path: Path, disk: Disk, *, cuts: int) -> int:
    """How many callbacks were answered 200 and not there after one of so many cuts."""
    lost = 0
    with serving(tmp_path / "spool", now_ms=None) as served:
        crowd = Crowd(served.port)
        for cut in range(cuts):
            seen = len(crowd.answered)
            wait_until(lambda seen=seen: len(crowd.answered) > seen + 5)  # type: ignore[misc]
            answered = set(crowd.answered)
            left = disk.after_a_cut(tmp_path / f"cut-{cut}")
            lost += len(answered - left)
            assert left <= crowd.sent
            if cut % 10 == 0:
                served.writer.close_due(at_once=True)
        served.free = 0
        crowd.join()
    return lost


@pytest.mark.parametrize("cuts", [20, pytest.param(100, marks=pytest.mark.full)])
def test_what_was_answered_200_survives_a_cut_of_all_that_was_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuts: int
) -> None:
    assert cuts_under_load(tmp_path, Disk(monkeypatch), cuts=cuts) == 0


@pytest.mark.parametrize("spared", ["files", "folders"])
def test_a_receiver_that_spares_an_fsync_loses_callbacks_at_a_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spared: str
) -> None:
    """The judge of the test above has to notice both."""
    disk = Disk(monkeypatch)

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) != (spared == "folders"):
            disk.fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert cuts_under_load(tmp_path, disk, cuts=3) > 0


@pytest.mark.full
@pytest.mark.parametrize("kills", [int(os.environ.get("ARCHIVER_PROVE_KILLS", "8"))])
def test_a_receiver_that_is_killed_has_spooled_what_it_answered_200_to_and_nothing_else(
    begin: Begin, configured: tuple[Path, int], kills: int
) -> None:
    config, port = configured
    answered: list[bytes] = []
    sent: set[bytes] = set()
    moments = random.Random(24)
    for kill in range(kills):
        process = begin()
        crowd = Crowd(port)
        enough = moments.randrange(5, 300)
        wait_until(lambda crowd=crowd, enough=enough: len(crowd.answered) >= enough)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        process.wait()
        crowd.join()
        unique = [kill.to_bytes(2) + body for body in crowd.answered]
        answered += unique
        sent |= {kill.to_bytes(2) + body for body in crowd.sent}
        begin().terminate()
        wait_until(lambda: not is_open(port))
        there = [kill.to_bytes(2) + received.body for received in spooled(config.parent / "spool")]
        assert set(unique) <= set(there) <= sent
        assert len(there) == len(set(there))
        for path in (config.parent / "spool").rglob("*.segment"):
            path.unlink()
    assert answered


@pytest.mark.full
def test_a_receiver_ends_at_a_signal_and_says_what_it_did_in_figures_only(
    begin: Begin, configured: tuple[Path, int]
) -> None:
    process = begin()
    assert post(configured[1], json.dumps({"secret text": "a b c"}).encode()) == 200
    assert post(configured[1], b"{}", token="1" * 32) == 404
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    text = said.decode()
    assert "taken=1 refused_404=1" in text
    assert TOKEN not in text
    assert "1" * 32 not in text
    assert "secret text" not in text
    folder = configured[0].parent / "spool"
    assert len(list((folder / spool.READY).iterdir())) == 1
    assert [received.body for received in spooled(folder)] == [b'{"secret text": "a b c"}']


def test_a_port_that_is_taken_and_a_wrong_configuration_have_their_exit_codes(
    configured: tuple[Path, int], capsys: pytest.CaptureFixture[str]
) -> None:
    config, port = configured
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert cli.invoke(["--config", str(config), "receive"]) == 1
    assert "cannot be listened on" in capsys.readouterr().err
    (config.parent / "token").write_text("short")
    assert cli.invoke(["--config", str(config), "receive"]) == 2
    assert "32 hex digits" in capsys.readouterr().err
    config.write_text(config.read_text().partition("[callbacks]")[0] + "[[apps]]" + CONFIG.partition("[[apps]]")[2])
    assert cli.invoke(["--config", str(config), "receive"]) == 2
    assert "no callbacks are configured" in capsys.readouterr().err


def test_a_record_is_no_longer_than_what_is_read_back(tmp_path: Path) -> None:
    longest = Received("a" * 63, 2**62, bytes(2**20))
    (tmp_path / "1.segment").write_bytes(spool.encoded(longest))
    assert spooled(tmp_path) == [longest]
