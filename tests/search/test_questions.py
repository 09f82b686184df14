"""The twenty questions of docs/sql.md: the same answers on both databases, and along indexes on a large archive."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from archiver.model import DAY_MS, HOUR_MS, Window
from archiver.store import apps, planning
from archiver.store.admin import copy
from archiver.store.engine import Store, Tx
from archiver.store.planning import LIVE
from archiver.store.schema import (
    attachments,
    message_bodies,
    message_revisions,
    messages,
    revision_bodies,
)
from tests.fixtures.databases import Database
from tests.fixtures.store import open_database

PAGE = (Path(__file__).parents[2] / "docs/sql.md").read_text(encoding="utf-8")
CHAPTER = PAGE.partition("## Twenty questions")[2].partition("\n## ")[0]
QUESTIONS = re.findall(r"^\*\*(\d+)\. (.*?)```sql\n(.*?)^```$", CHAPTER, re.DOTALL | re.MULTILINE)
APP = "easemob-demo#chatdemoui"
FIRST_MS = 1_793_491_200_000  # 2026-11-01T00:00:00Z
ASKED_FOR = ("iris", "xingchen"), ("1402541206787",)
OTHERS = [f"user-{number}" for number in range(3000)], [f"14367658{number}" for number in range(300)]
TYPES = ("txt",) * 14 + ("img", "file", "audio", "loc", "custom", "cmd")
KNOWN_FILE = hashlib.sha256(b"test").hexdigest()


Made = tuple[tuple[Any, ...], tuple[Any, ...], list[tuple[Any, ...]]]


def rows_of(count: int) -> Iterator[Made]:
    """So many messages, each with one body and the files it points to, as rows."""
    chance = random.Random(9)
    share = min(0.2, 1500 / count)

    def some(of: int) -> str:
        return chance.choice(ASKED_FOR[of] if chance.random() < share else OTHERS[of])

    for number in range(count):
        stamp = stamp_of(number, count)
        sender, group = some(0), chance.random() < 0.3
        recipient = some(1) if group else some(0) if sender not in ASKED_FOR[0] else chance.choice(ASKED_FOR[0])
        conversation = recipient if group else "|".join(sorted((sender, recipient)))
        kind = chance.choice(TYPES)
        msg_id = "1402541206787100" if number == count // 2 else str(2_000_000_000_000 + number)
        lossy = number % 50 == 0
        raw = f'{{"msg_id": "{msg_id}"}}'.encode()
        parties = (sender, recipient, conversation, "groupchat" if group else "chat", None)
        ext = json.dumps({"n": number}) if number % 10 == 0 or number == count // 2 else None
        told = (raw, hashlib.sha256(raw).digest(), lossy, 1 + number // 1000, number % 1000, stamp + 60_000)
        body = dict.fromkeys(message_bodies.columns.keys()) | body_of(kind, number, chance)
        body |= {"app_id": 1, "msg_id": msg_id, "position": 0}
        envelope = (1, msg_id, stamp, stamp, *parties, ext, *told, None)
        yield envelope, tuple(body.values()), list(files_of(body, stamp, chance))


def stamp_of(number: int, count: int) -> int:
    """Nine days with ten thousand messages, and the others in the year before."""
    busy = min(count, 10_000)
    before = count - busy
    if number < before:
        return FIRST_MS - 365 * DAY_MS + 365 * DAY_MS * number // before
    return FIRST_MS + 9 * DAY_MS * (number - before) // busy


def body_of(kind: str, number: int, chance: random.Random) -> dict[str, Any]:
    if kind == "loc":
        return {"type": kind, "addr": f"人民路{number % 300}号", "lat": 39.5, "lng": 116.25}
    if kind == "audio":
        return {
            "type": kind,
            "filename": f"{number}.amr",
            "duration": float(chance.randrange(120)),
            "url": "https://h/a",
        }
    if kind in ("img", "file"):
        return {"type": kind, "filename": f"合同{number}.pdf", "file_length": number, "url": f"https://h/{number}"}
    if kind == "custom":
        exts = {"customExts": {"amount": str(number)}} | ({"secret": "x"} if number % 3 == 0 else {})
        return {"type": kind, "text": "red_packet", "extra": json.dumps(exts, separators=(",", ":"))}
    return {"type": kind, "text": f"第{number}句话，谢谢"}


def files_of(body: dict[str, Any], stamp: int, chance: random.Random) -> Iterator[tuple[Any, ...]]:
    if not body["url"]:
        return
    state = chance.choice(("stored", "stored", "gone", "pending"))
    digest = hashlib.sha256(str(chance.randrange(5000)).encode()).hexdigest() if chance.random() > 0.01 else KNOWN_FILE
    stored = (digest, 1234, "application/pdf") if state == "stored" else (None, None, None)
    reason = "expired at the provider" if state == "gone" else None
    keys = (1, body["msg_id"], 0, "file", body["url"], state, reason)
    yield (*keys, *stored, body["file_length"], 1, stamp + 7 * DAY_MS, 0)


_FILE_COLUMNS = (
    *("app_id", "msg_id", "position", "kind", "url", "state", "reason", "sha256", "size", "media_type"),
    *("declared_length", "attempts", "expires_at", "fence"),
)


def revise(tx: Tx, envelopes: Sequence[tuple[Any, ...]]) -> None:
    """Some messages again with another text."""
    columns = list(messages.columns.keys())
    where, stamped = columns.index("conversation"), columns.index("timestamp_ms")
    changed = [e for n, e in enumerate(envelopes) if n % 100 == 0 or (n % 3 == 0 and e[where] == "iris|xingchen")]
    rows = [
        (1, e[1], 1, e[stamped], b"{}", hashlib.sha256(e[1].encode()).digest(), e[stamped] + HOUR_MS, 1, 0)
        for e in changed
    ]
    add(tx, message_revisions, message_revisions.columns.keys(), rows)
    nothing = (None,) * (len(revision_bodies.columns) - 6)
    bodies = [(1, e[1], 1, 0, "txt", "改过的话", *nothing) for e in changed]
    add(tx, revision_bodies, revision_bodies.columns.keys(), bodies)


def add(tx: Tx, table: sa.Table, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> None:
    tx.append(table, columns, [copy.written(tx, table, columns, row) for row in rows])


def fill(store: Store, made: Sequence[Made]) -> None:
    """Past the ingest, for speed; with a week of windows, of which one was accepted as lost and one is stuck."""
    with store.write() as tx:
        key = apps.register(tx, APP, "cursor", FIRST_MS, settle_ms=120_000, retention_ms=None)
        hours = [Window(at, at + HOUR_MS) for at in range(FIRST_MS, FIRST_MS + 8 * DAY_MS, HOUR_MS)]
        planning.plan(tx, key, 1, LIVE, 0, hours)
        for lo_ms, state in ((hours[5].lo_ms, "accepted"), (hours[9].lo_ms, "stuck")):
            tx.conn.exec_driver_sql(f"UPDATE windows SET state = '{state}', reason = 'test' WHERE lo_ms = {lo_ms}")
        add(tx, messages, messages.columns.keys(), [envelope for envelope, _, _ in made])
        add(tx, message_bodies, message_bodies.columns.keys(), [body for _, body, _ in made])
        add(tx, attachments, _FILE_COLUMNS, [file for _, _, files in made for file in files])
        revise(tx, [envelope for envelope, _, _ in made])


def as_text(value: Any) -> Any:
    """What both drivers give for the same: instants and days as text, JSON parsed, numbers as numbers."""
    match value:
        case datetime():
            return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"
        case date():
            return value.isoformat()
        case Decimal():
            return int(value)
        case bool():
            return int(value)
        case str() if value[:1] in ("{", "[", '"'):
            return json.loads(value)
    return value


def answer(database: Database, sql: str) -> list[list[Any]]:
    if database.kind == "sqlite":
        return [[as_text(value) for value in row] for row in database.rows(sql)]
    with psycopg.connect(database.url, options="-c timezone=UTC") as conn:
        return [[as_text(value) for value in row] for row in conn.execute(sql.encode()).fetchall()]


_BIG = ("messages", "message_bodies", "attachments", "search_texts")
_MUCH = (3, 7, 9, 11, 12, 15)
"""Questions whose answer is so much of 200,000 messages that a disk that must be turned had better read all."""


def scans(database: Database, sql: str, *, from_ssd: bool = False) -> list[str]:
    """The steps of the plan that read a big table, or an index of one, from end to end."""
    if database.kind == "sqlite":
        plan = [row[3] for row in database.rows(f"EXPLAIN QUERY PLAN {sql}")]
        return [line for line in plan if re.match(rf"SCAN ({'|'.join(_BIG)}|m|b|f)\b", line)]
    with psycopg.connect(database.url) as conn:
        if from_ssd:
            conn.execute("SET random_page_cost = 1.1")
        ((told,),) = conn.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode()).fetchall()
    return list(nodes(told[0]["Plan"]))


def nodes(plan: dict[str, Any]) -> Iterator[str]:
    """The tables that are read without a condition on an index, or an index that has few rows itself."""
    by_index = plan["Node Type"] == "Bitmap Heap Scan" or "Index Cond" in plan
    if plan.get("Relation Name") in _BIG and not by_index and plan.get("Index Name") != "ix_messages_sealed":
        yield plan["Relation Name"]
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def check(both: Sequence[Database], count: int) -> None:
    made = list(rows_of(count))
    for database in both:
        store = open_database(database)
        fill(store, made)
        store.dispose()
        database.run("ANALYZE")
    for number, _, sql in QUESTIONS:
        sqlite, postgres = (answer(database, sql) for database in both)
        assert sqlite, f"question {number} has no answer here"
        assert sqlite == postgres, f"question {number}"


def test_there_are_twenty() -> None:
    assert [int(number) for number, _, _ in QUESTIONS] == list(range(1, 21))


@pytest.mark.full
def test_both_databases_answer_the_same(both: Sequence[Database]) -> None:
    check(both, 6_000)


@pytest.mark.one_server("the plans are those of one server")
@pytest.mark.full
def test_two_hundred_thousand_messages_are_asked_along_indexes(both: Sequence[Database]) -> None:
    check(both, 200_000)
    for database in both:
        for number, title, sql in QUESTIONS:
            if "reads every message" not in " ".join(title.split()):
                found = scans(database, sql, from_ssd=int(number) in _MUCH)
                assert found == [], (database.kind, number)


@pytest.mark.one_server("the plans are those of one server")
@pytest.mark.full
def test_searching_in_sql_goes_along_indexes(postgres_database: Database) -> None:
    """As the planner likes it best: the plans are those that the function really ran."""
    store = open_database(postgres_database)
    fill(store, list(rows_of(10_000)))
    store.dispose()
    postgres_database.run(
        "INSERT INTO search_texts SELECT m.app_id, m.msg_id, 0, b.position, 0, m.timestamp_ms,"
        " archive_searchable(b.text, b.filename, b.addr, b.extra)"
        " FROM messages m JOIN message_bodies b USING (app_id, msg_id)"
    )
    postgres_database.run("ANALYZE")
    by_index, by_time = "ix_search_texts_bigrams", "ix_search_texts_timestamp_ms"
    for asked, indexes in (
        ("'第77句'", {by_index}),
        ("'人民路29'", {by_index}),
        ("'路', 5", {by_time}),
        ("'第77句', 5", {by_time, by_index}),
    ):
        plans = ran(postgres_database, f"SELECT * FROM archive_search({asked})")
        assert [scan for plan in plans for scan in nodes(plan) if scan != "search_texts"] == [], asked
        used = {name for plan in plans for name in index_names(plan) if name.startswith("ix_search_texts")}
        assert used == indexes, asked
        whole = [node for plan in plans for node in all_nodes(plan) if node.get("Relation Name") == "search_texts"]
        assert "Seq Scan" not in {node["Node Type"] for node in whole}, asked


@pytest.mark.full
def test_what_searching_in_sql_finds_comes_in_portions_and_in_order(postgres_database: Database) -> None:
    store = open_database(postgres_database)
    fill(store, list(rows_of(10)))
    store.dispose()
    made = "FROM generate_series(1, 10500) n"
    named, body = (
        "INSERT INTO message_bodies (app_id, msg_id, position, type, text)",
        "1, 'n' || n, 0, 'txt', '退款' || n",
    )
    envelope = "1, 'n' || n, n, NULL, 'ann', 'bob', 'ann|bob', 'chat', NULL, NULL, '', '', false, 1, n, now()"
    postgres_database.run(f"INSERT INTO messages SELECT {envelope} {made}")
    postgres_database.run(f"{named} SELECT {body} {made}")
    postgres_database.run(f"INSERT INTO search_texts SELECT 1, 'n' || n, 0, 0, 0, n, '退款' || n {made}")
    in_order = [(f"n{number}", f"退款{number}") for number in range(10_500, 0, -1)]
    assert postgres_database.rows("SELECT msg_id, text FROM archive_search('退款')") == in_order
    assert postgres_database.rows("SELECT msg_id, text FROM archive_search('退款', 10001)") == in_order[:10_001]


def ran(database: Database, sql: str) -> list[dict[str, Any]]:
    """The plans of all statements within a statement, told by the server itself."""
    told: list[str] = []
    with psycopg.connect(database.url) as conn:
        conn.execute("LOAD 'auto_explain'")
        for name, value in (("log_min_duration", "0"), ("log_nested_statements", "on"), ("log_format", "json")):
            conn.execute(f"SET auto_explain.{name} = {value}".encode())
        conn.execute("SET auto_explain.log_level = notice")
        conn.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
        assert conn.execute(sql.encode()).fetchall(), sql
    return [json.loads(text.partition("plan:\n")[2])["Plan"] for text in told]


def all_nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from all_nodes(inner)


def index_names(plan: dict[str, Any]) -> Iterator[str]:
    return (node["Index Name"] for node in all_nodes(plan) if "Index Name" in node)
