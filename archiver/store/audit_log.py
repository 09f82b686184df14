"""Who took what out of the archive: one row before an export begins, and one when it ends. Nothing changes a row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.store.engine import Tx
from archiver.store.schema import audit_log


class AuditEntry(NamedTuple):
    """One export, as all of its rows have it. `login` is the database's own word on who asks, where it has one."""

    export_id: str
    who: str
    owner: str
    program: str
    format: str
    filter: Mapping[str, Any]
    case_id: str | None
    reason: str | None


def is_done(tx: Tx, request_id: int) -> bool:
    """Whether an export that carries out this request was written to its end."""
    # Within a text of the filter a quote has a stroke before it, so this is the key itself.
    named = sa.or_(*(audit_log.c.filter.contains(f'"request": {request_id}{end}') for end in (",", "}")))
    query = sa.select(audit_log.c.id).where(audit_log.c.outcome == "done", named).limit(1)
    return tx.conn.execute(query).first() is not None


def append(tx: Tx, entry: AuditEntry, outcome: str, messages: int, manifest_sha256: str | None = None) -> None:
    """Add a row. `begun`: how many messages it is going to hold; the others: how many were written."""
    row: dict[str, Any] = entry._asdict() | {
        "filter": json.dumps(entry.filter, ensure_ascii=False, sort_keys=True),
        "outcome": outcome,
        "at": tx.now_ms(),
        "login": tx.conn.scalar(sa.text("SELECT session_user")) if tx.postgres else None,
        "messages": messages,
        "manifest_sha256": manifest_sha256,
    }
    tx.conn.execute(audit_log.insert().values(**row))
