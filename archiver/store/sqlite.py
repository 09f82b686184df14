"""SQLite files: how they are opened for writing, and so for reading that a reader can never stop the writer.

In WAL mode whoever opens a database makes `-wal` and `-shm` beside it, and what a reader's account made, the writer's
cannot use. So only the account that owns the file opens it as SQLite would; others use the companions that are there,
and where there are none, nobody has the database open: then they read it without locks, and see that it stays as it is.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event

from archiver import host
from archiver.errors import ConfigurationError, DatabaseRefused, DatabaseUnavailable, DiskNearlyFull

# Rows come by time and go into indexes by people: with the 2 MB of cache that are usual, all take pages in and out,
# and what leaves the cache for the log within a transaction and changes again has its checksums made anew. A
# checkpoint writes most of those indexes, so there are few (a log of 128 MB). Larger pages are faster at first, and
# slower from half a million messages on.
_PRAGMAS = ("journal_mode=WAL", "foreign_keys=ON", "wal_autocheckpoint=32768", "secure_delete=ON")
LASTING = (*_PRAGMAS, "synchronous=FULL", "cache_size=-20000")
HASTY = (*_PRAGMAS, "synchronous=NORMAL", "cache_size=-200")
_READING = ("query_only=ON", "cache_size=-20000")


_LEAST_FREE, _ENOUGH_FREE = 16 * 2**20, 256 * 2**20


class Files(NamedTuple):
    """A database and its companions."""

    database: Path
    wal: Path
    shm: Path


def files(path: Path) -> Files:
    """By what a link leads to, as SQLite does."""
    real = _end(path)
    return Files(path, real.with_name(f"{real.name}-wal"), real.with_name(f"{real.name}-shm"))


def engine(url: str, pragmas: Sequence[str], **pooled: Any) -> sa.Engine:
    """For writing; `url`: SQLAlchemy's."""
    return _engine(url, pragmas, connect_args={"timeout": 30}, **pooled)


class Reading(NamedTuple):
    """How a file is read here. `check` raises DatabaseUnavailable where what was read may not be one snapshot."""

    engine: sa.Engine
    check: Callable[[], None]
    note: str | None
    """What people should know of it."""


def reading(url: str, path: Path) -> Reading:
    """For reading alone. Raises ConfigurationError for a file that is not there, DatabaseRefused for one that cannot be
    read in its folder."""
    if not _is_there(path):
        raise ConfigurationError(f"[database] url: there is no file {path} yet", hint="archiver migrate")
    parts = files(path)
    if _may_make_companions(parts):
        return Reading(_reader(url, path, "mode=ro"), lambda: None, None)
    if not _has_content(parts.wal) and not (parts.wal.exists() and parts.shm.exists()):
        before = _signature(path)
        note = f"{path} is read without locks: nobody has it open, and this account makes no files beside it"
        return Reading(_reader(url, path, "immutable=1"), lambda: _check_unchanged(path, before), note)
    if not parts.shm.exists():
        raise DatabaseRefused(
            f"{parts.wal} holds commits that are not in {path.name} yet, and they cannot be read in this folder",
            hint="copy both files into a folder of your own and read them there, or let the owner run archiver status",
        )
    return Reading(_reader(url, path, "mode=ro&readonly_shm=1"), lambda: None, None)


def make_private(path: Path) -> None:
    """SQLite makes its file by the umask, which lets everybody read; `-wal` and `-shm` take their rights from it."""
    with suppress(OSError):  # where it cannot be made, SQLite says so
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, host.file_mode()))


def check_place(path: Path) -> None:
    """Raises ConfigurationError unless the folder of the database can be entered, and no folder has its name.

    What SQLite says of a folder depends on the file system.
    """
    folder = path.parent
    try:
        if path.is_dir() and path != folder:
            raise ConfigurationError(f"[database] url: {path} is a folder", hint=f"a file in it: {path}/archive.db")
        if folder.is_dir():
            return
    except OSError as error:
        hint = "the rights to enter the folder, for the user who runs this"
        raise ConfigurationError(f"[database] url: {folder}: {error.strerror}", hint=hint) from None
    raise ConfigurationError(f"[database] url: there is no folder {folder}", hint=f"mkdir -p {folder}")


class Foreign(NamedTuple):
    """A companion that the account of the database cannot write, as another account has made it."""

    path: Path
    made_by: str
    database: Path
    database_of: str

    @property
    def text(self) -> str:
        return f"{self.path} belongs to {self.made_by}, and {self.database_of}, whose the archive is, cannot write it"

    @property
    def remedy(self) -> str:
        return f"chown --reference={shlex.quote(str(self.database))} {shlex.quote(str(self.path))}"


def foreign(path: Path) -> list[Foreign]:
    """Companions that stop the account to which the database belongs."""
    with suppress(OSError):
        parts = files(path)
        owner, group = parts.database.stat().st_uid, parts.database.stat().st_gid
        return [
            Foreign(part, host.account_of(part.stat().st_uid), path, host.account_of(owner))
            for part in parts[1:]
            if part.exists() and _stops(part.stat(), owner, group)
        ]
    return []


def _stops(companion: os.stat_result, owner: int, group: int) -> bool:
    shared = (companion.st_gid == group and companion.st_mode & stat.S_IWGRP) or companion.st_mode & stat.S_IWOTH
    return owner not in (0, companion.st_uid) and not shared


def check_room(path: Path) -> None:
    """Raises DiskNearlyFull while a transaction can still end well."""
    usage = shutil.disk_usage(path.parent)
    least = max(_LEAST_FREE, min(_ENOUGH_FREE, usage.total // 20))
    if usage.free < least:
        raise DiskNearlyFull(
            f"only {usage.free // 2**20} MiB are free beside {path}; {least // 2**20} are needed",
            hint="make room on that disk, or move the archive to a larger one: archiver copy",
        )


def may_write(path: Path) -> bool:
    """Whether this account can write a database, as far as its rights and those of its folder go."""
    real = _end(path)
    return os.access(real, os.W_OK) and os.access(real.parent, os.W_OK | os.X_OK)


def _end(path: Path) -> Path:
    """What a path leads to, links in a circle as well."""
    return Path(os.path.realpath(path))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise ConfigurationError(f"[database] url: {path}: {error.strerror}") from None


def _may_make_companions(parts: Files) -> bool:
    """What root makes beside a database, SQLite gives to its owner."""
    if not os.access(parts.wal.parent, os.W_OK | os.X_OK):
        return False
    return os.geteuid() in (0, parts.database.stat().st_uid)


def _has_content(path: Path) -> bool:
    with suppress(OSError):
        return path.stat().st_size > 0
    return False


def _signature(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _check_unchanged(path: Path, before: tuple[int, int, int]) -> None:
    """A writer that came leaves the file as it is until a checkpoint: until then this was one snapshot."""
    if _signature(path) != before:
        raise DatabaseUnavailable(f"{path} was written while it was read without locks", hint="the same command again")


def _reader(url: str, path: Path, how: str) -> sa.Engine:
    address = f"file:{quote(str(path.absolute()))}?{how}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, timeout=30, check_same_thread=False, uri=True)

    return _engine(url, _READING, creator=connect)


def _engine(url: str, pragmas: Sequence[str], **options: Any) -> sa.Engine:
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # or the driver begins transactions by itself, and late
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    made = sa.create_engine(url, hide_parameters=True, **options)
    event.listen(made, "connect", prepare)
    event.listen(made, "begin", _begin)
    return made


_STEPS = 10_000
"""Of SQLite's machine, between two looks at the clock: a few milliseconds at most."""


def _begin(conn: sa.Connection) -> None:
    options = conn.get_execution_options()
    writes = options.get("archiver_begin") in ("IMMEDIATE", "HASTY")
    if (limits := options.get("archiver_answers")) is not None:
        conn.exec_driver_sql(f"PRAGMA busy_timeout = {int(limits.writer_s * 1000)}")
        conn.exec_driver_sql(
            "PRAGMA cache_size = -4000"
        )  # of each thread that answers; the system caches the file as well
        _bound(conn.connection.driver_connection, limits.statement_s)
    conn.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _bound(connection: Any, within_s: float) -> None:
    """SQLite knows no time limit: what it works at is interrupted from within. Every connection has its own handler,
    which the next transaction replaces."""
    ends_at = time.monotonic() + within_s
    connection.set_progress_handler(lambda: time.monotonic() > ends_at, _STEPS)
