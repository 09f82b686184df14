"""Creates and upgrades the schema, by Alembic and by nothing else; and says when program and schema do not fit."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from archiver.errors import DatabaseRefused, SchemaMismatch
from archiver.store import fitness, troubles
from archiver.store.admin import comments
from archiver.store.engine import Store, Tx
from archiver.store.schema import metadata

_PACKAGE = Path(__file__).resolve().parents[2]
HEAD = "0019"
"""The revision this program works with: written down, so that a pull need not import Alembic to look it up."""


def migrations() -> Path:
    """Where the migrations lie: inside the package in a wheel, beside it in a checkout."""
    inside = _PACKAGE / "migrations"
    return inside if inside.is_dir() else _PACKAGE.parent / "migrations"


def upgrade(store: Store, revision: str = "head") -> None:
    """Bring the schema to `revision`, all of it or nothing. Raises UsageError where this database is not for that."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(migrations()).replace("%", "%%"))
    with store.read() as tx:
        state = _look(tx)
        if state.revision != HEAD and tx.postgres:
            _check_schema(tx, state)
    config.attributes["schema"] = state.schema
    try:
        with store.engine.connect() as conn:
            config.attributes["connection"] = conn.execution_options(archiver_begin="IMMEDIATE")
            command.upgrade(config, revision)
        if store.engine.dialect.name == "postgresql":
            with store.patient.write() as tx:
                comments.write(tx)
    except CommandError:
        raise SchemaMismatch(
            "the database has a schema that this program does not know", hint="install the newest archiver"
        ) from None
    except SQLAlchemyError as error:
        refusal = troubles.ours(error, store.engine.url.database)
        if getattr(getattr(error, "orig", None), "sqlstate", None) == "42501":
            refusal.hint = "run it with the login that made the archive, or a member of archive_owner"
        raise refusal from None


def _check_schema(tx: Tx, state: _Found) -> None:
    """PostgreSQL makes new tables in the first schema of the search_path."""
    if state.revision is not None and state.schema != state.first:
        raise SchemaMismatch(
            f"the archive lies in schema {state.schema}, and new tables would go to {state.first}",
            hint=f"a search_path that begins with {state.schema}",
        )
    if not tx.conn.exec_driver_sql("SELECT has_schema_privilege(%s, 'CREATE')", (state.first,)).scalar():
        login = tx.conn.exec_driver_sql("SELECT quote_ident(current_user)").scalar()
        raise DatabaseRefused(
            f"this login may not create tables in schema {state.first}",
            hint=f"GRANT CREATE ON SCHEMA {state.first} TO {login}, or make that the owner of the database",
        )


def check(store: Store) -> None:
    """Refuse a schema that is not at head. Raises SchemaMismatch with the remedy."""
    with store.read() as tx:
        state = _look(tx)
    if state.revision == HEAD:
        return
    if state.revision is None and state.elsewhere is not None:
        raise SchemaMismatch(
            f"schema {state.first} has no archive yet; there is one in schema {state.elsewhere}",
            hint=f"archiver migrate, or a search_path that begins with {state.elsewhere}",
        )
    if state.revision is None:
        raise SchemaMismatch("the database has no archive yet", hint="archiver migrate")
    if state.revision in _known():
        raise SchemaMismatch(
            f"the database's schema is older ({state.revision}) than this program's ({HEAD})", hint="archiver migrate"
        )
    raise SchemaMismatch(
        f"the database's schema ({state.revision}) is newer than this program, which knows {HEAD}",
        hint="install the newest archiver",
    )


def current(store: Store) -> str | None:
    """The revision the database is at; None for an empty one. Raises UsageError where it cannot have an archive."""
    with store.read() as tx:
        return _look(tx).revision


class _Found(NamedTuple):
    """What revision there is. On PostgreSQL also in which schema, where new tables would go, and who else has one."""

    revision: str | None
    schema: str | None = None
    first: str | None = None
    elsewhere: str | None = None


_OURS = "late_arrivals"
"""A table that no other program has, and every archive."""
_PLACES = """
SELECT p.name, to_regclass(quote_ident(p.name) || '.alembic_version')::text,
       to_regclass(quote_ident(p.name) || '.late_arrivals') IS NOT NULL,
       strpos(current_setting('search_path'), '"$user"') > 0
FROM unnest(current_schemas(false)) WITH ORDINALITY AS p (name, place) ORDER BY p.place
"""


_OUT_OF_SIGHT = """
SELECT min(quote_ident(n.nspname)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class v ON v.relnamespace = n.oid AND v.relname = 'alembic_version' WHERE c.relname = 'late_arrivals'
"""


def _look(tx: Tx) -> _Found:
    fitness.check(tx.conn.connection.driver_connection, postgres=tx.postgres)
    if not tx.postgres:
        names = set(tx.conn.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
        return _Found(_revision(tx, "alembic_version", ours=_OURS in names) if "alembic_version" in names else None)
    places = tx.conn.exec_driver_sql(_PLACES).all()
    if not places:
        raise SchemaMismatch(
            "the search_path names no schema that is there and that this login may use",
            hint="CREATE SCHEMA, and GRANT USAGE on it; or another search_path",
        )
    first = places[0].name
    having = [(name, table, ours) for name, table, ours, _ in places if table is not None]
    if not having:
        return _Found(None, first, first, elsewhere=tx.conn.exec_driver_sql(_OUT_OF_SIGHT).scalar())
    name, table, ours = having[0]
    # A schema named by hand is where the archive shall be, though another archive is in sight behind it. The one of the
    # login's own name may just happen to be there.
    if name == first or places[0][3]:
        return _Found(_revision(tx, table, ours=ours), name, first)
    return _Found(None, first, first, elsewhere=name if ours else None)


def _revision(tx: Tx, table: str, *, ours: bool) -> str | None:
    """What stands in Alembic's table, which other programs have as well."""
    revision: str | None = tx.conn.exec_driver_sql(f"SELECT version_num FROM {table}").scalar()  # noqa: S608 - quoted by the server
    if revision is None or ours:
        return revision
    own = "database, or a schema (search_path)," if tx.postgres else "file"
    raise SchemaMismatch(
        f"the table alembic_version here belongs to another program, and is at its revision {revision}",
        hint=f"give the archive a {own} of its own",
    )


@cache
def _known() -> frozenset[str]:
    return frozenset(path.name.split("_")[0] for path in (migrations() / "versions").glob("[0-9]*_*.py"))


__all__ = ["HEAD", "check", "current", "metadata", "migrations", "upgrade"]
