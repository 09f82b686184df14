"""What a competent user would write in an afternoon: requests, json, SQLAlchemy Core, and a watermark in the same
transaction. It proves nothing, loses what comes late and stops at a hostile record; its speed is the measure here.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import requests
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

metadata = sa.MetaData()
messages = sa.Table(
    "messages",
    metadata,
    sa.Column("msg_id", sa.Text, primary_key=True),
    sa.Column("timestamp_ms", sa.BigInteger, nullable=False),
    sa.Column("sent_at", sa.DateTime(timezone=True), index=True),
    sa.Column("sender", sa.Text),
    sa.Column("recipient", sa.Text),
    sa.Column("conversation", sa.Text),
    sa.Column("chat_type", sa.Text),
    sa.Column("ext", sa.JSON(none_as_null=True)),
    sa.Column("raw", sa.Text, nullable=False),
    sa.Column("archived_at", sa.DateTime(timezone=True)),
    sa.Index("ix_conversation", "conversation", "timestamp_ms"),
    sa.Index("ix_sender", "sender", "timestamp_ms"),
)
bodies = sa.Table(
    "message_bodies",
    metadata,
    sa.Column("msg_id", sa.ForeignKey("messages.msg_id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("type", sa.Text),
    sa.Column("text", sa.Text),
    sa.Column("url", sa.Text),
    sa.Column("filename", sa.Text),
    sa.Column("secret", sa.Text),
    sa.Column("file_length", sa.BigInteger),
    sa.Column("duration", sa.Float),
    sa.Column("width", sa.Integer),
    sa.Column("height", sa.Integer),
    sa.Column("lat", sa.Float),
    sa.Column("lng", sa.Float),
    sa.Column("addr", sa.Text),
)
watermark = sa.Table("watermark", metadata, sa.Column("timestamp_ms", sa.BigInteger, nullable=False))


def prepare(url: str) -> sa.Engine:
    engine = sa.create_engine(url)
    metadata.create_all(engine)
    return engine


def pull(engine: sa.Engine, server: str) -> None:
    """Page after page from the watermark on; rows and watermark in one transaction."""
    insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    session = requests.Session()
    with engine.begin() as conn:
        since = conn.scalar(sa.select(sa.func.max(watermark.c.timestamp_ms))) or 0
    query = {"ql": f"select * where timestamp > {since} order by timestamp asc", "limit": "1000"}
    while True:
        answer = session.get(f"{server}/chatmessages", params=query, timeout=60)
        answer.raise_for_status()
        page = answer.json()
        records = page["entities"]
        now = datetime.now(UTC)
        with engine.begin() as conn:
            if records:
                conn.execute(insert(messages).on_conflict_do_nothing(), [_message(record, now) for record in records])
                rows = [row for record in records for row in _bodies(record)]
                if rows:
                    conn.execute(insert(bodies).on_conflict_do_nothing(), rows)
                conn.execute(watermark.insert().values(timestamp_ms=records[-1]["timestamp"]))
        if "cursor" not in page:
            return
        query["cursor"] = page["cursor"]


def _message(record: dict[str, Any], now: datetime) -> dict[str, Any]:
    sender, recipient = record["from"], record["to"]
    both = "|".join(sorted((sender.lower(), recipient.lower())))
    return {
        "msg_id": record["msg_id"],
        "timestamp_ms": record["timestamp"],
        "sent_at": datetime.fromtimestamp(record["timestamp"] / 1000, UTC),
        "sender": sender,
        "recipient": recipient,
        "conversation": both if record["chat_type"] == "chat" else recipient,
        "chat_type": record["chat_type"],
        "ext": record["payload"].get("ext"),
        "raw": json.dumps(record, ensure_ascii=False),
        "archived_at": now,
    }


def _bodies(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "msg_id": record["msg_id"],
            "position": position,
            "type": body.get("type"),
            "text": body.get("msg") or body.get("action") or body.get("customEvent"),
            "url": body.get("url"),
            "filename": body.get("filename"),
            "secret": body.get("secret"),
            "file_length": body.get("file_length"),
            "duration": body.get("length"),
            "width": (body.get("size") or {}).get("width"),
            "height": (body.get("size") or {}).get("height"),
            "lat": body.get("lat"),
            "lng": body.get("lng"),
            "addr": body.get("addr"),
        }
        for position, body in enumerate(record["payload"]["bodies"])
    ]
