"""Whether users are online, one call a user; the answer has had three forms over the years, and all are read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from archiver.errors import AnswerUnusable
from archiver.http import Answer, envelope
from archiver.sources.easemob.auth import Tokens
from archiver.sources.easemob.messages import path_segment

State = Literal["online", "offline"]


def fetch_presence(api: Tokens, users: Iterable[str]) -> list[tuple[str, State]]:
    """Every user with their state, in the order asked. Anything but online and offline is AnswerUnusable."""
    return [(user, _fetch_state(api, user)) for user in users]


def _fetch_state(api: Tokens, user: str) -> State:
    return api.fetch_as(lambda answer: _read_state(answer, user), "GET", f"/users/{path_segment(user)}/status")


def _read_state(answer: Answer, user: str) -> State:
    match _state(envelope(answer).get("data"), user):
        case "online":
            return "online"
        case "offline":
            return "offline"
    raise AnswerUnusable(f"{answer.where}: the answer does not say whether the user is online")


def _state(content: object, user: str) -> object:
    match content:
        case [only]:
            return _state(only, user)
        case {"target_name": str(name), "result_code": 200, "result_content": {"result": state}}:
            return state if name.lower() == user.lower() else None
        case dict(states):
            return next((state for name, state in states.items() if name.lower() == user.lower()), None)
    return None
