"""What does not pass by itself: every command ends with 2 and names the remedy, and a pull tells [alerts]."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from archiver import config
from archiver.service import reminders
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database, own_archive
from tests.fixtures.service import Listener
from tests.postgres import Postgres

COMMANDS = [
    ("pull",),
    ("status",),
    ("coverage",),
    ("search", "x"),
    ("export", "--format", "jsonl", "--output", "nowhere", "--reason", "x"),
    ("quarantine", "list"),
    ("index",),
    ("migrate",),
    ("doctor",),
    ("run",),
]


def refused(archive: Archive, listener: Listener, remedy: str, *, but: tuple[str, ...] = ()) -> None:
    """All commands end with 2 and say what helps; those that pull have alarmed somebody."""
    alarm(archive, listener, repeat="1ms")
    for command in COMMANDS:
        if command[0] in but:
            continue
        before = len(listener.of("POST"))
        assert archive(*command) == 2, (command, archive.output, archive.errors)
        said = archive.output + archive.errors
        assert re.search(rf"try: .*{remedy}", said), (command, said)
        alarms = listener.of("POST")[before:]
        assert len(alarms) == (command[0] in ("pull", "run")), command
        for _, body in alarms:
            assert body["alerts"][0]["severity"] == "critical"
            assert re.search(remedy, body["text"])


def alarm(archive: Archive, listener: Listener, repeat: str = "1h") -> None:
    text = f'[alerts]\nwebhook = "{listener.url}/hook"\nrepeat = "{repeat}"\n'
    archive.config.write_text(text + archive.config.read_text())


def elsewhere(archive: Archive, url: str) -> None:
    archive.write_config()
    text = archive.config.read_text()
    assert archive.database.url in text
    archive.config.write_text(text.replace(archive.database.url, url))


@pytest.mark.full
@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (lambda url: url.replace("archiver_", "no_such_"), "createdb"),
        (lambda url: url.replace("postgres@", "nobody_known@"), "user and password"),
        (lambda url: url + "&requirepeer=somebody", "options in .database. url"),
        (lambda url: url + "&options=-csearch_path%3Dnowhere", "CREATE SCHEMA"),
        (lambda url: url + "&options=-cno_such_setting%3D1", "options in .database. url"),
    ],
    ids=["database", "login", "requirepeer", "search_path", "setting"],
)
def test_a_server_that_refuses_the_connection(
    change: Callable[[str], str],
    remedy: str,
    postgres_database: Database,
    make_archive: MakeArchive,
    listener: Listener,
) -> None:
    archive = make_archive(postgres_database, messages=3)
    elsewhere(archive, change(postgres_database.url))
    refused(archive, listener, remedy)


@pytest.mark.full
def test_a_wrong_password_and_one_that_is_missing(make_archive: MakeArchive, listener: Listener) -> None:
    with own_archive() as (server, database):
        archive = make_archive(database, messages=3)
        server.run("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        assert server.data is not None
        rules = server.data / "pg_hba.conf"
        rules.write_text("local all guarded scram-sha-256\n" + rules.read_text())
        server.run("SELECT pg_reload_conf()")
        for login in ("guarded:wrong@", "guarded@"):
            elsewhere(archive, database.url.replace("postgres@", login))
            refused(archive, listener, "user and password")


@pytest.mark.full
def test_rights_that_are_missing_are_named(
    postgres: Postgres, postgres_database: Database, make_archive: MakeArchive, listener: Listener
) -> None:
    archive = make_archive(postgres_database, messages=3)
    login = f"plain_{postgres_database.url.rpartition('archiver_')[2].partition('?')[0]}"
    postgres.run(f"CREATE ROLE {login} LOGIN")
    try:
        as_login = postgres_database.url.replace("postgres@", f"{login}@")
        elsewhere(archive, as_login)
        refused(archive, listener, "archiver migrate --roles, then GRANT", but=("migrate",))
        assert "permission denied for table alembic_version" in archive.errors
        postgres_database.run(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {login}")
        elsewhere(archive, as_login)
        alarm(archive, listener, repeat="1ms")
        before = len(listener.of("POST"))
        assert archive("pull") == 2
        assert "permission denied for table" in archive.errors
        assert len(listener.of("POST")) == before + 1
        assert archive("status") == 0
    finally:
        with psycopg.connect(postgres_database.url, autocommit=True) as conn:
            conn.execute(f"DROP OWNED BY {login}")
            conn.execute(f"DROP ROLE {login}")


@pytest.mark.full
def test_who_may_not_make_tables_hears_of_it(postgres: Postgres, make_archive: MakeArchive, listener: Listener) -> None:
    """What a newcomer to PostgreSQL 15 and later sees first."""
    postgres.run("CREATE ROLE newcomer LOGIN")
    postgres.run("CREATE DATABASE empty_one TEMPLATE template0")
    try:
        archive = make_archive(Database("postgresql", postgres.of("empty_one")), messages=3)
        elsewhere(archive, postgres.of("empty_one").replace("postgres@", "newcomer@"))
        assert archive("migrate") == 2
        assert "may not create tables in schema public" in archive.errors
        assert "GRANT CREATE ON SCHEMA public TO newcomer" in archive.errors
        refused(archive, listener, "archiver migrate|GRANT CREATE")
    finally:
        postgres.run("DROP DATABASE empty_one")
        postgres.run("DROP ROLE newcomer")


def no_database(path: Path) -> None:
    path.write_bytes(b"this is something else" * 400)


def torn(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + bytes(len(whole) // 2))


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.full
@pytest.mark.parametrize(
    ("breaks", "remedy"),
    [(no_database, "that file is something else"), (torn, "Back up and restore"), (a_folder, "a file in it")],
    ids=["no database", "torn", "a folder"],
)
def test_a_file_that_is_no_database(breaks: Any, remedy: str, archive: Archive, listener: Listener) -> None:
    archive.write_config()
    breaks(Path(archive.database.url.removeprefix("sqlite:///")))
    refused(archive, listener, remedy)


def heard(listener: Listener) -> list[tuple[str, str]]:
    return [(body["alerts"][0]["name"], body["alerts"][0]["status"]) for _, body in listener.of("POST")]


@pytest.mark.full
@pytest.mark.parametrize("place", ["STATE_DIRECTORY", "sqlite", "nowhere"])
def test_many_pulls_tell_it_once_and_once_that_it_is_over(
    archive: Archive, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place != "STATE_DIRECTORY":
        monkeypatch.delenv("STATE_DIRECTORY")
        monkeypatch.setattr(tempfile, "tempdir", "/dev/null/nowhere")
    archive.write_config()
    alarm(archive, listener)
    path = Path(archive.database.url.removeprefix("sqlite:///"))
    whole = path.read_bytes()
    no_database(path)
    if place == "nowhere":
        reminders.Reminders.of(config.load(archive.config, {}), {}).note("x", 0)
        (found,) = path.parent.glob(".archiver-told-*")
        found.unlink()
        found.symlink_to(tmp_path / "of somebody else")
    assert [archive("pull") for _ in range(3)] == [2, 2, 2]
    path.write_bytes(whole)
    assert [archive("pull") for _ in range(2)] == [0, 0]
    told = ("ArchiverMisconfigured", "firing")
    assert heard(listener) == ([told] * 3 if place == "nowhere" else [told, ("ArchiverMisconfigured", "resolved")])
    assert not (tmp_path / "of somebody else").exists()


def test_a_reminder_that_is_old_or_from_the_future_is_due(tmp_path: Path) -> None:
    kept = reminders.Reminders(tmp_path / "told")
    assert kept.is_due("x", 60, 1000)
    kept.note("x", 1000)
    assert [kept.is_due("x", 60, now) for now in (999, 1000, 1059, 1060)] == [True, False, False, True]
    assert kept.is_due("y", 60, 1000)
    (tmp_path / "told").write_text("[1, 2")
    assert kept.is_due("x", 60, 1000)


def test_a_server_that_takes_no_writes_alarms(
    postgres: Postgres, postgres_database: Database, make_archive: MakeArchive, listener: Listener
) -> None:
    """It answers what is asked, so nothing else would notice."""
    archive = make_archive(postgres_database, messages=3)
    elsewhere(archive, postgres_database.url + "&options=-cdefault_transaction_read_only%3Don")
    alarm(archive, listener)
    assert [archive("pull") for _ in range(2)] == [75, 75]
    ((_, body),) = listener.of("POST")
    assert "ArchiverDatabaseDown" in body["text"]
    assert "default_transaction_read_only is on, set by client (try: RESET it there" in body["text"]
    assert archive("status") == 0


@pytest.mark.full
def test_a_folder_that_may_not_be_written(archive: Archive, tmp_path: Path) -> None:
    folder = tmp_path / "others"
    folder.mkdir(mode=0o555)
    plain: list[str] = []
    if os.geteuid() == 0:  # whom no mode keeps out, unless he gives that up
        os.chown(folder, 65534, 65534)
        plain = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    elsewhere(archive, f"sqlite:///{folder}/a.db")
    command = [*plain, sys.executable, "-m", "archiver", "--config", str(archive.config), "pull"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"unable to open database file: {folder}/a.db" in done.stderr
    assert f"try: the rights to write the file and its folder {folder}" in done.stderr


@pytest.fixture
def archive(database: Database, make_archive: MakeArchive) -> Archive:
    """One whose sums nobody checks at the end."""
    return make_archive(database, messages=3)
