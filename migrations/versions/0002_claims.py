"""What keeps the coverage statement true: passes by their lag, hours by their naming, clocks, doubts and failures."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
SQL = Path(__file__).parent.parent / "sql"

WORDS = {
    "sqlite": {
        "{lo_at}": "strftime('%Y-%m-%dT%H:%M:%S', h.lo_ms / 1000, 'unixepoch') || printf('.%03dZ', h.lo_ms % 1000)",
        "{hi_at}": "strftime('%Y-%m-%dT%H:%M:%S', h.hi_ms / 1000, 'unixepoch') || printf('.%03dZ', h.hi_ms % 1000)",
        "{or_replace}": "",
        "{true}": "1",
    },
    "postgresql": {
        "{lo_at}": "timestamptz 'epoch' + h.lo_ms * interval '1 millisecond'",
        "{hi_at}": "timestamptz 'epoch' + h.hi_ms * interval '1 millisecond'",
        "{or_replace}": "OR REPLACE",  # so that the grants on it stay
        "{true}": "true",
    },
}

# What the first schema remembered of an hour's zone, in the form that counts messages by quarters of an hour.
EVIDENCE = """
UPDATE windows SET zone_evidence = '{"' || (shift_hours * 4) || '": ' ||
    CASE WHEN shift_hours = 0 AND received > outside THEN received - outside
         WHEN outside > 0 THEN outside ELSE 1 END || '}'
WHERE shift_hours IS NOT NULL
"""

# A pass was its place in the list of audits, so its windows may have been walked at several lags: the shortest counts.
PASSES = """
INSERT INTO passes (app_id, source, number, lag_ms)
SELECT app_id, source, min(pass), lag_ms FROM (
    SELECT app_id, source, pass, min(lag_ms) AS lag_ms FROM windows
    WHERE pass >= 2 AND cause = 'live' AND state <> 'skipped' GROUP BY app_id, source, pass
) p
GROUP BY app_id, source, lag_ms
"""

# Nobody accepted what the provider had dropped before the first contact: it lies before the archive.
BEFORE = """
UPDATE watermarks SET complete_from_ms = (
    SELECT s.origin_ms FROM sources s WHERE s.app_id = watermarks.app_id AND s.source = watermarks.source
)
WHERE EXISTS (
    SELECT 1 FROM windows w WHERE w.app_id = watermarks.app_id AND w.source = watermarks.source
    AND w.cause = 'before_first_contact' AND w.lo_ms <= watermarks.complete_from_ms
)
"""


# Whoever has rights on `sources` gets the same on the table that stands beside it: roles are made once.
GRANTS = """
DO $$
DECLARE owner name; role name; verb text;
BEGIN
    SELECT pg_get_userbyid(relowner) INTO owner FROM pg_class WHERE oid = 'sources'::regclass;
    IF owner <> current_user THEN EXECUTE format('ALTER TABLE passes OWNER TO %I', owner); END IF;
    FOR role, verb IN
        SELECT DISTINCT grantee, privilege_type FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'sources' AND grantee NOT IN (owner, 'PUBLIC')
    LOOP
        EXECUTE format('GRANT %s ON passes TO %I', verb, role);
    END LOOP;
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "passes",
        sa.Column("app_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("lag_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"]),
        sa.PrimaryKeyConstraint("app_id", "source", "number"),
        sa.UniqueConstraint("app_id", "source", "lag_ms", name="uq_passes_lag"),
    )
    op.add_column("sources", sa.Column("hour_offset_ms", sa.BigInteger(), nullable=True))
    op.add_column("sources", sa.Column("distrusts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("sources", sa.Column("server_ms", sa.BigInteger(), nullable=True))
    op.add_column("sources", sa.Column("server_seen_at", INSTANT, nullable=True))
    op.add_column("sources", sa.Column("clock_problem", sa.Text(), nullable=True))
    op.add_column("sources", sa.Column("zone_problem", sa.Text(), nullable=True))
    op.add_column("windows", sa.Column("distrusts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("windows", sa.Column("failed_at", INSTANT, nullable=True))
    op.add_column("windows", sa.Column("file_seen_at", INSTANT, nullable=True))
    op.add_column("windows", sa.Column("naming_ms", sa.BigInteger(), nullable=True))
    op.add_column("windows", sa.Column("zone_evidence", sa.Text(), nullable=True))
    op.add_column("watermarks", sa.Column("audited_pass", sa.Integer(), nullable=True))
    speaks = sa.text("zone_evidence IS NOT NULL")
    columns = ["app_id", "source", "lo_ms"]
    op.create_index("ix_windows_evidence", "windows", columns, sqlite_where=speaks, postgresql_where=speaks)
    op.execute(EVIDENCE)
    op.execute("UPDATE windows SET file_seen_at = walked_at WHERE file_sha256 IS NOT NULL")
    op.execute(PASSES)
    op.execute(BEFORE)
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.get_bind().exec_driver_sql(GRANTS.replace("%", "%%"))
    if dialect == "sqlite":
        op.execute("DROP VIEW coverage_holes")
    view = (SQL / "0002_coverage_holes.sql").read_text(encoding="utf-8")
    for word, meaning in WORDS[dialect].items():
        view = view.replace(word, meaning)
    op.get_bind().exec_driver_sql(view)
