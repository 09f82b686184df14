"""The claim as a view says what has expired."""

from pathlib import Path

from alembic.util import load_python_file

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

VERSIONS = Path(__file__).parent
tables = load_python_file(str(VERSIONS.parent), "tables.py")
third = load_python_file(str(VERSIONS), "0003_answers.py")


def upgrade() -> None:
    dialect = tables.dialect()
    text = third._sqlite_at if dialect == "sqlite" else third._postgresql_text
    words = {name.strip("{}"): word for name, word in third._words(dialect).items()}
    if dialect == "sqlite":
        tables.run("DROP VIEW coverage_statements")
    tables.run_file("0014_coverage_statements", **words, expired_text=text("c.expired_before_ms"))
