"""Tombstones that name what has no row are found by it, also where millions of others stand."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    where = sa.text("msg_id IS NOT NULL AND (kind = 'expired' OR page_id = 0)")
    op.create_index(
        "ix_tombstones_named", "tombstones", ["app_id", "msg_id"], sqlite_where=where, postgresql_where=where
    )
