"""PostgreSQL's roles: who may write what. Nobody but the owner can change or delete a message once it is stored.

`archive_owner` really owns the schema's objects, so that no login does: a grant can be taken back, what an owner may do
cannot. The login that migrates is a member of it.

On one server all of it is one transaction. A cluster makes and alters roles and functions over a single connection to
each machine, and refuses that in a transaction that has touched shards over several: there each step is a transaction,
in an order in which one that was cut short leaves nobody more rights than before, and can be run again.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError

from archiver.errors import UsageError
from archiver.store.admin import citus
from archiver.store.admin.rights import ERASER, OTHERS, READ_BY_VIEWS, READER, ROLES, granted, names, numbered
from archiver.store.engine import Store, Tx
from archiver.store.schema import ALL_VIEWS, DERIVED, EVIDENCE, JUDGED, STATE, metadata

_LOGIN, _NOLOGIN = "LOGIN", "NOLOGIN"
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
    "archive_item_rules": "",
    "archive_place": "",
    "archive_draft_rules": "",
    "archive_is_page": "name",
    "archive_note_conversations": "",
    "archive_places": "",
    "archive_expires": "messages, bigint, integer",
    "archive_erases": "integer, text",
}


Step = tuple[str, ...]
"""Statements that belong together: nobody may see the archive between them."""


def create(store: Store) -> None:
    """Create the roles where they are missing, and grant them what they need and no more.

    Raises UsageError on SQLite, and where this login may not do it.
    """
    if store.engine.dialect.name != "postgresql":
        raise UsageError("--roles: SQLite has no roles", hint="protect the file itself; archiver migrate")
    with store.read() as tx:
        on_cluster = citus.is_there(tx)
    if on_cluster:
        _create_on_cluster(store)
        return
    with store.patient.write() as tx:
        for steps in (_roles(tx, _NOLOGIN), _membership(tx), _rights(tx)):
            for step in steps:
                _run(tx, step)


def _create_on_cluster(store: Store) -> None:
    """On a cluster roles may log in: Citus connects to its machines in the name of the role in force, which is the
    owner where archive_search runs with its rights, or whom somebody has become by SET ROLE. None has a password.
    """
    with store.read() as tx:
        pending = list(_roles(tx, _LOGIN))
    _run_one_by_one(store, pending)
    for role in ROLES:
        with store.patient.write() as tx:
            citus.ensure_role(tx, role)
    for steps in (_membership, _rights):  # asked for when the roles are there
        with store.read() as tx:
            pending = list(steps(tx))
        _run_one_by_one(store, pending)
    with store.read() as tx:
        tables = READ_BY_VIEWS if citus.is_distributed(tx) else {}
    for name, columns in tables.items():
        with store.patient.write() as tx:
            citus.on_shards(tx, name, f"GRANT SELECT ({columns}) ON %s TO {READER}")


def _run_one_by_one(store: Store, steps: list[Step]) -> None:
    for step in steps:
        with store.patient.write() as tx:
            citus.one_connection(tx)
            _run(tx, step)


def _run(tx: Tx, step: Step) -> None:
    try:
        for statement in step:
            tx.conn.exec_driver_sql(statement)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":
            raise
        hint = "run it as a superuser, or as the owner of the database with CREATEROLE; where another login made"
        hint += " the roles for another archive: GRANT archive_owner TO this one WITH ADMIN OPTION"
        raise UsageError("--roles: this login may not create roles or hand tables over", hint=hint) from None


def are_there(tx: Tx) -> bool:
    """Whether this archive belongs to the roles, as `create` leaves it."""
    owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass('messages')"
    return bool(tx.postgres and tx.conn.exec_driver_sql(owner).scalar() == ROLES[0])


def to_repeat(store: Store) -> bool:
    """Whether an upgrade is to be followed by `create`: on a cluster with roles, whose machines know no new tables."""
    with store.read() as tx:
        return citus.is_there(tx) and are_there(tx)


def take_back(tx: Tx) -> None:
    """Give everything to this login, and the roles no rights, until `create` is called again.

    Citus makes shards in the name of the owner, who must be able to log in, and grants there what is granted.
    """
    tables, views = _tables(tx), _views(tx)
    owned = [*(f"TABLE {name}" for name in tables), *(f"VIEW {name}" for name in views), "SEQUENCE page_ids"]
    owned += [f"FUNCTION {name}({types})" for name, types in _FUNCTIONS.items()]
    _run(tx, tuple(f"ALTER {what} OWNER TO CURRENT_USER" for what in owned))
    _run(tx, tuple(f"REVOKE ALL ON {name} FROM {OTHERS}" for name in (*tables, *views)))


def _roles(tx: Tx, may: str) -> Iterator[Step]:
    """Those that are missing, and on a cluster those that cannot log in: they may be older than it."""
    for role in ROLES:
        can_log_in = tx.conn.exec_driver_sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", (role,)).scalar()
        if can_log_in is None:
            yield (f"CREATE ROLE {role} {may}",)
        elif may == _LOGIN and not can_log_in:
            yield (f"ALTER ROLE {role} {may}",)


def _membership(tx: Tx) -> Iterator[Step]:
    member = "SELECT pg_has_role(current_user, 'archive_owner', 'USAGE')"
    if not tx.conn.exec_driver_sql(member).scalar():
        yield ("GRANT archive_owner TO CURRENT_USER",)


def _rights(tx: Tx) -> Iterator[Step]:
    """Everything in the schema goes to archive_owner, sequences of columns with their tables; then who may do what."""
    schema, tables, views = _schema(tx), _tables(tx), _views(tx)
    yield (f"GRANT USAGE, CREATE ON SCHEMA {schema} TO archive_owner",)
    yield from ((f"ALTER TABLE {name} OWNER TO archive_owner",) for name in tables)
    yield from ((f"ALTER VIEW {name} OWNER TO archive_owner",) for name in views)
    yield ("ALTER SEQUENCE page_ids OWNER TO archive_owner",)
    yield from ((f"ALTER FUNCTION {name}({types}) OWNER TO archive_owner",) for name, types in _FUNCTIONS.items())
    yield (f"GRANT USAGE ON SCHEMA {schema} TO {OTHERS}",)
    grants: dict[str, list[str]] = {name: [] for name in (*tables, *views)}
    for name, what, who in granted(set(tables), views):
        grants[name].append(f"GRANT {what} ON {name} TO {who}")
    for name, statements in grants.items():  # from nothing, or what an earlier version granted would stay
        yield (f"REVOKE ALL ON {name} FROM PUBLIC, {OTHERS}", *statements)
    yield (f"GRANT USAGE ON SEQUENCE {', '.join(_sequences(tx))} TO archive_writer",)
    for role, of_tables in numbered(set(tables)).items():
        if of_tables:
            yield (f"GRANT USAGE ON SEQUENCE {', '.join(f'{name}_id_seq' for name in of_tables)} TO {role}",)
    yield ("REVOKE ALL ON FUNCTION archive_to_ledger(), archive_key_to_ledger(), archive_deletes() FROM PUBLIC",)
    # It notes for holds what is there, whoever calls it.
    yield (
        "REVOKE ALL ON FUNCTION archive_note_conversations() FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION archive_note_conversations() TO {ERASER}",
    )
    # It runs with the owner's rights, and shows what the views show.
    yield (
        "REVOKE ALL ON FUNCTION archive_search(text, integer) FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION archive_search(text, integer) TO {OTHERS}",
    )


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


def needed(tx: Tx) -> dict[str, tuple[str, ...]]:
    """What a login that pulls must be able to do with every table; what holds messages comes first."""
    tables = set(_tables(tx))
    ranked = sorted(tables, key=lambda name: (not name.startswith("message"), len(name), name))
    rights: dict[str, tuple[str, ...]] = dict.fromkeys(ranked, ("SELECT",))
    rights |= dict.fromkeys(names(tables, EVIDENCE, JUDGED, DERIVED), ("SELECT", "INSERT"))
    return rights | dict.fromkeys(names(tables, STATE), ("SELECT", "INSERT", "UPDATE"))
