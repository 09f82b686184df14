"""The triggers that keep what was decided: who owns the database may drop or disable them, and that shows here."""

from __future__ import annotations

from archiver.store.admin import citus
from archiver.store.engine import Tx
from archiver.store.schema import DECIDED, DELETED, SHARDED, look_conversations, looks, of_kind, placed

_KEPT = [looks, look_conversations, *of_kind(DECIDED, DELETED)]
_RECORDS = ("messages", "message_bodies", "message_revisions", "revision_bodies")
_RULES = {
    "sqlite": (
        *("audit_log_no_UPDATE", "audit_log_no_DELETE", "audit_log_to_ledger", "evidence_log_to_ledger"),
        *("approvals_rules", "hold_events_rules", "request_drafts_rules", "request_drafts_no_update"),
        *("retention_terms_form", "retention_terms_end", "retention_terms_rules"),
        *("events_kept", "events_no_update", "expired_before_rules", "pages_kept"),
        *("tombstones_conversations", "tombstones_expired", "tombstones_erased"),
    ),
    "postgresql": (
        *("audit_log_append_only", "audit_log_to_ledger", "evidence_log_to_ledger"),
        *("looks_login", "requests_a_person", "approvals_a_person", "approvals_b_rules"),
        *("requests_c_place", "approvals_c_place", "request_drafts_a_person", "request_drafts_b_rules"),
        "request_drafts_no_update",
        *("hold_events_a_person", "hold_events_b_rules", "hold_events_lock"),
        *("retention_terms_a_person", "retention_terms_b_rules"),
        *("events_kept", "events_append_only", "expired_before_rules", "pages_kept"),
        *("tombstones_lock", "tombstones_rules"),
    ),
}
_EACH = {"sqlite": ("no_update", "no_delete", "to_ledger"), "postgresql": ("append_only", "to_ledger")}
_OF_RECORDS = {"sqlite": ("kept_update", "kept_delete"), "postgresql": ("lock", "kept", "no_truncate")}
_THERE = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": (
        "SELECT t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')"
        " AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'messages'::regclass)"
    ),
}


def expected(tx: Tx) -> set[str]:
    """The names of the triggers that this archive should have; on a cluster none are where the messages lie."""
    kind = "postgresql" if tx.postgres else "sqlite"
    spread = placed(SHARDED) if citus.is_distributed(tx) else []
    kept = [table.name for table in _KEPT if table not in spread]
    records = [] if spread else [f"{table}_{end}" for table in _RECORDS for end in _OF_RECORDS[kind]]
    records += [] if spread else ["request_items_rules"]
    return {*_RULES[kind], *records, *(f"{table}_{end}" for table in kept for end in _EACH[kind])}


def missing(tx: Tx) -> list[str]:
    """Those that are not there, or do not fire."""
    there = set(tx.conn.exec_driver_sql(_THERE["postgresql" if tx.postgres else "sqlite"]).scalars())
    return sorted(expected(tx) - there)
