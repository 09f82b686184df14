"""The program on hosts that are set up otherwise, or lack something: whole commands, in processes of their own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.flow.conftest import Archive

COMMANDS = """
import json, os, sys
from archiver import cli

os.umask(0o022)
cli.prepare_process()
print([cli.run(["--config", sys.argv[1], *command]) for command in json.loads(sys.argv[2])], file=sys.stderr)
"""


def play(archive: Archive, *commands: Sequence[str]) -> str:
    """Run commands one after the other in a process as `archiver` begins it; gives the list of their exit codes."""
    if not archive.config.exists():
        archive.write_config()
    line = [sys.executable, "-c", COMMANDS, str(archive.config), json.dumps(commands)]
    done = subprocess.run(line, capture_output=True, text=True)
    return done.stderr.splitlines()[-1]


def modes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): stat.filemode(path.stat().st_mode) for path in folder.rglob("*")}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_nobody_else_may_read_what_is_written_whatever_the_umask(archive: Archive, tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.mkdir()
    archive.write_config()
    text = archive.config.read_text().replace(archive.database.url, f"sqlite:///{place}/archive.db")
    archive.config.write_text(text + f'\n[attachments]\nstore = "file://{place}/files/here"\nrate = "10000/s"')
    fetch, export = ("attachments", "--limit", "3"), ("export", "--format", "csv", "--output", f"{place}/export")
    codes = play(archive, ["migrate"], ["pull"], fetch, ["index"], export, ["export", "verify", f"{place}/export"])
    assert codes == "[0, 0, 75, 0, 0, 0]", "some attachments are left"
    found = modes(place)
    assert {"archive.db", "files/here", "export/manifest.json"} <= found.keys()
    assert len(found) > 12
    assert {mode for mode in found.values() if not mode.startswith("d")} == {"-rw-------"}
    assert {mode for mode in found.values() if mode.startswith("d")} == {"drwx------"}
    (place / "archive.db").chmod(0o644)
    (place / "files/here").chmod(0o755)
    assert archive("doctor") == 0
    assert f"warning  database: everybody on this machine may read {place}/archive.db" in archive.output
    assert f"(try: chmod 0700 {place}/files/here)" in archive.output


def test_the_file_of_an_archive_is_private_and_an_existing_one_is_left_as_it_is(tmp_path: Path) -> None:
    from archiver.blobs import Blobs
    from archiver.store.engine import open_store

    before = os.umask(0o022)
    try:
        for time in range(2):
            store = open_store(f"sqlite:///{tmp_path}/archive.db")
            with store.write() as tx:
                tx.conn.exec_driver_sql("CREATE TABLE IF NOT EXISTS t (x)")
                found = modes(tmp_path)
            store.dispose()
            assert found["archive.db-wal"] == found["archive.db"]
            assert found["archive.db"] == ("-rw-------" if time == 0 else "-rw-r-----")
            (tmp_path / "archive.db").chmod(0o640)  # as an operator shares it with a group
        Blobs(f"file://{tmp_path}/files")
        assert stat.filemode((tmp_path / "files").stat().st_mode) == "drwx------"
    finally:
        os.umask(before)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_temporary_files_no_download_is_begun(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.write_config(source="hourly", audits=None)
    archive.config.write_text(archive.config.read_text() + '\n[attachments]\nstore = "file://' + f'{tmp_path}/files"')
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    for command in (("pull",), ("doctor",), ("attachments",)):
        assert archive(*command) == 2, command
        assert "a temporary file cannot be made: No such file or directory" in archive.output + archive.errors
        assert "TMPDIR" in archive.output + archive.errors
    assert archive.server.count("/chatmessages") == 1, "the doctor's, for the provider's clock"
    assert archive("pull", source="cursor", audits=[]) == 0, "pages need none"
