"""What the program remembers in order to be watched, audited and searched; none of it is part of the claim."""

from __future__ import annotations

import sqlalchemy as sa

from archiver.store.schema.columns import (
    DERIVED,
    EVIDENCE,
    SHARDED,
    SIGNED_IN,
    STATE,
    Id,
    InstantColumn,
    Ms,
    metadata,
    quoted,
)
from archiver.store.schema.records import message_bodies, of_message

AUDIT_OUTCOMES = ("begun", "done", "stopped", "failed")
LOOK_OUTCOMES = ("shown", *AUDIT_OUTCOMES)

canaries = sa.Table(
    "canaries",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("app_id", sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("marker", sa.Text, nullable=False, unique=True),
    sa.Column("sent_at", InstantColumn, nullable=False),
    sa.Column("msg_id", sa.Text),
    sa.Column("archived_at", InstantColumn),
    sa.Column("outcome", sa.Text, nullable=False, server_default="waiting"),
    sa.Column("reason", sa.Text),
    sa.CheckConstraint("outcome IN ('waiting', 'archived', 'lost', 'unsent')", name="outcome"),
    sa.CheckConstraint("(outcome = 'archived') = (archived_at IS NOT NULL)", name="archived"),
    sa.Index("ix_canaries_app_id_source", "app_id", "source", "id"),
    info={"kind": STATE},
)


alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("app", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("since_at", InstantColumn, nullable=False),
    sa.Column("told_at", InstantColumn),
    sa.Column("ended_at", InstantColumn),
    sa.Column("seen", sa.BigInteger),
    info={"kind": STATE},
)


audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("export_id", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("at", InstantColumn, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("login", sa.Text),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("program", sa.Text, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("filter", sa.Text, nullable=False),
    sa.Column("case_id", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("messages", sa.BigInteger, nullable=False),
    sa.Column("manifest_sha256", sa.Text),
    sa.UniqueConstraint("export_id", "outcome", name="uq_audit_log_outcome"),
    sa.CheckConstraint(f"outcome IN ({quoted(AUDIT_OUTCOMES)})", name="outcome"),
    sa.CheckConstraint("(outcome = 'done') = (manifest_sha256 IS NOT NULL)", name="done"),
    info={"kind": EVIDENCE},
)


looks = sa.Table(
    "looks",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("look_id", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("at", InstantColumn, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("login", sa.Text),
    sa.Column("via", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("case_id", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("filter", sa.Text, nullable=False),
    sa.Column("found", sa.BigInteger),
    sa.Column("page", sa.Integer, nullable=False),
    sa.UniqueConstraint("look_id", "outcome", name="uq_looks_outcome"),
    sa.CheckConstraint(f"outcome IN ({quoted(LOOK_OUTCOMES)})", name="outcome"),
    sa.CheckConstraint("via IN ('cli', 'page')", name="via"),
    info={"kind": EVIDENCE},
)
"""`login` is given by a trigger on PostgreSQL."""


look_conversations = sa.Table(
    "look_conversations",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("look_id", sa.Text, nullable=False),
    sa.Column("app_id", sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("conversation", sa.Text),
    sa.Column("at", InstantColumn, nullable=False),
    sa.Index("ix_look_conversations_look_id", "look_id"),
    sa.Index("ix_look_conversations_app_id_conversation", "app_id", "conversation"),
    info={"kind": EVIDENCE},
)
"""`look_id` is that of `looks`, or the `export_id` of `audit_log`; no conversation: all that the filter covers."""


review_sessions = sa.Table(
    "review_sessions",
    metadata,
    sa.Column("token_sha256", sa.Text, primary_key=True),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("csrf", sa.Text, nullable=False),
    sa.Column("case_id", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("created_at", InstantColumn, nullable=False),
    sa.Column("seen_at", InstantColumn, nullable=False),
    sa.Column("ended_at", InstantColumn),
    info={"kind": SIGNED_IN},
)
"""A session is known by the hash of its token. `role`: all roles of the person, parted by commas."""


search_queue = sa.Table(
    "search_queue",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("page_id", sa.BigInteger, nullable=False),
    info={"kind": DERIVED},
)
"""Filled by triggers on `pages` and `quarantine`, so that nothing is ever missing in it."""


search_texts = sa.Table(
    "search_texts",
    metadata,
    sa.Column("app_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("msg_id", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("timestamp_ms", Ms, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger),
    of_message("search_texts"),
    info={"kind": DERIVED, "placement": SHARDED},
)
"""Its index over bigrams is SQLite's table `search_index`, by `number`, and PostgreSQL's `ix_search_texts_bigrams`."""


revision_bodies = sa.Table(
    "revision_bodies",
    metadata,
    sa.Column("app_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("msg_id", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    *(
        sa.Column(
            column.name, column.type, primary_key=column.primary_key, nullable=column.nullable, autoincrement=False
        )
        for column in message_bodies.columns
        if column.name not in ("app_id", "msg_id")
    ),
    sa.ForeignKeyConstraint(
        ["app_id", "msg_id", "revision"],
        ["message_revisions.app_id", "message_revisions.msg_id", "message_revisions.revision"],
        name="fk_revision_bodies_message_revisions",
    ),
    info={"kind": EVIDENCE, "placement": SHARDED},
)
