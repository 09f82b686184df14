"""The program on hosts that are set up otherwise, or lack something: whole commands, in processes of their own."""

from __future__ import annotations

import fcntl
import json
import os
import select
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.export.samples import said
from tests.fixtures.archive import Archive

COMMANDS = """
import json, os, sys
from archiver import cli

os.umask(0o022)
told = open(int(sys.argv[3]), "w", buffering=1)
before = sys.stdout
for command in json.loads(sys.argv[2]):
    sys.stdout = before
    cli.prepare_process()
    print(cli.invoke(["--config", sys.argv[1], *command]), file=told)
"""


def play(archive: Archive, *commands: Sequence[str], **streams: Any) -> tuple[list[int], list[str]]:
    """Run commands one after the other in a process that begins each as `archiver` does.

    Gives their exit codes, and the lines on standard error.
    """
    if not archive.config.exists():
        archive.write_config()
    reader, writer = os.pipe()
    line = [sys.executable, "-c", COMMANDS, str(archive.config), json.dumps(commands), str(writer)]
    done = subprocess.run(line, text=True, pass_fds=[writer], **{"stderr": subprocess.PIPE, **streams})
    os.close(writer)
    with open(reader) as told:  # noqa: PTH123 - no path, a pipe
        codes = [int(code) for code in told]
    assert done.returncode == 0, done.stderr
    return codes, (done.stderr or "").splitlines()


def modes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): stat.filemode(path.stat().st_mode) for path in folder.rglob("*")}


@pytest.mark.full
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_nobody_else_may_read_what_is_written_whatever_the_umask(archive: Archive, tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.mkdir()
    archive.write_config()
    text = archive.config.read_text().replace(archive.database.url, f"sqlite:///{place}/archive.db")
    archive.config.write_text(text + f'\n[attachments]\nstore = "file://{place}/files/here"\nrate = "10000/s"')
    fetch, export = ("attachments", "--limit", "3"), ("export", "--format", "csv", "--output", f"{place}/export")
    codes, _ = play(archive, ["migrate"], ["pull"], fetch, ["index"], export, ["export", "verify", f"{place}/export"])
    assert codes == [0, 0, 75, 0, 0, 0], "some attachments are left"
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


PRINTING = (
    ("--version",),
    ("search", "--help"),
    ("status",),
    ("status", "--format", "json"),
    ("status", "--format", "prometheus"),
    ("coverage",),
    ("coverage", "--format", "json"),
    ("check-config",),
    ("doctor",),
    ("doctor", "--format", "json"),
    ("migrate",),
    ("index",),
    ("quarantine", "list"),
    ("quarantine", "list", "--format", "json"),
    ("quarantine", "requeue"),
    *(("search", "o", "--limit", "0", "--format", form) for form in ("table", "csv", "jsonl")),
    ("conversation", "iris", "xingchen"),
)


def close_output() -> None:
    os.close(1)


@pytest.mark.full
@pytest.mark.parametrize("kind", ["full", pytest.param("closed", marks=pytest.mark.full)])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_cannot_be_printed_ends_a_command_in_one_line(archive: Archive, tmp_path: Path, kind: str) -> None:
    for number, user in enumerate(("iris", "xingchen")):
        archive.server.add(said(f"m{number}", "o", archive.server.start_ms, **{"from": user}), visible_ms=0)
    assert archive("pull") == 0
    assert archive("index") == 0
    more = (
        ("export", "--format", "jsonl", "--output", str(tmp_path / "out")),
        ("export", "verify", str(tmp_path / "out")),
    )
    with Path("/dev/full").open("w") as full:
        streams: dict[str, Any] = {"stdout": full} if kind == "full" else {"preexec_fn": close_output}
        codes, lines = play(archive, *PRINTING, *more, ("pull",), **streams)
    assert codes == [1] * len((*PRINTING, *more)) + [0], "a pull prints nothing"
    told = {"full": "No space left on device", "closed": "it is closed"}[kind]
    lost = f"archiver: standard output cannot be written: {told}; what was printed is not whole"
    assert [line for line in lines if "warning" not in line] == [lost] * len((*PRINTING, *more))
    assert (tmp_path / "out/manifest.json").exists(), "what was done is done"


@pytest.mark.full
@pytest.mark.parametrize("kind", ["full", "closed"])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_log_that_cannot_be_written_keeps_no_pull_from_its_work(archive: Archive, kind: str) -> None:
    archive.write_config()
    with Path("/dev/full").open("w") as full:
        streams: dict[str, Any] = {"stderr": full} if kind == "full" else {"stderr": None, "preexec_fn": close_errors}
        codes, _ = play(archive, ("-vv", "pull"), ("status",), ("search", "nothing at all"), **streams)
    assert codes == [0, 0, 0]
    assert archive.count("messages") == 300


def close_errors() -> None:
    os.close(2)


@pytest.mark.full
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_reader_that_is_slow_and_does_not_block_gets_all(archive: Archive) -> None:
    assert archive("pull") == 0
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    archive.write_config()
    line = [sys.executable, "-m", "archiver", "--config", str(archive.config), "search", "e", "--limit", "0"]
    with subprocess.Popen([*line, "--format", "csv"], stdout=writer) as process:
        while process.poll() is None and select.select([], [writer], [], 0)[1]:
            time.sleep(0.01)  # until the pipe is full
        os.close(writer)
        with open(reader, "rb") as output:  # noqa: PTH123 - no path, a pipe
            size = len(output.read())
    assert process.returncode == 0
    assert size > 3 * 4096, "more than a pipe holds"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_argument_that_is_no_text_is_a_mistake_and_a_path_may_be_so(archive: Archive, tmp_path: Path) -> None:
    other = os.fsdecode(b"x\xd5\xc5")
    export = ("export", "--format", "jsonl", "--output")
    hour = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T01:00:00Z")
    for command in (
        ("search", other),
        ("search", "o", "--type", "txt", "--type", other),
        ("conversation", "iris", other),
        (*export, str(tmp_path / "out"), "--reason", other),
        (*export, str(tmp_path / "out"), "--sender", other),
        ("coverage", "accept", *hour, "--reason", other),
    ):
        assert archive(*command) == 2, command
        assert "is not text in the locale's encoding: 'x\\udcd5\\udcc5'" in archive.errors
        assert "LANG=C.UTF-8" in archive.errors
    assert archive.count("audit_log") == 0
    assert archive(*export, str(tmp_path / other)) == 0
    assert archive("export", "verify", str(tmp_path / other)) == 0
