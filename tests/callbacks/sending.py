"""Callbacks as the provider's documentation shows them, and an archive that reads them in."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from threading import Event
from typing import Any

from archiver.callbacks import spool
from archiver.callbacks.ingest import Ingested, ingest
from archiver.callbacks.spool import Received
from archiver.config import load
from archiver.store.engine import Store
from tests.fixtures.archive import Archive
from tests.fixtures.store import open_database

SECRETS = ("first rule's secret", "second rule's secret")
SECTION = """
[callbacks]
spool = "{spool}"
[[callbacks.apps]]
app = "{app}"
alias = "support"
token_file = "{folder}/token"
secrets_file = "{folder}/secrets"
"""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def security(call_id: str, stamp: object, secret: str = SECRETS[0]) -> str:
    return hashlib.md5(f"{call_id}{secret}{stamp}".encode(), usedforsecurity=False).hexdigest()


def signed(app: str, call: str, secret: str = SECRETS[0], **fields: Any) -> dict[str, Any]:
    """A callback with its signature."""
    call_id, stamp = f"{app}_{call}", fields.setdefault("timestamp", now_ms())
    return {"callId": call_id, "appkey": app, "security": security(call_id, stamp, secret), **fields}


def message(app: str, msg_id: str, text: str = "hello", **more: Any) -> dict[str, Any]:
    bodies = more.pop("bodies", [{"msg": text, "type": "txt"}])
    fields = {"chat_type": "chat", "eventType": "chat", "from": "iris", "to": "bo", "msg_id": msg_id, **more}
    return signed(app, msg_id, payload={"ext": {}, "bodies": bodies}, **fields)


def recall(app: str, target: str, own: str = "9001", **more: Any) -> dict[str, Any]:
    fields = {"chat_type": "recall", "eventType": "chat", "from": "iris", "to": "bo", "msg_id": own, **more}
    return signed(app, own, recall_id=target, payload={"ext": {}, "ack_message_id": target, "bodies": []}, **fields)


def edit(app: str, target: str, text: str, own: str = "9002", **more: Any) -> dict[str, Any]:
    stamp = more.setdefault("timestamp", now_ms())
    about = {"count": 1, "edit_time": stamp, "operator": "iris", "send_time": stamp - 1000, "sender": "iris"}
    payload = {
        "bodies": [{"msg": text, "type": "txt"}],
        "edit_message_id": target,
        "from": "p1",
        "to": "p2",
        "type": "edit",
        "meta": {"edit_msg": about},
    }
    return signed(app, own, chat_type="edit", msg_id=own, payload=payload, **{"from": "x", "to": "y", **more})


class Receiving:
    """An archive that receives callbacks, without the receiver: segments are written as it writes them."""

    def __init__(self, archive: Archive, folder: Path) -> None:
        self.archive, self.spool, self.app = archive, folder, f"{archive.server.org}#{archive.server.app}"
        spool.make(folder)
        place = archive.config.parent
        (place / "secrets").write_text("\n".join(SECRETS) + "\n")
        (place / "token").write_text("0" * 32)
        archive.sections = SECTION.format(spool=folder, app=self.app, folder=place)
        archive.write_config()
        self.store: Store = open_database(archive.database)
        self._segments = 0

    def segment(self, *bodies: Any, alias: str = "support", received_ms: int | None = None) -> Path:
        """A finished segment with these callbacks."""
        self._segments += 1
        at = now_ms() if received_ms is None else received_ms
        records = [
            spool.encoded(Received(alias, at, body if isinstance(body, bytes) else json.dumps(body).encode()))
            for body in bodies
        ]
        path = self.spool / spool.READY / f"{at:013}-1-{self._segments:06}.segment"
        path.write_bytes(b"".join(records))
        return path

    def ingest(self, stop: Event | None = None) -> Ingested:
        result = ingest(load(self.archive.config, {}), self.store, stop)
        assert result is not None
        return result

    def take(self, *bodies: Any, **ways: Any) -> list[tuple[Any, ...]]:
        """Read these callbacks in; gives kind and signature of all events."""
        self.segment(*bodies, **ways)
        self.ingest()
        return self.events("kind, signed")

    def events(self, columns: str, where: str = "1 = 1") -> list[tuple[Any, ...]]:
        rows = self.archive.database.rows(f"SELECT {columns} FROM events WHERE {where} ORDER BY id")
        return [tuple(row) for row in rows]

    def close(self) -> None:
        self.store.dispose()
