"""The same questions to the archive and to its Parquet export on a distributed engine: `make scale-test`.

`python -m tests.scale.compare --spark PYTHON [--messages N]`: the second interpreter is one with pysail and
pyspark-client, or with pyspark, for Apache Spark itself, which needs Java. Ends with 1 if any answer differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from archiver.store.admin import migrate
from archiver.store.admin.ask import ask
from archiver.store.engine import Store, open_store
from archiver.store.schema import message_bodies, messages
from bench.archive import export_all, fill

SPARK, FRAMES = (Path(__file__).with_name(name) for name in ("spark.py", "frames.py"))
QUESTIONS = {
    "messages and senders by app, day and kind": (
        "SELECT app, day_utc, chat_type, messages, senders FROM daily_counts ORDER BY 1, 2, 3",
        (
            "SELECT app, cast(day AS string), chat_type, count(DISTINCT msg_id), count(DISTINCT sender) FROM messages"
            " WHERE sent_at IS NOT NULL GROUP BY app, day, chat_type ORDER BY 1, 2, 3"
        ),
    ),
    "a conversation, in order": (
        (
            "SELECT substr(sent_at, 1, 19), msg_id, body_position, sender, body_type, text FROM messages_readable"
            " WHERE conversation = 'guoguo|iris' ORDER BY sent_at, msg_id, body_position"
        ),
        (
            "SELECT date_format(sent_at, \"yyyy-MM-dd'T'HH:mm:ss\"), msg_id, body_position, sender, body_type, text"
            " FROM messages WHERE conversation = 'guoguo|iris' ORDER BY sent_at, msg_id, body_position"
        ),
    ),
    "who wrote most": (
        "SELECT sender, count(DISTINCT msg_id) AS n FROM messages_readable GROUP BY sender ORDER BY n DESC, sender",
        "SELECT sender, count(DISTINCT msg_id) AS n FROM messages GROUP BY sender ORDER BY n DESC, sender",
    ),
    "a word": (
        "SELECT msg_id, text FROM messages_readable WHERE text LIKE '%发货%' ORDER BY msg_id",
        "SELECT msg_id, text FROM messages WHERE text LIKE '%发货%' ORDER BY msg_id",
    ),
    "files by kind, and their bytes": (
        (
            "SELECT body_type, count(*), sum(file_length) FROM messages_readable WHERE filename IS NOT NULL"
            " GROUP BY body_type ORDER BY 1"
        ),
        (
            "SELECT body_type, count(*), sum(file_length) FROM messages WHERE filename IS NOT NULL"
            " GROUP BY body_type ORDER BY 1"
        ),
    ),
    "messages without a day": (
        "SELECT count(*) FROM messages WHERE sent_at IS NULL",
        "SELECT count(*) FROM messages WHERE sent_at IS NULL",
    ),
}


def make(store: Store, count: int) -> None:
    """Two apps of three days, and one message beyond the calendar."""
    migrate.upgrade(store)
    for app in ("scale#one", "scale#two"):
        fill(store, app, count // 2, 3)
    with store.write() as tx:
        stamped = {"msg_id": "'beyond'", "timestamp_ms": "253402300800000", "sent_at": "NULL"}
        for table in (messages, message_bodies):
            values = ", ".join(stamped.get(column.name, column.name) for column in table.columns)
            tx.conn.exec_driver_sql(f"INSERT INTO {table.name} SELECT {values} FROM {table.name} LIMIT 1")


def spark_answers(python: str, folder: Path, work: Path) -> dict[str, list[Any]]:
    queries = work / "queries.json"
    queries.write_text(json.dumps({name: sql for name, (_, sql) in QUESTIONS.items()}), encoding="utf-8")
    told = subprocess.run([python, SPARK, folder, queries], stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    return dict(json.loads(told.stdout.splitlines()[-1]))


def frames_agree(python: str, store: Store, work: Path) -> bool:
    """Whether pandas, and DuckDB where it is there, have from Parquet and from CSV what SQL has."""
    said = "SELECT count(*), count(DISTINCT app || msg_id), sum(length(text)) FROM messages_readable"
    ((rows, messages, characters),) = ask(store, said)[1]
    folders = [work / form / "messages" for form in ("parquet", "csv")]
    told = subprocess.run([python, FRAMES, *folders], stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    found = json.loads(told.stdout.splitlines()[-1])
    same = all(each == [rows, messages, characters] for each in found.values())
    print(f"{'equal' if same else 'DIFFERS':7} {rows:6,} rows  read by {', '.join(found)}")
    if not same:
        print(f"  archive: {[rows, messages, characters]}\n  theirs:  {found}")
    return same


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spark", required=True)
    parser.add_argument("--messages", type=int, default=20_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        store = open_store(f"sqlite:///{work / 'archive.db'}")
        make(store, given.messages)
        for form in ("parquet", "csv"):
            export_all(store, form, work / form)
        began = time.perf_counter()
        theirs = spark_answers(given.spark, work / "parquet" / "messages", work)
        took_s = time.perf_counter() - began
        differing = 0
        for name, (sql, _) in QUESTIONS.items():
            ours = json.loads(json.dumps([list(row) for row in ask(store, sql)[1]]))
            same = ours == theirs[name]
            differing += not same
            print(f"{'equal' if same else 'DIFFERS':7} {len(ours):6,} rows  {name}")
            if not same:
                print(f"  archive: {ours[:3]}\n  spark:   {theirs[name][:3]}")
        differing += not frames_agree(given.spark, store, work)
        store.dispose()
    print(f"{given.messages:,} messages asked by Spark SQL in {took_s:.0f} s")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
