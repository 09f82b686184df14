"""Files of other hosts, where the operator allows one: by https, at the address looked at, and nothing sent along."""

from __future__ import annotations

import datetime
import io
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from archiver.http import public_adapter
from archiver.model import Fetched, Pointer
from tests.attachments.test_hostile_urls import chatfiles
from tests.fixtures.http import Scripted

NAME = "cdn.example.com"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(5000)


class Encrypted:
    """Answers one request a connection over TLS, as `cdn.example.com`."""

    def __init__(self, place: Path, also: Sequence[x509.GeneralName] = ()) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME), *also]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate = place / "certificate.pem"
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private = place / "key.pem"
        plain = serialization.NoEncryption()
        private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, private)
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.asked: list[bytes] = []
        self.answers: list[bytes] = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(plain, server_side=True) as connection:
                    self.asked.append(connection.recv(65536))
                    connection.sendall(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
            except OSError:
                plain.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def cdn(tmp_path: Path) -> Iterator[Encrypted]:
    found = Encrypted(tmp_path)
    yield found
    found.close()


def fetch(server: Scripted, cdn: Encrypted, host: str = NAME, url: str = "") -> tuple[Fetched, bytes]:
    """With a resolver that knows the host, and a checker that takes loopback for public."""
    files = chatfiles(
        server,
        foreign=frozenset([f"{host}:{cdn.port}"]),
        public=lambda: public_adapter(lambda *_: ["127.0.0.1"], lambda text: text == "127.0.0.1"),
        verify=str(cdn.certificate),
    )
    into = io.BytesIO()
    found = files.fetch(Pointer(url or f"https://{host}:{cdn.port}/图.png?v=1", "share-me"), into, lambda _: None)
    return found, into.getvalue()


def test_an_allowed_host_is_asked_by_https_and_told_nothing(server: Scripted, cdn: Encrypted) -> None:
    found, data = fetch(server, cdn)
    assert (found.state, found.size, data) == ("stored", len(PICTURE), PICTURE)
    (asked,) = cdn.asked
    assert asked.startswith(b"GET /%E5%9B%BE.png?v=1 HTTP/1.1\r\n")
    names = {line.split(b":")[0].lower() for line in asked.split(b"\r\n")[1:] if line}
    assert names == {b"host", b"accept", b"accept-encoding", b"user-agent"}
    assert server.connections == 0


def test_the_certificate_must_be_the_host_s(server: Scripted, cdn: Encrypted) -> None:
    found, _ = fetch(server, cdn, host="other.example.com")
    assert found.state == "failed"
    assert "its certificate is not trusted" in str(found.reason)
    assert cdn.asked == []


def test_its_redirects_lead_to_allowed_hosts_alone(server: Scripted, cdn: Encrypted) -> None:
    for where in (f"https://evil.example:{cdn.port}/x", f"http://{NAME}:{cdn.port}/x", "https://127.0.0.1/x"):
        cdn.answers = [f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()]
        found, _ = fetch(server, cdn)
        assert found.state == "refused", where
        assert "which is not configured" in str(found.reason)
    again = f"HTTP/1.1 302 Found\r\nLocation: https://{NAME}:{cdn.port}/b\r\nContent-Length: 0\r\n\r\n".encode()
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    cdn.answers = [again, whole]
    assert fetch(server, cdn)[1] == b"ok"


def test_what_it_lacks_is_gone(server: Scripted, cdn: Encrypted) -> None:
    cdn.answers = [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
    found, _ = fetch(server, cdn)
    assert (found.state, found.reason) == ("gone", f"{NAME} answered 404")
