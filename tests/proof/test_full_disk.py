"""SQLite on a disk that is full after so many pages: the pull ends with 75, and goes on once there is room."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import event

from archiver.errors import DatabaseUnavailable
from tests.fixtures.databases import Database
from tests.proof import scenarios
from tests.proof.scene import Scene


def fill_up(path: Path, room: int) -> bool:
    """A pull with room for so many database pages; True when that was too few."""
    scene = Scene(Database("sqlite", f"sqlite:///{path}"), scenarios.TALK)
    full = scene.database.value("PRAGMA page_count") + room
    store = scene.store()
    event.listen(store.engine, "connect", lambda connection, _: connection.execute(f"PRAGMA max_page_count={full}"))
    code = 75
    with scene.surroundings():
        try:
            outcome = scene.pull(store)
        except DatabaseUnavailable:
            pass  # before there was a run to tell of it
        else:
            assert outcome is not None
            assert outcome.exit_code in (0, 75)
            code = outcome.exit_code
        scene.clock.now_ms += 180_000
        scene.complete()
    return code == 75


def with_small_pages(template: Path, path: Path) -> Path:
    """A small talk would fit into what large pages have left."""
    shutil.copy(template, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in ("PRAGMA journal_mode=DELETE", "PRAGMA page_size=4096", "VACUUM"):
            db.execute(statement)
    return path


def test_a_full_disk_costs_nothing(tmp_path: Path, sqlite_template: Path) -> None:
    template = with_small_pages(sqlite_template, tmp_path / "template.db")
    room = 0
    was_full: list[bool] = []
    while not was_full or was_full[-1]:
        path = tmp_path / f"archive-{room}.db"
        shutil.copy(template, path)
        was_full.append(fill_up(path, room))
        room += 1
    assert len(was_full) > 2, "the disk was full at several points of the pull"
