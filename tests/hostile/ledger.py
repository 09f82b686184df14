"""What a page left in a database, in one form for both kinds, read with the program's own connection."""

from __future__ import annotations

import json
import math
from typing import Any

from archiver.store.engine import Tx

_QUERIES = {
    "messages": "SELECT msg_id, timestamp_ms, sent_at, sender, recipient, conversation, chat_type, direction, CAST(ext AS TEXT) AS ext, raw, digest,"
    " lossy, position FROM messages WHERE app_id = {app} ORDER BY raw, position",
    "message_bodies": "SELECT msg_id, position, type, text, url, filename, secret, file_length, duration, width, height,"
    " thumb_url, thumb_secret, lat, lng, addr, CAST(extra AS TEXT) AS extra FROM message_bodies WHERE app_id = {app}",
    "message_revisions": "SELECT msg_id, revision, timestamp_ms, raw, digest, position FROM message_revisions"
    " WHERE app_id = {app}",
    "quarantine": "SELECT position, reason, raw, digest, seen FROM quarantine WHERE app_id = {app}",
    "attachments": "SELECT msg_id, position, kind, url, declared_length, state FROM attachments WHERE app_id = {app}",
    "late_arrivals": "SELECT msg_id, timestamp_ms FROM late_arrivals WHERE app_id = {app}",
}  # fmt: skip
_JSON = {"ext", "extra"}

Rows = dict[str, list[tuple[Any, ...]]]


def read(tx: Tx, app_id: int) -> Rows:
    """All rows of an app, in an order that does not depend on the database."""
    found: Rows = {}
    for table, query in _QUERIES.items():
        result = tx.conn.exec_driver_sql(query.format(app=app_id))
        names = list(result.keys())
        rows = [tuple(_value(name, value) for name, value in zip(names, row, strict=True)) for row in result]
        found[table] = sorted(rows, key=repr)
    return found


def _value(name: str, value: Any) -> Any:
    if name in _JSON and value is not None:
        return _canonical(json.loads(value))
    if name == "sent_at" and value is not None and not isinstance(value, str):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    if name == "lossy":
        return bool(value)
    if isinstance(value, memoryview):
        return bytes(value)
    return value + 0.0 if isinstance(value, float) else value  # -0.0 and 0.0 are one value


def _canonical(value: Any) -> Any:
    """A text by which equal JSON is equal: JSONB writes 1e308 as digits, and sorts its keys."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return _plain(int(value)) if value.is_integer() else value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return repr(float(value)) if math.log10(abs(value)) < 308.2 else value
    return value
