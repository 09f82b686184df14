"""The tables as the program knows them. The migrations make them; a test compares the two.

Names: `*_ms` are integer milliseconds since 1970 (what the protocol computes with), `*_at` and `*_until` are real
timestamps (what people filter by); `sha256` is hex text, `digest` the 32 bytes themselves. The big tables are keyed
by (app_id, msg_id) and not partitioned by time: the same id must be recognised whatever its time says.
"""

from __future__ import annotations

import sqlalchemy as sa

from archiver.store.schema.callbacks import EVENT_KINDS, SIGNED, callback_signatures, events, reconciliations
from archiver.store.schema.columns import (
    ATTACHMENT_STATES,
    CENTRAL,
    COPIED,
    DECIDED,
    DELETED,
    DERIVED,
    DRAFTED,
    EVIDENCE,
    FATES,
    JUDGED,
    JUDGEMENT,
    LAST_MS,
    OPEN_STATES,
    OWN,
    SHARD_KEY,
    SHARDED,
    SIGNED_IN,
    STATE,
    STATES,
    TILING_STATES,
    Id,
    InstantColumn,
    JsonText,
    Ms,
    as_given,
    instant_text,
    iso,
    metadata,
    page_ids,
)
from archiver.store.schema.ledger import (
    anchorings,
    checkpoints,
    evidence_log,
    ledger,
    ledger_head,
    ledger_nodes,
    ledger_queue,
    scrubs,
    seals,
)
from archiver.store.schema.lifecycle import (
    approvals,
    blob_wipes,
    expired_before,
    hold_conversations,
    hold_events,
    hold_items,
    lifecycle,
    request_drafts,
    request_items,
    requests,
    retention_terms,
    tombstones,
)
from archiver.store.schema.protocol import (
    apps,
    pages,
    passes,
    rate_budgets,
    run_counters,
    runs,
    sources,
    watermarks,
    windows,
)
from archiver.store.schema.records import (
    WITHHELD_ERASED,
    WITHHELD_SEALED,
    attachment_attempts,
    attachments,
    late_arrivals,
    message_bodies,
    message_revisions,
    messages,
    quarantine,
)
from archiver.store.schema.service import (
    AUDIT_OUTCOMES,
    LOOK_OUTCOMES,
    alerts,
    audit_log,
    canaries,
    look_conversations,
    looks,
    review_sessions,
    revision_bodies,
    search_queue,
    search_texts,
)


def of_kind(*kinds: str) -> list[sa.Table]:
    """The tables of these kinds, in an order in which rows may be added."""
    return [table for table in metadata.sorted_tables if table.info["kind"] in kinds]


def placed(placement: str) -> list[sa.Table]:
    """The tables that lie there on a cluster, in an order in which rows may be added."""
    return [table for table in metadata.sorted_tables if table.info.get("placement", CENTRAL) == placement]


VIEWS = (
    "messages_readable",
    "revisions_readable",
    "attachments_readable",
    "conversations",
    "participants",
    "daily_counts",
    "coverage_holes",
    "coverage_statements",
    "events_readable",
    "only_callback",
)
AUDITORS_VIEWS = ("looks_by_person", "looks_by_officer")
"""Who looked at what is not for those who look."""
OFFICERS_VIEWS = ("holds_in_force",)
"""Whom a case is about is not for every reader."""
ALL_VIEWS = (*VIEWS, *AUDITORS_VIEWS, *OFFICERS_VIEWS)

__all__ = [
    "ALL_VIEWS",
    "ATTACHMENT_STATES",
    "AUDITORS_VIEWS",
    "AUDIT_OUTCOMES",
    "CENTRAL",
    "COPIED",
    "DECIDED",
    "DELETED",
    "DERIVED",
    "DRAFTED",
    "EVENT_KINDS",
    "EVIDENCE",
    "FATES",
    "JUDGED",
    "JUDGEMENT",
    "LAST_MS",
    "LOOK_OUTCOMES",
    "OFFICERS_VIEWS",
    "OPEN_STATES",
    "OWN",
    "SHARDED",
    "SHARD_KEY",
    "SIGNED",
    "SIGNED_IN",
    "STATE",
    "STATES",
    "TILING_STATES",
    "VIEWS",
    "WITHHELD_ERASED",
    "WITHHELD_SEALED",
    "Id",
    "InstantColumn",
    "JsonText",
    "Ms",
    "alerts",
    "anchorings",
    "approvals",
    "apps",
    "as_given",
    "attachment_attempts",
    "attachments",
    "audit_log",
    "blob_wipes",
    "callback_signatures",
    "canaries",
    "checkpoints",
    "events",
    "evidence_log",
    "expired_before",
    "hold_conversations",
    "hold_events",
    "hold_items",
    "instant_text",
    "iso",
    "late_arrivals",
    "ledger",
    "ledger_head",
    "ledger_nodes",
    "ledger_queue",
    "lifecycle",
    "look_conversations",
    "looks",
    "message_bodies",
    "message_revisions",
    "messages",
    "metadata",
    "of_kind",
    "page_ids",
    "pages",
    "passes",
    "placed",
    "quarantine",
    "rate_budgets",
    "reconciliations",
    "request_drafts",
    "request_items",
    "requests",
    "retention_terms",
    "review_sessions",
    "revision_bodies",
    "run_counters",
    "runs",
    "scrubs",
    "seals",
    "search_queue",
    "search_texts",
    "sources",
    "tombstones",
    "watermarks",
    "windows",
]
