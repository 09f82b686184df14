"""What has no stamp that anybody can mean: records in quarantine expire by when they were seen, and so do messages that
are stamped ahead, which are not stored again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from archiver.store import expiring_records, floors, holds, pages, quarantine, watermarks, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store, Tx
from archiver.store.expiring import TermOver
from archiver.store.holds import HoldCriteria, HoldRow
from tests.fixtures.archive import Archive
from tests.fixtures.databases import Database
from tests.fixtures.decided import approved
from tests.fixtures.store import ORIGIN, claimed, open_database, page_of, record
from tests.lifecycle.halves import expire_all
from tests.lifecycle.test_erase_races import left
from tests.lifecycle.test_expired_evidence import findings

pytestmark = pytest.mark.one_server("a distributed archive has no holds, terms and deletion: the commands refuse")
DAY, YEARS = 86_400_000, 10 * 365 * 86_400_000
SECRET = "the number 7731"
BROKEN = f'{{"msg_id": "broken", "timestamp": "never", "note": "{SECRET}"}}'


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A year after what the test has stored so far."""
    now_ms = Tx.now_ms
    monkeypatch.setattr(Tx, "now_ms", lambda tx: now_ms(tx) + 365 * DAY)
    yield
    monkeypatch.undo()


def over(store: Store) -> tuple[TermOver, int]:
    """A floor between what was stored and now, and the request for it."""
    with store.write(lock="exclusive") as tx:
        floor_ms = tx.now_ms() - 100 * DAY
        request = approved(tx, "retention", {"app_id": 1, "floor_ms": floor_ms})
        floors.lower(tx, 1, floor_ms, request)
    return TermOver(1, floor_ms), request


def put(store: Store, claim: windows.Claim, *records: str) -> list[int]:
    """Store a page; gives how many were new, known and quarantined."""
    with store.write(lock="shared") as tx:
        (tally,) = pages.insert(windows.hold(tx, claim), [page_of(*records)], ORIGIN)
    return [tally.new, tally.known, tally.quarantined]


def closed(store: Store, key: SourceKey, claim: windows.Claim) -> None:
    with store.write() as tx:
        locked = watermarks.lock(tx, key)
        windows.close(windows.hold(tx, claim), by_order=False)
        watermarks.move(tx, key, locked)


def emptied(store: Store, term: TermOver, request: int) -> int:
    with store.write(lock="exclusive") as tx:
        count, after = expiring_records.expire(tx, term, request, 0)
    assert after is None
    return count


def test_records_and_damaged_files_go_when_they_were_seen_so_long_ago(
    store: Store, key: SourceKey, database: Database, request: pytest.FixtureRequest
) -> None:
    claim = claimed(store, key)
    assert put(store, claim, BROKEN, record("beside")) == [1, 0, 1]
    with store.write() as tx:
        quarantine.keep_file(windows.hold(tx, claim), SECRET.encode(), "cut")
    with store.write() as tx:
        quarantine.file_came(windows.hold(tx, claim))
    assert left(database, SECRET) == {"quarantine"}
    term, number = over(store)
    assert emptied(store, term, number) == 0, "just seen"
    request.getfixturevalue("later")
    term, number = over(store)
    assert emptied(store, term, number) == 0, "its window is open: the same bytes would come again"
    closed(store, key, claim)
    with store.write(lock="exclusive") as tx:
        holds.place(tx, HoldRow(1, "x", "placed", "K", "y", "me"), HoldCriteria(participant="whoever"))
    assert emptied(store, term, number) == 0, "any hold of the app keeps it"
    database.alter("DELETE FROM hold_events")
    assert emptied(store, term, number) == 2
    assert left(database, SECRET) == set()
    rows = database.rows("SELECT reason, withheld, resolved_at IS NULL FROM quarantine")
    assert [(row[0], row[1], bool(row[2])) for row in rows] == [("expired", 2, False)] * 2
    assert database.value("SELECT sha256 FROM pages") == ""
    assert database.value("SELECT count(*) FROM tombstones WHERE kind = 'expired' AND messages = 0") == 2
    assert database.value("SELECT count(*) FROM messages") == 1
    assert emptied(store, term, number) == 0


def test_what_is_stamped_ahead_and_has_expired_is_not_stored_again(
    store: Store, key: SourceKey, database: Database, request: pytest.FixtureRequest
) -> None:
    """Alone on its page, beside others, and with another one that nobody archived before."""
    claim, ahead = claimed(store, key), ORIGIN + YEARS
    assert put(store, claim, record("alone", SECRET, ahead)) == [1, 0, 0]
    assert put(store, claim, record("first", SECRET, ahead), record("old", SECRET)) == [2, 0, 0]
    request.getfixturevalue("later")
    assert put(store, claim, record("stays", "of now", ahead)) == [1, 0, 0]
    term, number = over(store)
    expire_all(store, term, number)
    assert database.rows("SELECT msg_id FROM messages") == [("stays",)]
    named = database.rows("SELECT msg_id, position FROM tombstones WHERE msg_id IS NOT NULL ORDER BY msg_id")
    assert named == [("alone", 0), ("first", 0)], "what lies below the floor is known by its stamp"
    again = [record(one, f"{SECRET}, edited", ahead) for one in ("alone", "first")]
    assert put(store, claim, *again, record("old", SECRET), record("new", "hello", ahead)) == [1, 3, 0]
    assert left(database, SECRET) == set()
    assert database.rows("SELECT msg_id FROM messages ORDER BY 1") == [("new",), ("stays",)]
    assert database.value("SELECT count(*) FROM pages WHERE id = (SELECT max(id) FROM pages) AND sha256 = ''") == 1


def test_the_ledger_stays_whole_behind_both(begun: Archive, request: pytest.FixtureRequest) -> None:
    archive, start = begun, begun.server.start_ms
    for number, stamp in enumerate((start + YEARS, start + YEARS)):
        body = {"bodies": [{"type": "txt", "msg": SECRET}]}
        ahead = {"msg_id": f"ahead-{number}", "timestamp": stamp, "from": "a", "to": "b", "payload": body}
        archive.server.add(ahead, timestamp_ms=start + number, visible_ms=0)
    archive.server.add(BROKEN.encode(), timestamp_ms=start + 5, visible_ms=0)
    assert archive("pull") == 0
    assert archive("evidence", "seal") == 0
    assert findings(archive)["differences"] == 0
    store = open_database(archive.database)
    request.getfixturevalue("later")
    term, number = over(store)
    expire_all(store, term, number)
    assert emptied(store, term, number) == 1
    store.dispose()
    assert left(archive.database, SECRET) == set()
    assert archive("evidence", "seal") == 0
    report = findings(archive)
    assert report["differences"] == 0, report
