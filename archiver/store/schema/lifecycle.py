"""Decisions by two persons: what somebody asks for, and what others say to it. Rows are only added."""

from __future__ import annotations

import sqlalchemy as sa

from archiver.store.schema.columns import EVIDENCE, Id, InstantColumn, metadata, quoted

REQUEST_KINDS = ("export", "accept", "rotate", "erase", "retention", "hold-release", "shorten", "reapplied")
DECISIONS = ("approved", "refused", "withdrawn", "begun")

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
    info={"kind": EVIDENCE},
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
    info={"kind": EVIDENCE},
)
"""`begun`: a command has started to carry the request out. Triggers refuse what one person alone decides."""
