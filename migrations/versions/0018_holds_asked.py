"""What deletion asks of holds is asked once a statement, and the conversations of their participants by what is new."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from alembic.util import load_python_file

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

VERSIONS = Path(__file__).parent
tables = load_python_file(str(VERSIONS.parent), "tables.py")
deletion = load_python_file(str(VERSIONS), "0009_deletion.py")

# Which page is looked at, in which transaction, and how many holds there are.
ASKED = "NEW.page_id || ' ' || NEW.at || ' ' || (SELECT count(*) FROM hold_events) || ':'"
RIGHTS = """
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'archive_eraser')
       AND has_table_privilege('archive_eraser', 'tombstones', 'INSERT') THEN
        GRANT EXECUTE ON FUNCTION archive_note_conversations() TO archive_eraser;
    END IF;
END
$$
"""


def upgrade() -> None:
    op.add_column("lifecycle", sa.Column("noted_page", sa.BigInteger(), nullable=True))
    op.add_column("lifecycle", sa.Column("noted_hold", sa.BigInteger(), nullable=True))
    op.add_column("lifecycle", sa.Column("noted_in", sa.Text(), nullable=True))
    op.drop_index("ix_tombstones_page_id", "tombstones")
    op.create_index("ix_tombstones_page_id_position", "tombstones", ["page_id", "position"])
    dialect = tables.dialect()
    rows = deletion._rows(dialect)
    if dialect == "postgresql":
        schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
        tables.run_file("0018_functions", **rows, schema=schema)
        tables.give("archive_note_conversations", "archive_places")
        tables.give("archive_expires", types="messages, bigint, integer")
        tables.give("archive_erases", types="integer, text")
        tables.run(RIGHTS)
    tables.run_file(f"0018_rules_{dialect}", **rows, asked=ASKED)
