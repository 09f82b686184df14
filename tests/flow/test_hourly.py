"""The hourly source on the whole way, in simulated time: hours and everything that happens to them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import pytest
import requests

from archiver import coverage, review, sessions
from archiver.http import DownloadLimits, download
from archiver.model import Window
from archiver.pull import commands, walk
from archiver.sandbox import Faults
from archiver.sources import decode, salvage
from archiver.sources.easemob.hours import hour_name
from archiver.store import windows
from archiver.store.schema import iso
from archiver.store.windows import Held
from tests.fixtures.archive import MakeSimulated, Simulated
from tests.fixtures.databases import Database

HOUR = 3_600_000
DAY = 24 * HOUR
NOON = int(datetime(2026, 11, 20, 4, 0, tzinfo=UTC).timestamp() * 1000)
"""Noon in Beijing."""


def make(make_simulated: MakeSimulated, *, hours: int, age: int, messages: int = 600, **options: object) -> Simulated:
    """`hours` hours with messages, the last of which ended `age` hours before noon."""
    start = NOON - (age + hours) * HOUR
    data = {"messages": messages, "start_ms": start, "span_ms": hours * HOUR}
    return make_simulated(now=NOON, server=data, page_size=100, **options)


def test_thirty_hours_with_quiet_ones_are_archived_and_closed(make_simulated: MakeSimulated) -> None:
    archive = make(make_simulated, hours=30, age=26, messages=60)
    quiet = archive.server.start_ms + 7 * HOUR
    for row in list(archive.server.records):
        if quiet <= row.timestamp_ms < quiet + 2 * HOUR:
            archive.server.remove(row)
    assert archive.pull().exit_code == 0
    assert archive.stored() == archive.served()
    status = archive.status()
    assert status["complete_from_ms"] == archive.server.start_ms
    assert status["complete_until_ms"] == NOON - 26 * HOUR, "the last hour that is due waits for the next one's file"
    assert status["holes"] == []
    assert archive.server.count("/chatmessages/", status=404) >= 2
    raw = {row[0]: bytes(row[1]) for row in archive.database.rows("SELECT msg_id, raw FROM messages")}
    assert all(b'"direction":"outgoing"' in each for each in raw.values())


@pytest.mark.full
@pytest.mark.parametrize("start", [NOON - 29 * HOUR - HOUR // 2, NOON - 300 * HOUR], ids=["half past", "too old"])
def test_who_comes_before_the_first_pull_begins_the_archive_as_that_would(
    make_simulated: MakeSimulated, both: Sequence[Database], start: int
) -> None:
    """The canary, or a backfill, may be the first command of all."""
    found = []
    for database, before in zip(both, (True, False), strict=True):
        archive = make(make_simulated, hours=5, age=25, on=database, messages=60)
        archive.keys |= {"start": iso(start), "retention": "72h"}
        if before:
            commands.registered(archive.store, archive.settings().apps[0])
        assert archive.pull().exit_code == 0
        tables = ("origin_ms, settle_ms, grain_ms, retention_ms FROM sources", "lo_ms, hi_ms, state FROM windows")
        found.append([sorted(database.rows(f"SELECT {columns}")) for columns in tables])
        assert (found[-1][0][0][0] + 8 * HOUR) % HOUR == 0
    assert found[0] == found[1]


def test_an_hour_closes_when_the_next_file_has_been_read(make_simulated: MakeSimulated) -> None:
    archive = make(make_simulated, hours=3, age=24, messages=30)
    archive.clock.now_ms += 5_000  # the margin between nodes
    assert archive.pull().exit_code == 0
    assert archive.states() == ["closed", "closed", "pending"]
    archive.clock.now_ms += HOUR
    assert archive.pull().exit_code == 0
    assert archive.states() == ["closed", "closed", "closed", "pending"]
    assert archive.pull().tally.received == 0, "nothing is read twice"


@pytest.mark.full
def test_growth_between_the_passes_is_found(make_simulated: MakeSimulated) -> None:
    archive = make(make_simulated, hours=3, age=2, messages=90, faults=Faults(hour_growth=0.5))
    archive.pull()
    early = archive.stored()
    assert early < archive.served()
    assert archive.states(0).count("closed") >= 2
    assert archive.status()["complete_until_ms"] == archive.server.start_ms, "an early look claims nothing"
    archive.clock.now_ms += DAY
    assert archive.pull().exit_code == 0
    assert archive.stored() == archive.served()
    assert archive.status()["late_arrivals"] == 0


@pytest.mark.full
def test_faults_on_the_way_lose_nothing(make_simulated: MakeSimulated) -> None:
    faults = Faults(hour_cut=0.2, http_429=0.1, http_500=0.1, only="/chatmessages/")
    faults.hour_members = faults.hour_crlf = faults.hour_blank_lines = True
    archive = make(make_simulated, hours=30, age=26, faults=faults)
    for _ in range(30):
        if archive.pull().exit_code == 0:
            break
        archive.clock.now_ms += 60_000
    assert archive.stored() == archive.served()
    assert set(archive.states()) <= {"closed", "pending"}
    assert archive.status()["overdue_seconds"] == 0


@pytest.mark.full
def test_what_was_lost_before_the_first_contact_lies_before_the_archive(make_simulated: MakeSimulated) -> None:
    """Nobody accepted it, so it is no accepted hole, and the claim does not speak of it."""
    archive = make(make_simulated, hours=100, age=26)
    assert archive.pull().exit_code == 0
    status = archive.status()
    assert status["holes"] == []
    before = status["before"]
    assert (before["lo_ms"], before["hi_ms"]) == (archive.server.start_ms, NOON - 72 * HOUR)
    assert status["complete_from_ms"] == before["hi_ms"] == status["origin_ms"]
    assert "Before the archive's beginning" in coverage.in_words(archive.report())
    assert archive.database.rows("SELECT count(*) FROM coverage_holes") == [(0,)]
    assert archive.server.count("/chatmessages/", status=400) == 0, "it is not probed"
    assert archive.stored() == {row.msg_id for row in archive.server.records if row.timestamp_ms >= before["hi_ms"]}


@pytest.mark.full
def test_an_outage_of_four_days_ends_in_visible_holes(make_simulated: MakeSimulated) -> None:
    archive = make(make_simulated, hours=30, age=26)
    assert archive.pull().exit_code == 0
    archive.clock.now_ms += 4 * DAY
    dead = archive.status()
    assert dead["time_to_loss_seconds"] < 0, "a dead archiver is seen from the database alone"
    assert archive.pull().exit_code == 3
    status = archive.status()
    assert {hole["state"] for hole in status["holes"]} == {"expired"}
    lost = archive.states().count("expired")
    assert 48 <= lost <= 52
    whole = Window(min(hole["lo_ms"] for hole in status["holes"]), max(hole["hi_ms"] for hole in status["holes"]))
    assert review.accept(archive.store, whole, "the machine was off", "tester") == lost
    assert archive.pull().exit_code == 0
    after = archive.status()
    assert after["complete_until_ms"] > whole.hi_ms
    assert {hole["state"] for hole in after["holes"]} == {"accepted"}


@pytest.mark.full
@pytest.mark.parametrize("fault", ["hour_cut", "hour_trailing", "hour_empty"])
def test_what_came_of_a_damaged_file_is_kept_before_the_provider_drops_it(
    make_simulated: MakeSimulated, fault: str
) -> None:
    archive = make(make_simulated, hours=3, age=26, messages=900)
    bad = archive.server.start_ms + HOUR
    of_bad = {row.msg_id for row in archive.server.records if bad <= row.timestamp_ms < bad + HOUR}
    faults = archive.server.faults
    faults.only, faults.hour_growth = f"{hour_name(bad, 8 * HOUR)}.gz", 0.0
    setattr(faults, fault, 1.0)
    for _ in range(5):
        assert archive.pull().exit_code == 75
        archive.clock.now_ms += 60_000
    assert archive.stored() == archive.served() - of_bad
    (entry,) = review.quarantined(archive.store)
    assert entry.seen == 5, "one entry, however often it came"
    assert "damaged file, kept as it came" in entry.reason
    assert archive.status()["quarantined"] == 1
    archive.clock.now_ms += 4 * DAY
    assert archive.pull().exit_code == 3, "the hour is lost"
    before = archive.status()
    assert before["holes"]
    done = review.requeue(archive.store, decode, salvage=salvage)
    read = archive.stored() & of_bad
    if fault == "hour_trailing":
        assert read == of_bad
    elif fault == "hour_cut":
        assert 20 < len(read) < len(of_bad)
    assert done.resolved == (fault != "hour_empty")
    assert archive.status()["holes"] == before["holes"], "nobody knows what else the file held"
    assert archive.status()["messages"] == before["messages"] + len(read)
    assert review.requeue(archive.store, decode, salvage=salvage).resolved == 0


def test_what_came_of_a_file_that_is_not_packed_and_cut_is_kept_as_well(make_simulated: MakeSimulated) -> None:
    """Nothing tells that it is cut before its last record is read."""
    archive = make(make_simulated, hours=3, age=26, messages=90)
    bad = archive.server.start_ms + HOUR
    of_bad = {row.msg_id for row in archive.server.records if bad <= row.timestamp_ms < bad + HOUR}
    faults = archive.server.faults
    faults.only, faults.hour_growth = f"{hour_name(bad, 8 * HOUR)}.gz", 0.0
    faults.hour_inflated, faults.hour_cut = True, 1.0
    assert archive.pull().exit_code == 75
    assert archive.stored() == archive.served() - of_bad
    (entry,) = review.quarantined(archive.store)
    assert "damaged file, kept as it came" in entry.reason
    assert review.requeue(archive.store, decode, salvage=salvage).resolved == 1
    assert 5 < len(archive.stored() & of_bad) < len(of_bad)


@pytest.mark.full
def test_a_damaged_file_that_comes_well_later_is_settled(make_simulated: MakeSimulated) -> None:
    archive = make(make_simulated, hours=3, age=26, messages=90)
    faults = archive.server.faults
    faults.only, faults.hour_growth, faults.hour_cut = ".gz", 0.0, 1.0
    assert archive.pull().exit_code == 75
    assert archive.status()["quarantined"] > 0
    faults.hour_cut = 0.0
    archive.clock.now_ms += 60_000
    assert archive.pull().exit_code == 0
    assert archive.status()["quarantined"] == 0
    assert archive.stored() == archive.served()


@pytest.mark.full
def test_a_file_that_is_not_ready_is_asked_for_again(make_simulated: MakeSimulated) -> None:
    archive = make(make_simulated, hours=2, age=26, messages=40)
    archive.server.faults.hour_delay_min = 60 * 27
    assert archive.pull().exit_code == 75
    assert "not_ready" in archive.states()
    archive.clock.now_ms += 2 * HOUR
    assert archive.pull().exit_code in (0, 75)
    archive.clock.now_ms += 2 * HOUR
    archive.server.faults.hour_delay_min = 0
    assert archive.pull().exit_code == 0
    assert archive.stored() == archive.served()


@pytest.mark.full
def test_a_wrong_zone_is_refused_and_nothing_closes(make_simulated: MakeSimulated) -> None:
    archive = make(make_simulated, hours=6, age=30, hour_utc_offset="+00:00")
    refused = archive.pull()
    assert refused.exit_code == 2
    assert "hour_utc_offset" in str(refused.reason)
    assert refused.hint == 'hour_utc_offset = "+08:00"'
    assert "closed" not in archive.states()
    assert archive.status()["complete_until_ms"] == archive.status()["complete_from_ms"]
    archive.keys["hour_utc_offset"] = "+08:00"
    assert archive.pull().exit_code == 0
    assert archive.stored() == archive.served()


@pytest.mark.full
def test_a_backlog_of_72_hours_keeps_to_ten_requests_a_minute(make_simulated: MakeSimulated) -> None:
    faults = Faults(hour_requests_per_minute=10)
    archive = make(make_simulated, hours=70, age=1, rate="10/min", faults=faults)
    began = archive.clock.now_ms
    assert archive.pull().exit_code == 0
    links = [each for each in archive.server.requests if "/chatmessages/" in each.path]
    assert archive.server.count("/chatmessages/", status=429) == 0
    assert (archive.clock.now_ms - began) // 60_000 >= (len(links) - 10) // 10
    rows = archive.database.rows('SELECT lo_ms, closed_at FROM windows WHERE "pass" = 1 AND walked_at IS NOT NULL')
    walked = archive.database.rows(
        'SELECT lo_ms FROM windows WHERE "pass" = 1 AND walked_at IS NOT NULL ORDER BY walked_at, id'
    )
    assert len(rows) == len(walked)
    assert walked == sorted(walked), "the most endangered hour first"


@pytest.mark.full
def test_both_sources_share_one_table_without_false_revisions(make_simulated: MakeSimulated) -> None:
    archive = make(make_simulated, hours=10, age=30)
    assert archive.pull().exit_code == 0
    archive.keys |= {"source": "cursor", "audits": []}
    outcome = archive.pull()
    assert outcome.exit_code == 0
    assert (outcome.tally.new, outcome.tally.changed) == (0, 0)
    assert archive.stored() == archive.served()
    marks = archive.database.rows("SELECT source, complete_until_ms FROM watermarks ORDER BY source")
    assert [row[0] for row in marks] == ["cursor", "hourly"]
    assert marks[0][1] != marks[1][1]


def lines_of(archive: Simulated, name: str) -> set[bytes]:
    """The lines of an hour's file, fetched as anybody would."""
    server = archive.server
    token = {"grant_type": "client_credentials", "client_id": server.client_id, "client_secret": server.client_secret}
    bearer = requests.post(f"{server.home}/token", json=token, timeout=10).json()["access_token"]
    headers = {"Authorization": f"Bearer {bearer}"}
    link = requests.get(f"{server.home}/chatmessages/{name}", headers=headers, timeout=10).json()["data"][0]["url"]
    return set(gzip.decompress(requests.get(link, timeout=10).content).splitlines())


@pytest.mark.full
def test_the_bytes_of_each_line_are_kept(make_simulated: MakeSimulated) -> None:
    archive = make(make_simulated, hours=2, age=26, messages=80)
    assert archive.pull().exit_code == 0
    hours = [hour_name(archive.server.start_ms + at * HOUR, 8 * HOUR) for at in range(2)]
    served = lines_of(archive, hours[0]) | lines_of(archive, hours[1])
    assert {bytes(row[0]) for row in archive.database.rows("SELECT raw FROM messages")} == served


@pytest.mark.full
@pytest.mark.parametrize(("age", "end"), [(26, "presumed_empty"), (50, "expired")])
def test_an_hour_the_provider_never_stored(make_simulated: MakeSimulated, age: int, end: str) -> None:
    """Presumed empty when later hours have had files for a day; lost when the retention goes by before that."""
    archive = make(make_simulated, hours=10, age=age, messages=100)
    missing = archive.server.start_ms + 7 * HOUR
    archive.server.faults.hour_unstored = hour_name(missing, 8 * HOUR)
    states = []
    for _ in range(8):
        archive.pull()
        states.append(archive.states()[7])
        archive.clock.now_ms += 4 * HOUR
    assert states[0] == "not_ready"
    assert states[-1] == end
    assert archive.status()["windows"][end] == (1 if end == "presumed_empty" else 3), "with tail and head beside it"
    lost = {row.msg_id for row in archive.server.records if missing <= row.timestamp_ms < missing + HOUR}
    assert archive.served() - archive.stored() == lost
    if end == "presumed_empty":
        assert archive.status()["complete_until_ms"] > missing + HOUR
    else:
        assert archive.status()["complete_until_ms"] == missing - HOUR, "the tail of the hour before may lie there"


@pytest.mark.full
def test_a_daemon_that_was_dead_for_sixty_hours_is_seen(
    make_simulated: MakeSimulated, caplog: pytest.LogCaptureFixture
) -> None:
    archive = make(make_simulated, hours=3, age=26, messages=30)
    archive.pull()
    assert "retention" not in caplog.text
    archive.clock.now_ms += 14 * HOUR
    archive.server.faults.http_500 = 1.0
    archive.server.faults.only = "/chatmessages/"
    archive.keys["give_up"] = "100ms"
    archive.pull()
    assert "over half of the retention" in caplog.text
    archive.clock.now_ms += 46 * HOUR
    status = archive.status()
    assert status["overdue_seconds"] > 50 * 3600
    assert status["time_to_loss_seconds"] < 0
    archive.pull()
    assert "over 80 % of the retention" in caplog.text


@pytest.mark.full
def test_a_long_download_renews_the_lease_by_what_comes_in(make_simulated: MakeSimulated) -> None:
    archive = make(make_simulated, hours=1, age=26, messages=300)
    leases = []
    renew = windows.renew

    def noted(held: Held, lease_ms: int) -> None:
        leases.append(held.claim.id)
        renew(held, lease_ms)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "_RENEWAL_BYTES", 1)
        patch.setattr(sessions, "download", partial(download, limits=DownloadLimits(progress_bytes=1)))
        patch.setattr(windows, "renew", noted)
        assert archive.pull().exit_code == 0
    assert leases


@pytest.mark.full
def test_a_run_is_recorded_with_what_it_did(make_simulated: MakeSimulated) -> None:
    archive = make(make_simulated, hours=3, age=26, messages=30, early="off", audits=[])
    archive.pull()
    query = "SELECT outcome, windows, pages, received, new, requests, retries, skew_ms, ended_at FROM runs"
    ((outcome, walked, pages, received, new, answers, retries, skew_ms, ended_at),) = archive.database.rows(query)
    assert (outcome, received, new, retries) == ("done", 30, 30, 0)
    assert (walked, pages) == (28, 28), "four hours that are due, the file before them, and a look at each since"
    assert json.loads(answers)["200"] >= 4
    assert abs(skew_ms) < 1000
    assert ended_at is not None
