"""What deletion needs: tombstones and floors, and rules by which nothing stored goes without them, whoever asks."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.util import load_python_file

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
tables = load_python_file(str(Path(__file__).parents[1]), "tables.py")

ADDED_TO = ("tombstones", "expired_before")
TABLES: dict[str, list[Any]] = {
    "tombstones": [
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("msg_id", sa.Text(), nullable=True),
        sa.Column("page_id", sa.BigInteger(), nullable=True),
        sa.Column("seal_id", sa.BigInteger(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("leaf", sa.LargeBinary(), nullable=True),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("bodies", sa.Integer(), nullable=False),
        sa.Column("revisions", sa.Integer(), nullable=False),
        sa.Column("request_id", ID, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"]),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"]),
        sa.CheckConstraint("kind IN ('erased', 'expired')", name="kind"),
        sa.CheckConstraint("(position IS NULL) = (leaf IS NULL)", name="leaf"),
        sa.CheckConstraint("page_id IS NOT NULL OR seal_id IS NOT NULL", name="place"),
    ],
    "expired_before": [
        sa.Column("id", ID, nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=False),
        sa.Column("ms", sa.BigInteger(), nullable=False),
        sa.Column("request_id", ID, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"]),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"]),
    ],
    "lifecycle": [
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("archive_id", sa.Text(), nullable=False),
        sa.Column("decided_in", sa.Text(), nullable=False),
        sa.Column("deletion_since", INSTANT, nullable=True),
        sa.Column("reapply_since", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("id = 1", name="single"),
        sa.CheckConstraint("decided_in IN ('database', 'page')", name="decided_in"),
    ],
    "blob_wipes": [
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("removing_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("sha256"),
    ],
}
KEPT = ("messages", "message_bodies", "message_revisions", "revision_bodies")
# When the term of a message begins (ms): at its stamp, or when it was archived, where nobody can mean the stamp.
ARCHIVED = {
    "sqlite": "CAST(round((julianday({m}.archived_at) - 2440587.5) * 86400000) AS INTEGER)",
    "postgresql": "CAST(floor(extract(epoch FROM {m}.archived_at) * 1000) AS bigint)",
}
BEGINS = (
    "CASE WHEN {m}.timestamp_ms < 1262304000000 OR {m}.timestamp_ms > {archived} + 86400000"
    " THEN {archived} ELSE {m}.timestamp_ms END"
)
# As archiver/store/holds.py asks it, for one row: in which conversations a participant wrote stands in a table here.
HELD = """\
SELECT 1 FROM holds_in_force h WHERE (h.app_id IS NULL OR h.app_id = {m}.app_id)
    AND (h.sender IS NULL OR lower({m}.sender) IN (h.sender, h.sender_lower))
    AND (h.recipient IS NULL OR lower({m}.recipient) IN (h.recipient, h.recipient_lower))
    AND (h.conversation IS NULL OR {m}.conversation IN (h.conversation, h.conversation_other))
    AND ({m}.sent_at IS NULL OR ((h.from_ms IS NULL OR {m}.timestamp_ms >= h.from_ms)
                                 AND (h.to_ms IS NULL OR {m}.timestamp_ms < h.to_ms)))
    AND (h.participant IS NULL
         OR lower({m}.sender) IN (h.participant, h.participant_lower)
         OR lower({m}.recipient) IN (h.participant, h.participant_lower)
         OR (h.unreadable AND {m}.sender IS NULL)
         OR EXISTS (SELECT 1 FROM hold_conversations c WHERE c.hold_id = h.hold_id AND c.app_id = {m}.app_id
                    AND c.conversation = {m}.conversation))
    AND (NOT h.is_list OR EXISTS (SELECT 1 FROM hold_items i WHERE i.hold_id = h.hold_id AND i.app_id = {m}.app_id
                                  AND i.msg_id = {m}.msg_id))"""
# Whose page, or place in a page, has a tombstone, while the term of the message is over: `{r}` lies on that page.
EXPIRED = """\
EXISTS (SELECT 1 FROM tombstones t WHERE t.page_id = {r}.page_id AND t.kind = 'expired' AND t.app_id = {m}.app_id
        AND (t.position IS NULL OR t.position = {r}.position))
    AND {begins} < (SELECT max(f.ms) FROM expired_before f WHERE f.app_id = {m}.app_id)"""


RIGHTS = """
DO $$
DECLARE role name;
BEGIN
    FOR role IN
        SELECT DISTINCT grantee FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'revisions_readable' AND privilege_type = 'SELECT'
          AND grantee NOT IN (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'sources'::regclass)
    LOOP
        EXECUTE format('GRANT SELECT ({columns}) ON tombstones TO %I', role);
        EXECUTE format('GRANT SELECT (withheld) ON messages, quarantine TO %I', role);
    END LOOP;
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'archive_writer')
       AND has_table_privilege('archive_writer', 'pages', 'INSERT') THEN
        GRANT UPDATE (sha256) ON pages TO archive_writer;
        GRANT DELETE ON blob_wipes TO archive_writer;
        GRANT UPDATE (reapply_since) ON lifecycle TO archive_writer;
    END IF;
END
$$
"""


def upgrade() -> None:
    for name, parts in TABLES.items():
        op.create_table(name, *parts)
    for columns in (["app_id", "msg_id"], ["page_id"]):
        op.create_index("_".join(["ix_tombstones", *columns]), "tombstones", columns)
    op.create_index("ix_expired_before_app_id", "expired_before", ["app_id", "ms"])
    op.add_column("messages", sa.Column("withheld", sa.Integer(), nullable=True))
    op.add_column("quarantine", sa.Column("withheld", sa.Integer(), nullable=True))
    dialect = tables.dialect()
    tables.keep(*ADDED_TO)
    schema = ""
    if dialect == "postgresql":
        schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
        tables.run_file("0009_functions", **_rows(dialect), schema=schema)
    tables.run_file(f"0009_rules_{dialect}", **_rows(dialect))
    if not _is_distributed():
        tables.run_file(f"0009_kept_{dialect}", **_rows(dialect))
    for name in (*ADDED_TO, "lifecycle"):
        like = "quarantine" if name == "tombstones" else "sources"  # of which readers see no whole row
        tables.grant(name, like, numbered=name != "lifecycle", those="privilege_type = 'SELECT'")
    tables.grant("blob_wipes", "sources", numbered=False)
    tables.give("archive_floor_rules", "archive_tombstone_rules", "archive_deletes", "archive_message_kept")
    tables.give("archive_part_kept", "archive_page_kept")
    tables.give("archive_held", types="messages")
    tables.give("archive_expired", types="messages, bigint, integer")
    if dialect == "postgresql":
        columns = [part.name for part in TABLES["tombstones"] if isinstance(part, sa.Column)]
        tables.run(RIGHTS, columns=", ".join(name for name in columns if name not in ("msg_id", "leaf")))


def _rows(dialect: str) -> dict[str, str]:
    """`held` and `expired` of the message and of the row on a page that stand behind them."""
    begins = BEGINS.replace("{archived}", ARCHIVED[dialect])
    expired = EXPIRED.replace("{begins}", begins)
    pairs = (("OLD", "OLD"), ("m", "m"), ("m", "OLD"), ("m", "r"))
    words = {f"expired {m} {r}": expired.replace("{m}", m).replace("{r}", r) for m, r in pairs}
    return (
        words | {f"held {m}": HELD.replace("{m}", m) for m in ("OLD", "m")} | {"begins m": begins.replace("{m}", "m")}
    )


def _is_distributed() -> bool:
    """Whether a cluster holds the messages: it has no triggers on them, and there deletion is refused."""
    if tables.dialect() == "sqlite":
        return False
    run = op.get_bind().exec_driver_sql
    if run("SELECT to_regclass('pg_dist_partition')").scalar() is None:
        return False
    return run("SELECT 1 FROM pg_dist_partition WHERE logicalrelid = 'messages'::regclass").first() is not None
