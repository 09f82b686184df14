"""A marked message through the whole chain: sent as users send, read as all is read, and looked up in the archive.

What it proves no other figure does: that the provider still gives us what is sent today.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from archiver.errors import ProviderUnavailable
from archiver.store import canaries
from archiver.store.apps import SourceKey
from archiver.store.canaries import Canary
from archiver.store.engine import Store

log = logging.getLogger(__name__)


def send(
    store: Store, key: SourceKey, target: str, post: Callable[[str], object], *, spacing_ms: int = 0
) -> Canary | None:
    """Send one, unless one was sent within `spacing_ms`; raises what `post` raises, except that nobody knows.

    After a broken connection it may have gone out; then it is waited for like any other.
    """
    with store.write() as tx:
        canary = canaries.begin(tx, key, target, f"archiver canary {secrets.token_hex(8)}", spacing_ms=spacing_ms)
    if canary is None:
        return None
    try:
        post(canary.marker)
    except ProviderUnavailable as error:
        log.warning("whether the canary was sent is unknown: %s", error)
    except Exception as error:
        with store.write() as tx:
            canaries.end(tx, canary.id, "unsent", type(error).__name__)
        raise
    return canary


def look(store: Store, key: SourceKey, within_ms: int) -> list[Canary]:
    """Which of those under way have come, or are lost; one line of log per canary."""
    with store.write() as tx:
        settled = canaries.look(tx, key, within_ms)
    for canary in settled:
        if canary.archived_ms is None:
            log.error("the canary was lost: it was not archived in time", extra={"fields": {"canary": canary.id}})
        else:
            fields = {"canary": canary.id, "delay_seconds": (canary.archived_ms - canary.sent_ms) / 1000}
            log.info("the canary came", extra={"fields": fields})
    return settled
