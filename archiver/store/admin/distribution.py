"""The big tables spread over the machines of a Citus cluster, by the message's id; the small ones stay together.

All keys of the big tables contain `msg_id`, so a message lies with its bodies, revisions and attachments on one
machine, uniqueness is checked on one machine, and no statement of ours locks rows on more than one.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from archiver.errors import UsageError
from archiver.store import troubles
from archiver.store.admin import citus, migrate, roles
from archiver.store.engine import Store, Tx
from archiver.store.schema import COPIED, SHARD_KEY, SHARDED, messages, metadata, placed

COLUMN = SHARD_KEY
_NO_MARKS = "NULL::timestamptz AS recalled_at, NULL::text AS recalled_by, 0::bigint AS edits"
_STAMPED = (
    "CASE WHEN e.at_ms BETWEEN 0 AND 253402300799999 THEN timestamptz 'epoch' + e.at_ms * interval '1 millisecond' END"
)
_LONGEST_QUERY = "200"
_TRIGGERS = "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND NOT tgisinternal"


def big_tables() -> list[sa.Table]:
    """What grows with the messages; `messages` first, the others lie with it."""
    return [messages, *(table for table in placed(SHARDED) if table is not messages)]


def distribute(store: Store, shards: int) -> list[str]:
    """Distribute an archive that holds nothing yet; gives the names of the distributed tables.

    All of it or nothing. Raises UsageError where the database is no Citus coordinator, or the archive is not fresh.
    """
    if store.engine.dialect.name != "postgresql":
        raise UsageError(
            "SQLite cannot be distributed", hint="[database] url = postgresql://... of a Citus coordinator"
        )
    with store.patient.write() as tx:
        _check(tx)
        governed = roles.are_there(tx)
        try:
            citus.one_connection(tx)
            if governed:
                roles.take_back(tx)
            _distribute(tx, shards)
        except DBAPIError as error:
            raise UsageError(
                f"Citus refused: {troubles.describe(error)}", hint="see the server's log; nothing was changed"
            ) from None
    if governed:
        roles.create(store)
    return [table.name for table in big_tables()]


def _check(tx: Tx) -> None:
    row = tx.conn.exec_driver_sql("SELECT to_regproc('create_distributed_table'), to_regclass('pg_dist_partition')")
    if None in tuple(row.one()):
        raise UsageError(
            "this database has no Citus: nothing was changed",
            hint="CREATE EXTENSION citus, on the coordinator, where shared_preload_libraries has citus",
        )
    if citus.is_distributed(tx):
        raise UsageError("this archive is distributed already: nothing was changed")
    held = [table.name for table in metadata.sorted_tables if tx.conn.execute(sa.select(table).limit(1)).first()]
    if held:
        raise UsageError(
            f"this archive is not fresh ({', '.join(held)} hold rows): nothing was changed",
            hint="archiver migrate on an empty database, archiver distribute, and fill it then",
        )


def _shown_there(tx: Tx) -> list[str]:
    """Events lie on the coordinator, and no row on another machine can be compared with them one by one; nor need it
    be, as nothing is withheld on a cluster."""
    place = "SELECT quote_ident(n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    schema = str(tx.conn.exec_driver_sql(f"{place} WHERE c.oid = 'messages'::regclass").scalar_one())
    sql = migrate.migrations() / "sql"
    messages_readable, search, of_events = (
        (sql / name).read_text(encoding="utf-8")
        for name in ("0011_messages_readable_postgresql.sql", "0010_archive_search.sql", "0011_events_readable.sql")
    )
    of_events = of_events.partition("WHERE NOT EXISTS")[0].replace("{or_replace}", "OR REPLACE")
    return [
        messages_readable.replace("{marks}", _NO_MARKS),
        search.replace("{schema}", schema).replace("{longest}", _LONGEST_QUERY),
        of_events.replace("{stamped}", _STAMPED),
    ]


def _distribute(tx: Tx, shards: int) -> None:
    """Keys between big tables are taken off meanwhile: Citus wants both ends distributed before it ties them.

    Triggers are taken off for good, as Citus has none there: what they are for is refused on a cluster.
    """
    run = tx.conn.exec_driver_sql
    ties = [
        (table.name, tie)
        for table in big_tables()
        for tie in sorted(table.foreign_key_constraints, key=lambda constraint: str(constraint.name))
    ]
    for name, tie in reversed(ties):
        run(f"ALTER TABLE {name} DROP CONSTRAINT {tie.name}")
    for table in big_tables():
        for name in run(_TRIGGERS, (table.name,)).scalars().all():
            run(f"DROP TRIGGER {name} ON {table.name}")
    for table in placed(COPIED):
        run("SELECT create_reference_table(%s)", (table.name,))
    for table in big_tables():
        if table is messages:
            options, values = "colocate_with => 'none', shard_count => %s", (table.name, COLUMN, shards)
            run(f"SELECT create_distributed_table(%s, %s, {options})", values)
        else:
            run("SELECT create_distributed_table(%s, %s, colocate_with => 'messages')", (table.name, COLUMN))
    for statement in _shown_there(tx):
        run(statement.replace("%", "%%"))
    for name, tie in ties:
        own = ", ".join(column.name for column in tie.columns)
        others = ", ".join(element.column.name for element in tie.elements)
        target = tie.referred_table.name
        run(f"ALTER TABLE {name} ADD CONSTRAINT {tie.name} FOREIGN KEY ({own}) REFERENCES {target} ({others})")
