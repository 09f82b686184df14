"""How we know what we have: apps and sources, windows and the watermark, pages, runs, and the shared rate budget."""

from __future__ import annotations

import sqlalchemy as sa

from archiver.store.schema.columns import (
    COPIED,
    EVIDENCE,
    FATES,
    OPEN_STATES,
    STATE,
    STATES,
    SUM_RULE,
    Id,
    InstantColumn,
    Ms,
    counter,
    metadata,
    quoted,
)

apps = sa.Table(
    "apps",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("application", sa.Text),
    sa.Column("created_at", InstantColumn, nullable=False),
    info={"kind": STATE, "placement": COPIED},
)


sources = sa.Table(
    "sources",
    metadata,
    sa.Column("app_id", sa.ForeignKey("apps.id"), primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("origin_ms", Ms, nullable=False),
    sa.Column("settle_ms", Ms, nullable=False),
    sa.Column("grain_ms", Ms, nullable=False, server_default="0"),
    sa.Column("retention_ms", Ms),
    sa.Column("backfill_from_ms", Ms),
    sa.Column("order_trusted", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("clean_walks", sa.Integer, nullable=False, server_default="0"),
    sa.Column("skew_ms", Ms),
    sa.Column("created_at", InstantColumn, nullable=False),
    sa.Column("hour_offset_ms", Ms),
    sa.Column("distrusts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("server_ms", Ms),
    sa.Column("server_seen_at", InstantColumn),
    sa.Column("clock_problem", sa.Text),
    sa.Column("zone_problem", sa.Text),
    info={"kind": STATE},
)


passes = sa.Table(
    "passes",
    metadata,
    sa.Column("app_id", sa.ForeignKey("apps.id"), primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("lag_ms", Ms, nullable=False),
    sa.UniqueConstraint("app_id", "source", "lag_ms", name="uq_passes_lag"),
    info={"kind": STATE},
)


windows = sa.Table(
    "windows",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("app_id", sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("pass", sa.Integer, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("lo_ms", Ms, nullable=False),
    sa.Column("hi_ms", Ms, nullable=False),
    sa.Column("lag_ms", Ms, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("fence", sa.Integer, nullable=False, server_default="0"),
    sa.Column("owner", sa.Text),
    sa.Column("lease_until", InstantColumn),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_attempt_at", InstantColumn),
    sa.Column("walk0_ms", Ms),
    sa.Column("progress_ms", Ms),
    sa.Column("by_order", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("unproven", sa.Boolean, nullable=False, server_default=sa.false()),
    counter("pages"),
    *(counter(name) for name in FATES),
    counter("outside"),
    counter("bodies"),
    counter("late"),
    sa.Column("worst_lateness_ms", Ms),
    counter("requeued"),
    counter("requeued_bodies"),
    counter("requeued_changed"),
    sa.Column("walked_at", InstantColumn),
    sa.Column("missing_at", InstantColumn),
    sa.Column("shift_hours", sa.Integer),
    sa.Column("file_sha256", sa.Text),
    sa.Column("created_at", InstantColumn, nullable=False),
    sa.Column("closed_at", InstantColumn),
    sa.Column("accepted_at", InstantColumn),
    sa.Column("accepted_by", sa.Text),
    sa.Column("distrusts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failed_at", InstantColumn),
    sa.Column("file_seen_at", InstantColumn),
    sa.Column("naming_ms", Ms),
    sa.Column("zone_evidence", sa.Text),
    sa.UniqueConstraint("app_id", "source", "pass", "lo_ms", name="uq_windows_lo"),
    sa.CheckConstraint("lo_ms < hi_ms", name="range"),
    sa.CheckConstraint(f"state IN ({quoted(STATES)})", name="state"),
    sa.CheckConstraint("cause IN ('live', 'backfill', 'audit', 'before_first_contact')", name="cause"),
    sa.CheckConstraint("(state = 'leased') = (lease_until IS NOT NULL)", name="lease"),
    sa.CheckConstraint(SUM_RULE, name="fates"),
    sa.Index(
        "ix_windows_evidence",
        "app_id",
        "source",
        "lo_ms",
        sqlite_where=sa.text("zone_evidence IS NOT NULL"),
        postgresql_where=sa.text("zone_evidence IS NOT NULL"),
    ),
    sa.Index(
        "ix_windows_open",
        "app_id",
        "source",
        "pass",
        "lo_ms",
        sqlite_where=sa.text(f"state IN ({quoted(OPEN_STATES)})"),
        postgresql_where=sa.text(f"state IN ({quoted(OPEN_STATES)})"),
    ),
    sa.Index(
        "ix_windows_hashed",
        "id",
        sqlite_where=sa.text("file_sha256 <> ''"),
        postgresql_where=sa.text("file_sha256 <> ''"),
    ),
    info={"kind": STATE},
)


watermarks = sa.Table(
    "watermarks",
    metadata,
    sa.Column("app_id", sa.ForeignKey("apps.id"), primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("complete_from_ms", Ms, nullable=False),
    sa.Column("complete_until_ms", Ms, nullable=False),
    sa.Column("audited_until_ms", Ms, nullable=False),
    sa.Column("updated_at", InstantColumn, nullable=False),
    sa.Column("audited_pass", sa.Integer),
    sa.CheckConstraint("complete_from_ms <= complete_until_ms", name="range"),
    info={"kind": STATE},
)


pages = sa.Table(
    "pages",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=False),
    sa.Column("app_id", sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("window_id", sa.ForeignKey("windows.id"), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("fetched_at", InstantColumn, nullable=False),
    sa.Column("server_ms", Ms),
    sa.Column("sha256", sa.Text, nullable=False),
    *(counter(name) for name in FATES),
    counter("outside"),
    sa.CheckConstraint(SUM_RULE, name="fates"),
    sa.Index("ix_pages_window_id", "window_id"),
    sa.Index("ix_pages_hashed", "id", sqlite_where=sa.text("sha256 <> ''"), postgresql_where=sa.text("sha256 <> ''")),
    info={"kind": EVIDENCE},
)


runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("app_id", sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("command", sa.Text, nullable=False),
    sa.Column("program", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("started_at", InstantColumn, nullable=False),
    sa.Column("heartbeat_at", InstantColumn, nullable=False),
    sa.Column("ended_at", InstantColumn),
    sa.Column("outcome", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("windows", sa.Integer, nullable=False, server_default="0"),
    sa.Column("pages", sa.Integer, nullable=False, server_default="0"),
    *(counter(name) for name in FATES),
    sa.Column("requests", sa.Text),
    sa.Column("retries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("skew_ms", Ms),
    sa.Index("ix_runs_app_id_source", "app_id", "source", "id"),
    info={"kind": STATE},
)


run_counters = sa.Table(
    "run_counters",
    metadata,
    sa.Column("app_id", sa.ForeignKey("apps.id"), primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, primary_key=True),
    counter("count"),
    sa.CheckConstraint("kind IN ('requests', 'runs', 'refused_commits')", name="kind"),
    info={"kind": STATE},
)


rate_budgets = sa.Table(
    "rate_budgets",
    metadata,
    sa.Column("rate_group", sa.Text, primary_key=True),
    sa.Column("turns", sa.Text, nullable=False, server_default="[]"),
    info={"kind": STATE},
)
