"""Readers of an SQLite archive: other accounts, read-only folders; they change nothing and stop nobody."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from archiver.errors import DatabaseUnavailable
from archiver.store.engine import open_for_reading
from tests.fixtures.archive import Archive

OWNER, READER = 30_001, 30_002
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as other accounts"),
    pytest.mark.parametrize("database", ["sqlite"], indirect=True),
]
READERS = [
    *(("status",), ("coverage",), ("statement",), ("search", "a"), ("conversations",), ("participants",)),
    *(("apps", "list"), ("quarantine", "list")),
]
# The account may not be able to read Python's own files, as those below /root: to import is left to root.
AS_ACCOUNT = """
import builtins, contextlib, importlib, io, json, os, sys
from archiver import cli

def as_root(function):
    def called(*arguments, **options):
        before = os.geteuid()
        os.seteuid(0)
        try:
            return function(*arguments, **options)
        finally:
            os.seteuid(before)
    return called

number, commands, groups = int(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
os.umask(0o022)
os.setgroups(groups)
os.setgid(number)
os.setresuid(number, number, 0)
builtins.__import__ = as_root(builtins.__import__)
importlib.import_module = as_root(importlib.import_module)
for command in commands:
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = cli.invoke(command)
    print(json.dumps([code, out.getvalue(), errors.getvalue()]))
"""


class Ended(NamedTuple):
    code: int
    output: str
    errors: str


class Place:
    """An archive with messages in a folder of OWNER's, and commands of other accounts on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.database, self.config = folder, folder / "archive.db", folder / "config.toml"

    def run(self, account: int, *commands: Sequence[str], groups: Sequence[int] = ()) -> list[Ended]:
        whole = [["--config", str(self.config), *command] for command in commands]
        line = [sys.executable, "-c", AS_ACCOUNT, str(account), json.dumps(whole), json.dumps(groups)]
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [Ended(*json.loads(text)) for text in done.stdout.splitlines()]

    def owners(self) -> dict[str, int]:
        return {path.name: path.stat().st_uid for path in self.folder.iterdir()}

    def give(self, owner: int, mode: int) -> None:
        for path in (self.folder, *self.folder.iterdir()):
            os.chown(path, owner, owner)
        self.database.chmod(0o644)
        self.folder.chmod(mode)


@pytest.fixture
def place(archive: Archive) -> Iterator[Place]:
    assert archive("pull") == 0
    folder = Path(tempfile.mkdtemp(prefix="archiver-readers-"))
    try:
        archive.database.run(f"VACUUM INTO '{folder}/archive.db'")
        with closing(sqlite3.connect(folder / "archive.db")) as conn:
            conn.execute("PRAGMA journal_mode=WAL")
        text = archive.config.read_text().replace(archive.database.url, f"sqlite:///{folder}/archive.db")
        (folder / "config.toml").write_text(text)
        made = Place(folder)
        made.give(OWNER, 0o755)
        (folder / "config.toml").chmod(0o644)
        yield made
    finally:
        shutil.rmtree(folder)


@pytest.mark.full
def test_a_reader_of_another_account_leaves_nothing_that_stops_the_writer(place: Place) -> None:
    place.folder.chmod(0o777)
    before = place.owners()
    for ended, command in zip(place.run(READER, *READERS), READERS, strict=True):
        assert ended.code == 0, (command, ended)
        assert "is read without locks" in ended.errors
    assert place.owners() == before
    (ended,) = place.run(OWNER, ("index",))
    assert ended.code == 0, ended.errors


@pytest.mark.full
def test_a_copy_in_a_folder_without_write_access_can_be_read_and_exported(place: Place, tmp_path: Path) -> None:
    place.folder.chmod(0o555)
    output = Path(tempfile.mkdtemp(prefix="archiver-export-"))
    os.chown(output, READER, READER)
    try:
        export = ("export", "--format", "jsonl", "--output", f"{output}/copy")
        *read, exported = place.run(READER, ("status",), ("search", "a"), export)
        assert [ended.code for ended in (*read, exported)] == [0, 0, 0], exported.errors
        assert "not recorded in its audit_log" in exported.errors
        manifest = json.loads((output / "copy/manifest.json").read_text())
        assert manifest["recorded"] is False
        assert manifest["counts"]["messages"] > 0
    finally:
        shutil.rmtree(output)
    (own,) = place.run(OWNER, ("status",))
    assert (own.code, "read without locks" in own.errors) == (0, True)
    assert set(place.owners()) == {"archive.db", "config.toml"}


@pytest.mark.full
def test_readers_of_another_account_see_what_is_committed_while_a_writer_is_at_work(place: Place) -> None:
    with closing(sqlite3.connect(place.database)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("UPDATE apps SET name = 'new#name'")
        writer.commit()
        for name in ("archive.db-wal", "archive.db-shm"):
            (place.folder / name).chmod(0o644)
        (ended,) = place.run(READER, ("status",))
        assert "new#name" in ended.output, ended.errors
        assert ended.errors == ""
        # Its companions copied without the index: what is committed there is not left out in silence.
        shutil.copy(place.folder / "archive.db-wal", place.folder / "kept")
    shutil.copy(place.folder / "kept", place.folder / "archive.db-wal")
    (place.folder / "archive.db-wal").chmod(0o644)
    place.folder.chmod(0o555)
    (ended,) = place.run(READER, ("status",))
    assert ended.code == 2
    assert "holds commits that are not in archive.db yet" in ended.errors
    assert "copy both files into a folder of your own" in ended.errors


@pytest.mark.full
def test_companions_of_another_account_are_named_with_the_command_that_mends_it(place: Place) -> None:
    for name in ("archive.db-wal", "archive.db-shm"):
        (place.folder / name).touch(0o644)
        os.chown(place.folder / name, READER, READER)
    pull, doctor = place.run(OWNER, ("pull",), ("doctor", "--format", "json"))
    remedy = f"chown --reference={place.database} {place.folder}/archive.db-wal"
    assert pull.code == 2
    assert f"{place.folder}/archive.db-wal belongs to {READER}" in pull.errors
    assert remedy in pull.errors
    found = json.loads(doctor.output)["findings"]
    assert {"failed"} == {one["state"] for one in found if one["remedy"] == remedy}
    assert any(one["what"].endswith("credentials)") or "not tried" in one["text"] for one in found), "it goes on"
    subprocess.run(shlex.split(remedy), check=True)
    subprocess.run(shlex.split(remedy.removesuffix("-wal") + "-shm"), check=True)
    (index,) = place.run(OWNER, ("index",))
    assert index.code == 0, index.errors


@pytest.mark.full
def test_a_shared_archive_is_the_groups(place: Place) -> None:
    group = 30_003
    place.config.write_text(place.config.read_text().replace("[database]", "[database]\ngroup = true"))
    os.chown(place.folder, OWNER, group)
    place.folder.chmod(0o2770)
    place.database.unlink()
    made, indexed = place.run(OWNER, ("migrate",), ("index",), groups=[group])
    assert (made.code, indexed.code) == (0, 0), made.errors + indexed.errors
    assert oct(place.database.stat().st_mode & 0o7777) == "0o660"
    assert place.database.stat().st_gid == group
    second, checked = place.run(READER, ("index",), ("check-config",), groups=[group])
    assert (second.code, "try: ch" in checked.errors) == (0, False), second.errors
    place.folder.chmod(0o770)
    (loose,) = place.run(OWNER, ("check-config",), groups=[group])
    assert "chmod 2770" in loose.errors


@pytest.mark.full
def test_check_config_names_files_that_everybody_may_read(place: Place) -> None:
    (ended,) = place.run(OWNER, ("check-config",))
    assert f"everybody on this machine may read {place.database}" in ended.errors
    assert f"chmod 0600 {place.database}" in ended.errors


def test_what_was_written_while_it_was_read_without_locks_is_no_answer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: READER)
    store = open_for_reading(f"sqlite:///{place.database}")

    def read_while_somebody_writes(statement: str) -> Any:
        with store.read() as tx:
            before = tx.conn.exec_driver_sql("SELECT count(*) FROM messages").scalar()
            with closing(sqlite3.connect(place.database)) as writer:  # closing it is a checkpoint
                writer.execute(statement)
                writer.commit()
            return before

    try:
        with pytest.raises(DatabaseUnavailable, match="was written while it was read"):
            read_while_somebody_writes("DELETE FROM attachments")
    finally:
        store.dispose()
