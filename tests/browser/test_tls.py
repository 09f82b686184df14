"""The flows of a team in a real browser with JavaScript off: over TLS, by nginx with the snippet that is handed out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import request
from werkzeug.exceptions import BadRequest

from archiver.page import app, commands, headers
from tests.browser.conftest import BROWSER
from tests.browser.tabs import count, said
from tests.deploy.conftest import tool
from tests.deploy.test_nginx_review import archive, proxied
from tests.fixtures.archive import Archive
from tests.page.browsing import Serving

__all__ = ["archive", "proxied", "tool"]
pytestmark = [pytest.mark.deploy, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]


@pytest.fixture
def demanding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that also demands a Referer over TLS, as Flask-WTF does (WTF_CSRF_SSL_STRICT)."""
    create = app.create

    def strict(review: Any) -> Any:
        made = create(review)

        @made.before_request
        def demand() -> None:
            if request.method == "POST" and not (request.referrer or "").startswith("https://review.example.com"):
                raise BadRequest

        return made

    monkeypatch.setattr(commands, "create", strict)


@contextmanager
def arriving(chromium: Any, address: str) -> Iterator[tuple[Any, list[str]]]:
    """A tab at the page, behind the proxy, and what the browser complains of."""
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
    yield tab, complaints
    browser.close()


@pytest.mark.parametrize(("policy", "works"), [("same-origin", True), ("no-referrer", False)])
def test_with_no_referrer_and_a_referer_demanded_no_form_would_work(
    demanding: None,
    proxied: tuple[str, Serving],
    archive: Archive,
    chromium: Any,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    works: bool,
) -> None:
    """The control of the product's own policy and token: the forms below could fail."""
    monkeypatch.setitem(headers.HEADERS, "Referrer-Policy", policy)
    with arriving(chromium, proxied[0]) as (tab, _):
        assert "Signing in as" in said(tab)
        tab.click("main button")
        assert ("Is the archive complete?" in said(tab)) == works
    assert archive.count("review_sessions") == works


def test_an_officer_signs_in_names_a_case_and_reads(
    proxied: tuple[str, Serving], archive: Archive, chromium: Any
) -> None:
    with arriving(chromium, proxied[0]) as (tab, complaints):
        assert "Signing in as" in said(tab)
        tab.click("main button")
        assert "Is the archive complete?" in said(tab)
        tab.click("text=name one")
        tab.fill("input[name=case]", "K 7")
        tab.fill("input[name=reason]", "complaint")
        tab.click("main button.primary")
        tab.fill("input[name=words]", "a")
        tab.click("form[action='/search'] button.primary")
        assert count(tab, "article.message") > 3
        tab.locator("main button.link").first.click()
        assert "Where it came from" in said(tab)
        tab.click("text=Sign out")
        assert "Signed out" in said(tab)
    assert [text for text in complaints if "Autofocus" not in text] == []
    rows = archive.database.rows("SELECT who, action, case_id FROM looks ORDER BY id")
    assert rows == [("li", "search", "K 7"), ("li", "message", "K 7")]
