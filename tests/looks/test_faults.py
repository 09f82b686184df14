"""Commands that show what people wrote: where the row in looks cannot be written, not a byte of it is seen."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.fixtures.archive import Archive
from tests.fixtures.databases import Database
from tests.fixtures.store import open_database
from tests.looks.faults import be_brief, content_of, fill_disk, refuse_rows, until_all_are_refused, writer_held
from tests.postgres import Postgres

SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
SERVER = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture
def pulled(begun: Archive) -> Archive:
    """With looks on, an entry for every page, and a record that could not be read."""
    broken = b'{"msg_id": "q1", "timestamp": "1e3", "note": "what nobody could read"}'
    begun.server.add(broken, timestamp_ms=begun.server.start_ms + 1000, visible_ms=0)
    begun.sections += "[review]\nlooks = true\n"
    begun.write_config()
    assert begun("pull") == 0
    return begun


class Attempts:
    """Every command that shows what people wrote; each gives whether it was answered."""

    def __init__(self, archive: Archive, place: Path, *more: str, codes: tuple[int, ...]) -> None:
        query = "SELECT conversation, min(msg_id) FROM messages WHERE chat_type = 'chat' GROUP BY 1 ORDER BY 1 LIMIT 1"
        ((name, self._message),) = archive.database.rows(query)
        number = str(archive.database.value("SELECT id FROM quarantine"))
        self._archive, self._place, self._more, self._codes = archive, place, more, codes
        self._content, self._numbers = [*content_of(archive), "what nobody could read"], count()
        self.commands: dict[str, list[str]] = {
            "search": ["search", "a"],
            "search as it is read": ["search", "a", "--limit", "0", "--format", "jsonl"],
            "conversation": ["conversation", *name.split("|")],
            "conversations": ["conversations"],
            "participants": ["participants"],
            "quarantine": ["quarantine", "show", number],
        }

    def all(self) -> dict[str, Callable[[], bool]]:
        made = {name: self._attempt(name, words) for name, words in self.commands.items()}
        return made | {"proof": self._proof}

    def _attempt(self, name: str, words: list[str]) -> Callable[[], bool]:
        return lambda: self._is_answered(name, *words)

    def _proof(self) -> bool:
        folder = self._place / f"proof{next(self._numbers)}"
        answered = self._is_answered("proof", "evidence", "proof", self._message, "--output", str(folder))
        assert answered or not folder.exists() or not any(folder.iterdir())
        return answered

    def _is_answered(self, name: str, *words: str) -> bool:
        before = self._archive.count("looks")
        code = self._archive(*words, *self._more)
        assert not [text for text in self._content if text in self._archive.errors], name
        if self._archive.count("looks") > before:
            return True
        assert code in self._codes, (name, code, self._archive.errors)
        assert self._archive.output == "", name
        return False


@SQLITE
@pytest.mark.full
def test_nothing_is_shown_where_rows_are_refused(pulled: Archive, tmp_path: Path) -> None:
    refuse_rows(pulled.database)
    for name, attempt in Attempts(pulled, tmp_path, codes=(2,)).all().items():
        assert not attempt(), name


@SERVER
@pytest.mark.full
def test_nothing_is_shown_to_a_login_that_may_not_add_rows(pulled: Archive, tmp_path: Path, postgres: Postgres) -> None:
    from archiver.store.admin.roles import create

    store = open_database(pulled.database)
    create(store)
    store.dispose()
    login = f"auditor_{pulled.database.url.rpartition('archiver_')[2].partition('?')[0]}"
    postgres.run(f"CREATE ROLE {login} LOGIN IN ROLE archive_auditor")
    try:
        pulled.config.write_text(pulled.config.read_text().replace("postgres@", f"{login}@"))
        for name, attempt in Attempts(pulled, tmp_path, codes=(2,)).all().items():
            assert not attempt(), name
            assert "archive_officer" in pulled.errors, name
    finally:
        postgres.run(f"DROP ROLE {login}")


@SQLITE
@pytest.mark.full
def test_nothing_is_shown_while_another_writes(
    pulled: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_brief(monkeypatch)
    attempts = Attempts(pulled, tmp_path, codes=(75,)).all()
    with writer_held(pulled.database):
        for name, attempt in attempts.items():
            assert not attempt(), name
    assert pulled.count("looks") == 0
    assert [name for name, attempt in attempts.items() if attempt()] == list(attempts), "afterwards all is as ever"


@SQLITE
@pytest.mark.full
def test_nothing_is_shown_on_a_disk_that_is_full(
    pulled: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    fill_disk(monkeypatch, database)
    until_all_are_refused(Attempts(pulled, tmp_path, "--case", "K", "--reason", "r" * 3000, codes=(1, 2, 75)).all())
    rows = database.rows("SELECT count(*) FROM looks GROUP BY outcome = 'done'")
    assert sum(row[0] for row in rows) < 60
