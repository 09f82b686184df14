"""Who may do what with which table, as PostgreSQL's roles have it: by what a table is, or by name.

Nobody but the owner can change or delete a message once it is stored; who erases may, where triggers find a tombstone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archiver.store.schema import (
    DECIDED,
    DELETED,
    DERIVED,
    DRAFTED,
    EVIDENCE,
    JUDGED,
    JUDGEMENT,
    OFFICERS_VIEWS,
    SIGNED_IN,
    STATE,
    VIEWS,
    metadata,
    of_kind,
)

READER, OFFICER, ERASER, PAGE = "archive_reader", "archive_officer", "archive_eraser", "archive_page"
ROLES = ("archive_owner", "archive_writer", "archive_auditor", OFFICER, ERASER, READER, PAGE)
OTHERS = ", ".join(ROLES[1:])
_SECRETS = {
    "messages": {"raw"},
    "message_bodies": {"secret", "thumb_secret", "extra"},  # `extra` has a secret that a record has in a wrong place
    "message_revisions": {"raw"},
    "revision_bodies": {"secret", "thumb_secret", "extra"},
    "quarantine": {"raw"},
    "events": {"raw"},
    "callback_signatures": {"signature"},  # by which a callback could be forged
    "seals": {"seeds"},  # the salts, by which guesses of a content could be tested
    "tombstones": {"msg_id", "leaf"},  # what is gone is counted, and no more
}
"""What a reader may not see: the views show `extra` without secrets."""
_NOTED = ("audit_log", "looks", "look_conversations", *(table.name for table in of_kind(DECIDED, DRAFTED)))
"""What officers add to."""
_LOGS = {"evidence_log", *_NOTED, *(table.name for table in of_kind(SIGNED_IN))}
"""Who did what, and why: not for readers."""
_EXPORTED = ("messages", "message_bodies", "message_revisions", "revision_bodies", "attachments")
"""What a copy is made of, as it was received: JSON Lines has the records themselves."""
_HUSK = {
    "messages": ("raw", "digest", "sender", "recipient", "conversation", "ext", "lossy", "withheld"),
    "seals": ("seeds",),
    "pages": ("sha256",),
    "windows": ("file_sha256",),
    "attachments": ("url", "sha256", "state", "reason", "size", "declared_length", "media_type", "fence"),
    "attachment_attempts": ("reason",),
    "quarantine": ("raw", "digest", "reason", "resolved_at", "withheld"),
    "lifecycle": ("reapply_since",),
}
"""What who erases may change: triggers refuse it without a tombstone."""
_DELETED_FROM = (
    *("messages", "message_bodies", "message_revisions", "revision_bodies", "late_arrivals"),
    *("attachments", "attachment_attempts", "search_texts", "search_queue", "events", "blob_wipes"),
)
READ_BY_VIEWS = {"message_bodies": "extra", "revision_bodies": "extra"}
"""What views read and show in part. One server reads it with their owner's rights. A cluster's machines go by who asks:
there the shards let readers see it, who come to these by way of the coordinator alone, and its own table does not.
"""

Grant = tuple[str, str, str]
"""A table or view, what may be done with it, and the roles that may."""


def granted(tables: set[str], views: Sequence[str]) -> Iterator[Grant]:
    """All rights that anybody has on the tables and views that this database has."""
    everything = (*sorted(tables), *views)
    yield from ((name, "SELECT", f"archive_writer, archive_auditor, {ERASER}, {PAGE}") for name in everything)
    yield from ((name, "INSERT", "archive_writer") for name in names(tables, EVIDENCE, JUDGED, DERIVED, STATE))
    yield from ((name, "UPDATE", "archive_writer") for name in names(tables, STATE))
    yield from ((name, f"UPDATE ({', '.join(columns)})", "archive_writer") for name, columns in JUDGEMENT.items())
    yield "search_queue", "UPDATE, DELETE", "archive_writer"  # it locks what it takes
    let_go = ("ledger_queue", "events", "callback_signatures")
    yield from ((name, "DELETE", "archive_writer") for name in let_go if name in tables)
    yield from _erasers(tables)
    yield from _readers(tables)
    yield from ((name, "SELECT", OFFICER) for name in (*_EXPORTED, *OFFICERS_VIEWS))
    yield from ((name, "SELECT, INSERT", f"{OFFICER}, {PAGE}") for name in noted(tables))
    yield from ((name, "INSERT, UPDATE, DELETE", PAGE) for name in names(tables, SIGNED_IN))
    yield from ((name, "DELETE", PAGE) for name in names(tables, DRAFTED))


def numbered(tables: set[str]) -> dict[str, list[str]]:
    """The tables whose rows these roles number, beside who pulls, who numbers all."""
    by_person = [name for name in noted(tables) if "id" in metadata.tables[name].c]
    erased = ["approvals", *names(tables, DELETED)] if "tombstones" in tables else []
    return {OFFICER: by_person, PAGE: by_person, ERASER: erased}


def noted(tables: set[str]) -> list[str]:
    """What officers add to."""
    return [name for name in _NOTED if name in tables]


def _erasers(tables: set[str]) -> Iterator[Grant]:
    """What deletes has these beside archive_writer; what pulls empties hashes, and cleans up behind deletion."""
    if "tombstones" not in tables:
        return
    yield "pages", "UPDATE (sha256)", "archive_writer"
    yield "lifecycle", "UPDATE (reapply_since, hashes_after)", "archive_writer"
    yield "blob_wipes", "DELETE", "archive_writer"
    yield from ((name, "INSERT", ERASER) for name in ("approvals", *names(tables, DELETED), "blob_wipes"))
    yield from ((name, f"UPDATE ({', '.join(columns)})", ERASER) for name, columns in _HUSK.items())
    yield from ((name, "DELETE", ERASER) for name in _DELETED_FROM)


def _readers(tables: set[str]) -> Iterator[Grant]:
    """What every reader sees: the views, and of the tables all but what `_SECRETS` names and who exported what."""
    both = f"{READER}, {OFFICER}"
    yield from ((name, "SELECT", both) for name in (*VIEWS, *sorted(tables - _SECRETS.keys() - _LOGS)))
    for name, secrets in _SECRETS.items():
        if name in tables:
            columns = (f'"{column.name}"' for column in metadata.tables[name].columns if column.name not in secrets)
            yield name, f"SELECT ({', '.join(columns)})", both


def names(tables: set[str], *kinds: str) -> list[str]:
    """The tables of these kinds, as far as they are there."""
    return sorted(table.name for table in of_kind(*kinds) if table.name in tables)
