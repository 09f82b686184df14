"""What the provider reports by callback: events, what their signatures are known by, and the hourly comparison."""

from __future__ import annotations

import sqlalchemy as sa

from archiver.store.schema.columns import EVIDENCE, STATE, Id, InstantColumn, Ms, counter, metadata, quoted

EVENT_KINDS = ("message", "recall", "edit", "group", "moderation", "reaction", "thread", "ack", "other")
SIGNED = ("signed", "unsigned", "wrong", "replayed")

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("app_id", sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("call_id", sa.Text),
    sa.Column("msg_id", sa.Text),
    sa.Column("target_msg_id", sa.Text),
    sa.Column("at_ms", Ms),
    sa.Column("actor", sa.Text),
    sa.Column("conversation", sa.Text),
    sa.Column("signed", sa.Text, nullable=False),
    sa.Column("text", sa.Text),
    sa.Column("apart", sa.Text),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("received_at", InstantColumn, nullable=False),
    sa.UniqueConstraint("app_id", "digest", name="uq_events_content"),
    sa.CheckConstraint(f"kind IN ({quoted(EVENT_KINDS)})", name="kind"),
    sa.CheckConstraint(f"signed IN ({quoted(SIGNED)})", name="signed"),
    sa.Index("ix_events_app_id_target_msg_id", "app_id", "target_msg_id"),
    sa.Index("ix_events_app_id_msg_id", "app_id", "msg_id"),
    sa.Index("ix_events_app_id_kind_at_ms", "app_id", "kind", "at_ms"),
    sa.Index("ix_events_app_id_signed_received_at", "app_id", "signed", "received_at"),
    info={"kind": EVIDENCE},
)
"""Never part of the record or the claim. A trigger lets go of those alone that announce a message which is there."""


callback_signatures = sa.Table(
    "callback_signatures",
    metadata,
    sa.Column("app_id", sa.ForeignKey("apps.id"), primary_key=True),
    sa.Column("signature", sa.Text, primary_key=True),
    sa.Column("seen_at", InstantColumn, nullable=False),
    info={"kind": STATE},
)
"""A signature does not cover the body, so a second body under one is a replay."""


reconciliations = sa.Table(
    "reconciliations",
    metadata,
    sa.Column("app_id", sa.ForeignKey("apps.id"), primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("hour_ms", Ms, primary_key=True, autoincrement=False),
    *(counter(name) for name in ("both", "only_file", "only_callback", "recalled", "chatroom", "cmd", "deleted")),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("compared_at", InstantColumn, nullable=False),
    sa.CheckConstraint("outcome IN ('compared', 'not compared')", name="outcome"),
    info={"kind": STATE},
)
