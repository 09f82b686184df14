"""What is withheld is shown nowhere: views, archive_search, and an index by which both know it at no cost."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from alembic.util import load_python_file

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

VERSIONS = Path(__file__).parent
tables = load_python_file(str(VERSIONS.parent), "tables.py")
first = load_python_file(str(VERSIONS), "0001_first_schema.py")
callbacks = load_python_file(str(VERSIONS), "0008_callbacks.py")
cluster = load_python_file(str(VERSIONS), "0010_cluster.py")
deletion = load_python_file(str(VERSIONS), "0009_deletion.py")
VIEWS = (
    "revisions_readable",
    "attachments_readable",
    "conversations",
    "daily_counts",
    "participants",
    "looks_by_person",
)


def upgrade() -> None:
    dialect = tables.dialect()
    sealed = sa.text("withheld = 1")
    op.create_index(
        "ix_messages_sealed", "messages", ["app_id", "msg_id"], sqlite_where=sealed, postgresql_where=sealed
    )
    if dialect == "sqlite":
        for view in (*VIEWS, "messages_readable", "events_readable"):
            tables.run(f"DROP VIEW {view}")
    or_replace = "" if dialect == "sqlite" else "OR REPLACE"
    tables.run_file("0011_views", **first.WORDS[dialect], or_replace=or_replace)
    tables.run_file(f"0011_people_{dialect}")
    distributed, stamped = deletion._is_distributed(), callbacks.STAMPED[dialect]
    marks = callbacks.NO_MARKS if distributed else callbacks.MARKS.replace("{stamped}", stamped)
    tables.run_file(f"0011_messages_readable_{dialect}", marks=marks)
    if distributed:  # there nothing is withheld, and no row of one machine is compared with those of others
        return
    tables.run_file("0011_events_readable", stamped=stamped, or_replace=or_replace)
    if dialect == "postgresql":
        schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
        tables.run_file("0011_archive_search", schema=schema, longest=cluster.LONGEST_QUERY)
