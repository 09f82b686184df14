"""What the files of hours say of the zone by which they are named.

One file proves little, since it holds what arrived in its hour; the newest two hundred are judged together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import sqlalchemy as sa

from archiver.model import DAY_MS
from archiver.store.apps import SourceKey, of_source
from archiver.store.engine import Tx
from archiver.store.schema import windows
from archiver.timeline import Evidence, ZoneVerdict, agrees, best_shift, in_hour, judge_zone

_LONE_DOUBT_MS = DAY_MS
_FILES_LOOKED_AT = 200


class HourReading(NamedTuple):
    """An hour's file, and when it was read (ms)."""

    lo_ms: int
    read_ms: int


class HourFiles(NamedTuple):
    """What the newest files of one naming say, and how to judge those that nothing vouches for.

    `vouching`: files that agree. One vouches for the hours up to its own that were read no later: a cluster may name
    its files otherwise from some hour on, or from some moment on.
    """

    vouching: tuple[HourReading, ...]
    against_ms: int | None
    """The first hour whose file does not agree, with none to vouch for it."""
    zone: ZoneVerdict

    @property
    def agreed_ms(self) -> int | None:
        """The newest hour whose file agrees."""
        return max((reading.lo_ms for reading in self.vouching), default=None)


class _FileSays(NamedTuple):
    """What one file says of the naming: `own` of its messages lie in its hour; `later`: they are stamped after it."""

    evidence: Evidence
    messages: int
    own: int
    agrees: bool
    later: bool


@lru_cache(maxsize=2 * _FILES_LOOKED_AT)
def _file_says(text: str) -> _FileSays:
    """Every hour that closes asks what the same two hundred files say."""
    evidence = {int(at): count for at, count in json.loads(text).items()}
    fits = agrees(evidence)
    later = not fits and best_shift(evidence)[0] > 0
    return _FileSays(evidence, sum(evidence.values()), in_hour(evidence), fits, later)


def files(tx: Tx, key: SourceKey, naming_ms: int) -> HourFiles:
    """Judge the naming by the newest files that were read under it."""
    readings = _readings(tx, key, naming_ms)
    vouching: list[HourReading] = []
    against: dict[int, _FileSays] = {}
    first_read_ms = tx.now_ms()
    denied_ms = _denied_ms(readings)
    for reading, says in readings:
        is_denied = denied_ms is not None and reading.read_ms >= denied_ms
        if says.agrees:
            if not is_denied and (not vouching or reading.read_ms > vouching[-1].read_ms):
                vouching.append(reading)
        elif is_denied or not vouching or reading.read_ms > vouching[-1].read_ms:
            if reading.lo_ms not in against or says.messages > against[reading.lo_ms].messages:
                against[reading.lo_ms] = says  # passes see one file: the fullest counts
            first_read_ms = min(first_read_ms, reading.read_ms)
    zone = judge_zone([says.evidence for says in against.values()])
    alone = len(against) == 1 or bool(vouching) or not zone.one_zone
    if alone and zone.late and zone.shift_ms is None and tx.now_ms() - first_read_ms > _LONE_DOUBT_MS:
        # A few late arrivals before a silence must not hold up a zone for ever that was right before.
        zone = zone._replace(doubtful=False)
    return HourFiles(tuple(vouching), min(against, default=None), zone)


def _denied_ms(readings: Sequence[tuple[HourReading, _FileSays]]) -> int | None:
    """Since when no file vouches: one whose messages are stamped after its hour was read then, and is not outvoted.

    A message cannot arrive before it is stamped, so under the right naming there is hardly such a file, while under a
    wrong one a late message now and then lies in the hour that its file is called by.
    """
    denied = [
        reading.read_ms
        for reading, says in readings
        if says.later
        and says.messages
        > sum(
            other.own
            for later, other in readings
            if other.agrees and later.lo_ms >= reading.lo_ms and later.read_ms >= reading.read_ms
        )
    ]
    return min(denied, default=None)


_READINGS = (
    sa.select(windows.c.lo_ms, windows.c.zone_evidence, windows.c.walked_at)
    .where(
        of_source(windows.c),
        windows.c.naming_ms == sa.bindparam("named_ms"),
        windows.c.zone_evidence.is_not(None),
        windows.c.walked_at.is_not(None),
    )
    .order_by(windows.c.lo_ms.desc())
    .limit(_FILES_LOOKED_AT)
)


def _readings(tx: Tx, key: SourceKey, naming_ms: int) -> list[tuple[HourReading, _FileSays]]:
    """The newest hours first; of one hour those that agree before the others."""
    rows = tx.conn.execute(_READINGS, key.bound | {"named_ms": naming_ms})
    readings = [(HourReading(lo_ms, walked_ms), _file_says(text)) for lo_ms, text, walked_ms in rows]
    return sorted(readings, key=lambda pair: (-pair[0].lo_ms, not pair[1].agrees, -pair[0].read_ms))


def vouched(vouching: Sequence[HourReading]) -> sa.ColumnElement[bool]:
    """Whether a window lies before a file that agrees with its naming, and was read no later."""
    read_at = sa.func.coalesce(windows.c.walked_at, windows.c.closed_at)
    return sa.or_(sa.false(), *(sa.and_(windows.c.lo_ms <= lo_ms, read_at <= read_ms) for lo_ms, read_ms in vouching))
