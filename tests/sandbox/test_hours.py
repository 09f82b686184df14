"""Hourly files: when there is one, the link to it, and every shape its bytes can take."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

Start = Callable[..., Any]

HOUR = 3_600_000
EIGHT = 1_789_000_000_000 // HOUR * HOUR
NAME, NEXT = "2026091008", "2026091009"


@pytest.fixture
def client(start: Start) -> Any:
    """A server with ten records in one hour, asked two hours after that hour's end."""
    client = start(now_ms=EIGHT + 3 * HOUR, hour_growth=0.0)
    for number in range(10):
        payload = {"bodies": [{"type": "txt", "msg": f"嗨 {number}"}]}
        names = {"from": "ada", "to": "hugo", "chat_type": "chat", "type": "chatmessage"}
        stamp = EIGHT + number * 60_000
        client.server.add({"msg_id": str(number), "timestamp": stamp, **names, "payload": payload}, visible_ms=stamp)
    return client


def fetch(url: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.headers.items()), answer.read()
    finally:
        connection.close()


def link(client: Any, name: str = NAME) -> str:
    return str(client.get(f"/chatmessages/{name}").json["data"][0]["url"])


def lines(client: Any) -> list[Any]:
    text = gzip.decompress(fetch(link(client))[2]).decode("utf-8-sig")
    return [json.loads(line) for line in text.splitlines() if line]


def test_answer_with_a_link(client: Any) -> None:
    answer = client.get(f"/chatmessages/{NAME}").json
    keys = "action application uri data timestamp duration organization applicationName"
    assert list(answer) == keys.split()
    url = answer["data"][0]["url"]
    assert url.startswith(client.server.files_url + f"/history/3D/easemob-demo/sandbox/{NAME}.gz?Expires=")
    assert int(parse_qs(urlsplit(url).query)["Expires"][0]) - answer["timestamp"] // 1000 == 1800
    client.prefix = f"/app-id/{client.server.application}"
    assert list(client.get(f"/chatmessages/{NAME}").json) == ["action", "uri", "data", "timestamp", "duration"]


def test_records_have_the_shape_of_the_files(client: Any) -> None:
    first = lines(client)[0]
    assert list(first) == ["chat_type", "payload", "from", "to", "msg_id", "timestamp", "direction"]
    assert first["payload"] == {"ext": {}, "bodies": [{"type": "txt", "msg": "嗨 0"}], "from": "ada", "to": "hugo"}
    assert (first["timestamp"], first["direction"]) == (EIGHT, "outgoing")
    assert [line["msg_id"] for line in lines(client)] == [str(number) for number in range(10)]


def test_hours_are_those_of_the_zone(client: Any) -> None:
    client.server.faults.hour_zone = "+00:00"
    assert client.get("/chatmessages/2026091000").status == 200
    client.server.faults.hour_zone = "-03:30"
    assert client.get("/chatmessages/2026090920").status == 200
    assert client.get("/chatmessages/2026090921").status == 404


def test_hours_without_file(client: Any) -> None:
    clock, name = client.clock, f"/chatmessages/{NAME}"
    assert client.get("/chatmessages/2026091006").json["error"] == "storage_object_not_found"
    early = "illegal arguments: appkey: easemob-demo#sandbox, time: 2026091010, "
    answer = client.get("/chatmessages/2026091010")
    assert (answer.status, answer.json["error"]) == (400, "illegal_argument")
    assert answer.json["error_description"] == early + "maybe chat message history is expired or unstored"
    clock.now_ms = EIGHT + HOUR + 25 * 60_000 - 1
    assert client.get(name).status == 400
    client.server.faults.hour_early_404 = True
    assert client.get(name).status == 404
    clock.now_ms += 1
    assert client.get(name).status == 200
    clock.now_ms = EIGHT + 73 * HOUR + 1
    client.sign_in()
    assert client.get(name).status == 400
    client.server.faults.hour_retention_h = 100
    assert client.get(name).status == 200
    client.server.faults.hour_unstored = f"2026091001,{NAME}"
    assert client.get(name).status == 400


@pytest.mark.parametrize("name", ["20260910", "2026091024", "2026133101", "yyyyMMddHH", "20260910080"])
def test_what_is_no_hour_is_not_supported(client: Any, name: str) -> None:
    answer = client.get(f"/chatmessages/{name}")
    assert (answer.status, answer.json["error"]) == (400, "illegal_argument")
    assert answer.json["error_description"] == "This chatmessage request is not supported"


def test_file_grows_for_a_day(client: Any) -> None:
    client.server.faults.hour_growth = 0.5
    young = [line["msg_id"] for line in lines(client)]
    assert 0 < len(young) < 10
    client.clock.now_ms = EIGHT + 25 * HOUR
    client.sign_in()
    assert len(lines(client)) == 10


def test_file_of_the_hour_of_ingestion(client: Any) -> None:
    client.server.faults.hour_by_ingest = True
    assert client.get(f"/chatmessages/{NAME}").status == 404
    client.clock.now_ms += 3 * HOUR
    assert len(gzip.decompress(fetch(link(client, "2026091011"))[2]).splitlines()) == 10


def test_links_are_limited_to_so_many_a_minute(client: Any) -> None:
    client.server.faults.hour_requests_per_minute = 10
    answers = [client.get(f"/chatmessages/{NAME}") for _ in range(11)]
    assert [answer.status for answer in answers] == [200] * 10 + [429]
    assert answers[-1].json["error"] == "reach_limit"
    client.clock.now_ms += 60_000
    assert client.get(f"/chatmessages/{NAME}").status == 200


def test_link_is_the_only_key_to_the_file(client: Any) -> None:
    url = link(client)
    assert fetch(url, client.headers)[0] == 400
    status, headers, body = fetch(url.replace("Signature=", "Signature=x"))
    assert (status, headers["Content-Type"]) == (403, "application/xml")
    assert b"<Code>SignatureDoesNotMatch</Code>" in body
    assert fetch(url.replace(NAME, NEXT))[0] == 403
    assert fetch(client.server.files_url + "/history/x.gz")[0] == 403
    assert client.get("/history/x.gz").status == 404
    client.clock.now_ms += 1_800_000
    assert b"Request has expired." in fetch(url)[2]


def test_links_may_be_expired_at_once(client: Any) -> None:
    client.server.faults.hour_link_seconds = 0
    assert fetch(link(client))[0] == 403


def test_cut_file_has_a_length_that_fits(client: Any) -> None:
    client.server.faults.hour_cut = 1.0
    status, headers, body = fetch(link(client))
    assert (status, headers["Content-Length"]) == (200, str(len(body)))
    with pytest.raises(EOFError):
        gzip.decompress(body)


def test_members_inflated_encoded_bomb(client: Any) -> None:
    right = gzip.decompress(fetch(link(client))[2])
    client.server.faults.hour_members = True
    body = fetch(link(client))[2]
    assert (body.count(b"\x1f\x8b\x08"), gzip.decompress(body)) == (3, right)
    client.server.faults.hour_encoded = True
    assert fetch(link(client))[1]["Content-Encoding"] == "gzip"
    client.server.faults.hour_inflated = True
    assert fetch(link(client))[2] == right
    client.server.faults.hour_bomb, client.server.faults.bomb_mb = 1.0, 2
    assert len(gzip.decompress(fetch(link(client))[2])) == 2 << 20


def test_shapes_of_lines(client: Any) -> None:
    faults = client.server.faults
    faults.hour_bom = faults.hour_crlf = faults.hour_blank_lines = True
    text = gzip.decompress(fetch(link(client))[2])
    assert text.startswith(b"\xef\xbb\xbf{")
    assert text.count(b"\r\n\r\n{") == 9
    faults.hour_glued, faults.hour_bom = True, False
    assert b'"outgoing"}{"chat_type"' in gzip.decompress(fetch(link(client))[2])


def test_values_of_lines(client: Any) -> None:
    faults = client.server.faults
    faults.hour_string_timestamps = faults.hour_outer_from = faults.hour_ext_absent = faults.hour_duplicates = True
    found = lines(client)
    assert found[0]["timestamp"] == str(EIGHT)
    assert (found[0]["from"], found[0]["to"]) == ("admin", "easemob-demo#sandbox_hugo@easemob.com")
    assert (found[0]["payload"]["from"], found[0]["payload"]["to"]) == ("ada", "hugo")
    assert "ext" not in found[0]["payload"]
    assert len(found) == 12
    faults.hour_bad_line = True
    with pytest.raises(json.JSONDecodeError):
        lines(client)


def test_hostile_records_stand_in_the_file_as_they_are(client: Any) -> None:
    hostile = b'{"msg_id":12345678901234567890123,"timestamp":%d,"direction":"x","a":"\\ud83d"}' % (EIGHT + 1)
    client.server.add(hostile)
    client.server.add(b"no record", EIGHT + 2)
    text = gzip.decompress(fetch(link(client))[2])
    assert text.splitlines()[1:3] == [hostile, b"no record"]


def test_same_hour_gives_the_same_bytes(client: Any) -> None:
    assert fetch(link(client))[2] == fetch(link(client))[2]
