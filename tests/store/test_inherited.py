"""What a connection inherits changes nothing: any setting, in any way in which PostgreSQL lets one come in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.store import open_database
from tests.postgres import Postgres

USUAL_IN_CHINA = {
    "client_encoding": "GBK",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "row_security": "off",
    "gin_fuzzy_search_limit": "1",
    "statement_timeout": "5s",
    "transaction_timeout": "6s",
    "lock_timeout": "7s",
    "idle_in_transaction_session_timeout": "8s",
    "idle_session_timeout": "9s",
    "synchronous_commit": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "quote_all_identifiers": "on",
    "session_replication_role": "replica",
    "restrict_nonsystem_relation_kind": "view",
    "jit": "on",
    "search_path": "public, pg_catalog",
}
ELSEWHERE = USUAL_IN_CHINA | {"client_encoding": "LATIN1", "DateStyle": "German", "TimeZone": "<+0930>-9:30"}
BYTES_ALONE = USUAL_IN_CHINA | {"client_encoding": "SQL_ASCII", "DateStyle": "Postgres", "TimeZone": "America/New_York"}
OURS = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "row_security": "on",
    "gin_fuzzy_search_limit": "0",
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "1min",
    "synchronous_commit": "on",
    "transaction_isolation": "read committed",
    "session_replication_role": "origin",
    "restrict_nonsystem_relation_kind": "",
}
NEEDLE, LATITUDE = "针🧵é", 39.12345678901234


@contextmanager
def by_environment(_: Postgres, database: Database, settings: dict[str, str]) -> Iterator[Database]:
    variables = {"PGCLIENTENCODING": "client_encoding", "PGDATESTYLE": "DateStyle", "PGTZ": "TimeZone"}
    rest = {name: value for name, value in settings.items() if name not in variables.values()}
    with pytest.MonkeyPatch.context() as patch:
        for name, setting in variables.items():
            patch.setenv(name, settings[setting])
        patch.setenv("PGOPTIONS", options(rest))
        yield database


@contextmanager
def by_url(_: Postgres, database: Database, settings: dict[str, str]) -> Iterator[Database]:
    given = f"&client_encoding={settings['client_encoding']}&options={quote(options(settings))}"
    yield Database("postgresql", database.url + given)


@contextmanager
def by_role(postgres: Postgres, database: Database, settings: dict[str, str]) -> Iterator[Database]:
    login = f"inherits_{database.url.rpartition('archiver_')[2].partition('?')[0]}"
    postgres.run(f"CREATE ROLE {login} LOGIN SUPERUSER")
    for name, value in settings.items():
        postgres.run(f"ALTER ROLE {login} SET {name} = {literal(name, value)}")
    yield Database("postgresql", database.url.replace("postgres@", f"{login}@"))
    postgres.run(f"DROP ROLE {login}")


@contextmanager
def by_database(postgres: Postgres, database: Database, settings: dict[str, str]) -> Iterator[Database]:
    name = database.url.partition("/archiver_")[2].partition("?")[0]
    for setting, value in settings.items():
        postgres.run(f"ALTER DATABASE archiver_{name} SET {setting} = {literal(setting, value)}")
    yield database


def options(settings: dict[str, str]) -> str:
    """As libpq has them: parted by blanks, unless there is a backslash before."""
    return " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items())


def literal(name: str, value: str) -> str:
    return value if name == "search_path" else f"'{value}'"


WAYS = [by_environment, by_url, by_role, by_database]


@pytest.mark.full
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    "settings",
    [
        USUAL_IN_CHINA,
        pytest.param(ELSEWHERE, marks=pytest.mark.full),
        pytest.param(BYTES_ALONE, marks=pytest.mark.full),
    ],
    ids=["gbk", "latin1", "sql_ascii"],
)
def test_what_is_inherited_changes_nothing(
    way: Any,
    settings: dict[str, str],
    postgres: Postgres,
    postgres_database: Database,
    make_archive: MakeArchive,
    tmp_path: Path,
) -> None:
    known = {name for (name,) in postgres_database.rows("SELECT lower(name) FROM pg_settings")}
    settings = {name: value for name, value in settings.items() if name.lower() in known}  # by the server's version
    with way(postgres, postgres_database, settings) as database:
        archive = make_archive(database, messages=40)
        add(archive)
        assert archive("pull") == 0, archive.errors
        assert archive("index") == 0, archive.errors
        assert archive("search", NEEDLE, "--format", "jsonl") == 0, archive.errors
        assert [json.loads(line)["text"] for line in archive.output.splitlines()] == [f"{NEEDLE} {n}" for n in (1, 0)]
        assert archive("export", "--format", "jsonl", "--reason", "x", "--output", str(tmp_path / "out")) == 0
        (place,) = [line for line in exported(tmp_path / "out") if line["msg_id"] == "place"]
        assert place["bodies"][0]["lat"] == LATITUDE
        assert archive("doctor", "--format", "json") == 0, archive.output
        assert postgres_database.value("SELECT count(*) FROM messages") == 43
        assert postgres_database.value("SELECT count(*) FROM quarantine") == 0
        ours = {name: value for name, value in OURS.items() if name.lower() in known}
        assert in_a_transaction(database, ours) == ours


def test_a_login_that_may_not_undo_what_it_inherits_writes_nothing(
    postgres: Postgres, postgres_database: Database, make_archive: MakeArchive
) -> None:
    """Its writes would pass by the queue of text search, and searches would be silent about what they lack."""
    name = f"archiver_{postgres_database.url.partition('/archiver_')[2].partition('?')[0]}"
    login = name.replace("archiver_", "replays_")
    postgres.run(f"CREATE ROLE {login} LOGIN")
    for of in ("TABLES", "SEQUENCES"):
        postgres_database.run(f"GRANT ALL ON ALL {of} IN SCHEMA public TO {login}")
    postgres.run(f"ALTER ROLE {login} SET session_replication_role = replica")
    try:
        archive = make_archive(
            Database("postgresql", postgres_database.url.replace("postgres@", f"{login}@")), messages=3
        )
        assert archive("pull") == 2
        assert 'permission denied to set parameter "session_replication_role"' in archive.errors
        assert "RESET that setting" in archive.errors
        assert postgres_database.value("SELECT count(*) FROM messages") == 0
    finally:
        postgres_database.run(f"DROP OWNED BY {login}")
        postgres.run(f"DROP ROLE {login}")


def in_a_transaction(database: Database, names: Iterable[str]) -> dict[str, str]:
    store = open_database(database)
    with store.write() as tx:
        values = {name: tx.conn.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names}
    store.dispose()
    return values


def add(archive: Archive) -> None:
    texts = {f"n{number}": {"type": "txt", "msg": f"{NEEDLE} {number}"} for number in range(2)}
    place = {"type": "loc", "addr": "here", "lat": LATITUDE, "lng": 116.4}
    for number, (msg_id, body) in enumerate({**texts, "place": place}.items()):
        head = {"timestamp": archive.server.start_ms + number, "from": "a", "chat_type": "chat"}
        archive.server.add({"msg_id": msg_id, **head, "payload": {"bodies": [body]}})


def exported(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in folder.rglob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
