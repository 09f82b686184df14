"""Who may do what on PostgreSQL, tried statement by statement, and the program at work as archive_writer."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from archiver.store.admin import migrate
from archiver.store.admin.roles import create
from archiver.store.schema import ALL_VIEWS, AUDITORS_VIEWS, VIEWS, metadata
from tests.export.samples import said
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database, fresh_postgres
from tests.fixtures.store import open_database
from tests.postgres import Postgres

DECISIONS = (
    *("requests", "request_items", "approvals", "retention_terms"),
    *("hold_events", "hold_conversations", "hold_items", "request_drafts"),
)
"""What persons decide: nobody who pulls adds to it."""
DELETED = ("tombstones", "expired_before")
"""What is gone: who deletes adds to it."""
EVIDENCE = (
    *("messages", "message_bodies", "message_revisions", "pages", "late_arrivals", "audit_log", "revision_bodies"),
    *("seals", "ledger", "ledger_nodes", "checkpoints", "anchorings", "evidence_log", "looks", "look_conversations"),
    *DECISIONS,
    *DELETED,
)
GUARDED = {
    "messages": {"raw"},
    "message_bodies": {"secret", "thumb_secret", "extra"},
    "message_revisions": {"raw"},
    "revision_bodies": {"secret", "thumb_secret", "extra"},
    "quarantine": {"raw"},
    "seals": {"seeds"},
    "events": {"raw"},
    "callback_signatures": {"signature"},
    "tombstones": {"msg_id", "leaf"},
}
"""What readers may not see, neither as it came nor where a secret may lie in it."""
LOGS = ("audit_log", "evidence_log", "looks", "look_conversations", "review_sessions", *DECISIONS)
MAY_CHANGE = {
    ("archive_writer", "quarantine"): {"reason", "seen", "resolved_at"},
    ("archive_writer", "pages"): {"sha256"},  # to nothing: a trigger refuses the rest
}
ROLES = ("archive_writer", "archive_auditor", "archive_officer", "archive_reader")


@pytest.fixture
def governed(postgres_database: Database) -> Database:
    """An archive with its roles, twice made: an upgrade runs the same command again."""
    store = open_database(postgres_database)
    create(store)
    create(store)
    store.dispose()
    return postgres_database


def may(database: Database, role: str, statement: str) -> bool:
    """Whether a role may; what was done is rolled back."""
    with psycopg.connect(database.url) as conn:
        conn.execute(f"SET ROLE {role}")
        try:
            conn.execute(statement)
        except errors.InsufficientPrivilege:
            return False
        finally:
            conn.rollback()
        return True


@pytest.mark.parametrize("role", [ROLES[0], *(pytest.param(role, marks=pytest.mark.full) for role in ROLES[1:])])
def test_nobody_changes_or_deletes_what_was_archived(governed: Database, role: str) -> None:
    for table in (*EVIDENCE, "quarantine"):
        columns = {each.name for each in metadata.tables[table].columns}
        free = MAY_CHANGE.get((role, table), set())
        for column in sorted(columns):
            allowed = may(governed, role, f'UPDATE {table} SET "{column}" = "{column}"')
            assert allowed == (column in free), (table, column)
        for statement in (
            f"DELETE FROM {table}",
            f"TRUNCATE {table} CASCADE",
            f"DROP TABLE {table} CASCADE",
            f"ALTER TABLE {table} ADD COLUMN x int",
            f"ALTER TABLE {table} DISABLE TRIGGER ALL",
            f"CREATE RULE r AS ON INSERT TO {table} DO INSTEAD NOTHING",
            f"ALTER TABLE {table} OWNER TO {role}",
        ):
            assert not may(governed, role, statement), statement
        assert _granted_nothing(governed, role, table)


def _granted_nothing(database: Database, role: str, table: str) -> bool:
    """A GRANT without the right to is a warning in PostgreSQL, and no error."""
    with psycopg.connect(database.url) as conn:
        conn.execute(f"SET ROLE {role}")
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege), conn.transaction():
            conn.execute(f"GRANT DELETE ON {table} TO {role}")  # an error where the role holds nothing at all
        conn.execute("RESET ROLE")
        found = conn.execute("SELECT has_table_privilege(%s, %s, 'DELETE')", (role, table)).fetchone()
        conn.rollback()
    return found == (False,)


GRANTED = """
SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants
WHERE grantee IN ('archive_writer', 'archive_auditor', 'archive_officer', 'archive_reader')
  AND (table_name = ANY (string_to_array('{}', ' '))) ORDER BY 1, 2, 3
"""


@pytest.mark.full
def test_an_upgrade_grants_what_the_roles_would_have(postgres: Postgres, governed: Database) -> None:
    """Where the roles were made before: who pulls decides nothing, also what it might before."""
    made_anew = governed.rows(GRANTED.format(" ".join((*DECISIONS, *DELETED, "holds_in_force"))))
    with fresh_postgres(postgres, empty=True) as database:
        store = open_database(database)
        migrate.upgrade(store, "0006")
        for table in ("audit_log", "requests", "approvals"):
            database.run(f"GRANT SELECT, INSERT ON {table} TO archive_writer, archive_officer")
            database.run(f"GRANT SELECT ON {table} TO archive_auditor")
        database.run("GRANT SELECT ON sources TO archive_writer, archive_auditor, archive_officer, archive_reader")
        database.run("GRANT SELECT ON quarantine TO archive_writer, archive_auditor")
        migrate.upgrade(store)
        store.dispose()
        assert database.rows(GRANTED.format(" ".join((*DECISIONS, *DELETED, "holds_in_force")))) == made_anew
        for name in ("hold_events_id_seq", "retention_terms_id_seq"):
            assert database.value(f"SELECT has_sequence_privilege('archive_officer', '{name}', 'USAGE')")


def test_the_owner_owns_everything(governed: Database) -> None:
    owners = governed.rows(
        "SELECT c.relname, r.rolname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind IN ('r', 'v', 'S')"
    )
    assert {owner for _, owner in owners} == {"archive_owner"}
    assert {name for name, _ in owners} >= {*metadata.tables, *ALL_VIEWS, "alembic_version", "page_ids"}


@pytest.mark.full
def test_each_role_reads_what_it_is_for(governed: Database) -> None:
    for table in metadata.tables:
        assert may(governed, "archive_writer", f"SELECT * FROM {table}")
        assert may(governed, "archive_auditor", f"SELECT * FROM {table}")
        assert not may(governed, "archive_auditor", f"INSERT INTO {table} DEFAULT VALUES")
        assert may(governed, "archive_reader", f"SELECT * FROM {table}") == (table not in (*GUARDED, *LOGS))
    for table, columns in GUARDED.items():
        for column in metadata.tables[table].columns:
            for role in ("archive_reader", "archive_officer"):
                of_a_copy = role == "archive_officer" and table.startswith(("message", "revision"))
                allowed = column.name not in columns or of_a_copy
                assert may(governed, role, f'SELECT "{column.name}" FROM {table}') == allowed, (role, column)
    for view in AUDITORS_VIEWS:
        assert may(governed, "archive_auditor", f"SELECT * FROM {view}")
        assert not may(governed, "archive_officer", f"SELECT * FROM {view}")
        assert not may(governed, "archive_reader", f"SELECT * FROM {view}")
    assert may(governed, "archive_officer", "SELECT * FROM holds_in_force")
    assert not may(governed, "archive_reader", "SELECT * FROM holds_in_force")
    for table in DECISIONS:
        for role in ROLES:
            assert may(governed, role, f"INSERT INTO {table} SELECT * FROM {table}") == (role == "archive_officer")
    for view in VIEWS:
        assert may(governed, "archive_reader", f"SELECT * FROM {view}")
        columns = {row[0] for row in governed.rows(
            "SELECT column_name FROM information_schema.columns WHERE table_name = ?", view
        )}  # fmt: skip
        assert not columns & {"raw", "secret", "thumb_secret", "digest"}


HUSK = {
    "messages": {"raw", "digest", "sender", "recipient", "conversation", "ext", "lossy", "withheld"},
    "seals": {"seeds"},
    "pages": {"sha256"},
    "quarantine": {"raw", "digest", "reason", "resolved_at", "withheld"},
    "windows": {"file_sha256"},
    "attachments": {"url", "sha256", "state", "reason", "size", "declared_length", "media_type", "fence"},
    "attachment_attempts": {"reason"},
    "lifecycle": {"reapply_since"},
}
GOES = {
    *("messages", "message_bodies", "message_revisions", "revision_bodies", "late_arrivals", "attachments"),
    *("attachment_attempts", "search_texts", "search_queue", "events", "blob_wipes"),
}


@pytest.mark.full
def test_who_erases_may_do_that_and_nothing_else(governed: Database) -> None:
    for name, table in metadata.tables.items():
        if name == "ledger_head":
            continue
        assert may(governed, "archive_eraser", f"SELECT * FROM {name}")
        adds = name in (*DELETED, "approvals", "blob_wipes")
        assert may(governed, "archive_eraser", f"INSERT INTO {name} SELECT * FROM {name}") == adds, name
        assert may(governed, "archive_eraser", f"DELETE FROM {name} WHERE false") == (name in GOES), name
        for column in table.columns:
            statement = f'UPDATE {name} SET "{column.name}" = "{column.name}" WHERE false'
            assert may(governed, "archive_eraser", statement) == (column.name in HUSK.get(name, ())), column
    for name in DELETED:
        for role in ROLES:
            assert not may(governed, role, f"INSERT INTO {name} SELECT * FROM {name}")


@pytest.mark.full
def test_the_program_runs_as_archive_writer(
    governed: Database,
    postgres: Postgres,
    make_archive: MakeArchive,
) -> None:
    login = f"writer_of_{governed.url.rpartition('archiver_')[2].partition('?')[0]}"
    postgres.run(f"CREATE ROLE {login} LOGIN IN ROLE archive_writer")
    try:
        as_writer = Database("postgresql", governed.url.replace("postgres@", f"{login}@"))
        archive: Archive = make_archive(as_writer, messages=60)
        archive.server.add(b'{"broken": 1}', timestamp_ms=archive.server.start_ms + 1000, visible_ms=0)
        assert archive("pull", audits=["1h"]) == 0
        assert archive("pull", audits=["1h", "24h"]) == 0
        assert (
            archive("audit", "--from", str(archive.server.start_ms), "--to", str(archive.server.start_ms + 1000)) == 0
        )
        assert archive("quarantine", "requeue") == 0
        assert archive("status") == archive("coverage") == 0
        assert archive.status()["messages"] == 60
        assert archive("migrate", "--roles") == 2, "the writer cannot make itself more"
        assert "may not create roles" in archive.errors
    finally:
        governed.run(f"DROP OWNED BY {login}")
        postgres.run(f"DROP ROLE {login}")


READ_BY_COMMAND = (
    ("status",),
    ("status", "--format", "prometheus"),
    ("coverage",),
    ("statement",),
    ("search", "a"),
    ("conversation", "iris", "xingchen"),
)


def as_role(archive: Archive, database: Database, role: str) -> None:
    """The configuration of somebody who logs in with this role alone."""
    archive.write_config()
    url = f"{database.url}{'&' if '?' in database.url else '?'}options=-crole%3D{role}"
    archive.config.write_text(archive.config.read_text().replace(database.url, url))


@pytest.fixture
def pulled(governed: Database, make_archive: MakeArchive) -> Archive:
    archive = make_archive(governed, messages=30)
    for sender, recipient in (("iris", "xingchen"), ("xingchen", "iris")):
        more = {"from": sender, "to": recipient}
        archive.server.add(said(sender, "a", archive.server.start_ms, **more), visible_ms=0)
    assert archive("pull") == 0
    return archive


@pytest.mark.full
def test_whose_commands_are_for_whom(pulled: Archive, governed: Database, tmp_path: Path) -> None:
    """As docs/operations.md has it: every role reads, and those export that may leave a trace of it."""
    answers: dict[str, list[str]] = {}
    for role in ROLES:
        as_role(pulled, governed, role)
        answers[role] = []
        for command in READ_BY_COMMAND:
            assert pulled(*command) == 0, (role, command, pulled.errors)
            answers[role] += [pulled.output] if command[0] in ("search", "conversation") else []
        for form in ("jsonl", "csv", "html"):
            code = pulled("export", "--format", form, "--output", str(tmp_path / f"{role}-{form}"))
            assert code == (0 if role in ("archive_writer", "archive_officer") else 2), (role, form)
            assert code == 0 or "archive_officer to export, to decide" in " ".join(pulled.errors.split())
        assert pulled("pull") == (0 if role == "archive_writer" else 2), (role, pulled.errors)
        assert role == "archive_writer" or "archive_writer to pull" in " ".join(pulled.errors.split())
    assert answers["archive_reader"] == answers["archive_auditor"] == answers["archive_writer"]
    assert pulled.database.value("SELECT count(*) FROM audit_log WHERE outcome = 'done'") == 6


@pytest.mark.full
def test_a_reader_reads_what_the_index_lacks_and_revisions(pulled: Archive, governed: Database) -> None:
    start = pulled.server.start_ms
    edited = said("iris", "an edited needle", start, **{"from": "iris", "to": "xingchen"})
    pulled.server.add(edited, timestamp_ms=start, visible_ms=0)
    assert pulled("audit", "--from", str(start), "--to", str(start + 60_000)) in (0, 3)
    for role in ("archive_writer", "archive_reader"):
        as_role(pulled, governed, role)
        assert pulled("search", "needle") == 0
        assert "(revision 1) an edited needle" in " ".join(pulled.output.split()), role
        assert pulled("conversation", "iris", "xingchen") == 0
        assert "an edited needle" in pulled.output, role
