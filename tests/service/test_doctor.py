"""`doctor`: each thing that can be wrong has a line, a remedy and a code."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from archiver import cli
from archiver.store.admin import guards
from archiver.store.schema import DECIDED, DRAFTED, of_kind
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database, own_archive
from tests.fixtures.service import Listener, wait_until
from tests.fixtures.store import open_database
from tests.postgres import Postgres


def examine(archive: Archive, top: str = "", **changes: Any) -> tuple[int, dict[str, dict[str, Any]]]:
    archive.write_config(**changes)
    archive.config.write_text(top + archive.config.read_text())
    code = archive("doctor", "--format", "json")
    return code, {each["what"].rpartition(": ")[2]: each for each in json.loads(archive.output)["findings"]}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_all_is_well(kind: str, request: pytest.FixtureRequest, make_archive: MakeArchive, tmp_path: Path) -> None:
    database = request.getfixturevalue("database" if kind == "sqlite" else "postgres_database")
    archive = make_archive(database, messages=3)
    code, found = examine(archive, f'[attachments]\nstore = "file://{tmp_path}/files"\n')
    assert code == 0
    quiet = {"alerts", "configuration", *(["durability"] if kind == "postgresql" else [])}  # a server that forgets
    assert {each["state"] for name, each in found.items() if name not in quiet} == {"ok"}
    wanted = {
        "database",
        "schema",
        "rights",
        "disk",
        "clock",
        "text search",
        "guards",
        "credentials",
        "provider",
        "attachments",
    }
    assert wanted <= set(found)
    assert archive("doctor") == 0
    assert all(line.startswith(("ok  ", "warning  ")) for line in archive.output.splitlines()), "one line each"
    assert archive.count("messages") == 0, "it looks, and archives nothing"


GUARDED = ("audit_log", "looks", "look_conversations", *(table.name for table in of_kind(DECIDED, DRAFTED)))
ALL_TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ({})",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text IN ({})",
}


def test_a_trigger_that_somebody_has_dropped_is_named(database: Database, make_archive: MakeArchive) -> None:
    archive = make_archive(database, messages=1)
    code, found = examine(archive)
    assert (code, found["guards"]["state"]) == (0, "ok")
    tables = ", ".join(f"'{table}'" for table in GUARDED)
    store = open_database(database)
    for (name,) in database.rows(ALL_TRIGGERS[database.kind].format(tables)):
        with contextlib.suppress(_NotKept), store.write() as tx:
            table = next(table for table in sorted(GUARDED, key=len, reverse=True) if name.startswith(table))
            on = f" ON {table}" if tx.postgres else ""
            tx.conn.exec_driver_sql(f"DROP TRIGGER {name}{on}")
            assert guards.missing(tx) == [name]
            raise _NotKept
    store.dispose()
    disabled = database.kind == "postgresql"
    database.run("ALTER TABLE approvals DISABLE TRIGGER USER" if disabled else "DROP TRIGGER approvals_rules")
    code, found = examine(archive)
    assert code == 1
    assert f"approvals_{'b_' * disabled}rules" in found["guards"]["text"]


class _NotKept(Exception):
    """Rolls back what was tried."""


@pytest.mark.full
def test_refused_credentials_and_an_absent_provider(archive: Archive) -> None:
    code, found = examine(archive, client_id="YXA6wrong")
    assert code == 4
    assert "client_id and client_secret" in found["credentials"]["remedy"]
    assert "provider" not in found
    code, found = examine(archive, base_url="http://127.0.0.1:9", give_up="1s")
    assert code == 75
    assert "refused the connection" in found["credentials"]["text"]


@pytest.mark.full
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_fails_names_what_helps_and_passes_for_later_only_where_it_may(archive: Archive) -> None:
    archive.server.faults.lower_only = True
    assert archive("pull") == 2
    assert 'try: dialect = "lower_only"' in archive.errors
    code, found = examine(archive)
    assert (code, found["provider"]["remedy"]) == (2, 'dialect = "lower_only" in the [[apps]] entry')
    archive.server.faults.lower_only = False
    code, found = examine(archive, base_url="http://127.0.0.1:9", give_up="1s")
    assert (code, "its port" in found["credentials"]["remedy"]) == (75, True)
    archive.server.faults.http_500 = 1.0
    code, found = examine(archive)
    assert (code, "if it lasts" in found["credentials"]["remedy"]) == (75, True)
    archive.server.faults.http_500 = 0.0
    org, app = archive.settings["org"], archive.settings["app"]
    assert archive("check-config", base_url=f"{archive.server.base_url}/{org}/{app}") == 2
    assert f"apps[0].base_url: contains /{org}/{app}" in archive.errors


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_database_that_is_none_does_not_keep_the_other_checks_from_running(archive: Archive, tmp_path: Path) -> None:
    archive.write_config()
    (tmp_path / "broken.db").write_bytes(b"no database at all, but long enough to be read as one " * 40)
    text = archive.config.read_text().replace(archive.database.url, f"sqlite:///{tmp_path}/broken.db")
    archive.config.write_text(f'[attachments]\nstore = "file://{tmp_path}/files"\n{text}')
    assert archive("doctor") == 2
    assert f"file is not a database: {tmp_path}/broken.db" in archive.output
    assert "not tried: requests are counted in the database" in archive.output
    assert "ok       attachments: the store takes a content" in archive.output


def test_a_server_whose_clock_is_wrong(archive: Archive) -> None:
    archive.server.faults.clock_offset_ms = -3_600_000
    code, found = examine(archive)
    assert code == 1
    assert found["clock"]["state"] == "failed"


def test_a_database_without_schema(empty_database: Database, make_archive: MakeArchive) -> None:
    code, found = examine(make_archive(empty_database, messages=3))
    assert code == 2
    assert found["database"]["remedy"] == "archiver migrate"
    assert "rights" not in found


def test_a_database_that_is_away(archive: Archive) -> None:
    archive.write_config()
    text = archive.config.read_text().replace(archive.database.url, "postgresql://me@127.0.0.1:9/archive")
    archive.config.write_text(text)
    assert archive("doctor") == 75
    assert "failed   database: database error" in archive.output


@pytest.mark.full
def test_a_database_that_somebody_has_frozen(postgres_database: Database, make_archive: MakeArchive) -> None:
    """For a move, or as a disk is full: that passes, and is not to be overridden."""
    name = postgres_database.url.partition("postgresql://postgres@/")[2].partition("?")[0]
    archive = make_archive(postgres_database, messages=3)
    for setting, place in (
        ("default_transaction_read_only = on", "rights"),
        ("session_replication_role = replica", ""),
    ):
        postgres_database.run(f"ALTER DATABASE {name} SET {setting}")
        code = archive("doctor", "--format", "json")
        lines = [line for line in json.loads(archive.output)["findings"] if setting.partition(" ")[0] in line["text"]]
        assert lines[0]["remedy"]
        assert code == (75 if place else 0)
        assert archive("pull") == code
        assert ("default_transaction_read_only" in archive.errors) == bool(place)
        assert archive("status") == 0
        with psycopg.connect(
            postgres_database.url, autocommit=True, options="-cdefault_transaction_read_only=off"
        ) as pg:
            pg.execute(f"ALTER DATABASE {name} RESET {setting.partition(' ')[0]}")


def risks(archive: Archive) -> list[str]:
    assert archive("doctor", "--format", "json") == 0
    found = [each for each in json.loads(archive.output)["findings"] if each["what"] == "durability"]
    assert all(each["remedy"] for each in found if each["state"] == "warning")
    return [each["text"].partition(":")[0] for each in found if each["state"] == "warning"]


@pytest.mark.full
def test_a_server_that_may_forget_what_it_has_committed(make_archive: MakeArchive, tmp_path: Path) -> None:
    with own_archive(durable=True) as (server, database):
        archive = make_archive(database, messages=3)
        archive.write_config()
        assert risks(archive) == []
        for setting in ("fsync = off", "full_page_writes = off", "synchronous_commit = local"):
            server.run(f"ALTER SYSTEM SET {setting}")
        server.run("SELECT pg_reload_conf()")
        settings = ["fsync is off", "full_page_writes is off", "synchronous_commit is local"]
        wait_until(lambda: risks(archive) == settings)
        with standby(server, tmp_path):
            wait_until(lambda: risks(archive) != settings)
            assert risks(archive) == [*settings, "none of the 1 standbys connected is synchronous"]
            server.run("ALTER SYSTEM SET synchronous_standby_names = '*'")
            server.run("SELECT pg_reload_conf()")
            wait_until(lambda: risks(archive) == settings)
        wait_until(lambda: risks(archive) != settings)
        assert risks(archive) == [*settings, "commits wait for a synchronous standby, and none is connected"]


@contextlib.contextmanager
def standby(server: Postgres, tmp_path: Path) -> Iterator[None]:
    """Whatever follows a server's log counts as one."""
    assert server.binaries is not None
    following = [str(server.binaries / "pg_receivewal"), "-d", server.url, "-D", str(tmp_path), "--no-loop"]
    process = subprocess.Popen(following, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def test_a_login_that_may_not_write(postgres: Postgres, postgres_database: Database, make_archive: MakeArchive) -> None:
    archive = make_archive(postgres_database, messages=3)
    with psycopg.connect(postgres_database.url, autocommit=True) as conn:
        conn.execute("CREATE ROLE looker LOGIN")
        conn.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker")
    try:
        archive.write_config()
        as_looker = postgres_database.url.replace("postgres@", "looker@")
        archive.config.write_text(archive.config.read_text().replace(postgres_database.url, as_looker))
        code = archive("doctor", "--format", "json")
        rights = next(each for each in json.loads(archive.output)["findings"] if each["what"] == "rights")
        assert code == 2
        assert "may not: INSERT on messages" in rights["text"]
        assert "GRANT archive_writer" in rights["remedy"]
    finally:
        with psycopg.connect(postgres_database.url, autocommit=True) as conn:
            conn.execute("DROP OWNED BY looker")
            conn.execute("DROP ROLE looker")


def test_a_test_alert_goes_out_on_request(archive: Archive, listener: Listener) -> None:
    examine(archive, f'[alerts]\nwebhook = "{listener.url}/x"\n')
    assert listener.of("POST") == []
    assert archive("doctor", "--test-alert") == 0
    assert "this is a test" in listener.of("POST")[0][1]["text"]
    listener.status = 404
    assert archive("doctor", "--test-alert") == 75
    assert "answered with 404" in archive.output


def test_without_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["--config", str(tmp_path / "none.toml"), "doctor"]) == 2
    assert "archiver init" in capsys.readouterr().err


@pytest.mark.full
def test_an_hour_zone_that_does_not_fit(archive: Archive) -> None:
    hourly: dict[str, Any] = {"source": "hourly", "settle": "24h", "audits": None}
    code, found = examine(archive, **hourly)
    assert (code, found["hour zone"]["state"]) == (0, "ok")
    archive("pull", **hourly)
    shifted = "UPDATE windows SET zone_evidence = '{\"32\": 30}' WHERE zone_evidence IS NOT NULL"
    archive.database.run(shifted)
    code, found = examine(archive, **hourly)
    assert code == 2
    assert "hour_utc_offset" in found["hour zone"]["remedy"]
