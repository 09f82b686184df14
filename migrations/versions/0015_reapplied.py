"""When the files of the database were rewritten; and what is erased again after a restore may be sealed as well."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from alembic.util import load_python_file

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
VERSIONS = Path(__file__).parent
tables = load_python_file(str(VERSIONS.parent), "tables.py")
deletion = load_python_file(str(VERSIONS), "0009_deletion.py")
ONE, BOTH = "r.kind = 'erase'", "r.kind IN ('erase', 'reapplied')"


def upgrade() -> None:
    op.add_column("lifecycle", sa.Column("wiped_at", INSTANT, nullable=True))
    dialect = tables.dialect()
    if dialect == "postgresql":
        rules = _statement("0009_functions", "CREATE FUNCTION archive_message_kept()")
        schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
        rules = rules.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION").replace("{schema}", schema)
        tables.run(rules.replace(ONE, BOTH))
    else:
        tables.run("DROP TRIGGER messages_kept_update")
        tables.run(_statement("0009_kept_sqlite", "CREATE TRIGGER messages_kept_update").replace(ONE, BOTH),
                   **deletion._rows(dialect))  # fmt: skip


def _statement(file: str, beginning: str) -> str:
    text = (tables.SQL / f"{file}.sql").read_text(encoding="utf-8")
    (statement,) = (one for one in text.split("\n\n") if beginning in one)
    return str(statement)
