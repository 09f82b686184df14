"""What a message takes on disk, and how evenly messages lie on a cluster: `python -m bench.footprint`.

Bytes are those of the tables with their indexes on PostgreSQL, of the SQLite file, and of each format of export. The
shard of a message follows from `hashtext(msg_id)`, as in Citus: so the evenness is that of the real thing, computed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from archiver.export import FORMATS
from archiver.store.admin import distribution, migrate
from archiver.store.admin.ask import ask
from archiver.store.engine import Store, open_store
from bench.archive import export_all, fill
from tests.postgres import own_server


def made(url: str, count: int, days: int) -> Store:
    store = open_store(url)
    migrate.upgrade(store)
    fill(store, "bench#size", count, days)
    return store


def on_postgres(url: str, count: int, days: int) -> None:
    store = made(url, count, days)
    for table in distribution.big_tables():
        ((size,),) = ask(store, f"SELECT pg_total_relation_size('{table.name}')")[1]
        print(f"{'PostgreSQL ' + table.name:32} {size / count:8.0f} bytes a message")
    for shards in (32, 128, 512):
        # Citus cuts the 32-bit range of the hash into equal parts.
        part = f"(hashtext(msg_id)::bigint + 2147483648) * {shards} / 4294967296"
        per_shard = f"SELECT count(*) AS n FROM messages GROUP BY {part}"
        ((least, most, used),) = ask(store, f"SELECT min(n), max(n), count(*) FROM ({per_shard}) AS s")[1]
        mean = count / shards
        print(f"{shards:4} shards, {used} used: fullest {most / mean:.3f}, emptiest {least / mean:.3f} of the mean")
    store.dispose()


def on_disk(folder: Path, count: int, days: int) -> None:
    file = folder / "archive.db"
    store = made(f"sqlite:///{file}", count, days)
    with store.engine.connect() as conn:
        conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    print(f"{'SQLite file':32} {file.stat().st_size / count:8.0f} bytes a message")
    for form in FORMATS:
        place = folder / form
        export_all(store, form, place)
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        print(f"{'export as ' + form:32} {size / count:8.0f} bytes a message", flush=True)
    store.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, own_server() as postgres:
        postgres.run("CREATE DATABASE footprint")
        url = postgres.of("footprint").replace("postgresql://", "postgresql+psycopg://")
        on_postgres(url, given.messages, given.days)
        on_disk(Path(folder), given.messages, given.days)


if __name__ == "__main__":
    main()
