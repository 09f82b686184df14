"""What the screens show, held against the database: conversations, messages, coverage, decisions, who looked."""

from __future__ import annotations

import html
import json
import random
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from archiver.coverage import Coverage
from archiver.model import HOUR_MS, Window
from archiver.page import calendar
from archiver.page.calendar_signs import WORST
from archiver.store.read.status import Hole
from tests.fixtures.archive import DAY, Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.page.browsing import MAIN, ON_PAGE, serving, text_of
from tests.page.test_looking import NAME, a_conversation, looks


def messages_of(page: str) -> list[str]:
    return [name.partition(" ")[2] for name in re.findall(NAME, page)]


def turn(page: str, label: str) -> dict[str, str] | None:
    """What the button of a conversation sends."""
    for form in re.findall(r'<form method="post" action="/conversation">(.*?)</form>', page, re.DOTALL):
        if label in form:
            return {name: html.unescape(value) for name, value in re.findall(r'name="([^"]+)" value="([^"]*)"', form)}
    return None


@pytest.mark.full
def test_a_conversation_is_whole_whichever_way_it_is_read(pulled: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    from archiver.page import conversing

    monkeypatch.setattr(conversing, "MESSAGES", 4)
    name = a_conversation(pulled)
    query = f"SELECT msg_id FROM messages WHERE conversation = '{name}' ORDER BY timestamp_ms, msg_id"
    expected = [row[0] for row in pulled.database.rows(query)]
    assert len(expected) > 8
    first, second = name.split("|")
    with serving(pulled) as served:
        li = served.visitor()
        page, seen = li.get(li.look("/conversation", conversation=first.upper(), **{"with": second})), list[str]()
        while True:
            seen = messages_of(page.text) + seen
            if (earlier := turn(page.text, "Earlier")) is None:
                break
            page = li.get(li.look("/conversation", **earlier))
        assert seen == expected, "from the last one back"
        page, seen = li.get(li.look("/conversation", conversation=name, **{"from": "1970-01-02"})), []
        while True:
            seen += messages_of(page.text)
            if (later := turn(page.text, "Later")) is None:
                break
            page = li.get(li.look("/conversation", **later))
        assert seen == expected, "and from the first one on"
        stamp = pulled.database.value(f"SELECT timestamp_ms FROM messages WHERE msg_id = '{expected[5]}'")
        around = {"conversation": name, "where": "around", "at_ms": str(stamp), "at_id": expected[5]}
        assert messages_of(li.get(li.look("/conversation", **around)).text) == expected[3:8]
    assert {row[1] for row in looks(pulled)} == {"conversation"}


def test_holes_stand_between_the_messages_with_who_accepted_them(database: Database, make_archive: MakeArchive) -> None:
    archive = make_archive(database, messages=200, span_ms=DAY)
    assert archive("pull") == 0
    name = a_conversation(archive)
    query = f"SELECT msg_id, timestamp_ms FROM messages WHERE conversation = '{name}' ORDER BY 2"
    stamps = dict(archive.database.rows(query))
    _, lo, hi = max((after - before, before + 1, after) for before, after in pairwise(stamps.values()))
    query = "SELECT id, lo_ms, hi_ms FROM windows WHERE pass = 1 AND lo_ms < ? AND hi_ms > ?"
    (window,) = archive.database.rows(query, lo, hi)
    split_window(archive, window, lo, hi)
    with serving(archive, role="reader") as served:
        li = served.visitor()
        home = text_of(li.get("/"))
        assert "PARTLY ARCHIVED" in home
        assert "lost; accepted by wang" in home
        page = li.get(li.look("/conversation", conversation=name))
        pieces = re.findall(rf'<div class="(gap) accepted"|{NAME}', page.text)
        before = [stamps[msg.partition(" ")[2]] for gap, msg in pieces[: pieces.index(("gap", ""))]]
        after = [stamps[msg.partition(" ")[2]] for gap, msg in pieces[pieces.index(("gap", "")) + 1 :] if msg]
        assert before
        assert after
        assert max(before) < lo <= min(after)
        assert "disk of the provider &lt;b&gt;" in page.text
        day = served.opened.page.calendar.clock(lo)[:10]
        hours = li.get(f"/coverage/{archive.server.org}%23{archive.server.app}/cursor/{day}")
        assert "lost; accepted by wang" in text_of(hours)
        signs = re.findall(r'<li class="(\w+)"><span class="muted">(\d\d:\d\d)</span>', hours.text)
        lost = {hour for kind, hour in signs if kind == "accepted"}
        clock = served.opened.page.calendar.clock
        touched = {clock(at)[:13] for at in range(lo // HOUR_MS * HOUR_MS, hi, HOUR_MS)}
        assert lost == {f"{hour[11:]}:00" for hour in touched if hour[:10] == day}


def split_window(archive: Archive, window: tuple[int, int, int], lo: int, hi: int) -> None:
    """Give an archive a loss of two hours that somebody has accepted."""
    number, low, high = window
    names = "app_id, source, pass, cause, lag_ms, created_at"
    for begins, ends, more, values in (
        (
            lo,
            hi,
            "state, reason, accepted_by, accepted_at",
            "'accepted', 'disk of the provider <b>', 'wang', created_at",
        ),
        (hi, high, "state", "'closed'"),
    ):
        archive.database.run(
            f"INSERT INTO windows ({names}, lo_ms, hi_ms, {more})"
            f" SELECT {names}, {begins}, {ends}, {values} FROM windows WHERE id = {number}"
        )
    assert low < lo
    archive.database.run(f"UPDATE windows SET hi_ms = {lo} WHERE id = {number}")


def test_the_calendar_paints_what_the_claim_says() -> None:
    """Against a look at every hour by itself, in 200 made-up claims."""
    for seed in range(200):
        made = random.Random(seed)
        cuts = sorted(made.sample(range(200), 6))
        claim = Coverage(
            app="o#a",
            source="cursor",
            origin_ms=cuts[0] * HOUR_MS,
            complete_from_ms=cuts[0] * HOUR_MS,
            complete_until_ms=cuts[5] * HOUR_MS,
            audited_until_ms=cuts[3] * HOUR_MS,
            holes=(
                Hole(Window(cuts[1] * HOUR_MS, cuts[1] * HOUR_MS + HOUR_MS), "accepted", "gone", "li", 1),
                Hole(Window(cuts[2] * HOUR_MS, cuts[2] * HOUR_MS + HOUR_MS // 2), "stuck", "it is"),
            ),
            unproven=(Window(cuts[4] * HOUR_MS, cuts[4] * HOUR_MS + HOUR_MS),),
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("archiver.page.calendar.windows.closed", lambda *_: [Window(190 * HOUR_MS, 195 * HOUR_MS)])
            patch.setattr("archiver.page.calendar.windows.presumed_empty", lambda *_: [])
            painted = calendar.paint(None, made_source(), claim, Window(0, 200 * HOUR_MS))  # type: ignore[arg-type]
        assert [one.window.lo_ms for one in painted[1:]] == [one.window.hi_ms for one in painted[:-1]]
        assert (painted[0].window.lo_ms, painted[-1].window.hi_ms) == (0, 200 * HOUR_MS)
        for hour in range(200):
            window = Window(hour * HOUR_MS, (hour + 1) * HOUR_MS)
            assert calendar.worst_in(painted, window) == sign_of(claim, hour), (seed, hour)


def made_source() -> object:
    class Source:
        key = None

    return Source()


def sign_of(claim: Coverage, hour: int) -> str:
    """The worst of what is true of an hour, asked one after the other."""
    at, ends = hour * HOUR_MS, (hour + 1) * HOUR_MS
    if at < claim.complete_from_ms:
        return "·"
    signs = ["~"]
    if claim.complete_from_ms <= at < claim.complete_until_ms:
        signs = ["++" if at < claim.audited_until_ms else "+"]
    elif 190 <= hour < 195:
        signs = ["+"]
    if any(window.lo_ms < ends and window.hi_ms > at for window in claim.unproven):
        signs = ["!"]
    for hole in claim.holes:
        if hole.window.lo_ms < ends and hole.window.hi_ms > at:
            whole = hole.window.lo_ms <= at and hole.window.hi_ms >= ends
            sign = "a" if hole.state == "accepted" else "!"
            signs = [sign] if whole else [*signs, sign]
    return min(signs, key=WORST.index)


def test_an_export_is_asked_for_and_approved_by_two_people_and_made_by_the_command(
    pulled: Archive, tmp_path: Path
) -> None:
    more = ON_PAGE + 'two_persons = ["export"]\n'
    with serving(pulled, proxy=True, more=more) as served:
        li, wang = served.visitor("officer", "li"), served.visitor("officer", "wang")
        form = {"format": "jsonl", "case": "K 7", "reason": "a 'complaint'", "sender": "xingchen", "type": "txt"}
        answer = li.post("/exports", **form, **{"from": "2020-01-01"})
        assert answer.status_code == 200
        number = int(pulled.database.value("SELECT max(id) FROM requests"))
        seen = str(pulled.database.value("SELECT body_sha256 FROM requests"))
        assert "another person has to approve" in text_of(answer)
        own = li.post(f"/requests/{number}", act="approve", seen=seen)
        assert own.status_code == 400
        assert "your own" in text_of(own)
        assert f"request {number}" in text_of(wang.get("/")), "it waits for the other one"
        assert f"request {number}" not in text_of(li.get("/"))
        altered = wang.post(f"/requests/{number}", act="approve", seen="0" * 64)
        assert altered.status_code == 400
        assert pulled.count("approvals") == 0
        assert wang.post(f"/requests/{number}", act="approve", seen=seen).status_code == 200
        page = wang.get(f"/requests/{number}").text
        command = re.search(r'<pre class="copy"><bdi>(.*?)</bdi>', page, re.DOTALL)
        assert command
    words = shlex.split(html.unescape(command[1]))
    assert words[:4] == ["archiver", "export", "--request", str(number)]
    words[words.index("--output") + 1] = str(tmp_path / "out")
    pulled.config.write_text(more + pulled.config.read_text())
    changed = [word if word != "xingchen" else "iris" for word in words[1:]]
    assert pulled(*changed) == 2, "something else than was approved"
    assert pulled(*words[1:]) in (0, 3)
    assert json.loads((tmp_path / "out/manifest.json").read_text())["case"] == "K 7"
    (asked,) = pulled.database.rows("SELECT who, login FROM requests")
    (approved, begun) = pulled.database.rows("SELECT decision, who, login FROM approvals ORDER BY id")
    assert (asked[0], approved[:2], begun[0]) == ("li", ("approved", "wang"), "begun")
    if pulled.database.kind == "postgresql":
        assert asked[1] == approved[2] != begun[2], "the database's own word: the page, and who ran the command"


def test_holds_are_placed_by_one_and_released_by_two(pulled: Archive) -> None:
    with serving(pulled, proxy=True, more=ON_PAGE) as served:
        li = served.visitor("officer", "li")
        assert li.post("/lifecycle/holds", name="n", case="K", reason="r").status_code == 400, (
            "it would hold everything"
        )
        answer = li.post("/lifecycle/holds", name="claim <i>", participant="xingchen", case="K", reason="letter")
        assert "in force" in text_of(answer)
        held = pulled.database.value(
            "SELECT count(*) FROM messages WHERE lower(sender) = 'xingchen' OR lower(recipient) = 'xingchen'"
        )
        assert held
        page = li.get(li.look("/search", sender="xingchen"))
        assert "held" in text_of(page)
        assert "mark held" not in li.get(li.look("/conversation", conversation=not_of(pulled, "xingchen"))).text
        answer = li.post("/lifecycle/holds/1", reason="settled")
        assert "release a hold" in text_of(answer)
        assert pulled.database.value("SELECT count(*) FROM requests WHERE kind = 'hold-release'") == 1
    with serving(pulled, proxy=True) as served:
        assert served.visitor("officer", "li").get("/lifecycle").status_code == 404, "where it is not configured"


@pytest.mark.full
def test_an_erasure_is_asked_for_with_its_effect_in_words(pulled: Archive) -> None:
    with serving(pulled, proxy=True, more=ON_PAGE) as served:
        li, wang = served.visitor("officer", "li"), served.visitor("officer", "wang")
        assert li.post("/lifecycle/erasures", case="E 3", reason="letter").status_code == 400, (
            "it would erase everything"
        )
        assert li.post("/lifecycle/erasures", sender="nobody", case="E", reason="r").status_code == 400
        assert pulled.count("requests") == 0
        shown = text_of(li.post("/lifecycle/erasures", sender="xingchen", case="E 3", reason="letter"))
        number = pulled.database.value("SELECT count(*) FROM messages WHERE lower(sender) = 'xingchen'")
        assert f"messages asked for {number}" in shown
        assert "sender: xingchen" in shown
        assert pulled.count("request_items") == number
        seen = str(pulled.database.value("SELECT body_sha256 FROM requests"))
        assert "archiver erase run 1" in text_of(wang.post("/requests/1", act="approve", seen=seen))
    assert pulled.count("tombstones") == 0, "the page erases nothing"
    with serving(pulled, proxy=True, more=f"{ON_PAGE}deletion = false\n") as served:
        assert "Ask for an erasure" not in text_of(served.visitor("officer", "li").get("/lifecycle"))


def not_of(archive: Archive, person: str) -> str:
    """A conversation in which somebody has no part."""
    query = (
        "SELECT conversation FROM messages WHERE conversation NOT IN (SELECT conversation FROM messages WHERE"
        f" lower(sender) = '{person}' OR lower(recipient) = '{person}') LIMIT 1"
    )
    return str(archive.database.value(query))


@pytest.mark.full
def test_an_auditor_answers_who_looked_at_whom(pulled: Archive) -> None:
    name = a_conversation(pulled)
    first, _ = name.split("|")
    with serving(pulled, proxy=True) as served:
        li, audit = served.visitor("officer", "li"), served.visitor("auditor", "audit")
        li.post("/case", case="K 7", reason="complaint")
        li.look("/conversation", conversation=name)
        before = len(looks(pulled))
        for form in ({"by": "person", "name": first.upper()}, {"by": "person", "name": name}):
            found = text_of(audit.get(audit.look("/looks", **form)))
            assert "li conversation" in found
            assert "K 7" in found
        assert "li conversation 1 1" in text_of(audit.get(audit.look("/looks", by="officer", name="LI")))
        assert "conversation page" in text_of(audit.get(audit.look("/looks", by="case", name="K 7")))
        assert "Nobody" in text_of(audit.get(audit.look("/looks", by="person", name="somebody else")))
        assert len(looks(pulled)) == before, "looks at looks show nothing that people wrote"
        assert "conversation" in text_of(audit.get("/looks"))


@pytest.mark.full
def test_the_other_language_is_the_whole_page(pulled: Archive) -> None:
    with serving(pulled, role="officer+auditor", language="zh", more=ON_PAGE) as served:
        li = served.visitor()
        assert "归档是否完整？" in text_of(li.get("/"))
        li.post("/language", language="en", here="/search")
        assert "Open a conversation" in text_of(li.get("/search"))
        answer = li.session.post(
            served.address + "/language",
            data={"csrf": li.csrf, "language": "zh", "here": "//evil.example.com/x"},
            allow_redirects=False,
            timeout=30,
        )
        assert answer.headers["Location"] == "/x", "on this host"
        name = a_conversation(pulled)
        paths = [li.look("/search", words="a"), li.look("/conversation", conversation=name), "/coverage", "/quarantine"]
        paths += ["/exports", "/lifecycle", "/looks", "/case", "/nothing", li.look("/participants", like="")]
        known = [row[0] for row in pulled.database.rows("SELECT text FROM message_bodies WHERE text IS NOT NULL")]
        for path in paths:
            assert not english_in(li.get(path).text, known), path


ALLOWED = {
    *(
        "archiver",
        "English",
        "SHA-256",
        "SHA-",
        "ID",
        "KiB",
        "MiB",
        "B",
        "pull",
        "quarantine",
        "requeue",
        "evidence",
        "verify",
    ),
    *(
        "UTC",
        "Asia/Shanghai",
        "ms",
        "cursor",
        "jsonl",
        "csv",
        "xlsx",
        "parquet",
        "html",
        "li",
        "status",
        "text",
        "looks",
    ),
    *("AppKey", "looks_by_person", "looks_by_officer", "a|b", "or", "erase", "run"),
    *("requests", "list", "lifecycle", "decided_in"),
}


def english_in(page: str, _known: list[str]) -> list[str]:
    """Words of the page itself that no Chinese reader expects: what records say stands in <bdi>."""
    main = page.partition(MAIN)[2]
    own = re.sub(
        r"<bdi[^>]*>.*?</bdi>|<time>.*?</time>|<code>.*?</code>|<option.*?</option>", " ", main, flags=re.DOTALL
    )
    words = re.findall(r"[A-Za-z][A-Za-z|/_-]{2,}", html.unescape(re.sub(r"<[^>]+>", " ", own)))
    return [word for word in words if word not in ALLOWED]
