"""The archive through PgBouncer, which hands its server's connections out by the transaction."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import sqlalchemy as sa

from archiver.store.engine import Store, open_store
from tests.deploy.conftest import Tool
from tests.fixtures.archive import MakeArchive
from tests.fixtures.databases import Database, _readers, own_archive
from tests.fixtures.service import wait_until
from tests.postgres import _as_nobody, free_port

ROUNDS = 12
"""By the sixth time the driver would have a statement prepared, on a connection that is another one by then."""


OTHERS = {
    "client_encoding": "GBK",
    "DateStyle": "German",
    "TimeZone": "Asia/Kathmandu",
    "standard_conforming_strings": "off",
    "statement_timeout": "1s",
    "extra_float_digits": "-15",
    "search_path": "elsewhere",
    "synchronous_commit": "local",
}
"""What other clients of the pool set for their sessions, and the pool for everybody."""


@contextmanager
def pooled(program: str, database: Database) -> Iterator[Database]:
    """The same database through a pooler with few connections of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="archiver-pool-", dir="/tmp") as folder,
        _running(program, database, Path(folder)) as url,
    ):
        wait_until(lambda: answers(url))
        try:
            yield Database("postgresql", url)
        finally:
            _readers.close(url)


@contextmanager
def _running(program: str, database: Database, place: Path) -> Iterator[str]:
    port = free_port()
    known = psycopg.conninfo.conninfo_to_dict(database.url)
    (place / "users.txt").write_text('"postgres" ""\n')
    (place / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = host={known['host']} port={known.get('port', 5432)} dbname=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {place}/users.txt\npool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 100\n"
    )
    for path in (place, *place.iterdir()):
        shutil.chown(path, *(["nobody"] if os.geteuid() == 0 else []))
    process = subprocess.Popen([program, "-q", place / "pgbouncer.ini"], cwd=place, **_as_nobody())
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    with suppress(psycopg.OperationalError), psycopg.connect(url):
        return True
    return False


def test_an_archive_is_pulled_indexed_and_searched_through_a_pooler(tool: Tool, make_archive: MakeArchive) -> None:
    program = tool("pgbouncer")
    with own_archive() as (_, database), pooled(program, database) as through:
        archive = make_archive(through, messages=300)
        for number in range(ROUNDS):
            text = {"bodies": [{"type": "txt", "msg": f"needle {number}"}]}
            stamp = {"timestamp": archive.server.start_ms + number, "from": "a", "chat_type": "chat"}
            archive.server.add({"msg_id": f"n{number}", **stamp, "payload": text})
            assert archive("pull", workers=4) == 0
            assert archive("index") == 0
        assert archive("search", "needle", "--format", "jsonl") == 0
        assert archive.output.count('"needle') == archive.count("messages") - 300 > 0
        assert archive("status") == 0
        archive.check_sums()


def settings(store: Store, durable: bool) -> list[tuple[str, str, str]]:
    asked = sa.text(
        "SELECT current_setting('synchronous_commit'), current_setting('lock_timeout'),"
        " current_setting('idle_in_transaction_session_timeout') WHERE :number > 0"
    )
    found = []
    for number in range(ROUNDS):
        with store.write(durable=durable) as tx:
            found.append(tuple(tx.conn.execute(asked, {"number": number + 1}).one()))
    return found


def test_each_transaction_has_its_own_settings_and_leaves_none_behind(tool: Tool) -> None:
    program = tool("pgbouncer")
    with own_archive() as (_, database), pooled(program, database) as through:
        store = open_store(through.url.replace("postgresql:", "postgresql+psycopg:"))
        with ThreadPoolExecutor(8) as several:
            found = list(several.map(lambda number: settings(store, number % 2 == 0), range(8)))
        for number, each in enumerate(found):
            assert set(each) == {("on" if number % 2 == 0 else "off", "30s", "1min")}
        store.dispose()
        left = "SELECT " + ", ".join(f"current_setting('{name}')" for name in ("lock_timeout", *OTHERS))
        assert {tuple(through.rows(left)[0]) for _ in range(ROUNDS)} == {tuple(database.rows(left)[0])}


def test_what_other_clients_of_the_pool_set_is_not_ours(tool: Tool, make_archive: MakeArchive) -> None:
    program = tool("pgbouncer")
    with own_archive() as (_, database), pooled(program, database) as through:
        database.run("CREATE SCHEMA app")
        archive = make_archive(Database("postgresql", f"{through.url}?options=-csearch_path%3Dapp"), messages=40)
        others = [psycopg.connect(through.url, autocommit=True) for _ in range(6)]
        for name, value in OTHERS.items():
            for other in others:
                other.execute(f"SET {name} = '{value}'")
        head = {"msg_id": "n", "timestamp": archive.server.start_ms, "from": "a", "chat_type": "chat"}
        archive.server.add({**head, "payload": {"bodies": [{"type": "txt", "msg": "针🧵é"}]}})
        assert archive("migrate", "--roles") == 0, archive.errors
        for _ in range(3):
            assert archive("pull", workers=4) == 0, archive.errors
        assert archive("index") == 0, archive.errors
        assert archive("search", "针🧵", "--format", "jsonl") == 0, archive.errors
        assert json.loads(archive.output)["text"] == "针🧵é"
        assert database.value("SELECT count(*) FROM app.messages") == 41
        assert database.value("SELECT count(*) FROM public.messages") == 0
        for other in others:
            other.close()
