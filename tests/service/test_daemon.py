"""The daemon, as systemd, an operator and the weather meet it."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from archiver.errors import ConfigurationError
from archiver.service.systemd import Notifier
from archiver.store.schema import iso
from tests.fixtures.archive import DAY, Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.fixtures.service import Listener, MakeService, Manager, wait_until
from tests.flow.processes import Start
from tests.postgres import Postgres, free_port


@pytest.mark.full
def test_systemd_hears_that_it_is_ready_well_and_stopping(
    archive: Archive, manager: Manager, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.write_config()
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "1500000")
    process = start(archive, "run")
    wait_until(lambda: manager.says("WATCHDOG=1") >= 2)
    assert manager.heard[0] == "READY=1"
    assert "complete until" in next(line for line in reversed(manager.heard) if line.startswith("STATUS="))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    wait_until(lambda: manager.says("STOPPING=1") == 1)


def test_the_watchdog_is_not_fed_while_the_archive_is_overdue(
    database: Database, make_archive: MakeArchive, manager: Manager, serve: MakeService
) -> None:
    archive = make_archive(database, messages=20)
    archive.server.faults.http_500 = 1.0
    service = serve(archive, notifier=Notifier(manager.address, watchdog_s=0.3), give_up="1s")
    wait_until(lambda: manager.says("STATUS=") >= 4)
    assert manager.says("READY=1") == 1
    assert manager.says("WATCHDOG=1") == 0
    assert "is overdue by" in [line for line in manager.heard if line.startswith("STATUS=")][-1]
    archive.server.faults.http_500 = 0.0
    wait_until(lambda: manager.says("WATCHDOG=1"))
    wait_until(lambda: archive.count("messages") == 20)
    assert service.failed is None


def test_a_watchdog_that_is_meant_for_another_process_is_left_alone() -> None:
    told = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1000000"}
    assert Notifier.of(told).watchdog_s == 1.0
    assert Notifier.of(told | {"WATCHDOG_PID": str(os.getpid())}).watchdog_s == 1.0
    assert Notifier.of(told | {"WATCHDOG_PID": "1"}).watchdog_s is None
    assert Notifier.of({}).watchdog_s is None


def test_the_socket_may_be_a_file(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    Notifier(manager.address).status("two\nlines")
    Notifier(manager.address).status("应用 " * 5000)
    manager.close()
    assert manager.heard[0] == "STATUS=two lines"
    assert len(manager.heard[1].encode()) < 4096, "more than that is ignored"
    assert manager.heard[1].endswith("…")


def test_a_manager_that_is_gone_does_not_end_the_service(caplog: pytest.LogCaptureFixture) -> None:
    Notifier("/nowhere/at/all").ready()
    Notifier().ready()
    assert [record.getMessage() for record in caplog.records] == [
        "systemd could not be notified: No such file or directory"
    ]


@pytest.mark.full
def test_sighup_reads_the_configuration_anew(
    archive: Archive, manager: Manager, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.write_config(client_id="YXA6wrong")
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    process = start(archive, "run")
    wait_until(lambda: archive.server.count("/token"))
    wait_until(lambda: manager.says("READY=1"))
    assert archive.count("sources") == 0
    archive.write_config()
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: archive.count("messages") == 300)
    wait_until(lambda: manager.says("READY=1") == 2)
    assert manager.says("RELOADING=1") == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


@pytest.mark.full
def test_what_cannot_be_reloaded_is_said_and_the_old_stays_in_force(
    database: Database, make_archive: MakeArchive, serve: MakeService, caplog: pytest.LogCaptureFixture
) -> None:
    archive = make_archive(database, messages=20)
    service = serve(archive, settle="1s")
    wait_until(lambda: archive.count("messages") == 20)
    good = archive.config.read_text()
    asked = archive.server.count("chatmessages")
    for change, word in (
        ('rate = "fast"', "is not a rate"),
        ("[database]\nurl = 'sqlite:////tmp/other.db'", "that needs a restart"),
        ("[metrics]\nlisten = '192.0.2.1:1'", "is not available"),
    ):
        text = good.replace('rate = "10000/s"', change) if "rate" in change else f"{change}\n{good}"
        if "[database]" in change:
            text = good.replace(f'url = "{database.url}"', "url = 'sqlite:////tmp/other.db'")
        archive.config.write_text(text)
        service.hangup.set()
        wait_until(partial(heard, caplog, word))
    assert service.failed is None
    wait_until(lambda: archive.server.count("chatmessages") > asked + 1)


def heard(caplog: pytest.LogCaptureFixture, word: str) -> bool:
    return any(word in record.getMessage() for record in caplog.records)


def asks_again(archive: Archive, asked: int) -> bool:
    return archive.server.count("chatmessages") > asked + 1


def test_a_wrong_schema_ends_the_daemon(
    empty_database: Database, make_archive: MakeArchive, serve: MakeService
) -> None:
    archive = make_archive(empty_database, messages=3)
    service = serve(archive)
    wait_until(lambda: service.failed)
    assert "archive yet" in str(service.failed)


@pytest.mark.full
@pytest.mark.parametrize("trouble", ["credentials", "zone"])
def test_what_is_wrong_with_one_app_does_not_end_the_service_for_the_others(
    database: Database,
    make_archive: MakeArchive,
    start: Start,
    listener: Listener,
    trouble: str,
) -> None:
    one = make_archive(database, messages=20)
    two = make_archive(database, name="two", app="other", messages=300)
    write_both(
        one, two, listener, **({"source": "hourly", "settle": "1m", "early": "off"} if trouble == "zone" else {})
    )
    if trouble == "credentials":
        assert two("pull", "--app", two.server.app) == 0
        right = database.value("SELECT application FROM apps WHERE name LIKE '%#other'")
        database.run("UPDATE apps SET application = 'another' WHERE name LIKE '%#other'")
    if trouble == "zone":
        one.config.write_text(one.config.read_text() + '\nhour_utc_offset = "+00:00"')
    process = start(one, "run")
    wait_until(lambda: "firing" in said(listener))
    add(one, "after the alarm")
    wait_until(lambda: database.value("SELECT count(*) FROM messages WHERE msg_id = 'after the alarm'"))
    assert process.poll() is None
    if trouble == "credentials":
        database.run(f"UPDATE apps SET application = '{right}' WHERE name LIKE '%#other'")
    if trouble == "zone":
        one.config.write_text(one.config.read_text().replace("+00:00", "+08:00"))
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: said(listener)[-1] == "resolved")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def write_both(one: Archive, two: Archive, listener: Listener, **changes: Any) -> None:
    """A configuration of both apps for the first of them to run with; what is of the second app comes last."""
    two.write_config(**{"settle": "1s", **changes})
    one.write_config(settle="1s")
    second = two.config.read_text().partition("[[apps]]")[2]
    top = f'[schedule]\nevery = "1s"\n[alerts]\nwebhook = "{listener.url}"\n'
    one.config.write_text(f"{top}{one.config.read_text()}\n[[apps]]{second}")
    two.config.write_text(one.config.read_text())


def said(listener: Listener) -> list[str]:
    """What was said of a configuration that cannot be worked with, in order."""
    alerts = [each for _, body in listener.of("POST") for each in body["alerts"]]
    return [each["status"] for each in alerts if each["name"] == "ArchiverMisconfigured"]


@pytest.mark.full
@pytest.mark.parametrize("hours", [-1, 1])
def test_the_wall_clock_may_jump(
    database: Database, make_archive: MakeArchive, serve: MakeService, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler's clock is moved under it, as a wrong NTP server does."""
    archive = make_archive(database, messages=20)
    moved = [0.0]

    class Moved(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # noqa: ARG003
            return datetime.now(UTC) + timedelta(seconds=moved[0])

    for module in ("apscheduler.schedulers.base.datetime", "archiver.service.daemon.datetime"):
        monkeypatch.setattr(module, Moved)
    serve(archive, wall=lambda: time.time() + moved[0], settle="1s")
    wait_until(lambda: archive.count("messages") == 20)
    for _ in range(2):
        moved[0] += 3600 * hours
        wait_until(partial(asks_again, archive, archive.server.count("chatmessages")))


@pytest.mark.full
def test_a_clock_that_was_set_back_holds_up_neither_turns_nor_failed_windows(
    archive: Archive, serve: MakeService
) -> None:
    """On SQLite the database's clock is the machine's; rows then lie an hour ahead."""
    ahead_ms = archive.server.now_ms() + 3_600_000
    archive("pull", rate="1/s")
    archive.database.run(f"UPDATE rate_budgets SET turns = '[{ahead_ms}]'")
    archive.database.run(f"UPDATE windows SET state = 'pending', closed_at = NULL, next_attempt_at = '{iso(ahead_ms)}'")
    archive.database.run("UPDATE watermarks SET complete_until_ms = complete_from_ms")
    serve(archive, rate="10000/s")
    wait_until(lambda: not archive.database.value("SELECT count(*) FROM windows WHERE state <> 'closed'"))
    turns = json.loads(archive.database.value("SELECT turns FROM rate_budgets WHERE rate_group NOT LIKE '% rest'"))
    assert max(turns) < ahead_ms - 1_800_000, "no turn lies where the clock was before"
    assert archive("pull") == 0


@pytest.mark.full
def test_it_waits_for_a_database_that_is_not_there_yet_and_survives_its_restarts(
    postgres: Postgres, postgres_database: Database, make_archive: MakeArchive, serve: MakeService
) -> None:
    if postgres.control is None:
        pytest.skip("the server is not ours to stop")
    archive = make_archive(postgres_database, messages=20, span_ms=DAY)
    postgres.control("stop", "-m", "fast")
    try:
        port = free_port()
        service = serve(archive, top=f'[schedule]\nevery = "1s"\n[metrics]\nlisten = "127.0.0.1:{port}"\n', settle="1s")
        wait_until(lambda: ask(f"http://127.0.0.1:{port}/healthz") == 200)
        assert ask(f"http://127.0.0.1:{port}/readyz") == 503
    finally:
        postgres.control("start")
    wait_until(lambda: archive.count("messages") == 20)
    postgres.control("restart", "-m", "immediate")
    add(archive, "after the restart")
    wait_until(lambda: archive.count("messages") == 21)
    assert service.failed is None


def test_a_pull_whose_end_the_database_did_not_hear_of_is_not_shown_as_running(
    archive: Archive, serve: MakeService
) -> None:
    archive("pull")
    archive.database.run("UPDATE runs SET ended_at = NULL, outcome = NULL")
    assert archive.status()["running"] == 1
    serve(archive)
    wait_until(lambda: archive.database.value("SELECT outcome FROM runs WHERE id = 1"))
    outcome, reason = archive.database.rows("SELECT outcome, reason FROM runs WHERE id = 1")[0]
    assert (outcome, reason) == ("unfinished", "the database was away when it ended")


def ask(url: str) -> int | None:
    """The status of the answer; None when nobody listens."""
    try:
        return requests.get(url, timeout=30).status_code
    except requests.ConnectionError:
        return None


def add(archive: Archive, msg_id: str) -> None:
    record = {"msg_id": msg_id, "timestamp": archive.server.now_ms(), "from": "a", "to": "b", "chat_type": "chat"}
    archive.server.add(record)


def test_a_service_that_cannot_listen_says_so(archive: Archive, serve: MakeService) -> None:
    service = serve(archive, top="[metrics]\nlisten = '192.0.2.1:9473'\n")
    wait_until(lambda: service.failed)
    assert isinstance(service.failed, ConfigurationError)
    assert "192.0.2.1:9473 is not available" in str(service.failed)


def test_what_was_pulled_is_indexed(database: Database, make_archive: MakeArchive, serve: MakeService) -> None:
    archive = make_archive(database, messages=40)
    serve(archive)
    wait_until(lambda: archive.count("messages") == 40)
    wait_until(lambda: archive.count("search_queue") == 0)
    assert archive.count("search_texts") > 30
