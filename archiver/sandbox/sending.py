"""Sending and presence, in the forms of three times. A sent message is archived like any other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from archiver.sandbox.data import make_msg_id
from archiver.sandbox.shelf import make_uuid, render, uuid_text
from archiver.sandbox.wire import SandboxAnswer, SandboxRequest

if TYPE_CHECKING:
    from archiver.sandbox.service import Service

_CHAT_TYPES = {"users": "chat", "groups": "groupchat", "chatgroups": "groupchat", "chatrooms": "chatroom"}
_MOST = {"users": 600, "chatgroups": 3, "chatrooms": 10}
_LARGEST = 5 * 1024


def send_seed(service: Service, request: SandboxRequest, kind: str, target: str) -> SandboxAnswer:
    """`POST users/{name}/messages` and `groups/{id}/messages`, the form of the first text."""
    asked = _asked(request)
    body = asked.get("msg")
    if not isinstance(body, dict):
        return service.error(request, 400, "illegal_argument", "msg must be provided.")
    refused = _refusal(service, request, asked)
    if refused:
        return refused
    _deliver(service, kind, target, body, asked)
    done = [{"result_code": 200, "result_content": {"result": "ok"}}]
    return _sent(service, request, done)


def send_2014(service: Service, request: SandboxRequest) -> SandboxAnswer:
    """`POST messages` with target_type and target."""
    asked = _asked(request)
    kind, targets, body = asked.get("target_type"), asked.get("target"), asked.get("msg")
    if kind not in _CHAT_TYPES or not isinstance(targets, list) or not isinstance(body, dict):
        return service.error(request, 400, "illegal_argument", "target_type, target and msg must be provided.")
    refused = _refusal(service, request, asked)
    if refused:
        return refused
    ids = {str(target): _deliver(service, kind, str(target), body, asked) for target in targets}
    with_ids = request.query.get("useMsgId") == "true"
    return _sent(service, request, ids if with_ids else dict.fromkeys(ids, "success"))


def send_now(service: Service, request: SandboxRequest, kind: str) -> SandboxAnswer:
    """`POST messages/users`, `messages/chatgroups`, `messages/chatrooms`: today's form."""
    asked = _asked(request)
    targets, kind_of_body, body = asked.get("to"), asked.get("type"), asked.get("body")
    if not isinstance(targets, list) or not isinstance(kind_of_body, str) or not isinstance(body, dict):
        return service.error(
            request, 400, "invalid_request_body", "Request body is invalid. Please check body is correct."
        )
    if len(targets) > _MOST[kind]:
        words = f"params to's size can't exceed limit {_MOST[kind]}"
        return service.error(request, 400, "message_send_error", words)
    refused = _refusal(service, request, asked)
    if refused:
        return refused
    whole = {**body, "type": kind_of_body}
    return _sent(service, request, {str(to): _deliver(service, kind, str(to), whole, asked) for to in targets})


def presence(service: Service, request: SandboxRequest, user: str) -> SandboxAnswer:
    """`GET users/{name}/status`, in the seed's form or the later one."""
    state = _state(service, user)
    data: Any = {user: state}
    if service.faults.presence_form == "seed":
        data = [{"target_name": user, "result_code": 200, "result_content": {"result": state}}]
    parts = {"uri": service.uri(f"/users/{user}/status"), "entities": [], "data": data}
    return service.reply(request, parts)


def batch_presence(service: Service, request: SandboxRequest) -> SandboxAnswer:
    """`POST users/batch/status` for up to 100 users."""
    users = _asked(request).get("usernames")
    if not isinstance(users, list) or len(users) > 100:
        return service.error(request, 400, "illegal_argument", "usernames must be a list of at most 100 names")
    data = [{str(user): _state(service, str(user))} for user in users]
    return service.reply(request, {"action": "get batch user status", "data": data}, named=False)


def _state(service: Service, user: str) -> str:
    return "online" if user.lower() in service.online else "offline"


def _asked(request: SandboxRequest) -> dict[str, Any]:
    try:
        asked = json.loads(request.body)
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}


def _refusal(service: Service, request: SandboxRequest, asked: dict[str, Any]) -> SandboxAnswer | None:
    if service.faults.send_refused:
        return service.error(request, 403, "message_send_error", "message send reach limit")
    if asked.get("from", "admin") == "":
        return service.error(request, 400, "message_send_error", "param from can't be empty")
    if asked.get("ext", {}) is None:
        return service.error(request, 400, "illegal_argument", "ext can't be null")
    if len(render(asked.get("msg", asked.get("body")))) > _LARGEST:
        return service.error(request, 400, "message_send_error", "message is too large")
    return None


def _deliver(service: Service, kind: str, target: str, body: dict[str, Any], asked: dict[str, Any]) -> str:
    """Store one message for one target and return its id. The server's clock stamps it."""
    now, serial = service.now_ms(), service.shelf.serial()
    payload: dict[str, Any] = {"bodies": [body]}
    if "ext" in asked:
        payload["ext"] = asked["ext"]
    record = {
        "uuid": uuid_text(make_uuid(now, serial, node=2)),
        "type": "chatmessage",
        "created": now,
        "modified": now,
        "timestamp": now,
        "from": asked.get("from", "admin"),
        "msg_id": make_msg_id(now, serial),
        "to": target,
        "chat_type": _CHAT_TYPES[kind],
        "payload": payload,
    }
    true = service.true_ms()
    service.shelf.add(record, now, true + service.faults.send_delay_ms, true)
    return str(record["msg_id"])


def _sent(service: Service, request: SandboxRequest, data: Any) -> SandboxAnswer:
    path = "/" + "/".join(request.segments[2:])
    return service.reply(request, {"params": {}, "uri": service.uri(path), "entities": [], "data": data})
