"""The hourly comparison: what files and callbacks lack, and what is counted apart; a report beside the claim."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archiver.callbacks.comparison import compare
from archiver.callbacks.report import event_totals, report
from archiver.config import load
from archiver.service import alerts
from archiver.store import apps, reconciliations
from archiver.store.apps import SourceKey
from archiver.store.engine import Store, open_store
from archiver.store.read import callbacks as figures
from tests.callbacks.sending import Receiving, message, now_ms, recall
from tests.fixtures.archive import Clock

HOUR = 3_600_000
MANY = (
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
    " INSERT INTO messages (app_id, msg_id, timestamp_ms, sent_at, chat_type, raw, digest, lossy, page_id, position,"
    " archived_at) SELECT 1, 'm' || i, {at}, '{sent}', 'chat', m.raw, m.digest, m.lossy, m.page_id, 1, '{archived}'"
    " FROM n CROSS JOIN (SELECT * FROM messages ORDER BY msg_id LIMIT 1) m"
)


class Compared:
    """An archive with one hour of made-up messages, whose clock is set by the test."""

    def __init__(self, receiving: Receiving) -> None:
        self.receiving, self.app = receiving, receiving.app
        self.hour = (now_ms() // HOUR - 20) * HOUR
        self.clock = Clock(self.hour + 2 * HOUR)
        url = receiving.archive.database.url.replace("postgresql://", "postgresql+psycopg://")
        self.store: Store = open_store(url, self.clock)
        with self.store.read() as tx:
            found = apps.find(tx, self.app, "cursor")
        assert found is not None
        self.key: SourceKey = found

    def archived(self, count: int) -> list[str]:
        """So many messages stamped in the hour, m0, m1, ..."""
        sent = iso(self.hour + 60_000)
        words = {"last": count - 1, "at": self.hour + 60_000, "sent": sent, "archived": iso(self.hour + HOUR)}
        self.receiving.archive.database.run(MANY.format(**words))
        return [f"m{number}" for number in range(count)]

    def announced(self, *ids: str, **more: Any) -> None:
        """Callbacks of messages that are stamped in the hour; the first event came the hour before."""
        at = self.hour + 60_000
        before = message(self.app, "before", timestamp=self.hour - 1000)
        if not self.receiving.events("id"):
            self.receiving.segment(before, received_ms=self.hour - 1000)
        for first in range(0, len(ids), 500):
            bodies = [message(self.app, one, timestamp=at, **more) for one in ids[first : first + 500]]
            self.receiving.segment(*bodies, received_ms=at)
        self.receiving.ingest()

    def compare(self) -> reconciliations.Comparison | None:
        with self.store.write() as tx:
            return reconciliations.compare_next(tx, self.key)


def iso(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms / 1000)) + f".{ms % 1000:03}Z"


@pytest.fixture
def compared(receiving: Receiving) -> Iterator[Compared]:
    receiving.archive.database.alter("UPDATE messages SET timestamp_ms = timestamp_ms - 864000000, sent_at = NULL")
    found = Compared(receiving)
    yield found
    found.store.dispose()
    receiving.archive.database.run(
        "DELETE FROM events WHERE kind = 'message' AND msg_id LIKE 'm%' AND EXISTS"
        " (SELECT 1 FROM messages m WHERE m.msg_id = events.msg_id)"
    )
    receiving.archive.database.alter("DELETE FROM messages WHERE msg_id LIKE 'm%'")


def lacking(compared: Compared, files: int, callbacks: int) -> reconciliations.Comparison:
    """A thousand messages, of which files and callbacks lack so many, beside 20 recalled, 30 of rooms and 10 cmd."""
    there = compared.archived(1000 - files)
    missing = [f"x{number}" for number in range(files)]
    compared.announced(*there[callbacks:], *missing)
    compared.announced(*(f"r{number}" for number in range(20)))
    recalls = [recall(compared.app, f"r{n}", own=f"own{n}", timestamp=compared.hour + 90_000) for n in range(20)]
    compared.receiving.segment(*recalls, received_ms=compared.hour + 90_000)
    room = {"chat_type": "groupchat", "group_id": "9", "content_type": "chat:room:text"}
    compared.announced(*(f"room{number}" for number in range(30)), **room)
    compared.announced(*(f"cmd{number}" for number in range(10)), bodies=[{"type": "cmd", "action": "a"}])
    result = compared.compare()
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("files", "callbacks", "partial", "alarms"),
    [(5, 7, False, True), (2, 3, False, False), (2, 300, True, False), (2, 300, False, True)],
)
def test_what_files_and_callbacks_lack_is_counted_and_alarms_above_a_hundredth(
    compared: Compared, files: int, callbacks: int, partial: bool, alarms: bool
) -> None:
    result = lacking(compared, files, callbacks)
    assert result._replace(deleted=0) == reconciliations.Comparison(
        compared.hour,
        both=1000 - files - callbacks,
        only_file=callbacks,
        only_callback=files,
        recalled=20,
        chatroom=30,
        cmd=10,
    )
    with compared.store.read() as tx:
        counted = figures.figures(tx, compared.key.app_id, partial=partial)
    assert bool(counted.gaps) == alarms
    assert (counted.only_file, counted.only_callback) == (callbacks, files)
    database = compared.receiving.archive.database
    rows = database.rows("SELECT msg_id, text FROM only_callback ORDER BY msg_id")
    assert [tuple(row) for row in rows] == [(f"x{number}", "hello") for number in range(files)]
    assert database.value("SELECT count(*) FROM events WHERE kind = 'message' AND msg_id LIKE 'm%'") == 0
    assert result.deleted == 1000 - files - callbacks
    totals = {row[1:3]: row[3] for row in event_totals(compared.store)}
    assert totals["message", "signed"] == 1 + 1000 - callbacks + 20 + 30 + 10, "deleted ones are counted as ever"


def test_an_hour_is_compared_when_the_record_of_it_is_closed_and_ten_minutes_have_passed(compared: Compared) -> None:
    database = compared.receiving.archive.database
    compared.announced(*compared.archived(3))
    end = compared.hour + HOUR
    compared.clock.now_ms = end + 10 * 60_000 - 1
    assert compared.compare() is None
    before = database.rows("SELECT complete_until_ms FROM watermarks")
    database.run(f"UPDATE watermarks SET complete_until_ms = {end - 1}")
    compared.clock.now_ms = end + 10 * 60_000
    assert compared.compare() is None
    database.run(f"UPDATE watermarks SET complete_until_ms = {end}")
    first = compared.compare()
    assert first is not None
    assert (first.hour_ms, first.both) == (compared.hour, 3)
    assert compared.compare() is None
    database.run(f"UPDATE watermarks SET complete_until_ms = {before[0][0]}")


def test_an_hour_whose_record_is_not_closed_after_three_days_is_not_compared(compared: Compared) -> None:
    database = compared.receiving.archive.database
    compared.announced(*compared.archived(3), "elsewhere")
    before = database.rows("SELECT complete_until_ms FROM watermarks")
    database.run(f"UPDATE watermarks SET complete_until_ms = {compared.hour}")
    compared.clock.now_ms = compared.hour + HOUR + 72 * HOUR - 1
    assert compared.compare() is None
    compared.clock.now_ms += 1
    result = compared.compare()
    assert result is not None
    assert (result.outcome, result.both, result.deleted) == ("not compared", 0, 3)
    assert [row[0] for row in compared.receiving.events("msg_id")] == ["before", "elsewhere"]
    assert database.rows("SELECT * FROM only_callback") == []
    database.run(f"UPDATE watermarks SET complete_until_ms = {before[0][0]}")


def test_a_record_that_comes_later_ends_what_the_view_lists_and_changes_nothing_else(compared: Compared) -> None:
    database = compared.receiving.archive.database
    compared.announced("m0")
    result = compared.compare()
    assert result is not None
    assert result.only_callback == 1
    assert [row[0] for row in database.rows("SELECT msg_id FROM only_callback")] == ["m0"]
    compared.archived(1)
    assert database.rows("SELECT * FROM only_callback") == []
    late = iso(compared.clock.now_ms + 1000)
    database.alter(f"UPDATE messages SET archived_at = '{late}' WHERE msg_id = 'm0'")
    with compared.store.write() as tx:
        assert reconciliations.delete_late(tx, compared.key) == 0, "it was a finding, and stays one"


@pytest.mark.full
def test_copies_that_come_after_their_hour_was_compared_are_deleted_then(compared: Compared) -> None:
    compared.announced(*compared.archived(2))
    result = compared.compare()
    assert result is not None
    offline: dict[str, Any] = {"eventType": "chat_offline", "to": "cleo", "timestamp": compared.hour + 60_000}
    compared.receiving.segment(message(compared.app, "m0", **offline), received_ms=compared.hour + 70_000)
    compared.receiving.ingest()
    with compared.store.write() as tx:
        assert reconciliations.delete_late(tx, compared.key) == 1
    database = compared.receiving.archive.database
    assert database.value("SELECT deleted FROM reconciliations") == 3


def test_the_comparison_begins_behind_the_first_event(compared: Compared) -> None:
    with compared.store.read() as tx:
        assert reconciliations.next_hour(tx, compared.key) is None
    assert compared.compare() is None
    compared.announced("m0")
    with compared.store.read() as tx:
        assert reconciliations.next_hour(tx, compared.key) == compared.hour


@pytest.mark.full
def test_status_and_the_report_say_how_callbacks_stand(compared: Compared) -> None:
    archive = compared.receiving.archive
    lacking(compared, 5, 7)
    compared.receiving.take(recall(compared.app, "m0") | {"security": "0" * 32})
    archive("status", "--format", "json")
    (entry,) = json.loads(archive.output)["apps"]
    assert entry["callbacks"].pop("last_event_at")
    assert entry["callbacks"] == {
        "spool_bytes": 0,
        "oldest_unread_seconds": None,
        "unsigned": 0,
        "wrong": 1,
        "only_file": 7,
        "only_callback": 5,
    }
    assert archive("callbacks", "status", "--language", "en") == 0
    assert "5 messages were announced by callback and are not in the record" in archive.output
    assert "ArchiverCallbackGap" in archive.output
    assert archive("callbacks", "status", "--format", "json") == 0
    content = json.loads(archive.output)
    assert content["hours"][0]["only_file"] == 7
    assert {(row["kind"], row["signed"]): row["count"] for row in content["events"]}["recall", "wrong"] == 1
    archive("status", "--format", "prometheus")
    app = compared.app
    for line in (
        f'archiver_callbacks_events_total{{app="{app}",kind="recall",signed="signed"}} 20.0',
        "archiver_callbacks_spool_bytes 0.0",
        f'archiver_callbacks_problem{{alert="ArchiverCallbackSignature",app="{app}"}} 1.0',
    ):
        assert line in archive.output.splitlines()
    assert archive("status", "--language", "en") in (0, 3)
    assert "with a wrong signature" in archive.output


def test_alarms_are_for_wrong_signatures_gaps_and_a_spool_that_nobody_reads(receiving: Receiving) -> None:
    settings = load(receiving.archive.config, {})
    receiving.take(recall(receiving.app, "1") | {"security": "0" * 32})
    path = receiving.segment(recall(receiving.app, "2"), received_ms=now_ms() - 2 * HOUR)
    found = alerts.of_callbacks(report(receiving.store, settings))
    assert [(one.name, one.app, one.severity) for one in found] == [
        ("ArchiverCallbackSignature", receiving.app, "warning"),
        ("ArchiverCallbackSpool", "", "critical"),
    ]
    path.unlink()
    assert [one.name for one in alerts.of_callbacks(report(receiving.store, settings))] == ["ArchiverCallbackSignature"]
    assert alerts.of_callbacks(None) == []


def test_what_is_not_configured_has_no_figures_and_no_command(receiving: Receiving) -> None:
    archive = receiving.archive
    archive.sections = ""
    archive.write_config()
    archive("status", "--format", "json")
    (entry,) = json.loads(archive.output)["apps"]
    assert entry["callbacks"] is None
    assert archive("callbacks", "status") == 2


def test_doctor_looks_at_spool_secrets_and_token_and_says_how_to_test_the_url(receiving: Receiving) -> None:
    archive = receiving.archive
    archive("doctor")
    assert "this host reads it: 0 segments" in archive.output
    assert "2 secrets of rules" in archive.output
    assert "prints 405" in archive.output
    (archive.config.parent / "secrets").write_text("")
    assert archive("doctor") == 2
    assert "write the secret of every rule" in archive.output


@pytest.mark.full
def test_a_pull_compares_what_is_due(receiving: Receiving) -> None:
    settings = load(receiving.archive.config, {})
    assert compare(settings, receiving.store) == 0
    receiving.segment(message(receiving.app, "1", timestamp=now_ms() - 80 * HOUR), received_ms=now_ms() - 80 * HOUR)
    receiving.archive("pull")
    assert receiving.archive.count("reconciliations") > 0
    assert Path(settings.callbacks.spool if settings.callbacks else "").is_dir()
