"""What all tables are made of: types that hold the same on both databases, states, and the rules that checks repeat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from archiver.model import DAY_MS, MINUTE_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z; neither Python nor the 24-character text goes further."""


def iso(ms: int) -> str | None:
    """An instant as 24 characters of ISO 8601, as SQLite keeps it; None outside 1970 to 9999."""
    if not 0 <= ms <= LAST_MS:
        return None
    day, rest = divmod(ms, DAY_MS)
    return _day(day) + _MINUTES[rest // MINUTE_MS] + _SECONDS[rest // 1000 % 60] + _THOUSANDTHS[rest % 1000]


_MINUTES = [f"T{minute // 60:02}:{minute % 60:02}:" for minute in range(1440)]
_SECONDS = [f"{second:02}." for second in range(60)]
_THOUSANDTHS = [f"{ms:03}Z" for ms in range(1000)]


@lru_cache(1024)
def _day(day: int) -> str:
    """The messages of a page share few days, and the calendar is slow to ask."""
    return (_EPOCH + timedelta(days=day)).strftime("%Y-%m-%d")


class InstantColumn(TypeDecorator[int]):
    """Milliseconds in Python; timestamptz on PostgreSQL, 24 characters of ISO 8601 on SQLite."""

    impl = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "sqlite":
            return None if value is None else iso(value)
        return _EPOCH + timedelta(milliseconds=value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        return _ms(value)


@lru_cache(256)
def _ms(value: str | datetime) -> int:
    """The messages of a page share the moment in which they were archived."""
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def instant_text(value: str | datetime) -> str | None:
    """A stored instant, as a driver gives it, as `iso` writes it."""
    return value if isinstance(value, str) else _text(value)


@lru_cache(256)
def _text(instant: datetime) -> str | None:
    return iso(_ms(instant))


def as_given(content: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """A value as the driver gives it, without a call for every row: an instant for `instant_text`, 0 or False."""
    return sa.type_coerce(content, sa.types.NullType()).label(content.name)


EVIDENCE, DECIDED, DELETED, JUDGED = "evidence", "decided", "deleted", "judged"
STATE, DERIVED, OWN, SIGNED_IN, DRAFTED = "state", "derived", "own", "signed in", "drafted"
"""What a table holds, said once, as its `info["kind"]`: who may write it, and what is copied and guarded, follows.

EVIDENCE is only ever added to. DECIDED is as well, by persons: who pulls has no right to. DELETED says what is gone;
who deletes adds to it. JUDGED is evidence of which some columns say what became of it (`JUDGEMENT`). STATE is what the
program goes by, and changes. DERIVED is made of the evidence, and could be made anew. OWN is of this database alone,
and no part of a copy. SIGNED_IN is who has the review page open: written by that page alone, and no part of a copy.
DRAFTED waits for somebody who signs in there: officers add to it, the page takes it away, and it is no part of a copy.
"""

SHARDED, COPIED, CENTRAL = "sharded", "copied", "central"
SHARD_KEY = "msg_id"
"""Where a table lies on a cluster, said once, as its `info["placement"]`; what may be joined with what follows.

SHARDED by `SHARD_KEY`, so that a message shares a machine with all that is keyed by it. COPIED to every machine. Those
that say nothing are CENTRAL, on the coordinator alone.
"""

JUDGEMENT = {"quarantine": ("reason", "seen", "resolved_at")}


Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers rows itself only for INTEGER
Ms = sa.BigInteger
JsonText = sa.Text().with_variant(JSONB(none_as_null=True), "postgresql")  # JSON text in, on both databases
metadata = sa.MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "ck": "ck_%(table_name)s_%(constraint_name)s"}
)
page_ids = sa.Sequence("page_ids", metadata=metadata)
"""PostgreSQL only: a page's id is needed before its row can be written. SQLite writes alone and takes max + 1."""

FATES = ("received", "new", "known", "changed", "quarantined")
SUM_RULE = "received = new + known + changed + quarantined"


OPEN_STATES = ("pending", "leased", "not_ready", "stuck")
TILING_STATES = ("closed", "presumed_empty", "accepted")
ATTACHMENT_STATES = ("pending", "stored", "gone", "refused", "foreign", "failed")
STATES = ("pending", "leased", "closed", "skipped", "not_ready", "presumed_empty", "expired", "stuck", "accepted")


def counter(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)
