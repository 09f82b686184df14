"""Callbacks as the provider documents them: which kind they are, what they are about, and who signed them."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from archiver.model import Event
from archiver.sources import read_event
from tests.callbacks.sending import SECRETS, edit, message, recall, security, signed

APP = "acme#support"
AT = 1_793_500_000_000
KEYS = tuple(secret.encode() for secret in SECRETS)


def read(body: Any) -> Event:
    return read_event(body if isinstance(body, bytes) else json.dumps(body).encode(), APP, KEYS)


def brief(event: Event) -> tuple[Any, ...]:
    return event.kind, event.signed, event.target_msg_id, event.actor, event.conversation, event.at_ms, event.text


def group(operation: str, kind: str = "GROUP", **payload: Any) -> dict[str, Any]:
    fields = {"id": "77", "type": kind, "event": "group_op_event", "operation": operation, "operator": "iris"}
    return signed(APP, "u-u-i-d", timestamp=AT, payload=payload, **fields)


def keyword(status: str, words: list[str]) -> dict[str, Any]:
    people = {"contentOwner": f"{APP}_iris@easemob.com", "contentReceiver": f"{APP}_bo@easemob.com"}
    fields = {"eventType": "keyword_alert", "contentUri": "msync:41", "contentType": "message"}
    return signed(APP, "u-u", timestamp=AT, status=status, sensitiveWords=words, **people, **fields)


def moderated(verdict: str) -> dict[str, Any]:
    fields = {"messageType": "txt", "messageId": "41", "targetType": "groupchat", "eventType": "moderation"}
    return signed(
        APP, "u-u", timestamp=AT, moderationResult=verdict, **fields, **{"from": "iris", "to": "77", "msg": "said"}
    )


REACTION = {
    "chat_type": "notify",
    "appkey": APP,
    "eventType": "chat",
    "msg_id": "56",
    "from": "x",
    "to": "y",
    "timestamp": AT + 9,
    "payload": {
        "type": "reaction",
        "data": [
            {
                "messageId": "41",
                "from": "bo",
                "to": "iris",
                "ts": AT,
                "reactions": [
                    {"reaction": "old", "userList": ["iris"], "count": 1},
                    {"reaction": "heart", "op": [{"reactionType": "create", "operator": "bo"}], "count": 1},
                ],
            }
        ],
    },
}
THREAD = {
    "chat_type": "notify",
    "appkey": APP,
    "eventType": "chat",
    "msg_id": "57",
    "from": "admin",
    "timestamp": AT + 9,
    "payload": {
        "type": "thread",
        "data": {
            "msg_parent_id": "41",
            "name": "topic",
            "from": "bo",
            "id": "88",
            "operation": "update_msg",
            "timestamp": AT,
            "last_message": {"payload": {"bodies": [{"msg": "in it", "type": "txt"}]}},
        },
    },
}
ACK = signed(APP, "58", timestamp=AT, chat_type="read_ack", eventType="chat", payload={"ack_message_id": "41"}) | {
    "from": "bo",
    "msg_id": "58",
}
ROOM = {"chat_type": "groupchat", "group_id": "99", "content_type": "chat:room:text"}
COPY = {"chat_type": "groupchat", "group_id": "77", "eventType": "chat_offline", "to": "cleo"}

DOCUMENTED = [
    (message(APP, "41", timestamp=AT), ("message", "signed", None, "iris", "bo|iris", AT, "hello")),
    (message(APP, "41", timestamp=AT, **COPY), ("message", "signed", None, "iris", "77", AT, "hello")),
    (message(APP, "41", timestamp=AT, **ROOM), ("message", "signed", None, "iris", "99", AT, "hello")),
    (recall(APP, "41", timestamp=AT), ("recall", "signed", "41", "iris", None, AT, None)),
    (recall(APP, "41", timestamp=AT, group_id="77"), ("recall", "signed", "41", "iris", "77", AT, None)),
    (edit(APP, "41", "new", timestamp=AT), ("edit", "signed", "41", "iris", None, AT, "new")),
    (group("JOIN", member=["bo"]), ("group", "signed", None, "iris", "77", AT, "JOIN bo")),
    (group("LEAVE", "CHATROOM", member=["bo"]), ("group", "signed", None, "iris", "77", AT, "LEAVE bo")),
    (
        group("UPDATE", type="OWNER", owner="iris", new_owner="bo"),
        ("group", "signed", None, "iris", "77", AT, "UPDATE OWNER bo iris"),
    ),
    (moderated("PASS"), ("moderation", "signed", "41", "iris", "77", AT, "PASS said")),
    (moderated("EXCHANGE"), ("moderation", "signed", "41", "iris", "77", AT, "EXCHANGE said")),
    (moderated("RECALL"), ("moderation", "signed", "41", "iris", "77", AT, "RECALL said")),
    (keyword("refuse", ["word"]), ("moderation", "signed", "41", "iris", "bo|iris", AT, "refuse word")),
    (keyword("pass", []), ("moderation", "signed", "41", "iris", "bo|iris", AT, "pass")),
    (REACTION, ("reaction", "unsigned", "41", "bo", None, AT, "create heart")),
    (THREAD, ("thread", "unsigned", "41", "bo", "88", AT, "update_msg topic in it")),
    (ACK, ("ack", "signed", "41", "bo", None, AT, None)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "expected"), DOCUMENTED, ids=lambda value: str(value)[:24] if isinstance(value, tuple) else ""
)
def test_every_documented_kind_is_read(body: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert brief(read(body)) == expected


def test_messages_of_rooms_and_commands_are_counted_apart() -> None:
    assert read(message(APP, "41")).apart is None
    assert read(message(APP, "41", **ROOM)).apart == "chatroom"
    assert read(message(APP, "41", bodies=[{"type": "cmd", "action": "refresh"}])).apart == "cmd"


def test_an_unknown_kind_is_an_event_of_its_own_kind() -> None:
    assert brief(read(signed(APP, "1", timestamp=AT, eventType="tomorrow", **{"from": "iris"}))) == (
        *("other", "signed", None, "iris", None, AT, None),
    )
    login = {"appkey": APP, "user": "iris", "status": "login", "timestamp": AT}
    assert read(login)[:2] == ("other", "unsigned")


@pytest.mark.parametrize("stamp", [AT, str(AT), float(AT) + 0.25])
@pytest.mark.parametrize("secret", SECRETS)
def test_any_of_the_secrets_signs_whatever_the_spelling_of_the_time(stamp: object, secret: str) -> None:
    assert read(signed(APP, "1", secret, timestamp=stamp)).signed == "signed"
    raw = json.dumps(signed(APP, "1", secret, timestamp=AT)).replace(str(AT), f"{AT}.0")
    assert read(raw.encode()).signed == "wrong", "its spelling is what is signed"


@pytest.mark.parametrize(
    ("change", "judged"),
    [
        ({}, "signed"),
        ({"security": "0" * 32}, "wrong"),
        ({"security": security(f"{APP}_1", AT).upper()}, "signed"),
        ({"security": None}, "unsigned"),
        ({"security": ["x"]}, "unsigned"),
        ({"timestamp": AT + 1}, "wrong"),
        ({"timestamp": None}, "wrong"),
        ({"callId": None}, "wrong"),
        ({"callId": f"{APP}_2"}, "wrong"),
        ({"callId": "other#app_1", "security": security("other#app_1", AT)}, "wrong"),
        ({"callId": f"{APP}2_1", "security": security(f"{APP}2_1", AT)}, "wrong"),
        ({"callId": f"{APP.upper()}_1", "security": security(f"{APP.upper()}_1", AT)}, "signed"),
        ({"callId": None, "security": None, "appkey": "other#app"}, "wrong"),
        ({"security": "\ud800"}, "wrong"),
    ],
)
def test_a_signature_is_of_this_app_and_one_of_its_rules(change: dict[str, Any], judged: str) -> None:
    assert read(signed(APP, "1", timestamp=AT) | change).signed == judged


def test_whatever_comes_is_an_event_and_never_an_error() -> None:
    shapes: list[Any] = [None, True, 0, -1, 1e400, "x", "\0", "\ud800", [], {}, [[]], {"a": {}}, "9" * 600, 10**400]
    seeded = random.Random(24)
    bases = [body for body, _ in DOCUMENTED]
    for _ in range(3_000):
        body = json.loads(json.dumps(seeded.choice(bases)))
        place: Any = body
        while isinstance(place, dict | list) and place:
            key = seeded.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if seeded.random() < 0.4 or not isinstance(place[key], dict | list):
                place[key] = seeded.choice(shapes)
                break
            place = place[key]
        event = read(json.dumps(body).encode(errors="surrogatepass"))
        for text in (event.msg_id, event.target_msg_id, event.actor, event.conversation, event.text, event.call_id):
            assert text is None or "\0" not in text
            assert text is None or text.encode()
    for raw in (b"", b"\xff\xfe", b"[1, 2]", b"null", b"{", b"[" * 100_000, b'{"a":' * 50_000, b"\0" * 100):
        assert read_event(raw, APP, KEYS) == Event("other", "unsigned")


def test_an_id_that_no_message_can_have_is_no_target() -> None:
    for target in ("x" * 513, "a\0b", "\ud800"):
        assert read(recall(APP, target)).target_msg_id is None
    assert read(recall(APP, "x" * 512)).target_msg_id == "x" * 512
