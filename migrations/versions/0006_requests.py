"""Decisions by two persons: requests and approvals, append-only, with the rules that no single login gets around."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SQL = Path(__file__).parent.parent / "sql"
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

# Where an archive has its roles already, they get the rights that they have on audit_log.
GRANTS = """
DO $$
DECLARE owner name; role name; verb text;
BEGIN
    SELECT pg_get_userbyid(relowner) INTO owner FROM pg_class WHERE oid = 'sources'::regclass;
    IF owner <> current_user THEN EXECUTE format('ALTER TABLE {name} OWNER TO %I', owner); END IF;
    FOR role, verb IN
        SELECT DISTINCT grantee, privilege_type FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'audit_log' AND grantee NOT IN (owner, 'PUBLIC')
    LOOP
        EXECUTE format('GRANT %s ON {name} TO %I', verb, role);
        IF verb = 'INSERT' THEN EXECUTE format('GRANT USAGE ON SEQUENCE {name}_id_seq TO %I', role); END IF;
    END LOOP;
END
$$
"""
OWN_FUNCTION = """
DO $$
DECLARE owner name;
BEGIN
    SELECT pg_get_userbyid(relowner) INTO owner FROM pg_class WHERE oid = 'sources'::regclass;
    IF owner <> current_user THEN
        EXECUTE format('ALTER FUNCTION archive_person() OWNER TO %I', owner);
        EXECUTE format('ALTER FUNCTION archive_decision() OWNER TO %I', owner);
    END IF;
END
$$
"""


def upgrade() -> None:
    for name, parts in TABLES.items():
        op.create_table(name, *parts)
    dialect = op.get_bind().dialect.name
    for statement in (SQL / f"0006_requests_{dialect}.sql").read_text(encoding="utf-8").split("\n\n"):
        _run(statement, dialect)
    if dialect == "postgresql":
        for name in TABLES:
            _run(GRANTS.replace("{name}", name), dialect)
        _run(OWN_FUNCTION, dialect)


def _run(statement: str, dialect: str) -> None:
    op.get_bind().exec_driver_sql(statement.replace("%", "%%") if dialect == "postgresql" else statement)
