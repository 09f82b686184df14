"""What an app's rules send of its history: every message, and now and then a callback of another kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from archiver.sandbox.callbacks import CallbackSender

_KINDS: tuple[Callable[[CallbackSender, dict[str, Any]], None], ...] = (
    lambda sender, record: sender.ack(record["msg_id"], record["to"]),
    lambda sender, record: sender.edit(record["msg_id"], "edited by the sandbox"),
    lambda sender, record: sender.recall(record["msg_id"], by=record["from"]),
    lambda sender, record: sender.reaction(record["msg_id"], record["to"], "thumbs up"),
    lambda sender, record: sender.moderation(record["msg_id"], "REJECT", "a text", record["from"], record["to"]),
    lambda sender, record: sender.keyword_alert(record["msg_id"], "replace", ["word"], record["from"], record["to"]),
    lambda sender, record: sender.thread(record["msg_id"], record["from"], "a topic"),
    lambda sender, record: sender.group("sandbox-group", "add_member", record["from"], [record["to"]]),
    lambda sender, record: sender.unknown(eventType="sandbox", about=record["msg_id"]),
    lambda sender, record: sender.replay(sender.sent[-1], to=record["to"]) if sender.sent else None,
)
_EVERY = 10
"""Messages from one callback of another kind to the next."""


def send(sender: CallbackSender, records: Iterable[dict[str, Any]], *, is_stopped: Callable[[], bool]) -> int:
    """Send what these records would have caused; gives the number of records that were come to."""
    count = 0
    for record in records:
        if is_stopped():
            break
        sender.message(record)
        count += 1
        if count % _EVERY == 0:
            _KINDS[count // _EVERY % len(_KINDS)](sender, {"from": "", "to": "", **record})
    sender.flush()
    return count
