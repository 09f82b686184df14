"""Drafts of commands on the page: shown with their effect, adopted by one person as seen, approved by another one."""

from __future__ import annotations

import html
import json
import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from archiver.page.headers import HEADERS
from archiver.store.engine import AnswerLimits
from tests.fixtures.archive import Archive
from tests.page.browsing import ON_PAGE, Serving, Visitor, serving, text_of
from tests.page.test_guard import ROLES
from tests.page.test_screens import english_in

pytestmark = pytest.mark.one_server("a distributed archive has no holds, terms and deletion: the commands refuse")

WHY = ("--case", "E 3", "--reason", "letter of 2026-11-02")
ERASE = ("erase", "request", "--sender", "xingchen", *WHY)


def on_page(archive: Archive, *, more: str = "") -> None:
    """Have the archive decide on its page, by its own configuration."""
    file = f'erasures_file = "{archive.config.with_name("erasures.jsonl")}"\n'
    archive.config.write_text(ON_PAGE + file + more + archive.config.read_text())
    assert archive("migrate") == 0, archive.errors


def seen_in(page: str) -> str:
    """What a form says that was seen."""
    value = re.search(r'name="seen" value="([0-9a-f]{64})"', page)
    assert value, page
    return value[1]


def adopt(person: Visitor, number: int, page: str) -> str:
    answer = person.post(f"/drafts/{number}", act="adopt", seen=seen_in(page))
    assert answer.status_code == 200, text_of(answer)
    return answer.text


def test_a_draft_is_adopted_by_one_and_approved_by_another(pulled: Archive) -> None:
    on_page(pulled)
    assert pulled("hold", "add", "claim <b>", "--sender", "xingchen", "--case", "K", "--reason", "r") == 0
    assert pulled(*ERASE) == 0
    number = pulled.database.value("SELECT count(*) FROM messages WHERE lower(sender) = 'xingchen'")
    with serving(pulled, proxy=True) as served:
        li, wang = served.visitor("officer", "Li"), served.visitor("officer", "wang")
        assert "draft 1" in text_of(li.get("/"))
        inbox = text_of(li.get("/lifecycle"))
        assert f"{number} messages ·" in inbox
        assert f"kept by holds: 1 claim <b>: {number}" in inbox
        page = li.get("/drafts/1").text
        assert f"messages asked for {number}" in text_of(page)
        assert f"kept by holds 1 claim <b>: {number}" in text_of(page)
        assert "<b>" not in page
        adopted = adopt(li, 1, page)
        assert "your own request" in text_of(adopted)
        assert li.get("/drafts/1").status_code == 404
        assert wang.post("/drafts/1", act="adopt", seen="0" * 64).status_code == 404, "it is adopted once"
        assert f"{number} messages ·" in text_of(li.get("/lifecycle"))
        seen = seen_in(adopted)
        for name in ("Li", "li", "LI"):
            same = served.visitor("officer", name)
            assert same.post("/requests/1", act="approve", seen=seen).status_code == 400, name
        assert wang.post("/requests/1", act="approve", seen="f" * 64).status_code == 400
        assert pulled.count("approvals") == 0
        assert "archiver erase run 1" in text_of(wang.post("/requests/1", act="approve", seen=seen))
    ((who, body),) = pulled.database.rows("SELECT who, body FROM requests")
    drafted = json.loads(body)["drafted_by"]
    assert (who, json.loads(body)["place"]) == ("Li", "page")
    assert drafted not in ("Li", "wang")
    assert (pulled.count("request_drafts"), pulled.count("request_items")) == (0, number)


def test_what_was_approved_on_the_page_is_carried_out_by_the_command(pulled: Archive) -> None:
    on_page(pulled)
    assert pulled(*ERASE) == 0
    with serving(pulled, proxy=True) as served:
        decide(served, 1)
    assert pulled("erase", "run", "1") == 0, pulled.errors
    assert pulled.database.value("SELECT count(*) FROM messages WHERE lower(sender) = 'xingchen'") == 0
    assert [row[0] for row in pulled.database.rows("SELECT decision FROM approvals ORDER BY id")] == [
        "approved",
        "begun",
    ]
    assert pulled("requests", "withdraw", "1") == 2


def decide(served: Serving, number: int) -> str:
    """Have li adopt a draft, and wang approve it."""
    li, wang = served.visitor("officer", "li"), served.visitor("officer", "wang")
    page = adopt(li, number, li.get(f"/drafts/{number}").text)
    (request,) = re.findall(r'action="/requests/(\d+)"', page)
    answer = wang.post(f"/requests/{request}", act="approve", seen=seen_in(page))
    assert answer.status_code == 200, text_of(answer)
    return answer.text


def test_a_release_and_shorter_terms_are_carried_out_by_the_approval(pulled: Archive) -> None:
    on_page(pulled)
    assert pulled("hold", "add", "a claim", "--sender", "iris", "--case", "K", "--reason", "r") == 0
    assert pulled("hold", "release", "1", "--reason", "settled") == 0
    app = ("--app", pulled.server.app)
    held = int(pulled.database.value("SELECT count(*) FROM messages WHERE lower(sender) = 'iris'"))
    assert pulled("retention", "set", *app, "--at-most", "1d", "--reason", "policy") == 0
    with serving(pulled, proxy=True) as served:
        assert f"the hold keeps now {held} messages" in text_of(served.visitor("officer", "li").get("/drafts/1"))
        assert "begun" in text_of(decide(served, 1))
        assert "begun" in text_of(decide(served, 2))
        assert pulled("retention", "plan", *app, "--max-share", "1", "--today", "2027-01-04") == 0
        inbox = text_of(served.visitor("officer", "li").get("/lifecycle"))
        assert f"3 delete what is due {300 - held} messages" in inbox
        assert f"kept by holds: 1 a claim: {held}" in inbox, "until 30 days after the approval"
        assert "archiver retention apply 3" in text_of(decide(served, 3))
    events = pulled.database.rows("SELECT event, who FROM hold_events ORDER BY id")
    assert (len(events), events[-1]) == (2, ("released", "wang"))
    ((most, who),) = pulled.database.rows("SELECT keep_at_most, who FROM retention_terms")
    assert (most, who) == ("1d", "wang")
    assert pulled("retention", "apply", "3") == 3, "its floor lies in the future of the provider's clock"
    assert "by a clock that was ahead" in pulled.errors


@pytest.mark.full
def test_a_plan_that_was_adopted_is_applied(pulled: Archive) -> None:
    on_page(pulled)
    app = ("--app", pulled.server.app)
    assert pulled("retention", "set", *app, "--at-most", "1d", "--reason", "policy") == 0
    with serving(pulled, proxy=True) as served:
        decide(served, 1)
        assert pulled("retention", "plan", *app, "--max-share", "1") == 0
        decide(served, 2)
    before = pulled.count("messages")
    assert pulled("retention", "apply", "2") == 0, pulled.errors
    assert 0 < pulled.count("messages") < before


@pytest.mark.full
def test_what_a_restore_brought_back_is_a_draft_that_is_made_once(pulled: Archive) -> None:
    on_page(pulled)
    lost = pulled.database.rows("SELECT msg_id FROM messages ORDER BY msg_id LIMIT 3")
    name = f"{pulled.server.org}#{pulled.server.app}"
    lines = [{"app": name, "msg_id": row[0], "request": 9, "at": "2026-11-29T00:00:00.000Z"} for row in lost]
    file = pulled.config.with_name("erasures.jsonl")
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    file.chmod(0o600)
    for _ in range(2):
        assert pulled("erase", "reapply") == 2
        assert "draft 1 names what has to be erased again" in pulled.errors
    assert pulled.count("request_drafts") == 1
    with serving(pulled, proxy=True) as served:
        decide(served, 1)
    assert pulled("erase", "reapply") == 0, pulled.errors
    assert pulled.database.value("SELECT count(*) FROM tombstones WHERE kind = 'erased'") == 3


def test_an_export_that_a_command_has_drafted_is_made_by_it(pulled: Archive, tmp_path: Path) -> None:
    on_page(pulled, more='two_persons = ["export"]\n')
    words = (
        "export",
        "--format",
        "html",
        "--sender",
        "xingchen",
        "--case",
        "K 7",
        "--zone",
        "+08:00",
        "--language",
        "zh",
    )
    out = ("--output", str(tmp_path / "out"))
    assert pulled(*words, *out, "--propose") == 0
    assert pulled(*words, *out, "--request", "1") == 2, "a draft is no request"
    with serving(pulled, proxy=True) as served:
        assert "Drafts, to be adopted" in text_of(served.visitor("officer", "li").get("/exports"))
        count = int(pulled.database.value("SELECT count(*) FROM messages WHERE lower(sender) = 'xingchen'"))
        assert f"would have now {count} messages ·" in text_of(served.visitor("officer", "li").get("/drafts/1"))
        page = decide(served, 1)
    command = re.search(r'<pre class="copy"><bdi>(.*?)</bdi>', page, re.DOTALL)
    assert command
    assert f"would have now {count} messages ·" in text_of(page)
    shown = shlex.split(html.unescape(command[1]))
    shown[shown.index("--output") + 1] = str(tmp_path / "out")
    assert pulled(*shown[1:], "--sender", "iris") == 2
    assert pulled(*shown[1:]) in (0, 3), pulled.errors


def test_what_is_not_what_was_seen_is_shown_and_not_adopted(pulled: Archive) -> None:
    on_page(pulled)
    assert pulled(*ERASE) == 0
    with serving(pulled, proxy=True) as served:
        li = served.visitor("officer", "li")
        before = seen_in(li.get("/drafts/1").text)
        for wrong in ("", "0" * 64, before[:-1], "x"):
            assert li.post("/drafts/1", act="adopt", seen=wrong).status_code == 400
        assert li.post("/drafts/1", act="nothing", seen=before).status_code == 400
        assert pulled("hold", "add", "later", "--sender", "xingchen", "--case", "K", "--reason", "r") == 0
        answer = li.post("/drafts/1", act="adopt", seen=before)
        assert answer.status_code == 400
        assert "This is not what the draft comes to now" in text_of(answer)
        assert "kept by holds 1 later" in text_of(answer)
        assert pulled.count("requests") == 0
        assert "your own request" in text_of(adopt(li, 1, answer.text))


ALTERED: tuple[tuple[str, object], ...] = (
    ("erase", {"filter": {}, "ids": None, "include": [], "case": "E", "reason": "r"}),
    ("erase", {"filter": {"sender": "xingchen"}, "ids": None, "include": [], "case": None, "reason": "r"}),
    ("erase", {"filter": {"sender": "x", "words": "y"}, "ids": None, "include": [], "case": "E", "reason": "r"}),
    ("erase", {"filter": {"sender": 5}, "ids": None, "include": [], "case": "E", "reason": "r"}),
    ("erase", {"filter": {}, "ids": ["a", 5], "include": [], "case": "E", "reason": "r"}),
    ("reapplied", {"items": [["o#nobody", "m"]]}),
    ("reapplied", {"items": [["a"]]}),
    ("retention", {"app": "nobody", "max_share": None, "today": None}),
    ("retention", {"app": "sandbox", "max_share": "2", "today": None}),
    ("retention", {"app": "sandbox", "max_share": "NaN", "today": None}),
    ("retention", {"app": "sandbox", "max_share": None, "today": "soon"}),
    ("hold-release", {"hold": 1, "reason": "r"}),
    ("hold-release", {"hold": True, "reason": "r"}),
    ("hold-release", {"hold": 10**18, "reason": "r"}),
    ("shorten", {"app": "sandbox", "terms": {"keep_at_most": "0y"}, "reason": "r"}),
    ("shorten", {"app": "sandbox", "terms": {"request_id": "1"}, "reason": "r"}),
    ("shorten", {"app": "sandbox", "terms": {"keep_at_least": "5y"}, "reason": "r"}),
    ("accept", {"from_ms": 2, "to_ms": 1, "reason": "r", "app": None}),
    ("accept", {"from_ms": 1, "to_ms": 2, "reason": "r", "app": None, "more": 1}),
    ("rotate", {"to": None, "finish": False}),
    ("export", {"format": "jsonl", "filter": {}}),
    (
        "export",
        {"journal": 1, "format": "exe", "bom": False, "attachments": False, "filter": {}, "case": "K", "reason": "r"},
    ),
    (
        "export",
        {"journal": 1, "format": "jsonl", "bom": 0, "attachments": False, "filter": {}, "case": "K", "reason": []},
    ),
)
"""Wishes that no command stores, or that come to nothing."""


def drafted(archive: Archive, kind: str, wish: object, would: object) -> int:
    """A draft that somebody has added by SQL."""
    on_page_now = "'2026-11-29T00:00:00.000Z'"
    body = json.dumps({"wish": wish, "would": would}).replace("'", "''")
    archive.database.run(
        f"INSERT INTO request_drafts (kind, body, who, at) VALUES ('{kind}', '{body}', 'mallory', {on_page_now})"
    )
    return int(archive.database.value("SELECT max(id) FROM request_drafts"))


@pytest.mark.full
def test_drafts_that_no_command_has_stored_come_to_nothing(pulled: Archive) -> None:
    on_page(pulled)
    with serving(pulled, proxy=True) as served:
        li = served.visitor("officer", "li")
        for kind, wish in ALTERED:
            number = drafted(pulled, kind, wish, {"messages": 1})
            answer = li.post(f"/drafts/{number}", act="adopt", seen=seen_in(li.get(f"/drafts/{number}").text))
            assert answer.status_code == 400, (kind, wish, text_of(answer))
        assert li.get("/lifecycle").status_code == 200
    assert pulled.count("requests") == 0


HOSTILE = (
    {
        "\u202emessages<script>": "<script>alert(1)</script>",
        "messages": 10**30,
        "first_ms": 10**25,
        "last_ms": -(10**25),
    },
    {
        "filter": {"from_ms": 10**25, "<b>": ["<i>"], "types": [[[]]]},
        "held": [{"hold": "<b>"}],
        "by_month": {"x": [{}]},
    },
    {
        "held": "<b>",
        "exports": {"a": {"b": {}}},
        "apps": [[], {}],
        "asked": True,
        "related": "x",
        "case": "x" * 100_000,
    },
    {"hold": 10**30, "filter": {"sender": "x", "from_ms": 2**62}},
    {"hold": -1, "filter": {"app": "nobody"}, "name": "<i>", "to": "<script>", "finish": True},
    {"held": [1, None], "filter": "<b>", "floor_ms": "soon", "today": 5, "messages": "7"},
)


def test_whatever_stands_in_a_draft_is_shown_as_a_text(pulled: Archive) -> None:
    on_page(pulled)
    kinds = ("erase", "export", "hold-release", "accept")
    numbers = [drafted(pulled, kind, {"filter": {}}, would) for would in HOSTILE for kind in kinds]
    columns = "INSERT INTO request_drafts (kind, body, who, at)"
    pulled.database.run(f"{columns} VALUES ('erase', '[broken', '<b>\u202e', '2026-11-29T00:00:00.000Z')")
    with serving(pulled, proxy=True) as served:
        li = served.visitor("officer", "li")
        for path in ("/", "/lifecycle", *(f"/drafts/{number}" for number in (*numbers, max(numbers) + 1))):
            answer = li.get(path)
            assert answer.status_code == 200, path
            assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path
            assert not re.search(r"<(b|i|script)>", answer.text), path
            assert "\u202e" not in answer.text
        assert "cannot be read" in text_of(li.get(f"/drafts/{max(numbers) + 1}"))
        assert li.post(f"/drafts/{max(numbers) + 1}", act="adopt", seen="x").status_code == 400
        answer = li.post(f"/drafts/{numbers[0]}", act="drop")
        assert answer.status_code == 200
        assert pulled.count("request_drafts") == len(HOSTILE) * len(kinds)


def test_who_may_adopt_and_from_where(pulled: Archive) -> None:
    on_page(pulled)
    assert pulled(*ERASE) == 0
    with serving(pulled, proxy=True) as served:
        seen = seen_in(served.visitor("officer", "li").get("/drafts/1").text)
        for role, allowed in ROLES.items():
            if "decide" in allowed:
                continue
            person = served.visitor(role, "li")
            assert person.get("/drafts/1").status_code == 403, role
            for act in ("adopt", "drop"):
                assert person.post("/drafts/1", act=act, seen=seen).status_code == 403, role
        li, wang = served.visitor("officer", "li"), served.visitor("officer", "wang")
        for token in ("", "x", wang.csrf):
            answer = li.session.post(
                f"{served.address}/drafts/1", data={"csrf": token, "act": "adopt", "seen": seen}, timeout=30
            )
            assert answer.status_code == 403
        answer = li.session.post(
            f"{served.address}/drafts/1",
            data={"csrf": li.csrf, "act": "drop"},
            headers={"Sec-Fetch-Site": "cross-site"},
            timeout=30,
        )
        assert answer.status_code == 403
    assert (pulled.count("request_drafts"), pulled.count("requests")) == (1, 0)


def test_where_commands_decide_the_page_shows_and_decides_nothing(pulled: Archive) -> None:
    pulled.config.write_text("[lifecycle]\n" + pulled.config.read_text())
    assert pulled("migrate") == 0
    assert pulled("hold", "add", "x", "--sender", "xingchen", "--case", "K", "--reason", "r") == 0
    assert pulled("hold", "release", "1", "--reason", "settled") == 0
    before = {table: pulled.count(table) for table in ("requests", "approvals", "request_items", "request_drafts")}
    seen = str(pulled.database.value("SELECT body_sha256 FROM requests"))
    with serving(pulled, proxy=True) as served:
        li = served.visitor("officer", "li")
        assert "request 1" not in text_of(li.get("/")), "it does not wait for anybody here"
        for path in ("/lifecycle", "/exports", "/requests/1"):
            assert "decided on by commands here" in text_of(li.get(path)), path
        assert 'action="/requests/1"' not in li.get("/requests/1").text
        assert "Ask for" not in text_of(li.get("/exports")) + text_of(li.get("/lifecycle")) + text_of(
            li.get("/lifecycle/holds/1")
        )
        forms = (
            ("/requests/1", {"act": "approve", "seen": seen}),
            ("/requests/1", {"act": "refuse", "seen": seen}),
            ("/exports", {"format": "jsonl", "case": "K", "reason": "r"}),
            ("/lifecycle/erasures", {"sender": "xingchen", "case": "K", "reason": "r"}),
            ("/lifecycle/holds/1", {"reason": "r"}),
        )
        for path, form in forms:
            answer = li.post(path, **form)
            assert answer.status_code == 400, path
            assert "by commands here" in text_of(answer), path
        assert li.get("/drafts/1").status_code == 404
        assert {table: pulled.count(table) for table in before} == before
        answer = li.post("/lifecycle/holds", name="mine", participant="iris", case="K", reason="r")
        assert "in force" in text_of(answer), "a hold takes one person, wherever that is"


def test_two_who_adopt_a_draft_at_once_make_one_request(pulled: Archive) -> None:
    on_page(pulled)
    assert pulled(*ERASE) == 0
    with serving(pulled, proxy=True) as served:
        people = [served.visitor("officer", who) for who in ("li", "wang", "zhao")]
        seen = [seen_in(one.get("/drafts/1").text) for one in people]
        with ThreadPoolExecutor(3) as pool:
            pairs = zip(people, seen, strict=True)
            answers = list(pool.map(lambda pair: pair[0].post("/drafts/1", act="adopt", seen=pair[1]), pairs))
    codes = sorted(answer.status_code for answer in answers)
    assert codes[0] == 200
    assert set(codes[1:]) <= {400, 404}
    assert (pulled.count("requests"), pulled.count("request_drafts")) == (1, 0)


def test_what_was_made_in_another_place_is_refused_there_and_not_approved(pulled: Archive) -> None:
    pulled.config.write_text("[lifecycle]\n" + pulled.config.read_text())
    assert pulled("migrate") == 0
    assert pulled("export", "--format", "jsonl", "--case", "K", "--output", "x", "--propose") == 0
    pulled.config.write_text(pulled.config.read_text().replace("[lifecycle]\n", ON_PAGE))
    assert pulled("migrate") == 0
    with serving(pulled, proxy=True) as served:
        li = served.visitor("officer", "li")
        page = li.get("/requests/1").text
        assert 'value="approve"' not in page
        assert "refuse it, and ask again" in text_of(page)
        assert "was made where this archive does not decide" in text_of(
            li.post("/requests/1", act="approve", seen=seen_in(page))
        )
        assert pulled.count("approvals") == 0
        assert "refused" in text_of(li.post("/requests/1", act="refuse", seen=seen_in(page)))


def test_without_lifecycle_page_and_commands_ask_alike(pulled: Archive) -> None:
    assert pulled.count("lifecycle") == 0
    with serving(pulled, proxy=True) as served:
        li = served.visitor("officer", "li")
        assert li.get("/lifecycle").status_code == 404
        assert "decided on by commands" not in text_of(li.get("/exports"))
        answer = li.post("/exports", format="jsonl", case="K", reason="r", sender="xingchen")
        assert "another person has to approve" in text_of(answer)
        assert pulled("requests", "approve", "1") == 0, pulled.errors
        assert pulled("export", "--format", "jsonl", "--case", "K", "--output", "x", "--propose") == 0
        page = li.get("/requests/2").text
        assert li.post("/requests/2", act="approve", seen=seen_in(page)).status_code == 200
    decided = pulled.database.rows("SELECT request_id, decision FROM approvals ORDER BY id")
    assert decided == [(1, "approved"), (2, "approved")]


def test_what_takes_too_long_to_measure_stays_a_draft(pulled: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    on_page(pulled)
    assert pulled(*ERASE) == 0
    with serving(pulled, proxy=True) as served:
        li = served.visitor("officer", "li")
        seen = seen_in(li.get("/drafts/1").text)
        with monkeypatch.context() as patch:
            patch.setattr("archiver.page.context._MEASURING", AnswerLimits(statement_s=0.001))
            answer = li.post("/drafts/1", act="adopt", seen=seen)
        assert answer.status_code == 503
        assert "longer than 50 seconds" in text_of(answer)
        assert (pulled.count("requests"), pulled.count("request_drafts")) == (0, 1)
        assert li.post("/drafts/1", act="adopt", seen=seen).status_code == 200


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_page_whose_configuration_decides_by_commands_decides_nothing_before_migrate_either(pulled: Archive) -> None:
    with serving(pulled, proxy=True, more="[lifecycle]\n") as served:
        pulled.database.run("DELETE FROM lifecycle")
        li = served.visitor("officer", "li")
        answer = li.post("/exports", format="jsonl", case="K", reason="r", sender="xingchen")
        assert answer.status_code == 400
        assert "by commands here" in text_of(answer)
    assert pulled.count("requests") == 0


@pytest.mark.full
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_drafts_and_requests_are_in_chinese_for_whom_they_are(pulled: Archive) -> None:
    on_page(pulled)
    assert pulled("hold", "add", "x", "--sender", "iris", "--case", "K", "--reason", "r") == 0
    assert pulled("hold", "release", "1", "--reason", "r") == 0
    assert pulled(*ERASE) == 0
    assert pulled("export", "--format", "jsonl", "--case", "K", "--output", "x", "--propose") == 0
    with serving(pulled, role="officer", language="zh") as served:
        li = served.visitor()
        paths = ["/", "/lifecycle", "/exports", "/drafts/1", "/drafts/2", "/drafts/3"]
        for path in paths:
            assert not english_in(li.get(path).text, []), path
        for number in (1, 2, 3):
            page = adopt(li, number, li.get(f"/drafts/{number}").text)
            assert not english_in(page, []), number
        assert not english_in(li.post("/drafts/1", act="x").text, [])
    pulled.config.write_text(pulled.config.read_text().replace(ON_PAGE, "[lifecycle]\n"))
    assert pulled("migrate") == 0
    with serving(pulled, role="officer", language="zh") as served:
        li = served.visitor()
        for path in ("/lifecycle", "/exports", "/requests/1"):
            assert not english_in(li.get(path).text, []), path


def test_a_draft_that_names_too_much_is_refused_by_the_command(
    pulled: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_page(pulled)
    ids = tmp_path / "ids"
    ids.write_text("\n".join(str(row[0]) for row in pulled.database.rows("SELECT msg_id FROM messages")))
    monkeypatch.setattr("archiver.store.drafts._LONGEST", 5_000)
    assert pulled("erase", "request", "--app", pulled.server.app, "--ids", str(ids), *WHY) == 2
    assert "too many messages for one draft" in pulled.errors
    assert pulled.count("request_drafts") == 0


@pytest.mark.full
def test_a_loss_and_a_new_key_are_decided_on_the_page_too(pulled: Archive) -> None:
    on_page(pulled, more='two_persons = ["accept", "rotate"]\n')
    ((lo_ms, hi_ms),) = pulled.database.rows("SELECT lo_ms, hi_ms FROM windows ORDER BY lo_ms LIMIT 1")
    pulled.database.run(f"UPDATE windows SET state = 'expired' WHERE lo_ms = {lo_ms}")
    accept = ("coverage", "accept", "--from", str(lo_ms), "--to", str(hi_ms), "--reason", "ticket 42")
    assert pulled(*accept) == 2
    assert "on the review page" in pulled.errors
    assert pulled(*accept, "--propose") == 0
    wish = {"to": "/etc/archiver/next-key", "finish": False}
    assert drafted(pulled, "rotate", wish, wish) == 2
    with serving(pulled, proxy=True) as served:
        assert "ticket 42" in decide(served, 1)
        assert "/etc/archiver/next-key" in decide(served, 2)
    assert pulled(*accept[:-1], "another reason", "--request", "1") == 2
    assert pulled(*accept, "--request", "1") == 0, pulled.errors
    assert pulled(*accept, "--request", "1") == 2, "once"
