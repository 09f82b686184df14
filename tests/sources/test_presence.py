"""Presence in every form the answer has had."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from archiver.errors import AnswerUnusable, UsageError
from archiver.http import Client
from archiver.sandbox import Sandbox
from archiver.sources.easemob.auth import Tokens
from archiver.sources.easemob.presence import fetch_presence

if TYPE_CHECKING:
    from tests.fixtures.http import Scripted, Time


@pytest.fixture
def scripted(server: Scripted, clock: Time) -> Iterator[Tokens]:
    """Against a script; its first step is the token."""
    server.script = [server.answer(body=b'{"access_token":"YWMt","expires_in":0,"application":"x"}')]
    with Client(server.url(), stop=clock.stop, clock=clock) as client:
        yield Tokens(client, "/o/a", "id", SecretStr("secret"), clock=clock)


@pytest.mark.parametrize("form", ["seed", "modern"])
def test_the_stand_in_tells_who_is_there(form: str) -> None:
    with Sandbox(messages=0) as sandbox, Client(sandbox.base_url, stop=threading.Event()) as client:
        sandbox.faults.presence_form = form
        sandbox.online.add("zw123")
        api = Tokens(client, f"/{sandbox.org}/{sandbox.app}", sandbox.client_id, SecretStr(sandbox.client_secret))
        assert fetch_presence(api, ["ZW123", "a b/c"]) == [("ZW123", "online"), ("a b/c", "offline")]
        assert sandbox.requests[-1].path.endswith("/users/a%20b%2Fc/status")


@pytest.mark.parametrize(
    "data",
    [
        [{"target_name": "zw123", "result_code": 200, "result_content": {"result": "online"}}],
        {"zw123": "online"},
        {"ZW123": "online"},
        [{"zw123": "online"}],
    ],
)
def test_known_forms(server: Scripted, scripted: Tokens, data: object) -> None:
    server.script.append(server.answer(body=json.dumps({"data": data}).encode()))
    assert fetch_presence(scripted, ["zw123"]) == [("zw123", "online")]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"other": "online"},
        {"zw123": "away"},
        {"zw123": True},
        [{"target_name": "zw123", "result_code": 404, "result_content": {"result": "online"}}],
        [{"target_name": "other", "result_code": 200, "result_content": {"result": "online"}}],
        [[[["zw123"]]]],
    ],
)
def test_anything_else_is_an_error(server: Scripted, scripted: Tokens, data: object) -> None:
    server.script.append(server.answer(body=json.dumps({"data": data}).encode()))
    with pytest.raises(AnswerUnusable, match="does not say whether the user is online"):
        fetch_presence(scripted, ["zw123"])


def test_names_that_lead_elsewhere(server: Scripted, scripted: Tokens) -> None:
    with pytest.raises(UsageError):
        fetch_presence(scripted, [".."])
    assert server.asked == []
