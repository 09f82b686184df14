"""A callback's body to an event: pure. Which fields say what: the provider's pages on callbacks (2022 to 2026).

Anybody who knows the URL may have sent it, so no key is relied upon: what cannot be read is an event of kind `other`
with its bytes. The signature covers callId and timestamp, and not the body.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from archiver.model import Event
from archiver.sources.easemob.columns import INDEXED_BYTES, Columns
from archiver.sources.easemob.decode import conversation_of

Fields = dict[str, Any]
_ACKS = ("read_ack", "delivery_ack", "ack")
_LONGEST_TEXT = 100_000
_DIGITS = re.compile(r"[0-9]{1,18}")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class _Number(str):
    """A number as it was written: the signature covers its spelling."""

    __slots__ = ()


def read_event(body: bytes, app: str, secrets: Sequence[bytes]) -> Event:
    """What a callback to the URL of `app` ("org#app") reports, and whether one of the rules' secrets signed it."""
    try:
        record = json.loads(body.decode(), parse_int=_Number, parse_float=_Number, parse_constant=_Number)
    except (ValueError, RecursionError):
        return Event("other", "unsigned")
    if not isinstance(record, dict):
        return Event("other", "unsigned")
    kind = _kind(record)
    fields = _READERS[kind](record, _payload(record), app)
    call_id, stamp = _text(record.get("callId")), _text(record.get("timestamp"))
    return Event(
        kind=kind,
        signed=_signed(record, app, secrets),
        call_id=_id(call_id),
        msg_id=_id(_text(record.get("msg_id"))),
        signature=None if (security := _text(record.get("security"))) is None else security.lower()[:INDEXED_BYTES],
        stamp_ms=_ms(stamp),
        **fields,
    )


def _signed(record: Fields, app: str, secrets: Sequence[bytes]) -> str:
    call_id, security, stamp = (_text(record.get(key)) for key in ("callId", "security", "timestamp"))
    owner = app if call_id is None else call_id
    if not (owner.lower().startswith(f"{app.lower()}_") or call_id is None):
        return "wrong"
    if security is None:
        other = _text(record.get("appkey"))
        return "unsigned" if call_id is not None or other is None or other.lower() == app.lower() else "wrong"
    if call_id is None or stamp is None:
        return "wrong"
    given = security.lower().encode(errors="replace")
    fits = [hmac.compare_digest(given, _signature(call_id, secret, stamp)) for secret in secrets]
    return "signed" if any(fits) else "wrong"


def _signature(call_id: str, secret: bytes, stamp: str) -> bytes:
    whole = call_id.encode(errors="replace") + secret + stamp.encode(errors="replace")
    return hashlib.md5(whole, usedforsecurity=False).hexdigest().encode()


def _kind(record: Fields) -> str:
    event_type, chat_type = _text(record.get("eventType")), _text(record.get("chat_type"))
    if record.get("event") == "group_op_event":
        return "group"
    if event_type in ("moderation", "keyword_alert"):
        return "moderation"
    match chat_type:
        case "recall" | "edit":
            return chat_type
        case "notify":
            kind = _text(_payload(record).get("type"))
            return kind if kind in ("reaction", "thread") else "other"
        case "chat" | "groupchat" | "chatroom" if event_type in ("chat", "chat_offline") and "msg_id" in record:
            return "message"
    return "ack" if chat_type in _ACKS else "other"


def _message(record: Fields, payload: Fields, app: str) -> Fields:
    """An offline copy is addressed to one member, so a group's messages go by group_id."""
    group, sender = _text(record.get("group_id")), _text(payload.get("from")) or _text(record.get("from"))
    recipient = group or _text(payload.get("to")) or _text(record.get("to"))
    chat_type = "groupchat" if group else _text(record.get("chat_type"))
    bodies = _bodies(payload)
    is_room = (_text(record.get("content_type")) or "").startswith("chat:room") or chat_type == "chatroom"
    is_command = bool(bodies) and all(body.get("type") == "cmd" for body in bodies)
    conversation = conversation_of(chat_type, _bare(sender, app), _bare(recipient, app))
    return _fields(
        at=record.get("timestamp"),
        actor=_bare(sender, app),
        conversation=conversation,
        text=_said(bodies),
        apart="chatroom" if is_room else "cmd" if is_command else None,
    )


def _recall(record: Fields, payload: Fields, app: str) -> Fields:
    target = _text(payload.get("ack_message_id")) or _text(record.get("recall_id"))
    actor = _text(record.get("from"))
    return _fields(target, at=record.get("timestamp"), actor=_bare(actor, app), conversation=_group(record))


def _edit(record: Fields, payload: Fields, app: str) -> Fields:
    """The outer sender and recipient are internal."""
    meta = payload.get("meta")
    edited = meta.get("edit_msg") if isinstance(meta, dict) else None
    edited = edited if isinstance(edited, dict) else {}
    sender = _text(edited.get("sender")) or _text(payload.get("from"))
    return _fields(
        _text(payload.get("edit_message_id")),
        at=edited.get("edit_time") or record.get("timestamp"),
        actor=_bare(_text(edited.get("operator")) or sender, app),
        conversation=_group(record),
        text=_said(_bodies(payload)),
    )


def _group_event(record: Fields, payload: Fields, app: str) -> Fields:
    """What was done, and to whom: membership over time stands nowhere else."""
    parts = [_text(record.get("operation")), _text(payload.get("type"))]
    named = [payload.get(key) for key in ("member", "admin", "new_owner", "owner", "announcement", "share_file")]
    parts += [_text(one) for value in named for one in (value if isinstance(value, list) else [value])]
    return _fields(
        at=record.get("timestamp"),
        actor=_bare(_text(record.get("operator")), app),
        conversation=_text(record.get("id")),
        text=" ".join(_bare(part, app) or "" for part in parts if part) or None,
    )


def _moderation(record: Fields, _payload: Fields, app: str) -> Fields:
    uri = _text(record.get("contentUri")) or ""
    target = _text(record.get("messageId")) or (uri.removeprefix("msync:") if uri.startswith("msync:") else None)
    words = record.get("sensitiveWords")
    verdict = _text(record.get("moderationResult")) or _text(record.get("status"))
    said = [_text(record.get("msg"))] + [_text(word) for word in (words if isinstance(words, list) else [])]
    sender = _bare(_text(record.get("from")) or _text(record.get("contentOwner")), app)
    recipient = _bare(_text(record.get("to")) or _text(record.get("contentReceiver")), app)
    return _fields(
        target,
        at=record.get("timestamp"),
        actor=sender,
        conversation=conversation_of(_text(record.get("targetType")), sender, recipient),
        text=" ".join(part for part in [verdict, *said] if part) or None,
    )


def _reaction(record: Fields, payload: Fields, app: str) -> Fields:
    data = payload.get("data")
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    reactions = first.get("reactions")
    done = [
        (_text(reaction.get("reaction")), operation)
        for reaction in (reactions if isinstance(reactions, list) else [])
        if isinstance(reaction, dict)
        for operation in (reaction["op"] if isinstance(reaction.get("op"), list) else [])
        if isinstance(operation, dict)
    ]
    actor = next((_text(operation.get("operator")) for _, operation in done), None)
    parts = [part for name, operation in done for part in (_text(operation.get("reactionType")), name) if part]
    return _fields(
        _text(first.get("messageId")),
        at=first.get("ts") or record.get("timestamp"),
        actor=_bare(actor or _text(first.get("from")), app),
        text=" ".join(parts) or None,
    )


def _thread(record: Fields, payload: Fields, app: str) -> Fields:
    data = payload.get("data")
    data = data if isinstance(data, dict) else {}
    last = data.get("last_message")
    last = last if isinstance(last, dict) else {}
    inner = last.get("payload")
    said = _said(_bodies(inner)) if isinstance(inner, dict) else None
    return _fields(
        _text(data.get("msg_parent_id")),
        at=data.get("timestamp") or record.get("timestamp"),
        actor=_bare(_text(data.get("from")), app),
        conversation=_text(data.get("id")),
        text=" ".join(part for part in (_text(data.get("operation")), _text(data.get("name")), said) if part) or None,
    )


def _ack(record: Fields, payload: Fields, app: str) -> Fields:
    target, actor = _text(payload.get("ack_message_id")), _text(record.get("from"))
    return _fields(target, at=record.get("timestamp"), actor=_bare(actor, app), conversation=_group(record))


def _other(record: Fields, payload: Fields, app: str) -> Fields:
    return _fields(
        at=record.get("timestamp"), actor=_bare(_text(record.get("from")), app), text=_said(_bodies(payload))
    )


_READERS: dict[str, Callable[[Fields, Fields, str], Fields]] = {
    "message": _message,
    "recall": _recall,
    "edit": _edit,
    "group": _group_event,
    "moderation": _moderation,
    "reaction": _reaction,
    "thread": _thread,
    "ack": _ack,
    "other": _other,
}


def _fields(
    target: str | None = None,
    *,
    at: Any,
    actor: str | None = None,
    conversation: str | None = None,
    text: str | None = None,
    apart: str | None = None,
) -> Fields:
    """What columns can hold of these values."""
    columns = Columns(clean=False, plain=False)
    return {
        "target_msg_id": _id(target),
        "at_ms": _ms(_text(at)),
        "actor": columns.indexed(actor),
        "conversation": columns.indexed(conversation),
        "text": None if text is None else columns.text(text[:_LONGEST_TEXT]),
        "apart": apart,
    }


def _text(value: Any) -> str | None:
    """A text, or a number as it was written; nothing else, and nothing empty."""
    return str(value) if isinstance(value, str) and value else None


def _id(value: str | None) -> str | None:
    """An id that could be a message's: cut or altered, it might be that of another one."""
    if value is None or _UNSTORABLE.search(value) or len(value.encode()) > INDEXED_BYTES:
        return None
    return value


def _ms(value: str | None) -> int | None:
    return int(value) if value is not None and value.isascii() and _DIGITS.fullmatch(value) else None


def _payload(record: Fields) -> Fields:
    payload = record.get("payload")
    return payload if isinstance(payload, dict) else {}


def _bodies(payload: Fields) -> list[Fields]:
    bodies = payload.get("bodies")
    return [body for body in bodies if isinstance(body, dict)] if isinstance(bodies, list) else []


def _said(bodies: list[Fields]) -> str | None:
    """The texts of bodies, names of files included."""
    keys = ("msg", "action", "customEvent", "filename", "addr", "title", "summary")
    return "\n".join(text for body in bodies for key in keys if (text := _text(body.get(key)))) or None


def _group(record: Fields) -> str | None:
    return _text(record.get("group_id"))


def _bare(name: str | None, app: str) -> str | None:
    """A user's name without what some callbacks put around it: `org#app_user@easemob.com`."""
    if name is None or not name.lower().startswith(f"{app.lower()}_"):
        return name
    return name[len(app) + 1 :].removesuffix("@easemob.com")
