"""A page too large to be read at once must not make its window unreadable for ever."""

from __future__ import annotations

from functools import partial

import pytest

from archiver import sessions
from archiver.errors import AnswerTooLarge
from archiver.http import Limits
from archiver.sources.easemob.portions import in_portions
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database


def test_the_limit_is_halved_until_it_fits_and_grows_again() -> None:
    asked: list[int] = []
    most = 3

    def fetch(query: dict[str, str]) -> str:
        asked.append(int(query["limit"]))
        if asked[-1] > most:
            raise AnswerTooLarge
        return query["cursor"]

    ask = in_portions(fetch)
    assert ask({"limit": "10", "cursor": "a"}) == "a"
    assert asked == [10, 5, 2]
    most = 100
    assert [ask({"limit": "10", "cursor": "b"}) for _ in range(3)] == ["b"] * 3
    assert asked[3:] == [4, 8, 10]
    most = 0
    with pytest.raises(AnswerTooLarge):
        ask({"limit": "10", "cursor": "c"})
    assert asked[-1] == 1


@pytest.mark.full
def test_texts_of_20_mb_are_archived_from_a_page_of_60(database: Database, make_archive: MakeArchive) -> None:
    archive: Archive = make_archive(database, messages=0)
    at = archive.server.start_ms + 1000
    for number in range(3):
        body = {"type": "txt", "msg": str(number) * 20_000_000}
        record = {"msg_id": str(number), "timestamp": at + number, "payload": {"bodies": [body]}}
        archive.server.add(record, visible_ms=0)
    assert archive("pull") == 0, archive.errors
    rows = database.rows(
        "SELECT msg_id, length(text), length(raw) FROM message_bodies JOIN messages USING (app_id, msg_id)"
    )
    assert sorted((row[0], row[1]) for row in rows) == [(str(number), 20_000_000) for number in range(3)]
    assert all(row[2] > 20_000_000 for row in rows)
    archive.check_sums()


@pytest.mark.full
def test_a_record_larger_than_any_answer_is_a_hole_that_is_told(
    database: Database, make_archive: MakeArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "Limits", partial(Limits, byte_limit=20_000))
    archive: Archive = make_archive(database, messages=30)
    record = {"msg_id": "huge", "timestamp": archive.server.start_ms + 1000, "payload": {"ext": "x" * 30_000}}
    archive.server.add(record, visible_ms=0)
    codes = [archive("pull", give_up="1s") for _ in range(12)]
    assert 0 not in codes, "never complete"
    assert archive.status()["complete_until_ms"] <= archive.server.start_ms + 1000
