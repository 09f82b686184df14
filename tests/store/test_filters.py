"""One filter chooses the same messages on both databases."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from archiver.errors import UsageError
from archiver.store import pages, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store
from archiver.store.read import filters
from archiver.store.read.filters import Filter
from archiver.store.schema import messages
from tests.fixtures.store import ORIGIN, claimed, page_of, record


def sent(msg_id: str, sender: str, recipient: str, stamp: int, *types: str, chat_type: str = "chat") -> str:
    bodies = [{"type": kind, "msg": "x"} for kind in types]
    parties = {"from": sender, "to": recipient}
    return record(msg_id, "x", stamp, **parties, bodies=bodies).replace('"chat"', f'"{chat_type}"')


@pytest.fixture
def filled(store: Store, key: SourceKey) -> Store:
    page = page_of(
        sent("1", "ann", "bob", ORIGIN, "txt"),
        sent("2", "bob", "ann", ORIGIN + 1, "img", "txt"),
        sent("3", "Ann", "42", ORIGIN + 2, "txt", chat_type="groupchat"),
        sent("4", "eve", "G7", ORIGIN + 3, "loc", chat_type="chatroom"),
        sent("5", "ann", "bob", 10**17),
    )
    claim = claimed(store, key)
    with store.write() as tx:
        pages.insert(windows.hold(tx, claim), [page], ORIGIN + 10)
    return store


CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "12345"),
    ({"app": "o#a"}, "12345"),
    ({"app": "a"}, "12345"),
    ({"sender": "ann"}, "135"),
    ({"sender": "aNN"}, "135"),
    ({"sender": "Ann"}, "135"),
    ({"recipient": "BOB"}, "15"),
    ({"recipient": "42"}, "3"),
    ({"conversation": "bob|ann"}, "125"),
    ({"conversation": "Ann|Bob"}, "125"),
    ({"conversation": "42"}, "3"),
    ({"conversation": "G7"}, "4"),
    ({"from_ms": ORIGIN + 1}, "234"),
    ({"to_ms": ORIGIN + 1}, "1"),
    ({"from_ms": ORIGIN + 1, "to_ms": ORIGIN + 3}, "23"),
    ({"from_ms": -5, "to_ms": 10**30}, "1234"),
    ({"from_ms": 10**30}, ""),
    ({"to_ms": -5}, ""),
    ({"types": ("img",)}, "2"),
    ({"types": ("loc", "txt")}, "1234"),
    ({"sender": "bob", "types": ("txt",), "from_ms": ORIGIN}, "2"),
    ({"sender": "' OR 1=1 --"}, ""),
]


def test_a_filter_chooses(filled: Store) -> None:
    with filled.read() as tx:
        for wanted, right in CASES:
            query = sa.select(messages.c.msg_id).where(*filters.of_messages(tx, Filter(**wanted)))
            assert "".join(sorted(tx.conn.scalars(query))) == right, wanted


def test_an_app_that_is_not_there_is_an_error(filled: Store) -> None:
    with filled.read() as tx, pytest.raises(UsageError, match="there is: o#a"):
        filters.of_messages(tx, Filter(app="other"))
