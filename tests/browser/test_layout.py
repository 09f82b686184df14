"""Usable at 320 pixels, at 200 % zoom and on paper; and the calendar says by signs what it says by colours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from archiver.page.calendar_signs import NAMES, WORST
from tests.browser.test_flows import archive_of_october, reading
from tests.fixtures.archive import Archive
from tests.page.browsing import Serving, serving
from tests.page.test_looking import a_conversation

__all__ = ["archive_of_october"]
pytestmark = [pytest.mark.deploy, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]

WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
CUT = """() => [...document.querySelectorAll('button, a, input, select, p, h1, h2, dd, summary')].filter(one => {
  if (one.closest('.scroll, pre, .skip') || one.classList.contains('skip')) return false;
  const box = one.getBoundingClientRect();
  return box.width > 0 && (box.left < -1 || box.right > document.documentElement.clientWidth + 1);
}).map(one => one.outerHTML.slice(0, 120))"""
SMALL = """() => [...document.querySelectorAll('main button.primary, nav a')]
  .filter(one => one.getBoundingClientRect().height < 24).length"""
INK = """() => [getComputedStyle(document.body).color,
  getComputedStyle(document.documentElement).getPropertyValue('--warn').trim()]"""
SIGNS = "() => [...document.querySelectorAll('.calendar td')].map(td => [td.className, td.innerText.trim()])"


def screens(archive: Archive, served: Serving, tab: Any) -> Iterator[str]:
    """Every screen, one after the other in this tab, with its style sheet; gives what each is called."""
    for screen in _visited(archive, served, tab):
        tab.wait_for_load_state()
        yield screen


def _visited(archive: Archive, served: Serving, tab: Any) -> Iterator[str]:
    year = f"/coverage/{archive.server.org}%23{archive.server.app}/cursor/2026"
    for path in ("/", "/search", "/case", "/coverage", year, "/quarantine", "/exports", "/lifecycle", "/looks", "/no"):
        tab.goto(served.opened.address + path)
        yield path
        if path == year:
            tab.locator(".calendar td a").nth(200).click()
            yield "day"

    def sent(form: str, **fields: str) -> Callable[[], None]:
        def send() -> None:
            tab.goto(f"{served.opened.address}/search")
            for name, value in fields.items():
                tab.fill(f"form[action='{form}'] input[name={name}]", value)
            tab.locator(f"form[action='{form}'] button").last.click()

        return send

    forms = (
        ("conversation", sent("/conversation", conversation=a_conversation(archive))),
        ("people", sent("/participants")),
        ("conversations", sent("/conversations")),
        ("hits", sent("/search", words="a")),
    )
    for name, act in forms:
        act()
        yield name
    tab.locator("main button.link").first.click()
    yield "message"
    tab.click("text=Show the record as it came")
    yield "raw"
    tab.goto(f"{served.opened.address}/quarantine")
    tab.click("main button.link")
    yield "bytes"


@pytest.mark.parametrize(("width", "zoom"), [(320, 1), (640, 2)], ids=["320 pixels", "1280 pixels at 200 %"])
def test_nothing_is_cut_off_or_wider_than_the_window(
    archive_of_october: Archive, chromium: Any, width: int, zoom: int
) -> None:
    more = {"viewport": {"width": width, "height": 640}, "device_scale_factor": zoom}
    wrong = list[str]()
    options: dict[str, Any] = {"role": "officer+auditor", "more": "[lifecycle]\n"}
    with (
        serving(archive_of_october, **options) as served,
        reading(chromium, served, refused="404 (NOT FOUND)", **more) as tab,
    ):
        for screen in screens(archive_of_october, served, tab):
            if (wider := tab.evaluate(WIDER)) > 0:
                wrong.append(f"{screen}: {wider} pixels wider than the window")
            wrong += [f"{screen}: cut off: {html}" for html in tab.evaluate(CUT)]
            if tab.evaluate(SMALL):
                wrong.append(f"{screen}: buttons that no finger hits")
    assert wrong == []


def test_on_paper_stands_what_was_read_and_no_form(archive_of_october: Archive, chromium: Any) -> None:
    options: dict[str, Any] = {"role": "officer+auditor", "more": "[lifecycle]\n"}
    more = {"refused": "404 (NOT FOUND)", "color_scheme": "dark"}
    with serving(archive_of_october, **options) as served, reading(chromium, served, **more) as tab:
        for screen in screens(archive_of_october, served, tab):
            tab.emulate_media(media="print")
            for hidden in ("nav", "button", "form.panel", ".pager"):
                shown = [one for one in tab.locator(hidden).all() if one.is_visible()]
                assert not shown, (screen, hidden)
            assert tab.locator("main h1").is_visible(), screen
            assert tab.evaluate(INK) == ["rgb(0, 0, 0)", "#7a4a00"], "dark on paper, whatever the screen has"
            if screen in ("conversation", "hits"):
                assert tab.locator("article.message").first.is_visible()
                assert re.search(rb"/Type\s*/Page\b", tab.pdf()), screen
                assert "Asia/Shanghai" in tab.inner_text("footer"), "a print says in which zone its times are"
            tab.emulate_media(media="screen")


def test_the_calendar_is_read_without_colours(archive_of_october: Archive, chromium: Any) -> None:
    archive = archive_of_october
    with serving(archive) as served, reading(chromium, served) as tab:
        tab.goto(f"{served.opened.address}/coverage/{archive.server.org}%23{archive.server.app}/cursor/2026")
        cells = tab.evaluate(SIGNS)
        assert len(cells) == 365
        assert {sign for _, sign in cells} <= set(WORST)
        assert all(NAMES[sign] == kind for kind, sign in cells), "one sign to a colour"
        assert len({kind for kind, _ in cells}) >= 3
        legend = tab.inner_text("ul.legend")
        assert all(sign in legend for sign in WORST)
        labels = [one.get_attribute("aria-label") for one in tab.locator(".calendar td a").all()[:40]]
        assert all(re.fullmatch(r"2026-\d\d-\d\d .{8,}", label) for label in labels), "and is read out"
