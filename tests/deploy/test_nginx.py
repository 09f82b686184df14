"""The snippet for nginx in front of a real receiver: what it passes on, and whom it keeps out."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.callbacks.posting import TOKEN, Serving, serving, spooled
from tests.deploy.conftest import DEPLOY, Tool
from tests.fixtures.service import wait_until


@contextmanager
def running(nginx: str, snippet: str, changes: Mapping[str, str], folder: Path, port: int) -> Iterator[None]:
    """nginx with a snippet of ours, in which only these places are other ones, until the end of the block."""
    text = (DEPLOY / "nginx" / snippet).read_text()
    for there, here in changes.items():
        assert there in text
        text = text.replace(there, here)
    folders = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    http = f"http {{\n{folders}access_log {folder}/access.log;\n{text}\n}}\n"
    top = f"daemon off;\nuser root;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
    (folder / "nginx.conf").write_text(top + http)
    process = subprocess.Popen([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        wait_until(lambda: is_open(port) or process.poll() is not None)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def proxied(tool: Tool, tmp_path: Path) -> Iterator[tuple[int, Serving]]:
    """The port of nginx with the snippet, and the receiver behind it."""
    nginx = tool("nginx")
    port = free_port()
    certificate(tool("openssl"), tmp_path)
    with serving(tmp_path / "spool") as served:
        changes = {
            "127.0.0.1:9490": f"127.0.0.1:{served.port}",
            "listen 443": f"listen 127.0.0.1:{port}",
            "/etc/ssl/callbacks.example.com.pem": str(tmp_path / "cert.pem"),
            "/etc/ssl/private/callbacks.example.com.key": str(tmp_path / "key.pem"),
            "/var/log/nginx/callbacks.error.log": str(tmp_path / "callbacks.log"),
        }
        with running(nginx, "callbacks.conf", changes, tmp_path, port):
            yield port, served


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def connected(port: int) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 30))


def head(length: int, path: str = f"/callback/support/{TOKEN}") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: callbacks.example.com\r\nContent-Length: {length}\r\n\r\n".encode()


def status(connection: ssl.SSLSocket) -> int:
    return int(connection.recv(4096).split(b" ")[1])


def test_callbacks_come_through_and_the_token_is_in_no_log(proxied: tuple[int, Serving], tmp_path: Path) -> None:
    port, _ = proxied
    with connected(port) as connection:
        connection.sendall(head(5) + b"hello")
        assert status(connection) == 200
        connection.sendall(head(5) + b"again")
        assert status(connection) == 200, "on the same connection"
    for path in ("/", "/metrics", f"/callback/support/{'0' * 32}"):
        with connected(port) as connection:
            connection.sendall(head(2, path) + b"{}")
            assert status(connection) == 404
    with connected(port) as connection:
        connection.sendall(head(2**20 + 1))
        assert status(connection) == 413
    assert [one.body for one in spooled(tmp_path / "spool")] == [b"hello", b"again"]
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert TOKEN not in logs


def test_a_body_that_drips_is_cut_and_does_not_stop_others(proxied: tuple[int, Serving], tmp_path: Path) -> None:
    """A byte a second, by more connections than the receiver has threads."""
    port, _ = proxied
    slow = [connected(port) for _ in range(40)]
    for connection in slow:
        connection.sendall(head(1000))
        connection.settimeout(0.01)
    begun, cut_at = time.monotonic(), 0.0
    while not cut_at and time.monotonic() < begun + 60:
        with connected(port) as connection:
            connection.sendall(head(2) + b"{}")
            assert status(connection) == 200
        try:
            slow[0].sendall(b"x")
            if slow[0].recv(4096):
                cut_at = time.monotonic()
        except TimeoutError:
            time.sleep(0.5)
        except OSError:
            cut_at = time.monotonic()
    for connection in slow:
        connection.close()
    assert 0 < cut_at - begun < 30, "it would drip for a quarter of an hour"
    assert {one.body for one in spooled(tmp_path / "spool")} == {b"{}"}


def certificate(openssl: str, place: Path) -> None:
    """For nobody's name, as nobody here checks it."""
    kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    files = ["-keyout", str(place / "key.pem"), "-out", str(place / "cert.pem"), "-subj", "/CN=callbacks.example.com"]
    subprocess.run([openssl, *kind, *files], check=True, capture_output=True)
