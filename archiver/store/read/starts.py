"""A `start` that was moved back after the first pull: it moves nothing any more, and somebody may wait for it."""

from __future__ import annotations

from typing import NamedTuple

from archiver.store.engine import Tx
from archiver.store.read import status
from archiver.store.read.status import SourceStatus
from archiver.store.schema import iso


class MovedStart(NamedTuple):
    """`start` lies before what the archive knows of: it counted at the first contact, and moves nothing since."""

    app: str
    source: str
    text: str
    remedy: str


def moved_start(tx: Tx, source: SourceStatus, start_ms: int) -> MovedStart | None:
    """What to say of a configured `start` (ms); None where it lies within the archive."""
    reach_ms = status.reach_ms(tx, source)
    if start_ms >= reach_ms:
        return None
    begins = f"the archive begins at {iso(reach_ms)}"
    text = f"start = {iso(start_ms)} lies before that: it counts at the first pull alone, and moves nothing now"
    remedy = f"archiver backfill --from {iso(start_ms)}"
    if source.key.source != "cursor":
        remedy = f"start = {iso(reach_ms)}; files reach back no further, an app with source = cursor may"
    return MovedStart(source.app, source.key.source, f"{begins}, and {text}", remedy)
