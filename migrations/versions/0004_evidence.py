"""The evidence: seals, the ledger and its queue, checkpoints and anchors; triggers that queue what is to be sealed."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.util import load_python_file

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
tables = load_python_file(str(Path(__file__).parents[1]), "tables.py")

TABLES: dict[str, list[Any]] = {
    "seals": [
        sa.Column("id", ID, nullable=False),
        sa.Column("page_id", sa.BigInteger(), nullable=True),
        sa.Column("table_name", sa.Text(), nullable=True),
        sa.Column("leaves", sa.Integer(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("seeds", sa.LargeBinary(), nullable=True),
        sa.Column("keys", sa.Text(), nullable=True),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("(page_id IS NULL) = (table_name IS NOT NULL)", name="of"),
    ],
    "ledger": [
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("seal_id", sa.BigInteger(), nullable=True),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    ],
    "ledger_nodes": [
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "n"),
    ],
    "ledger_queue": [
        sa.Column("id", ID, nullable=False),
        sa.Column("seal_id", sa.BigInteger(), nullable=True),
        sa.Column("entry", sa.Text(), nullable=True),
        sa.Column("table_name", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("(entry IS NULL) = (table_name IS NOT NULL)", name="what"),
    ],
    "ledger_head": [
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("signer", sa.Text(), nullable=True),
        sa.Column("signed_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("id = 1", name="single"),
    ],
    "checkpoints": [
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("signed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("origin", "size"),
    ],
    "anchorings": [
        sa.Column("id", ID, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    ],
    "scrubs": [
        sa.Column("id", ID, nullable=False),
        sa.Column("began_at", INSTANT, nullable=False),
        sa.Column("position", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("differences", sa.Integer(), server_default="0", nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    ],
    "evidence_log": [
        sa.Column("id", ID, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    ],
}

# Whose rights a new table gets, where an archive has its roles already: they are made once. `quarantine` is a table
# that readers see no whole row of, as salts and reasons are not for them.
LIKE = {
    "seals": "quarantine",
    "evidence_log": "quarantine",
    **dict.fromkeys(("ledger", "ledger_nodes", "checkpoints", "anchorings"), "pages"),
    **dict.fromkeys(("ledger_head", "scrubs"), "sources"),
    "ledger_queue": "search_queue",
}
NUMBERED = ("seals", "ledger_queue", "anchorings", "scrubs", "evidence_log")


def upgrade() -> None:
    for name, parts in TABLES.items():
        op.create_table(name, *parts)
    op.create_index("ix_seals_page_id", "seals", ["page_id"])
    op.create_index("ix_ledger_seal_id", "ledger", ["seal_id"])
    rare = sa.text("kind IN ('claim', 'start')")
    op.create_index("ix_ledger_rare", "ledger", ["kind", "seq"], sqlite_where=rare, postgresql_where=rare)
    op.create_index("ix_anchorings_sink", "anchorings", ["sink", "id"])
    schema = ""
    if tables.dialect() == "postgresql":
        schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    tables.run_file(f"0004_queue_{tables.dialect()}", schema=schema)
    for table, like in LIKE.items():
        tables.grant(table, like, numbered=table in NUMBERED)
    tables.give("archive_to_ledger")
