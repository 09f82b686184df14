"""The tables as the program knows them. The migrations make them; a test holds the two against each other.

Names: `*_ms` are integer milliseconds since 1970 (what the protocol computes with), `*_at` and `*_until` are real
timestamps (what people filter by); `sha256` is hex text, `digest` the 32 bytes themselves. The big tables are keyed
by (app_id, msg_id) and not partitioned by time: the same id must be found whatever its time says.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from archiver.model import DAY_MS, MINUTE_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z; neither Python nor the 24-character text goes further."""


def iso(ms: int) -> str | None:
    """An instant as 24 characters of ISO 8601, as SQLite keeps it; None outside 1970 to 9999."""
    if not 0 <= ms <= LAST_MS:
        return None
    day, rest = divmod(ms, DAY_MS)
    minutes, rest = divmod(rest, MINUTE_MS)
    return f"{_date(day)}T{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}Z"


@lru_cache(4096)
def _date(day: int) -> str:
    """The messages of a page share few days, and the calendar is slow to ask."""
    return (_EPOCH + timedelta(days=day)).date().isoformat()


class Instant(TypeDecorator[int]):
    """Milliseconds in Python; timestamptz on PostgreSQL, 24 characters of ISO 8601 on SQLite."""

    impl = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "sqlite":
            return None if value is None else iso(value)
        return _EPOCH + timedelta(milliseconds=value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        instant = datetime.fromisoformat(value) if isinstance(value, str) else value
        return (instant - _EPOCH) // timedelta(milliseconds=1)


Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers rows itself only for INTEGER
Ms = sa.BigInteger
JsonText = sa.Text().with_variant(JSONB(none_as_null=True), "postgresql")  # JSON text in, on both databases
metadata = sa.MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "ck": "ck_%(table_name)s_%(constraint_name)s"}
)
page_ids = sa.Sequence("page_ids", metadata=metadata)
"""PostgreSQL only: a page's id is needed before its row can be written. SQLite writes alone and takes max + 1."""

FATES = ("received", "new", "known", "changed", "quarantined")
_SUM_RULE = "received = new + known + changed + quarantined"

VIEWS = (
    "messages_readable",
    "revisions_readable",
    "attachments_readable",
    "conversations",
    "participants",
    "daily_counts",
    "coverage_holes",
)

OPEN_STATES = ("pending", "leased", "not_ready", "stuck")
TILING_STATES = ("closed", "presumed_empty", "accepted")
ATTACHMENT_STATES = ("pending", "stored", "gone", "refused", "foreign", "failed")
STATES = ("pending", "leased", "closed", "skipped", "not_ready", "presumed_empty", "expired", "stuck", "accepted")


def _counter(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)


apps = sa.Table(
    "apps",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("application", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
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
    sa.Column("created_at", Instant, nullable=False),
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
    sa.Column("lease_until", Instant),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_attempt_at", Instant),
    sa.Column("walk0_ms", Ms),
    sa.Column("progress_ms", Ms),
    sa.Column("by_order", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("unproven", sa.Boolean, nullable=False, server_default=sa.false()),
    _counter("pages"),
    *(_counter(name) for name in FATES),
    _counter("outside"),
    _counter("bodies"),
    _counter("late"),
    sa.Column("worst_lateness_ms", Ms),
    _counter("requeued"),
    _counter("requeued_bodies"),
    _counter("requeued_changed"),
    sa.Column("walked_at", Instant),
    sa.Column("missing_at", Instant),
    sa.Column("shift_hours", sa.Integer),
    sa.Column("file_sha256", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("closed_at", Instant),
    sa.Column("accepted_at", Instant),
    sa.Column("accepted_by", sa.Text),
    sa.UniqueConstraint("app_id", "source", "pass", "lo_ms", name="uq_windows_lo"),
    sa.CheckConstraint("lo_ms < hi_ms", name="range"),
    sa.CheckConstraint(f"state IN ({_quoted(STATES)})", name="state"),
    sa.CheckConstraint("cause IN ('live', 'backfill', 'audit', 'before_first_contact')", name="cause"),
    sa.CheckConstraint("(state = 'leased') = (lease_until IS NOT NULL)", name="lease"),
    sa.CheckConstraint(_SUM_RULE, name="fates"),
    sa.Index(
        "ix_windows_open",
        "app_id",
        "source",
        "pass",
        "lo_ms",
        sqlite_where=sa.text(f"state IN ({_quoted(OPEN_STATES)})"),
        postgresql_where=sa.text(f"state IN ({_quoted(OPEN_STATES)})"),
    ),
)

watermarks = sa.Table(
    "watermarks",
    metadata,
    sa.Column("app_id", sa.ForeignKey("apps.id"), primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("complete_from_ms", Ms, nullable=False),
    sa.Column("complete_until_ms", Ms, nullable=False),
    sa.Column("audited_until_ms", Ms, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.CheckConstraint("complete_from_ms <= complete_until_ms", name="range"),
)

pages = sa.Table(
    "pages",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=False),
    sa.Column("app_id", sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("window_id", sa.ForeignKey("windows.id"), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("fetched_at", Instant, nullable=False),
    sa.Column("server_ms", Ms),
    sa.Column("sha256", sa.Text, nullable=False),
    *(_counter(name) for name in FATES),
    _counter("outside"),
    sa.CheckConstraint(_SUM_RULE, name="fates"),
    sa.Index("ix_pages_window_id", "window_id"),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("app_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("msg_id", sa.Text, primary_key=True),
    sa.Column("timestamp_ms", Ms, nullable=False),
    sa.Column("sent_at", Instant),
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
    sa.Column("archived_at", Instant, nullable=False),
    sa.Index("ix_messages_sent_at", "sent_at"),
    sa.Index("ix_messages_conversation_timestamp_ms", "conversation", "timestamp_ms"),
    sa.Index("ix_messages_sender_timestamp_ms", "sender", "timestamp_ms"),
    sa.Index("ix_messages_recipient_timestamp_ms", "recipient", "timestamp_ms"),
    sa.Index("ix_messages_page_id", "page_id"),
)


def _of_message(name: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["app_id", "msg_id"], ["messages.app_id", "messages.msg_id"], name=f"fk_{name}_messages"
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
    _of_message("message_bodies"),
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
    sa.Column("seen_at", Instant, nullable=False),
    sa.Column("page_id", sa.BigInteger, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.UniqueConstraint("app_id", "msg_id", "digest", name="uq_message_revisions_content"),
    sa.Index("ix_message_revisions_page_id", "page_id"),
    _of_message("message_revisions"),
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
    sa.Column("seen_at", Instant, nullable=False),
    sa.Column("resolved_at", Instant),
    sa.UniqueConstraint("app_id", "digest", name="uq_quarantine_content"),
    sa.Index(
        "ix_quarantine_unresolved",
        "app_id",
        "source",
        sqlite_where=sa.text("resolved_at IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL"),
    ),
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
    _of_message("late_arrivals"),
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
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("heartbeat_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("outcome", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("windows", sa.Integer, nullable=False, server_default="0"),
    sa.Column("pages", sa.Integer, nullable=False, server_default="0"),
    *(_counter(name) for name in FATES),
    sa.Column("requests", sa.Text),
    sa.Column("retries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("skew_ms", Ms),
    sa.Index("ix_runs_app_id_source", "app_id", "source", "id"),
)

run_counters = sa.Table(
    "run_counters",
    metadata,
    sa.Column("app_id", sa.ForeignKey("apps.id"), primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, primary_key=True),
    _counter("count"),
    sa.CheckConstraint("kind IN ('requests', 'runs', 'refused_commits')", name="kind"),
)

canaries = sa.Table(
    "canaries",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("app_id", sa.ForeignKey("apps.id"), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("marker", sa.Text, nullable=False, unique=True),
    sa.Column("sent_at", Instant, nullable=False),
    sa.Column("msg_id", sa.Text),
    sa.Column("archived_at", Instant),
    sa.Column("outcome", sa.Text, nullable=False, server_default="waiting"),
    sa.Column("reason", sa.Text),
    sa.CheckConstraint("outcome IN ('waiting', 'archived', 'lost', 'unsent')", name="outcome"),
    sa.CheckConstraint("(outcome = 'archived') = (archived_at IS NOT NULL)", name="archived"),
    sa.Index("ix_canaries_app_id_source", "app_id", "source", "id"),
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("app", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("since_at", Instant, nullable=False),
    sa.Column("told_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("seen", sa.BigInteger),
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
    sa.Column("next_attempt_at", Instant),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("fetched_at", Instant),
    sa.Column("fence", sa.Integer, nullable=False, server_default="0"),
    sa.Column("owner", sa.Text),
    sa.Column("claimed_at", Instant),
    sa.Column("lease_until", Instant),
    sa.CheckConstraint("kind IN ('file', 'thumbnail')", name="kind"),
    sa.CheckConstraint(f"state IN ({_quoted(ATTACHMENT_STATES)})", name="state"),
    sa.CheckConstraint("(state = 'stored') = (sha256 IS NOT NULL)", name="stored"),
    _of_message("attachments"),
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
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("ended_at", Instant, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.ForeignKeyConstraint(
        ["app_id", "msg_id", "position", "kind"],
        ["attachments.app_id", "attachments.msg_id", "attachments.position", "attachments.kind"],
        name="fk_attachment_attempts_attachments",
    ),
)

AUDIT_OUTCOMES = ("begun", "done", "stopped", "failed")

audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("export_id", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
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
    sa.CheckConstraint(f"outcome IN ({_quoted(AUDIT_OUTCOMES)})", name="outcome"),
    sa.CheckConstraint("(outcome = 'done') = (manifest_sha256 IS NOT NULL)", name="done"),
)

rate_budgets = sa.Table(
    "rate_budgets",
    metadata,
    sa.Column("rate_group", sa.Text, primary_key=True),
    sa.Column("turns", sa.Text, nullable=False, server_default="[]"),
)

search_queue = sa.Table(
    "search_queue",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("page_id", sa.BigInteger, nullable=False),
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
    _of_message("search_texts"),
)
"""Its index over bigrams is SQLite's table `search_index`, by `number`, and PostgreSQL's `ix_search_texts_bigrams`."""

revision_bodies = sa.Table(
    "revision_bodies",
    metadata,
    sa.Column("app_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("msg_id", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    *(
        sa.Column(each.name, each.type, primary_key=each.primary_key, nullable=each.nullable, autoincrement=False)
        for each in message_bodies.columns
        if each.name not in ("app_id", "msg_id")
    ),
    sa.ForeignKeyConstraint(
        ["app_id", "msg_id", "revision"],
        ["message_revisions.app_id", "message_revisions.msg_id", "message_revisions.revision"],
        name="fk_revision_bodies_message_revisions",
    ),
)
