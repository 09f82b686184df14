"""A thousand looks by four people, over commands and page, exports and a copy among them: the account of them is exact.

The full run has a fifth of them; `ARCHIVER_PROVE_LOOKS=1000` has all.
"""

from __future__ import annotations

import html
import json
import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archiver import host
from archiver.page import searching
from tests.fixtures.archive import Archive
from tests.page.browsing import Visitor, serving
from tests.page.test_looking import NAME

pytestmark = pytest.mark.full
PEOPLE, WORDS = ("li", "wang", "zhao"), ("a", "e", "你", "的", "o")
LOOKS = int(os.environ.get("ARCHIVER_PROVE_LOOKS", "200"))
Account = defaultdict[str, Counter[tuple[str, str]]]
"""By conversation: how often who did what."""


def shown_in(page: str) -> set[str]:
    """The conversations that a page of hits names."""
    heads = re.findall(r'<section class="hit">\s*<h2><bdi>(.*?)</bdi>', page, re.DOTALL)
    return {html.unescape(head) for head in heads}


class Officer:
    """Somebody at the page; `account`: what was really shown to them."""

    def __init__(self, visitor: Visitor, who: str, names: list[str], account: Account) -> None:
        self._visitor, self._who, self._names, self._account = visitor, who, names, account

    def _note(self, conversations: set[str], action: str) -> None:
        for name in conversations:
            self._account[name][self._who, action] += 1

    def search(self, made: random.Random) -> int:
        """A search, and some of its further pages; gives the number of looks."""
        page = self._visitor.get(self._visitor.look("/search", words=made.choice(WORDS))).text
        self._note(shown_in(page), "search")
        count = 1
        while made.random() < 0.6 and (further := self._further(page)):
            page = self._visitor.get(self._visitor.look("/search", **further)).text
            self._note(shown_in(page), "search")
            count += 1
        return count

    def _further(self, page: str) -> dict[str, str]:
        form = re.search(r'<form method="post" action="/search">(.*?)</form>', page, re.DOTALL)
        assert form
        pairs = re.findall(r'name="([^"]+)" value="([^"]*)"', form[1])
        hidden = {name: html.unescape(value) for name, value in pairs}
        return hidden if "after_msg_id" in hidden else {}

    def conversation(self, made: random.Random) -> int:
        """A conversation, loaded twice, and one of its messages."""
        name = made.choice(self._names)
        where = self._visitor.look("/conversation", conversation=name)
        page = self._visitor.get(where).text
        assert self._visitor.get(where).status_code == 200
        self._account[name][self._who, "conversation"] += 2
        message = html.unescape(made.choice(re.findall(NAME, page)))
        assert self._visitor.get(self._visitor.look("/message", message=message)).status_code == 200
        self._note({name}, "message")
        return 3


class Shell:
    """The commands, by whoever owns this process."""

    def __init__(self, archive: Archive, names: list[str], account: Account, place: Path) -> None:
        self._archive, self._names, self._account, self._place = archive, names, account, place
        self._who, self._numbers = host.account(), iter(range(10_000))

    def conversation(self, made: random.Random) -> int:
        name = made.choice(self._names)
        assert self._archive("conversation", *name.split("|")) in (0, 3)
        self._account[name][self._who, "conversation"] += 1
        return 1

    def search(self, made: random.Random) -> int:
        assert self._archive("search", made.choice(WORDS), "--limit", "7", "--format", "jsonl") in (0, 3)
        shown = {json.loads(line)["conversation"] for line in self._archive.output.splitlines()}
        for name in shown - {None}:
            self._account[name][self._who, "search"] += 1
        return 1

    def export(self, made: random.Random) -> int:
        name, where = made.choice(self._names), str(self._place / f"out{next(self._numbers)}")
        assert self._archive("export", "--format", "jsonl", "--output", where, "--conversation", name) in (0, 3)
        self._account[name][self._who, "export"] += 1
        return 1

    def copy(self) -> int:
        assert self._archive("copy", "--to", f"sqlite:///{self._place}/copy.db") == 0, self._archive.errors
        return 1


def acts(officers: list[Officer], shell: Shell, made: random.Random) -> Iterator[Callable[[random.Random], int]]:
    """What is done next: mostly at the page, an export now and then."""
    while True:
        draw, officer = made.random(), made.choice(officers)
        yield (
            shell.export
            if draw < 0.02
            else shell.search
            if draw < 0.15
            else shell.conversation
            if draw < 0.3
            else officer.search
            if draw < 0.7
            else officer.conversation
        )


@pytest.mark.timeout(900)
def test_who_looked_at_whom_is_exact(pulled: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "HITS", 8)
    made = random.Random(20261129)
    names = [row[0] for row in pulled.database.rows("SELECT DISTINCT conversation FROM messages ORDER BY 1") if row[0]]
    account: Account = defaultdict(Counter)
    with serving(pulled, proxy=True) as served:
        pulled.config.write_text("[review]\n" + pulled.config.read_text())
        officers = [Officer(served.visitor("officer", who), who, names, account) for who in PEOPLE]
        shell = Shell(pulled, names, account, tmp_path)
        done = shell.copy() + shell.export(made)
        for act in acts(officers, shell, made):
            done += act(made)
            if done >= LOOKS:
                break
    counted = "SELECT who, action, count(DISTINCT at) FROM looks_by_person WHERE conversation = ? GROUP BY who, action"
    for name in made.sample(names, 20):
        rows = {(who, action): number for who, action, number in pulled.database.rows(counted, name)}
        assert rows == account[name], name
    whole = pulled.database.rows("SELECT who, action FROM looks_by_person WHERE conversation IS NULL")
    assert [tuple(row) for row in whole] == [(host.account(), "copy")], "of all, which are not listed"
    assert {action for counter in account.values() for _, action in counter} > {"search", "conversation", "export"}
