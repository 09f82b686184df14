"""The flows of a team in a real browser with JavaScript off: over TLS, by nginx with the snippet that is handed out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import BROWSER
from tests.deploy.conftest import tool
from tests.deploy.test_nginx_review import archive, proxied
from tests.fixtures.archive import Archive
from tests.page.browsing import Serving

__all__ = ["archive", "proxied", "tool"]
pytestmark = [pytest.mark.deploy, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]


def test_an_officer_signs_in_names_a_case_and_reads(
    proxied: tuple[str, Serving], archive: Archive, chromium: Any
) -> None:
    address, _ = proxied
    port = address.rpartition(":")[2]
    site = f"https://review.example.com:{port}"
    browser = chromium.browser_type.launch(
        executable_path=BROWSER,
        args=["--no-sandbox", f"--host-resolver-rules=MAP review.example.com:{port} 127.0.0.1:{port}"],
    )
    context = browser.new_context(java_script_enabled=False, ignore_https_errors=True)
    context.add_cookies([{"name": "signed", "value": "in", "url": site}])
    tab, complaints = context.new_page(), list[str]()
    tab.on("console", lambda message: complaints.append(message.text))
    tab.goto(site)
    assert "Signing in as" in tab.inner_text("main")
    tab.click("main button")
    assert "Is the archive complete?" in tab.inner_text("main")
    tab.click("text=name one")
    tab.fill("input[name=case]", "K 7")
    tab.fill("input[name=reason]", "complaint")
    tab.click("main button.primary")
    tab.fill("input[name=words]", "a")
    tab.click("form[action='/search'] button.primary")
    assert tab.locator("article.message").count() > 3
    tab.locator("main button.link").first.click()
    assert "Where it came from" in tab.inner_text("main")
    tab.click("text=Sign out")
    assert "Signed out" in tab.inner_text("main")
    browser.close()
    assert [text for text in complaints if "Autofocus" not in text] == []
    rows = archive.database.rows("SELECT who, action, case_id FROM looks ORDER BY id")
    assert rows == [("li", "search", "K 7"), ("li", "message", "K 7")]
