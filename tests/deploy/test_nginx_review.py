"""The snippet for nginx in front of a real page: TLS, sign-in by a stand-in for oauth2-proxy, forms, forged headers."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import urllib3

from tests.deploy.conftest import Tool
from tests.deploy.test_nginx import certificate, free_port, running
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.page.browsing import GROUPS, SECRET, Serving, serving

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class SignIn(BaseHTTPRequestHandler):
    """Answers as oauth2-proxy does: whoever has its cookie is li, an officer."""

    role = "officer"

    def do_GET(self) -> None:
        signed_in = "signed=in" in self.headers.get("Cookie", "")
        self.send_response(202 if signed_in else 401)
        if signed_in:
            self.send_header("X-Auth-Request-User", "li")
            self.send_header("X-Auth-Request-Groups", GROUPS[self.role])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def archive(database: Database, make_archive: MakeArchive) -> Archive:
    pulled = make_archive(database, messages=60)
    assert pulled("pull") == 0
    return pulled


@pytest.fixture
def proxied(tool: Tool, archive: Archive, tmp_path: Path) -> Iterator[tuple[str, Serving]]:
    """Where nginx answers, with the snippet, and the page behind it."""
    nginx, port = tool("nginx"), free_port()
    certificate(tool("openssl"), tmp_path)
    signing = ThreadingHTTPServer(("127.0.0.1", 0), SignIn)
    thread = threading.Thread(target=signing.serve_forever, args=(0.05,))
    thread.start()
    with serving(archive, proxy=True, more="") as served:
        changes = {
            "127.0.0.1:9480": served.address.removeprefix("http://"),
            "127.0.0.1:4180": f"127.0.0.1:{signing.server_address[1]}",
            "listen 443": f"listen 127.0.0.1:{port}",
            "/etc/ssl/review.example.com.pem": str(tmp_path / "cert.pem"),
            "/etc/ssl/private/review.example.com.key": str(tmp_path / "key.pem"),
            "the content of secret_file": SECRET,
        }
        try:
            with running(nginx, "review.conf", changes, tmp_path, port):
                yield f"https://127.0.0.1:{port}", served
        finally:
            signing.shutdown()
            signing.server_close()
            thread.join()


class Browser(requests.Session):
    """One that trusts the test's certificate, and sends what browsers send."""

    def __init__(self, address: str, **headers: str) -> None:
        super().__init__()
        self.trust_env, self.verify, self.address = False, False, address
        self.headers.update({"Host": "review.example.com", "Cookie": "signed=in", "Sec-Fetch-Site": "same-origin"})
        self.headers.update(headers)

    def ask(self, method: str, path: str, **form: str) -> requests.Response:
        urllib3.disable_warnings()
        data = form or None
        answer = self.request(method, self.address + path, data=data, allow_redirects=False, timeout=30)
        if cookie := re.match(r"(__Host-archiver=[^;]+)", answer.headers.get("Set-Cookie", "")):
            self.headers["Cookie"] = f"signed=in; {cookie[1]}"
        return answer

    def csrf(self, path: str) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.ask("GET", path).text)
        assert found
        return found[1]


def test_forms_work_over_tls_and_the_proxy_says_who_is_there(
    proxied: tuple[str, Serving], archive: Archive, tmp_path: Path
) -> None:
    address, _ = proxied
    li = Browser(address)
    assert li.ask("POST", "/signin", csrf=li.csrf("/signin")).status_code == 303
    token = li.csrf("/search")
    answer = li.ask("POST", "/search", csrf=token, words="a")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/look/")
    assert li.ask("GET", answer.headers["Location"]).status_code == 200
    assert archive.database.rows("SELECT who, via FROM looks") == [("li", "page")]
    assert li.ask("POST", "/search", csrf="x", words="a").status_code == 403
    li.headers["Sec-Fetch-Site"] = "cross-site"
    assert li.ask("POST", "/search", csrf=token, words="a").status_code == 403
    assert li.ask("GET", "/").status_code == 200
    li.headers["Host"] = "evil.example.com"
    assert li.ask("GET", "/").status_code == 400
    assert SECRET not in (tmp_path / "access.log").read_text() + (tmp_path / "error.log").read_text()


def test_what_a_browser_sends_under_the_names_of_the_proxy_counts_for_nothing(
    proxied: tuple[str, Serving], archive: Archive
) -> None:
    address, _ = proxied
    forged = {"X-Forwarded-User": "root", "X-Forwarded-Groups": "audit,officers", "X-Archiver-Proxy": SECRET}
    stranger = Browser(address, **forged, Cookie="none=1")
    answer = stranger.ask("GET", "/")
    assert answer.status_code in (401, 403)
    assert "archiver" not in answer.text
    li = Browser(address, **forged)
    assert li.ask("POST", "/signin", csrf=li.csrf("/signin")).status_code == 303
    assert archive.database.rows("SELECT who, role FROM review_sessions") == [("li", "officer")]
