"""What `doctor` asks of a database: what it is, what this login may do, and what text search needs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from archiver.store import sqlite
from archiver.store.admin import roles
from archiver.store.engine import Store, Tx, file_of


def version(tx: Tx) -> str:
    """Which database this is."""
    if tx.postgres:
        number = tx.conn.exec_driver_sql("SHOW server_version").scalar_one()
        return f"PostgreSQL {number}"
    return f"SQLite {tx.conn.exec_driver_sql('SELECT sqlite_version()').scalar_one()}"


def missing_rights(store: Store) -> list[str]:
    """What a login that pulls must be able to do, and this one cannot; empty when all is well."""
    if store.engine.dialect.name == "sqlite":
        with store.write() as tx:  # takes the lock that a pull takes, and changes nothing
            readable = tx.conn.exec_driver_sql("PRAGMA query_only").scalar()
        return ["write to the file"] if readable else []
    with store.read() as tx:
        return [
            f"{right} on {table}"
            for table, rights in roles.needed(tx).items()
            for right in rights
            if not tx.conn.scalar(sa.select(sa.func.has_table_privilege(table, right)))
        ]


def search_problem(tx: Tx) -> str | None:
    """Why search in the texts cannot work here; None where it can."""
    if tx.postgres:
        encoding = tx.conn.exec_driver_sql("SHOW server_encoding").scalar_one()
        return None if encoding == "UTF8" else f"the database's encoding is {encoding}, not UTF8"
    options = set(tx.conn.exec_driver_sql("PRAGMA compile_options").scalars())
    return None if "ENABLE_FTS5" in options else "this SQLite was built without FTS5"


class Risk(NamedTuple):
    """What may undo a commit that the archive was promised, and what to do against it."""

    text: str
    remedy: str


def read_only(tx: Tx) -> Risk | None:
    """Why the server takes no writes from this login. Left as it is: an operator may be moving the database."""
    if not tx.postgres:
        return None
    if tx.conn.scalar(sa.select(sa.func.pg_is_in_recovery())):
        return Risk("this server is a standby", "all hosts in [database] url, and ?target_session_attrs=read-write")
    by = tx.conn.exec_driver_sql(
        "SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only' AND setting = 'on'"
    ).scalar()
    if by is None:
        return None
    return Risk(f"default_transaction_read_only is on, set by {by}", "RESET it there, if nobody is moving the database")


_AT_A_CRASH = (
    ("fsync", "a crash of its machine may destroy the database"),
    ("full_page_writes", "a crash of its machine may leave pages of the database half written"),
)
_STANDBYS = "SELECT count(*) FROM pg_stat_replication WHERE coalesce(state, '') <> 'backup'"


def risks(tx: Tx) -> list[Risk]:
    """What the server's settings risk: the protocol builds on a database that keeps what it has committed."""
    if not tx.postgres:
        return []
    known = [
        Risk(f"{name} is off: {what}", f"{name} = on in postgresql.conf")
        for name, what in _AT_A_CRASH
        if _setting(tx, name) == "off"
    ]
    usual = _setting(tx, "synchronous_commit")
    if usual in ("off", "local", "remote_write"):
        text = f"synchronous_commit is {usual}: the archiver's own commits are made with on, others' may be lost"
        known.append(Risk(text, "synchronous_commit = on, for whatever else writes into this database"))
    standbys = int(tx.conn.exec_driver_sql(_STANDBYS).scalar_one())
    if (replays := _setting(tx, "session_replication_role")) != "origin":
        text = (
            f"session_replication_role is {replays} for this login: the archiver's own writes are made with origin, "
            "others' pass by the audit log's guard and all keys"
        )
        known.append(Risk(text, "ALTER ROLE or ALTER DATABASE ... RESET session_replication_role"))
    names = _setting(tx, "synchronous_standby_names")
    if standbys and not names:
        text = f"none of the {standbys} standbys connected is synchronous: a fail-over may lose the last commits"
        known.append(Risk(text, "synchronous_standby_names in postgresql.conf"))
    if names and not standbys:
        text = "commits wait for a synchronous standby, and none is connected"
        known.append(Risk(text, "start the standby, or take it out of synchronous_standby_names"))
    return known


def _setting(tx: Tx, name: str) -> str:
    return str(tx.conn.scalar(sa.select(sa.func.current_setting(name))))


def files(url: str) -> list[Path]:
    """The files of an SQLite archive that are there; none for a server's."""
    path = file_of(url)
    return [] if path is None else [file for file in sqlite.files(path) if file.exists()]


def foreign_files(url: str) -> list[Risk]:
    """Companions of an SQLite archive that stop its owner, as another account has made them."""
    path = file_of(url)
    return [] if path is None else [Risk(one.text, one.remedy) for one in sqlite.foreign(path)]


def check_room(url: str) -> None:
    """Raises DiskNearlyFull for the disk under an SQLite archive; asks nothing of the database."""
    if (path := file_of(url)) is not None and path.parent.is_dir():
        sqlite.check_room(path)


def journal(store: Store) -> str | None:
    """Where the files of an SQLite archive lie on a file system that cannot share memory: WAL fails there."""
    path = store.engine.url.database
    if store.engine.dialect.name != "sqlite" or not path:
        return None
    with store.read() as tx:
        mode = tx.conn.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    return None if mode == "wal" else f"{Path(path).parent}: the journal's mode is {mode}, not WAL"
