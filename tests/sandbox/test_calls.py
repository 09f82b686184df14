"""Attachments, sending and presence."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from archiver.sandbox.chatfiles import file_secret

Start = Callable[..., Any]

DAY = 86_400_000
UUID = "8ef46580-291d-11e5-81fa-2d9064f6f060"


def attachments(client: Any) -> list[dict[str, Any]]:
    bodies = (body for row in client.server.records for body in row.record["payload"]["bodies"])
    return [body for body in bodies if "url" in body]


def test_seeded_attachments_are_there(start: Start) -> None:
    client = start(300)
    for body in attachments(client):
        answer = client.ask("GET", urlsplit(body["url"]).path)
        assert answer.status == 200
        assert len(answer.body) == body.get("file_length", len(answer.body))
    assert answer.headers["content-type"] == "application/octet-stream"


def test_attachment_of_an_added_record_is_there_until_it_is_recalled(start: Start) -> None:
    client = start()
    row = client.server.add({"msg_id": "1", "payload": {"bodies": [{"url": f"{client.server.home}/chatfiles/{UUID}"}]}})
    assert client.get(f"/chatfiles/{UUID}").status == 200
    client.server.remove(row)
    assert client.get(f"/chatfiles/{UUID}").json["error"] == "entity_not_found"
    assert client.server.records == []


def test_restricted_attachment_needs_its_secret(start: Start) -> None:
    client = start(300, file_restricted=True)
    body = next(body for body in attachments(client) if body.get("secret"))
    path = urlsplit(body["url"]).path
    assert client.ask("GET", path).status == 403
    assert client.ask("GET", f"{path}?share-secret=wrong").status == 403
    assert client.ask("GET", path, headers={"share-secret": body["secret"]}).status == 200
    assert client.ask("GET", f"{path}?share-secret={body['secret']}").status == 200
    client.headers.clear()
    assert client.ask("GET", path, headers={"share-secret": body["secret"]}).status == 401
    client.server.faults.file_restricted = False
    assert client.ask("GET", path).status == 200


def test_attachment_expires_or_is_missing(start: Start) -> None:
    client = start(300)
    path = urlsplit(attachments(client)[0]["url"]).path
    client.server.faults.file_missing = 1.0
    assert client.ask("GET", path).json["error"] == "entity_not_found"
    client.clock.now_ms += 7 * DAY
    client.server.faults.file_missing = 0.0
    assert client.ask("GET", path).json["error"] == "file_expired"
    client.server.faults.file_kept_days = 0
    assert client.ask("GET", path).status == 200


def test_attachment_redirects_to_the_other_host(start: Start) -> None:
    client = start(300, file_redirect=True)
    url = attachments(client)[0]["url"]
    answer = client.ask("GET", urlsplit(url).path)
    assert answer.status == 302
    where = urlsplit(answer.headers["location"])
    assert f"http://{where.netloc}" == client.server.files_url
    connection = http.client.HTTPConnection(where.netloc)
    connection.request("GET", where.path)
    assert connection.getresponse().read()
    connection.request("GET", "/chatfiles/unknown")
    assert connection.getresponse().status == 404
    connection.close()
    assert client.server.requests[-1].host == "files"


def test_secret_follows_from_the_uuid() -> None:
    assert file_secret(1) != file_secret(2)
    assert len(file_secret(1)) == 43


@pytest.mark.parametrize(
    ("kind", "chat_type"), [("users", "chat"), ("groups", "groupchat"), ("chatgroups", "groupchat")]
)
def test_seed_form_of_sending(start: Start, kind: str, chat_type: str) -> None:
    client = start()
    answer = client.post(f"/{kind}/zw123/messages", {"msg": {"type": "txt", "msg": "hello"}}).json
    assert answer["data"] == [{"result_code": 200, "result_content": {"result": "ok"}}]
    sent = client.page(client.all).json["entities"][0]
    assert (sent["from"], sent["to"], sent["chat_type"]) == ("admin", "zw123", chat_type)
    assert sent["timestamp"] == client.clock.now_ms
    assert sent["payload"] == {"bodies": [{"type": "txt", "msg": "hello"}]}


def test_form_of_2014(start: Start) -> None:
    client = start()
    asked = {"target_type": "users", "target": ["ada", "hugo"], "msg": {"type": "txt", "msg": "hi"}, "from": "nora"}
    answer = client.post("/messages", asked | {"ext": {"a": 1}}).json
    keys = "action application params uri entities data timestamp duration organization applicationName"
    assert list(answer) == keys.split()
    assert answer["data"] == {"ada": "success", "hugo": "success"}
    ids = client.post("/messages?useMsgId=true", asked).json["data"]
    stored = client.page(client.all).json["entities"]
    assert [one["msg_id"] for one in stored][2:] == list(ids.values())
    assert stored[0]["payload"]["ext"] == {"a": 1}
    assert client.post("/messages", {"target": "ada"}).status == 400


@pytest.mark.parametrize("kind", ["users", "chatgroups", "chatrooms"])
def test_current_form(start: Start, kind: str) -> None:
    client = start(send_delay_ms=5000)
    ids = client.post(f"/messages/{kind}", {"from": "ada", "to": ["x"], "type": "txt", "body": {"msg": "hi"}}).json[
        "data"
    ]
    assert client.page(client.all).json["count"] == 0
    client.clock.now_ms += 5000
    assert client.page(client.all).ids == [ids["x"]]
    assert client.page(client.all).json["entities"][0]["payload"]["bodies"] == [{"msg": "hi", "type": "txt"}]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"from": ""}, 400, "param from can't be empty"),
        ({"to": ["x"] * 601}, 400, "params to's size can't exceed limit 600"),
        ({"to": "x"}, 400, "Request body is invalid. Please check body is correct."),
        ({"body": {"msg": "x" * 6000}}, 400, "message is too large"),
        ({"ext": None}, 400, "ext can't be null"),
    ],
)
def test_refused_messages(start: Start, change: dict[str, Any], status: int, words: str) -> None:
    client = start()
    asked = {"from": "ada", "to": ["x"], "type": "txt", "body": {"msg": "hi"}} | change
    answer = client.post("/messages/users", asked)
    assert (answer.status, answer.json["error_description"]) == (status, words)
    assert client.server.records == []


def test_sending_can_reach_its_limit(start: Start) -> None:
    client = start(send_refused=True)
    answers = [
        client.post("/users/x/messages", {"msg": {"type": "txt", "msg": ""}}),
        client.post("/messages", {"target_type": "users", "target": ["x"], "msg": {}}),
        client.post("/messages/users", {"to": ["x"], "type": "txt", "body": {}}),
    ]
    assert [answer.status for answer in answers] == [403] * 3
    assert client.post("/users/x/messages", b"nonsense").status == 400


def test_presence(start: Start) -> None:
    client = start()
    client.server.online = {"ada"}
    told = {"target_name": "Ada", "result_code": 200, "result_content": {"result": "online"}}
    assert client.get("/users/Ada/status").json["data"] == [told]
    client.server.faults.presence_form = "modern"
    assert client.get("/users/hugo/status").json["data"] == {"hugo": "offline"}
    answer = client.post("/users/batch/status", {"usernames": ["ada", "hugo"]}).json
    assert answer["data"] == [{"ada": "online"}, {"hugo": "offline"}]
    assert list(answer) == ["action", "data", "timestamp", "duration"]
    assert client.post("/users/batch/status", {"usernames": ["x"] * 101}).status == 400


def test_what_does_not_exist(start: Start) -> None:
    client = start()
    for method, path in [("GET", "/users"), ("DELETE", "/chatmessages"), ("GET", "/chatfiles"), ("PUT", "/token")]:
        answer = client.ask(method, client.prefix + path)
        assert (answer.status, answer.json["error"]) == (404, "service_resource_not_found")
