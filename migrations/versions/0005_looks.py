"""Looks: who read what people wrote, one row before it is shown; append-only, queued for the ledger, with two views."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.util import load_python_file

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
tables = load_python_file(str(Path(__file__).parents[1]), "tables.py")
VIEWS = ("looks_by_person", "looks_by_officer")

TABLES: dict[str, list[Any]] = {
    "looks": [
        sa.Column("id", ID, nullable=False),
        sa.Column("look_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=True),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("found", sa.BigInteger(), nullable=True),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("outcome IN ('shown', 'begun', 'done', 'stopped', 'failed')", name="outcome"),
        sa.CheckConstraint("via IN ('cli', 'page')", name="via"),
        sa.UniqueConstraint("look_id", "outcome", name="uq_looks_outcome"),
    ],
    "look_conversations": [
        sa.Column("id", ID, nullable=False),
        sa.Column("look_id", sa.Text(), nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("conversation", sa.Text(), nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"]),
    ],
}


def upgrade() -> None:
    for name, parts in TABLES.items():
        op.create_table(name, *parts)
    op.create_index("ix_look_conversations_look_id", "look_conversations", ["look_id"])
    op.create_index("ix_look_conversations_app_id_conversation", "look_conversations", ["app_id", "conversation"])
    if tables.dialect() == "postgresql":
        tables.run_file("0005_functions")
    tables.fill("login", "archive_login", "looks")
    tables.keep(*TABLES)
    day = "substr(l.at, 1, 10)" if tables.dialect() == "sqlite" else "(l.at AT TIME ZONE 'UTC')::date"
    for view in VIEWS:
        tables.run_file(f"0005_{view}", day=day)
    for name in TABLES:
        tables.grant(name, "audit_log")
    auditors = "privilege_type = 'SELECT' AND grantee <> 'archive_officer'"  # who would see there what others looked at
    for view in VIEWS:
        tables.grant(view, "audit_log", numbered=False, those=auditors)
    tables.give("archive_append_only", "archive_login")
