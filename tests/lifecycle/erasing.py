"""An archive in which one person's messages stand in every table that can have them, and the way to erase them."""

from __future__ import annotations

import hashlib
from typing import Any

from archiver.store.schema import DECIDED, metadata
from tests.export.samples import said
from tests.fixtures.archive import Archive
from tests.lifecycle.conftest import Persons

TEXT = "my number is 110101199003070011"
PAIR = "\u2603\u2604"
FILE = f"passport {PAIR} of erased-1.jpg"
SHA256 = hashlib.sha256(b"the picture").hexdigest()
PEOPLE = {"from": "Erased-1", "to": "erased-2"}
IDS = ("900000000001", "900000000002")
BROKEN = b'{"msg_id":"900000000001","timestamp":"never","payload":"' + TEXT.encode() + b'"}'
WHY = ("--case", "E 3", "--reason", "letter of 2026-11-02")
ACCOUNTABLE = {"audit_log", "looks", "look_conversations", *(t.name for t in metadata.tables.values()
                                                              if t.info.get("kind") == DECIDED)}  # fmt: skip
"""Who did what stays, with the filters by which it was done."""


def speaking(archive: Archive) -> int:
    """Erased-1's messages: with a picture, a revision, events and a broken record; gives where they begin (ms)."""
    start = archive.server.start_ms
    first = said(IDS[0], TEXT, start, ext={"note": TEXT}, **PEOPLE) | PEOPLE
    picture = {"type": "img", "url": "https://a1.easemob.com/o/a/chatfiles/x", "filename": FILE, "secret": "s"}
    first["payload"]["bodies"] = [{"type": "txt", "msg": TEXT}, picture]
    archive.server.add(first, visible_ms=0)
    archive.server.add(said(IDS[1], f"{TEXT} as I said", start + 1, **PEOPLE) | PEOPLE, visible_ms=0)
    archive.server.add(BROKEN, timestamp_ms=start + 5, visible_ms=0)
    again(archive)
    archive.server.add(said(IDS[0], f"{TEXT}, edited", start, **PEOPLE) | PEOPLE, timestamp_ms=start, visible_ms=0)
    again(archive)
    assert archive("index") == 0
    archive.database.run(
        f"UPDATE attachments SET state = 'stored', sha256 = '{SHA256}', size = 11, media_type = 'image/jpeg',"
        f" fetched_at = archived FROM (SELECT archived_at AS archived FROM messages WHERE msg_id = '{IDS[0]}') m"
        f" WHERE msg_id = '{IDS[0]}'"
    )
    for column in ("msg_id", "target_msg_id"):
        archive.database.run(
            f"INSERT INTO events (app_id, kind, {column}, at_ms, actor, signed, text, raw, digest, received_at)"
            f" VALUES (1, 'edit', '{IDS[0]}', {start}, 'erased-1', 'signed', '{TEXT}', '{TEXT}',"
            f" '{column}', '2026-11-01T00:00:00.000Z')"
        )
    return start


def again(archive: Archive) -> int:
    """Have an audit walk where the messages are; gives its exit code, which is no error."""
    start = archive.server.start_ms
    code = archive("audit", "--from", str(start), "--to", str(start + 60_000))
    assert code in (0, 3), archive.errors
    return code


def requested(persons: Persons, *which: str, approve: bool = True) -> str:
    """Have alice ask for an erasure, and bob approve it; gives the number. Who operates comes next."""
    persons.now("alice")
    assert persons.archive("erase", "request", *(which or ("--sender", "erased-1")), *WHY) == 0, persons.archive.errors
    number = persons.archive.output.split("request ")[1].split()[0]
    if approve:
        persons.now("bob")
        assert persons.archive("requests", "approve", number) == 0
    persons.operate()
    return number


def left_of(archive: Archive, *words: str) -> list[str]:
    """The tables in which one of these words still stands, in any case; not those that account for acts."""
    tables = [table.name for table in metadata.sorted_tables if table.name not in ACCOUNTABLE]
    more = ["search_index_data"] if archive.database.kind == "sqlite" else []
    return [table for table in [*tables, *more] if _holds(archive, table, words)]


def _holds(archive: Archive, table: str, words: tuple[str, ...]) -> bool:
    shown = "\n".join(str([_text(value) for value in row]) for row in archive.database.rows(f"SELECT * FROM {table}"))
    return any(word.lower() in shown.lower() for word in words)


def _text(value: Any) -> Any:
    return bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else value
