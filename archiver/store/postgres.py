"""Connections to PostgreSQL: for how long its answers are waited for, and how a transaction begins.

TCP notices a network that is gone, but the kernel of a server that is stopped, or a proxy before it, goes on taking
what it is sent. So every wait of the driver's is bounded here, from the connection's start to its COMMIT.

What a session sets, a pooler that hands connections out by the transaction gives to somebody else: so every transaction
sets for itself what it needs, in the message that begins it.
"""

from __future__ import annotations

import re
import select
import time
from collections.abc import Generator
from functools import cache, partial
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event

_SOON_S, _LONGEST_STEP_S = 0.05, 1.0
_LONG_S = 600.0
ArchiveLock = Literal["shared", "exclusive"]
_LOCKS: dict[ArchiveLock, str] = {
    "shared": "SELECT pg_advisory_xact_lock_shared(x'6172636869766572'::bigint)",
    "exclusive": "SELECT pg_advisory_xact_lock(x'6172636869766572'::bigint)",
}
"""By one key, and by the transaction: row locks need a right that no role has."""
_BEATS = {"keepalives": 1, "keepalives_idle": 20, "keepalives_interval": 5, "keepalives_count": 4}
"""Where the network itself is gone, TCP says so within a minute: also to a statement that may take an hour."""


_OURS = {
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "DateStyle": "ISO, YMD",  # the driver reads no other
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",  # below, a coordinate loses its last digits
    "array_nulls": "on",
    "transform_null_equals": "off",
    "row_security": "on",
    "gin_fuzzy_search_limit": "0",  # or a search finds some of what there is, by chance
    "statement_timeout": "0",  # the driver's waits are bounded here
}
"""What a role, a database, an environment or another client of a pooler may have set in another way."""
_OURS_SINCE = {170_000: {"transaction_timeout": "0", "restrict_nonsystem_relation_kind": ""}}


class ServerLimits(NamedTuple):
    """For how many seconds a database may be silent, by what is asked of it."""

    connect_s: int = 10
    """Until a connection is there, and until one from the pool shows that it lives; the driver waits 2 at least."""
    answer_s: float = 40.0
    """In the transactions of a pull, which are short. A lock is waited for 30 s: the server itself may say so first.
    With what is tried after that, a pull ends within a minute of its last progress."""
    hurried_s: float = 10.0
    """For those who ask how it stands, and have somebody waiting themselves."""
    patient_s: float = 3600.0
    """For what reads much before it answers: searches, exports, copies."""
    rest_s: float = 10.0
    """Where it was silent once, nobody else waits for it anew for so long: or all of many workers would, in turn."""


class Silence:
    """What the connections of one engine know of the server's silence."""

    def __init__(self, limits: ServerLimits) -> None:
        self.limits = limits
        self._rests_until = 0.0

    def note(self) -> None:
        """The server did not answer in time."""
        self._rests_until = time.monotonic() + self.limits.rest_s

    def connect(self, _dialect: sa.Dialect, _record: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        """A new connection, for SQLAlchemy's pool."""
        import psycopg

        began = time.monotonic()
        if began < self._rests_until:
            raise psycopg.OperationalError("it was silent a moment ago, and is left alone for some seconds")
        try:
            connection = _watched().connect(*arguments, **named)
        except psycopg.OperationalError:
            if time.monotonic() - began >= self.limits.connect_s:
                self.note()
            raise
        connection.silence, connection.within_s = self, self.limits.connect_s
        connection.server_cursor_factory = _streamed()
        if connection.info.parameter_status("standard_conforming_strings") == "off":
            # SQLAlchemy asks for it once, before any transaction, and would write every text by what it hears. A pooler
            # knows this parameter, and gives every client its own.
            connection.execute("SET standard_conforming_strings = on")
        return connection

    def is_back(self, connection: Any, _record: Any) -> None:
        """A connection lies in the pool again: what is asked of it next is whether it lives."""
        if connection is not None and not connection.closed:
            connection.within_s = self.limits.connect_s
            connection.autocommit = True  # unless so, the driver begins transactions by itself


@cache
def _streamed() -> Any:
    """What many rows come through: records in hexadecimal digits would be twice as long, and be read twice."""
    import psycopg

    class BinaryServerCursor(psycopg.ServerCursor[Any]):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.format = psycopg.pq.Format.BINARY

    return BinaryServerCursor


@cache
def _watched() -> Any:
    """psycopg's connection with its waits bounded; the driver is loaded with the first connection, and only then."""
    import psycopg

    class Watched(psycopg.Connection[Any]):
        silence: Silence | None = None
        within_s: float | None = None
        """None: whatever time it takes."""
        durable = "on"
        replays = False
        """Whether this login's writes pass by all triggers and keys, and so by the queue of text search."""

        def wait(self, gen: Any, *rest: Any, **more: Any) -> Any:
            return super().wait(gen if self.within_s is None else self._bounded(gen, self.within_s), *rest, **more)

        def _bounded(self, gen: Any, within_s: float) -> Generator[Any, Any, Any]:
            """The driver comes by ten times a second while there is nothing to read or to write."""
            silent_s, last = 0.0, time.monotonic()
            try:
                waits_for = next(gen)
                while True:
                    ready = yield waits_for
                    step_s = time.monotonic() - last
                    last += step_s
                    if ready and (step_s < _SOON_S or self._is_ready(waits_for)):
                        silent_s = 0.0
                    else:  # where this process itself was stopped, that was no silence of the server's
                        silent_s += min(step_s, _LONGEST_STEP_S)
                    if silent_s >= within_s:
                        self._give_up(within_s)
                    waits_for = gen.send(ready)
            except StopIteration as end:
                return end.value

        def _is_ready(self, waits_for: int) -> bool:
            """The driver's own word is not enough: some of 3.2 say so as well when they have only waited."""
            poll = select.poll()
            poll.register(
                self.pgconn.socket, select.POLLIN * bool(waits_for & 1) | select.POLLOUT * bool(waits_for & 2)
            )
            return bool(poll.poll(0))

        def _give_up(self, within_s: float) -> None:
            if self.silence is not None and within_s >= self.silence.limits.answer_s:
                self.silence.note()
            self.pgconn.finish()  # a late answer would be taken for the next one
            raise psycopg.OperationalError(f"the server did not answer within {within_s:g} s")

    return Watched


def engine(url: str, limits: ServerLimits) -> sa.Engine:
    """The pool of connections to a server."""
    parsed = sa.make_url(url)
    given, path = parsed.query, None
    if isinstance(options := given.get("options"), str):
        options, path = _without_path(options)
        parsed = (
            parsed.update_query_dict({"options": options}) if options else parsed.difference_update_query(["options"])
        )
    tcp = {**_BEATS, "tcp_user_timeout": int(limits.answer_s * 1000)}  # libpq leaves out what the system does not have
    engine = sa.create_engine(
        parsed,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=16,
        pool_timeout=limits.answer_s / 2,
        connect_args={name: value for name, value in tcp.items() if name not in given}
        | {"connect_timeout": limits.connect_s, "autocommit": True, "client_encoding": "UTF8"},
    )
    silence = Silence(limits)
    event.listen(engine, "do_connect", silence.connect)
    event.listen(engine, "connect", _get_to_know)
    event.listen(engine, "checkin", silence.is_back)
    event.listen(engine, "begin", partial(_begin, path))
    return engine


def _without_path(options: str) -> tuple[str, str | None]:
    """The options of a URL without the search_path, which is set by transaction: a pooler passes on no options."""
    path: str | None = None
    kept, words = [], re.findall(r"(?:\\.|\S)+", options, re.DOTALL)
    while words:
        word = words.pop(0)
        option = f"-c{words.pop(0)}" if word == "-c" and words else word
        name, _, value = re.sub(r"^(-c|--)", "", option).partition("=")
        if option.startswith("-") and name.lower().replace("-", "_") == "search_path":
            path = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        else:
            kept.append(option)
    return " ".join(kept), path


def _get_to_know(connection: Any, _record: Any) -> None:
    asked = (
        "SELECT pg_backend_pid(), current_setting('synchronous_commit'), current_setting('session_replication_role')"
    )
    row = connection.execute(asked).fetchone()
    connection.replays = row[2] != "origin"
    if row[0] != connection.info.backend_pid:  # a pooler: the next transaction may be another backend's
        connection.prepare_threshold = None
    if row[1] == "remote_apply":  # which waits for more than `on` does
        connection.durable = "remote_apply"


@cache
def _settings(version: int) -> str:
    known = [_OURS, *(added for since, added in _OURS_SINCE.items() if version >= since)]
    return "; ".join(f"SET LOCAL {name} = '{value}'" for some in known for name, value in some.items())


def _begin(path: str | None, conn: sa.Connection) -> None:
    """Begin what `archiver_begin` says: READ, HASTY, or else a transaction whose commit lasts.

    A process that was stopped in the middle of a transaction must not hold up all others for ever. A reader holds
    nobody up, and may pause while it writes files to a slow disk.
    """
    options = conn.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":
        return
    connection: Any = conn.connection.driver_connection
    connection.within_s = within_s = options.get("archiver_within_s")
    kind = options.get("archiver_begin")
    reads, waits = kind == "READ", within_s is None or within_s > _LONG_S
    statements = [f"BEGIN ISOLATION LEVEL {'REPEATABLE READ, READ ONLY' if reads else 'READ COMMITTED'}"]
    if (snapshot := options.get("archiver_snapshot")) is not None:  # before all that reads
        statements += [f"SET TRANSACTION SNAPSHOT '{snapshot}'"]
    statements += [_settings(connection.info.server_version)]
    if path is not None:
        quoted = path.replace("'", "''").replace("%", "%%")
        statements += [f"SELECT set_config('search_path', '{quoted}', true)"]
    statements += [f"SET LOCAL idle_in_transaction_session_timeout = '{'1h' if reads and waits else '60s'}'"]
    limits = options.get("archiver_answers")
    statements += [f"SET LOCAL lock_timeout = '{30_000 if limits is None else int(limits.writer_s * 1000)}ms'"]
    if limits is not None:
        statements += [f"SET LOCAL statement_timeout = '{int(limits.statement_s * 1000)}ms'"]
    if not reads:  # whatever the role, the database or the environment say of it
        statements += [f"SET LOCAL synchronous_commit = {'off' if kind == 'HASTY' else connection.durable}"]
        if connection.replays:  # only then, for it takes a right; where that is missing, nothing is written past them
            statements += ["SET LOCAL session_replication_role = 'origin'"]
    if (lock := options.get("archiver_lock")) is not None:  # in this message, so that a page takes no longer by it
        statements += [_LOCKS[lock]]
    conn.exec_driver_sql("; ".join(statements))
