"""What goes wrong, in the reader's language: also where another room of the program says what it is."""

from __future__ import annotations

import html
import re

import pytest

from archiver.language import language
from tests import words
from tests.fixtures.archive import Archive
from tests.page.browsing import ON_PAGE, Visitor, serving, text_of

VALUES = ("nowhere", "nothing", "archiver", "pull", "requests", "list", "--all", "quarantine", "easemob", "demo", "app")
NOT_CHINESE = re.compile(r"[A-Za-z]{4,}")


def english_in(text: str) -> list[str]:
    """Words of English that are no value and no command."""
    bare = re.sub(r"archiver( [a-z-]+)+|--[a-z-]+|\S*#\S*", " ", text)
    return [word for word in NOT_CHINESE.findall(bare) if word not in VALUES]


@pytest.mark.full
def test_errors_of_other_rooms_are_in_the_language_of_the_page(pulled: Archive) -> None:
    app = f"{pulled.server.org}#{pulled.server.app}"
    many = " ".join(f"word{number}" for number in range(40))
    asked: tuple[tuple[str, dict[str, str]], ...] = (
        ("/search", {"words": "a", "app": "nowhere"}),
        ("/search", {"words": "\u200b"}),
        ("/search", {"words": many}),
        ("/search", {"words": "a", "in": "events", "type": "txt"}),
        ("/search", {"words": "x" * 600}),
        ("/conversation", {"conversation": "nowhere"}),
        ("/conversations", {"app": "nowhere", "of": "a"}),
        ("/message", {"message": f"{app} nothing"}),
        ("/message", {"message": "nowhere#x nothing"}),
        ("/message/proof", {"message": f"{app} {pulled.database.value('SELECT min(msg_id) FROM messages')}"}),
        ("/quarantine/999", {}),
        ("/lifecycle/erasures", {"sender": "nowhere", "case": "K", "reason": "r"}),
        ("/lifecycle/holds", {"app": "nowhere", "name": "n", "case": "K", "reason": "r"}),
    )
    with serving(pulled, role="officer+auditor", language="zh", more=ON_PAGE) as served:
        li = served.visitor()
        for path, form in asked:
            answer = li.post(path, **form)
            assert answer.status_code == 400, (path, form)
            said = problem_of(answer.text)
            assert re.search("[\u4e00-\u9fff]", said), (path, said)
            assert not english_in(said), (path, said)
        assert not english_in(refused_request(li)), "with the state that it names"
    with serving(pulled, role="officer+auditor") as served:
        said = problem_of(served.visitor().post("/search", words="a", app="nowhere").text)
        assert said.startswith("no app named 'nowhere' is in the archive; there is: ")


def problem_of(page: str) -> str:
    alert = re.search(r'role="alert">(.*?)</p>', page, re.DOTALL)
    if alert is None:
        return text_of(page.partition("<footer")[0])
    return html.unescape(re.sub(r"<[^>]+>", " ", alert[1])).strip()


def refused_request(li: Visitor) -> str:
    """What is said of a request that was withdrawn, and is to be refused."""
    where = li.look("/exports", format="jsonl", sender="iris", case="K", reason="r")
    page = li.get(where).text
    seen = re.search(r'name="seen" value="([^"]+)"', page)
    assert seen
    assert li.post(where, act="withdraw", seen=seen[1]).status_code == 200
    return problem_of(li.post(where, act="refuse", seen=seen[1]).text)


def test_every_error_that_the_page_may_show_has_a_translation() -> None:
    errors = words.errors()
    assert {"the archive has no message of this id", "request {0} was {1} already", "not signed yet"} <= errors
    chinese = language("zh")
    for text in errors:
        said = chinese.error(text.replace("{0}", "Q1").replace("{1}", "Q2"))
        assert re.search("[\u4e00-\u9fff]", said), text
        assert said.count("Q1") == text.count("{0}"), text
    assert chinese.error("request 7 was withdrawn already") == "请求 7 的状态已是：已撤回"
    assert chinese.error("there is no conversation 'approved' in the archive").count("'approved'") == 1
