"""From the message to the stored file, by the commands, on both databases."""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from archiver.sandbox.chatfiles import file_content
from archiver.service import alerts
from archiver.store.admin.roles import create
from archiver.store.engine import open_store
from tests.attachments.test_foreign import Encrypted
from tests.fixtures.blobs import Collector, MakeCollector, Shelf
from tests.fixtures.databases import Database

DAY = 86_400_000
GONE_UUID = "9060c6fc-291d-11e5-994b-e173aaa37ae6"


def content(url: str) -> bytes:
    return file_content(int(url.rpartition("/")[2].replace("-", ""), 16))


@pytest.fixture
def collector(database: Database, folder: Shelf, make_collector: MakeCollector) -> Iterator[Collector]:
    found = make_collector(database, folder, messages=60)
    assert found("pull") == 0
    assert set(found.states()) == {"pending"}
    yield found
    check(found)


def check(archive: Collector) -> None:
    """What holds after every test: rows and store agree, and each attempt is on record."""
    assert archive("attachments", "verify") == 0, archive.output
    rows = archive.database.rows("SELECT sha256, url, size, media_type FROM attachments WHERE state = 'stored'")
    stored = {row[0] for row in rows}
    assert {name.rpartition("/")[2] for name in archive.shelf.names()} >= stored
    assert all(row[2] is not None and row[3] for row in rows)
    bad = "SELECT count(*) FROM attachments WHERE owner IS NOT NULL OR lease_until IS NOT NULL"
    assert archive.database.value(bad) == 0
    attempts = "SELECT coalesce(sum(attempts), 0) FROM attachments"
    assert archive.database.value(attempts) == archive.count("attachment_attempts")
    archive.check_sums()


@pytest.mark.full
def test_everything_is_fetched_and_is_what_was_served(
    database: Database, shelf: Shelf, make_collector: MakeCollector
) -> None:
    archive = make_collector(database, shelf, messages=60)
    archive.server.faults.file_restricted = False
    archive("pull")
    pending = archive.states()["pending"]
    assert archive("attachments") == 0
    assert archive.states() == {"stored": pending}
    rows = archive.database.rows("SELECT url, sha256, size, declared_length FROM attachments")
    for url, sha256, size, declared in rows:
        assert sha256 == hashlib.sha256(content(url)).hexdigest()
        assert size == len(content(url))
        assert declared in (None, size)
    assert archive.server.count("/chatfiles/") == pending
    assert archive("attachments") == 0
    assert archive.server.count("/chatfiles/") == pending, "what is stored is not asked for again"
    entry = archive.status()
    assert entry["attachments"]["stored"] == pending
    assert entry["attachments_time_to_loss_seconds"] is None
    check(archive)


@pytest.mark.full
def test_the_most_endangered_come_first_and_a_limit_is_kept(collector: Collector) -> None:
    collector.configure(workers=1)
    total = collector.states()["pending"]
    assert collector("attachments", "--limit", "10") == 75
    assert collector.states() == {"stored": 10, "pending": total - 10}
    last = collector.database.value("SELECT max(expires_at) FROM attachments WHERE state = 'stored'")
    first = collector.database.value("SELECT min(expires_at) FROM attachments WHERE state = 'pending'")
    assert last <= first
    entry = collector.status()
    assert entry["attachments"]["pending"] == total - 10
    assert 4 * 86_400 < entry["attachments_time_to_loss_seconds"] < 7 * 86_400
    assert collector("status") == 0
    assert "10 stored" in collector.output
    assert "first to expire in" in collector.output


def test_without_a_store_they_are_recorded_only(collector: Collector) -> None:
    text = collector.config.read_text()
    collector.config.write_text(text.partition("[attachments]")[0])
    assert collector("attachments") == 2
    assert "no [attachments] store is configured" in collector.errors
    assert set(collector.states()) == {"pending"}
    collector.config.write_text(text)


@pytest.mark.full
def test_restricted_files_are_had_by_their_secret_in_a_header(collector: Collector) -> None:
    collector.server.faults.file_restricted = True
    assert collector("attachments") == 0
    states = collector.states()
    assert states.pop("stored") > 10
    assert collector.reasons("refused") <= {"127.0.0.1 answered 403 (forbidden_op)"}  # bodies without a secret
    asked = [one for one in collector.server.requests if "/chatfiles/" in one.path]
    assert all(not one.query for one in asked), "a secret in a query ends up in logs"
    assert all(one.headers["authorization"].startswith("Bearer ") for one in asked)


def test_what_expired_or_was_recalled_is_gone_with_its_reason(collector: Collector) -> None:
    collector.server.faults.file_kept_days = 0.0001
    home = f"{collector.server.home}/chatfiles"
    collector.server.remove(next(row for row in collector.server.records if home.encode() in row.raw))
    assert collector("attachments") == 0
    assert set(collector.states()) == {"gone"}
    assert collector.reasons("gone") == {
        "127.0.0.1 answered 404 (file_expired)",
        "127.0.0.1 answered 404 (entity_not_found)",
    }
    rows = collector.database.rows("SELECT outcome, reason, began_at, ended_at, owner FROM attachment_attempts")
    assert len(rows) == collector.states()["gone"]
    assert all(row[0] == "gone" and row[1] and row[2] <= row[3] and row[4] for row in rows)


@pytest.mark.full
def test_a_failure_is_tried_again_later_and_at_once_when_asked(collector: Collector) -> None:
    total = collector.states()["pending"]
    faults = collector.server.faults
    faults.only, faults.http_503, faults.times = "/chatfiles/", 1.0, 3
    assert collector("attachments") == 75
    assert collector.states() == {"failed": 3, "stored": total - 3}
    assert collector.reasons("failed") == {"127.0.0.1 answered 503"}
    later = "SELECT count(*) FROM attachments WHERE next_attempt_at IS NOT NULL AND attempts = 1"
    assert collector.database.value(later) == 3
    asked = collector.server.count("/chatfiles/")
    assert collector("attachments") == 75
    assert collector.server.count("/chatfiles/") == asked, "not before its time"
    assert collector("attachments", "--retry-failed") == 0
    assert collector.states() == {"stored": total}


@pytest.mark.full
def test_a_service_that_is_down_is_left_alone(collector: Collector) -> None:
    total = collector.states()["pending"]
    collector.configure(workers=1)
    collector.server.faults.only, collector.server.faults.http_500 = "/chatfiles/", 1.0
    assert collector("attachments") == 75
    assert collector.states() == {"failed": 10, "pending": total - 10}
    collector.server.faults.http_500 = 0
    assert collector("attachments", "--retry-failed") == 0


@pytest.mark.full
def test_a_service_that_asks_to_be_left_alone_is_by_the_next_process_too(collector: Collector) -> None:
    faults = collector.server.faults
    faults.only, faults.http_429, faults.times, faults.retry_after = "/chatfiles/", 1.0, 1, "1200"
    collector.configure(workers=1)
    total = collector.states()["pending"]
    for _ in range(2):
        assert collector("attachments") == 75
        assert collector.server.count("/chatfiles/") == 1
        assert "asked to be left alone until" in collector.errors
    assert collector.states() == {"failed": 1, "pending": total - 1}
    assert collector("pull") == 0, "messages are another matter"


FAULTS = ["html_200"]
REST = [
    pytest.param(fault, marks=pytest.mark.full)
    for fault in ("cut_unframed", "http_401", "cut_body", "error_200", "reset")
]


@pytest.mark.full
@pytest.mark.parametrize("fault", [*FAULTS, *REST])
def test_a_damaged_answer_is_never_stored(collector: Collector, fault: str) -> None:
    total = collector.states()["pending"]
    faults = collector.server.faults
    # What has neither a declared nor a sent length is asked for twice: both must not be cut alike, or it is believed.
    faults.only, faults.times = "/chatfiles/", 1 if fault in ("http_401", "cut_unframed") else 4
    setattr(faults, fault, 1.0)
    assert collector("attachments") == 75
    failed = collector.states()["failed"]
    assert failed == {"cut_unframed": 1}.get(fault, 4) or (
        fault == "http_401" and failed > 4  # a token fetched just now is not fetched again
    )
    assert None not in collector.reasons("failed")
    for _ in range(3):
        if collector("attachments", "--retry-failed") == 0:
            break
    assert collector.states() == {"stored": total}
    rows = collector.database.rows("SELECT url, sha256 FROM attachments")
    assert all(sha256 == hashlib.sha256(content(url)).hexdigest() for url, sha256 in rows)


def audit(archive: Collector) -> None:
    """Pull what was added to a range that is closed."""
    start = archive.server.start_ms
    assert archive("audit", "--from", str(start), "--to", str(start + DAY)) == 3


@pytest.mark.full
def test_a_length_that_is_another_is_noted_and_costs_no_more_than_a_right_one(collector: Collector) -> None:
    assert collector("attachments") == 0
    urls = [row[0] for row in collector.database.rows("SELECT url FROM attachments ORDER BY url LIMIT 12")]
    for number, url in enumerate(urls):
        collector.send(f"odd{number}", {"type": "file", "url": url, "file_length": 7, "filename": "x"})
    audit(collector)
    assert collector("attachments") == 0
    rows = collector.database.rows("SELECT url, state, reason, attempts FROM attachments WHERE msg_id LIKE 'odd%'")
    assert len(rows) == 12
    for url, *row in rows:
        assert row == ["stored", f"declared with 7 bytes, came with {len(content(url))}", 1]


@pytest.mark.full
def test_redirects_are_followed_to_a_configured_host_alone(collector: Collector) -> None:
    collector.server.faults.file_redirect = True
    assert collector("attachments") == 0
    assert set(collector.states()) == {"refused"}
    other = collector.server.files_url.removeprefix("http://")
    assert collector.reasons("refused") == {f"127.0.0.1 redirects to {other}, which is not configured"}
    assert not [one for one in collector.server.requests if one.host == "files"]
    collector.configure(redirect_hosts=[other])
    assert collector("attachments", "--retry-failed") == 0
    assert set(collector.states()) == {"stored"}
    stored = [one for one in collector.server.requests if one.host == "files"]
    assert stored
    assert all("authorization" not in one.headers and "share-secret" not in one.headers for one in stored)


@pytest.mark.full
def test_foreign_files_are_recorded_as_such(collector: Collector) -> None:
    bodies = [
        {"type": "img", "url": url, "filename": "../../etc/passwd"} for url in ("https://cdn.example.com/a", "x\x1b")
    ]
    collector.send("foreign", *bodies)
    audit(collector)
    assert collector("attachments") == 0
    assert collector.reasons("foreign") == {
        "not the provider's: cdn.example.com",
        "not the provider's, and no plain address",
    }
    collector.configure(foreign_hosts=["other.example"])
    asked = collector.count("attachment_attempts")
    assert collector("attachments", "--retry-failed") == 0
    assert collector.count("attachment_attempts") == asked, "its host is not the one that is allowed now"


def test_credentials_that_are_refused_are_no_file_s_fault(collector: Collector) -> None:
    collector.server.faults.refuse_tokens = True
    assert collector("attachments") == 4
    assert set(collector.states()) == {"pending"}
    assert collector.count("attachment_attempts") == 0


def test_a_store_that_cannot_be_written_is_no_file_s_fault(collector: Collector) -> None:
    root = Path(collector.shelf.url.removeprefix("file://"))
    root.rmdir()
    root.write_text("not a folder")
    assert collector("attachments") == 2
    assert "the store of attachments could not be opened: File exists\n  try: a folder in which" in collector.errors
    assert set(collector.states()) == {"pending"}
    root.unlink()
    root.mkdir()


def test_a_machine_that_has_no_more_files_to_open_is_no_file_s_fault(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tempfile.TemporaryFile
    left = iter([made])  # one, by which the folder is tried

    def make(**named: Any) -> Any:
        if (first := next(left, None)) is None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return first(**named)

    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    assert collector("attachments") == 75
    assert "a temporary file cannot be made: Too many open files" in collector.errors
    assert set(collector.states()) == {"pending"}


@pytest.mark.full
def test_verify_finds_every_difference(database: Database, shelf: Shelf, make_collector: MakeCollector) -> None:
    archive = make_collector(database, shelf, messages=60)
    archive("pull")
    archive("attachments")
    digests = sorted(row[0] for row in archive.database.rows("SELECT DISTINCT sha256 FROM attachments"))
    assert archive("attachments", "verify") == 0
    assert f"{len(digests)} contents read, 0 differ" in archive.output
    assert archive("attachments", "verify", "--sample", "3") == 0
    one, two, three = digests[0], digests[len(digests) // 2], digests[-1]
    was = {digest: shelf.blobs.read(digest) for digest in (one, two, three)}
    shelf.damage(one, None)
    shelf.damage(two, was[two][:-1] + bytes([was[two][-1] ^ 1]))
    shelf.damage(three, was[three] + b"x")
    assert archive("attachments", "verify") == 3
    assert f"{one} is missing" in archive.output
    assert f"{two} has other bytes" in archive.output
    assert f"{three} has {len(was[three]) + 1} bytes instead of {len(was[three])}" in archive.output
    assert f"{len(digests)} contents read, 3 differ" in archive.output
    msg_id = archive.database.value("SELECT msg_id FROM attachments WHERE sha256 = ?", one)
    assert msg_id in archive.output
    assert archive("attachments", "verify", "--sample", "500") == 3


@pytest.mark.full
def test_a_certificate_that_is_not_trusted_ends_every_command_at_once_with_the_remedy(
    collector: Collector, tmp_path: Path
) -> None:
    house = Encrypted(tmp_path, [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    try:
        collector.write_config(base_url=f"https://127.0.0.1:{house.port}")
        for command in (["pull"], ["attachments"], ["presence", "somebody"], ["doctor"]):
            assert collector(*command) == 2, command
            told = collector.output + collector.errors
            assert "its certificate is not trusted" in told, command
            assert "ca_file" in told, command
        assert set(collector.states()) == {"pending"}, "no file's fault"
    finally:
        house.close()
    collector.write_config()


@pytest.mark.full
def test_an_alarm_comes_before_endangered_ones_expire(collector: Collector) -> None:
    collector.server.faults.only, collector.server.faults.http_500 = "/chatfiles/", 1.0
    collector("attachments")
    assert "will be lost soon" not in collector.errors
    soon = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+1 day')"
    when = soon if collector.database.kind == "sqlite" else "now() + interval '1 day'"
    collector.database.run(f"UPDATE attachments SET expires_at = {when} WHERE state = 'pending'")
    assert collector("attachments") == 75
    assert "attachments will be lost soon" in collector.errors
    assert collector.status()["attachments_time_to_loss_seconds"] < 2 * 86_400


@pytest.mark.full
def test_foreign_files_that_expire_alarm_and_come_once_their_host_is_known(
    database: Database, folder: Shelf, make_collector: MakeCollector
) -> None:
    archive = make_collector(database, folder, messages=20)
    known = archive.server.home.partition("://")[2].split("/", 1)[1]
    (file, *_) = archive.server.shelf.files
    for number, host in enumerate(["im.example.com", "im.example.com", "cdn.example.com"]):
        url = f"https://{host}/{known}/chatfiles/{file}?size=large" if "im." in host else f"https://{host}/a.png"
        archive.send(f"foreign{number}", {"type": "img", "url": url})
    archive("pull")
    assert archive("attachments") == 0
    assert "3" in archive.errors
    assert "hosts that are not configured" in archive.errors
    assert archive.status()["foreign_expiring"] == 0, "five days are left"
    past = "'2026-01-01T00:00:00.000Z'"
    archive.database.run(f"UPDATE attachments SET expires_at = {past} WHERE state = 'foreign'")
    entry = archive.status()
    assert (entry["foreign_expiring"], entry["foreign_hosts"]) == (3, 2)
    assert entry["foreign_reasons"] == {
        "not the provider's: im.example.com": 2,
        "not the provider's: cdn.example.com": 1,
    }
    (finding,) = alerts.findings([archive.report()], {}, overdue_ms=10**12, files=True)
    assert (finding.name, finding.severity, finding.grows) == ("ArchiverFilesForeign", "warning", 2)
    assert "example" not in finding.text, "what a user wrote stays here"
    assert archive("status") == 0
    assert "im.example.com (2)" in " ".join(archive.output.split())
    archive.configure(file_hosts=["im.example.com"])
    archive("attachments", "--retry-failed")
    assert archive.states()["foreign"] == 1
    assert archive.status()["foreign_expiring"] == 1


def test_odd_stamps_do_not_put_a_file_last(database: Database, folder: Shelf, make_collector: MakeCollector) -> None:
    archive = make_collector(database, folder, messages=0)
    url = f"{archive.server.home}/chatfiles/{GONE_UUID}"
    for msg_id, stamp in (
        ("far", 9_000_000_000_000_000),
        ("ahead", archive.server.now_ms() + 3650 * DAY),
        ("first", -5),
    ):
        record = {"msg_id": msg_id, "timestamp": stamp, "payload": {"bodies": [{"type": "img", "url": url}]}}
        archive.server.add(record, timestamp_ms=archive.server.start_ms + 5, visible_ms=0)
    archive("pull")
    rows = archive.database.rows("SELECT expires_at, url FROM attachments")
    assert len(rows) == 3
    entry = archive.status()
    assert 6.9 * 86_400 < entry["attachments_time_to_loss_seconds"] < 7.1 * 86_400


@pytest.mark.full
def test_the_daemon_fetches_after_each_pull(collector: Collector) -> None:
    text = collector.config.read_text()
    collector.config.write_text(f'[schedule]\nevery = "1s"\n{text}')
    total = collector.states()["pending"]
    command = [sys.executable, "-m", "archiver", "--config", str(collector.config), "run"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while collector.states().get("stored") != total:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 0, told


@pytest.mark.full
def test_the_writer_s_role_is_enough(postgres_database: Database, folder: Shelf, make_collector: MakeCollector) -> None:
    archive = make_collector(postgres_database, folder, messages=40)
    store = open_store(postgres_database.url.replace("postgresql://", "postgresql+psycopg://"))
    create(store)
    store.dispose()
    writer = "writer_of_attachments"
    postgres_database.run(f"DROP ROLE IF EXISTS {writer}")
    postgres_database.run(f"CREATE ROLE {writer} LOGIN IN ROLE archive_writer")
    try:
        archive.database = Database("postgresql", postgres_database.url.replace("postgres@", f"{writer}@"))
        archive.write_config()
        assert archive("pull") == 0
        assert archive("attachments") == 0
        assert set(archive.states()) == {"stored"}
        assert json.dumps(archive.status()["attachments"])
    finally:
        postgres_database.run(f"DROP ROLE {writer}")
