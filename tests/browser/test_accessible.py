"""The page by axe, which comes with a package of the group `deploy`; ARCHIVER_TEST_AXE names another axe.min.js.

axe is a script, so it is run from outside the page: the browser of this test obeys it, and no policy forbids that.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.archive import Archive, MakeArchive
from tests.fixtures.databases import Database
from tests.page.browsing import ON_PAGE, serving
from tests.page.test_looking import a_conversation

pytestmark = [pytest.mark.deploy, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]
RUN = "() => axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"


def axe() -> str:
    """The script. Without it these tests are skipped, and say so."""
    if named := os.environ.get("ARCHIVER_TEST_AXE"):
        return Path(named).read_text(encoding="utf-8")
    package = find_spec("axe_playwright_python")
    if package is None or package.origin is None:
        pytest.skip("axe is not installed: make deploy-test installs it")
    return Path(package.origin).with_name("axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_nothing_serious_is_wrong(
    database: Database, make_archive: MakeArchive, chromium: Any, scheme: str, width: int
) -> None:
    script = axe()
    archive: Archive = make_archive(database, messages=200)
    archive.server.add(b'{"msg_id": "q1", "timestamp": "1e3"}', timestamp_ms=archive.server.start_ms, visible_ms=0)
    assert archive("pull") == 0
    archive.config.write_text(ON_PAGE + archive.config.read_text())
    assert archive("migrate") == 0
    assert archive("erase", "request", "--sender", "xingchen", "--case", "E 3", "--reason", "a letter") == 0
    serious = list[tuple[str, str, list[str]]]()
    with serving(archive, role="officer+auditor") as served:
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        tab = context.new_page()

        def check(screen: str) -> None:
            tab.wait_for_load_state()  # with its style sheet
            tab.evaluate(script)
            serious.extend(
                (screen, one["id"], [node["html"] for node in one["nodes"][:2]])
                for one in tab.evaluate(RUN)["violations"]
                if one["impact"] in ("serious", "critical")
            )

        tab.goto(served.opened.link)
        check("sign in")
        tab.click("main button")
        year = f"/coverage/{archive.server.org}%23{archive.server.app}/cursor/2026"
        paths = ("/", "/search", "/case", "/coverage", year, "/quarantine", "/exports", "/lifecycle", "/looks", "/none")
        for path in (*paths, "/drafts/1"):
            tab.goto(served.opened.address + path)
            check(path)
        tab.goto(f"{served.opened.address}/search")
        tab.fill("form[action='/conversation'] input[name=conversation]", a_conversation(archive))
        tab.click("form[action='/conversation'] button")
        check("conversation")
        tab.goto(f"{served.opened.address}/search")
        tab.fill("input[name=words]", "a")
        tab.click("form[action='/search'] button.primary")
        check("hits")
        tab.locator("main button.link").first.click()
        check("message")
        context.close()
    assert serious == []
