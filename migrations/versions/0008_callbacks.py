"""Callbacks: events beside the record, their signatures, the hourly comparison, and marks on what people read."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.util import load_python_file

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
tables = load_python_file(str(Path(__file__).parents[1]), "tables.py")
KINDS = "'message', 'recall', 'edit', 'group', 'moderation', 'reaction', 'thread', 'ack', 'other'"
COUNTS = ("both", "only_file", "only_callback", "recalled", "chatroom", "cmd", "deleted")

TABLES: dict[str, list[Any]] = {
    "events": [
        sa.Column("id", ID, nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("call_id", sa.Text(), nullable=True),
        sa.Column("msg_id", sa.Text(), nullable=True),
        sa.Column("target_msg_id", sa.Text(), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("conversation", sa.Text(), nullable=True),
        sa.Column("signed", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("apart", sa.Text(), nullable=True),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"]),
        sa.UniqueConstraint("app_id", "digest", name="uq_events_content"),
        sa.CheckConstraint(f"kind IN ({KINDS})", name="kind"),
        sa.CheckConstraint("signed IN ('signed', 'unsigned', 'wrong', 'replayed')", name="signed"),
    ],
    "callback_signatures": [
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "signature"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"]),
    ],
    "reconciliations": [
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("hour_ms", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0") for name in COUNTS),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("compared_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "source", "hour_ms"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"]),
        sa.CheckConstraint("outcome IN ('compared', 'not compared')", name="outcome"),
    ],
}
INDEXES = (["target_msg_id"], ["msg_id"], ["kind", "at_ms"], ["signed", "received_at"])
STAMPED = {
    "sqlite": "CASE WHEN e.at_ms BETWEEN 0 AND 253402300799999 THEN strftime('%Y-%m-%dT%H:%M:%S', e.at_ms / 1000,"
    " 'unixepoch') || printf('.%03dZ', e.at_ms % 1000) END",
    "postgresql": "CASE WHEN e.at_ms BETWEEN 0 AND 253402300799999"
    " THEN timestamptz 'epoch' + e.at_ms * interval '1 millisecond' END",
}
IS_MARK = "FROM events e WHERE e.app_id = m.app_id AND e.target_msg_id = m.msg_id AND e.signed = 'signed' AND e.kind ="
FIRST = "ORDER BY coalesce(e.at_ms, 9223372036854775807), e.id LIMIT 1"
MARKS = f"""(SELECT coalesce({{stamped}}, e.received_at) {IS_MARK} 'recall' {FIRST}) AS recalled_at,
       (SELECT e.actor {IS_MARK} 'recall' {FIRST}) AS recalled_by,
       (SELECT count(DISTINCT coalesce(e.msg_id, CAST(e.id AS text))) {IS_MARK} 'edit') AS edits"""
NO_MARKS = "NULL::timestamptz AS recalled_at, NULL::text AS recalled_by, 0::bigint AS edits"
"""Where messages lie on many machines: events lie on one."""
RIGHTS = """
DO $$
DECLARE role name;
BEGIN
    FOR role IN
        SELECT DISTINCT grantee FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'quarantine' AND privilege_type = 'INSERT'
          AND grantee NOT IN (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'sources'::regclass)
    LOOP
        EXECUTE format('GRANT DELETE ON events, callback_signatures TO %I', role);
    END LOOP;
    FOR role IN
        SELECT DISTINCT grantee FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'revisions_readable' AND privilege_type = 'SELECT'
          AND grantee NOT IN (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'sources'::regclass)
    LOOP
        EXECUTE format('GRANT SELECT ({columns}) ON events TO %I', role);
    END LOOP;
END
$$
"""


def upgrade() -> None:
    for name, parts in TABLES.items():
        op.create_table(name, *parts)
    for columns in INDEXES:
        op.create_index("_".join(["ix_events_app_id", *columns]), "events", ["app_id", *columns])
    dialect = tables.dialect()
    tables.run_file(f"0008_triggers_{dialect}")
    stamped = STAMPED[dialect]
    if dialect == "sqlite":
        tables.run("DROP VIEW messages_readable")
    marks = NO_MARKS if _is_distributed() else MARKS.replace("{stamped}", stamped)
    tables.run_file(f"0008_messages_readable_{dialect}", marks=marks)
    tables.run_file("0008_events", stamped=stamped)
    tables.grant("events", "quarantine")
    tables.grant("callback_signatures", "quarantine", numbered=False)
    tables.grant("reconciliations", "watermarks", numbered=False)
    for view in ("events_readable", "only_callback"):
        tables.grant(view, "revisions_readable", numbered=False)
    tables.give("archive_event_kept")
    if dialect == "postgresql":
        columns = [part.name for part in TABLES["events"] if isinstance(part, sa.Column)]
        tables.run(RIGHTS, columns=", ".join(name for name in columns if name != "raw"))


def _is_distributed() -> bool:
    """Whether a cluster holds the messages."""
    if tables.dialect() == "sqlite":
        return False
    run = op.get_bind().exec_driver_sql
    if run("SELECT to_regclass('pg_dist_partition')").scalar() is None:
        return False
    return run("SELECT 1 FROM pg_dist_partition WHERE logicalrelid = 'messages'::regclass").first() is not None
