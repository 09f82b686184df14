"""Tokens: what the token call refuses, and how a token that is no good is refused everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Start = Callable[..., Any]

EXPIRED = "Unable to authenticate due to expired access token"


def test_token_answer_is_exactly_the_documented_one(start: Start) -> None:
    client = start()
    answer = client.sign_in(ttl=1024000).json
    assert list(answer) == ["access_token", "expires_in", "application"]
    assert answer["access_token"].startswith("YWMt")
    assert (answer["expires_in"], answer["application"]) == (1024000, client.server.application)
    assert client.server.count("/token", method="POST", status=200) == 2


@pytest.mark.parametrize(
    ("change", "error", "description"),
    [
        ({"client_id": None}, "illegal_argument", "client_id must be provided."),
        ({"client_secret": ""}, "illegal_argument", "client_secret must be provided"),
        ({"client_id": "YXA6other"}, "invalid_grant", "client_id does not match"),
        ({"client_secret": "YXA6other"}, "invalid_grant", "client_secret does not match"),
        ({"grant_type": "password"}, "invalid_grant", "invalid username or password"),
    ],
)
def test_token_call_names_what_is_wrong(start: Start, change: dict[str, Any], error: str, description: str) -> None:
    answer = start().sign_in(**change)
    assert (answer.status, answer.json["error"], answer.json["error_description"]) == (400, error, description)
    assert list(answer.json) == ["error", "timestamp", "duration", "exception", "error_description"]


def test_token_call_wants_json_and_a_known_application(start: Start) -> None:
    client = start()
    assert client.post("/token", b"client_id=1").json["error"] == "json_parse"
    assert client.post("/token", ["x"]).status == 400
    answer = client.ask("POST", "/easemob-demo/other/token", {})
    assert (answer.status, answer.json["error"]) == (404, "organization_application_not_found")
    description = "Could not find application for easemob-demo/other from URI: easemob-demo/other/token"
    assert answer.json["error_description"] == description


def test_token_dies_when_its_time_is_over(start: Start) -> None:
    client = start(token_ttl=5)
    assert client.page().status == 200
    client.clock.now_ms += 5000
    answer = client.page()
    assert (answer.status, answer.json["error"], answer.json["error_description"]) == (401, "unauthorized", EXPIRED)
    client.sign_in()
    assert client.page().status == 200


def test_ttl_of_zero_never_ends(start: Start) -> None:
    client = start(token_ttl=float("inf"))
    client.sign_in(ttl=0)
    client.clock.now_ms += 10**13
    assert client.page().status == 200


@pytest.mark.parametrize(
    ("header", "error", "description"),
    [
        ("", "unauthorized", EXPIRED),
        ("YWMt" + "a" * 40, "unauthorized", EXPIRED),
        ("Bearer nonsense", "auth_bad_access_token", "Unable to authenticate due to corrupt access token"),
        ("Bearer YWMt" + "a" * 40, "auth_bad_access_token", "Unable to authenticate"),
    ],
)
def test_refusals_of_tokens(start: Start, header: str, error: str, description: str) -> None:
    client = start()
    client.headers["Authorization"] = header
    answer = client.page()
    assert (answer.status, answer.json["error"], answer.json["error_description"]) == (401, error, description)


def test_a_refusal_may_come_without_description(start: Start) -> None:
    client = start(refuse_bearer=True, unauthorized_form="bare")
    assert "error_description" not in client.page().json
    client.server.faults.unauthorized_form = "oauth"
    assert client.page().json["error_description"] == "Unable to authenticate (OAuth)"
    client.server.faults.refuse_bearer = False
    client.headers["Authorization"] = "Bearer nonsense"
    assert "error_description" not in client.get("/chatmessages/2026091000").json


def test_token_dies_after_so_many_requests(start: Start) -> None:
    client = start(token_requests_valid=2)
    assert [client.page().status for _ in range(4)] == [200, 200, 401, 401]
    client.sign_in()
    assert client.page().status == 200


def test_refused_tokens_look_like_a_wrong_secret(start: Start) -> None:
    client = start(refuse_tokens=True)
    assert client.sign_in().json["error_description"] == "client_secret does not match"


def test_killed_tokens_are_expired(start: Start) -> None:
    client = start()
    client.server.tokens.kill()
    assert client.page().status == 401


def test_prefix_of_the_other_provider_leads_to_the_same_application(start: Start) -> None:
    client = start(1)
    client.prefix = f"/app-id/{client.server.application}"
    assert client.sign_in().status == 200
    assert client.page().json["count"] == 1
