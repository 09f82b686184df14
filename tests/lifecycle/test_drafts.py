"""Where the review page decides: commands store drafts there, nobody else is taken for the page, and nobody is two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from archiver.config import load
from archiver.errors import UsageError
from archiver.lifecycle import decisions, erasing, proposals
from archiver.lifecycle.erasing import ErasureWish
from archiver.lifecycle.proposals import Asker, Proposal
from archiver.store.engine import open_store
from archiver.store.read.filters import Filter
from tests.fixtures.archive import Archive
from tests.lifecycle.conftest import Persons
from tests.lifecycle.erasing import WHY
from tests.postgres import Postgres

pytestmark = pytest.mark.one_server("a distributed archive has no holds, terms and deletion: the commands refuse")

EXPORT = ("export", "--format", "jsonl", "--case", "K 7")
ASK = "INSERT INTO requests (kind, body, body_sha256, who, at) VALUES ('export', '{}', 'x', 'alice', {at})"
SAID = "INSERT INTO approvals (request_id, decision, body_sha256, who, at)"
SAY = SAID + " SELECT id, '{}', body_sha256, '{}', at FROM requests"
DRAFT = "INSERT INTO request_drafts (kind, body, who, at) VALUES ('export', '{}', 'alice', {at})"
NOW = "'2026-11-29T00:00:00.000Z'"


def decide_in(persons: Persons, place: str) -> str:
    """Have who operates change the place; gives what `migrate` said."""
    whole = "".join(line for line in persons.whole.splitlines(keepends=True) if not line.startswith("decided_in"))
    persons.whole = whole.replace("[lifecycle]\n", f'[lifecycle]\ndecided_in = "{place}"\n')
    persons.operate()
    assert persons.archive("migrate") == 0, persons.archive.errors
    return persons.archive.output


def a_sender(archive: Archive) -> str:
    """Somebody who has sent a message."""
    return str(archive.database.value("SELECT min(lower(sender)) FROM messages"))


def listed(archive: Archive) -> list[dict[str, Any]]:
    assert archive("requests", "list", "--format", "json") == 0
    return list(json.loads(archive.output))


def test_every_command_that_would_ask_stores_a_draft(persons: Persons, tmp_path: Path) -> None:
    archive = persons.archive
    app, sender = archive.server.app, a_sender(archive)
    persons.now("alice")
    assert archive("hold", "add", "a claim", "--sender", sender, "--case", "K", "--reason", "r") == 0
    decide_in(persons, "page")
    persons.now("alice")
    out = ("--output", str(tmp_path / "out"))
    assert archive(*EXPORT, *out) == 2
    assert "review page" in archive.errors
    commands = (
        ("export", (*EXPORT, *out, "--propose")),
        ("hold-release", ("hold", "release", "1", "--reason", "settled")),
        ("shorten", ("retention", "set", "--app", app, "--at-most", "9y", "--reason", "policy")),
        ("erase", ("erase", "request", "--sender", sender, *WHY)),
    )
    for number, (kind, command) in enumerate(commands, start=1):
        assert archive(*command) == 0, (kind, archive.errors)
        assert f"draft {number} is stored; on the review page" in archive.output, kind
    drafts = listed(archive)
    assert [(one["id"], one["kind"], one["state"]) for one in drafts] == [
        (f"draft-{number}", kind, "draft") for number, (kind, _) in list(enumerate(commands, start=1))[::-1]
    ]
    assert {one["who"] for one in drafts} == {persons.name("alice")}
    body = drafts[0]["body"]
    sent = f"SELECT count(*), min(timestamp_ms), max(timestamp_ms) FROM messages WHERE lower(sender) = '{sender}'"
    (counted,) = archive.database.rows(sent)
    assert (body["asked"], body["first_ms"], body["last_ms"]) == counted
    assert body["held"] == [{"hold": 1, "name": "a claim", "messages": counted[0]}]
    assert archive("requests", "list") == 0
    assert "draft-4" in archive.output
    assert archive("requests", "show", "draft-4") == 0
    assert "this is a draft" in archive.output
    for act in ("approve", "refuse", "withdraw"):
        for name in ("draft-4", "4"):
            assert archive("requests", act, name) == 2
            assert "on the review page" in archive.errors
    assert (archive.count("requests"), archive.count("approvals"), archive.count("request_items")) == (0, 0, 0)


@pytest.mark.full
def test_a_plan_and_an_acceptance_are_drafts_as_well(persons: Persons) -> None:
    archive = persons.archive
    set_terms = "INSERT INTO retention_terms (app_id, keep_at_most, reason, who, at) VALUES (1, '1d', 'x', 'x', {})"
    without_rules(archive, set_terms.format(NOW))
    decide_in(persons, "page")
    persons.now("alice")
    assert archive("retention", "plan", "--app", archive.server.app, "--max-share", "1", "--today", "2027-11-29") == 0
    assert "draft 1 is stored" in archive.output
    assert "retention apply" not in archive.output
    window = ("--from", "2026-11-01T00:00:00Z", "--to", "2026-11-01T01:00:00Z", "--reason", "lost")
    persons.operate()
    assert archive("coverage", "accept", *window) == 2
    assert archive("coverage", "accept", *window, "--propose") == 0
    assert [one["kind"] for one in listed(archive)] == ["accept", "retention"]
    assert listed(archive)[1]["body"]["messages"] == 20


def without_rules(archive: Archive, statement: str) -> None:
    if archive.database.kind == "postgresql":
        archive.database.run(f"SET session_replication_role = replica; {statement}")
    else:
        archive.database.run("DROP TRIGGER retention_terms_rules")
        archive.database.run(statement)


def test_migrate_says_what_changes_and_what_waits_stays(persons: Persons, tmp_path: Path) -> None:
    archive, out = persons.archive, ("--output", str(tmp_path / "out"))
    persons.now("alice")
    for _ in range(2):
        assert archive(*EXPORT, *out, "--propose") == 0
    persons.now("bob")
    assert archive("requests", "approve", "1") == 0
    said = decide_in(persons, "page")
    assert "on the review page from now on" in said
    assert "1 requests wait from before" in said
    assert "review page" not in decide_in(persons, "page"), "nothing has changed"
    persons.now("bob")
    assert archive("requests", "approve", "2") == 2
    assert "on the review page alone" in archive.errors
    assert "sign in" in archive.errors
    persons.now("alice")
    assert archive(*EXPORT, *out, "--request", "1") == 0, "what was approved is carried out"
    assert "by commands from now on" in decide_in(persons, "database")
    persons.now("bob")
    assert archive("requests", "approve", "2") == 0, "where it was made"
    assert archive.database.value("SELECT decided_in FROM lifecycle") == "database"


def test_a_configuration_that_says_something_else_is_refused_where_it_matters(persons: Persons) -> None:
    archive = persons.archive
    persons.operate()
    assert archive("migrate") == 0
    archive.config.write_text(archive.config.read_text().replace("[lifecycle]\n", '[lifecycle]\ndecided_in = "page"\n'))
    sender = a_sender(archive)
    erase = ("erase", "request", "--sender", sender, *WHY)
    for command in (("requests", "approve", "1"), ("hold", "release", "1", "--reason", "x"), erase):
        assert archive(*command) == 2
        assert 'decided_in = "page", and this archive decides in "database"' in archive.errors
        assert "archiver migrate" in archive.errors
    assert archive("doctor") == 2
    assert 'decisions: [lifecycle] decided_in = "page"' in archive.output
    assert archive("pull") == 0
    assert archive("requests", "list") == 0
    assert archive("hold", "add", "x", "--sender", sender, "--case", "K", "--reason", "r") == 0
    text = archive.config.read_text()
    archive.config.write_text(text.replace("[lifecycle]\n", "[display]\n").replace('decided_in = "page"', ""))
    lines = [line for line in archive.config.read_text().splitlines() if not line.startswith(("two_", "erasures_"))]
    archive.config.write_text("\n".join(lines))
    assert archive(*erase) == 0, "without [lifecycle] the archive's word counts"
    assert archive.count("requests") == 1


def test_a_draft_is_not_changed_and_not_for_an_archive_that_decides_by_commands(persons: Persons) -> None:
    run = persons.archive.database.run
    persons.operate()
    assert persons.archive("migrate") == 0
    with pytest.raises(Exception, match="drafts are for archives whose requests are made on the review page"):
        run(DRAFT.replace("{at}", NOW))
    decide_in(persons, "page")
    run(DRAFT.replace("{at}", NOW))
    with pytest.raises(Exception, match="a draft is not changed"):
        run("UPDATE request_drafts SET body = '{}'")
    for name in ("{}", "[1", "[" * 100_000, '{"wish": 1, "would": {}}', '{"wish": {}, "would": {"x": NaN}}'):
        run(f"INSERT INTO request_drafts (kind, body, who, at) VALUES ('erase', '{name}', 'x', {NOW})")
    drafts = listed(persons.archive)
    assert len(drafts) == 6, "whatever officers write there, it can be listed"
    assert persons.archive("requests", "show", drafts[0]["id"]) == 0
    assert persons.archive("requests", "show", "draft-99") == 2


@pytest.fixture
def page_login(postgres: Postgres, logins: Persons) -> Iterator[str]:
    """The login of a page."""
    login = f"the_page_{logins.archive.database.url.rpartition('archiver_')[2].partition('?')[0]}"
    postgres.run(f"CREATE ROLE {login} LOGIN IN ROLE archive_page")
    yield login
    postgres.run(f"DROP ROLE {login}")


def as_login(archive: Archive, login: str, statement: str) -> None:
    with psycopg.connect(archive.database.url.replace("postgres@", f"{login}@")) as conn:
        conn.execute(statement)


def test_the_database_takes_requests_and_approvals_of_the_page_alone(logins: Persons, page_login: str) -> None:
    archive, ask = logins.archive, ASK.replace("{at}", "now()")
    decide_in(logins, "page")
    others = (logins.name("alice"), "postgres")
    for login in others:
        with pytest.raises(psycopg.Error, match="on the review page alone"):
            as_login(archive, login, ask)
    as_login(archive, page_login, ask)
    assert archive.database.rows("SELECT who, login FROM requests") == [("alice", page_login)]
    for login in others:
        for decision in ("approved", "refused", "withdrawn"):
            with pytest.raises(psycopg.Error, match="on the review page alone"):
                as_login(archive, login, SAY.format(decision, "bob"))
        with pytest.raises(psycopg.Error, match="the request is not approved"):
            as_login(archive, login, SAY.format("begun", "bob"))
    for name in ("alice", "ALICE"):
        with pytest.raises(psycopg.Error, match="nobody approves an own request"):
            as_login(archive, page_login, SAY.format("approved", name))
    as_login(archive, page_login, SAY.format("approved", "bob"))
    as_login(archive, logins.name("alice"), SAY.format("begun", "x"))
    assert archive.database.value("SELECT who FROM approvals WHERE decision = 'begun'") == logins.name("alice")


def test_where_commands_decide_the_page_is_refused_by_the_database(logins: Persons, page_login: str) -> None:
    archive, ask = logins.archive, ASK.replace("{at}", "now()")
    decide_in(logins, "database")
    with pytest.raises(psycopg.Error, match="by commands here, and not on the review page"):
        as_login(archive, page_login, ask)
    as_login(archive, logins.name("alice"), ask)
    for decision in ("approved", "refused"):
        with pytest.raises(psycopg.Error, match="by commands here"):
            as_login(archive, page_login, SAY.format(decision, "bob"))
    decide_in(logins, "page")
    with pytest.raises(psycopg.Error, match="a request is approved where it was made"):
        as_login(archive, page_login, SAY.format("approved", "bob"))
    as_login(archive, page_login, SAY.format("refused", "bob"))


@pytest.mark.full
def test_who_erases_carries_out_what_the_page_has_approved(logins: Persons, page_login: str) -> None:
    archive = logins.archive
    sender = a_sender(archive)
    decide_in(logins, "page")
    archive.database.run(f"GRANT archive_writer, archive_eraser TO {logins.name('bob')}")
    archive.database.run(f"REVOKE archive_officer FROM {logins.name('bob')}")
    settings = load(archive.config, {}, offline=True)
    url = settings.database.sqlalchemy_url.replace("postgres@", f"{page_login}@")
    store = open_store(url)
    try:
        wish = ErasureWish(Filter(sender=sender), None, (), "E 3", "letter")
        made = erasing.ask(store, wish, Asker("alice", on_page=True)).request
        for asker in (Asker("bob"), Asker("ALICE", on_page=True)):
            with pytest.raises(UsageError):
                decisions.approve(store, made.number, asker)
        decisions.approve(store, made.number, Asker("bob", on_page=True))
    finally:
        store.dispose()
    logins.now("bob")
    assert archive("erase", "run", str(made.number)) == 0, archive.errors
    decided = archive.database.rows("SELECT decision, who, login FROM approvals ORDER BY id")
    assert decided == [("approved", "bob", page_login), ("begun", logins.name("bob"), logins.name("bob"))]


@pytest.mark.full
def test_a_role_that_somebody_becomes_is_not_the_page(logins: Persons, page_login: str) -> None:
    archive = logins.archive
    decide_in(logins, "page")
    archive.database.run(f"GRANT archive_officer TO {page_login}")
    for login, role in ((logins.name("alice"), "archive_officer"), ("postgres", "archive_page")):
        with pytest.raises(psycopg.Error, match="on the review page alone"):
            as_login(archive, login, f"SET ROLE {role}; {ASK.replace('{at}', 'now()')}")
    shadow = "CREATE TEMP TABLE lifecycle AS SELECT 'database' AS decided_in;"
    with pytest.raises(psycopg.Error, match="on the review page alone"):
        as_login(archive, logins.name("alice"), f"{shadow} {ASK.replace('{at}', 'now()')}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_login(archive, logins.name("alice"), "UPDATE lifecycle SET decided_in = 'database'")
    decide_in(logins, "database")
    with pytest.raises(psycopg.Error, match="by commands here"):
        as_login(archive, page_login, f"SET ROLE archive_officer; {ASK.replace('{at}', 'now()')}")
    archive.database.run(f"REVOKE archive_officer FROM {page_login}")


def test_the_program_too_keeps_the_page_from_asking_where_commands_do(accounts: Persons) -> None:
    decide_in(accounts, "database")
    store = open_store(load(accounts.archive.config, {}, offline=True).database.sqlalchemy_url)
    try:
        proposal = Proposal("export", {"format": "csv"}, {})
        with pytest.raises(UsageError, match="by commands here"):
            proposals.make(store, proposal, Asker("li", on_page=True))
        number = proposals.make(store, proposal, Asker("li")).number
        for act in (decisions.approve, decisions.refuse):
            with pytest.raises(UsageError, match="by commands here"):
                act(store, number, Asker("wang", on_page=True))
    finally:
        store.dispose()
    assert accounts.archive.count("approvals") == 0
