"""What the database refuses to one person: letting go of a hold, shortening a term, changing what was decided."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import psycopg
import pytest

from tests.fixtures.databases import Database
from tests.lifecycle.conftest import Persons

pytestmark = pytest.mark.one_server("a distributed archive has no holds, terms and deletion: the commands refuse")

NOW = "2026-11-01T00:00:00.000Z"
AFTER_30_DAYS = "2026-12-01T00:00:00.000Z"
PLACED = f"""
INSERT INTO hold_events (hold_id, name, event, unreadable, is_list, reason, who, at)
VALUES (1, 'case 7', 'placed', false, false, 'a claim', 'alice', '{NOW}')
"""


def ask(persons: Persons, name: str, kind: str, body: Mapping[str, Any], *, digest: str | None = None) -> int:
    """Ask for something by SQL alone; gives the number of the request."""
    text = json.dumps(body)
    digest = digest or hashlib.sha256(text.encode()).hexdigest()
    columns = "INSERT INTO requests (kind, body, body_sha256, who, at)"
    persons.run(name, f"{columns} VALUES ('{kind}', '{text}', '{digest}', '{name}', '{NOW}')")
    return int(persons.archive.database.value("SELECT max(id) FROM requests"))


def say(persons: Persons, name: str, request: int, decision: str) -> None:
    """Say something to a request by SQL alone."""
    columns = "INSERT INTO approvals (request_id, decision, body_sha256, who, at)"
    said = f"SELECT id, '{decision}', body_sha256, '{name}', '{NOW}' FROM requests WHERE id = {request}"
    persons.run(name, f"{columns} {said}")


def release(persons: Persons, request: int | None, at: str = AFTER_30_DAYS, hold: int = 1) -> None:
    """Let go of a hold by SQL alone."""
    columns = "hold_id, name, event, unreadable, is_list, reason, request_id, effective_at, who, at"
    values = f"{hold}, 'case 7', 'released', false, false, 'over', {request or 'NULL'}, '{at}', 'alice', '{NOW}'"
    persons.run("alice", f"INSERT INTO hold_events ({columns}) VALUES ({values})")


def set_terms(persons: Persons, least: str | None, most: str | None, request: int | None = None) -> None:
    """Set the terms of the only app by SQL alone."""
    written = ["NULL" if term is None else f"'{term}'" for term in (least, most)]
    columns = "app_id, keep_at_least, keep_at_most, reason, request_id, who, at"
    values = f"(SELECT min(id) FROM apps), {written[0]}, {written[1]}, 'law', {request or 'NULL'}, 'alice', '{NOW}'"
    persons.run("alice", f"INSERT INTO retention_terms ({columns}) SELECT {values}")


def test_nobody_lets_go_of_a_hold_alone(persons: Persons) -> None:
    persons.run("alice", PLACED)
    with pytest.raises(Exception, match="no approved request of kind hold-release"):
        release(persons, None)
    request = ask(persons, "alice", "hold-release", {"hold": 1})
    with pytest.raises(Exception, match="no approved request"):
        release(persons, request)
    with pytest.raises(Exception, match="nobody approves an own request"):
        say(persons, "alice", request, "approved")
    say(persons, "bob", request, "approved")
    with pytest.raises(Exception, match="about another hold"):
        release(persons, request, hold=2)
    with pytest.raises(Exception, match="30 days after its approval"):
        release(persons, request, at="2026-11-30T23:59:59.999Z")
    release(persons, request)
    with pytest.raises(Exception, match=r"(?i)unique"):
        release(persons, request)
    wrong_kind = ask(persons, "alice", "shorten", {"hold": 1})
    say(persons, "bob", wrong_kind, "approved")
    with pytest.raises(Exception, match="no approved request of kind hold-release"):
        release(persons, wrong_kind)


@pytest.mark.full
def test_an_approval_that_was_taken_back_lets_go_of_nothing(persons: Persons) -> None:
    persons.run("alice", PLACED)
    request = ask(persons, "alice", "hold-release", {"hold": 1})
    say(persons, "bob", request, "approved")
    say(persons, "bob", request, "refused")
    with pytest.raises(Exception, match="no approved request"):
        release(persons, request)
    in_force = persons.archive.database.rows("SELECT hold_id, name FROM holds_in_force")
    assert in_force == [(1, "case 7")]


def test_a_hold_is_in_force_until_its_release_takes_effect(persons: Persons) -> None:
    persons.run("alice", PLACED)
    request = ask(persons, "alice", "hold-release", {"hold": 1})
    say(persons, "bob", request, "approved")
    release(persons, request, at="2999-01-01T00:00:00.000Z")
    assert persons.archive.count("holds_in_force") == 1
    past = ask(persons, "alice", "hold-release", {"hold": 1})
    say(persons, "bob", past, "approved")
    without_the_grace(persons.archive.database, past)
    assert persons.archive.count("holds_in_force") == 0


def without_the_grace(database: Database, request: int) -> None:
    """A release as if it had been approved long ago."""
    columns = "hold_id, name, event, unreadable, is_list, reason, request_id, effective_at, who, at"
    values = f"1, 'x', 'released', false, false, 'over', {request}, '2020-01-01T00:00:00.000Z', 'alice', '{NOW}'"
    insert = f"INSERT INTO hold_events ({columns}) VALUES ({values})"
    if database.kind == "postgresql":
        database.run(f"SET session_replication_role = replica; {insert}")
    else:
        database.run("DROP TRIGGER hold_events_rules")
        database.run(insert)


def test_nobody_shortens_a_term_alone(persons: Persons) -> None:
    set_terms(persons, "5y", None)
    set_terms(persons, "6y", None)
    set_terms(persons, "2196d", None)
    for least, most in (("2195d", None), (None, None), ("6y", None), ("2196d", "9999d"), ("2196d", "7y")):
        with pytest.raises(Exception, match="no approved request of kind shorten"):
            set_terms(persons, least, most)
    body = {"app_id": 1, "keep_at_least": None, "keep_at_most": "3y"}
    request = ask(persons, "alice", "shorten", {**body, "before": {"keep_at_least": "2196d", "keep_at_most": None}})
    with pytest.raises(Exception, match="no approved request"):
        set_terms(persons, None, "3y", request)
    say(persons, "bob", request, "approved")
    with pytest.raises(Exception, match="about other terms"):
        set_terms(persons, None, "2y", request)
    set_terms(persons, None, "3y", request)
    set_terms(persons, None, "4y")
    set_terms(persons, None, None)
    with pytest.raises(Exception, match=r"(?i)unique|about other terms"):
        set_terms(persons, None, "3y", request)


@pytest.mark.full
def test_a_request_about_terms_that_were_others_then_shortens_nothing(persons: Persons) -> None:
    body = {"app_id": 1, "keep_at_least": "1y", "keep_at_most": "3y", "before": {}}
    request = ask(persons, "alice", "shorten", body)
    say(persons, "bob", request, "approved")
    set_terms(persons, "2y", None)
    with pytest.raises(Exception, match="about other terms"):
        set_terms(persons, "1y", "3y", request)


@pytest.mark.full
def test_a_term_has_a_form_that_can_be_compared(persons: Persons) -> None:
    for term in ("5", "0d", "5Y", "-1d", "5 y", "5.0y", "1e3d", "12345678d", "", "dy", "1d1d"):
        with pytest.raises(Exception, match=r"is written as 5y or 1826d|no approved request"):
            set_terms(persons, term, None)
    assert persons.archive.count("retention_terms") == 0


def test_what_was_decided_is_never_changed(persons: Persons) -> None:
    run = persons.archive.database.run
    run(PLACED)
    run("INSERT INTO hold_items VALUES (1, 1, 'm')")
    run("INSERT INTO hold_conversations VALUES (1, 1, 'a|b')")
    run(
        "INSERT INTO requests (kind, body, body_sha256, who, at)"
        " VALUES ('erase', '{}', 'x', 'x', '2026-11-01T00:00:00Z')"
    )
    run("INSERT INTO request_items VALUES (1, 1, 'm', 'asked')")
    set_terms(persons, "5y", None)
    for table in ("hold_events", "hold_items", "hold_conversations", "request_items", "retention_terms"):
        column = "reason" if table in ("hold_events", "retention_terms") else "app_id"
        for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
            with pytest.raises(Exception, match=f"{table} is append-only"):
                run(statement)


SHADOWS = (
    "CREATE TEMP TABLE requests AS SELECT * FROM public.requests; UPDATE requests SET who = 'x', body_sha256 = '{sha}';"
    "CREATE TEMP TABLE approvals AS SELECT * FROM public.approvals;"
    "INSERT INTO approvals (request_id, decision) VALUES ({request}, 'approved');"
    "CREATE TEMP TABLE pg_class AS SELECT oid, (SELECT oid FROM pg_roles WHERE rolname = session_user) AS relowner"
    " FROM pg_catalog.pg_class;"
    "SET archiver.copying = 'on';"
)
"""Tables of one's own with the names of those that the rules ask."""


def test_tables_of_ones_own_do_not_stand_for_those_that_the_rules_ask(logins: Persons) -> None:
    logins.run("alice", PLACED)
    request = ask(logins, "alice", "hold-release", {"hold": 1})
    shadows = SHADOWS.format(request=request, sha="aa")
    with pytest.raises(psycopg.Error, match="not what was decided on"):
        logins.run(
            "alice",
            f"{shadows} INSERT INTO public.approvals (request_id, decision, body_sha256, who, at)"
            f" VALUES ({request}, 'approved', 'aa', 'carol', now())",
        )
    with pytest.raises(psycopg.Error, match="nobody approves an own request"):
        logins.run(
            "alice",
            f"{shadows} INSERT INTO public.approvals (request_id, decision, body_sha256, who, at)"
            f" SELECT id, 'approved', body_sha256, 'carol', at FROM public.requests WHERE id = {request}",
        )
    with pytest.raises(psycopg.Error, match="no approved request"):
        logins.run(
            "alice",
            f"{shadows} INSERT INTO public.hold_events"
            " (hold_id, name, event, unreadable, is_list, reason, request_id, effective_at, who, at)"
            f" VALUES (1, 'x', 'released', false, false, 'x', {request}, '{AFTER_30_DAYS}', 'carol', '{NOW}')",
        )
    logins.run("alice", f"{shadows} {PLACED.replace('hold_events', 'public.hold_events').replace('alice', 'carol')}")
    assert logins.archive.count(f"hold_events WHERE who <> '{logins.name('alice')}' OR who <> login") == 0


@pytest.mark.full
def test_a_body_that_has_not_its_hash_allows_nothing(logins: Persons) -> None:
    logins.run("alice", PLACED)
    request = ask(logins, "alice", "hold-release", {"hold": 1}, digest="ab" * 32)
    say(logins, "bob", request, "approved")
    with pytest.raises(psycopg.Error, match="no approved request"):
        release(logins, request)


@pytest.mark.full
def test_of_two_who_set_terms_at_once_each_is_compared_with_the_other(logins: Persons) -> None:
    url = logins.archive.database.url
    insert = "INSERT INTO retention_terms (app_id, keep_at_least, reason, who, at) VALUES (1, '{}', 'law', '', now())"
    with psycopg.connect(url) as first, psycopg.connect(url) as second:
        first.execute(insert.format("5y"))
        second.execute("SET LOCAL lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            second.execute(insert.format("1y"))
        second.rollback()
        first.commit()
        with pytest.raises(psycopg.Error, match="no approved request"):
            second.execute(insert.format("1y"))
        second.rollback()
        second.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(psycopg.Error, match="READ COMMITTED"):
            second.execute(insert.format("9y"))
