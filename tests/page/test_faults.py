"""The page where the row of a look cannot be written: 503, and not a byte of what people wrote leaves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from tests.fixtures.archive import Archive
from tests.fixtures.databases import Database
from tests.looks.faults import be_brief, content_of, fill_disk, refuse_rows, until_all_are_refused, writer_held
from tests.page.browsing import Visitor, serving, text_of

pytestmark = pytest.mark.full
SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
UNREAD = "what nobody could read"


@pytest.fixture
def sealed(begun: Archive) -> Archive:
    """Pulled, with an entry for every page, and a record that could not be read."""
    broken = f'{{"msg_id": "q1", "timestamp": "1e3", "note": "{UNREAD}"}}'.encode()
    begun.server.add(broken, timestamp_ms=begun.server.start_ms + 1000, visible_ms=0)
    begun.write_config()
    assert begun("pull") == 0
    return begun


class Attempts:
    """Every look that the page offers; each gives whether it was answered."""

    def __init__(self, archive: Archive, li: Visitor) -> None:
        app = f"{archive.server.org}#{archive.server.app}"
        query = "SELECT conversation, min(msg_id) FROM messages WHERE chat_type = 'chat' GROUP BY 1 ORDER BY 1 LIMIT 1"
        ((name, msg_id),) = archive.database.rows(query)
        number = archive.database.value("SELECT id FROM quarantine")
        self._archive, self._li, self._content = archive, li, [*content_of(archive), UNREAD]
        self._shown = li.look("/search", words="a")
        assert li.get(self._shown).status_code == 200
        self.forms: dict[str, dict[str, str]] = {
            "/search": {"words": "a"},
            "/conversation": {"conversation": name},
            "/conversations": {"of": ""},
            "/participants": {"like": ""},
            "/message": {"message": f"{app} {msg_id}"},
            "/message/raw": {"message": f"{app} {msg_id}"},
            "/message/proof": {"message": f"{app} {msg_id}"},
            f"/quarantine/{number}": {},
        }

    def all(self) -> dict[str, Callable[[], bool]]:
        return {path: self._attempt(path, form) for path, form in self.forms.items()} | {"reload": self._reload}

    def _attempt(self, path: str, form: dict[str, str]) -> Callable[[], bool]:
        return lambda: self._is_answered(lambda: self._li.post(path, **form), path)

    def _reload(self) -> bool:
        return self._is_answered(lambda: self._li.get(self._shown), "reload")

    def _is_answered(self, ask: Callable[[], requests.Response], name: str) -> bool:
        before, answer = self._archive.count("looks"), ask()
        if answer.status_code == 200:
            assert self._archive.count("looks") > before, name
            return True
        assert answer.status_code == 503, name
        assert not [text for text in self._content if text.encode() in answer.content], name
        assert b"<article" not in answer.content
        assert b"<table" not in answer.content
        assert self._archive.count("looks") == before, name
        return False


def test_where_rows_are_refused(sealed: Archive) -> None:
    with serving(sealed, role="officer+auditor") as served:
        li = served.visitor()
        attempts = Attempts(sealed, li).all()
        if sealed.database.kind == "sqlite":
            refuse_rows(sealed.database)
        else:
            sealed.database.run("REVOKE INSERT ON looks FROM archive_page")
        for path, attempt in attempts.items():
            assert not attempt(), path
        assert "This look could not be noted" in text_of(li.post("/search", words="a"))


@SQLITE
def test_while_another_writes_it_is_busy_writes_nothing_and_goes_on_afterwards(
    sealed: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_brief(monkeypatch)
    with serving(sealed, role="officer+auditor") as served:
        li = served.visitor()
        attempts = Attempts(sealed, li).all()
        rows = {table: sealed.count(table) for table in ("looks", "look_conversations", "review_sessions", "requests")}
        with writer_held(sealed.database):
            for path, attempt in attempts.items():
                assert not attempt(), path
            answer = li.post("/search", words="a")
            assert "Busy: try again" in text_of(answer)
            for path in ("/", "/search", "/coverage", "/quarantine"):
                assert li.get(path).status_code == 200, "what needs no row is answered"
        assert rows == {table: sealed.count(table) for table in rows}, "and nothing was written later"
        for path, attempt in attempts.items():
            assert attempt(), path


@SQLITE
def test_on_a_disk_that_is_full(sealed: Archive, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(sealed, role="officer+auditor") as served:
        li = served.visitor()
        li.post("/case", case="K", reason="r" * 490)
        attempts = Attempts(sealed, li)
    fill_disk(monkeypatch, database)
    with serving(sealed, role="officer+auditor") as served:
        li.address = served.address
        until_all_are_refused({path: attempt for path, attempt in attempts.all().items() if path != "reload"})
        answer = li.post("/search", words="a")
        assert answer.status_code == 503
        assert "Nothing was shown" in text_of(answer)
