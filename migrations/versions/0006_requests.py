"""Decisions by two persons: requests and approvals, append-only, with the rules that no single login gets around."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.util import load_python_file

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
tables = load_python_file(str(Path(__file__).parents[1]), "tables.py")
KINDS = "'export', 'accept', 'rotate', 'erase', 'retention', 'hold-release', 'shorten', 'reapplied'"

TABLES: dict[str, list[Any]] = {
    "requests": [
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint(f"kind IN ({KINDS})", name="kind"),
    ],
    "approvals": [
        sa.Column("id", ID, nullable=False),
        sa.Column("request_id", ID, nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"]),
        sa.UniqueConstraint("request_id", "decision", name="uq_approvals_decision"),
        sa.CheckConstraint("decision IN ('approved', 'refused', 'withdrawn', 'begun')", name="decision"),
    ],
}


def upgrade() -> None:
    for name, parts in TABLES.items():
        op.create_table(name, *parts)
    if tables.dialect() == "postgresql":
        tables.run_file("0006_functions")
    tables.fill("a_person", "archive_person", *TABLES)
    tables.run_file(f"0006_rules_{tables.dialect()}")
    tables.keep(*TABLES)
    for name in TABLES:
        tables.grant(name, "audit_log")
    tables.give("archive_person", "archive_decision")
