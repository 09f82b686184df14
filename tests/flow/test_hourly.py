"""The hourly source on the whole way: thirty hours with everything that happens to them, on both databases."""

from __future__ import annotations

from tests.conftest import Database
from tests.flow.conftest import Archive, MakeArchive

HOUR = 3_600_000


def hourly(make_archive: MakeArchive, database: Database, hours: int, **options: object) -> Archive:
    """An archive over hourly files whose messages lie in the past so far that all of them are due."""
    import time

    now = int(time.time() * 1000)
    start = (now - (hours + 30) * HOUR) // HOUR * HOUR
    defaults = {"messages": 600, "start_ms": start, "span_ms": hours * HOUR}
    archive = make_archive(database, **(defaults | options))
    archive.settings |= {"source": "hourly", "page_size": 100}
    return archive


def stored(archive: Archive) -> set[str]:
    return {row[0] for row in archive.database.rows("SELECT msg_id FROM messages")}


def test_thirty_hours_are_archived_and_closed(database: Database, make_archive: MakeArchive) -> None:
    archive = hourly(make_archive, database, 30)
    assert archive("-v", "pull") == 0, archive.errors
    assert stored(archive) == {row.msg_id for row in archive.server.records}
    status = archive.status()
    assert status["source"] == "hourly"
    assert status["complete_from_ms"] == archive.server.start_ms
    assert status["complete_until_ms"] >= archive.server.records[-1].timestamp_ms
    assert status["holes"] == []
    archive.check_sums()
