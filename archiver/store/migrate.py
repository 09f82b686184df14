"""Creates and upgrades the schema, by Alembic and by nothing else; and says when program and schema do not fit."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from archiver.errors import DatabaseUnavailable, SchemaMismatch
from archiver.store import comments
from archiver.store.engine import Store, describe
from archiver.store.schema import metadata

_PACKAGE = Path(__file__).resolve().parent.parent
HEAD = "0002"
"""The revision this program works with: written down, so that a pull need not import Alembic to look it up."""


def migrations() -> Path:
    """Where the migrations lie: inside the package in a wheel, beside it in a checkout."""
    inside = _PACKAGE / "migrations"
    return inside if inside.is_dir() else _PACKAGE.parent / "migrations"


def upgrade(store: Store, revision: str = "head") -> None:
    """Bring the schema to `revision`, all of it or nothing."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(migrations()).replace("%", "%%"))
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
        raise DatabaseUnavailable(describe(error)) from None


def check(store: Store) -> None:
    """Refuse a schema that is not at head. Raises SchemaMismatch with the remedy."""
    found = current(store)
    if found == HEAD:
        return
    if found is None:
        raise SchemaMismatch("the database has no archive yet", hint="archiver migrate")
    if found in _known():
        raise SchemaMismatch(
            f"the database's schema is older ({found}) than this program's ({HEAD})", hint="archiver migrate"
        )
    raise SchemaMismatch(
        f"the database's schema ({found}) is newer than this program, which knows {HEAD}",
        hint="install the newest archiver",
    )


def current(store: Store) -> str | None:
    """The revision the database is at; None for an empty one."""
    with store.read() as tx:
        if not sa.inspect(tx.conn).has_table("alembic_version"):
            return None
        return tx.conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


@cache
def _known() -> frozenset[str]:
    return frozenset(path.name.split("_")[0] for path in (migrations() / "versions").glob("[0-9]*_*.py"))


__all__ = ["HEAD", "check", "current", "metadata", "migrations", "upgrade"]
