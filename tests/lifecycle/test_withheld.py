"""What is sealed is shown nowhere, and what was erased is not stored again, whatever comes under its id."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from archiver.store import pages, removing, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store
from archiver.store.schema import ALL_VIEWS, messages, tombstones
from tests.export.samples import files, said
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.decided import approved
from tests.fixtures.store import ORIGIN, claimed, open_database, page_of, record

pytestmark = pytest.mark.one_server("a distributed archive has no holds, terms and deletion: the commands refuse")

NEEDLE, QUERY = "a needle", "needle"
IMAGE = {"type": "img", "url": "https://a1.easemob.com/o/a/chatfiles/x", "filename": NEEDLE}


@pytest.fixture
def archive(database: Database, make_archive: MakeArchive) -> Archive:
    """20 messages of the stand-in server, and two of a conversation of its own, of which one was edited."""
    archive = make_archive(database, messages=20)
    start = archive.server.start_ms
    people = {"from": "sealed-1", "to": "sealed-2"}
    for number, text in enumerate((NEEDLE, "hay")):
        bodies = [{"type": "txt", "msg": text}, IMAGE] if number == 0 else [{"type": "txt", "msg": text}]
        message = said(f"n{number}", text, start + number, **people) | people
        message["payload"]["bodies"] = bodies
        archive.server.add(message, visible_ms=0)
    assert archive("pull") == 0
    edited = said("n0", f"{NEEDLE}, edited", start, **people) | people
    archive.server.add(edited, timestamp_ms=start, visible_ms=0)
    assert archive("audit", "--from", str(start), "--to", str(start + 60_000)) in (0, 3)
    archive.database.run(
        "INSERT INTO events (app_id, kind, target_msg_id, at_ms, signed, text, raw, digest, received_at)"
        f" VALUES ((SELECT min(id) FROM apps), 'edit', 'n0', {start}, 'signed', '{NEEDLE} once more', 'x', 'x',"
        " '2026-11-01T00:00:00.000Z')"
    )
    return archive


def sealed(archive: Archive, *msg_ids: str) -> None:
    store = open_database(archive.database)
    with store.write() as tx:
        approved(tx, "erase", {}, items=msg_ids)
        tx.conn.execute(messages.update().where(messages.c.msg_id.in_(msg_ids)).values(withheld=1))
    store.dispose()


def shown(archive: Archive, tmp_path: Path, name: str) -> str:
    """All that views, searches, lists and exports show of the conversation."""
    texts = []
    for command in (
        ("search", QUERY),
        ("search", QUERY, "--limit", "1"),
        ("search", QUERY, "--sender", "sealed-1", "--format", "jsonl"),
        ("search", QUERY, "--type", "img"),
        ("search", QUERY, "--events"),
        ("conversation", "sealed-1", "sealed-2"),
        ("conversations", "--format", "json"),
        ("participants", "--format", "json"),
        ("participants", "--like", "sealed"),
    ):
        archive(*command)
        texts.append(archive.output.replace("sealed-1 sealed-2", ""))
    for form in ("jsonl", "csv", "html"):
        for number, more in enumerate(((), ("--text", QUERY), ("--sender", "SEALED-1"))):
            folder = tmp_path / f"{name}-{form}-{number}"
            assert archive("export", "--format", form, *more, "--output", str(folder)) in (0, 1, 2, 3)
            texts += [(folder / file).read_bytes().decode(errors="replace") for file in files(folder)
                      if not file.endswith("manifest.json")]  # fmt: skip
    views = [view for view in ALL_VIEWS if view not in ("holds_in_force", "looks_by_officer")]
    for view in views:
        texts += map(str, archive.database.rows(f"SELECT * FROM {view}"))
    if archive.database.kind == "postgresql":
        for query in ("SELECT * FROM archive_search(?)", "SELECT * FROM archive_search(?, 1)"):
            texts += map(str, archive.database.rows(query, QUERY))
    return "\n".join(texts)


@pytest.mark.parametrize("indexed", [True, pytest.param(False, marks=pytest.mark.full)], ids=["indexed", "waiting"])
def test_what_is_sealed_is_shown_nowhere(archive: Archive, tmp_path: Path, indexed: bool) -> None:
    if indexed:
        assert archive("index") == 0
    before = shown(archive, tmp_path, "before")
    assert NEEDLE in before
    assert "sealed-1" in before
    assert archive("coverage", "--format", "json") == 0
    covered = archive.output
    sealed(archive, "n0", "n1")
    after = shown(archive, tmp_path, "after")
    assert NEEDLE not in after
    assert "sealed-1" not in after
    assert archive("coverage", "--format", "json") == 0
    assert archive.output == covered
    if not indexed:
        assert archive("index") == 0
        assert archive.database.value("SELECT count(*) FROM search_texts WHERE msg_id IN ('n0', 'n1')") == 0


def test_the_latest_that_may_be_shown_are_found_behind_what_is_sealed(archive: Archive) -> None:
    start = archive.server.start_ms
    for number in range(4):
        archive.server.add(said(f"x{number}", "a needle too", start + 10_000 + number), visible_ms=0)
    assert archive("audit", "--from", str(start), "--to", str(start + 60_000)) in (0, 3)
    sealed(archive, "x2", "x3")
    for indexed in (False, True):
        if indexed:
            assert archive("index") == 0
        assert archive("search", "needle too", "--limit", "2", "--format", "jsonl") == 0
        assert [json.loads(line)["msg_id"] for line in archive.output.splitlines()] == ["x1", "x0"]
        if archive.database.kind == "postgresql":
            rows = archive.database.rows("SELECT msg_id FROM archive_search('needle too', 2)")
            assert [row[0] for row in rows] == ["x1", "x0"]


def test_a_sealed_message_takes_revisions_and_an_erased_one_nothing(
    store: Store, key: SourceKey, database: Database
) -> None:
    claim = claimed(store, key)
    with store.write() as tx:
        pages.insert(windows.hold(tx, claim), [page_of(record("1"), record("2"), record("3"))], ORIGIN)
    with store.write(lock="exclusive") as tx:
        request = approved(tx, "erase", {}, items=["1", "2"])
        tx.conn.execute(messages.update().where(messages.c.msg_id == "1").values(withheld=1))
        stone = {"kind": "erased", "app_id": 1, "msg_id": "2", "page_id": 1, "position": 1, "leaf": b"x", "at": ORIGIN}
        counted = {"messages": 1, "bodies": 1, "revisions": 0, "request_id": request}
        tx.conn.execute(tombstones.insert().inline().values(stone | counted))
        removing.content(tx, 1, ["2"])
        blank = dict.fromkeys(("sender", "recipient", "conversation", "ext"))
        husk = messages.update().where(messages.c.msg_id == "2")
        tx.conn.execute(husk.values(**blank, raw=b"", digest=b"r" * 32, withheld=2))
    again = page_of(
        *(record(name, text) for name in ("1", "2", "3") for text in ("hello", "edited")), record("2", stamp=ORIGIN)
    )
    with store.write() as tx:
        (tally,) = pages.insert(windows.hold(tx, claim), [again], ORIGIN)
    assert (tally.new, tally.known, tally.changed) == (0, 5, 2)
    assert database.rows("SELECT msg_id FROM message_revisions ORDER BY 1") == [("1",), ("3",)]
    assert database.rows("SELECT msg_id FROM revisions_readable ORDER BY 1") == [("3",)]
    with store.read() as tx:
        husks = tx.conn.execute(sa.select(messages.c.raw, messages.c.sender).where(messages.c.withheld == 2)).all()
    assert [(bytes(raw), sender) for raw, sender in husks] == [(b"", None)]
