"""Two hundred looks by four people, over commands and page, exports among them: the account of them is exact."""

from __future__ import annotations

import html
import random
import re
from collections import defaultdict
from pathlib import Path

import pytest

from archiver import host
from archiver.page import searching
from tests.fixtures.archive import Archive
from tests.page.browsing import Visitor, serving

pytestmark = pytest.mark.full
PEOPLE, LOOKS, WORDS = ("li", "wang", "zhao"), 200, ("a", "e", "你", "的", "o")


def shown_in(page: str) -> set[str]:
    """The conversations that a page of hits names."""
    heads = re.findall(r'<section class="hit">\s*<h2><bdi>(.*?)</bdi>', page, re.DOTALL)
    return {html.unescape(head) for head in heads}


def search(person: Visitor, word: str, made: random.Random) -> set[str]:
    """A search, and some of its further pages; gives what was really shown."""
    page = person.get(person.look("/search", words=word)).text
    seen = shown_in(page)
    while made.random() < 0.6:
        form = re.search(r'<form method="post" action="/search">(.*?)</form>', page, re.DOTALL)
        assert form
        hidden = {name: html.unescape(value) for name, value in re.findall(r'name="([^"]+)" value="([^"]*)"', form[1])}
        if "after_msg_id" not in hidden:
            break
        page = person.get(person.look("/search", **hidden)).text
        seen |= shown_in(page)
    return seen


def test_who_looked_at_whom_is_exact(pulled: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "HITS", 8)
    made = random.Random(20261129)
    names = [row[0] for row in pulled.database.rows("SELECT DISTINCT conversation FROM messages ORDER BY 1") if row[0]]
    expected: dict[str, set[str]] = defaultdict(set)
    me = host.account()
    with serving(pulled, proxy=True) as served:
        pulled.config.write_text("[review]\n" + pulled.config.read_text())
        readers = {who: served.visitor("officer", who) for who in PEOPLE}
        for number in range(LOOKS):
            who, name = made.choice((*PEOPLE, me)), made.choice(names)
            if number == 50:
                where = str(tmp_path / "out")
                assert pulled("export", "--format", "jsonl", "--output", where, "--conversation", name) in (0, 3)
                expected[name].add(me)
            elif who == me:
                assert pulled("conversation", *name.split("|")) in (0, 3)
                expected[name].add(me)
            elif made.random() < 0.6:
                for seen in search(readers[who], made.choice(WORDS), made):
                    expected[seen].add(who)
            else:
                page = readers[who].get(readers[who].look("/conversation", conversation=name)).text
                assert '<article class="message">' in page
                expected[name].add(who)
    for name in made.sample(names, min(20, len(names))):
        rows = pulled.database.rows("SELECT DISTINCT who FROM looks_by_person WHERE conversation = ?", name)
        assert {row[0] for row in rows} == expected[name], name
    assert sum(map(len, expected.values())) > 40
