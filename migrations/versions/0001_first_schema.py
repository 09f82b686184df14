"""The first schema: everything that the archive keeps, from the record to the proof."""

import re
from pathlib import Path
from typing import Any

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

SQL = Path(__file__).parent.parent / "sql"

_HIDDEN = '\'{"hidden": "a secret lies deeper in it"}\''
WORDS = {
    "sqlite": {
        "day": "substr(m.sent_at, 1, 10)",
        "stamped_at": "CASE WHEN r.timestamp_ms BETWEEN 0 AND 253402300799999 THEN strftime('%Y-%m-%dT%H:%M:%S',"
        " r.timestamp_ms / 1000, 'unixepoch') || printf('.%03dZ', r.timestamp_ms % 1000) END",
        "lo_at": "strftime('%Y-%m-%dT%H:%M:%S', h.lo_ms / 1000, 'unixepoch') || printf('.%03dZ', h.lo_ms % 1000)",
        "hi_at": "strftime('%Y-%m-%dT%H:%M:%S', h.hi_ms / 1000, 'unixepoch') || printf('.%03dZ', h.hi_ms % 1000)",
        "extra": f"""
       CASE WHEN b.extra IS NULL OR instr(b.extra, 'secret":') = 0 THEN b.extra
            WHEN NOT json_valid(b.extra) THEN {_HIDDEN}
            WHEN instr(json_remove(b.extra, '$.secret', '$.thumb_secret'), '"secret":') = 0
             AND instr(json_remove(b.extra, '$.secret', '$.thumb_secret'), '"thumb_secret":') = 0
            THEN nullif(json_remove(b.extra, '$.secret', '$.thumb_secret'), '{{}}')
            ELSE {_HIDDEN} END""",
    },
    "postgresql": {
        "day": "CAST(m.sent_at AT TIME ZONE 'UTC' AS date)",
        "stamped_at": "CASE WHEN r.timestamp_ms BETWEEN 0 AND 253402300799999"
        " THEN timestamptz 'epoch' + r.timestamp_ms * interval '1 millisecond' END",
        "lo_at": "timestamptz 'epoch' + h.lo_ms * interval '1 millisecond'",
        "hi_at": "timestamptz 'epoch' + h.hi_ms * interval '1 millisecond'",
        "extra": f"""
       CASE WHEN b.extra IS NULL OR strpos(b.extra::text, 'secret":') = 0 THEN b.extra
            WHEN jsonb_typeof(b.extra) <> 'object' THEN
                CASE WHEN strpos(b.extra::text, '"secret":') = 0 AND strpos(b.extra::text, '"thumb_secret":') = 0
                     THEN b.extra ELSE {_HIDDEN} END
            WHEN strpos((b.extra - 'secret' - 'thumb_secret')::text, '"secret":') = 0
             AND strpos((b.extra - 'secret' - 'thumb_secret')::text, '"thumb_secret":') = 0
            THEN nullif(b.extra - 'secret' - 'thumb_secret', '{{}}')
            ELSE {_HIDDEN} END""",
    },
}

# What archiver/store/terms.py takes for unseen, and for space; without what no text of PostgreSQL can hold.
UNSEEN = (
    "1-8 e-1b 7f-84 86-9f ad 34f 600-605 61c 6dd 70f 890 891 8e2 115f 1160 17b4 17b5 180b-180f 200b-200f 202a-202e "
    "2060-206f 3164 fe00-fe0f feff ffa0 fff0-ffff 110bd 110cd 13430-1343f 1bca0-1bca3 1d173-1d17a e0000-e0fff"
)
SPACE = "9-d 1c-20 85 a0 1680 2000-200a 2028 2029 202f 205f 3000"
LONGEST_QUERY = 200
SCHEMA = sa.text("SELECT quote_ident(current_schema())")


def character_class(ranges: str) -> str:
    """`1-8 ad` as a class of PostgreSQL's regular expressions."""
    return "[" + re.sub("[0-9a-f]+", lambda code: rf"\U{code[0]:0>8}", ranges).replace(" ", "") + "]+"


def search_words(schema: str) -> dict[str, str]:
    """PostgreSQL folds case by the locale of its server; so it gets Python's table, which is Unicode's."""
    folds = {chr(code): chr(code).casefold() for code in range(0x80, 0x1F000) if chr(code).casefold() != chr(code)}
    single = {source: target for source, target in folds.items() if len(target) == 1}
    return {
        "unseen": character_class(UNSEEN),
        "space": character_class(SPACE),
        "folded": "".join(folds),
        "from": "".join(single),
        "to": "".join(single.values()),
        "pairs": ", ".join(f"['{source}', '{target}']" for source, target in folds.items() if len(target) > 1),
        "longest": str(LONGEST_QUERY),
        "schema": schema,
    }


def execute(name: str, words: dict[str, str]) -> None:
    """Run a file of statements, each ended by a semicolon and an empty line, with `words` for what is in braces."""
    text = re.sub("^--.*\n", "", (SQL / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    for word, meaning in words.items():
        text = text.replace(f"{{{word}}}", meaning)
    for statement in re.split(r";\n(?:\n+|$)", text):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)


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


def body_columns() -> list[sa.Column[Any]]:
    """What is kept of a body, be it of a message or of a revision."""
    return [
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
    ]


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
    op.create_index("ix_messages_page_id", "messages", ["page_id"], unique=False)
    op.create_index("ix_messages_recipient_timestamp_ms", "messages", ["recipient", "timestamp_ms"], unique=False)
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
        *body_columns(),
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
    op.create_index("ix_message_revisions_page_id", "message_revisions", ["page_id"], unique=False)
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
    op.create_table(
        "search_queue",
        sa.Column("id", ID, nullable=False),
        sa.Column("page_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "search_texts",
        sa.Column("app_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("msg_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["app_id", "msg_id"], ["messages.app_id", "messages.msg_id"], name="fk_search_texts_messages"
        ),
        sa.PrimaryKeyConstraint("app_id", "msg_id", "revision", "position", "part"),
    )
    op.create_table(
        "revision_bodies",
        sa.Column("app_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("msg_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        *body_columns(),
        sa.ForeignKeyConstraint(
            ["app_id", "msg_id", "revision"],
            ["message_revisions.app_id", "message_revisions.msg_id", "message_revisions.revision"],
            name="fk_revision_bodies_message_revisions",
        ),
        sa.PrimaryKeyConstraint("app_id", "msg_id", "revision", "position"),
    )
    if postgres:  # ids come in their order, nearly all: a page that is full needs no room for others
        for key in ("messages_pkey", "message_bodies_pkey"):
            op.execute(f"ALTER INDEX {key} SET (fillfactor = 100)")
    dialect = "postgresql" if postgres else "sqlite"
    execute("0001_views.sql", WORDS[dialect])
    execute(f"0001_search_{dialect}.sql", search_words(op.get_bind().scalar(SCHEMA)) if postgres else {})
