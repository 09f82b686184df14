"""Terms by command: longer at once, shorter by two persons."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from archiver import connect
from archiver.config import load
from archiver.errors import ArchiverError
from archiver.lifecycle import retention
from archiver.service import alerts, monitor
from archiver.store import retention as terms_in_force
from archiver.store.retention import RetentionTerms
from archiver.store.schema import apps
from tests.fixtures.databases import Database
from tests.fixtures.store import open_database
from tests.lifecycle.conftest import Persons

pytestmark = pytest.mark.one_server("a distributed archive has no holds, terms and deletion: the commands refuse")

WHY = ("--reason", "a law")


def terms(persons: Persons) -> tuple[Any, Any]:
    assert persons.archive("retention", "show", "--format", "json") == 0
    (app,) = json.loads(persons.archive.output)
    return app["keep_at_least"], app["keep_at_most"]


def set_terms(persons: Persons, *given: str) -> int:
    return persons.archive("retention", "set", "--app", persons.archive.server.app, *given, *WHY)


def test_longer_terms_are_in_force_at_once_and_shorter_ones_when_another_person_approves(persons: Persons) -> None:
    archive = persons.archive
    persons.now("alice")
    assert terms(persons) == (None, None)
    assert archive("retention", "show") == 0
    assert set_terms(persons, "--at-least", "5Y") == 0
    assert "in force: at least 5y, at most none" in archive.output
    assert set_terms(persons, "--at-least", "1830d") == 0
    assert terms(persons) == ("1830d", None)
    assert set_terms(persons, "--at-most", "10y") == 0
    assert "request 1 is made" in archive.output
    assert terms(persons) == ("1830d", None), "kept for ever until it is approved"
    assert archive("requests", "approve", "1") == 2
    assert "another person" in archive.errors
    persons.now("bob")
    assert archive("requests", "show", "1") == 0
    assert "10y" in archive.output
    assert archive("requests", "approve", "1") == 0
    assert terms(persons) == ("1830d", "10y")
    for longer in (("--at-most", "11y"), ("--at-most", "none"), ("--at-least", "2000d")):
        assert set_terms(persons, *longer) == 0
        assert "in force" in archive.output
    for shorter in (("--at-least", "1999d"), ("--at-least", "5y"), ("--at-least", "none"), ("--at-most", "50y")):
        assert set_terms(persons, *shorter) == 0
        assert "another person" in archive.output
    assert terms(persons) == ("2000d", None)
    rows = archive.database.rows("SELECT keep_at_least, keep_at_most, request_id, who FROM retention_terms ORDER BY id")
    assert [row[2] for row in rows] == [None, None, 1, None, None, None]
    assert rows[2][3] == persons.name("bob")


@pytest.mark.full
def test_an_approval_of_terms_that_have_changed_since_sets_none(persons: Persons) -> None:
    archive = persons.archive
    persons.now("alice")
    assert set_terms(persons, "--at-most", "3y") == 0
    assert set_terms(persons, "--at-least", "5y") == 0
    persons.now("bob")
    assert archive("requests", "approve", "1") == 2
    assert "have changed since" in archive.errors
    assert terms(persons) == ("5y", None)
    assert archive.count("approvals") == 0


def test_terms_that_contradict_each_other_or_mean_nothing_are_refused(persons: Persons) -> None:
    archive = persons.archive
    for given, part in (
        (("--at-least", "5y", "--at-most", "1826d"), "cannot be due for deletion"),
        (("--at-least", "5y", "--at-most", "4y"), "cannot be due for deletion"),
        (("--at-least", "366d", "--at-most", "1y"), "cannot be due for deletion"),
        ((), "--at-least"),
        (("--at-least", "none"), "already"),
        (("--at-least", "1001y"), "is no term"),
        (("--at-least", "5"), "is no term"),
        (("--at-least", "0d"), "is no term"),
        (("--at-least", "5m"), "is no term"),
    ):
        assert set_terms(persons, *given) == 2, given
        assert part in archive.errors, given
    assert archive("retention", "set", "--app", "other", "--at-least", "5y", *WHY) == 2
    assert "there is:" in archive.errors
    assert archive("retention", "set", "--app", archive.server.app, "--at-least", "5y") == 2
    assert archive.count("retention_terms") == archive.count("requests") == 0


def test_the_database_takes_the_same_terms_for_shorter(database: Database) -> None:
    draw = random.Random(5)
    some = [f"{draw.randrange(1, 8)}y" for _ in range(5)] + [f"{draw.randrange(360, 2_600)}d" for _ in range(8)]
    pairs = [(old, new) for old in (*some, "5y", "1825d") for new in draw.sample(some, 4)]
    pairs += [("1825d", "5y"), ("1826d", "5y"), ("5y", "1829d"), ("5y", "1830d"), ("1y", "365d"), ("1y", "366d")]
    store, refused = open_database(database), 0
    for app_id, (old, new) in enumerate(pairs, 1):
        with store.write() as tx:
            named = {"id": app_id, "name": f"o#{app_id}"}
            tx.conn.execute(apps.insert().values(named | {"created_at": tx.now_ms()}))
            terms_in_force.add(tx, app_id, RetentionTerms(old), reason="law", who="alice")
        try:
            with store.write() as tx:
                terms_in_force.add(tx, app_id, RetentionTerms(new), reason="law", who="alice")
            assert not retention.may_be_shorter(old, new), (old, new)
        except ArchiverError:
            assert retention.may_be_shorter(old, new), (old, new)
            refused += 1
    store.dispose()
    assert 0 < refused < len(pairs)


def ends(stamp: datetime, term: str) -> datetime:
    """When a term ends for a message of this stamp, by the calendar."""
    count = int(term[:-1])
    if term[-1] == "d":
        return stamp + timedelta(days=count)
    try:
        return stamp.replace(year=stamp.year + count)
    except ValueError:
        return stamp.replace(year=stamp.year + count, month=3, day=1)


def test_what_is_taken_for_longer_is_longer_for_every_message() -> None:
    stamps = [datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(0, 1_500, 29)]
    stamps += [datetime(2096, 2, 29, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)]
    some = [f"{count}{unit}" for unit, counts in (("y", range(1, 8)), ("d", range(360, 2_600, 61))) for count in counts]
    some += ["365d", "366d", "1825d", "1826d", "1830d"]
    longer = [(old, new) for old in some for new in some if not retention.may_be_shorter(old, new)]
    assert all(ends(stamp, new) >= ends(stamp, old) for old, new in longer for stamp in stamps)
    assert ("5y", "1830d") in longer
    assert ("1825d", "5y") in longer


@pytest.mark.parametrize(
    ("old", "new", "shorter"),
    [
        (RetentionTerms(), RetentionTerms("5y"), False),
        (RetentionTerms("5y"), RetentionTerms(), True),
        (RetentionTerms(), RetentionTerms(None, "5y"), True),
        (RetentionTerms(None, "5y"), RetentionTerms(), False),
        (RetentionTerms("5y", "9y"), RetentionTerms("6y", "8y"), True),
        (RetentionTerms("5y", "9y"), RetentionTerms("6y", "9y"), False),
    ],
)
def test_a_change_shortens_if_either_term_does(old: RetentionTerms, new: RetentionTerms, shorter: bool) -> None:
    assert retention.shortens(old, new) is shorter


def test_terms_that_contradict_each_other_are_an_alert_and_a_metric(persons: Persons) -> None:
    archive = persons.archive
    persons.operate()
    columns = "INSERT INTO retention_terms (app_id, keep_at_least, keep_at_most, reason, who, at)"

    def set_past_the_program(least: str, most: str) -> None:
        without_rules(
            archive.database, f"{columns} VALUES (1, '{least}', '{most}', 'x', 'x', '2026-11-29T00:00:00.000Z')"
        )

    def standing() -> list[tuple[str, str, str]]:
        settings = load(archive.config, {}, offline=True)
        with connect.opened(settings) as store:
            look = monitor.look(settings, store)
        assert look.error is None
        return [(one.name, one.severity, one.app) for one in alerts.of_terms(look.contradictions)]

    assert archive("retention", "set", "--app", archive.server.app, "--at-least", "5y", "--at-most", "1d",
                   "--reason", "r") == 2, "the program refuses such a pair"  # fmt: skip
    assert standing() == []
    set_past_the_program("5y", "30d")
    assert standing() == [], "nothing is due yet"
    set_past_the_program("5y", "1d")
    app = f"{archive.server.org}#{archive.server.app}"
    assert standing() == [("ArchiverTerms", "warning", app)]
    assert archive("status", "--format", "prometheus") == 0
    assert f'archiver_terms_contradicted{{app="{app}"}} 1.0' in archive.output
    set_past_the_program("1d", "5y")
    assert standing() == []


def without_rules(database: Database, statement: str) -> None:
    """As an owner could, or a copy of an archive in which somebody has."""
    if database.kind == "postgresql":
        database.run(f"SET session_replication_role = replica; {statement}")
    else:
        database.run("DROP TRIGGER IF EXISTS retention_terms_rules")
        database.run(statement)
