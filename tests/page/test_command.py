"""`archiver review` as a command: to a terminal alone, behind a proxy without one, and how it ends."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from archiver.config import load
from archiver.errors import ConfigurationError
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.page.browsing import ON_PAGE, PROXY, SECRET, Visitor, proxy_headers
from tests.postgres import free_port

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def small(database: Database, make_archive: MakeArchive) -> Archive:
    archive = make_archive(database, messages=20)
    assert archive("pull") == 0
    return archive


@pytest.mark.full
@ON_SQLITE
def test_the_link_goes_to_a_terminal_and_nowhere_else(small: Archive) -> None:
    assert small("review") == 2
    assert "printed to a terminal alone" in small.errors
    assert small.output == ""
    main, child = pty.openpty()
    command = [sys.executable, "-m", "archiver", "--config", str(small.config), "review", "--role", "auditor"]
    process = subprocess.Popen(command, stdout=child, stderr=subprocess.PIPE)
    os.close(child)
    try:
        text, ends_at = "", time.monotonic() + 60
        while not (link := re.search(r"http://(127\.\d+\.\d+\.\d+):(\d+)(/signin/[\w-]+)\s", text)):
            assert time.monotonic() < ends_at
            if select.select([main], [], [], 1)[0]:
                text += os.read(main, 4096).decode()
        visitor = Visitor(f"http://{link[1]}:{link[2]}")
        assert visitor.get(link[3]).status_code == 200
        assert visitor.post(link[3]).status_code == 200
        assert visitor.get("/looks").status_code == 200, "as an auditor"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert link[3] not in process.stderr.read().decode(), "it is in no log"
    finally:
        process.kill()
        process.wait()
        os.close(main)
        if process.stderr is not None:
            process.stderr.close()


@ON_SQLITE
def test_behind_a_proxy_it_needs_no_terminal(small: Archive, tmp_path: Path) -> None:
    port, secret = free_port(), tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    section = PROXY.format(secret=secret).replace("127.0.0.1:0", f"127.0.0.1:{port}")
    small.config.write_text(section + small.config.read_text())
    command = [sys.executable, "-m", "archiver", "--config", str(small.config), "--log-format", "json", "review"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        ends_at = time.monotonic() + 60
        while True:
            try:
                answer = requests.get(f"http://127.0.0.1:{port}/signin", headers=proxy_headers("officer"), timeout=10)
                break
            except requests.ConnectionError:
                assert time.monotonic() < ends_at
                assert process.poll() is None
                time.sleep(0.1)
        assert answer.status_code == 200
        assert small("review") == 1, "the port is taken"
        assert "[review] listen" in small.errors
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
        assert process.returncode == 0
        assert output == b""
        assert b"the review page answers" in errors
        assert SECRET.encode() not in errors
    finally:
        process.kill()
        process.wait()


@pytest.mark.one_server("a distributed archive decides by commands")
def test_a_page_that_would_decide_elsewhere_than_the_archive_is_refused(small: Archive, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    whole = PROXY.format(secret=secret) + small.config.read_text()
    small.config.write_text("[lifecycle]\n" + whole)
    assert small("migrate") == 0
    small.config.write_text(ON_PAGE + whole)
    assert small("review") == 2
    assert 'this archive decides in "database"' in small.errors
    if small.database.kind == "postgresql":
        assert small("migrate") == 0
        assert small("review") == 2, "who owns the archive is not its page"
        assert "no member of archive_page" in small.errors
        assert "GRANT archive_page" in small.errors


@ON_SQLITE
def test_a_secret_that_is_none_is_refused(small: Archive, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    for content in ("", "short", "0123456789abcdef\nsecond line"):
        secret.write_text(content)
        secret.chmod(0o600)
        small.config.unlink()
        small.write_config()
        small.config.write_text(PROXY.format(secret=secret) + small.config.read_text())
        assert small("review") == 2
        assert "of at least 16 characters" in small.errors  # "secret" may be one, by another test of the same process


WRONG = {
    'listen = "0.0.0.0:9480"\nurl = "https://r.example.com"\nofficers = ["a"]': ("review.peers", "review.secret_file"),
    'listen = "127.0.0.1:9480"\nofficers = ["a"]': ("review.url",),
    'listen = "127.0.0.1:9480"\nurl = "https://r.example.com"': ("review.officers",),
    'listen = "127.0.0.1:9480"\nurl = "http://r.example.com"\nofficers = ["a"]': ("review.url", "unencrypted"),
    'listen = "127.0.0.1:9480"\nurl = "https://r.example.com/x"\nofficers = ["a"]': ("review.url",),
    'url = "https://r.example.com"\nauditors = ["a"]': ("review.url", "review.auditors", "add listen"),
    'peers = ["proxy.example.com"]': ("review.peers", "list of addresses"),
    'readers = ["a,b"]': ("review.readers", "list of groups"),
    'user_header = "X Forwarded"': ("review.user_header",),
}


@pytest.mark.parametrize("section", WRONG)
def test_what_is_wrong_in_the_section_is_named(section: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    apps = '[[apps]]\norg = "o"\napp = "a"\nclient_id = "i"\nclient_secret = "s3cret"\nstart = 2026-11-01T00:00:00Z\n'
    config.write_text(f"[review]\n{section}\n{apps}")
    with pytest.raises(ConfigurationError) as refused:
        load(config, {})
    for part in WRONG[section]:
        assert part in str(refused.value)


def test_a_page_of_one_person_never_leaves_this_machine() -> None:
    from archiver.page import server

    addresses = set()
    for _ in range(20):
        bound = server.listen_privately()
        addresses.add(bound.getsockname()[0])
        bound.close()
    assert len(addresses) > 10
    assert all(address.startswith("127.") for address in addresses)
