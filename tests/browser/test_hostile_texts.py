"""Three hundred hostile texts as message, name, file name and group, in a browser that would run what it is given.

Once with the product's policy, once without it: then escaping alone has to hold. The last test shows that the others
can fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from json import dumps
from typing import Any

import pytest

from archiver.page import app, headers
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.blobs import Trap
from tests.fixtures.databases import Database
from tests.page.browsing import ON_PAGE, Serving, serving

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.parametrize("database", ["sqlite"], indirect=True),
]

MARKUP = (
    "<script>{run}</script>",
    "</bdi></p></article><script>{run}</script>",
    '<img src="{away}" onerror="{run}">',
    '<svg onload="{run}"><a href="javascript:{run}">x</a></svg>',
    '"><input autofocus onfocus="{run}">',
    "' onmouseover='{run}' x='",
    '</title><link rel="stylesheet" href="{away}">',
    '<iframe src="{away}"></iframe>',
    '<object data="{away}"></object><embed src="{away}">',
    '<style>@import "{away}"; body{{display:none}}</style>',
    '<form action="{away}"><button name="csrf">x</button></form>',
    '<base href="{away}"><meta http-equiv="refresh" content="0;url={away}">',
    '<template><script>{run}</script></template><noscript><p title="</noscript><img src={away}>">',
    "{{{{ 7 * 7 }}}} {{% raw %}} ${{7*7}}",
    "&lt;script&gt;{run}&lt;/script&gt; &#x3c;script&#x3e;",
    "<!--><script>{run}</script-->",
    "<math><mtext><table><mglyph><style><img src={away} onerror={run}>",
    "\u2028<script>{run}</script>\u2029",
)
STEERING = (
    "\u202e txt.exe \u202e\u202e",
    "\u2066\u2067\u2068 isolate without an end",
    "\u05d0\u05d1\u05d2 \u0627\u0628\u062a <b>{run}</b>",
    "\u200f\u061c\u200e marks",
    "\x1b[2J\x1b]0;title\x07 \x9b31m",
    "a\r\nSet-Cookie: x=1\r\n\r\n<script>{run}</script>",
    "\U000e0041\U000e007f tags \ufeff\u200b\u00ad",
    "w" * 400,
    "\u0301" * 200,
    "👩‍👩‍👧‍👦" * 30,
    "漢" * 300,
    "../../etc/passwd\0.png",
)
TEXTS = (*MARKUP, *STEERING)
PLACES = ("text", "sender", "recipient", "filename", "addr", "ext", "type", "msg_id", "group", "custom")


def draft_texts(archive: Archive, trap: Trap) -> int:
    """Drafts of an archive that decides on its page, one for each text, as any officer may add them; how many."""
    archive.config.write_text(ON_PAGE + archive.config.read_text())
    assert archive("migrate") == 0
    for number, text in enumerate(TEXTS):
        filled = text.format(run="document.title='owned'", away=f"http://127.0.0.1:{trap.port}/d{number}")
        held = [{"hold": filled, "name": filled, "messages": 1}]
        would = {
            filled: filled,
            "filter": {filled: filled, "sender": filled},
            "held": held,
            "messages": 1,
            "app": filled,
        }
        values = (dumps({"wish": {}, "would": would}), f"{filled} {number}".replace("\0", ""))
        body, who = (value.replace("'", "''") for value in values)
        archive.database.run(
            "INSERT INTO request_drafts (kind, body, who, at)"
            f" VALUES ('erase', '{body}', '{who}', '2026-11-29T00:00:00.000Z')"
        )
    return len(TEXTS)


def records(trap: Trap, start_ms: int) -> Iterator[dict[str, Any]]:
    """A message for each text in each place."""
    for number, (text, place) in enumerate(product(TEXTS, PLACES)):
        filled = text.format(
            run="document.title=&quot;owned&quot;".replace("&quot;", "'"), away=f"http://127.0.0.1:{trap.port}/{number}"
        )
        body: dict[str, Any] = {"type": "txt", "msg": filled if place == "text" else f"needle {number}"}
        if place == "filename":
            body = {"type": "file", "filename": filled, "file_length": 7, "url": filled, "secret": "hidden"}
        elif place == "addr":
            body = {"type": "loc", "addr": filled, "lat": 1.5, "lng": 2.5}
        elif place == "custom":
            body = {"type": "custom", "customEvent": filled, "customExts": {filled: filled}}
        elif place == "type":
            body = {"type": filled, "msg": f"needle {number}"}
        yield {
            "msg_id": filled if place == "msg_id" else f"m{number}",
            "timestamp": start_ms + 1000 + number * 10,
            "from": filled if place == "sender" else "iris",
            "to": filled if place in ("recipient", "group") else "xingchen",
            "chat_type": "groupchat" if place == "group" else "chat",
            "payload": {"bodies": [body], "ext": {filled: filled} if place == "ext" else {}},
        }


@pytest.fixture
def hostile(database: Database, make_archive: MakeArchive, trap: Trap) -> Archive:
    archive = make_archive(database, messages=0)
    made = list(records(trap, archive.server.start_ms))
    assert len(made) == 300
    for record in made:
        archive.server.add(record, visible_ms=0)
    assert archive("pull") == 0
    assert archive.count("messages") + archive.count("quarantine") == 300
    return archive


FOREIGN = (
    "script, iframe, object, embed, style, base, template, noscript, math, svg, audio, video, "
    "form [name=csrf]:not([type=hidden])"
)
COUNT = f"""() => {{
  const all = selector => [...document.querySelectorAll(selector)];
  const goes = (element, name) => /^[/#]/.test(element.getAttribute(name));
  return [
    all('{FOREIGN}').length,
    all('*').filter(one => [...one.attributes].some(a => /^on|^style$/.test(a.name))).length,
    all('a').filter(one => !goes(one, 'href')).length,
    all('form').filter(one => !goes(one, 'action')).length,
    all('body link').length,
  ]
}}"""
STEERS = "() => /[\\u202a-\\u202e\\u2066-\\u2069\\u200e\\u200f\\u061c\\u001b\\u009b]/.test(document.body.innerText)"
ISOLATED = "() => [...document.querySelectorAll('bdi')].every(e => /isolate/.test(getComputedStyle(e).unicodeBidi))"
WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Visit:
    """Looks at every screen that shows such texts; `wrong`: what was seen."""

    def __init__(self, chromium: Any, served: Serving, trap: Trap, width: int) -> None:
        self.context = chromium.new_context(viewport={"width": width, "height": 800})
        self.tab, self.wrong, self.address = self.context.new_page(), list[str](), served.opened.address
        self.tab.on("request", lambda request: self._note_away(request.url, trap.port))
        self.tab.goto(served.opened.link)
        self.tab.click("main button")

    def _note_away(self, url: str, port: int) -> None:
        if str(port) in url:
            self.wrong.append(f"asked for {url}")

    def check(self, screen: str) -> None:
        self.tab.wait_for_load_state()
        if "owned" in self.tab.title():
            self.wrong.append(f"{screen}: a script ran")
        if (counts := self.tab.evaluate(COUNT)) != [0] * 5:
            self.wrong.append(f"{screen}: elements {counts}")
        if self.tab.evaluate(STEERS) or not self.tab.evaluate(ISOLATED):
            self.wrong.append(f"{screen}: a text steers its neighbours")
        if (wider := self.tab.evaluate(WIDER)) > 0:
            self.wrong.append(f"{screen}: {wider} pixels wider than the window")

    def search(self, field: str, text: str) -> None:
        """All pages of hits of a search."""
        self.tab.goto(f"{self.address}/search")
        self.tab.fill(f"form[action='/search'] input[name={field}]", text)
        self.tab.click("form[action='/search'] button.primary")
        while True:
            self.check(f"{field} {text}")
            if not self.tab.locator("text=Next page").count():
                return
            self.tab.click("text=Next page")

    def list(self, form: str) -> None:
        self.tab.goto(f"{self.address}/search")
        self.tab.click(f"form[action='{form}'] button")
        self.check(form)


def visit_all(chromium: Any, served: Serving, trap: Trap, *, width: int) -> list[str]:
    visit = Visit(chromium, served, trap, width)
    for field, text in (("words", "needle"), ("sender", "iris"), ("recipient", "xingchen")):
        visit.search(field, text)
    visit.tab.locator("button.link").first.click()
    visit.check("message")
    visit.tab.click("text=Show the record as it came")
    visit.check("raw")
    visit.list("/participants")
    visit.list("/conversations")
    for number in range(min(12, visit.tab.locator("main button.link").count())):
        visit.list("/conversations")
        visit.tab.locator("main button.link").nth(number).click()
        visit.check(f"conversation {number}")
    drafts = [f"/drafts/{number}" for number in range(1, len(TEXTS) + 1)]
    for path in ("/quarantine", "/looks", "/exports", "/", "/lifecycle", *drafts):
        visit.tab.goto(visit.address + path)
        visit.check(path)
    visit.context.close()
    return visit.wrong


@pytest.mark.parametrize("policy", [True, False], ids=["with the policy", "by escaping alone"])
@pytest.mark.timeout(600)
def test_nothing_is_injected_runs_or_spills(
    hostile: Archive, trap: Trap, chromium: Any, monkeypatch: pytest.MonkeyPatch, policy: bool
) -> None:
    if not policy:
        monkeypatch.delitem(headers.HEADERS, "Content-Security-Policy")
    assert draft_texts(hostile, trap) == hostile.count("request_drafts") == 30
    with serving(hostile, role="officer+auditor") as served:
        assert visit_all(chromium, served, trap, width=1000 if policy else 360) == []
    assert trap.caught == 0


def test_without_escaping_it_would(
    hostile: Archive, trap: Trap, chromium: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: templates that escape nothing, and no policy."""
    monkeypatch.delitem(headers.HEADERS, "Content-Security-Policy")
    create = app.create

    def careless(review: Any) -> Any:
        made = create(review)
        made.jinja_env.autoescape = False
        return made

    monkeypatch.setattr("archiver.page.commands.create", careless)
    with serving(hostile, role="officer") as served:
        context = chromium.new_context()
        tab = context.new_page()
        tab.goto(served.opened.link)
        tab.click("main button")
        tab.goto(f"{served.opened.address}/search")
        tab.fill("form[action='/search'] input[name=words]", "owned")
        tab.click("form[action='/search'] button.primary", no_wait_after=True)
        tab.wait_for_timeout(1_000)
        content = tab.content()
        context.close()
    assert trap.caught or "<title>owned" in content or re.search("<(iframe|svg|object)", content)
