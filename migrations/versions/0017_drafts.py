"""Where requests are made and decided on, by commands or on the review page; and drafts for those who sign in there."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from alembic.util import load_python_file

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
tables = load_python_file(str(Path(__file__).parents[1]), "tables.py")
KINDS = "'export', 'accept', 'rotate', 'erase', 'retention', 'hold-release', 'shorten', 'reapplied'"
PAGE_RIGHTS = """
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'archive_page')
       AND has_table_privilege('archive_page', 'requests', 'INSERT') THEN
        GRANT DELETE ON request_drafts TO archive_page;
    END IF;
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "request_drafts",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint(f"kind IN ({KINDS})", name="kind"),
        sqlite_autoincrement=True,
    )
    dialect = tables.dialect()
    if dialect == "postgresql":
        schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
        tables.run_file("0017_functions", schema=schema)
    tables.fill("a_person", "archive_person", "request_drafts")
    tables.run_file(f"0017_rules_{dialect}")
    tables.grant("request_drafts", "requests")
    tables.give("archive_place", "archive_draft_rules")
    tables.give("archive_is_page", types="name")
    if dialect == "postgresql":
        tables.run(PAGE_RIGHTS)
