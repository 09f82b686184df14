"""The way out of a house: a certificate authority of its own, a proxy that everything goes by, plain http within."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509

from archiver.errors import CertificateRefused, ConfigurationError, ProviderUnavailable, UsageError
from archiver.http import Adapter, Client, Limits, SignedLink, Way, call, download, wire
from tests.attachments.test_foreign import Encrypted
from tests.fixtures.http import Scripted

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Encrypted]:
    """A server whose certificate only its own house trusts."""
    found = Encrypted(tmp_path, [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    found.answers = [OK]
    yield found
    found.close()


def client(url: str, way: Way) -> Client:
    return Client(url, stop=threading.Event(), limits=Limits(give_up_s=30), way=way)


def test_a_certificate_of_one_s_own_is_trusted_by_its_file_and_refused_at_once_without(house: Encrypted) -> None:
    url = f"https://127.0.0.1:{house.port}"
    began = time.monotonic()
    with client(url, Way()) as plain, pytest.raises(CertificateRefused, match="certificate is not trusted") as raised:
        plain.fetch("GET", "/x")
    assert time.monotonic() - began < 15, "it is not asked for half a minute"
    assert raised.value.exit_code == 2
    assert "ca_file" in str(raised.value.hint)
    own = Way(ca_file=str(house.certificate))
    with client(url, own) as trusting:
        assert trusting.fetch("GET", "/x").body == b"{}"
    stop = threading.Event()
    assert download(SignedLink(f"{url}/f"), io.BytesIO(), stop=stop, adapter=partial(Adapter, own)).size == 2
    with pytest.raises(CertificateRefused):
        download(SignedLink(f"{url}/f"), io.BytesIO(), stop=stop)
    call(f"{url}/hook", way=own)
    with pytest.raises(ProviderUnavailable, match="certificate is not trusted"):
        call(f"{url}/hook")


def test_a_certificate_of_another_host_points_to_base_url(house: Encrypted) -> None:
    own = Way(ca_file=str(house.certificate))
    with client(f"https://localhost:{house.port}", own) as found, pytest.raises(CertificateRefused) as raised:
        found.fetch("GET", "/x")
    assert "base_url" in str(raised.value.hint)


class Proxy:
    """Connects whoever asks it to `to`, whatever was asked for, and remembers what that was."""

    def __init__(self, to: int) -> None:
        self.asked: list[bytes] = []
        self._to, self._listener = to, socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            head = b""
            while b"\r\n\r\n" not in head:
                head += near.recv(1 << 16)
            self.asked.append(head)
            far = socket.create_connection(("127.0.0.1", self._to))
            self._sockets += [near, far]
            if head.startswith(b"CONNECT"):
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                far.sendall(head)
            for one, other in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._pass_on, args=(one, other)))
                self._threads[-1].start()

    @staticmethod
    def _pass_on(one: socket.socket, other: socket.socket) -> None:
        try:
            while piece := one.recv(1 << 16):
                other.sendall(piece)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()


def test_a_proxy_is_used_where_it_is_configured_and_gets_no_credentials_of_the_provider(house: Encrypted) -> None:
    proxy = Proxy(house.port)
    try:
        way = Way(ca_file=str(house.certificate), proxy=f"http://us%40er:pass@127.0.0.1:{proxy.port}")
        with client("https://cdn.example.com", way) as found:
            assert found.fetch("GET", "/x", headers={"Authorization": "Bearer secret-token"}).body == b"{}"
        (asked,) = proxy.asked
        assert asked.startswith(b"CONNECT cdn.example.com:443 HTTP/")
        assert b"Proxy-Authorization: Basic " in asked
        assert b"secret-token" not in asked
        call(f"https://127.0.0.1:{house.port}/hook", None, way)
        assert len(proxy.asked) == 1, "this machine is reached without it"
    finally:
        proxy.close()
    gone = client("https://cdn.example.com", Way(proxy=f"http://127.0.0.1:{proxy.port}"))
    with gone, pytest.raises(ProviderUnavailable, match="the proxy could not be reached"):
        gone.fetch("GET", "/x", give_up_s=0)


def test_environment_proxies_stay_ignored(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.script = [server.answer(200, b"{}")]
    with client(server.url(), Way()) as found:
        assert found.fetch("GET", "/x").body == b"{}"


def test_plain_http_reaches_a_private_address_and_no_other(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script = [server.answer(200, b"{}")]
    port = urlsplit(server.url()).port
    with client(f"http://localhost:{port}", Way(private_http=True)) as found:
        assert found.fetch("GET", "/x").body == b"{}"
    asked = len(server.asked)
    monkeypatch.setattr(wire, "is_private", lambda _: False)
    elsewhere = client(f"http://localhost:{port}", Way(private_http=True))
    with elsewhere, pytest.raises(ConfigurationError, match="not a private one"):
        elsewhere.fetch("GET", "/x", headers={"Authorization": "Bearer secret-token"})
    assert len(server.asked) == asked, "not a byte"


@pytest.mark.parametrize(
    ("address", "private"),
    [
        *((text, True) for text in ("10.1.2.3", "172.31.0.1", "192.168.1.9", "127.0.0.1", "::1", "fd00::1")),
        *((text, False) for text in ("172.32.0.1", "8.8.8.8", "169.254.169.254", "100.100.100.200", "rest", "::", "")),
    ],
)
def test_private_addresses(address: str, private: bool) -> None:
    assert wire.is_private(address) is private


def test_every_permanent_failure_is_one_of_usage() -> None:
    assert issubclass(CertificateRefused, UsageError)
