"""What must stay, what must go, and who decides it: requests and approvals, holds, terms. Rows are only added."""

from __future__ import annotations

import sqlalchemy as sa

from archiver.store.schema.columns import DECIDED, Id, InstantColumn, Ms, metadata, quoted

REQUEST_KINDS = ("export", "accept", "rotate", "erase", "retention", "hold-release", "shorten", "reapplied")
DECISIONS = ("approved", "refused", "withdrawn", "begun")
HOLD_EVENTS = ("placed", "widened", "released")

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("body_sha256", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("login", sa.Text),
    sa.Column("at", InstantColumn, nullable=False),
    sa.CheckConstraint(f"kind IN ({quoted(REQUEST_KINDS)})", name="kind"),
    info={"kind": DECIDED},
)


approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("request_id", sa.ForeignKey("requests.id"), nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("body_sha256", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("login", sa.Text),
    sa.Column("at", InstantColumn, nullable=False),
    sa.UniqueConstraint("request_id", "decision", name="uq_approvals_decision"),
    sa.CheckConstraint(f"decision IN ({quoted(DECISIONS)})", name="decision"),
    info={"kind": DECIDED},
)
"""`begun`: a command has started to carry the request out. Triggers refuse what one person alone decides."""


request_items = sa.Table(
    "request_items",
    metadata,
    sa.Column("request_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("app_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("msg_id", sa.Text, primary_key=True),
    sa.Column("line", sa.Text, nullable=False),
    sa.CheckConstraint("line IN ('asked', 'related')", name="line"),
    info={"kind": DECIDED},
)
"""As hold_items it may lie on many machines with the messages, so no key leads from it to what does not."""


hold_events = sa.Table(
    "hold_events",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("hold_id", sa.BigInteger, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("app_id", sa.ForeignKey("apps.id")),
    sa.Column("sender", sa.Text),
    sa.Column("sender_lower", sa.Text),
    sa.Column("recipient", sa.Text),
    sa.Column("recipient_lower", sa.Text),
    sa.Column("conversation", sa.Text),
    sa.Column("conversation_other", sa.Text),
    sa.Column("participant", sa.Text),
    sa.Column("participant_lower", sa.Text),
    sa.Column("unreadable", sa.Boolean, nullable=False),
    sa.Column("is_list", sa.Boolean, nullable=False),
    sa.Column("from_ms", Ms),
    sa.Column("to_ms", Ms),
    sa.Column("case_id", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("request_id", sa.ForeignKey("requests.id")),
    sa.Column("effective_at", InstantColumn),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("login", sa.Text),
    sa.Column("at", InstantColumn, nullable=False),
    sa.UniqueConstraint("request_id", name="uq_hold_events_request_id"),
    sa.CheckConstraint(f"event IN ({quoted(HOLD_EVENTS)})", name="event"),
    sa.CheckConstraint("(event = 'released') = (request_id IS NOT NULL)", name="request"),
    sa.CheckConstraint("(event = 'released') = (effective_at IS NOT NULL)", name="effective"),
    sa.Index("ix_hold_events_hold_id", "hold_id"),
    info={"kind": DECIDED},
)
hold_events.add_is_dependent_on(approvals)  # triggers ask for them, so a copy brings them first


hold_conversations = sa.Table(
    "hold_conversations",
    metadata,
    sa.Column("hold_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("app_id", sa.ForeignKey("apps.id"), primary_key=True, autoincrement=False),
    sa.Column("conversation", sa.Text, primary_key=True),
    info={"kind": DECIDED},
)
hold_conversations.add_is_dependent_on(hold_events)


hold_items = sa.Table(
    "hold_items",
    metadata,
    sa.Column("hold_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("app_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("msg_id", sa.Text, primary_key=True),
    info={"kind": DECIDED},
)
hold_items.add_is_dependent_on(hold_events)


retention_terms = sa.Table(
    "retention_terms",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("app_id", sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("keep_at_least", sa.Text),
    sa.Column("keep_at_most", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("request_id", sa.ForeignKey("requests.id")),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("login", sa.Text),
    sa.Column("at", InstantColumn, nullable=False),
    sa.UniqueConstraint("request_id", name="uq_retention_terms_request_id"),
    info={"kind": DECIDED},
)
"""The newest row of an app is in force; NULL is none."""
retention_terms.add_is_dependent_on(approvals)
