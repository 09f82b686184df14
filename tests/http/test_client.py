"""The client against servers that misbehave, byte by byte, on real sockets."""

from __future__ import annotations

import gc
import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import tenacity

from archiver.errors import (
    AnswerTooLarge,
    AnswerUnusable,
    ArchiverError,
    ProviderUnavailable,
    QuotaExceeded,
    RequestRefused,
    Stopped,
    UsageError,
)
from archiver.http import Answer, Client, Limits, envelope
from archiver.http.wire import Deadline
from tests.postgres import free_port

if TYPE_CHECKING:
    from tests.fixtures.http import Scripted, Time

QUICK = Limits(read_s=5, deadline_s=0.25, give_up_s=0)
OVER = r"not finished within 0\.25 s|silent for too long"
"""The latter where the machine itself stood still for as long, and the drip with it."""
Make = Callable[..., Client]


@pytest.fixture
def make(server: Scripted, clock: Time) -> Iterator[Make]:
    with ExitStack() as stack:

        def client(url: str | None = None, **more: Any) -> Client:
            options: dict[str, Any] = {"stop": clock.stop, "clock": clock, **more}
            return stack.enter_context(Client(url or server.url(), **options))

        yield client


def test_a_request_is_what_was_asked_and_no_more(server: Scripted, make: Make) -> None:
    server.script = [server.answer(Set_Cookie="a=b", Date="Sun, 01 Nov 2026 00:00:00 GMT")]
    client = make(server.url() + "/base/")
    answer = client.fetch("GET", "/a%20b/c", params={"ql": "select * where timestamp > 1"}, headers={"X-A": "1"})
    client.fetch("POST", "/d", json={"text": "\ud83d你"})
    assert (answer.status, answer.body, answer.date_ms) == (200, b"{}", 1_793_491_200_000)
    assert answer.headers["content-LENGTH"] == "2"
    assert server.lines[0] == "GET /base/a%20b/c?ql=select+%2A+where+timestamp+%3E+1 HTTP/1.1"
    assert b"Accept-Encoding: identity\r\n" in server.asked[0]
    assert b"X-A: 1\r\n" in server.asked[0]
    assert server.asked[1].endswith(b'{"text": "\\ud83d\\u4f60"}')
    assert b"Cookie" not in server.asked[1]
    assert server.connections == 1


def test_an_answer_says_how_long_it_took_by_a_clock_that_measures_durations(
    server: Scripted, make: Make, clock: Time
) -> None:
    def slowly(_: Scripted, connection: socket.socket) -> None:
        clock.now += 7.5
        connection.sendall(server.answer())

    server.script = [slowly]
    assert make().fetch("GET", "/a").elapsed_ms == 7_500


def test_the_environment_leads_nothing_elsewhere(
    server: Scripted, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.script = [server.answer()]
    make().fetch("GET", "/a", headers={"Authorization": "Bearer ours"})
    assert b"Authorization: Bearer ours\r\n" in server.asked[0]


OUTSIDE = [
    "",
    "a",
    "@evil.example/",
    "//evil.example",
    "/\\evil.example",
    "http://evil.example/",
    "/../a",
    "/a/%2e%2E/b",
]
ODD = ["/a?b", "/a#b", "/a b", "/a\r\nX: y", "/%", "/é", "/a/", "/."]


@pytest.mark.parametrize("path", [*OUTSIDE, *ODD])
def test_paths_stay_below_the_base(server: Scripted, make: Make, path: str) -> None:
    with pytest.raises(UsageError, match="not a path below"):
        make().fetch("GET", path)
    assert server.asked == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(server: Scripted, make: Make, status: int) -> None:
    server.script = [server.answer(status, Location=server.url() + "/elsewhere?token=x")]
    with pytest.raises(RequestRefused) as caught:
        make().fetch("POST", "/token", json={"client_secret": "x"})
    assert caught.value.status == status
    assert "elsewhere" not in str(caught.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_passes_is_asked_again(server: Scripted, make: Make, clock: Time, status: int) -> None:
    server.script = [server.answer(status), server.answer(status, b"<html>"), server.answer(body=b"[1]")]
    heard: list[int | str] = []
    assert make(on_status=heard.append).fetch("GET", "/a").body == b"[1]"
    assert heard == [status, status, 200]
    assert len(clock.waits) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 415])
def test_what_stays_is_not_asked_again(server: Scripted, make: Make, status: int) -> None:
    server.script = [server.answer(status, b'{"error":"unauthorized","error_description":"secret"}')]
    with pytest.raises(RequestRefused) as caught:
        make().fetch("GET", "/a", params={"ql": "secret"})
    assert (caught.value.status, caught.value.code) == (status, "unauthorized")
    assert str(caught.value) == f"127.0.0.1:{server.port}/a answered {status} (unauthorized)"
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body",
    [b'{"error":"No Such <b>"}', b'{"error":7}', b"[]", b"\xff", b"[" * 9000, b'{"error":"%s"}' % (b"a" * 65)],
)
def test_only_a_plain_error_code_is_quoted(server: Scripted, make: Make, body: bytes) -> None:
    server.script = [server.answer(400, body)]
    with pytest.raises(RequestRefused) as caught:
        make().fetch("GET", "/a")
    assert (caught.value.code, str(caught.value)) == ("", f"127.0.0.1:{server.port}/a answered 400")


def test_an_expected_status_is_an_answer(server: Scripted, make: Make) -> None:
    server.script = [server.answer(404), server.answer(204)]
    assert make().fetch("GET", "/a", expect=(200, 404)).status == 404
    with pytest.raises(AnswerUnusable, match="answered 204"):
        make().fetch("GET", "/a")


def test_a_spent_quota_is_not_asked_again(server: Scripted, make: Make) -> None:
    server.script = [server.answer(429, b'{"error":"resource_limited"}', Retry_After="1")]
    with pytest.raises(QuotaExceeded):
        make().fetch("GET", "/a")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("7", 7, 7),
        ("7.5", 7.5, 7.5),
        ("0", 0, 0.5),
        ("-5", 0, 0.5),
        ("soon", 0, 0.5),
        ("", 0, 0.5),
        ("1e3", 0, 0.5),
        ("Sun, 01 Nov 2026 00:00:08 GMT", 8, 8),
        ("Sun, 01 Nov 2020 00:00:08 GMT", 0, 0.5),
        ("Sun, 99 Nov 2026 00:00:08 GMT", 0, 0.5),
    ],
)
def test_retry_after(server: Scripted, make: Make, clock: Time, text: str, least: float, most: float) -> None:
    server.script = [server.answer(503, Retry_After=text, Date="Sun, 01 Nov 2026 00:00:00 GMT"), server.answer()]
    make().fetch("GET", "/a")
    assert len(clock.waits) == 1
    assert least <= clock.waits[0] <= most


def test_a_long_retry_after_is_not_waited_for(server: Scripted, make: Make, clock: Time) -> None:
    server.script = [server.answer(429, Retry_After="86400")]
    with pytest.raises(ProviderUnavailable, match="try again in 86400 s") as caught:
        make().fetch("GET", "/a")
    assert caught.value.retry_after_s == 86400
    assert clock.waits == []


def test_it_gives_up_in_time(server: Scripted, make: Make, clock: Time) -> None:
    server.script = [server.answer(503)]
    with pytest.raises(ProviderUnavailable, match="answered 503"):
        make().fetch("GET", "/a")
    assert 4 <= len(server.asked) <= 100
    assert sum(clock.waits) <= 30
    clock.waits.clear()
    with pytest.raises(ProviderUnavailable):
        make().fetch("GET", "/a", give_up_s=2)
    assert sum(clock.waits) <= 2
    clock.waits.clear()
    with pytest.raises(ProviderUnavailable):
        make().fetch("GET", "/a", within_s=3)
    assert sum(clock.waits) <= 3


def test_waiting_ends_when_stopped(server: Scripted, make: Make, clock: Time) -> None:
    server.script = [server.answer(503)]
    with pytest.raises(Stopped):
        make(on_status=lambda _: clock.stop.set()).fetch("GET", "/a")
    assert len(server.asked) == 1
    with pytest.raises(Stopped):
        make().fetch("GET", "/a")
    assert len(server.asked) == 1


def test_a_turn_is_taken_for_each_request_and_the_first_is_free(server: Scripted, make: Make, clock: Time) -> None:
    turns: list[bool] = []

    def take_turn(stop: threading.Event) -> None:
        turns.append(stop is clock.stop)
        clock.now += 1000 if len(turns) == 1 else 0

    server.script = [server.answer(503), server.answer(503), server.answer()]
    make(take_turn=take_turn).fetch("GET", "/a")
    assert turns == [True, True, True]


@pytest.mark.parametrize(
    "broken",
    [
        "reset",
        "nothing",
        "half_head",
        "short_body",
        "short_chunk",
        "no_last_chunk",
        "short_gzip",
        "bad_gzip",
        "garbage",
    ],
)
def test_broken_transfers_are_asked_again(server: Scripted, make: Make, broken: str) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    packed = gzip.compress(b'{"a": "' + b"b" * 1000 + b'"}')
    steps = {
        "reset": server.reset(),
        "nothing": server.cut(),
        "half_head": server.cut(b"HTTP/1.1 2"),
        "short_body": server.cut(server.answer(body=b'{"a":1}')[:-3]),
        "short_chunk": server.cut(chunked + b"10\r\n{}"),
        "no_last_chunk": server.cut(chunked + b"2\r\n{}\r\n"),
        "short_gzip": server.answer(body=packed[:-9], Content_Encoding="gzip"),
        "bad_gzip": server.answer(body=b"{}", Content_Encoding="gzip"),
        "garbage": server.cut(b"SSH-2.0-OpenSSH\r\n"),
    }
    server.script = [steps[broken], server.answer(body=b"[1]")]
    heard: list[int | str] = []
    assert make(on_status=heard.append).fetch("GET", "/a").body == b"[1]"
    assert heard == ["error", 200]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


@pytest.mark.parametrize("phase", ["status", "headers", "body", "chunks", "unframed", "hello"])
def test_the_deadline_ends_a_drip_in_any_phase(
    server: Scripted, make: Make, began: Callable[[], float], phase: str
) -> None:
    """No single read is slow here; only their sum is."""
    steps = {
        "status": server.drip(b"HTTP/1.1 200 " + b"O" * 1000),
        "headers": server.drip(b"A" * 1000, b"HTTP/1.1 200 OK\r\nX-"),
        "body": server.drip(b"a" * 1000, HEAD),
        "chunks": server.drip(b"1\r\na\r\n" * 200, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "unframed": server.drip(b"a" * 1000, b"HTTP/1.1 200 OK\r\n\r\n"),
        "hello": server.drip(b"\0" * 1000, b"\x16\x03\x03\x40\x00"),
    }
    server.script = [steps[phase]]
    with pytest.raises(ProviderUnavailable, match=OVER):
        make(server.url("https" if phase == "hello" else "http"), limits=QUICK).fetch("GET", "/a")
    assert began() > 0.2


def test_the_deadline_holds_on_a_connection_used_before(server: Scripted, make: Make) -> None:
    server.script = [server.answer(), server.drip(b"A" * 1000, b"HTTP/1.1 200 OK\r\nX-"), server.answer()]
    client = make(limits=Limits(give_up_s=0))
    client.fetch("GET", "/a")
    with pytest.raises(ProviderUnavailable, match=OVER):
        client.fetch("GET", "/a", within_s=0.25)
    assert client.fetch("GET", "/a").status == 200
    assert server.connections == 2


def test_each_deadline_is_kept_beside_a_longer_one() -> None:
    def wait(seconds: float) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, Deadline(seconds):
            Deadline.watch_this(ours)
            assert ours.recv(1) == b""  # it never ends by itself

    with Deadline(600):
        for _ in range(3):  # the watch sleeps until the longer one is over, unless it is told of the others
            with pytest.raises(OSError, match=r"not finished within 0\.01 s"):
                wait(0.01)


def test_silence_ends_sooner_than_the_deadline(server: Scripted, make: Make) -> None:
    server.script = [server.hang()]
    with pytest.raises(ProviderUnavailable, match="silent for too long"):
        make(limits=Limits(read_s=0.1, give_up_s=0)).fetch("GET", "/a")
    with pytest.raises(ProviderUnavailable, match=r"silent for too long|not finished"):
        make(limits=Limits(give_up_s=0)).fetch("GET", "/a", within_s=0.1)


def test_large_answers_are_refused(server: Scripted, make: Make) -> None:
    limits = Limits(byte_limit=10_000)
    bomb = gzip.compress(bytes(1_000_000))
    server.script = [
        server.answer(body=b"a" * 10_000),
        server.answer(body=b"a" * 10_001),
        server.answer(body=bomb, Content_Encoding="gzip"),
        server.answer(307, b"a" * 10_001, Location="/"),
        server.answer(body=b"a", Content_Encoding="br"),
    ]
    client = make(limits=limits)
    assert len(client.fetch("GET", "/a").body) == 10_000
    for part in ("larger than 10000", "larger than 10000", "larger than 10000", "not asked for"):
        with pytest.raises(AnswerUnusable, match=part):
            client.fetch("GET", "/a")
    assert len(server.asked) == 5


def test_a_packed_answer_is_unpacked(server: Scripted, make: Make) -> None:
    server.script = [server.answer(body=gzip.compress(b'{"a": 1}'), Content_Encoding="GZIP")]
    assert envelope(make().fetch("GET", "/a")) == {"a": 1}


def test_a_closed_door_is_named(make: Make) -> None:
    port = free_port()
    client = make(f"http://127.0.0.1:{port}")
    with pytest.raises(ProviderUnavailable, match=rf"^127\.0\.0\.1:{port}/a: it refused the connection$"):
        client.fetch("GET", "/a", params={"ql": "secret"})


def test_errors_carry_neither_query_nor_cause(server: Scripted, make: Make) -> None:
    server.script = [server.reset()]
    with pytest.raises(ProviderUnavailable) as caught:
        make().fetch("GET", "/a", params={"ql": "secret"}, headers={"X-A": "secret"}, give_up_s=0)
    error: BaseException | None = caught.value
    while error:
        assert error.__suppress_context__ or error.__context__ is None
        assert "secret" not in repr(error)
        error = error.__cause__


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        ("reset", "unknown"),
        ("nothing", "unknown"),
        ("short_body", "unknown"),
        ("500", "unknown"),
        ("503", "unknown"),
        ("429", "nothing was done"),
    ],
)
def test_once_means_once(server: Scripted, make: Make, step: str, outcome: str) -> None:
    steps = {"reset": server.reset(), "nothing": server.cut(), "short_body": server.cut(server.answer()[:-1])}
    server.script = [steps.get(step) or server.answer(int(step)), server.answer()]
    with pytest.raises(ProviderUnavailable, match=outcome):
        make().fetch("POST", "/a", json={}, retry=False)
    assert len(server.asked) == 1


def test_once_goes_out_on_a_connection_of_its_own(server: Scripted, make: Make) -> None:
    server.script = [server.answer()]
    client = make()
    client.fetch("GET", "/a")
    client.fetch("POST", "/a", json={}, retry=False)
    client.fetch("GET", "/a")
    assert server.connections == 2


def test_a_connection_closed_meanwhile_is_replaced(server: Scripted, make: Make) -> None:
    def answer_and_close(of: Scripted, connection: socket.socket) -> None:
        connection.sendall(of.answer())
        connection.shutdown(socket.SHUT_RDWR)

    server.script = [answer_and_close]
    client = make()
    for _ in range(3):
        assert client.fetch("GET", "/a").status == 200
    assert server.connections == 3


def test_several_threads_share_a_client(server: Scripted, make: Make) -> None:
    server.script = [server.answer()]
    client = make()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: client.fetch("GET", "/a").status, range(200))) == [200] * 200
    assert len(server.asked) == 200
    assert server.connections <= 8


def test_a_damaged_answer_is_asked_again(server: Scripted, make: Make) -> None:
    server.script = [
        server.answer(body=b"<html>"),
        server.cut(b'HTTP/1.1 200 OK\r\n\r\n{"a"'),
        server.answer(body=b'{"a":1}'),
    ]
    assert make().fetch_as(envelope, "GET", "/a") == {"a": 1}
    server.script = [server.answer(body=b"<html>")]
    with pytest.raises(AnswerUnusable, match=rf"^127\.0\.0\.1:{server.port}/a: the answer is not whole JSON$"):
        make().fetch_as(envelope, "GET", "/a")
    with pytest.raises(AnswerUnusable, match="unknown whether it was done"):
        make().fetch_as(envelope, "GET", "/a", retry=False)


@pytest.mark.parametrize("error", [AnswerUnusable, AnswerTooLarge])
@pytest.mark.parametrize("retry", [True, False])
def test_an_error_does_not_hold_on_to_the_answer(
    server: Scripted, make: Make, error: type[ArchiverError], retry: bool
) -> None:
    body = b"an answer of this test alone"
    server.script = [server.answer(body=body)]

    def read(answer: Answer) -> None:
        try:
            int(answer.body)
        except ValueError:
            raise error("odd") from None

    gc.disable()  # as good as: it comes seldom, and until then one answer after the other would lie around
    try:
        with pytest.raises(error) as caught:
            make().fetch_as(read, "GET", "/a", retry=retry)
        left = [each for each in gc.get_objects() if isinstance(each, Answer) and each.body == body]
    finally:
        gc.enable()
    assert "odd" in str(caught.value)
    assert left == []


@pytest.mark.full
def test_a_call_leaves_nothing_to_the_garbage_collector(server: Scripted, make: Make) -> None:
    server.script = [server.answer()]
    client = make()

    def ours() -> dict[int, object]:
        kinds = (requests.PreparedRequest, tenacity.RetryCallState, Deadline, Answer)
        return {id(each): each for each in gc.get_objects() if isinstance(each, kinds)}

    gc.collect()
    gc.disable()
    try:
        before = ours()  # what other tests have left
        for _ in range(3):
            client.fetch_as(envelope, "GET", "/a")
        left = [type(each).__name__ for number, each in ours().items() if number not in before]
    finally:
        gc.enable()
    assert left == []


def test_an_envelope_is_utf8_whatever_it_claims(server: Scripted, make: Make) -> None:
    server.script = [server.answer(body='{"a":"你好"}'.encode(), Content_Type="application/json;charset=gbk")]
    assert envelope(make().fetch("GET", "/a")) == {"a": "你好"}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b"{", b"<html>", b'{"a":"\xff"}', b"[" * 100_000, '{"a":1}'.encode("utf-16")]
)
def test_what_is_no_envelope(body: bytes) -> None:
    with pytest.raises(AnswerUnusable):
        envelope(Answer(200, {}, body))


def test_every_error_here_is_one_of_ours(server: Scripted, make: Make) -> None:
    odd = [
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 700 OK\r\nContent-Length: 0\r\n\r\n",
        b"\r\n" * 1000,
    ]
    for data in odd:
        server.script = [server.cut(data)]
        with pytest.raises(ArchiverError):
            make().fetch_as(envelope, "GET", "/a", give_up_s=0)
