"""The evidence: seals, the ledger and its queue, checkpoints and anchors; triggers that queue what is to be sealed."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SQL = Path(__file__).parent.parent / "sql"

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
GRANTS = """
DO $$
DECLARE owner name; role name; verb text;
BEGIN
    SELECT pg_get_userbyid(relowner) INTO owner FROM pg_class WHERE oid = 'sources'::regclass;
    IF owner <> current_user THEN EXECUTE format('ALTER TABLE {table} OWNER TO %I', owner); END IF;
    FOR role, verb IN
        SELECT DISTINCT grantee, privilege_type FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = '{like}' AND grantee NOT IN (owner, 'PUBLIC')
    LOOP
        EXECUTE format('GRANT %s ON {table} TO %I', verb, role);
        IF {numbered} AND verb = 'INSERT' THEN
            EXECUTE format('GRANT USAGE ON SEQUENCE {table}_id_seq TO %I', role);
        END IF;
    END LOOP;
END
$$
"""
OWN_FUNCTION = """
DO $$
DECLARE owner name;
BEGIN
    SELECT pg_get_userbyid(relowner) INTO owner FROM pg_class WHERE oid = 'sources'::regclass;
    IF owner <> current_user THEN EXECUTE format('ALTER FUNCTION archive_to_ledger() OWNER TO %I', owner); END IF;
END
$$
"""


def upgrade() -> None:
    for name, parts in TABLES.items():
        op.create_table(name, *parts)
    op.create_index("ix_seals_page_id", "seals", ["page_id"])
    op.create_index("ix_ledger_seal_id", "ledger", ["seal_id"])
    rare = sa.text("kind IN ('claim', 'start')")
    op.create_index("ix_ledger_rare", "ledger", ["kind", "seq"], sqlite_where=rare, postgresql_where=rare)
    op.create_index("ix_anchorings_sink", "anchorings", ["sink", "id"])
    dialect = op.get_bind().dialect.name
    run = op.get_bind().exec_driver_sql
    statements = (SQL / f"0004_queue_{dialect}.sql").read_text(encoding="utf-8")
    if dialect == "postgresql":
        schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
        statements = statements.replace("{schema}", schema)
    for statement in statements.split("\n\n"):
        run(statement.replace("%", "%%") if dialect == "postgresql" else statement)
    if dialect == "postgresql":
        for table, like in LIKE.items():
            words = {"{table}": table, "{like}": like, "{numbered}": str(table in NUMBERED).lower()}
            grants = GRANTS
            for word, meaning in words.items():
                grants = grants.replace(word, meaning)
            run(grants.replace("%", "%%"))
        run(OWN_FUNCTION.replace("%", "%%"))
