"""A marked message through the whole chain."""

from __future__ import annotations

import re

import pytest

from tests.fixtures.archive import Archive
from tests.fixtures.service import MakeService, wait_until


def with_canary(archive: Archive, keys: str = 'user = "canary"', **changes: str) -> None:
    archive.write_config(settle="1s", **changes)
    archive.config.write_text(f"[canary]\n{keys}\n{archive.config.read_text()}")


@pytest.mark.full
@pytest.mark.parametrize(("target", "form"), [('user = "canary"', "2014"), ('group = "1845"', "current")])
def test_a_canary_comes_back_and_its_delay_is_recorded(archive: Archive, target: str, form: str) -> None:
    with_canary(archive, target, send_api=form)
    assert archive("canary") == 0
    told = re.fullmatch(r"the canary was archived ([0-9.]+) s after it was sent\n", archive.output)
    assert told
    row = archive.database.rows("SELECT outcome, target, msg_id, marker FROM canaries")[0]
    assert row[:2] == ("archived", "canary" if "user" in target else "1845")
    stored = archive.database.value("SELECT text FROM message_bodies WHERE msg_id = ?", row[2])
    assert stored == row[3]
    assert re.fullmatch("archiver canary [0-9a-f]{16}", stored)
    canary = archive.status()["last_canary"]
    assert canary["outcome"] == "archived"
    assert canary["delay_seconds"] == pytest.approx(float(told[1]), abs=0.1)


@pytest.mark.full
def test_a_canary_that_does_not_come_is_lost(archive: Archive) -> None:
    archive.server.faults.send_delay_ms = 3_600_000
    with_canary(archive, 'user = "canary"\nwithin = "2s"')
    assert archive("canary") == 75
    assert "was not archived within 2 s" in archive.errors
    assert archive.status()["last_canary"]["outcome"] == "lost"


def test_a_canary_that_is_refused_was_never_sent(archive: Archive) -> None:
    archive.server.faults.send_refused = True
    with_canary(archive)
    assert archive("canary") == 1
    assert archive.database.rows("SELECT outcome, reason FROM canaries") == [("unsent", "RequestRefused")]


def test_refused_credentials_end_with_their_code(archive: Archive) -> None:
    with_canary(archive, client_id="YXA6wrong")
    assert archive("canary") == 4


def test_without_a_target_nothing_is_sent(archive: Archive) -> None:
    assert archive("canary") == 2
    assert "no canary is configured" in archive.errors
    with_canary(archive, 'user = "a"\ngroup = "b"')
    assert archive("canary") == 2
    with_canary(archive, 'every = "1m"')
    assert archive("canary") == 2
    assert archive.server.count("messages", method="POST") == 0


@pytest.mark.full
def test_the_daemon_sends_one_now_and_then(archive: Archive, serve: MakeService) -> None:
    archive("pull")
    serve(archive, top='[schedule]\nevery = "1s"\n[canary]\nuser = "canary"\n', settle="1s")
    wait_until(lambda: archive.database.value("SELECT count(*) FROM canaries"))
    archived = (
        "SELECT count(*) FROM messages m JOIN message_bodies b ON b.msg_id = m.msg_id WHERE b.text LIKE '% canary %'"
    )
    wait_until(lambda: archive.database.value(archived))
    assert archive.database.value("SELECT count(*) FROM canaries") == 1
