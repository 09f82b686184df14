"""What answers people: users found in any case, who accepted a hole, and the claim as a view."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def _sqlite_at(ms: str) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%S', {ms} / 1000, 'unixepoch') || printf('.%03dZ', {ms} % 1000)"


def _postgresql_at(ms: str) -> str:
    return f"(timestamptz 'epoch' + {ms} * interval '1 millisecond')"


def _postgresql_text(ms: str) -> str:
    zone, form = "AT TIME ZONE 'UTC'", """'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'"""
    return f"to_char({_postgresql_at(ms)} {zone}, {form})"


def _words(dialect: str) -> dict[str, str]:
    at, text = (_sqlite_at, _sqlite_at) if dialect == "sqlite" else (_postgresql_at, _postgresql_text)
    marks = {"from": "c.complete_from_ms", "until": "c.complete_until_ms", "audited": "c.audited_until_ms"}
    return {
        "{lo_at}": at("h.lo_ms"),
        "{hi_at}": at("h.hi_ms"),
        **{f"{{{name}_at}}": at(ms) for name, ms in marks.items()},
        **{f"{{{name}_text}}": text(ms) for name, ms in marks.items()},
        "{or_replace}": "" if dialect == "sqlite" else "OR REPLACE",  # so that the grants on it stay
        "{true}": "1" if dialect == "sqlite" else "true",
    }


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    for user in ("sender", "recipient"):
        # User ids are the same whatever their case, and stored as they came: they are compared in lower case.
        op.drop_index(f"ix_messages_{user}_timestamp_ms", "messages")
        op.create_index(f"ix_messages_{user}_timestamp_ms", "messages", [sa.text(f"lower({user})"), "timestamp_ms"])
    words = _words(dialect)
    for view in ("participants", "coverage_holes", "coverage_statements"):
        if dialect == "sqlite" and view != "coverage_statements":
            op.execute(f"DROP VIEW {view}")
        statement = (SQL / f"0003_{view}.sql").read_text(encoding="utf-8")
        for word, meaning in words.items():
            statement = statement.replace(word, meaning)
        op.get_bind().exec_driver_sql(statement)
