"""PostgreSQL's roles: who may write what. Nobody but the owner can change or delete a message once it is stored.

`archive_owner` really owns the schema's objects, so that no login does: a grant can be taken back, what an owner may do
cannot. The login that migrates is a member of it.
"""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from archiver.errors import UsageError
from archiver.store.engine import Store, Tx
from archiver.store.schema import (
    ALL_VIEWS,
    DECIDED,
    DELETED,
    DERIVED,
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

_READER, _OFFICER, _ERASER, _PAGE = "archive_reader", "archive_officer", "archive_eraser", "archive_page"
_ROLES = ("archive_owner", "archive_writer", "archive_auditor", _OFFICER, _ERASER, _READER, _PAGE)
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
_NOTED = ("audit_log", "looks", "look_conversations", *(table.name for table in of_kind(DECIDED)))
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
_FUNCTIONS = {
    "archive_bigrams": "text",
    "archive_normal": "text",
    "archive_query": "text",
    "archive_search": "text, integer",
    "archive_searchable": "text, text, text, jsonb",
    "archive_to_index": "",
    "archive_to_ledger": "",
    "archive_append_only": "",
    "archive_login": "",
    "archive_person": "",
    "archive_decision": "",
    "archive_key_to_ledger": "",
    "archive_approved": "bigint, text",
    "archive_hold_rules": "",
    "archive_shorter": "text, text",
    "archive_term_rules": "",
    "archive_event_kept": "",
    "archive_held": "messages",
    "archive_expired": "messages, bigint, integer",
    "archive_deletes": "",
    "archive_floor_rules": "",
    "archive_tombstone_rules": "",
    "archive_message_kept": "",
    "archive_part_kept": "",
    "archive_page_kept": "",
}


def create(store: Store) -> None:
    """Create the roles where they are missing, and grant them what they need and no more.

    Raises UsageError on SQLite, and where this login may not do it.
    """
    if store.engine.dialect.name != "postgresql":
        raise UsageError("--roles: SQLite has no roles", hint="protect the file itself; archiver migrate")
    with store.patient.write() as tx:
        try:
            _create(tx)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "42501":
                raise
            hint = "run it as a superuser, or as the owner of the database with CREATEROLE; where another login made"
            hint += " the roles for another archive: GRANT archive_owner TO this one WITH ADMIN OPTION"
            raise UsageError("--roles: this login may not create roles or hand tables over", hint=hint) from None


def _create(tx: Tx) -> None:
    for role in _ROLES:
        if tx.conn.exec_driver_sql("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).first() is None:
            tx.conn.exec_driver_sql(f"CREATE ROLE {role} NOLOGIN")
    for statement in [*_ownership(tx), *_grants(tx)]:
        tx.conn.exec_driver_sql(statement)


def _ownership(tx: Tx) -> list[str]:
    """Everything in the schema goes to archive_owner; sequences of columns go with their tables."""
    statements = [f"GRANT USAGE, CREATE ON SCHEMA {_schema(tx)} TO archive_owner"]
    member = "SELECT pg_has_role(current_user, 'archive_owner', 'USAGE')"
    if not tx.conn.exec_driver_sql(member).scalar():
        statements.append("GRANT archive_owner TO CURRENT_USER")
    statements += [f"ALTER TABLE {name} OWNER TO archive_owner" for name in (*_tables(tx), *_views(tx))]
    statements.append("ALTER SEQUENCE page_ids OWNER TO archive_owner")
    statements += [f"ALTER FUNCTION {name}({types}) OWNER TO archive_owner" for name, types in _FUNCTIONS.items()]
    return statements


def _grants(tx: Tx) -> list[str]:
    tables = set(_tables(tx))
    everything = ", ".join((*sorted(tables), *_views(tx)))
    noted = [name for name in _NOTED if name in tables]
    numbered = [f"{name}_id_seq" for name in noted if "id" in metadata.tables[name].c]
    state, append_only = (", ".join(_names(tables, *kinds)) for kinds in ((STATE,), (EVIDENCE, JUDGED, DERIVED)))
    others = f"archive_writer, archive_auditor, {_OFFICER}, {_ERASER}, {_READER}, {_PAGE}"
    return [
        # From nothing, or what an earlier version granted would stay.
        f"REVOKE ALL ON {everything} FROM PUBLIC, {others}",
        f"GRANT USAGE ON SCHEMA {_schema(tx)} TO {others}",
        f"GRANT SELECT ON {everything} TO archive_writer, archive_auditor, {_ERASER}, {_PAGE}",
        f"GRANT INSERT ON {append_only}, {state} TO archive_writer",
        f"GRANT UPDATE ON {state} TO archive_writer",
        *(f"GRANT UPDATE ({', '.join(columns)}) ON {name} TO archive_writer" for name, columns in JUDGEMENT.items()),
        f"GRANT USAGE ON SEQUENCE {', '.join(_sequences(tx))} TO archive_writer",
        "GRANT INSERT, UPDATE, DELETE ON search_queue TO archive_writer",  # it locks what it takes
        "GRANT DELETE ON ledger_queue TO archive_writer",
        *(f"GRANT DELETE ON {name} TO archive_writer" for name in ("events", "callback_signatures") if name in tables),
        *_erasers(tables),
        *_readers(tables),
        f"GRANT SELECT ON {', '.join(_EXPORTED)} TO {_OFFICER}",
        f"GRANT SELECT, INSERT ON {', '.join(noted)} TO {_OFFICER}, {_PAGE}",
        f"GRANT SELECT ON {', '.join(OFFICERS_VIEWS)} TO {_OFFICER}",
        f"GRANT USAGE ON SEQUENCE {', '.join(numbered)} TO {_OFFICER}, {_PAGE}",
        *(f"GRANT INSERT, UPDATE, DELETE ON {name} TO {_PAGE}" for name in _names(tables, SIGNED_IN)),
        "REVOKE ALL ON FUNCTION archive_to_ledger(), archive_key_to_ledger(), archive_deletes() FROM PUBLIC",
        # It runs with the owner's rights, and shows what the views show.
        "REVOKE ALL ON FUNCTION archive_search(text, integer) FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION archive_search(text, integer) TO {others}",
    ]


def _erasers(tables: set[str]) -> list[str]:
    """What deletes has these beside archive_writer; what pulls empties hashes, and cleans up behind deletion."""
    if "tombstones" not in tables:
        return []
    added = ("approvals", *_names(tables, DELETED))
    numbered = ", ".join(f"{name}_id_seq" for name in added)
    return [
        "GRANT UPDATE (sha256) ON pages TO archive_writer",
        "GRANT UPDATE (reapply_since) ON lifecycle TO archive_writer",
        "GRANT DELETE ON blob_wipes TO archive_writer",
        f"GRANT INSERT ON {', '.join(added)}, blob_wipes TO {_ERASER}",
        f"GRANT USAGE ON SEQUENCE {numbered} TO {_ERASER}",
        *(f"GRANT UPDATE ({', '.join(columns)}) ON {name} TO {_ERASER}" for name, columns in _HUSK.items()),
        f"GRANT DELETE ON {', '.join(_DELETED_FROM)} TO {_ERASER}",
    ]


def _readers(tables: set[str]) -> list[str]:
    """What every reader sees: the views, and of the tables all but what `_SECRETS` names and who exported what."""
    open_tables = sorted(tables - _SECRETS.keys() - _LOGS)
    grants = [f"GRANT SELECT ON {', '.join((*VIEWS, *open_tables))} TO {_READER}, {_OFFICER}"]
    for name, secrets in _SECRETS.items():
        if name not in tables:
            continue
        columns = ", ".join(
            f'"{column.name}"' for column in metadata.tables[name].columns if column.name not in secrets
        )
        grants.append(f"GRANT SELECT ({columns}) ON {name} TO {_READER}, {_OFFICER}")
    return grants


def _schema(tx: Tx) -> str:
    """Where the archive lies, as SQL writes it."""
    place = "SELECT quote_ident(n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    return str(tx.conn.exec_driver_sql(f"{place} WHERE c.oid = 'messages'::regclass").scalar_one())


def _sequences(tx: Tx) -> list[str]:
    """Those of this program alone: others may have theirs in the same schema."""
    of_columns = (
        "SELECT d.objid::regclass::text FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'"
        " WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass"
        " AND d.deptype IN ('a', 'i') AND d.refobjid = to_regclass(%s)"
    )
    return [
        "page_ids",
        *(name for table in _tables(tx) for name in tx.conn.exec_driver_sql(of_columns, (table,)).scalars()),
    ]


def _tables(tx: Tx) -> list[str]:
    """Those of this program that the database has: a schema may be older than the program."""
    ours = (*metadata.tables, "alembic_version")
    return [name for name in ours if tx.conn.exec_driver_sql("SELECT to_regclass(%s)", (name,)).scalar()]


def _views(tx: Tx) -> list[str]:
    """As `_tables`."""
    return [name for name in ALL_VIEWS if tx.conn.exec_driver_sql("SELECT to_regclass(%s)", (name,)).scalar()]


def _names(tables: set[str], *kinds: str) -> list[str]:
    return sorted(table.name for table in of_kind(*kinds) if table.name in tables)


def needed(tx: Tx) -> dict[str, tuple[str, ...]]:
    """What a login that pulls must be able to do with every table; what holds messages comes first."""
    tables = set(_tables(tx))
    ranked = sorted(tables, key=lambda name: (not name.startswith("message"), len(name), name))
    rights: dict[str, tuple[str, ...]] = dict.fromkeys(ranked, ("SELECT",))
    rights |= dict.fromkeys(_names(tables, EVIDENCE, JUDGED, DERIVED), ("SELECT", "INSERT"))
    return rights | dict.fromkeys(_names(tables, STATE), ("SELECT", "INSERT", "UPDATE"))
