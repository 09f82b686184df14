"""The first schema: everything that the archive keeps, from the record to the proof."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
JSON_TEXT = sa.Text().with_variant(JSONB(none_as_null=True), "postgresql")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

READABLE = """
CREATE VIEW messages_readable AS
SELECT a.name AS app, m.msg_id, m.sent_at, m.sender, m.recipient, m.conversation, m.chat_type, m.direction,
       b.position AS body_position, b.type AS body_type, b.text, b.filename, b.url, b.file_length, b.duration,
       b.width, b.height, b.lat, b.lng, b.addr, b.extra, m.ext, m.lossy, m.archived_at
FROM messages m
JOIN apps a ON a.id = m.app_id
LEFT JOIN message_bodies b ON b.app_id = m.app_id AND b.msg_id = m.msg_id
"""

CONVERSATIONS = """
CREATE VIEW conversations AS
SELECT a.name AS app, m.conversation, min(m.chat_type) AS chat_type, count(*) AS messages,
       count(DISTINCT m.sender) AS senders, min(m.sent_at) AS first_sent_at, max(m.sent_at) AS last_sent_at
FROM messages m
JOIN apps a ON a.id = m.app_id
WHERE m.conversation IS NOT NULL
GROUP BY a.name, m.conversation
"""

DAILY_COUNTS = """
CREATE VIEW daily_counts AS
SELECT a.name AS app, {day} AS day_utc, m.chat_type, count(*) AS messages, count(DISTINCT m.sender) AS senders
FROM messages m
JOIN apps a ON a.id = m.app_id
WHERE m.sent_at IS NOT NULL
GROUP BY a.name, {day}, m.chat_type
"""

# A hole is what no row covers, too: planning never skips, so such a gap would be somebody's DELETE.
COVERAGE_HOLES = """
CREATE VIEW coverage_holes AS
WITH planned AS (
    SELECT w.app_id, w.source, w.lo_ms, w.hi_ms, w.state, w.reason,
           lag(w.hi_ms) OVER (PARTITION BY w.app_id, w.source ORDER BY w.lo_ms) AS before_ms
    FROM windows w
    WHERE w.pass = 1
), holes AS (
    SELECT app_id, source, lo_ms, hi_ms, state, reason FROM planned WHERE state IN ('expired', 'stuck', 'accepted')
    UNION ALL
    SELECT app_id, source, before_ms, lo_ms, 'uncovered', 'no window covers this range'
    FROM planned WHERE before_ms < lo_ms
)
SELECT a.name AS app, h.source, h.lo_ms, h.hi_ms, h.state, h.reason
FROM holes h
JOIN apps a ON a.id = h.app_id
"""

# What was handed out is evidence: no row of it changes, whoever asks. The table is small, so a trigger costs nothing.
APPEND_ONLY_SQLITE = """
CREATE TRIGGER audit_log_no_{verb} BEFORE {verb} ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END
"""
APPEND_ONLY_POSTGRES = """
CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only';
END
$$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only()
"""


def upgrade() -> None:
    postgres = op.get_bind().dialect.name == "postgresql"
    if postgres:
        op.execute("CREATE SEQUENCE page_ids")
    op.create_table(
        "apps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("application", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "messages",
        sa.Column("app_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("msg_id", sa.Text(), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", INSTANT, nullable=True),
        sa.Column("sender", sa.Text(), nullable=True),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("conversation", sa.Text(), nullable=True),
        sa.Column("chat_type", sa.Text(), nullable=True),
        sa.Column("direction", sa.Text(), nullable=True),
        sa.Column("ext", JSON_TEXT, nullable=True),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("lossy", sa.Boolean(), nullable=False),
        sa.Column("page_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("archived_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "msg_id"),
    )
    op.create_index("ix_messages_conversation_timestamp_ms", "messages", ["conversation", "timestamp_ms"], unique=False)
    op.create_index("ix_messages_sender_timestamp_ms", "messages", ["sender", "timestamp_ms"], unique=False)
    op.create_index("ix_messages_sent_at", "messages", ["sent_at"], unique=False)
    op.create_table(
        "audit_log",
        sa.Column("id", ID, nullable=False),
        sa.Column("export_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("manifest_sha256", sa.Text(), nullable=True),
        sa.CheckConstraint("(outcome = 'done') = (manifest_sha256 IS NOT NULL)", name=op.f("ck_audit_log_done")),
        sa.CheckConstraint("outcome IN ('begun', 'done', 'stopped', 'failed')", name=op.f("ck_audit_log_outcome")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("export_id", "outcome", name="uq_audit_log_outcome"),
    )
    if postgres:
        op.execute(APPEND_ONLY_POSTGRES)
    else:
        for verb in ("UPDATE", "DELETE"):
            op.execute(APPEND_ONLY_SQLITE.format(verb=verb))
    op.create_table(
        "rate_budgets",
        sa.Column("rate_group", sa.Text(), nullable=False),
        sa.Column("turns", sa.Text(), server_default="[]", nullable=False),
        sa.PrimaryKeyConstraint("rate_group"),
    )
    op.create_table(
        "run_counters",
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("kind IN ('requests', 'runs', 'refused_commits')", name=op.f("ck_run_counters_kind")),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"]),
        sa.PrimaryKeyConstraint("app_id", "source", "kind", "label"),
    )
    op.create_table(
        "canaries",
        sa.Column("id", ID, nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("marker", sa.Text(), nullable=False),
        sa.Column("sent_at", INSTANT, nullable=False),
        sa.Column("msg_id", sa.Text(), nullable=True),
        sa.Column("archived_at", INSTANT, nullable=True),
        sa.Column("outcome", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("outcome IN ('waiting', 'archived', 'lost', 'unsent')", name=op.f("ck_canaries_outcome")),
        sa.CheckConstraint("(outcome = 'archived') = (archived_at IS NOT NULL)", name=op.f("ck_canaries_archived")),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("marker"),
    )
    op.create_index("ix_canaries_app_id_source", "canaries", ["app_id", "source", "id"])
    op.create_table(
        "alerts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("since_at", INSTANT, nullable=False),
        sa.Column("told_at", INSTANT, nullable=True),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("seen", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", "app", "source"),
    )
    op.create_table(
        "attachments",
        sa.Column("app_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("msg_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("declared_length", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", INSTANT, nullable=True),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("fetched_at", INSTANT, nullable=True),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("claimed_at", INSTANT, nullable=True),
        sa.Column("lease_until", INSTANT, nullable=True),
        sa.CheckConstraint("(state = 'stored') = (sha256 IS NOT NULL)", name=op.f("ck_attachments_stored")),
        sa.CheckConstraint("kind IN ('file', 'thumbnail')", name=op.f("ck_attachments_kind")),
        sa.CheckConstraint(
            "state IN ('pending', 'stored', 'gone', 'refused', 'foreign', 'failed')", name=op.f("ck_attachments_state")
        ),
        sa.ForeignKeyConstraint(
            ["app_id", "msg_id"], ["messages.app_id", "messages.msg_id"], name="fk_attachments_messages"
        ),
        sa.PrimaryKeyConstraint("app_id", "msg_id", "position", "kind"),
    )
    op.create_index(
        "ix_attachments_open",
        "attachments",
        ["app_id", "expires_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('pending', 'failed')"),
        postgresql_where=sa.text("state IN ('pending', 'failed')"),
    )
    op.create_index(
        "ix_attachments_stored",
        "attachments",
        ["sha256"],
        unique=False,
        sqlite_where=sa.text("state = 'stored'"),
        postgresql_where=sa.text("state = 'stored'"),
    )
    op.create_table(
        "attachment_attempts",
        sa.Column("app_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("msg_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("began_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["app_id", "msg_id", "position", "kind"],
            ["attachments.app_id", "attachments.msg_id", "attachments.position", "attachments.kind"],
            name="fk_attachment_attempts_attachments",
        ),
        sa.PrimaryKeyConstraint("app_id", "msg_id", "position", "kind", "attempt"),
    )
    op.create_table(
        "late_arrivals",
        sa.Column("app_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("msg_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("found_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("lateness_ms", sa.BigInteger(), nullable=False),
        sa.Column("window_id", sa.BigInteger(), nullable=False),
        sa.Column("page_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["app_id", "msg_id"], ["messages.app_id", "messages.msg_id"], name="fk_late_arrivals_messages"
        ),
        sa.PrimaryKeyConstraint("app_id", "msg_id"),
    )
    op.create_table(
        "message_bodies",
        sa.Column("app_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("msg_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("filename", sa.Text(), nullable=True),
        sa.Column("secret", sa.Text(), nullable=True),
        sa.Column("file_length", sa.BigInteger(), nullable=True),
        sa.Column("duration", sa.Double(), nullable=True),
        sa.Column("width", sa.BigInteger(), nullable=True),
        sa.Column("height", sa.BigInteger(), nullable=True),
        sa.Column("thumb_url", sa.Text(), nullable=True),
        sa.Column("thumb_secret", sa.Text(), nullable=True),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lng", sa.Double(), nullable=True),
        sa.Column("addr", sa.Text(), nullable=True),
        sa.Column("extra", JSON_TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["app_id", "msg_id"], ["messages.app_id", "messages.msg_id"], name="fk_message_bodies_messages"
        ),
        sa.PrimaryKeyConstraint("app_id", "msg_id", "position"),
    )
    op.create_table(
        "message_revisions",
        sa.Column("app_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("msg_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("page_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["app_id", "msg_id"], ["messages.app_id", "messages.msg_id"], name="fk_message_revisions_messages"
        ),
        sa.PrimaryKeyConstraint("app_id", "msg_id", "revision"),
        sa.UniqueConstraint("app_id", "msg_id", "digest", name="uq_message_revisions_content"),
    )
    op.create_table(
        "runs",
        sa.Column("id", ID, nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("heartbeat_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("windows", sa.Integer(), server_default="0", nullable=False),
        sa.Column("pages", sa.Integer(), server_default="0", nullable=False),
        sa.Column("received", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("new", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("known", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("changed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("quarantined", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("requests", sa.Text(), nullable=True),
        sa.Column("retries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("skew_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["app_id"],
            ["apps.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_runs_app_id_source", "runs", ["app_id", "source", "id"], unique=False)
    op.create_table(
        "sources",
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("origin_ms", sa.BigInteger(), nullable=False),
        sa.Column("settle_ms", sa.BigInteger(), nullable=False),
        sa.Column("grain_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("retention_ms", sa.BigInteger(), nullable=True),
        sa.Column("backfill_from_ms", sa.BigInteger(), nullable=True),
        sa.Column("order_trusted", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("clean_walks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("skew_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["app_id"],
            ["apps.id"],
        ),
        sa.PrimaryKeyConstraint("app_id", "source"),
    )
    op.create_table(
        "watermarks",
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("complete_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("complete_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("audited_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.CheckConstraint("complete_from_ms <= complete_until_ms", name=op.f("ck_watermarks_range")),
        sa.ForeignKeyConstraint(
            ["app_id"],
            ["apps.id"],
        ),
        sa.PrimaryKeyConstraint("app_id", "source"),
    )
    op.create_table(
        "windows",
        sa.Column("id", ID, nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("pass", sa.Integer(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("lo_ms", sa.BigInteger(), nullable=False),
        sa.Column("hi_ms", sa.BigInteger(), nullable=False),
        sa.Column("lag_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", INSTANT, nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", INSTANT, nullable=True),
        sa.Column("walk0_ms", sa.BigInteger(), nullable=True),
        sa.Column("progress_ms", sa.BigInteger(), nullable=True),
        sa.Column("by_order", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("unproven", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("pages", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("received", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("new", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("known", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("changed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("quarantined", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("outside", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("bodies", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("late", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("worst_lateness_ms", sa.BigInteger(), nullable=True),
        sa.Column("requeued", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("requeued_bodies", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("requeued_changed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("walked_at", INSTANT, nullable=True),
        sa.Column("missing_at", INSTANT, nullable=True),
        sa.Column("shift_hours", sa.Integer(), nullable=True),
        sa.Column("file_sha256", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("closed_at", INSTANT, nullable=True),
        sa.Column("accepted_at", INSTANT, nullable=True),
        sa.Column("accepted_by", sa.Text(), nullable=True),
        sa.CheckConstraint("(state = 'leased') = (lease_until IS NOT NULL)", name=op.f("ck_windows_lease")),
        sa.CheckConstraint(
            "cause IN ('live', 'backfill', 'audit', 'before_first_contact')", name=op.f("ck_windows_cause")
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'leased', 'closed', 'skipped', 'not_ready', 'presumed_empty', 'expired', 'stuck', "
            "'accepted')",
            name=op.f("ck_windows_state"),
        ),
        sa.CheckConstraint("lo_ms < hi_ms", name=op.f("ck_windows_range")),
        sa.CheckConstraint("received = new + known + changed + quarantined", name=op.f("ck_windows_fates")),
        sa.ForeignKeyConstraint(
            ["app_id"],
            ["apps.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("app_id", "source", "pass", "lo_ms", name="uq_windows_lo"),
    )
    op.create_index(
        "ix_windows_open",
        "windows",
        ["app_id", "source", "pass", "lo_ms"],
        unique=False,
        sqlite_where=sa.text("state IN ('pending', 'leased', 'not_ready', 'stuck')"),
        postgresql_where=sa.text("state IN ('pending', 'leased', 'not_ready', 'stuck')"),
    )
    op.create_table(
        "pages",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("window_id", ID, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("fetched_at", INSTANT, nullable=False),
        sa.Column("server_ms", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("received", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("new", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("known", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("changed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("quarantined", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("outside", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("received = new + known + changed + quarantined", name=op.f("ck_pages_fates")),
        sa.ForeignKeyConstraint(
            ["app_id"],
            ["apps.id"],
        ),
        sa.ForeignKeyConstraint(
            ["window_id"],
            ["windows.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_pages_window_id", "pages", ["window_id"], unique=False)
    op.create_table(
        "quarantine",
        sa.Column("id", ID, nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("window_id", ID, nullable=False),
        sa.Column("page_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("seen", sa.Integer(), server_default="1", nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("resolved_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(
            ["app_id"],
            ["apps.id"],
        ),
        sa.ForeignKeyConstraint(
            ["window_id"],
            ["windows.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("app_id", "digest", name="uq_quarantine_content"),
    )
    op.create_index(
        "ix_quarantine_unresolved",
        "quarantine",
        ["app_id", "source"],
        unique=False,
        sqlite_where=sa.text("resolved_at IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.execute(READABLE)
    op.execute(CONVERSATIONS)
    op.execute(
        DAILY_COUNTS.format(
            day="CAST(m.sent_at AT TIME ZONE 'UTC' AS date)" if postgres else "substr(m.sent_at, 1, 10)"
        )
    )
    op.execute(COVERAGE_HOLES)
