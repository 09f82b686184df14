"""Every documented body type, sent as documented, pulled, and read back by SQL field by field."""

from __future__ import annotations

from typing import Any

import pytest

from archiver.model import Body
from tests.fixtures.archive import MakeArchive
from tests.fixtures.databases import Database

URL = "https://a1.easemob.com/easemob-demo/chatdemoui/chatfiles/0c0f5f3a-e66b-11e3-8863-f1c202c2b3ae"

FILE = {
    "url": URL,
    "filename": "a.bin",
    "secret": "pCY80PdfEeO4Jh9URCOfMQWU9QYsJytynu4n-yhtvAhmt1g9",
    "file_length": 22,
}
FILE_ROW = {"url": URL, "filename": "a.bin", "secret": FILE["secret"], "file_length": 22}

# name: (body as sent, columns as stored)
BODIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "txt": ({"type": "txt", "msg": "你好 👋"}, {"type": "txt", "text": "你好 👋"}),
    "txt with other keys": (
        {"type": "txt", "msg": "x", "targetLanguages": ["en"]},
        {"type": "txt", "text": "x", "extra": {"targetLanguages": ["en"]}},
    ),
    "img": (
        {"type": "img", **FILE, "size": {"width": 746, "height": 1325}, "thumb": URL + "1", "thumb_secret": "t"},
        {"type": "img", **FILE, "width": 746, "height": 1325, "thumb_url": URL + "1", "thumb_secret": "t"},
    ),
    "img of 2015": (
        {"type": "img", "filename": "1.png", "secret": "", "url": URL},
        {"type": "img", "filename": "1.png", "secret": "", "url": URL},
    ),
    "loc": (
        {"type": "loc", "addr": "北京市海淀区", "lat": 39.983805, "lng": 116.307417},
        {"type": "loc", "addr": "北京市海淀区", "lat": 39.983805, "lng": 116.307417},
    ),
    "loc with texts": (
        {"type": "loc", "addr": "a", "lat": "39.9", "lng": "-116.3"},
        {"type": "loc", "addr": "a", "lat": 39.9, "lng": -116.3},
    ),
    "audio": ({"type": "audio", **FILE, "length": 3}, {"type": "audio", **FILE, "duration": 3}),
    "video": (
        {"type": "video", **FILE, "length": 10, "size": {"width": 1, "height": 2}, "thumb": URL, "thumb_secret": "s"},
        {"type": "video", **FILE, "duration": 10, "width": 1, "height": 2, "thumb_url": URL, "thumb_secret": "s"},
    ),
    "file": ({"type": "file", **FILE}, {"type": "file", **FILE}),
    "cmd": ({"type": "cmd", "action": "run"}, {"type": "cmd", "text": "run"}),
    "custom with a list": (
        {"type": "custom", "customEvent": "gift", "customExts": [{"name": "花"}, {"count": 3}]},
        {"type": "custom", "text": "gift", "extra": {"customExts": [{"name": "花"}, {"count": 3}]}},
    ),
    "custom with a map": (
        {"type": "custom", "customEvent": "gift", "v2:customExts": {"name": "花"}},
        {"type": "custom", "text": "gift", "extra": {"v2:customExts": {"name": "花"}}},
    ),
    "combine": (
        {
            "type": "txt",
            "subType": "sub_combine",
            "combineLevel": 1,
            **FILE,
            "msg": "upgrade to read",
            "title": "Chat of A and B",
            "summary": "A: hi",
        },
        {
            "type": "combine",
            **FILE,
            "text": "Chat of A and B\nA: hi",
            "extra": {
                "subType": "sub_combine",
                "combineLevel": 1,
                "msg": "upgrade to read",
                "title": "Chat of A and B",
                "summary": "A: hi",
            },
        },
    ),
    "combine as the history page prints it": (
        {"combineLevel": 1, **FILE, "subType": "sub_combine", "title": "T"},
        {
            "type": "combine",
            **FILE,
            "text": "T",
            "extra": {"combineLevel": 1, "subType": "sub_combine", "title": "T"},
        },
    ),
    "unknown type": ({"type": "hologram", "x": [1]}, {"type": "hologram", "extra": {"x": [1]}}),
    "no type": ({"x": None}, {"type": "unknown", "extra": {"x": None}}),
    "a text instead of an object": ("hello", {"type": "unknown", "extra": "hello"}),
    "null instead of an object": (None, {"type": "unknown", "extra": None}),
}  # fmt: skip

COLUMNS = Body._fields


@pytest.fixture
def sent(database: Database, make_archive: MakeArchive) -> Any:
    """An archive into which each body was pulled as a message of its own, and all of them as one message."""
    archive = make_archive(database, messages=0)
    at = archive.server.start_ms + 1000
    groups = {name: [body] for name, (body, _) in BODIES.items()} | {
        "all at once": [body for body, _ in BODIES.values()]
    }
    for name, bodies in groups.items():
        record = {
            "msg_id": name,
            "timestamp": at,
            "from": "admin",
            "to": "x",
            "chat_type": "groupchat",
            "payload": {"bodies": bodies, "ext": {"nested": {"k": [None, True, 1.5]}}},
        }
        archive.server.add(record, visible_ms=0)
    assert archive("pull") == 0
    return archive


def test_each_body_is_stored_field_by_field(sent: Any) -> None:
    columns = ", ".join(COLUMNS)
    for name, (_, columns_wanted) in BODIES.items():
        (row,) = sent.database.rows(f"SELECT {columns} FROM message_bodies WHERE msg_id = ?", name)
        found = dict(zip(COLUMNS, row, strict=True))
        if "extra" in columns_wanted:
            assert sent.database.json(found.pop("extra")) == columns_wanted["extra"], name
        wanted = dict.fromkeys(COLUMNS) | columns_wanted
        wanted.pop("extra") if "extra" in columns_wanted else None
        assert found == wanted, name


def test_several_bodies_keep_their_places(sent: Any) -> None:
    rows = sent.database.rows(
        "SELECT position, type FROM message_bodies WHERE msg_id = 'all at once' ORDER BY position"
    )
    assert rows == [(at, wanted["type"]) for at, (_, wanted) in enumerate(BODIES.values())]


def test_the_bytes_of_each_record_are_kept(sent: Any) -> None:
    stored = {msg_id: bytes(raw) for msg_id, raw in sent.database.rows("SELECT msg_id, raw FROM messages")}
    assert stored == {row.msg_id: row.raw for row in sent.server.records}
    assert sent.database.value("SELECT count(*) FROM messages WHERE lossy") == 0
    assert sent.database.json(sent.database.value("SELECT ext FROM messages LIMIT 1")) == {
        "nested": {"k": [None, True, 1.5]}
    }


def test_every_link_is_recorded_as_an_attachment(sent: Any) -> None:
    rows = sent.database.rows("SELECT kind, url, declared_length, state FROM attachments WHERE msg_id = 'img'")
    assert sorted(rows) == [("file", URL, 22, "pending"), ("thumbnail", URL + "1", None, "pending")]
    sent.check_sums()


@pytest.mark.parametrize(
    ("ext", "stored"), [("absent", None), (None, None), ({}, {}), ({"a": {"b": []}}, {"a": {"b": []}}), (7, 7)]
)
def test_ext_in_all_its_forms(database: Database, make_archive: MakeArchive, ext: Any, stored: Any) -> None:
    archive = make_archive(database, messages=0)
    payload = {"bodies": []} if ext == "absent" else {"bodies": [], "ext": ext}
    record = {"msg_id": "1", "timestamp": archive.server.start_ms + 5, "payload": payload}
    archive.server.add(record, visible_ms=0)
    assert archive("pull") == 0
    assert archive.database.json(archive.database.value("SELECT ext FROM messages")) == stored
    assert archive.count("message_bodies") == 0
