"""Sending in both forms: one attempt, and the fate of the one target."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from archiver.errors import AnswerUnusable, ProviderUnavailable, RequestRefused, UsageError
from archiver.http import Client
from archiver.sandbox import Sandbox
from archiver.sources.easemob.auth import Tokens
from archiver.sources.easemob.messages import SendApi, path_segment, send_group, send_user

if TYPE_CHECKING:
    from tests.fixtures.http import Scripted, Time


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(messages=0) as one:
        yield one


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[Tokens]:
    with Client(sandbox.base_url, stop=threading.Event()) as client:
        yield Tokens(client, f"/{sandbox.org}/{sandbox.app}", sandbox.client_id, SecretStr(sandbox.client_secret))


@pytest.fixture
def scripted(server: Scripted, clock: Time) -> Iterator[Tokens]:
    """Against a script; its first step is the token."""
    server.script = [server.answer(body=b'{"access_token":"YWMt","expires_in":0,"application":"x"}')]
    with Client(server.url(), stop=clock.stop, clock=clock) as client:
        yield Tokens(client, "/o/a", "id", SecretStr("secret"), clock=clock)


def last(sandbox: Sandbox) -> tuple[str, Any]:
    return sandbox.requests[-1].path.removeprefix(f"/{sandbox.org}/{sandbox.app}"), json.loads(
        sandbox.requests[-1].body
    )


def test_the_form_of_2014(sandbox: Sandbox, api: Tokens) -> None:
    assert send_user(api, "zw/1 23", "你好", form="2014") is None
    assert last(sandbox) == ("/users/zw%2F1%2023/messages", {"msg": {"type": "txt", "msg": "你好"}})
    assert send_group(api, "14", "hi", form="2014", sender="me") is None
    assert last(sandbox) == ("/groups/14/messages", {"from": "me", "msg": {"type": "txt", "msg": "hi"}})
    assert [record["chat_type"] for record in map(as_json, sandbox.records)] == ["chat", "groupchat"]


def test_the_current_form_tells_the_id(sandbox: Sandbox, api: Tokens) -> None:
    msg_id = send_user(api, "zw123", "hi", form="current", sender="me")
    assert last(sandbox) == ("/messages/users", {"from": "me", "to": ["zw123"], "type": "txt", "body": {"msg": "hi"}})
    assert send_group(api, "14", "hi", form="current") != msg_id
    assert last(sandbox) == ("/messages/chatgroups", {"to": ["14"], "type": "txt", "body": {"msg": "hi"}})
    assert as_json(sandbox.records[0])["msg_id"] == msg_id


def as_json(stored: Any) -> dict[str, Any]:
    found: dict[str, Any] = stored if isinstance(stored, dict) else json.loads(stored.raw)
    return found


@pytest.mark.parametrize("form", ["2014", "current"])
def test_a_refusal_is_told(sandbox: Sandbox, api: Tokens, form: SendApi) -> None:
    sandbox.faults.send_refused = True
    with pytest.raises(RequestRefused) as caught:
        send_user(api, "zw123", "hi", form=form)
    assert (caught.value.status, caught.value.code) == (403, "message_send_error")


def test_an_unknown_outcome_is_not_tried_again(sandbox: Sandbox, api: Tokens) -> None:
    api.fetch("GET", "/users/x/status")
    before = len(sandbox.requests)
    sandbox.faults.cut_body = 1
    with pytest.raises(ProviderUnavailable, match="unknown whether it was done"):
        send_user(api, "zw123", "hi", form="2014")
    assert len(sandbox.requests) == before + 1
    assert len(sandbox.records) == 1


@pytest.mark.parametrize(
    ("data", "msg_id"),
    [
        ([{"result_code": 200, "result_content": {"result": "ok"}}], None),
        ({"zw123": "success"}, None),
        ({"ZW123": "1029457500870543736"}, "1029457500870543736"),
        ({"zw123": "5I02W-16-8278a"}, "5I02W-16-8278a"),
    ],
)
def test_known_results(server: Scripted, scripted: Tokens, data: object, msg_id: str | None) -> None:
    server.script.append(server.answer(body=json.dumps({"data": data}).encode()))
    assert send_user(scripted, "zw123", "hi", form="2014") == msg_id


@pytest.mark.parametrize(
    "data",
    [[{"result_code": 404, "result_content": {"result": "no"}}], {"zw123": "failed"}, {"zw123": "not a friend 7"}],
)
def test_results_that_refuse(server: Scripted, scripted: Tokens, data: object) -> None:
    server.script.append(server.answer(body=json.dumps({"data": data}).encode()))
    with pytest.raises(RequestRefused, match="did not take the message"):
        send_user(scripted, "zw123", "hi", form="2014")
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "data", [None, [], {}, {"other": "success"}, {"zw123": 1}, "success", [{"result_code": "200"}]]
)
def test_results_that_say_nothing(server: Scripted, scripted: Tokens, data: object) -> None:
    server.script.append(server.answer(body=json.dumps({"data": data}).encode()))
    with pytest.raises(AnswerUnusable, match="may have been sent"):
        send_user(scripted, "zw123", "hi", form="2014")
    assert len(server.asked) == 2


@pytest.mark.parametrize("name", ["", ".", "..", "\ud83d"])
def test_names_that_lead_elsewhere(server: Scripted, scripted: Tokens, name: str) -> None:
    with pytest.raises(UsageError, match="is not the id"):
        send_user(scripted, name, "hi", form="2014")
    assert server.asked == []


def test_names_are_one_segment() -> None:
    assert path_segment("../a?b#c%2f 你") == "..%2Fa%3Fb%23c%252f%20%E4%BD%A0"
