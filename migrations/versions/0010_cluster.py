"""Views and archive_search in statements that a cluster runs; on PostgreSQL alone, with the same answers."""

from pathlib import Path

from alembic import op
from alembic.util import load_python_file

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

tables = load_python_file(str(Path(__file__).parents[1]), "tables.py")
LONGEST_QUERY = "200"
STAMPED = (
    "CASE WHEN e.at_ms BETWEEN 0 AND 253402300799999 THEN timestamptz 'epoch' + e.at_ms * interval '1 millisecond' END"
)


def upgrade() -> None:
    if tables.dialect() == "sqlite":
        return
    schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    tables.run_file("0010_participants")
    tables.run_file("0010_looks_by_person")
    tables.run_file("0010_only_callback", stamped=STAMPED)
    tables.run_file("0010_archive_search", schema=schema, longest=LONGEST_QUERY)
