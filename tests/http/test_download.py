"""Downloads behind signed links, from a server that follows a script to the byte."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import logging
import re
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from archiver.errors import (
    AnswerUnusable,
    ArchiverError,
    LeaseLost,
    ProviderUnavailable,
    RequestRefused,
    Stopped,
    TryAgainLater,
    WalkFailed,
)
from archiver.http import Downloaded, DownloadLimits, SignedLink, download
from archiver.http.wire import Deadline
from tests.postgres import free_port

if TYPE_CHECKING:
    from tests.fixtures.http import Scripted

SIGNED = "/history/3D/org/app/2026110100.gz?Expires=1793491200&OSSAccessKeyId=LTAIx&Signature=a%2Bb%2Fc%3D"
DATA = bytes(range(256)) * 1200
STALLED = r"hardly anything came for 0\.2 s|silent for too long"
"""The latter where the machine itself stood still for as long."""


def fetch(server: Scripted, limits: DownloadLimits | None = None, **more: Any) -> tuple[Downloaded, bytes]:
    into = io.BytesIO()
    options: dict[str, Any] = {"stop": threading.Event(), "limits": limits, **more}
    got = download(SignedLink(server.url() + SIGNED), into, **options)
    return got, into.getvalue()


def test_the_bytes_arrive_as_they_are(server: Scripted) -> None:
    server.script = [server.answer(body=DATA, Content_Encoding="gzip", Content_Type="application/gzip")]
    got, data = fetch(server)
    assert data == DATA
    assert got == Downloaded(len(DATA), hashlib.sha256(DATA).hexdigest(), framed=True)


def test_the_storage_host_gets_the_link_and_nothing_else(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", "/dev/null")
    server.script = [server.answer(body=DATA, Set_Cookie="a=b")]
    fetch(server)
    fetch(server)
    assert server.lines == [f"GET {SIGNED} HTTP/1.1"] * 2
    for asked in server.asked:
        names = {head.split(b":")[0].lower() for head in asked.split(b"\r\n")[1:] if head}
        assert names == {b"host", b"accept", b"accept-encoding", b"user-agent"}
        assert b"Accept-Encoding: identity" in asked


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://host/file",
        "file:///etc/passwd",
        "//host/file",
        "http:///file",
        "http://host",
        "http://user@host/file",
        "http://user:password@host/file",
        "http://127.0.0.1\\@host/file",
        "http://host/file#fragment",
        "http://host/a b",
        "http://host/a\r\nX: y",
        "http://host/file\n",
        "http://höst/file",
        "http://host/嗨",
        "http://host/%zz",
        "http://host:0/file",
        "http://host:99999/file",
        "http://host:/file",
        "http://-host/file",
        "http://.host/file",
        "http://ho..st/file",
        "http://[::1]/file",
        "HTTP://host/file",
        "http://host/" + "a" * 9000,
        "http://host/?" + "a" * 8000 + " ",
        "http://" + "a-" * 4000 + "/",
    ],
)
def test_odd_links_are_refused_unseen(url: str) -> None:
    with pytest.raises(AnswerUnusable) as caught:
        SignedLink(url)
    assert str(caught.value) == "the link to the file is no plain http or https address"


@pytest.mark.parametrize(
    "url", ["http://ebs-a1.easemob.com" + SIGNED, "https://bucket.oss.example:8443/a?b=c?d", "http://store_1/x"]
)
def test_plain_links_are_taken(url: str) -> None:
    link = SignedLink(url)
    assert link.host in url
    assert link.url == url
    assert repr(link) == "SignedLink()"


def xml(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><StringToSign>GET {SIGNED}</StringToSign></Error>".encode()


Script = Callable[["Scripted"], Any]
FAILURES: list[tuple[Script, type[ArchiverError], str]] = [
    (lambda s: s.answer(403, xml("AccessDenied")), ProviderUnavailable, "127.0.0.1 answered 403 (AccessDenied)"),
    (lambda s: s.answer(404, xml("NoSuchKey")), ProviderUnavailable, "127.0.0.1 answered 404 (NoSuchKey)"),
    (lambda s: s.answer(503, b"<html>" + b"x" * 100_000), ProviderUnavailable, "127.0.0.1 answered 503"),
    (lambda s: s.answer(206, DATA), ProviderUnavailable, "127.0.0.1 answered 206"),
    (
        lambda s: s.answer(302, Location="http://127.0.0.1:1/secret"),
        RequestRefused,
        "127.0.0.1 answered 302: a redirected file is not fetched",
    ),
    (lambda s: s.cut(s.answer(body=DATA)[:-1000]), ProviderUnavailable, "127.0.0.1: the connection broke off"),
    (lambda s: s.cut(), ProviderUnavailable, "127.0.0.1: the connection broke off"),
    (lambda s: s.cut(b"no http at all"), ProviderUnavailable, "127.0.0.1: the connection broke off"),
    (lambda s: s.reset(), ProviderUnavailable, "127.0.0.1: the connection broke off"),
    (lambda s: s.hang(), ProviderUnavailable, STALLED),
    (lambda s: s.drip(DATA, s.answer(body=DATA)[:-90_000]), ProviderUnavailable, STALLED),
    (lambda s: s.drip(b"HTTP/1.1 200 OK" + b" " * 9999), ProviderUnavailable, STALLED),
    (
        lambda s: s.drip(b"0" * 9999, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ProviderUnavailable,
        STALLED,
    ),
    (
        lambda s: s.cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        ProviderUnavailable,
        "127.0.0.1: the connection broke off",
    ),
]


@pytest.mark.parametrize(("script", "kind", "told"), FAILURES)
def test_no_failure_tells_the_link(
    server: Scripted, caplog: pytest.LogCaptureFixture, script: Script, kind: type[ArchiverError], told: str
) -> None:
    hear_all(caplog)
    server.script = [script(server)]
    with pytest.raises(kind) as caught:
        fetch(server, DownloadLimits(stall_s=0.2) if told == STALLED else None)
    assert type(caught.value) is kind
    assert re.search(told if told == STALLED else re.escape(told), str(caught.value))
    assert caught.value.__context__ is None
    assert_silent(caplog.text + "".join(traceback.format_exception(caught.value)) + repr(caught.value))


def test_no_warning_of_a_library_tells_the_link(server: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    hear_all(caplog)
    server.script = [server.cut(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nbad header\r\n\r\nhello")]
    with contextlib.suppress(ProviderUnavailable):
        fetch(server)
    assert_silent(caplog.text)


def hear_all(caplog: pytest.LogCaptureFixture) -> None:
    for name in (None, "urllib3", "urllib3.connection", "urllib3.connectionpool"):
        caplog.set_level(logging.DEBUG, logger=name)


def assert_silent(text: str) -> None:
    for part in ("history", "Expires", "Signature", "LTAIx", "a%2Bb", "secret"):
        assert part not in text


def test_a_link_to_nowhere_is_told_by_its_host_alone() -> None:
    link = SignedLink(f"http://127.0.0.1:{free_port()}{SIGNED}")
    with pytest.raises(ProviderUnavailable) as caught:
        download(link, io.BytesIO(), stop=threading.Event())
    assert str(caught.value) == "127.0.0.1: it refused the connection"


def test_a_file_without_a_length_is_not_framed(server: Scripted) -> None:
    server.script = [server.cut(b"HTTP/1.1 200 OK\r\n\r\n" + DATA)]
    got, data = fetch(server)
    assert (data, got.framed) == (DATA, False)
    server.script = [server.cut(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" + DATA)]
    got, data = fetch(server)
    assert (data, got.framed) == (DATA, False), "a length that nobody can read is none"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    server.script = [chunked]
    got, data = fetch(server)
    assert (data, got.framed) == (b"hello", True)


@pytest.mark.parametrize("told", [True, False], ids=["by its length", "by its bytes"])
def test_a_file_beyond_the_limit_is_not_read(server: Scripted, told: bool) -> None:
    server.script = [server.answer(body=DATA) if told else server.cut(b"HTTP/1.1 200 OK\r\n\r\n" + DATA)]
    limits = DownloadLimits(byte_limit=100_000)
    into = io.BytesIO()
    with pytest.raises(WalkFailed, match=r"127\.0\.0\.1: the file is larger than 100000 bytes"):
        download(SignedLink(server.url() + SIGNED), into, stop=threading.Event(), limits=limits)
    assert len(into.getvalue()) <= (0 if told else 100_000)


def test_progress_is_told_by_arriving_bytes(server: Scripted) -> None:
    server.script = [server.answer(body=DATA * 4)]
    told: list[int] = []
    fetch(server, DownloadLimits(progress_bytes=200_000), progress=told.append)
    assert told
    assert all(size >= 200_000 for size in told)
    assert len(DATA) * 4 - 200_000 - (1 << 16) < sum(told) <= len(DATA) * 4


def test_who_lost_its_lease_stops_the_download(server: Scripted) -> None:
    def lost(_: int) -> None:
        raise LeaseLost

    server.script = [server.answer(body=DATA)]
    with pytest.raises(LeaseLost):
        fetch(server, DownloadLimits(progress_bytes=1), progress=lost)


class ByHand:
    """A watch that looks when a test says so."""

    last: Deadline

    def add(self, deadline: Deadline) -> None:
        ByHand.last = deadline

    def remove(self, deadline: Deadline) -> None: ...


class Slowly(io.BytesIO):
    """Takes what arrives; whenever so much more has come, the stall limit is over."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every, self.since, self.over = every, 0, 0

    def write(self, piece: Any) -> int:
        self.since += len(piece)
        if self.since >= self.every:
            self.since, self.over = 0, self.over + 1
            ByHand.last.expire()
        return super().write(piece)


def test_a_slow_download_that_moves_is_not_cut(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer in all than the stall limit, but 64 KiB and more within each; with less it is cut."""
    monkeypatch.setattr(Deadline, "_watch", ByHand())
    server.script = [server.answer(body=DATA * 10)]
    into = Slowly(150_000)
    link, stop = SignedLink(server.url() + SIGNED), threading.Event()
    assert download(link, into, stop=stop).size == len(DATA) * 10
    assert into.over > 5
    with pytest.raises(ProviderUnavailable, match="hardly anything came for 20 s"):
        download(link, Slowly(1), stop=stop)


def test_the_whole_has_a_limit_of_its_own(server: Scripted) -> None:
    times = iter(range(0, 10_000, 100))
    server.script = [server.answer(body=DATA * 10)]
    with pytest.raises(ProviderUnavailable, match=r"127\.0\.0\.1: not finished within 250 s"):
        fetch(server, DownloadLimits(total_s=250), clock=lambda: next(times))


def test_stop_is_heard_between_pieces(server: Scripted) -> None:
    stop = threading.Event()
    server.script = [server.drip(DATA, server.answer(body=DATA)[:-1000])]
    with pytest.raises(Stopped):
        fetch(server, DownloadLimits(progress_bytes=1), stop=stop, progress=lambda _: stop.set())


def test_a_full_disk_is_not_the_network(server: Scripted) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    server.script = [server.answer(body=DATA)]
    with pytest.raises(TryAgainLater, match="a temporary file cannot be written: No space left on device") as caught:
        download(SignedLink(server.url() + SIGNED), Full(), stop=threading.Event())
    assert not isinstance(caught.value, ProviderUnavailable)
