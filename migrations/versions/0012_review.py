"""The review page: its sessions, and persons whom its login names because they signed in there."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from alembic.util import load_python_file

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
tables = load_python_file(str(Path(__file__).parents[1]), "tables.py")


def upgrade() -> None:
    op.create_table(
        "review_sessions",
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("csrf", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("token_sha256"),
    )
    if tables.dialect() == "postgresql":
        tables.run_file("0012_functions")
    # Who audits sees who was signed in; archive_page has its rights from `migrate --roles`, which makes it.
    auditors = "privilege_type = 'SELECT' AND grantee <> 'archive_officer'"
    tables.grant("review_sessions", "audit_log", numbered=False, those=auditors)
