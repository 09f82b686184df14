"""What must stay, what must go, who decides it, and what is gone. Rows are only added, but for the last two tables."""

from __future__ import annotations

import sqlalchemy as sa

from archiver.store.schema.columns import (
    DECIDED,
    DELETED,
    DRAFTED,
    OWN,
    SHARDED,
    STATE,
    Id,
    InstantColumn,
    Ms,
    metadata,
    quoted,
)

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
    info={"kind": DECIDED, "placement": SHARDED},
)
"""As hold_items it may lie on many machines with the messages, so no key leads from it to what does not."""


request_drafts = sa.Table(
    "request_drafts",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("login", sa.Text),
    sa.Column("at", InstantColumn, nullable=False),
    sa.CheckConstraint(f"kind IN ({quoted(REQUEST_KINDS)})", name="kind"),
    sqlite_autoincrement=True,
    info={"kind": DRAFTED},
)
"""What commands propose where requests are made on the review page: gone when it is adopted there, or dropped. No
number comes twice, as somebody may still look at the draft that had it."""


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
    info={"kind": DECIDED, "placement": SHARDED},
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


tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("app_id", sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("msg_id", sa.Text),
    sa.Column("page_id", sa.BigInteger),
    sa.Column("seal_id", sa.BigInteger),
    sa.Column("position", sa.Integer),
    sa.Column("leaf", sa.LargeBinary),
    sa.Column("messages", sa.Integer, nullable=False),
    sa.Column("bodies", sa.Integer, nullable=False),
    sa.Column("revisions", sa.Integer, nullable=False),
    sa.Column("request_id", sa.ForeignKey("requests.id"), nullable=False),
    sa.Column("at", InstantColumn, nullable=False),
    sa.CheckConstraint(f"kind IN ({quoted(('erased', 'expired'))})", name="kind"),
    sa.CheckConstraint("(position IS NULL) = (leaf IS NULL)", name="leaf"),
    sa.CheckConstraint("page_id IS NOT NULL OR seal_id IS NOT NULL", name="place"),
    sa.Index("ix_tombstones_app_id_msg_id", "app_id", "msg_id"),
    sa.Index("ix_tombstones_page_id_position", "page_id", "position"),
    sa.Index(
        "ix_tombstones_named",
        "app_id",
        "msg_id",
        sqlite_where=sa.text("msg_id IS NOT NULL AND (kind = 'expired' OR page_id = 0)"),
        postgresql_where=sa.text("msg_id IS NOT NULL AND (kind = 'expired' OR page_id = 0)"),
    ),
    info={"kind": DELETED},
)
"""One a leaf that goes, or one for a whole page: then neither position nor leaf. `messages`, `bodies` and
`revisions` say how many rows it stands for."""
tombstones.add_is_dependent_on(approvals)
tombstones.add_is_dependent_on(request_items)


expired_before = sa.Table(
    "expired_before",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("app_id", sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("ms", Ms, nullable=False),
    sa.Column("request_id", sa.ForeignKey("requests.id"), nullable=False),
    sa.Column("at", InstantColumn, nullable=False),
    sa.Index("ix_expired_before_app_id", "app_id", "ms"),
    info={"kind": DELETED},
)
"""The highest of an app is its floor: what is stamped below it and not there has expired, and is not stored again."""
expired_before.add_is_dependent_on(approvals)


lifecycle = sa.Table(
    "lifecycle",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("archive_id", sa.Text, nullable=False),
    sa.Column("decided_in", sa.Text, nullable=False),
    sa.Column("deletion_since", InstantColumn),
    sa.Column("reapply_since", InstantColumn),
    sa.Column("wiped_at", InstantColumn),
    sa.Column("hashes_after", sa.BigInteger),
    sa.Column("noted_page", sa.BigInteger),
    sa.Column("noted_hold", sa.BigInteger),
    sa.Column("noted_in", sa.Text),
    sa.CheckConstraint("id = 1", name="single"),
    sa.CheckConstraint("decided_in IN ('database', 'page')", name="decided_in"),
    info={"kind": OWN},
)


blob_wipes = sa.Table(
    "blob_wipes",
    metadata,
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("at", InstantColumn, nullable=False),
    sa.Column("removing_at", InstantColumn),
    info={"kind": STATE},
)
"""Contents that no row names any more; they are removed a day later, if that is still so."""
