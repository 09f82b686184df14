"""Who may do what on the page: roles, the rights they give, and which right a route asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Right = Literal["open", "home", "read", "decide", "quarantine", "bytes", "looks"]
"""`open`: without having signed in. `bytes`: records as they came, and proofs."""

RIGHTS: dict[str, frozenset[Right]] = {
    "operator": frozenset({"home"}),
    "reader": frozenset({"home", "read"}),
    "officer": frozenset({"home", "read", "decide", "quarantine"}),
    "auditor": frozenset({"home", "read", "quarantine", "bytes", "looks"}),
}


def rights(roles: Iterable[str]) -> frozenset[Right]:
    """What these roles allow together."""
    return frozenset[Right]().union(*(RIGHTS[role] for role in roles))
