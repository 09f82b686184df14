"""Tokens and client secrets: in no output, no error, no repr, no table; and with nobody but the configured host."""

from __future__ import annotations

import time
import traceback
from threading import Event
from typing import Any

import click
import pytest

from archiver import cli, config
from archiver.errors import ArchiverError
from archiver.sandbox import Faults
from archiver.sessions import open_session
from archiver.sources.easemob.provider import EasemobApp
from archiver.store.schema import metadata
from tests import canaries
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.store import open_database

TROUBLE: tuple[dict[str, Any], ...] = (
    {},
    {"http_401": 0.3},
    {"http_500": 1.0},
    {"html_200": 1.0},
    {"redirect": 1.0},
    {"reset": 1.0},
    {"cut_json": 1.0},
    {"refuse_tokens": True},
    {"refuse_bearer": True},
    {"resource_limited": True},
    {"http_429": 1.0, "retry_after": "86400"},
)


@pytest.fixture
def archive(database: Database, make_archive: MakeArchive) -> Archive:
    found = make_archive(database, messages=40)
    found.settings["give_up"] = "1s"
    return found


def dumped(database: Database) -> str:
    """Every value of every table."""
    rows = [database.rows(f"SELECT * FROM {table}") for table in metadata.tables]
    return repr(
        [bytes(value) if isinstance(value, memoryview) else value for table in rows for row in table for value in row]
    )


@pytest.mark.full
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_trouble_brings_a_secret_into_output_or_database(archive: Archive, form: str) -> None:
    for trouble in TROUBLE:
        archive.server.faults = Faults(**trouble)
        archive("--log-format", form, "-vv", "pull")
        if form == "json":
            assert archive.errors.isascii()
    archive.server.faults = Faults()
    archive("-vv", "status", "--format", "json")
    assert canaries.secrets, "the canaries sing"
    assert archive.server.client_secret in canaries.secrets
    assert not canaries.secrets_in(dumped(archive.database))


def test_no_repr_and_no_traceback_holds_a_secret(archive: Archive) -> None:
    archive.write_config()
    settings = config.load(archive.config, {})
    store = open_database(archive.database)
    with open_session(settings.apps[0], settings, store, Event()) as session:
        assert isinstance(session.connection, EasemobApp)
        tokens = session.connection.tokens
        archive.server.faults.html_200 = 1.0
        with pytest.raises(ArchiverError) as broken:
            tokens.fetch("GET", "/chatmessages", retry=False)
        archive.server.faults.html_200 = 0.0
        answer = tokens.fetch("GET", "/chatmessages")
        told = repr(
            [
                settings,
                settings.apps,
                session,
                session.app,
                tokens,
                vars(tokens),
                vars(tokens._client),
                answer,
                session.source,
            ]
        )
    store.dispose()
    told += "".join(traceback.format_exception(broken.value, chain=True))
    assert not canaries.secrets_in(told)
    assert not canaries.chat_in(told)


def test_a_redirect_takes_no_credentials_along(archive: Archive) -> None:
    archive.server.faults.redirect = 1.0
    assert archive("pull") in (1, 4, 75)
    elsewhere = [request for request in archive.server.requests if request.host != "api"]
    assert elsewhere == []


def test_no_command_takes_a_secret_on_its_command_line() -> None:
    """What is on the command line is in the process list, for every user of the machine."""

    def options(command: click.Command) -> list[str]:
        own = [name for parameter in command.params for name in parameter.opts]
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                own += options(found) if found else []
        return own

    assert not [name for name in options(cli.cli) if "secret" in name or "token" in name or "password" in name]


@pytest.mark.full
@pytest.mark.parametrize("wait", ["0", "7", "-5", "86400", "soon", "Fri, 31 Dec 2100 23:59:59 GMT", ""])
def test_one_shot_never_sleeps_for_hours(archive: Archive, wait: str) -> None:
    """Nor at the first contact, which leaves no run; a wait that was asked for holds for what comes after, too."""
    began = time.monotonic()
    archive.server.faults = Faults(http_429=1.0, retry_after=wait)
    assert archive("pull", give_up="1s") == 75
    assert archive.status()["last_run"] is None
    archive.server.faults = Faults()
    assert archive("pull") == (75 if wait in ("86400", "Fri, 31 Dec 2100 23:59:59 GMT") else 0)
    assert time.monotonic() - began < 120


def test_a_spent_quota_alarms_and_does_not_spin(archive: Archive) -> None:
    archive.server.faults.resource_limited = True
    assert archive("pull") == 75
    assert "quota" in archive.errors
    assert archive.server.count("/chatmessages") <= 2
