"""When hours close: what their files say together, and whether the zone that names them may be believed."""

from __future__ import annotations

from typing import NamedTuple

from archiver.errors import WrongZone
from archiver.model import HOUR_MS, Setup
from archiver.store import apps, hours, naming, reopening, watermarks
from archiver.store.apps import SourceKey
from archiver.store.engine import Tx
from archiver.store.hours import Looked
from archiver.store.naming import HourFiles
from archiver.store.watermarks import Watermark
from archiver.timeline import offset_text


class Closed(NamedTuple):
    """Where the watermark is now; `wrong`: the zone has proved wrong, and what was read under it is open again.

    `doubtful`: hours wait, since their files hold messages of other hours.
    """

    mark: Watermark
    wrong: WrongZone | None = None
    reopened: int = 0
    doubtful: bool = False


def close_hours(
    tx: Tx, key: SourceKey, app: str, setup: Setup, held: Watermark, pass_nos: tuple[int, ...] = (1,)
) -> Closed:
    """Close every hour of these passes that may close, under the watermark that the caller holds."""
    offset_ms = setup.hour_offset_ms or 0
    files = naming.files(tx, key, offset_ms)
    if files.zone.shift_ms is not None:
        reason = "read under a wrong hour_utc_offset"
        reopened = reopening.reopen_zone(tx, key, offset_ms, vouching=files.vouching, reason=reason)
        wrong = _wrong_zone(app, offset_ms, files)
        apps.note_zone(tx, key, f"{wrong} (try: {wrong.hint})")
        return Closed(watermarks.recompute(tx, key, held), wrong, reopened)
    if files.agreed_ms is not None:
        apps.note_zone(tx, key, None)
    vouching = files.vouching if files.zone.doubtful else None
    for pass_no in pass_nos:
        reopening.read_neighbours_again(tx, key, pass_no)
        hours.close(tx, key, pass_no, offset_ms, _looked(tx, key, setup), vouching=vouching)
    return Closed(watermarks.move(tx, key, held), doubtful=files.zone.doubtful)


def _looked(tx: Tx, key: SourceKey, setup: Setup) -> Looked:
    early_ms = next((a_pass.lag_ms for a_pass in setup.passes if a_pass.pass_no == 0), HOUR_MS)
    return Looked(hours.looked_until(tx, key), max(HOUR_MS, early_ms), hours.has_begun(tx, key))


def _wrong_zone(app: str, offset_ms: int, files: HourFiles) -> WrongZone:
    shift_ms = files.zone.shift_ms or 0
    return WrongZone(
        f"{app}: the hours are not those of hour_utc_offset: most of {files.zone.messages} messages are stamped"
        f" {shift_ms / HOUR_MS:+g} h beside the hour of their file",
        hint=f'hour_utc_offset = "{offset_text(offset_ms - shift_ms)}"',
    )
