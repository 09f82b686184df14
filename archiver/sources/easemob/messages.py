"""Sending a text message, in the form of the first documentation ("2014") or today's ("current").

A send is attempted once: after a broken connection nobody can say whether the message went out, and a second one would
be a second message. ProviderUnavailable then says that the outcome is unknown.
"""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import quote

from archiver.errors import AnswerUnusable, RequestRefused, UsageError
from archiver.http import Answer, envelope
from archiver.sources.easemob.auth import Tokens

SendApi = Literal["2014", "current"]


def send_user(api: Tokens, name: str, text: str, *, form: SendApi, sender: str | None = None) -> str | None:
    """Send `text` to one user; the id of the message, where the service tells it. Without a sender it is "admin"."""
    return _send(api, form, f"/users/{path_segment(name)}/messages", "/messages/users", name, text, sender)


def send_group(api: Tokens, group_id: str, text: str, *, form: SendApi, sender: str | None = None) -> str | None:
    """Send `text` to one group; else as `send_user`."""
    return _send(
        api, form, f"/groups/{path_segment(group_id)}/messages", "/messages/chatgroups", group_id, text, sender
    )


def path_segment(name: str) -> str:
    """A user or group id as one segment of a path. Raises UsageError where that cannot be."""
    try:
        segment = quote(name, safe="")
    except UnicodeEncodeError:
        segment = ""
    if segment in ("", ".", ".."):
        raise UsageError(f"{name!r} is not the id of a user or a group")
    return segment


def _send(
    api: Tokens, form: SendApi, path_2014: str, path: str, target: str, text: str, sender: str | None
) -> str | None:
    author = {} if sender is None else {"from": sender}
    if form == "2014":
        asked: dict[str, Any] = {**author, "msg": {"type": "txt", "msg": text}}
        return _sent_id(api.fetch("POST", path_2014, json=asked, retry=False), target)
    asked = {**author, "to": [target], "type": "txt", "body": {"msg": text}}
    return _sent_id(api.fetch("POST", path, json=asked, retry=False), target)


def _sent_id(answer: Answer, target: str) -> str | None:
    """The service answers 200 as a whole and names what became of the target inside, in one of three ways."""
    match envelope(answer).get("data"):
        case [{"result_code": int(code)}]:
            if code == 200:
                return None
            raise RequestRefused(f"{answer.where}: the service did not take the message ({code})", status=code)
        case dict(results) if len(results) == 1:
            [(name, result)] = results.items()
            if name.lower() == target.lower() and isinstance(result, str):
                return _id_or_refusal(answer, result)
    raise AnswerUnusable(f"{answer.where}: the answer does not say what became of the message; it may have been sent")


def _id_or_refusal(answer: Answer, result: str) -> str | None:
    if result == "success":
        return None
    if re.fullmatch(r"(?=.*[0-9])[A-Za-z0-9_-]{1,512}", result):  # a word without a digit is no id, but a complaint
        return result
    raise RequestRefused(f"{answer.where}: the service did not take the message")
