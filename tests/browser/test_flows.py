"""Every flow in a real browser with JavaScript switched off: by the link, and what an officer is asked is answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.tabs import count, said
from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.blobs import MakeCollector, Shelf
from tests.fixtures.databases import Database
from tests.page.browsing import ON_PAGE, Serving, serving
from tests.page.test_looking import a_conversation

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.parametrize("database", ["sqlite"], indirect=True),
]


@contextmanager
def reading(chromium: Any, served: Serving, *, refused: str = "", **more: Any) -> Iterator[Any]:
    """A tab that has signed in; whatever the browser complains of fails the test, but for an answer of this kind."""
    context = chromium.new_context(java_script_enabled=False, **more)
    tab, complaints = context.new_page(), list[str]()
    tab.on("console", lambda message: complaints.append(message.text))
    asked = list[str]()
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(served.opened.link)
    tab.click("main button")
    yield tab
    context.close()
    expected = [text for text in ("Autofocus processing", refused) if text]
    assert [text for text in complaints if not any(known in text for known in expected)] == []
    assert [url for url in asked if not url.startswith(served.opened.address)] == []


@pytest.fixture
def archive_of_october(database: Database, make_archive: MakeArchive) -> Archive:
    archive = make_archive(database, messages=300)
    broken = b'{"msg_id": "q1", "timestamp": "1e3"}'
    archive.server.add(broken, timestamp_ms=archive.server.start_ms + 1000, visible_ms=0)
    assert archive("pull") == 0
    return archive


def test_ten_questions_are_answered_by_clicks(archive_of_october: Archive, chromium: Any) -> None:
    archive = archive_of_october
    name = a_conversation(archive)
    first, second = name.split("|")
    (word,) = archive.database.rows(
        "SELECT b.text FROM message_bodies b JOIN messages m ON m.msg_id = b.msg_id"
        " WHERE b.type = 'txt' AND length(b.text) > 5 ORDER BY m.timestamp_ms LIMIT 1"
    )[0]
    with (
        serving(archive, role="officer+auditor") as served,
        reading(chromium, served, refused="403 (FORBIDDEN)") as tab,
    ):
        assert "Is the archive complete?" in said(tab)
        assert "ARCHIVED: the whole archive, without a gap." in said(tab), "1: is it complete?"
        tab.click("nav >> text=Coverage")
        assert count(tab, "td.complete, td.audited") >= 1
        tab.locator("td.complete a, td.audited a").first.click()
        assert "Nothing of this day is missing." in said(tab) or "archived up to" in said(tab), (
            "2: which hours are lost?"
        )
        tab.click("nav >> text=Search")
        tab.fill("form[action='/conversation'] input[name=conversation]", first)
        tab.fill("input[name=with]", second)
        tab.click("form[action='/conversation'] button")
        assert tab.url.startswith(f"{served.opened.address}/look/")
        assert count(tab, "article.message") >= 2, "3: what did A and B write?"
        assert count(tab, "h2.day") >= 1
        tab.click("nav >> text=Search")
        tab.fill("input[name=words]", f'"{word}"')
        tab.click("form[action='/search'] button.primary")
        assert word.split()[0] in said(tab), "4: who used a word, and when first?"
        tab.click("nav >> text=Search")
        tab.fill("form[action='/search'] input[name=sender]", first)
        tab.select_option("select[name=type]", "img")
        tab.click("form[action='/search'] button.primary")
        assert "picture" in said(tab) or "Nothing was found" in said(tab), "5: which files did A send?"
        tab.go_back()
        tab.fill("form[action='/search'] input[name=sender]", first)
        tab.select_option("select[name=type]", "")
        tab.click("form[action='/search'] button.primary")
        tab.locator("button.link").first.click()
        assert "It was never seen with other content" in said(tab), "6: was it changed later?"
        assert re.search(r"Archived \d{4}-\d\d-\d\d .*Source cursor", said(tab)), (
            "7: when did it arrive, by which source?"
        )
        assert "This archive makes no proofs" in said(tab), "10: is it proven?"
        tab.click("text=Show the record as it came")
        assert '"msg_id"' in said(tab)
        tab.click("nav >> text=Quarantine")
        assert count(tab, "tbody tr") == 1, "8: what could not be read?"
        tab.click("nav >> text=Looks")
        tab.fill("input[name=name] >> nth=0", first)
        tab.click("button[value=person]")
        assert count(tab, "tbody tr") >= 2, "9: who looked at A's chats?"
        tab.click("text=Sign out")
        assert "Signed out" in said(tab)
        tab.go_back()
        assert count(tab, "tbody tr") == 0, "what was shown is kept nowhere"


def test_pictures_of_every_kind_are_seen(
    database: Database, make_collector: MakeCollector, folder: Shelf, chromium: Any
) -> None:
    archive = make_collector(database, folder, messages=600)
    assert archive("pull") == 0
    archive("attachments")
    kinds = "SELECT DISTINCT media_type FROM attachments WHERE kind = 'file' AND media_type LIKE 'image/%'"
    assert {row[0] for row in archive.database.rows(kinds)} == {"image/png", "image/jpeg", "image/webp"}
    with serving(archive) as served, reading(chromium, served) as tab:
        shown = 0
        for (sender,) in archive.database.rows("SELECT DISTINCT sender FROM messages ORDER BY 1 LIMIT 8"):
            tab.click("nav >> text=Search")
            tab.fill("form[action='/search'] input[name=sender]", sender)
            tab.select_option("select[name=type]", "img")
            tab.click("form[action='/search'] button.primary")
            shown += count(tab, "main img")
            broken = "() => [...document.images].filter(one => !(one.complete && one.naturalWidth > 1)).length"
            assert tab.evaluate(broken) == 0
        assert shown > 10


def test_is_this_message_proven_and_since_when(begun: Archive, place: Path, chromium: Any) -> None:
    archive = begun
    archive.sections += f'[[evidence.anchors]]\nsink = "file"\npath = "{place}/anchors"\n'
    archive.write_config()
    assert archive("pull") == 0
    assert archive("evidence", "seal") == 0
    with serving(archive, role="auditor") as served, reading(chromium, served, accept_downloads=True) as tab:
        assert "Evidence" in said(tab)
        tab.click("nav >> text=Search")
        tab.fill("input[name=words]", "a")
        tab.click("form[action='/search'] button.primary")
        tab.locator("button.link").first.click()
        assert "first copy: proven now: leaf" in said(tab)
        assert re.search(r"In the hands of others since \d{4}-\d\d-\d\d", said(tab))
        with tab.expect_download() as download:
            tab.click("text=Save the proof")
        assert download.value.suggested_filename == "proof.zip"
    assert archive.database.value("SELECT count(*) FROM looks WHERE action = 'proof'") == 1


def test_forms_work_with_the_keyboard_alone_and_at_320_pixels(archive_of_october: Archive, chromium: Any) -> None:
    small = {"width": 320, "height": 640}
    with serving(archive_of_october) as served, reading(chromium, served, viewport=small) as tab:
        for path in ("/", "/search", "/coverage", "/quarantine", "/exports", "/case"):
            tab.goto(served.opened.address + path)
            assert tab.locator("main").bounding_box()["width"] <= 320
        tab.goto(f"{served.opened.address}/search")
        tab.locator("input:focus").wait_for()
        tab.keyboard.type("a")
        with tab.expect_navigation(url="**/look/**"):
            tab.keyboard.press("Enter")
        assert count(tab, "article.message") > 10
        for _ in range(40):
            tab.keyboard.press("Tab")
            if count(tab, "button.link:focus"):
                break
        with tab.expect_navigation(url="**/look/**"):
            tab.keyboard.press("Enter")
        assert "Where it came from" in said(tab)


def test_a_draft_is_adopted_by_one_approved_by_another_and_carried_out(
    archive_of_october: Archive, chromium: Any
) -> None:
    archive = archive_of_october
    file = f'erasures_file = "{archive.config.with_name("erasures.jsonl")}"\n'
    archive.config.write_text(ON_PAGE + file + archive.config.read_text())
    assert archive("migrate") == 0
    messages = archive.database.value("SELECT count(*) FROM messages WHERE lower(sender) = 'xingchen'")
    assert archive("erase", "request", "--sender", "xingchen", "--case", "E 3", "--reason", "a letter") == 0
    assert "draft 1 is stored" in archive.output
    with serving(archive, who="li") as served, reading(chromium, served) as tab:
        tab.click("text=draft 1")
        assert f"messages asked for {messages}" in said(tab)
        tab.click("text=Adopt exactly this")
        assert "This is your own request: another person has to approve it." in said(tab)
        assert count(tab, "button[value=approve]") == 0
        tab.click("nav >> text=Holds")
        assert "Drafts, to be adopted" not in said(tab)
    with serving(archive, who="LI") as served, reading(chromium, served) as tab:
        assert "Waiting for your decision" not in said(tab), "the same person, written otherwise"
    with serving(archive, who="wang") as served, reading(chromium, served) as tab:
        tab.click("text=request 1")
        assert "Asked by li" in said(tab)
        tab.click("text=Approve exactly this")
        assert "archiver erase run 1" in said(tab)
    assert archive("erase", "run", "1") == 0, archive.errors
    assert archive.database.value("SELECT count(*) FROM messages WHERE lower(sender) = 'xingchen'") == 0
