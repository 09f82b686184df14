"""What was said, what could not be read, and what messages point to; keyed by (app_id, msg_id), not by time."""

from __future__ import annotations

import sqlalchemy as sa

from archiver.store.schema.columns import (
    ATTACHMENT_STATES,
    EVIDENCE,
    JUDGED,
    SHARDED,
    STATE,
    Id,
    InstantColumn,
    JsonText,
    Ms,
    metadata,
    quoted,
)


def of_message(name: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["app_id", "msg_id"], ["messages.app_id", "messages.msg_id"], name=f"fk_{name}_messages"
    )


WITHHELD_SEALED, WITHHELD_ERASED = 1, 2
"""Of `withheld`: to be erased when a hold or a term ends; and erased. No view and no program shows either."""
messages = sa.Table(
    "messages",
    metadata,
    sa.Column("app_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("msg_id", sa.Text, primary_key=True),
    sa.Column("timestamp_ms", Ms, nullable=False),
    sa.Column("sent_at", InstantColumn),
    sa.Column("sender", sa.Text),
    sa.Column("recipient", sa.Text),
    sa.Column("conversation", sa.Text),
    sa.Column("chat_type", sa.Text),
    sa.Column("direction", sa.Text),
    sa.Column("ext", JsonText),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("lossy", sa.Boolean, nullable=False),
    sa.Column("page_id", sa.BigInteger, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("archived_at", InstantColumn, nullable=False),
    sa.Column("withheld", sa.Integer),
    sa.Index("ix_messages_sent_at", "sent_at"),
    sa.Index("ix_messages_conversation_timestamp_ms", "conversation", "timestamp_ms"),
    sa.Index("ix_messages_sender_timestamp_ms", sa.text("lower(sender)"), "timestamp_ms"),
    sa.Index("ix_messages_recipient_timestamp_ms", sa.text("lower(recipient)"), "timestamp_ms"),
    sa.Index("ix_messages_page_id", "page_id"),
    sa.Index(
        "ix_messages_sealed",
        "app_id",
        "msg_id",
        sqlite_where=sa.text("withheld = 1"),
        postgresql_where=sa.text("withheld = 1"),
    ),
    info={"kind": EVIDENCE, "placement": SHARDED},
)


message_bodies = sa.Table(
    "message_bodies",
    metadata,
    sa.Column("app_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("msg_id", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("text", sa.Text),
    sa.Column("url", sa.Text),
    sa.Column("filename", sa.Text),
    sa.Column("secret", sa.Text),
    sa.Column("file_length", sa.BigInteger),
    sa.Column("duration", sa.Double),
    sa.Column("width", sa.BigInteger),
    sa.Column("height", sa.BigInteger),
    sa.Column("thumb_url", sa.Text),
    sa.Column("thumb_secret", sa.Text),
    sa.Column("lat", sa.Double),
    sa.Column("lng", sa.Double),
    sa.Column("addr", sa.Text),
    sa.Column("extra", JsonText),
    of_message("message_bodies"),
    info={"kind": EVIDENCE, "placement": SHARDED},
)


message_revisions = sa.Table(
    "message_revisions",
    metadata,
    sa.Column("app_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("msg_id", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("timestamp_ms", Ms, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("seen_at", InstantColumn, nullable=False),
    sa.Column("page_id", sa.BigInteger, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.UniqueConstraint("app_id", "msg_id", "digest", name="uq_message_revisions_content"),
    sa.Index("ix_message_revisions_page_id", "page_id"),
    of_message("message_revisions"),
    info={"kind": EVIDENCE, "placement": SHARDED},
)


quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("app_id", sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("window_id", sa.ForeignKey("windows.id"), nullable=False),
    sa.Column("page_id", sa.BigInteger, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("seen", sa.Integer, nullable=False, server_default="1"),
    sa.Column("seen_at", InstantColumn, nullable=False),
    sa.Column("resolved_at", InstantColumn),
    sa.Column("withheld", sa.Integer),
    sa.UniqueConstraint("app_id", "digest", name="uq_quarantine_content"),
    sa.Index(
        "ix_quarantine_unresolved",
        "app_id",
        "source",
        sqlite_where=sa.text("resolved_at IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL"),
    ),
    info={"kind": JUDGED},
)


late_arrivals = sa.Table(
    "late_arrivals",
    metadata,
    sa.Column("app_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("msg_id", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("timestamp_ms", Ms, nullable=False),
    sa.Column("found_at_ms", Ms, nullable=False),
    sa.Column("lateness_ms", Ms, nullable=False),
    sa.Column("window_id", sa.BigInteger, nullable=False),
    sa.Column("page_id", sa.BigInteger, nullable=False),
    of_message("late_arrivals"),
    info={"kind": EVIDENCE, "placement": SHARDED},
)


attachments = sa.Table(
    "attachments",
    metadata,
    sa.Column("app_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("msg_id", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("reason", sa.Text),
    sa.Column("sha256", sa.Text),
    sa.Column("size", sa.BigInteger),
    sa.Column("media_type", sa.Text),
    sa.Column("declared_length", sa.BigInteger),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_attempt_at", InstantColumn),
    sa.Column("expires_at", InstantColumn, nullable=False),
    sa.Column("fetched_at", InstantColumn),
    sa.Column("fence", sa.Integer, nullable=False, server_default="0"),
    sa.Column("owner", sa.Text),
    sa.Column("claimed_at", InstantColumn),
    sa.Column("lease_until", InstantColumn),
    sa.CheckConstraint("kind IN ('file', 'thumbnail')", name="kind"),
    sa.CheckConstraint(f"state IN ({quoted(ATTACHMENT_STATES)})", name="state"),
    sa.CheckConstraint("(state = 'stored') = (sha256 IS NOT NULL)", name="stored"),
    of_message("attachments"),
    sa.Index(
        "ix_attachments_open",
        "app_id",
        "expires_at",
        sqlite_where=sa.text("state IN ('pending', 'failed')"),
        postgresql_where=sa.text("state IN ('pending', 'failed')"),
    ),
    sa.Index(
        "ix_attachments_stored",
        "sha256",
        sqlite_where=sa.text("state = 'stored'"),
        postgresql_where=sa.text("state = 'stored'"),
    ),
    info={"kind": STATE, "placement": SHARDED},
)


attachment_attempts = sa.Table(
    "attachment_attempts",
    metadata,
    sa.Column("app_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("msg_id", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("began_at", InstantColumn, nullable=False),
    sa.Column("ended_at", InstantColumn, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.ForeignKeyConstraint(
        ["app_id", "msg_id", "position", "kind"],
        ["attachments.app_id", "attachments.msg_id", "attachments.position", "attachments.kind"],
        name="fk_attachment_attempts_attachments",
    ),
    info={"kind": EVIDENCE, "placement": SHARDED},
)
