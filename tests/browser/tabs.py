"""What stands in a tab: asked for when its page is there as a whole, since a click waits for its beginning alone."""

from __future__ import annotations

from typing import Any


def said(tab: Any) -> str:
    """The text of the page, in one line."""
    tab.wait_for_load_state()
    return " ".join(tab.inner_text("main").split())


def count(tab: Any, selector: str) -> int:
    """How many elements there are of this kind."""
    tab.wait_for_load_state()
    return int(tab.locator(selector).count())
