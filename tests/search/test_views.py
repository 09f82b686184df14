"""What the views show: times, people, files and revisions, alike on both databases; and what they never show."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from archiver.model import Window
from archiver.store import pages, windows
from archiver.store.admin.roles import create
from archiver.store.apps import SourceKey
from archiver.store.schema import VIEWS
from tests.fixtures.databases import Database
from tests.fixtures.store import ORIGIN, claimed, page_of
from tests.search.samples import RECORDS, filled, index, said
from tests.search.test_questions import PAGE, answer

SECRETS = [
    {"type": "img", "filename": "a.jpg", "url": "https://h/a", "secret": "KEY-1", "thumb_secret": "KEY-2"},
    {"type": "img", "filename": "b.jpg", "secret": {"deep": "KEY-3"}, "note": "kept"},
    {"type": "img", "filename": "c.jpg", "thumb_secret": ["KEY-4"]},
    {"type": "custom", "customEvent": "x", "customExts": [{"secret": "KEY-5", "a": 1}]},
    {"type": "img", "filename": "d.jpg", 'a"b': {"c'd": {"secret": "KEY-6"}}, "secret": 7},
    ["KEY-ok", [{"thumb_secret": "KEY-7"}]],
    {"type": "txt", "msg": 'a "secret": no key', "other": 'a "secret": no key'},
    {"type": "txt", "msg": "x", "secretary": "Ann", "my_secret": "shown"},
    "scalar",
    {"type": "file", "filename": "e", "secret": None, "nest": json.loads("[" * 900 + "]" * 900)},
]
DEEPER = {"hidden": "a secret lies deeper in it"}
SHOWN = [None, {"note": "kept"}, None, DEEPER, DEEPER, DEEPER]


def with_secrets(database: Database) -> None:
    records = [said(100 + number, body) for number, body in enumerate(SECRETS)]
    records += [said(1, {"type": "img", "filename": "again.jpg", "secret": ["KEY-8"], "url": "https://h/z"})]
    with filled(database) as store:
        claim = claimed(store, SourceKey(1, "cursor"), Window(ORIGIN + 1000, ORIGIN + 2000))
        with store.write() as tx:
            pages.insert(windows.hold(tx, claim), [page_of(*records)], ORIGIN + 10)
        index(store)


def test_what_opens_a_file_is_in_no_view(database: Database) -> None:
    with_secrets(database)
    for view in VIEWS:
        told = json.dumps(answer(database, f"SELECT * FROM {view}"), ensure_ascii=False)
        assert "KEY-" not in told.replace("KEY-ok", ""), view
    extras = "SELECT extra FROM messages_readable WHERE msg_id >= '100' AND msg_id < '110' ORDER BY msg_id"
    shown = [row[0] for row in answer(database, extras)]
    assert shown[:6] == SHOWN
    assert shown[6] == {"other": 'a "secret": no key'}
    assert shown[7] == {"secretary": "Ann", "my_secret": "shown"}


def test_both_databases_show_the_same(both: Sequence[Database]) -> None:
    for database in both:
        with_secrets(database)
    ours = {"archived_at", "seen_at", "expires_at"}  # by the clock
    for view in VIEWS:
        columns = [row[1] for row in both[0].rows(f"SELECT cid, name FROM pragma_table_info('{view}')")]
        sql = f"SELECT {', '.join(name for name in columns if name not in ours)} FROM {view}"
        sqlite, postgres = (
            (sorted(json.dumps(row, sort_keys=True) for row in answer(database, sql))) for database in both
        )
        assert sqlite == postgres, view
        assert sqlite or view in ("coverage_holes", "events_readable", "only_callback"), view


def test_people_in_conversations_are_counted(database: Database) -> None:
    records = [
        said(1, "a"),
        said(2, "b"),
        said(3, "c", **{"from": "bob", "to": "ann"}),
        said(4, "d", **{"from": "ann", "to": "eve"}),
        said(5, "e", **{"from": "ann", "to": "42", "chat_type": "groupchat"}),
        said(6, "f", **{"from": "bob", "to": "42", "chat_type": "groupchat"}),
        said(7, "g", **{"from": "ann", "to": "ann"}),
    ]
    with filled(database, records):
        pass
    sql = "SELECT conversation, participant, sent, received FROM participants WHERE app = 'o#a' ORDER BY 1, 2"
    # The page of `filled` also holds a revision's first copy: 34 from ann to bob.
    assert answer(database, sql) == [
        ["42", "ann", 1, 0],
        ["42", "bob", 1, 0],
        ["ann|ann", "ann", 1, 1],
        ["ann|bob", "ann", 3, 1],
        ["ann|bob", "bob", 1, 3],
        ["ann|eve", "ann", 1, 0],
        ["ann|eve", "eve", 0, 1],
    ]


PEOPLE = ("ann", "Ann", "bob", "eve", "42", None)


@pytest.mark.full
def test_both_databases_count_the_same_people(both: Sequence[Database]) -> None:
    """Whatever a record may lack, and whatever kinds of chat one conversation has."""
    chance = random.Random(3)
    records = []
    for number in range(400):
        kind = chance.choice(("chat", "groupchat", "chatroom", "other", None))
        parties = {"from": chance.choice(PEOPLE), "to": chance.choice(PEOPLE), "chat_type": kind}
        stamp = chance.choice((ORIGIN + number, -5, 2**60)) if number % 7 == 0 else ORIGIN + number
        records.append(said(1_000 + number, "x", timestamp=stamp, **parties))
    for database in both:
        with filled(database, records):
            pass
    sqlite, postgres = (
        answer(database, "SELECT * FROM participants ORDER BY app, conversation, participant") for database in both
    )
    assert sqlite == postgres
    assert len(sqlite) > 20


def test_times_are_real_on_postgresql(postgres_database: Database) -> None:
    rows = postgres_database.rows(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name LIKE '%\\_at' AND table_name = ANY(?)",
        list(VIEWS),
    )
    assert len(rows) >= 12
    assert {row[2] for row in rows} == {"timestamp with time zone"}


@pytest.mark.parametrize("role", ["archive_reader", "archive_auditor", "archive_writer"])
def test_each_role_may_search_and_only_the_reader_sees_no_tables(postgres_database: Database, role: str) -> None:
    with filled(postgres_database, RECORDS[:5]) as store:
        index(store)
        create(store)
    with psycopg.connect(postgres_database.url) as conn:
        conn.execute(f"SET ROLE {role}".encode())
        found = conn.execute("SELECT msg_id FROM archive_search('退款') ORDER BY sent_at").fetchall()
        assert found == [("1",)]
        if role == "archive_reader":
            for table in ("message_bodies", "revision_bodies", "messages"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
                    conn.execute(f"SELECT * FROM {table}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
            conn.execute("CREATE OR REPLACE FUNCTION archive_search(text) RETURNS text LANGUAGE sql AS 'SELECT 1'")


def test_searching_does_not_run_what_others_put_in_the_way(postgres_database: Database) -> None:
    """It runs with the owner's rights: nothing of a schema of the caller's may be taken for a part of it."""
    with filled(postgres_database, RECORDS[:5]) as store:
        create(store)
    with psycopg.connect(postgres_database.url) as conn:
        conn.execute("CREATE SCHEMA trap")
        conn.execute("CREATE FUNCTION trap.archive_normal(text) RETURNS text LANGUAGE sql AS 'SELECT NULL'")
        conn.execute("CREATE TABLE trap.messages (x int)")
        conn.execute("SET search_path = trap, public")
        conn.execute("CREATE TEMP TABLE apps (id int, name text)")
        assert conn.execute("SELECT msg_id FROM archive_search('退款')").fetchall() == [("1",)]


def test_what_the_page_says_of_searching_runs_and_is_whole(postgres_database: Database) -> None:
    with filled(postgres_database, RECORDS[:5]):
        pass
    blocks = re.findall(r"^```postgresql\n(.*?);\n```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    with psycopg.connect(postgres_database.url) as conn:
        for block in blocks:
            conn.execute(block.encode())
        found = conn.execute("SELECT * FROM archive_search('退款')").description
    schema = (Path(__file__).parents[2] / "docs/schema.md").read_text(encoding="utf-8")
    told = schema.partition("### archive_search")[2].partition("\n### ")[0]
    assert [column.name for column in found or []] == re.findall(r"`(\w+)`(?=[^|]*\|[^|]+\|$)", told, re.MULTILINE)
