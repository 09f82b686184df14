"""Programs of others read the archive, without a hint: `make clients`, in an environment of their own.

psql, the sqlite3 shell, pandas, DuckDB and Datasette each ask the same, and give what the archive has.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from archiver.store.admin import comments
from tests.fixtures.databases import Database
from tests.postgres import _binaries, migrated, own_server
from tests.search.samples import filled, index

SELECT = "SELECT msg_id, sent_at, text FROM messages_readable WHERE conversation = 'ann|bob' AND text IS NOT NULL"
ORDERED = f"{SELECT} ORDER BY sent_at, msg_id, body_position"
FOUND = "SELECT msg_id FROM archive_search('退款') ORDER BY sent_at"
INDEXED = (
    "SELECT t.msg_id FROM search_texts t"
    " WHERE t.number IN (SELECT rowid FROM search_index WHERE search_index MATCH '\"退款\"') ORDER BY t.timestamp_ms"
)

PANDAS = """
import json, sqlite3, sys
import pandas, sqlalchemy
path, url, select = sys.argv[1:4]
told = []
for connection in (sqlite3.connect(path), sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))):
    frame = pandas.read_sql_query(select, connection, parse_dates={"sent_at": {"utc": True}})
    assert str(frame.sent_at.dtype).startswith("datetime64") and "UTC" in str(frame.sent_at.dtype), frame.dtypes
    days = frame.groupby(frame.sent_at.dt.tz_convert("Asia/Shanghai").dt.date).size()
    assert int(days.sum()) == len(frame)
    told.append([[row.msg_id, int(row.sent_at.timestamp() * 1000), row.text] for row in frame.itertuples()])
print(json.dumps(told))
"""

DUCKDB = """
import json, sys
from importlib import import_module
from pathlib import Path
import duckdb
path, url, select = sys.argv[1:4]
told = []
for kind, place in (("sqlite", path), ("postgres", url)):
    package = import_module(f"duckdb_extension_{kind}_scanner")
    (file,) = Path(package.__file__).parent.rglob("*.duckdb_extension")
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    connection.execute(f"LOAD '{file}'")
    connection.execute(f"ATTACH '{place}' AS archive (TYPE {kind}, READ_ONLY)")
    select = select.replace("FROM m", "FROM archive.m").replace("sent_at,", "epoch_ms(sent_at::TIMESTAMPTZ),", 1)
    rows = connection.execute(select).fetchall()
    select = sys.argv[3]
    told.append([list(row) for row in rows])
print(json.dumps(told))
"""


def run(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stderr}")
    return done.stdout


def rows(text: str) -> list[list[str]]:
    return [line.split("\x1f") for line in text.split("\x1e") if line]


def check(name: str, told: object, right: object) -> None:
    if told != right:
        sys.exit(f"{name} tells something else:\n{told}\n{right}")
    print(f"{name}: reads what is there")  # noqa: T201 - for who runs it


def check_psql(psql: Path, url: str, right: list[list[Any]]) -> None:
    select = ORDERED.replace("sent_at,", "(extract(epoch FROM sent_at) * 1000)::bigint,", 1)
    told = rows(run(psql, url, "-XAt", "-F", "\x1f", "-R", "\x1e", "-c", select).rstrip("\n"))
    check("psql", [[row[0], int(row[1]), row[2]] for row in told], right)
    check("psql, searching", run(psql, url, "-XAt", "-c", FOUND).split(), ["1", "9", "10"])
    described = run(psql, url, "-X", "-c", "\\d+ messages_readable")
    check("psql, describing", comments.meanings()["messages_readable"].columns["sent_at"] in described, True)


def check_sqlite_shell(shell: str, path: Path, right: list[list[Any]]) -> None:
    select = ORDERED.replace("sent_at,", "CAST(round((julianday(sent_at) - 2440587.5) * 86400000) AS INTEGER),", 1)
    told = rows(run(shell, "-readonly", "-ascii", path, select))
    check("sqlite3", [[row[0], int(row[1]), row[2]] for row in told], right)
    check("sqlite3, searching", run(shell, "-readonly", path, INDEXED).split(), ["1", "9", "10"])


def check_datasette(python: Path, path: Path, right: list[list[Any]]) -> None:
    datasette = [python, "-m", "datasette", path, "--get"]
    page = json.loads(run(*datasette, f"/{path.stem}/messages_readable.json?_shape=objects&_size=max&text__notblank=1"))
    told = {(row["msg_id"], row["text"]) for row in page["rows"] if row["conversation"] == "ann|bob"}
    check("Datasette", told, {(row[0], row[2]) for row in right if row[2]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, required=True, help="with pandas, DuckDB and Datasette")
    python = parser.parse_args().python.absolute()
    shell = shutil.which("sqlite3") or sys.exit("the sqlite3 shell is missing: apt-get install sqlite3")
    with tempfile.TemporaryDirectory() as folder, own_server() as server:
        server.run("CREATE DATABASE clients")
        path, url = Path(folder) / "archive.db", server.of("clients")
        for kind, place in (("sqlite", f"sqlite:///{path}"), ("postgresql", url)):
            migrated(place)
            with filled(Database(kind, place)) as store:
                index(store)
        with psycopg.connect(url) as conn:
            found = conn.execute(ORDERED.encode()).fetchall()
        right = [[msg_id, round(sent_at.timestamp() * 1000), text] for msg_id, sent_at, text in found]
        check_psql(_binaries(Path(folder)) / "psql", url, right)
        check_sqlite_shell(shell, path, right)
        for name, program in (("pandas", PANDAS), ("DuckDB", DUCKDB)):
            check(name, json.loads(run(python, "-c", program, path, url, ORDERED)), [right, right])
        check_datasette(python, path, right)


if __name__ == "__main__":
    main()
