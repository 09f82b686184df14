"""Every command, as an operator types it, on both databases."""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archiver import cli
from archiver.sandbox import Faults
from archiver.store.schema import instant_text, iso
from tests.fixtures.archive import DAY, Archive, MakeArchive
from tests.fixtures.databases import Database


def test_the_version_needs_no_heavy_imports() -> None:
    program = "import sys; from archiver import cli; cli.invoke(['--version']); print(sorted(sys.modules))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.startswith("archiver ")
    for heavy in ("sqlalchemy", "pydantic", "requests", "rich", "alembic", "apscheduler"):
        assert f"'{heavy}'" not in told


def test_commands_that_read_load_nothing_that_asks_a_provider() -> None:
    """What loads a library pays for it at every start."""
    reading = "status, search, conversation, conversations, coverage, statement, quarantine, export"
    program = f"import sys; from archiver.cli import {reading}; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "archiver.store.engine" in loaded
    for library in ("requests", "tenacity", "obstore", "apscheduler", "pyarrow", "alembic", "cryptography"):
        assert f"'{library}" not in loaded


def test_init_writes_once_and_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.toml"
    assert cli.invoke(["--config", str(config), "init"]) == 0
    assert "[[apps]]" in config.read_text()
    config.write_text("mine")
    assert cli.invoke(["--config", str(config), "init"]) == 1
    assert config.read_text() == "mine"
    assert "exists" in capsys.readouterr().err


def test_check_config_shows_what_was_understood_and_no_secret(archive: Archive) -> None:
    assert archive("check-config") == 0
    assert 'client_secret = "***"' in archive.output
    assert archive.server.client_secret not in archive.output + archive.errors
    assert 'every = "1m"' in archive.output


def test_check_config_tells_all_problems_at_once(archive: Archive) -> None:
    assert archive("check-config", rate="fast", settel="2m", start="yesterday") == 2
    assert all(word in archive.errors for word in ("rate", "settle", "start"))


@pytest.mark.full
def test_a_database_without_schema_is_refused_until_migrated(
    empty_database: Database, make_archive: MakeArchive
) -> None:
    archive = make_archive(empty_database, messages=3)
    assert archive("pull") == 2
    assert "archiver migrate" in archive.errors
    assert archive("migrate") == 0
    assert archive("pull") == 0
    assert archive.count("messages") == 3


def test_the_example_of_the_help_leads_to_an_archive(
    empty_database: Database, make_archive: MakeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = make_archive(empty_database, messages=3)
    archive.write_config()
    assert cli.invoke(["-h"]) == 0
    calls = re.findall(r"archiver ([a-z]+)", capsys.readouterr().out.partition("Example:")[2].partition("Options:")[0])
    assert calls == ["init", "migrate", "doctor", "pull", "status"]
    for call in calls[1:]:  # `init` writes the file that the fixture has filled in
        assert archive(call) == 0, (call, archive.errors)
    assert archive.count("messages") == 3


def test_status_before_the_first_pull_stands_at_the_start(archive: Archive) -> None:
    assert archive("status", "--format", "json") == 0
    (entry,) = json.loads(archive.output)["apps"]
    assert entry["app"] == "easemob-demo#sandbox"
    assert entry["complete_from_ms"] == entry["complete_until_ms"] == archive.server.start_ms
    assert entry["audited_until_ms"] == archive.server.start_ms
    assert [entry[key] for key in ("freshness_seconds", "worst_lateness_ms", "time_to_loss_seconds", "last_run")] == [
        None
    ] * 4
    assert entry["messages"] == entry["bodies"] == entry["quarantined"] == 0


def test_status_as_a_table_fits_eighty_columns(archive: Archive) -> None:
    archive("pull")
    assert archive("status") == 0
    assert "Complete from" in archive.output
    assert max(map(len, archive.output.splitlines())) <= 80


def test_status_json_has_every_key_of_the_contract(archive: Archive) -> None:
    archive("pull")
    entry = archive.status()
    wanted = (
        "app source configured complete_from_ms complete_until_ms complete_from complete_until audited_until_ms"
        " lag_seconds overdue_seconds freshness_seconds time_to_loss_seconds messages bodies quarantined revisions"
        " late_arrivals worst_lateness_ms order_trusted windows holes attachments last_run"
    )
    assert set(wanted.split()) <= set(entry)
    states = "pending leased closed not_ready presumed_empty expired stuck accepted"
    assert set(entry["windows"]) == set(states.split())
    assert entry["complete_until"] == iso(entry["complete_until_ms"])
    assert entry["freshness_seconds"] > 0
    assert entry["overdue_seconds"] == 0


def test_backfill_extends_backwards_and_is_done_once(database: Database, make_archive: MakeArchive) -> None:
    archive = make_archive(database, messages=400, span_ms=20 * DAY)
    middle = archive.server.start_ms + 15 * DAY
    archive.settings["start"] = iso(middle)
    assert archive("pull") == 0
    recent = archive.count("messages")
    assert 0 < recent < 400
    gap = iso(middle - DAY)
    assert archive("backfill", "--from", str(archive.server.start_ms), "--to", str(gap)) == 2
    assert str(iso(middle)) in archive.errors, "the right --to is named"
    assert archive("backfill", "--from", str(iso(archive.server.start_ms))) == 0
    assert archive.count("messages") == 400
    status = archive.status()
    assert status["complete_from_ms"] == archive.server.start_ms
    assert status["late_arrivals"] == 0
    archive.server.forget_requests()
    assert archive("backfill", "--from", str(iso(archive.server.start_ms))) == 0
    assert archive.pages_asked() <= 1
    archive.check_sums()


@pytest.mark.full
def test_the_log_of_an_outage_says_since_when(archive: Archive) -> None:
    archive("pull")
    archive.server.faults = Faults(http_500=1.0)
    for _ in range(2):
        assert archive("pull", settle="0s", give_up="1s") == 75
    (first,), (second,) = archive.database.rows("SELECT ended_at FROM runs WHERE outcome = 'unfinished' ORDER BY id")
    since = str(instant_text(first))  # to the millisecond: all of this may come to pass within a second
    assert first < second
    assert since in archive.errors
    archive.server.faults = Faults()
    assert archive("pull") == 0
    archive.server.faults = Faults(http_500=1.0)
    assert archive("pull", settle="0s", give_up="1s") == 75
    assert since not in archive.errors, "another outage"


def test_an_audit_finds_what_came_too_late(archive: Archive) -> None:
    archive("pull")
    status = archive.status()
    late = {"msg_id": "late", "timestamp": archive.server.start_ms + 5000, "from": "a", "to": "b", "chat_type": "chat"}
    archive.server.add(late)
    day = ["--from", str(iso(archive.server.start_ms)), "--to", str(iso(archive.server.start_ms + DAY))]
    assert archive("audit", *day) == 3
    assert archive.status()["late_arrivals"] == 1
    assert archive.status()["complete_until_ms"] == status["complete_until_ms"]
    assert archive("audit", *day) == 0
    beyond = str(iso(archive.server.now_ms() + DAY))
    assert archive("audit", "--from", str(iso(archive.server.start_ms)), "--to", beyond) == 2


def test_the_configured_audits_find_late_arrivals(archive: Archive) -> None:
    archive("pull")
    late = {"msg_id": "late", "timestamp": archive.server.start_ms + 5000, "from": "a", "to": "b", "chat_type": "chat"}
    archive.server.add(late)
    assert archive("pull", audits=["1h", "24h"]) == 0
    status = archive.status()
    assert (status["late_arrivals"], status["messages"]) == (1, 301)
    assert status["worst_lateness_ms"] > DAY
    assert status["audited_until_ms"] > archive.server.start_ms


def test_changed_content_is_a_revision_once_and_never_overwrites(archive: Archive) -> None:
    archive("pull")
    row = archive.server.records[10]
    edited = json.loads(row.raw) | {"payload": {"bodies": [{"type": "txt", "msg": "edited"}]}}
    archive.server.remove(row)
    archive.server.add(edited, timestamp_ms=row.timestamp_ms, visible_ms=0)
    day = ["--from", str(iso(archive.server.start_ms)), "--to", str(iso(archive.server.start_ms + 2 * DAY - 1))]
    archive("audit", *day)
    archive("audit", *day)
    assert archive.status()["revisions"] == 1
    (kept,) = archive.database.rows("SELECT raw FROM messages WHERE msg_id = ?", row.msg_id)
    assert bytes(kept[0]) == row.raw
    (revision,) = archive.database.rows("SELECT msg_id, revision, raw FROM message_revisions")
    assert (revision[0], revision[1]) == (row.msg_id, 1)
    assert b"edited" in bytes(revision[2])


def test_quarantine_is_listed_shown_and_requeued(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = b'{"msg_id": "q1", "timestamp": "1e3", "payload": {"bodies": [{"type": "txt", "msg": "\\u001b[31m"}]}}'
    archive.server.add(broken, timestamp_ms=archive.server.start_ms + 1000, visible_ms=0)
    assert archive("pull") == 0
    assert archive.status()["quarantined"] == 1
    assert archive("quarantine", "list", "--format", "json") == 0
    (entry,) = json.loads(archive.output)
    assert entry["reason"] == "timestamp is not a whole number"
    assert archive("quarantine", "list") == 0
    assert archive("quarantine", "show", str(entry["id"])) == 0
    assert "\x1b" not in archive.output
    assert archive("quarantine", "requeue") == 0
    assert "0 of 1" in archive.output

    from archiver.sources.easemob import decode

    monkeypatch.setattr(decode, "_timestamp_ms", lambda value: int(float(value)))
    assert archive("quarantine", "requeue") == 0
    assert "1 of 1" in archive.output
    (kept,) = archive.database.rows("SELECT timestamp_ms, raw, page_id FROM messages WHERE msg_id = 'q1'")
    assert (kept[0], bytes(kept[1])) == (1000, broken)
    status = archive.status()
    assert (status["quarantined"], status["messages"]) == (0, 301)
    assert archive("quarantine", "show", "999") == 2


def test_stuck_is_a_hole_until_it_is_accepted(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    server = archive.server
    middle = server.records[150].timestamp_ms
    archive("pull")
    archive.database.run(
        "UPDATE windows SET state = 'stuck', reason = 'test', closed_at = NULL WHERE lo_ms <= "
        f"{middle} AND hi_ms > {middle}"
    )
    ((low, high),) = archive.database.rows("SELECT lo_ms, hi_ms FROM windows WHERE state = 'stuck'")
    archive.database.run(f"UPDATE watermarks SET complete_until_ms = {low}")
    soon = iso(int(time.time() * 1000) + 1_800_000)
    archive.database.run(f"UPDATE windows SET next_attempt_at = '{soon}' WHERE state = 'stuck'")
    assert archive("pull") == 3
    assert archive("status") == 3
    assert archive("coverage") == 3
    assert archive("coverage", "accept", "--from", str(low + 1), "--to", str(high), "--reason", "x") == 2
    assert archive("coverage", "accept", "--from", str(low), "--to", str(high), "--reason", "ticket 42") == 0
    assert archive("status") == 0
    status = archive.status()
    assert status["complete_until_ms"] > high - 1
    assert [hole["state"] for hole in status["holes"]] == ["accepted"]
    who = archive.database.rows("SELECT accepted_by, reason FROM windows WHERE state = 'accepted'")
    assert who[0][0] == pwd.getpwuid(os.getuid()).pw_name
    assert who[0][1] == "ticket 42"
    assert archive("coverage", "--format", "json") == 0
    assert json.loads(archive.output)["apps"][0]["holes"][0]["reason"] == "ticket 42"


@pytest.mark.full
@pytest.mark.parametrize("send_api", ["2014", "current"])
def test_what_is_sent_is_archived(archive: Archive, send_api: str) -> None:
    assert archive("send", "user", "zhangsan", "你好 from the test", send_api=send_api) == 0
    assert archive("send", "group", "1402541206787", "hello group") == 0
    assert archive("presence", "zhangsan", "lisi") == 0
    assert archive.output.splitlines() == ["zhangsan offline", "lisi offline"]
    archive.server.online.add("lisi")
    archive("presence", "lisi")
    assert archive.output == "lisi online\n"
    sent = [row for row in archive.server.records if b"from the test" in row.raw or b"hello group" in row.raw]
    assert len(sent) == 2


@pytest.mark.full
def test_who_asks_for_presence_hears_of_a_refusal_within_a_moment(archive: Archive) -> None:
    archive.server.faults = Faults(http_500=1.0, only="/users/")
    assert archive("presence", "lisi") == 75
    assert archive.server.count("/users/lisi/status") <= 4, "not repeated for half a minute"


def test_an_unknown_outcome_is_told_and_not_repeated(archive: Archive) -> None:
    archive.server.faults.reset = 1.0
    archive.server.faults.only = "/users/"
    assert archive("send", "user", "zhangsan", "once") == 75
    assert "unknown" in archive.errors
    assert archive.server.count("/users/zhangsan/messages") == 1


def test_a_wrong_word_names_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["pul"]) == 2
    assert cli.invoke(["backfill", "--from", "1700000000"]) == 2
    assert "1700000000000" in capsys.readouterr().err


def test_the_demo_leaves_an_archive_and_a_config_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / 'my "demo"'
    assert cli.invoke(["demo", "--directory", str(place), "--messages", "200"]) == 0
    told = capsys.readouterr().out
    assert ": 0 differences" in told
    assert "sender is not the record's" in told
    assert ": 1 difference\n" in told
    assert not (place / "forged.db").exists()
    *_, schema, status, review, _, _ = told.splitlines()
    assert shlex.split(schema) == ["sqlite3", str(place / "archive.db"), ".schema"]
    assert shlex.split(status)[-3:] == ["--config", str(place / "config.toml"), "status"]
    assert shlex.split(review, comments=True)[-3:] == ["--config", str(place / "config.toml"), "review"]
    assert told.count("SELECT") == 6
    assert "recalls a message" in told
    assert re.search(r"\nNext, with an account of the provider: .* init, .* doctor tests them\.\n$", told)
    assert f"stored as\n  {place}/files/" in told
    assert "Complete from" in told
    assert cli.invoke(["--config", str(place / "config.toml"), "status"]) == 0
    assert cli.invoke(["demo", "--directory", str(place)]) == 1
    assert "--directory NEW" in capsys.readouterr().err


def test_status_begins_with_a_verdict_that_monitors_can_ask_for(archive: Archive) -> None:
    assert archive("pull") == 0
    assert archive("status", "--check") == 0
    assert archive.output.startswith("OK: the source is archived up to 20")
    assert archive("status") == 0
    assert archive.output.startswith("OK: ")
    assert archive("pull", client_secret="YXA-of-nobody") == 4
    assert archive("status", "--check") == 4
    assert archive.output.startswith("REFUSED: the provider refuses the credentials of ")
    assert archive.output.count("\n") == 1
