"""Every fault: switched on, it does what its line says; switched off, the same server answers well."""

from __future__ import annotations

import gzip
import http.client
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from archiver.errors import UsageError
from archiver.sandbox import Faults, Sandbox

Start = Callable[..., Any]


def test_faults_come_from_text() -> None:
    faults = Faults.parse(
        ["http_500=0.1", "token_ttl=5", "order_ignored", "lower-only=off", "retry_after=soon", "after=3"]
    )
    assert faults == Faults(http_500=0.1, token_ttl=5, order_ignored=True, retry_after="soon", after=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("htp_500=1", "There is no fault 'htp_500'."),
        ("http_500=2", "http_500 is a rate: give a number from 0 to 1, not 2.0"),
        ("http_500=often", "http_500 takes a number, not 'often'"),
        ("order_ignored=perhaps", "order_ignored is on or off, not 'perhaps'"),
        ("hour_zone=CST", "hour_zone is an offset like +08:00, not 'CST'"),
        ("presence_form=new", "presence_form is one of seed, modern, not 'new'"),
    ],
)
def test_unreadable_fault_is_named(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Faults.parse([text])
    assert str(caught.value) == words


def test_unknown_fault_comes_with_the_nearest_right_name() -> None:
    with pytest.raises(UsageError) as caught:
        Faults.parse(["emty_pages=1"])
    assert caught.value.hint == "Did you mean empty_pages?"


def test_every_fault_is_described() -> None:
    described = Faults.described()
    assert all(len(fault.about) > 8 for fault in described)
    assert {fault.name for fault in described if fault.is_rate} >= {"http_500", "reset", "short_pages"}


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("http_500", 500, "application/json"),
        ("http_502_html", 502, "text/html"),
        ("http_503", 503, "text/plain"),
        ("http_429", 429, "application/json"),
        ("http_401", 401, "application/json"),
        ("html_200", 200, "text/html"),
        ("redirect", 307, "application/json"),
    ],
)
def test_answers_that_are_none(start: Start, fault: str, status: int, kind: str) -> None:
    client = start(5)
    setattr(client.server.faults, fault, 1.0)
    client.server.faults.retry_after = "-5"
    answer = client.page()
    assert (answer.status, answer.headers["content-type"]) == (status, kind)
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    setattr(client.server.faults, fault, 0.0)
    client.sign_in()
    assert client.page().json["count"] == 5


def test_error_in_a_200(start: Start) -> None:
    client = start(5)
    client.server.faults.error_200 = 1.0
    answer = client.page()
    assert answer.status == 200
    assert "entities" not in answer.json


def test_rates_hit_the_share_they_say_and_repeat_with_the_seed(start: Start) -> None:
    runs = []
    for _ in range(2):
        client = start(1)
        client.server.faults.http_500 = 0.3
        runs.append([client.page().status for _ in range(200)])
    assert runs[0] == runs[1]
    assert 40 < runs[0].count(500) < 80


def test_rates_can_be_narrowed(start: Start) -> None:
    client = start(1, only="/chatmessages", after=1, times=2, http_500=1.0)
    client.sign_in()
    assert [client.page().status for _ in range(5)] == [200, 500, 500, 200, 200]


@pytest.mark.parametrize("fault", ["reset", "hang", "cut_body"])
def test_broken_connections(start: Start, fault: str) -> None:
    client = start(5, hang_s=0)
    setattr(client.server.faults, fault, 1.0)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        client.page()
    assert client.server.requests[-1].status == (200 if fault == "cut_body" else 0)
    setattr(client.server.faults, fault, 0.0)
    assert client.page().json["count"] == 5


@pytest.mark.parametrize("fault", ["cut_unframed", "cut_json"])
def test_cuts_that_http_does_not_show(start: Start, fault: str) -> None:
    client = start(5)
    setattr(client.server.faults, fault, 1.0)
    answer = client.page()
    assert ("content-length" in answer.headers) == (fault == "cut_json")
    with pytest.raises(json.JSONDecodeError):
        answer.json  # noqa: B018


def test_drip_sends_everything_in_the_end(start: Start) -> None:
    client = start(5, drip=1.0, drip_ms=2, drip_pieces=10)
    began = time.perf_counter()
    assert client.page().json["count"] == 5
    assert time.perf_counter() - began >= 0.02


def test_latency(start: Start) -> None:
    client = start(1, latency_ms=20)
    began = time.perf_counter()
    assert client.page().json["count"] == 1
    assert time.perf_counter() - began >= 0.02


def test_silent_close_breaks_the_next_request(start: Start) -> None:
    client = start(5)
    client.server.faults.silent_close = 1.0
    assert client.page().headers["connection"] == "keep-alive"
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        client.page()


def test_gzip_encoded_pages_whole_cut_and_huge(start: Start) -> None:
    client = start(5, gzip=True, bomb_mb=3)
    assert "content-encoding" not in client.page().headers
    client.headers["Accept-Encoding"] = "gzip"
    whole = client.page()
    assert json.loads(gzip.decompress(whole.body))["count"] == 5
    client.server.faults.cut_gzip = 1.0
    cut = client.page()
    assert cut.headers["content-length"] == str(len(cut.body))
    with pytest.raises(EOFError):
        gzip.decompress(cut.body)
    client.server.faults.gzip_bomb = 1.0
    bomb = client.page()
    assert len(bomb.body) < 10_000
    assert len(gzip.decompress(bomb.body)) == 3 << 20


def test_rates_of_requests_are_limited(start: Start) -> None:
    client = start(1, requests_per_second=2)
    assert [client.page().status for _ in range(3)] == [200, 200, 503]
    client.clock.now_ms += 1000
    client.server.faults.over_rate = "429"
    answers = [client.page() for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[-1].json["error"] == "reach_limit"
    client.server.faults.requests_per_second = 0.5
    client.clock.now_ms += 1999
    assert client.page().status == 429
    client.clock.now_ms += 1
    assert client.page().status == 200


def test_used_up_quota(start: Start) -> None:
    answer = start(1, resource_limited=True).page()
    assert (answer.status, answer.json["error"]) == (429, "resource_limited")


def test_clock_of_the_server_can_be_wrong(start: Start) -> None:
    client = start(1)
    right = client.page()
    client.server.faults.clock_offset_ms = 86_400_000
    wrong = client.page()
    assert wrong.json["timestamp"] - right.json["timestamp"] == 86_400_000
    assert wrong.headers["date"] != right.headers["date"]
    assert client.server.now_ms() == client.clock.now_ms + 86_400_000
    client.server.faults = Faults(day_ahead=1.0)
    assert client.page().json["timestamp"] == client.clock.now_ms + 86_400_000
    client.server.faults = Faults(clock_jitter_ms=1500)
    stamps = {client.page().json["timestamp"] - client.clock.now_ms for _ in range(20)}
    assert len(stamps) > 1
    assert max(map(abs, stamps)) <= 1500


def test_time_can_be_missing(start: Start) -> None:
    answer = start(1, timestamp_missing=True, date_missing=True).page()
    assert not {"timestamp", "duration"} & set(answer.json)
    assert "date" not in answer.headers


def test_charset_lies(start: Start) -> None:
    assert start(1, charset="gbk").page().headers["content-type"] == "application/json;charset=gbk"


def test_log_tells_what_came_in(start: Start) -> None:
    client = start(1)
    client.get("/chatmessages", ql="order by timestamp", limit="3")
    logged = client.server.requests[-1]
    assert (logged.method, logged.path, logged.status) == ("GET", client.prefix + "/chatmessages", 200)
    assert logged.query == {"ql": "order by timestamp", "limit": "3"}
    assert logged.headers["authorization"] == client.headers["Authorization"]
    assert client.server.count("/chatmessages") == 1
    client.server.forget_requests()
    assert client.server.requests == []


def test_server_stops_while_clients_hang() -> None:
    began = time.perf_counter()
    with Sandbox(0, faults=Faults(hang=1.0, hang_s=240)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", int(server.base_url.rpartition(":")[2]))
        connection.request("GET", "/")
        while not server.requests:
            time.sleep(0.001)
    connection.close()
    assert time.perf_counter() - began < 120
