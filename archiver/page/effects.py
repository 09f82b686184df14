"""What requests and drafts are about now, where their bodies count nothing: messages of an export, and of a hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archiver.errors import UsageError
from archiver.lifecycle import holds
from archiver.page import facts, forms
from archiver.page.context import page, say
from archiver.page.facts import Fact
from archiver.store.read import counting, filters


def now(kind: str, body: Mapping[str, Any]) -> list[Fact]:
    """Counted at this moment; nothing where that cannot be, as a text chooses among the messages of an export."""
    try:
        if kind == "export":
            with page().measuring.read() as tx:
                span = counting.span(tx, filters.parsed(body.get("filter")))
            return [(say("would have now"), facts.effect(span._asdict()))]
        hold = body.get("hold")
        if kind == holds.RELEASE and type(hold) is int and 0 < hold < 2**63:
            counts = holds.count(page().measuring, holds.find(page().store, hold))
            return [(say("the hold keeps now"), say("{count} messages", count=f"{counts.messages:,}"))]
    except UsageError as error:
        forms.said(error)
    return []
