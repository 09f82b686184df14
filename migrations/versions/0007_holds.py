"""Legal holds and terms of retention: rows that are only added, and no single person's word that lets go of any."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.util import load_python_file

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
tables = load_python_file(str(Path(__file__).parents[1]), "tables.py")

BY_MESSAGE = ("request_items", "hold_items")
"""On a cluster these lie with the messages, where no trigger is allowed."""
KEYS = {
    "request_items": ("request_id", "app_id", "msg_id"),
    "hold_conversations": ("hold_id", "app_id", "conversation"),
    "hold_items": ("hold_id", "app_id", "msg_id"),
}
TABLES: dict[str, list[Any]] = {
    "request_items": [
        sa.Column("request_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("app_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("msg_id", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(*KEYS["request_items"]),
        sa.CheckConstraint("line IN ('asked', 'related')", name="line"),
    ],
    "hold_events": [
        sa.Column("id", ID, nullable=False),
        sa.Column("hold_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=True),
        sa.Column("sender", sa.Text(), nullable=True),
        sa.Column("sender_lower", sa.Text(), nullable=True),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("recipient_lower", sa.Text(), nullable=True),
        sa.Column("conversation", sa.Text(), nullable=True),
        sa.Column("conversation_other", sa.Text(), nullable=True),
        sa.Column("participant", sa.Text(), nullable=True),
        sa.Column("participant_lower", sa.Text(), nullable=True),
        sa.Column("unreadable", sa.Boolean(), nullable=False),
        sa.Column("is_list", sa.Boolean(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=True),
        sa.Column("to_ms", sa.BigInteger(), nullable=True),
        sa.Column("case_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("request_id", ID, nullable=True),
        sa.Column("effective_at", INSTANT, nullable=True),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"]),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"]),
        sa.UniqueConstraint("request_id", name="uq_hold_events_request_id"),
        sa.CheckConstraint("event IN ('placed', 'widened', 'released')", name="event"),
        sa.CheckConstraint("(event = 'released') = (request_id IS NOT NULL)", name="request"),
        sa.CheckConstraint("(event = 'released') = (effective_at IS NOT NULL)", name="effective"),
    ],
    "hold_conversations": [
        sa.Column("hold_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("app_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(*KEYS["hold_conversations"]),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"]),
    ],
    "hold_items": [
        sa.Column("hold_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("app_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("msg_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(*KEYS["hold_items"]),
    ],
    "retention_terms": [
        sa.Column("id", ID, nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("keep_at_least", sa.Text(), nullable=True),
        sa.Column("keep_at_most", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("request_id", ID, nullable=True),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"]),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"]),
        sa.UniqueConstraint("request_id", name="uq_retention_terms_request_id"),
    ],
}
DISTRIBUTED = "SELECT 1 FROM pg_dist_partition WHERE logicalrelid = 'messages'::regclass"
SPREAD = "SELECT create_distributed_table(%s, 'msg_id', colocate_with => 'messages')"
EVER = "9000000000000d"
NOW = {"sqlite": "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", "postgresql": "now()"}


def upgrade() -> None:
    for name, parts in TABLES.items():
        op.create_table(name, *parts)
    op.create_index("ix_hold_events_hold_id", "hold_events", ["hold_id"])
    if tables.dialect() == "postgresql":
        schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
        tables.run_file("0007_functions", schema=schema, ever=EVER)
    spread = _spread()
    for name in TABLES:
        if not spread or name not in BY_MESSAGE:
            tables.keep(name, key=KEYS.get(name, ("id",)))
    tables.fill("a_person", "archive_person", "hold_events", "retention_terms")
    tables.run_file(f"0007_rules_{tables.dialect()}", ever=EVER)
    tables.run_file("0007_holds_in_force", now=NOW[tables.dialect()])
    for name in TABLES:  # who pulls decides nothing
        writes = "NOT (grantee = 'archive_writer' AND privilege_type = 'INSERT')"
        tables.grant(name, "audit_log", numbered=name not in KEYS, those=writes)
    tables.grant("holds_in_force", "audit_log", numbered=False, those="privilege_type = 'SELECT'")
    tables.give("archive_key_to_ledger", "archive_hold_rules", "archive_term_rules")
    tables.give("archive_approved", types="bigint, text")
    tables.give("archive_shorter", types="text, text")


def _spread() -> bool:
    """Whether the archive lies on a cluster; then the new tables go where the messages are."""
    conn = op.get_bind()
    if tables.dialect() == "sqlite" or not conn.exec_driver_sql("SELECT to_regclass('pg_dist_partition')").scalar():
        return False
    if conn.exec_driver_sql(DISTRIBUTED).first() is None:
        return False
    for name in BY_MESSAGE:
        conn.exec_driver_sql(SPREAD, (name,))
    return True
