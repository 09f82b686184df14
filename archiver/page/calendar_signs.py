"""The signs of the calendar: what they say, and which of two is worse."""

from __future__ import annotations

from archiver.page.context import say

WORST = ("!", "~", "a", "x", "·", "o", "+", "++")
"""All signs, the worst first."""
NAMES = dict(zip(WORST, ("hole", "open", "accepted", "expired", "before", "empty", "complete", "audited"), strict=True))
"""What style sheets call them."""


def legend() -> list[tuple[str, str, str]]:
    """Signs, their kinds, and what they say."""
    words = {
        "++": say("complete, and audited"),
        "+": say("complete"),
        "o": say("complete; hours without a file are presumed empty"),
        "~": say("open, or not due yet"),
        "!": say("hole: lost, stuck or unproven"),
        "a": say("loss that somebody accepted"),
        "·": say("before the archive's beginning"),
        "x": say("expired by policy"),
    }
    return [(sign, NAMES[sign], text) for sign, text in words.items()]
