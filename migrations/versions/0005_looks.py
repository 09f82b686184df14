"""Looks: who read what people wrote, one row before it is shown; append-only, queued for the ledger, with two views."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SQL = Path(__file__).parent.parent / "sql"
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

# Where an archive has its roles already, they get the rights that they have on audit_log; views are not for officers,
# who would see there what others looked at.
GRANTS = """
DO $$
DECLARE owner name; role name; verb text;
BEGIN
    SELECT pg_get_userbyid(relowner) INTO owner FROM pg_class WHERE oid = 'sources'::regclass;
    IF owner <> current_user THEN EXECUTE format('ALTER TABLE {name} OWNER TO %I', owner); END IF;
    FOR role, verb IN
        SELECT DISTINCT grantee, privilege_type FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'audit_log' AND grantee NOT IN (owner, 'PUBLIC')
          AND ({is_table} OR (privilege_type = 'SELECT' AND grantee <> 'archive_officer'))
    LOOP
        EXECUTE format('GRANT %s ON {name} TO %I', verb, role);
        IF {is_table} AND verb = 'INSERT' THEN
            EXECUTE format('GRANT USAGE ON SEQUENCE {name}_id_seq TO %I', role);
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
    IF owner <> current_user THEN
        EXECUTE format('ALTER FUNCTION archive_append_only() OWNER TO %I', owner);
        EXECUTE format('ALTER FUNCTION archive_login() OWNER TO %I', owner);
    END IF;
END
$$
"""


def upgrade() -> None:
    for name, parts in TABLES.items():
        op.create_table(name, *parts)
    op.create_index("ix_look_conversations_look_id", "look_conversations", ["look_id"])
    op.create_index("ix_look_conversations_app_id_conversation", "look_conversations", ["app_id", "conversation"])
    dialect = op.get_bind().dialect.name
    day = "substr(l.at, 1, 10)" if dialect == "sqlite" else "(l.at AT TIME ZONE 'UTC')::date"
    for name in (f"0005_triggers_{dialect}", *(f"0005_{view}" for view in VIEWS)):
        for statement in (SQL / f"{name}.sql").read_text(encoding="utf-8").split("\n\n"):
            _run(statement.replace("{day}", day), dialect)
    if dialect == "postgresql":
        for name in (*TABLES, *VIEWS):
            _run(GRANTS.replace("{name}", name).replace("{is_table}", str(name in TABLES).lower()), dialect)
        _run(OWN_FUNCTION, dialect)


def _run(statement: str, dialect: str) -> None:
    op.get_bind().exec_driver_sql(statement.replace("%", "%%") if dialect == "postgresql" else statement)
