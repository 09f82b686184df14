"""Hashes without salt are found, however many pages have none any more; and how far they have been looked through."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from alembic.util import load_python_file

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

tables = load_python_file(str(Path(__file__).parents[1]), "tables.py")

RIGHTS = """
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'archive_writer')
       AND has_table_privilege('archive_writer', 'pages', 'INSERT') THEN
        GRANT UPDATE (hashes_after) ON lifecycle TO archive_writer;
    END IF;
END
$$
"""


def upgrade() -> None:
    op.add_column("lifecycle", sa.Column("hashes_after", sa.BigInteger(), nullable=True))
    for table, column in (("pages", "sha256"), ("windows", "file_sha256")):
        where = sa.text(f"{column} <> ''")
        op.create_index(f"ix_{table}_hashed", table, ["id"], sqlite_where=where, postgresql_where=where)
    if tables.dialect() == "postgresql":
        tables.run(RIGHTS)
