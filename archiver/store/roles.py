"""PostgreSQL's roles: who may write what. Nobody but the owner can change or delete a message once it is stored."""

from __future__ import annotations

from archiver.errors import UsageError
from archiver.store.engine import Store

_APPEND_ONLY = ("messages", "message_bodies", "message_revisions", "pages", "late_arrivals", "attachment_attempts")
_STATE = ("apps", "sources", "windows", "watermarks", "quarantine", "runs", "attachments", "rate_budgets")
_VIEWS = ("messages_readable", "conversations", "daily_counts", "coverage_holes")
_ROLES = ("archive_owner", "archive_writer", "archive_auditor", "archive_reader")


def create(store: Store) -> None:
    """Create the roles where they are missing, and grant each what it needs. Raises UsageError on SQLite."""
    if store.engine.dialect.name != "postgresql":
        raise UsageError("--roles: SQLite has no roles", hint="protect the file itself; archiver migrate")
    with store.write() as tx:
        for role in _ROLES:
            exists = tx.conn.exec_driver_sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'").first()  # noqa: S608
            if exists is None:
                tx.conn.exec_driver_sql(f"CREATE ROLE {role} NOLOGIN")
        for statement in _grants():
            tx.conn.exec_driver_sql(statement)


def _grants() -> list[str]:
    everything = ", ".join((*_APPEND_ONLY, *_STATE, *_VIEWS, "alembic_version"))
    return [
        f"GRANT ALL ON {everything} TO archive_owner",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO archive_owner",
        f"GRANT SELECT ON {everything} TO archive_writer, archive_auditor",
        f"GRANT INSERT ON {', '.join((*_APPEND_ONLY, *_STATE))} TO archive_writer",
        f"GRANT UPDATE ON {', '.join(_STATE)} TO archive_writer",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO archive_writer",
        f"GRANT SELECT ON {', '.join(_VIEWS)} TO archive_reader",
    ]
