"""The evidence: salted seals over what was stored, the ledger of signed entries, and where its checkpoints went.

The format of each value is in the modules `salts`, `entries`, `merkle` and `notes`; this is only where it lies.
"""

from __future__ import annotations

import sqlalchemy as sa

from archiver.store.schema.columns import EVIDENCE, STATE, Id, InstantColumn, metadata

seals = sa.Table(
    "seals",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("page_id", sa.BigInteger),
    sa.Column("table_name", sa.Text),
    sa.Column("leaves", sa.Integer, nullable=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("seeds", sa.LargeBinary),
    sa.Column("keys", sa.Text),
    sa.Column("made_at", InstantColumn, nullable=False),
    sa.CheckConstraint("(page_id IS NULL) = (table_name IS NOT NULL)", name="of"),
    sa.Index("ix_seals_page_id", "page_id"),
    info={"kind": EVIDENCE},
)
"""No UNIQUE: a page must never fail because of its seal. `archiver evidence verify` reports a second one."""


ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("seal_id", sa.BigInteger),
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("leaf", sa.LargeBinary, nullable=False),
    sa.Column("at", InstantColumn, nullable=False),
    sa.Index("ix_ledger_seal_id", "seal_id"),
    sa.Index(
        "ix_ledger_rare",
        "kind",
        "seq",
        sqlite_where=sa.text("kind IN ('claim', 'start')"),
        postgresql_where=sa.text("kind IN ('claim', 'start')"),
    ),
    info={"kind": EVIDENCE},
)


ledger_nodes = sa.Table(
    "ledger_nodes",
    metadata,
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    info={"kind": EVIDENCE},
)


ledger_queue = sa.Table(
    "ledger_queue",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("seal_id", sa.BigInteger),
    sa.Column("entry", sa.Text),
    sa.Column("table_name", sa.Text),
    sa.Column("key", sa.Text),
    sa.CheckConstraint("(entry IS NULL) = (table_name IS NOT NULL)", name="what"),
    info={"kind": STATE},
)
"""What waits for its place in the ledger: finished entries, and keys of rows, which triggers add."""


ledger_head = sa.Table(
    "ledger_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("signer", sa.Text),
    sa.Column("signed_at", InstantColumn),
    sa.CheckConstraint("id = 1", name="single"),
    info={"kind": STATE},
)
"""Has its row from `archiver evidence init` on, and not before: that is how triggers know whether there is a ledger."""


checkpoints = sa.Table(
    "checkpoints",
    metadata,
    sa.Column("origin", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("signed_at", InstantColumn, nullable=False),
    info={"kind": EVIDENCE},
)


anchorings = sa.Table(
    "anchorings",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sink", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("proof", sa.LargeBinary),
    sa.Column("reason", sa.Text),
    sa.Column("at", InstantColumn, nullable=False),
    sa.Index("ix_anchorings_sink", "sink", "id"),
    info={"kind": EVIDENCE},
)


scrubs = sa.Table(
    "scrubs",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("began_at", InstantColumn, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("ended_at", InstantColumn),
    sa.Column("differences", sa.Integer, nullable=False, server_default="0"),
    sa.Column("program", sa.Text, nullable=False),
    info={"kind": STATE},
)


evidence_log = sa.Table(
    "evidence_log",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("at", InstantColumn, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("login", sa.Text),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    info={"kind": EVIDENCE},
)
