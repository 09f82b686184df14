"""`make picture`: the review page on the archive of a real `archiver demo`, as Chromium shows it, in both languages."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from archiver import cli, connect
from archiver.config import load
from archiver.page import commands
from archiver.page.commands import PageView
from archiver.page.signin import Person
from archiver.store.admin.ask import ask
from archiver.store.engine import Store
from archiver.zones import Calendar, parse_zone

DOCS = Path(__file__).parents[1] / "docs"
_SIZE: Any = {"width": 960, "height": 620}
_RECALLED = "SELECT conversation FROM messages_readable WHERE recalled_at IS NOT NULL LIMIT 1"


def main() -> int:
    """Run the demo, sign in, and take a picture of a conversation and of the calendar in each language."""
    with TemporaryDirectory() as place:
        folder = Path(place) / "demo"
        if cli.invoke(["demo", "--directory", str(folder), "--messages", "3000"]) != 0:
            return 1
        settings = load(folder / "config.toml", os.environ, offline=True)
        with connect.opened(settings) as store:
            for language in ("en", "zh"):
                person = Person("wang.li", frozenset({"officer", "auditor"}))
                view = PageView(Calendar(parse_zone("Asia/Shanghai")), language)
                opened = commands.open_for_one(settings, store, person, view)
                stop = threading.Event()
                thread = threading.Thread(target=opened.serve, args=(stop,))
                thread.start()
                try:
                    _take(opened, store, language)
                finally:
                    stop.set()
                    thread.join()
                    opened.bound.close()
    return 0


def _take(opened: Any, store: Store, language: str) -> None:
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        tab: Any = chromium.new_context(java_script_enabled=False, viewport=_SIZE).new_page()
        tab.goto(opened.link)
        tab.click("main button")
        tab.goto(f"{opened.address}/case")
        tab.fill("input[name=case]", "K7")
        tab.fill("input[name=reason]", "complaint of 2026-11-02" if language == "en" else "投诉")
        tab.click("main button.primary")
        _shoot(tab, "home", language, opened.address)
        _, rows = ask(store, _RECALLED)
        tab.goto(f"{opened.address}/search")
        tab.fill("form[action='/conversation'] input[name=conversation]", str(rows[0][0]))
        tab.click("form[action='/conversation'] button")
        tab.wait_for_url("**/look/**")
        box = tab.locator("article.message:has(.mark.recalled)").first.bounding_box()
        ends = box["y"] + box["height"] + 12
        picture = DOCS / f"review-conversation-{language}.png"
        clip = {"x": 0, "y": max(0, ends - 620), "width": _SIZE["width"], "height": min(620, ends)}
        tab.screenshot(path=str(picture), full_page=True, clip=clip)
        print(f"{picture} written")  # noqa: T201
        chromium.close()


def _shoot(tab: Any, name: str, language: str, address: str) -> None:
    tab.goto(address + "/")
    picture = DOCS / f"review-{name}-{language}.png"
    tab.screenshot(path=str(picture))
    print(f"{picture} written")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
