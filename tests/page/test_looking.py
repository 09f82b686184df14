"""Looks by the page: a row before every answer, an address for one session, and nothing where the row is missing."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Select

from archiver.page import searching
from archiver.page.viewings import Viewings
from tests.fixtures.archive import Archive
from tests.page.browsing import Clock, Visitor, serving, text_of

NAME = r'name="message" value="([^"]+)"'


def looks(archive: Archive) -> list[tuple[Any, ...]]:
    return archive.database.rows("SELECT outcome, action, via, who, found, page, case_id FROM looks ORDER BY id")


def shown_ids(page: str) -> list[str]:
    """The messages of a page of hits, without those beside them."""
    articles = re.findall(r'<article class="message">(.*?)</article>', page, re.DOTALL)
    return [re.search(NAME, article)[1].partition(" ")[2] for article in articles]  # type: ignore[index]


def a_conversation(archive: Archive) -> str:
    query = "SELECT conversation FROM messages WHERE chat_type = 'chat' GROUP BY conversation"
    return str(archive.database.value(f"{query} ORDER BY count(*) DESC, conversation LIMIT 1"))


def test_a_search_is_a_look_and_a_reload_another(pulled: Archive) -> None:
    with serving(pulled) as served:
        li = served.visitor()
        li.post("/case", case="K 7", reason="complaint")
        where = li.look("/search", words="a")
        (row,) = looks(pulled)
        assert (*row[:4], *row[5:]) == ("shown", "search", "page", "li", 1, "K 7"), "before the first byte"
        assert "a" not in where.removeprefix("/look/").replace("-", "").strip("0123456789abcdef")
        assert li.get(where).status_code == 200
        assert len(looks(pulled)) == 1, "the first GET belongs to the row that the form wrote"
        assert li.get(where).status_code == 200
        assert li.get(where).status_code == 200
        rows = pulled.database.rows("SELECT look_id, filter FROM looks ORDER BY id")
        assert len({row[0] for row in rows}) == 3
        assert {row[1] for row in rows} == {'{"texts": ["a"]}'}


def test_a_look_is_nobody_elses(pulled: Archive) -> None:
    clock = Clock()
    with serving(pulled, proxy=True, clock=clock) as served:
        li, wang = served.visitor("officer", "li"), served.visitor("auditor", "wang")
        where = li.look("/search", words="a")
        assert wang.get(where).status_code == 404
        assert Visitor(served.address, dict(li.session.headers)).get(where).status_code == 200  # type: ignore[arg-type]
        assert len(looks(pulled)) == 1
        clock.seconds += 1_799
        assert li.get(where).status_code == 200, "within half an hour"
        assert len(looks(pulled)) == 2, "what waited for a minute was not shown, so it was read and noted anew"
        clock.seconds += 2
        answer = li.get(where)
        assert answer.status_code == 404
        assert "30 minutes" in text_of(answer)
        where = li.look("/search", words="a")
        li.post("/signout")
        li.get("/")
        li.post("/signin")
        assert li.get(where).status_code == 404, "another session of the same person"
        assert len(looks(pulled)) == 3


@pytest.mark.full
def test_pages_of_hits_are_those_of_the_command_once_and_noted_with_what_they_show(
    pulled: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "HITS", 20)
    pulled("search", "a", "--limit", "0", "--format", "jsonl")
    expected = list(dict.fromkeys(json.loads(line)["msg_id"] for line in pulled.output.splitlines()))
    assert len(expected) > 60
    pages: list[list[str]] = []
    with serving(pulled) as served:
        li = served.visitor()
        page = li.get(li.look("/search", words="a"))
        while True:
            pages.append(shown_ids(page.text))
            form = re.search(r'<form method="post" action="/search">(.*?)</form>', page.text, re.DOTALL)
            assert form
            hidden = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form[1]))
            if "after_msg_id" not in hidden:
                break
            page = li.get(li.look("/search", **hidden))
    seen = [msg_id for some in pages for msg_id in some]
    assert list(dict.fromkeys(seen)) == expected
    assert len(seen) <= len(expected) + len(pages), "twice where two bodies of one lie on either side of a page's end"
    assert [row[5] for row in looks(pulled)] == list(range(1, len(pages) + 1))
    for number, some in enumerate(pages, 1):
        ids = ", ".join(f"'{msg_id}'" for msg_id in some)
        conversations = pulled.database.rows(f"SELECT DISTINCT conversation FROM messages WHERE msg_id IN ({ids})")
        query = "SELECT c.conversation FROM looks l JOIN look_conversations c ON c.look_id = l.look_id WHERE l.page = ?"
        assert set(pulled.database.rows(query, number)) == set(conversations), "of this page, and of no other"


@pytest.mark.full
def test_the_row_is_committed_before_the_first_byte_leaves(pulled: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a trace of a hundred answers: what the database of somebody else holds when an answer begins."""
    from archiver.page import app, commands

    traced: list[tuple[str, int]] = []
    create = app.create

    def tracing(review: Any) -> Any:
        made = create(review)
        answer = made.wsgi_app

        def wrapped(environ: Any, start_response: Any) -> Any:
            def start(*arguments: Any) -> Any:
                if environ["PATH_INFO"].startswith("/look/"):
                    traced.append((environ["PATH_INFO"], pulled.count("looks")))
                return start_response(*arguments)

            return answer(environ, start)

        monkeypatch.setattr(made, "wsgi_app", wrapped)
        return made

    monkeypatch.setattr(commands, "create", tracing)
    with serving(pulled) as served:
        li = served.visitor()
        for number in range(20):
            where = li.look("/search", words="a") if number % 2 else li.look("/participants", like="")
            for _ in range(5):
                assert li.get(where).status_code == 200
    assert len(traced) == 100
    assert [rows for _, rows in traced] == list(range(1, 101)), "one more row before each of them"


FORMS = {
    "/search": {"words": "a"},
    "/conversation": {"conversation": "iris", "with": "xingchen"},
    "/conversations": {"of": ""},
    "/participants": {"like": ""},
}


@pytest.mark.parametrize("path", FORMS)
def test_nothing_is_shown_that_cannot_be_noted(pulled: Archive, path: str) -> None:
    form = dict(FORMS[path])
    if path == "/conversation":
        form = dict(zip(("conversation", "with"), a_conversation(pulled).split("|"), strict=True))
    with serving(pulled) as served:
        li = served.visitor()
        where = li.look(path, **form)
        before = li.get(where).text
        pulled.database.run("ALTER TABLE looks RENAME TO elsewhere")
        for answer in (li.get(where), li.post(path, **form)):
            assert answer.status_code == 503
            assert "could not be written" in text_of(answer)
            said = [row[0] for row in pulled.database.rows("SELECT text FROM message_bodies WHERE length(text) > 9")]
            assert not [text for text in said if text in answer.text]
        pulled.database.run("ALTER TABLE elsewhere RENAME TO looks")
        assert len(li.get(where).text) > len(before) // 2


def test_records_and_files_are_looks(pulled: Archive) -> None:
    with serving(pulled, role="officer+auditor") as served:
        li = served.visitor()
        page = li.get(li.look("/search", words="a"))
        name = re.search(NAME, page.text)
        assert name
        assert li.get(li.look("/message", message=name[1])).status_code == 200
        assert "msg_id" in text_of(li.get(li.look("/message/raw", message=name[1])))
        (number,) = pulled.database.rows("SELECT id FROM quarantine")[0]
        answer = li.get(li.look(f"/quarantine/{number}"))
        assert "&lt;b&gt;secret" in answer.text
    assert [row[1] for row in looks(pulled)] == ["search", "message", "raw", "quarantine"]


def test_a_case_is_demanded_once_a_session(pulled: Archive) -> None:
    with serving(pulled, more="[review]\nrequire_case = true\n") as served:
        li = served.visitor()
        assert li.get("/").status_code == 200, "home shows nothing that people wrote"
        for answer in (li.get("/search"), li.post("/search", words="a")):
            assert "For which case do you read?" in text_of(answer)
        assert looks(pulled) == []
        assert li.post("/case", case="K 7", reason="").status_code == 400
        li.get("/case")
        assert li.post("/case", case="K 7", reason="asked").status_code == 200
        li.look("/search", words="a")
    assert looks(pulled)[0][6] == "K 7"


@pytest.mark.full
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_beside_a_writer_that_holds_on_the_page_is_busy_and_shows_nothing(
    pulled: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(pulled) as served:
        li = served.visitor()
        held, let_go = threading.Event(), threading.Event()

        def hold() -> None:
            import sqlite3

            path = pulled.database.url.removeprefix("sqlite:///")
            with sqlite3.connect(path, isolation_level=None) as other:
                other.execute("BEGIN IMMEDIATE")
                held.set()
                let_go.wait(60)
                other.execute("ROLLBACK")
            other.close()

        writer = threading.Thread(target=hold)
        writer.start()
        held.wait()
        begun = time.monotonic()
        answer = li.post("/search", words="a")
        took = time.monotonic() - begun
        let_go.set()
        writer.join()
        assert answer.status_code == 503
        assert "Busy: try again" in text_of(answer)
        assert 4 < took < 30, "it waited for five seconds, not for thirty"
        assert looks(pulled) == []
        assert li.look("/search", words="a")


@pytest.mark.full
def test_a_query_that_takes_too_long_is_ended_and_says_how_to_narrow_it(pulled: Archive) -> None:
    from archiver.errors import QueryTooLong
    from archiver.store.engine import AnswerLimits
    from tests.fixtures.store import open_database

    store = open_database(pulled.database)
    limited = store.answering(AnswerLimits(0.2, 1.0))
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT max(i) FROM n"
    begun = time.monotonic()
    with pytest.raises(QueryTooLong, match="too long"), limited.read() as tx:
        tx.conn.exec_driver_sql(slow)
    assert time.monotonic() - begun < 20
    with limited.read() as tx:
        assert tx.conn.exec_driver_sql("SELECT 1").scalar() == 1, "the connection goes on"
    store.dispose()
    with serving(pulled) as served:
        li = served.visitor()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Viewings, "keep", lambda *_: (_ for _ in ()).throw(QueryTooLong()))
            answer = li.post("/search", words="a")
    assert answer.status_code == 503
    assert "shorter range" in text_of(answer)


@pytest.mark.full
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_many_at_once_are_answered(pulled: Archive) -> None:
    with serving(pulled, proxy=True) as served:
        people = [served.visitor("officer", f"p{number}") for number in range(6)]
        wrong: list[int] = []

        def read(person: Visitor) -> None:
            for _ in range(4):
                answer = person.get(person.look("/search", words="a"))
                wrong.extend([answer.status_code] if answer.status_code != 200 else [])

        threads = [threading.Thread(target=read, args=(person,)) for person in people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    by_who = pulled.database.rows("SELECT who, count(*) FROM looks GROUP BY who")
    assert sorted(by_who) == [(f"p{number}", 4) for number in range(6)]


def test_nothing_of_a_restored_archive_is_shown(pulled: Archive) -> None:
    with serving(pulled) as served:
        li = served.visitor()
        li.post("/case", case="K 7", reason="complaint")
        where = li.look("/search", words="a")
        assert li.get(where).status_code == 200
        columns = "INSERT INTO lifecycle (id, archive_id, decided_in, reapply_since)"
        pulled.database.run(f"{columns} VALUES (1, 'x', 'database', '2026-11-01T00:00:00.000Z')")
        answer = li.get(where)
        assert answer.status_code == 503
        assert "erase reapply" in text_of(answer)
        assert li.post("/search", words="a").status_code == 503
        assert len(looks(pulled)) == 1


@pytest.mark.full
def test_a_search_in_what_waits_for_the_index_is_ended_as_a_whole(
    pulled: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server ends a statement that takes too long; this is read in many that are short."""
    from archiver.store.engine import AnswerLimits, Store, Tx
    from archiver.store.search import index, waiting

    read, clock = index.read_texts, Clock()
    monkeypatch.setattr(Store.answering, "__defaults__", (AnswerLimits(10.0, 5.0),))
    monkeypatch.setattr(waiting, "_LOOK_AT_CLOCK", 1)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=clock))

    def slow(tx: Tx, query: Select[Any]) -> Iterator[Any]:
        with closing(read(tx, query)) as rows:
            for row in rows:
                clock.seconds += 0.1
                yield row

    with serving(pulled) as served:
        li = served.visitor()
        assert pulled.database.value("SELECT count(*) FROM search_texts") == 0
        assert li.get(li.look("/search", words="a")).status_code == 200
        monkeypatch.setattr(waiting, "read_texts", slow)
        answer = li.post("/search", words="a")
        assert answer.status_code == 503
        assert "This takes longer than 10 seconds" in text_of(answer)
        assert clock.seconds < 1_000 + 11, "and not to the end of what waits"
        assert len(looks(pulled)) == 1
