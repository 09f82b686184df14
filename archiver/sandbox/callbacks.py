"""Callbacks as the provider sends them: every documented kind, signed by the secret of each rule, or not at all.

Faults: a share is lost, sent twice or sent late; a rule may have a wrong secret; another app's rules may name this URL.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any, NamedTuple

from archiver.sandbox.delivery import CallbackDelivery
from archiver.sandbox.faults import Faults

Fields = dict[str, Any]


class CallbackRule(NamedTuple):
    """What the console calls a rule. `offline`: also a copy for every member who was offline."""

    secret: str
    offline: bool = False


class CallbackSender:
    """What one app's rules send to one URL. Gives the bodies that were sent, in their order."""

    def __init__(
        self,
        url: str,
        app: str,
        rules: Sequence[CallbackRule],
        *,
        clock_ms: Callable[[], int],
        faults: Faults | None = None,
        seed: int = 1,
    ) -> None:
        self.app, self.rules, self.faults = app, list(rules), faults or Faults()
        self.delivery = CallbackDelivery(url, clock_ms)
        self.sent: list[bytes] = []
        self._clock_ms, self._random = clock_ms, Random(f"{app} {seed}")
        self._late: list[bytes] = []

    def message(self, record: Fields, *, offline: Iterable[str] = ()) -> None:
        """That a message was sent, by the record that the app's history has; `offline`: members who were away."""
        self._send(record["msg_id"], _of_record(record, "chat"))
        for member in offline:
            self._send(record["msg_id"], _of_record(record, "chat_offline") | {"to": member}, offline=True)

    def recall(self, msg_id: str, by: str = "admin", **more: Any) -> None:
        """That a message was taken back."""
        own = self._number()
        payload = {"ext": {}, "ack_message_id": msg_id, "bodies": []}
        fields = {"chat_type": "recall", "eventType": "chat", "from": by, "msg_id": own, "recall_id": msg_id}
        self._send(own, fields | {"payload": payload} | more)

    def edit(self, msg_id: str, text: str, by: str = "easemob_rest_app_admin", count: int = 1) -> None:
        """That a message has another text from now on; outer sender and recipient are internal names."""
        own, now_ms = self._number(), self._clock_ms()
        about = {"count": count, "edit_time": now_ms, "operator": by, "send_time": now_ms - 1000, "sender": by}
        payload = {
            "bodies": [{"msg": text, "type": "txt"}],
            "edit_message_id": msg_id,
            "meta": {"edit_msg": about},
            "type": "edit",
        }
        self._send(own, {"chat_type": "edit", "from": "p1", "to": "p2", "msg_id": own, "payload": payload})

    def group(self, group: str, operation: str, by: str, members: Sequence[str] = (), *, room: bool = False) -> None:
        """What was done to a group or room."""
        kind = "CHATROOM" if room else "GROUP"
        fields = {"event": "group_op_event", "id": group, "type": kind, "operation": operation, "operator": by}
        self._send(str(uuid.UUID(int=self._random.getrandbits(128))), fields | {"payload": {"member": list(members)}})

    def moderation(self, msg_id: str, verdict: str, text: str, sender: str, recipient: str) -> None:
        """What a review made of a text: PASS, REJECT, EXCHANGE or RECALL."""
        fields = {"eventType": "moderation", "moderationResult": verdict, "messageId": msg_id, "messageType": "txt"}
        people = {"from": sender, "to": recipient, "targetType": "chat", "msg": text}
        self._send(str(uuid.UUID(int=self._random.getrandbits(128))), fields | people)

    def keyword_alert(self, msg_id: str, status: str, words: Sequence[str], sender: str, recipient: str) -> None:
        """What a list of words made of a text: pass, refuse or replace."""
        people = {"contentOwner": f"{self.app}_{sender}@easemob.com", "contentReceiver": f"{self.app}_{recipient}"}
        fields = {"eventType": "keyword_alert", "contentUri": f"msync:{msg_id}", "sensitiveWords": list(words)}
        self._send(str(uuid.UUID(int=self._random.getrandbits(128))), fields | people | {"status": status})

    def ack(self, msg_id: str, by: str) -> None:
        """That somebody has read a message."""
        own = self._number()
        fields = {"chat_type": "read_ack", "eventType": "chat", "from": by, "msg_id": own}
        self._send(own, fields | {"payload": {"ext": {}, "ack_message_id": msg_id, "bodies": []}})

    def reaction(self, msg_id: str, by: str, emoji: str) -> None:
        """A kind that has neither callId nor security."""
        done = {"reaction": emoji, "op": [{"reactionType": "create", "operator": by}], "userList": [by], "count": 1}
        data = [{"messageId": msg_id, "from": by, "ts": self._clock_ms(), "reactions": [done]}]
        self._send(None, {"chat_type": "notify", "payload": {"type": "reaction", "data": data}})

    def thread(self, msg_id: str, by: str, text: str) -> None:
        """Another kind without a signature."""
        last = {"payload": {"bodies": [{"msg": text, "type": "txt"}]}}
        data = {"msg_parent_id": msg_id, "from": by, "id": self._number(), "operation": "update_msg", "name": "topic"}
        payload = {"type": "thread", "data": data | {"last_message": last, "timestamp": self._clock_ms()}}
        self._send(None, {"chat_type": "notify", "payload": payload})

    def unknown(self, **fields: Any) -> None:
        """A kind that nobody has documented yet."""
        self._send(str(uuid.UUID(int=self._random.getrandbits(128))), fields)

    def replay(self, body: bytes, times: int = 1, **changes: Any) -> None:
        """What an observer can do: a body again, or its callId, timestamp and security with another content."""
        forged = json.dumps(json.loads(body) | changes).encode() if changes else body
        for _ in range(times):
            self._post(forged)

    def flush(self) -> None:
        """Send what was held back."""
        late, self._late = self._late, []
        for body in late:
            self._post(body)

    def _send(self, call: str | None, fields: Fields, *, offline: bool = False) -> None:
        """By every rule that wants it, with its own signature."""
        stamp = fields.get("timestamp", self._clock_ms())
        for rule in self.rules:
            if offline and not rule.offline:
                continue
            body = {"appkey": self.app, **fields, "timestamp": stamp}
            if call is not None:
                body |= {"callId": f"{self.app}_{call}", "securityVersion": "1.0.0"}
                body["security"] = _security(body["callId"], rule.secret, stamp)
            self._pass_on(json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass"))

    def _pass_on(self, body: bytes) -> None:
        if self._random.random() < self.faults.callback_loss:
            return
        if self._random.random() < self.faults.callback_late:
            self._late.append(body)
            return
        self._post(body)
        if self._random.random() < self.faults.callback_twice:
            self._post(body)

    def _post(self, body: bytes) -> None:
        if self.delivery.post(body) != "banned":
            self.sent.append(body)

    def _number(self) -> str:
        return str(self._random.randrange(10**17, 10**18))

    def close(self) -> None:
        self.delivery.close()


def _security(call_id: str, secret: str, stamp: object) -> str:
    return hashlib.md5(f"{call_id}{secret}{stamp}".encode(), usedforsecurity=False).hexdigest()


def _of_record(record: Fields, event: str) -> Fields:
    """Rooms come as groups do, and are told from them by content_type alone."""
    chat_type, payload = record.get("chat_type"), record.get("payload") or {}
    is_group = chat_type in ("groupchat", "chatroom")
    fields: Fields = {"chat_type": "groupchat" if is_group else "chat", "eventType": event}
    fields |= {key: record[key] for key in ("msg_id", "from", "to", "timestamp") if key in record}
    if is_group:
        fields["group_id"] = record.get("to")
        fields["content_type"] = "chat:room:text" if chat_type == "chatroom" else "chat:group:text"
    return fields | {"payload": {key: payload[key] for key in ("bodies", "ext") if key in payload}}
