"""Events of callbacks on the page: found by their texts, as `search --events` finds them, each page a look."""

from __future__ import annotations

import json
import re

import pytest

from archiver.page import reported
from tests.callbacks.conftest import receiving
from tests.callbacks.sending import Receiving, edit, now_ms, recall
from tests.page.browsing import serving, text_of
from tests.page.test_looking import looks

__all__ = ["receiving"]
pytestmark = pytest.mark.one_server("a distributed archive is read by its commands")


def test_events_are_found_where_that_is_chosen_and_lead_to_their_messages(receiving: Receiving) -> None:
    app, archive = receiving.app, receiving.archive
    archive.write_config()
    msg_id = str(archive.database.value("SELECT msg_id FROM messages ORDER BY msg_id LIMIT 1"))
    with serving(archive, role="reader") as served:
        assert "Search in" not in served.visitor().get("/search").text, "nothing was reported so far"
    receiving.take(
        edit(app, msg_id, "the quokka \u202e<b>text</b>", own="1"),
        edit(app, "elsewhere", "another quokka", own="2"),
        recall(app, msg_id, own="3"),
    )
    with serving(archive, role="reader") as served:
        li = served.visitor()
        assert "Search in" in li.get("/search").text
        assert "Nothing was found" in text_of(li.get(li.look("/search", words="quokka")))
        page = li.get(li.look("/search", words="quokka", **{"in": "events"}))
        assert "the quokka \\u202e<b>text</b>" in text_of(page)
        assert "&lt;b&gt;text" in page.text
        assert "another quokka" in text_of(page)
        names = re.findall(r'name="message" value="([^"]+)"', page.text)
        assert names == [f"{app} {msg_id}"], "of what the archive has"
        assert li.get(li.look("/message", message=names[0])).status_code == 200
        assert [(row[1], row[4]) for row in looks(archive)] == [("search", 0), ("events", 2), ("message", 1)]
        shown = archive.database.rows(
            "SELECT c.conversation FROM looks l JOIN look_conversations c ON c.look_id = l.look_id"
            " WHERE l.action = 'events'"
        )
        query = "SELECT DISTINCT conversation FROM events WHERE text LIKE '%quokka%'"
        assert set(shown) == set(archive.database.rows(query))
        for wrong in ({"words": ""}, {"words": "quokka", "recipient": "bo"}, {"words": "quokka", "type": "txt"}):
            assert li.post("/search", **{"in": "events"}, **wrong).status_code == 400
        assert len(looks(archive)) == 3


@pytest.mark.full
def test_pages_of_events_hold_each_of_them_once(receiving: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reported, "ROWS", 3)
    archive, at = receiving.archive, now_ms()
    archive.write_config()
    stamps = [at, at, at, at - 5, at - 7, at - 7, at - 9, at - 9]
    receiving.take(*(edit(receiving.app, str(n), f"quokka {n}", own=str(n), timestamp=t) for n, t in enumerate(stamps)))
    archive.database.alter("UPDATE events SET at_ms = NULL WHERE text IN ('quokka 1', 'quokka 6')")
    archive("search", "quokka", "--events", "--format", "jsonl")
    expected = [json.loads(line)["event"]["text"] for line in archive.output.splitlines()]
    assert len(expected) == 8
    assert expected[-2:] == ["quokka 6", "quokka 1"], "on either database, those without a time come last"
    seen: list[str] = []
    with serving(archive) as served:
        li = served.visitor()
        page = li.get(li.look("/search", words="quokka", **{"in": "events"}))
        while True:
            seen += re.findall(r'<p class="said"><bdi dir="auto">(quokka \d)</bdi>', page.text)
            form = re.search(r'<form method="post" action="/search">(.*?)</form>', page.text, re.DOTALL)
            assert form
            hidden = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form[1]))
            if "after_id" not in hidden:
                break
            page = li.get(li.look("/search", **hidden))
    assert seen == expected
    assert [row[5] for row in looks(archive)] == [1, 2, 3]
