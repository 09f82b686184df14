"""What is not sent by a test of its own accord: views, the questions of docs/sql.md, and what archive_search asks.

All other statements are looked at behind the test that sends them: tests/fixtures/cluster.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa
from sqlglot import exp

from archiver.store.schema import ALL_VIEWS, OFFICERS_VIEWS, message_bodies, messages
from tests.cluster import rule
from tests.cluster.reading import read
from tests.cluster.rule import refusals
from tests.fixtures.archive import MakeArchive
from tests.fixtures.cluster import Statements, layout, refused
from tests.fixtures.databases import Database
from tests.fixtures.store import open_database
from tests.search.samples import RECORDS, filled, index
from tests.search.test_questions import PAGE, QUESTIONS

pytestmark = pytest.mark.one_server("functions of the extension's names stand in for it, beside which it cannot be")


@pytest.mark.usefixtures("unwatched")
def test_what_is_sent_is_looked_at_once_whatever_the_length_of_its_lists(postgres_database: Database) -> None:
    noted = Statements()
    sa.event.listen(sa.Engine, "before_cursor_execute", noted.note)
    store = open_database(postgres_database)
    b = message_bodies.c
    try:
        with store.read() as tx:
            for length in (1, 2, 7):
                tx.conn.execute(sa.select(b.text).where(b.position.in_(range(length))))
                tx.conn.execute(sa.select(b.text).join(messages, messages.c.msg_id == b.msg_id))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", noted.note)
        store.dispose()
    assert list(refused(noted).values()) == [[rule.NOT_TIED]]
    assert noted.taken() == []


def test_every_view_can_be_read_on_a_cluster(postgres_database: Database) -> None:
    assert set(ALL_VIEWS) <= set(layout().views)
    refused = {name: refusals(f"SELECT * FROM {name}", layout()) for name in ALL_VIEWS if name not in OFFICERS_VIEWS}
    assert {name: why for name, why in refused.items() if why} == {}


def test_every_question_can_be_asked_on_a_cluster(postgres_database: Database) -> None:
    for number, _, sql in QUESTIONS:
        assert refusals(sql, layout()) == [], number


def test_what_archive_search_asks_can_be_asked_on_a_cluster(postgres_database: Database) -> None:
    """By the index and by the latest texts, with and without pages that the index has not come to."""
    with filled(postgres_database, RECORDS) as store:
        statements = set(sent(postgres_database))
        index(store)
        statements |= set(sent(postgres_database))
        postgres_database.run("INSERT INTO search_queue (page_id) SELECT min(page_id) FROM messages")
        statements |= set(sent(postgres_database))
    for part in ("WITH latest", "UNION", "archive_searchable", "@@", "LEFT JOIN message_bodies", "unnest($5"):
        assert any(part in statement for statement in statements), part
    asked = [statement for statement in statements if layout().concerns(statement)]
    assert len(asked) == 6
    for statement in asked:
        assert refusals(statement, layout()) == []


def sent(database: Database) -> Iterator[str]:
    """The statements within searches, by the server's own account."""
    heard: list[str] = []
    with psycopg.connect(database.url) as conn:
        conn.execute("LOAD 'auto_explain'")
        for name, value in (("log_min_duration", "0"), ("log_nested_statements", "on"), ("log_format", "json")):
            conn.execute(f"SET auto_explain.{name} = {value}".encode())
        conn.execute("SET auto_explain.log_level = notice")
        conn.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
        for text, latest in (("退", None), ("退", 1), ("没有的话", 5)):
            conn.execute("SELECT * FROM archive_search(%s, %s)", (text, latest))
    for message in heard:
        statement = json.loads(message.partition("plan:\n")[2])["Query Text"]
        if "archive_search(" not in statement:
            yield statement


@pytest.mark.parametrize("block", range(2))
def test_what_the_page_says_of_searching_can_be_asked_on_a_cluster(postgres_database: Database, block: int) -> None:
    asked = PAGE.split("```postgresql\n")[block + 1].partition("```")[0]
    assert "archive_search" in asked
    assert refusals(asked, layout()) == []


def test_the_claim_is_read_of_the_coordinator_alone(postgres_database: Database, make_archive: MakeArchive) -> None:
    """So it is one snapshot. `status` also counts files and looks at the newest message, on all machines."""
    archive = make_archive(postgres_database, messages=3)
    assert archive("pull") == 0
    noted = Statements()
    sa.event.listen(sa.Engine, "before_cursor_execute", noted.note)
    try:
        for command in ("coverage", "statement", "apps list", "quarantine list"):
            assert archive(*command.split()) == 0
        claims = noted.taken()
        assert archive("status") == 0
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", noted.note)
    assert len(claims) > 5
    assert spread_in(claims) == set()
    assert spread_in(noted.taken()) == {"attachments", "messages"}


def spread_in(statements: list[str]) -> set[str]:
    """The big tables, and the views, that these read."""
    names = {found.name for one in statements for query in read(one) for found in query.find_all(exp.Table)}
    return names & {*layout().sharded, *layout().views}
