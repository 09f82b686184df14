"""Connections and transactions on SQLite and PostgreSQL, at whose border the drivers' errors become ours.

A transaction that writes is opened as one (`BEGIN IMMEDIATE` on SQLite, where a reader that turns writer fails at
once), and after any error it is rolled back whole: SQLite ends a transaction silently when the disk is full, and
to go on would commit a watermark over nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.exc import DBAPIError, NoResultFound
from sqlalchemy.exc import TimeoutError as PoolTimeout

from archiver.errors import DatabaseUnavailable
from archiver.model import Page
from archiver.store import bulk, fitness, postgres, sqlite, troubles
from archiver.store.postgres import ArchiveLock, ServerLimits
from archiver.store.schema import page_ids, pages, seals

_SQLITE_NOW = sa.text("SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)")
_NEXT_PAGES = sa.select(page_ids.next_value()).select_from(
    sa.func.generate_series(1, sa.bindparam("count", type_=sa.Integer))
)
_POSTGRES_NOW = sa.text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)")


_LAST_PAGE = sa.select(sa.func.max(pages.c.id))
# Of a page that somebody deleted the seal is left: its number must not be given to another one.
_LAST_SEALED_PAGE = sa.select(
    sa.func.max(
        sa.func.coalesce(sa.select(sa.func.max(pages.c.id)).scalar_subquery(), 0),
        sa.func.coalesce(sa.select(sa.func.max(seals.c.page_id)).scalar_subquery(), 0),
    )
)

LIMITS = ServerLimits()


class AnswerLimits(NamedTuple):
    """For how many seconds whoever waits for an answer waits: for one statement, and for another writer."""

    statement_s: float = 10.0
    writer_s: float = 5.0


class Journal(Protocol):
    """What one transaction has to seal before it commits; see `store.seals`."""

    def add_windows(self, ids: Iterable[int]) -> None: ...

    def write(self, tx: Tx) -> None: ...


class Tx:
    """One open transaction, with the database's own clock.

    `journal`: what is to be sealed at its end; None where there is no ledger.
    """

    __slots__ = ("_clock", "_now_ms", "conn", "given", "journal", "postgres")

    def __init__(self, conn: sa.Connection, clock: Callable[[], int] | None, journal: Journal | None = None) -> None:
        self.conn = conn
        self.journal = journal
        self.postgres = conn.dialect.name == "postgresql"
        self.given = bulk.POSTGRES if self.postgres else bulk.SQLITE
        self._clock = clock
        self._now_ms: int | None = None

    def now_ms(self) -> int:
        """The database's clock: the only one that leases go by. Read once a transaction, as these are short."""
        if self._clock is not None:
            return self._clock()
        if self._now_ms is None:
            self._now_ms = int(self.conn.execute(_POSTGRES_NOW if self.postgres else _SQLITE_NOW).scalar_one())
        return self._now_ms

    def new_page_ids(self, count: int) -> list[int]:
        """So many ids, in ascending order, higher than all before."""
        if self.postgres:
            return list(self.conn.scalars(_NEXT_PAGES, {"count": count}))
        first = int(self.conn.execute(_LAST_PAGE if self.journal is None else _LAST_SEALED_PAGE).scalar_one() or 0) + 1
        return list(range(first, first + count))

    def changed(self, windows: Iterable[int]) -> None:
        """Note windows whose state is another one from now on, by their ids: their entries are written at the end."""
        if self.journal is not None:
            self.journal.add_windows(windows)

    def among(self, column: sa.ColumnElement[Any], values: Sequence[str]) -> sa.ColumnElement[bool]:
        """`column` is one of many texts, bound as one parameter: a thousand of them plan and parse like one."""
        return among(column, None, postgres=self.postgres, value=json.dumps(values))

    def insert(self, table: sa.Table) -> Insert:
        """An INSERT that can say ON CONFLICT, which both databases know in the same words."""
        return (postgresql.insert if self.postgres else sqlite_dialect.insert)(table)  # type: ignore[return-value]

    def append(self, table: sa.Table, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Add many rows in the driver's fastest way. For instants and JSON they hold what `given` makes of them.

        A row may leave out the columns at its end that are NULL. After an error some of the rows may be there.
        """
        rows = iter(rows)
        first = next(rows, None)
        if first is None:
            return
        dbapi = self.conn.dialect.loaded_dbapi
        cursor = self.conn.connection.cursor()
        try:
            write = bulk.copy if self.postgres else bulk.insert
            write(cursor, table, columns, chain((first,), rows))
        except (dbapi.Error, UnicodeError, OverflowError, TypeError) as error:
            # Raised as SQLAlchemy would, so that there is one kind of database error to handle.
            cause = error if isinstance(error, dbapi.Error) else dbapi.DataError(type(error).__name__)
            if self.conn.dialect.is_disconnect(cause, self.conn.connection.dbapi_connection, cursor):
                self.conn.invalidate(cause)  # or the way back out of the transaction fails, and tells of nothing else
            raise DBAPIError.instance(
                f"append to {table.name}", None, cause, dbapi.Error, hide_parameters=True
            ) from None
        finally:
            cursor.close()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        with self.conn.begin_nested():
            yield


def among(
    column: sa.ColumnElement[Any], name: str | None, *, postgres: bool, value: str | None = None
) -> sa.ColumnElement[bool]:
    """As `Tx.among`, for a statement that is built once and given `name` later: a JSON list of texts."""
    listed = sa.bindparam(name, value, sa.Text)
    if postgres:  # an array of the driver's making costs more than all else that is asked of it
        texts = sa.select(sa.func.json_array_elements_text(sa.cast(listed, postgresql.JSON)))
        return column == sa.any_(sa.func.ARRAY(texts.scalar_subquery(), type_=sa.ARRAY(sa.Text)))
    entries = sa.func.json_each(listed).table_valued("value")
    return column.in_(sa.select(entries.c.value))


class Store:
    """The archive's database. `clock` replaces the database's clock, for simulated time in tests.

    `answers`: see `answering`. `hasty`: whose connections do not wait for the disk, where that is a matter of the
    connection. `within_s`: for how long a server may be silent within a transaction; as long as a pull's may, unless it
    is given.
    """

    def __init__(
        self,
        engine: sa.Engine,
        clock: Callable[[], int] | None = None,
        *,
        hasty: sa.Engine | None = None,
        limits: ServerLimits = LIMITS,
        within_s: float | None = None,
        reading: sqlite.Reading | None = None,
        answers: AnswerLimits | None = None,
    ) -> None:
        self.engine = engine
        self._answers = answers
        self._reading = reading
        self._hasty = hasty or engine
        self._clock, self._limits = clock, limits
        self._within_s = limits.answer_s if within_s is None else within_s
        self.journal: Callable[[], Journal] | None = None
        """Makes the journal of a transaction that writes; None where there is no ledger. Set once, by who opens it."""
        self.prepare: Callable[[Page], None] | None = None
        """Begins to seal a page before it is stored, in the thread that fetched it."""

    @property
    def patient(self) -> Store:
        """The same database, for what reads much before it answers, and may take an hour for it."""
        return self._by(self._limits.patient_s)

    @property
    def hurried(self) -> Store:
        """The same database, for those who have somebody waiting for what they read."""
        return self._by(self._limits.hurried_s)

    def answering(self, limits: AnswerLimits = AnswerLimits()) -> Store:  # noqa: B008 - a value that nothing changes
        """The same database, for those who answer people: whatever takes longer is ended, with QueryTooLong."""
        return self._by(self._within_s, limits)

    def _by(self, within_s: float, answers: AnswerLimits | None = None) -> Store:
        same = Store(
            *(self.engine, self._clock),
            hasty=self._hasty,
            limits=self._limits,
            within_s=within_s,
            reading=self._reading,
            answers=answers or self._answers,
        )
        same.journal, same.prepare = self.journal, self.prepare
        return same

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written here, whatever the database would allow."""
        return self._reading is not None

    @property
    def note(self) -> str | None:
        """What people should know of how this database is read."""
        return self._reading.note if self._reading else None

    @contextmanager
    def _transaction(
        self, engine: sa.Engine, kind: str, lock: ArchiveLock | None = None, snapshot: str | None = None
    ) -> Iterator[Tx]:
        options: Mapping[str, Any] = {
            "archiver_begin": kind,
            "archiver_within_s": self._within_s,
            "archiver_lock": lock,
            "archiver_answers": self._answers,
            "archiver_snapshot": snapshot,
        }
        with _translated(engine.url.database, self._reading):
            with engine.connect() as conn, conn.execution_options(**options).begin():
                yield Tx(conn, self._clock)
            if self._reading:
                self._reading.check()

    @property
    def pages_in_memory(self) -> int:
        """How many of the provider's pages may lie there at once: fewer where this process holds the cache as well."""
        return 6 if self.engine.dialect.name == "sqlite" else 8

    @contextmanager
    def write(self, *, durable: bool = True, lock: ArchiveLock | None = None) -> Iterator[Tx]:
        """One transaction: committed at the end of the block, rolled back whole by any error in it.

        `lock`: what stores records takes the archive's lock `shared`; what decides which of them stay, and what takes
        any out, takes it `exclusive`, and sees all that was stored before. On SQLite every writer is alone.

        Where there is a ledger, what it stored and closed is sealed before the commit, in the same transaction.

        Unless `durable`, the commit does not wait for the disk, and a crash of the machine may undo it.
        """
        engine, kind = (self.engine, "IMMEDIATE") if durable else (self._hasty, "HASTY")
        with self._transaction(engine, kind, lock) as tx:
            tx.journal = None if self.journal is None else self.journal()
            yield tx
            if tx.journal is not None:
                tx.journal.write(tx)

    @contextmanager
    def read(self, snapshot: str | None = None) -> Iterator[Tx]:
        """One consistent snapshot for reading: of its own, or that of another transaction; see `store.snapshots`."""
        with self._transaction(self.engine, "READ", snapshot=snapshot) as tx:
            yield tx

    def check_disk(self) -> None:
        """Raise DiskNearlyFull while a transaction can still end well; a server's disk is its operator's to watch."""
        path = self.engine.url.database
        if self.engine.dialect.name == "sqlite" and path:
            sqlite.check_room(Path(path))

    def disk(self) -> dict[str, int | None]:
        """Bytes: the database, and the disk under an SQLite file; a server's disk is its operator's to watch."""
        if self.engine.dialect.name == "sqlite":
            path = Path(self.engine.url.database or "")
            usage = shutil.disk_usage(path.parent)
            size = sum(file.stat().st_size for file in (path, path.with_name(f"{path.name}-wal")) if file.exists())
            return {"database_bytes": size, "disk_free_bytes": usage.free, "disk_size_bytes": usage.total}
        with self.read() as tx:
            size = int(tx.conn.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
        return {"database_bytes": size, "disk_free_bytes": None, "disk_size_bytes": None}

    def analyze(self) -> None:
        """Tell SQLite's planner what the tables hold now; a sample will do. PostgreSQL sees to that by itself."""
        if self.engine.dialect.name == "sqlite":
            with self.write() as tx:  # only the connection that does it is sure to see what came of it
                tx.conn.exec_driver_sql("PRAGMA analysis_limit=1000")
                tx.conn.exec_driver_sql("ANALYZE")

    def dispose(self) -> None:
        self.engine.dispose()
        self._hasty.dispose()


def open_store(url: str, clock: Callable[[], int] | None = None, *, limits: ServerLimits = LIMITS) -> Store:
    """Open the database at an SQLAlchemy URL; nothing is created but an empty SQLite file, which we alone may read.

    `limits`: for how long a server may be silent.
    """
    if not url.startswith("sqlite"):
        return Store(postgres.engine(url, limits), clock, limits=limits)
    fitness.check_sqlite()
    path = _path(url)
    sqlite.check_place(path)
    if url == "sqlite://":  # nobody else sees a database in memory, so it has one engine
        return Store(sqlite.engine(url, sqlite.LASTING), clock)
    sqlite.make_private(path)
    # The last one back is the first one out: a single connection fills its cache.
    engine, hasty = (sqlite.engine(url, pragmas, pool_use_lifo=True) for pragmas in (sqlite.LASTING, sqlite.HASTY))
    return Store(engine, clock, hasty=hasty)


def open_for_reading(url: str) -> Store:
    """Open the database at an SQLAlchemy URL as one who only reads; an SQLite file that is not there is not made."""
    if not url.startswith("sqlite"):
        return open_store(url)
    fitness.check_sqlite()
    path = _path(url)
    sqlite.check_place(path)
    reading = sqlite.reading(url, path)
    return Store(reading.engine, reading=reading)


def may_write(url: str) -> bool:
    """Whether an SQLite file can be written by this account; a server says so when it is asked to."""
    return not url.startswith("sqlite") or sqlite.may_write(_path(url))


def file_of(url: str) -> Path | None:
    """The file of an SQLite archive; None for a server's, and for one in memory."""
    return _path(url) if url.startswith("sqlite:///") else None


def _path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///").partition("?")[0])


@contextmanager
def _translated(path: str | None, reading: sqlite.Reading | None) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeout) as error:
        if reading:
            reading.check()  # what was torn by a writer is no fault of the file's
        raise troubles.ours(error, path, reading=reading is not None) from None
    except NoResultFound:
        # What is asked for in this way was committed before: by a database that has lost it since, or by none.
        raise DatabaseUnavailable("the database does not hold a row that was there: it lost commits") from None
