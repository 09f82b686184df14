"""Exports that are killed, stopped or run twice at once: what lies there is whole, or goes on."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from archiver.errors import TryAgainLater, UsageError
from archiver.export.folder import Folder, day_folder
from tests.disks import refuse_folder_sync
from tests.export.samples import files
from tests.fixtures.archive import Archive

ROOT = Path(__file__).parents[2]
IN_THE_MIDDLE = """
import sys
from archiver import cli
from archiver.export import run
from archiver.export.folder import Folder

begin, finished_day = run.Export.__init__, Folder.finished_day

def note_stop(self, *rest, **more):
    global stop
    stop = more["stop"]
    begin(self, *rest, **more)

def wait_to_be_stopped(self, day):
    finished_day(self, day)
    print("a day is finished", flush=True)
    stop.wait()

run.Export.__init__, Folder.finished_day = note_stop, wait_to_be_stopped
cli.main(sys.argv[1:])
"""


@pytest.mark.full
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_an_export_that_is_killed_goes_on(archive: Archive, tmp_path: Path, sign: signal.Signals) -> None:
    """It stands still when it has finished a day, or it might be done before it is killed."""
    place = tmp_path / "out"
    options = ["--config", str(archive.config), "export", "--format", "jsonl", "--output", str(place)]
    command = [sys.executable, "-c", IN_THE_MIDDLE, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"a day is finished\n"
        process.send_signal(sign)
        process.communicate()
    assert process.returncode == (75 if sign == signal.SIGTERM else -sign)
    ended = [row[0] for row in archive.database.rows("SELECT outcome FROM audit_log ORDER BY id")]
    assert ended == (["begun", "stopped"] if sign == signal.SIGTERM else ["begun"])
    assert not (place / "manifest.json").exists()
    assert archive("export", "verify", str(place)) == 2
    assert archive("export", "--format", "jsonl", "--output", str(place)) == 0
    assert archive("export", "verify", str(place)) == 0
    lines = [line for part in place.rglob("*.jsonl") for line in part.read_bytes().splitlines()]
    assert len({json.loads(line)["msg_id"] for line in lines}) == len(lines) == archive.count("messages")
    assert not [path for path in files(place) if path.endswith(".partial") or "journal" in path]


def test_a_place_that_cannot_be_is_a_mistake_and_not_a_mishap(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert archive("export", "--format", "csv", "--output", str(tmp_path / "file/out")) == 2
    assert "--output" in archive.errors
    assert archive("export", "--format", "csv") == 2
    assert archive("export", "--output", str(tmp_path / "out")) == 2
    assert archive("export", "--format", "html", "--bom", "--output", str(tmp_path / "out")) == 2


HEADER = {"format": "jsonl", "filter": {"types": ("txt",)}}
DAY = {"app": "o#a", "day": "2026-11-01", "files": []}


def test_a_torn_line_of_the_journal_is_forgotten(tmp_path: Path) -> None:
    place = Folder(tmp_path / "out", HEADER)
    place.finished_day(DAY)
    place.close()
    with (tmp_path / "out/export.journal").open("ab") as file:
        file.write(b'{"app": "o#a", "day": "2026-11-02", "fil')
    again = Folder(tmp_path / "out", HEADER)
    assert again.resumed
    assert list(again.days) == [("o#a", "2026-11-01")]
    again.finished_day({**DAY, "day": None})
    again.close()
    third = Folder(tmp_path / "out", HEADER)
    assert list(third.days) == [("o#a", "2026-11-01"), ("o#a", None)]
    third.close()


def test_the_latest_line_of_a_day_counts(tmp_path: Path) -> None:
    place = Folder(tmp_path / "out", HEADER)
    for count in (1, 2):
        place.finished_day({**DAY, "messages": count})
        assert place.days["o#a", "2026-11-01"]["messages"] == count
    place.close()
    again = Folder(tmp_path / "out", HEADER)
    assert [line["messages"] for line in again.days.values()] == [2]
    again.close()


def test_a_disk_that_fails_under_the_journal_is_the_folders_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(number: int) -> Callable[..., int]:
        def refuse(*_: object) -> int:
            raise OSError(number, os.strerror(number))

        return refuse

    place = Folder(tmp_path / "out", HEADER)
    place.finished_day(DAY)
    monkeypatch.setattr(os, "pread", refusing(errno.EIO))
    with pytest.raises(TryAgainLater, match="Input/output error"):
        place.days["o#a", "2026-11-01"]
    monkeypatch.setattr(os, "pwrite", refusing(errno.ENOSPC))
    with pytest.raises(TryAgainLater, match="No space left"):
        place.finished_day(DAY)
    place.close()
    monkeypatch.undo()
    again = Folder(tmp_path / "out", HEADER)
    assert len(again.days) == 1
    again.close()


def test_two_exports_into_one_folder_are_one_too_many(tmp_path: Path) -> None:
    place = Folder(tmp_path / "out", HEADER)
    with pytest.raises(TryAgainLater, match="another process"):
        Folder(tmp_path / "out", HEADER)
    place.close()
    with pytest.raises(UsageError, match="differs in: format"):
        Folder(tmp_path / "out", {**HEADER, "format": "csv"})
    Folder(tmp_path / "out", HEADER).close()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_takes_an_export_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    place = Folder(tmp_path / "out", HEADER)
    place.finished_day(DAY)
    place.close()
    assert "has no locks: see that no other export writes there" in caplog.text
    again = Folder(tmp_path / "out", HEADER)
    assert again.days
    again.close()


def test_a_file_system_that_cannot_sync_a_folder_takes_an_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_folder_sync(monkeypatch, errno.EINVAL)
    place = Folder(tmp_path / "out", HEADER)
    with place.create("a/b") as sink:
        sink.write(b"line")
    refuse_folder_sync(monkeypatch, errno.EIO)
    with pytest.raises(TryAgainLater, match="Input/output error"), place.create("a/c"):
        pass
    place.close()


def test_a_day_that_a_later_snapshot_lacks_is_removed(tmp_path: Path) -> None:
    place = Folder(tmp_path / "out", HEADER)
    with place.create(f"{day_folder('o#a', '2026-11-01')}/part-0001.jsonl") as sink:
        sink.write(b"line\n")
    place.finished_day(DAY)
    place.keep_only([])
    assert files(tmp_path / "out") == ["export.journal"]
    assert place.days == {}
    place.close()


@pytest.mark.parametrize("app", ["../../up", "/etc", "a/b", "o#a", "名#字", "..", "app=x"])
def test_no_name_of_an_app_leads_out_of_its_place(tmp_path: Path, app: str) -> None:
    place = Folder(tmp_path / "out", HEADER)
    name = day_folder(app, "2026-11-01")
    place.close()
    assert len(name.split("/")) == 3
    assert name.isascii()
    assert not {"..", ".", ""} & set(name.split("/"))
