"""What a request to erase names is said by who makes it, and never after somebody has decided on it."""

from pathlib import Path

from alembic import op
from alembic.util import load_python_file

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

VERSIONS = Path(__file__).parent
tables = load_python_file(str(VERSIONS.parent), "tables.py")
deletion = load_python_file(str(VERSIONS), "0009_deletion.py")


def upgrade() -> None:
    dialect = tables.dialect()
    if dialect == "postgresql":
        schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
        tables.run_file("0013_functions", schema=schema)
        tables.give("archive_item_rules")
    if not deletion._is_distributed():  # there nothing is erased, and the table lies where no trigger may be
        tables.run_file(f"0013_rules_{dialect}")
