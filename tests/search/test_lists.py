"""`conversations`, `participants` and `apps`: right on both databases, and harmless to what is archived."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.export.samples import said
from tests.fixtures.archive import DAY, Archive, MakeArchive
from tests.fixtures.databases import Database


@pytest.fixture
def archive(database: Database, make_archive: MakeArchive) -> Archive:
    """Three conversations: of two in July days apart, and a group."""
    made = make_archive(database, messages=0, span_ms=2 * DAY)
    start = made.server.start_ms
    sent = [("1", "Teacher_Lu", "doudou", 0), ("2", "doudou", "teacher_lu", DAY), ("3", "iris", "xingchen", DAY + 1)]
    for msg_id, sender, recipient, at in sent:
        made.server.add(said(msg_id, "x", start + at, **{"from": sender, "to": recipient}), visible_ms=0)
    group = said("4", "x", start + 5, **{"from": "iris", "to": "88201534001153"}) | {"chat_type": "groupchat"}
    made.server.add(group, visible_ms=0)
    assert made("pull") == 0
    return made


def listed(archive: Archive, *arguments: str) -> list[dict[str, Any]]:
    assert archive(*arguments, "--format", "json") == 0
    rows: list[dict[str, Any]] = json.loads(archive.output)
    return rows


def test_conversations_of_a_user_in_any_case_and_with_a_message_in_the_range(archive: Archive) -> None:
    start = archive.server.start_ms
    every = ["iris|xingchen", "doudou|teacher_lu", "88201534001153"]
    assert [row["conversation"] for row in listed(archive, "conversations")] == every
    for user in ("Teacher_Lu", "teacher_lu", "TEACHER_LU"):
        (row,) = listed(archive, "conversations", "--of", user)
        assert (row["conversation"], row["messages"], row["senders"]) == ("doudou|teacher_lu", 2, 2)
    between = ("--from", str(start + 10), "--to", str(start + DAY))
    assert listed(archive, "conversations", *between) == [], "its first and last message lie around the range"
    first = listed(archive, "conversations", "--to", str(start + 1))
    assert [row["conversation"] for row in first] == ["doudou|teacher_lu"]
    assert [row["conversation"] for row in listed(archive, "conversations", "--limit", "1")] == every[:1]
    assert archive("conversations") == 0
    assert "doudou|teacher_lu" in archive.output
    assert archive("conversations", "--app", "nobody") == 2


def test_participants_are_listed_once_whatever_their_case(archive: Archive) -> None:
    rows = {row["participant"]: (row["conversations"], row["sent"]) for row in listed(archive, "participants")}
    assert rows == {"iris": (2, 2), "doudou": (1, 1), "teacher_lu": (1, 1)}
    assert [row["participant"] for row in listed(archive, "participants", "--like", "HER_")] == ["teacher_lu"]
    assert listed(archive, "participants", "--like", "%") == [], "a sign of LIKE is a sign"


def test_only_an_app_without_messages_is_forgotten(archive: Archive) -> None:
    name, mistyped = f"{archive.server.org}#{archive.server.app}", f"{archive.server.org}#sandbocks"
    assert [row["app"] for row in listed(archive, "apps", "list")] == [name]
    assert archive("apps", "forget", name) == 1
    assert "is configured" in archive.errors
    columns = "app_id, source, origin_ms, settle_ms, grain_ms, order_trusted, created_at"
    archive.database.run(f"INSERT INTO apps (id, name, created_at) SELECT 77, '{mistyped}', created_at FROM apps")
    archive.database.run(f"INSERT INTO sources ({columns}) SELECT 77, {columns[8:]} FROM sources")
    archive.database.run("INSERT INTO watermarks SELECT 77, " + _others(archive, "watermarks") + " FROM watermarks")
    known = {row["app"]: row["configured"] for row in listed(archive, "apps", "list")}
    assert known == {name: True, mistyped: False}
    assert archive("apps", "forget", mistyped) == 0, archive.errors
    assert [row["app"] for row in listed(archive, "apps", "list")] == [name]
    assert archive("apps", "forget", mistyped) == 2
    archive.write_config(app="another")
    assert archive("apps", "forget", name) == 1
    assert "the archive has messages of it" in archive.errors
    assert archive.count("messages") == 4
    archive.write_config()


def _others(archive: Archive, table: str) -> str:
    """The columns of a table but `app_id`, in its order."""
    from archiver.store.schema import metadata

    names = [column.name for column in metadata.tables[table].columns]
    assert names[0] == "app_id"
    if archive.database.kind == "sqlite":
        in_order = [row[1] for row in archive.database.rows(f"PRAGMA table_info({table})")]
    else:
        query = "SELECT column_name FROM information_schema.columns WHERE table_name = ? ORDER BY ordinal_position"
        in_order = [row[0] for row in archive.database.rows(query, table)]
    assert in_order[0] == "app_id"
    return ", ".join(in_order[1:])
