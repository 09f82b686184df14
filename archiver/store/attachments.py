"""Attachments by state: claimed by one process at a time, the most endangered first; every attempt leaves a row.

A claim is a lease with a fence, as a window's is: a process that was killed is followed by the next one at once on the
same machine, and after the lease elsewhere; one that wakes up late finds another fence, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from archiver.errors import LeaseLost
from archiver.model import Pointer
from archiver.store import owner, seals, wipes
from archiver.store.engine import Store, Tx
from archiver.store.schema import InstantColumn, attachment_attempts, attachments, message_bodies

OPEN = ("pending", "failed")
_IS_OPEN = sa.text("attachments.state IN ('pending', 'failed')")  # literally, or the partial index is not seen to fit
_IS_STORED = sa.text("attachments.state = 'stored'")
_CUT_OFF = "the process that fetched it ended"
_CANDIDATES = 16
"""As others may be faster."""

STUBBORN_AFTER = 3
"""What failed so often comes after all that did not."""

GIVEN_UP = ", and it has expired: given up"
"""How the reason ends of what is `gone` because nobody could get it, not because the provider said so."""


class FileRow(NamedTuple):
    """The key of an attachment."""

    app_id: int
    msg_id: str
    position: int
    kind: str


class FileClaim(NamedTuple):
    """An attachment that this process fetches, as long as `fence` is the row's."""

    file: FileRow
    pointer: Pointer
    declared_length: int | None
    attempts: int
    fence: int
    owner: str
    claimed_ms: int
    expires_ms: int

    @property
    def place(self) -> _Place:
        """Its place in the order of danger."""
        return (self.expires_ms, *self.file[1:])


class Result(NamedTuple):
    """What a row becomes."""

    state: str
    reason: str | None = None
    sha256: str | None = None
    size: int | None = None
    media_type: str | None = None
    next_attempt_ms: int | None = None


def free_the_dead(tx: Tx, app_id: int) -> int:
    """Take back what processes held that are gone from this machine; gives how many rows that were."""
    holders = (
        sa.select(attachments.c.owner)
        .distinct()
        .where(attachments.c.app_id == app_id, _IS_OPEN, attachments.c.owner.is_not(None))
    )
    dead = owner.dead(tx.conn.scalars(holders).all())
    if not dead:
        return 0
    held = sa.select(attachments).where(attachments.c.app_id == app_id, _IS_OPEN, attachments.c.owner.in_(dead))
    return sum(_free(tx, row) for row in tx.conn.execute(held).all())


def _free(tx: Tx, row: sa.Row[Any]) -> bool:
    """Take one back, unless somebody else was faster."""
    same = sa.and_(_is(_file(row)), attachments.c.fence == row.fence, attachments.c.owner == row.owner)
    if tx.conn.execute(attachments.update().where(same).values(**_FREE).returning(attachments.c.fence)).first() is None:
        return False
    _note_cut_off(tx, row)
    return True


class FileLook(NamedTuple):
    """Which of the open attachments are looked at.

    `expired`: those that the provider may have dropped, the latest to expire first; else those that it keeps, the most
    endangered first, and of these the `stubborn` or the others. `near_ms`: whichever expires last before that time.
    `unlike`: urls that begin so are left out.
    """

    expired: bool = False
    stubborn: bool = False
    near_ms: int | None = None
    unlike: Collection[str] = ()


_Place = tuple[int, str, int, str]


def claim(
    tx: Tx, app_id: int, holder: str, lease_ms: int, *, after: _Place | None = None, look: FileLook | None = None
) -> FileClaim | None:
    """The next attachment of a look behind `after` that is due and that nobody holds; None: there is none.

    By compare-and-swap on the fence, not by row locks: on a cluster the rows looked at lie on many machines.
    """
    now_ms = tx.now_ms()
    is_free = sa.and_(
        _IS_OPEN,
        sa.or_(attachments.c.lease_until.is_(None), attachments.c.lease_until < now_ms),
        sa.or_(attachments.c.next_attempt_at.is_(None), attachments.c.next_attempt_at <= now_ms),
    )
    query = (
        _looked_for(look or FileLook(), after, now_ms).where(attachments.c.app_id == app_id, is_free).limit(_CANDIDATES)
    )
    while rows := tx.conn.execute(query).all():
        for row in rows:
            taken = {"fence": row.fence + 1, "owner": holder, "claimed_at": now_ms, "lease_until": now_ms + lease_ms}
            same = sa.and_(_is(_file(row)), attachments.c.fence == row.fence, is_free)
            swap = (
                attachments.update()
                .where(same)
                .values(**taken, attempts=attachments.c.attempts + 1)
                .returning(attachments.c.fence)
            )
            if tx.conn.execute(swap).first() is not None:
                return _claimed(tx, row, holder, now_ms)
    return None


def _looked_for(look: FileLook, after: _Place | None, now_ms: int) -> sa.Select[Any]:
    """The rows of a look in its order. The bounds by `expires_at` alone are what the index is used by."""
    query = sa.select(attachments).where(
        *(sa.func.substr(attachments.c.url, 1, len(head)) != head for head in look.unlike)
    )
    if look.expired:
        query = query.where(attachments.c.expires_at < now_ms)
    else:
        query = query.where(
            attachments.c.expires_at >= now_ms, (attachments.c.attempts >= STUBBORN_AFTER) == look.stubborn
        )
    backwards = look.expired or look.near_ms is not None
    key = (attachments.c.expires_at, attachments.c.msg_id, attachments.c.position, attachments.c.kind)
    if look.near_ms is not None:
        query = query.where(attachments.c.expires_at <= look.near_ms)
    elif after is not None:
        place = sa.tuple_(sa.literal(after[0], InstantColumn), *map(sa.literal, after[1:]))
        within = attachments.c.expires_at <= after[0] if backwards else attachments.c.expires_at >= after[0]
        query = query.where(within, sa.tuple_(*key) < place if backwards else sa.tuple_(*key) > place)
    return query.order_by(*(column.desc() if backwards else column for column in key))


def last_expiry_ms(tx: Tx, app_id: int) -> int | None:
    """When the last open attachment of an app expires; None where none is open."""
    last_ms: int | None = tx.conn.scalar(
        sa.select(sa.func.max(attachments.c.expires_at)).where(attachments.c.app_id == app_id, _IS_OPEN)
    )
    return last_ms


def failures_since_expiry(tx: Tx, held: FileClaim) -> int:
    """How many attempts at an attachment failed after it had expired; one that was cut off is no failure."""
    same = sa.and_(*(attachment_attempts.c[name] == value for name, value in held.file._asdict().items()))
    query = sa.select(sa.func.count()).where(
        same, attachment_attempts.c.outcome == "failed", attachment_attempts.c.began_at > held.expires_ms
    )
    return int(tx.conn.execute(query).scalar_one())


def _claimed(tx: Tx, row: sa.Row[Any], holder: str, now_ms: int) -> FileClaim:
    if row.owner is not None:
        _note_cut_off(tx, row)
    file = _file(row)
    pointer = Pointer(row.url, _secret(tx, file))
    return FileClaim(
        file, pointer, row.declared_length, row.attempts + 1, row.fence + 1, holder, now_ms, row.expires_at
    )


def _secret(tx: Tx, file: FileRow) -> str | None:
    """The share-secret of a file; a thumbnail may have one of its own."""
    row = tx.conn.execute(
        sa.select(message_bodies.c.secret, message_bodies.c.thumb_secret).where(
            message_bodies.c.app_id == file.app_id,
            message_bodies.c.msg_id == file.msg_id,
            message_bodies.c.position == file.position,
        )
    ).one()
    secret = (row.thumb_secret or row.secret) if file.kind == "thumbnail" else row.secret
    return str(secret) if secret else None


def renew(tx: Tx, held: FileClaim, lease_ms: int) -> None:
    """Prolong a claim by what has arrived. Raises LeaseLost."""
    _held(tx, held, {"lease_until": tx.now_ms() + lease_ms})


def settle(tx: Tx, held: FileClaim, result: Result) -> None:
    """What an attempt came to, and its row for the auditor. Raises LeaseLost, and then nothing is changed."""
    now_ms = tx.now_ms()
    fetched_ms = now_ms if result.state == "stored" else None
    values = {"state": result.state, "reason": result.reason, "next_attempt_at": result.next_attempt_ms}
    values |= {"sha256": result.sha256, "size": result.size, "media_type": result.media_type}
    _held(tx, held, {**values, "fetched_at": fetched_ms, **_FREE})
    if result.sha256 is not None and not wipes.cancel(tx, result.sha256):
        raise LeaseLost("the same content is being removed; it is fetched again later")
    if tx.journal is not None and result.state == "stored":  # no trigger: the table may lie on many machines
        seals.enqueue_row(tx, "attachments", held.file)
    _note(tx, held.file, held.fence, held.owner, (held.claimed_ms, now_ms), result.state, result.reason)


def put_back(tx: Tx, held: FileClaim) -> None:
    """Leave an attachment as it was: whatever kept it from being fetched was no matter of this file."""
    _held(tx, held, {**_FREE, "attempts": attachments.c.attempts - 1})


_FREE: dict[str, Any] = {"owner": None, "claimed_at": None, "lease_until": None}


def _held(tx: Tx, held: FileClaim, values: dict[str, Any]) -> None:
    # By its owner, too: a claim that was taken back keeps its fence, and so may one that the database has lost.
    ours = sa.and_(_is(held.file), attachments.c.fence == held.fence, attachments.c.owner == held.owner, _IS_OPEN)
    changed = tx.conn.execute(attachments.update().where(ours).values(**values).returning(attachments.c.fence)).first()
    if changed is None:
        raise LeaseLost("another process has this attachment now")


def _note_cut_off(tx: Tx, row: sa.Row[Any]) -> None:
    times = (row.claimed_at, max(row.claimed_at, min(row.lease_until, tx.now_ms())))
    _note(tx, _file(row), row.fence, row.owner, times, "cut off", _CUT_OFF)


def _note(
    tx: Tx, file: FileRow, attempt: int, holder: str, times: tuple[int, int], outcome: str, reason: str | None
) -> None:
    values = {**file._asdict(), "attempt": attempt, "owner": holder, "outcome": outcome, "reason": reason}
    tx.conn.execute(attachment_attempts.insert().values(**values, began_at=times[0], ended_at=times[1]))


def retry_failed(tx: Tx, app_id: int, foreign_reasons: Collection[str]) -> int:
    """Make due at once what failed, was refused or given up, or is foreign for one of these reasons; gives how many."""
    again = sa.or_(
        sa.and_(attachments.c.state == "failed", attachments.c.next_attempt_at.is_not(None)),
        attachments.c.state == "refused",
        sa.and_(attachments.c.state == "gone", attachments.c.reason.endswith(GIVEN_UP)),
        sa.and_(attachments.c.state == "foreign", attachments.c.reason.in_(foreign_reasons)),
    )
    statement = attachments.update().where(attachments.c.app_id == app_id, again)
    state = sa.case((attachments.c.state == "foreign", "pending"), else_="failed")
    return len(
        tx.conn.execute(statement.values(state=state, next_attempt_at=None).returning(attachments.c.fence)).all()
    )


def retry_foreign(
    tx: Tx, app_id: int, is_ours: Callable[[str], bool], after: FileRow | None, most: int
) -> FileRow | None:
    """Make due what was called foreign and is the provider's by now; gives the last one looked at, None at the end."""
    query = sa.select(attachments).where(attachments.c.app_id == app_id, attachments.c.state == "foreign")
    if after is not None:
        query = query.where(
            sa.tuple_(attachments.c.msg_id, attachments.c.position, attachments.c.kind)
            > sa.tuple_(*map(sa.literal, after[1:]))
        )
    rows = tx.conn.execute(
        query.order_by(attachments.c.msg_id, attachments.c.position, attachments.c.kind).limit(most)
    ).all()
    for row in rows:
        if is_ours(row.url):
            again = attachments.update().where(_is(_file(row)), attachments.c.state == "foreign")
            tx.conn.execute(again.values(state="pending", reason=None, next_attempt_at=None))
    return _file(rows[-1]) if len(rows) == most else None


class Open(NamedTuple):
    """What is not had yet: how many, how many of them expire soon, and when the first one does or did."""

    files: int
    endangered: int
    first_expiry_ms: int | None


def still_open(tx: Tx, app_id: int, soon_ms: int) -> Open:
    """What an app still lacks, and how much expires within `soon_ms`; by the partial index."""
    now_ms = tx.now_ms()
    # What has expired needs no hurry.
    soon = sa.and_(attachments.c.expires_at >= now_ms, attachments.c.expires_at < now_ms + soon_ms)
    due = sa.func.coalesce(sa.func.sum(sa.case((soon, 1), else_=0)), 0)
    query = sa.select(sa.func.count(), due, sa.func.min(attachments.c.expires_at)).where(
        attachments.c.app_id == app_id, _IS_OPEN
    )
    files, endangered, first_ms = tx.conn.execute(query).one()
    return Open(int(files), int(endangered), first_ms)


def contents(store: Store, *, batch: int = 1000) -> Iterator[tuple[str, int]]:
    """Digest and size of everything that rows call stored, without repetition, in the order of digests."""
    after = ""
    while rows := _contents(store, after, batch):
        yield from rows
        after = rows[-1][0]


def content_behind(store: Store, digest: str) -> tuple[str, int] | None:
    """The first content at or behind a digest, or else the very first: a random digest draws a fair sample."""
    return next(iter(_contents(store, digest, 1) or _contents(store, "", 1)), None)


def _contents(store: Store, after: str, batch: int) -> list[tuple[str, int]]:
    query = sa.select(attachments.c.sha256, sa.func.max(attachments.c.size)).where(
        _IS_STORED, attachments.c.sha256 > after
    )
    with store.patient.read() as tx:
        rows = tx.conn.execute(query.group_by(attachments.c.sha256).order_by(attachments.c.sha256).limit(batch)).all()
    return [(row[0], int(row[1])) for row in rows]


def stored_as(tx: Tx, sha256: str) -> list[tuple[str, str, int, str]]:
    """Which messages' attachments have this content."""
    query = sa.select(attachments.c.app_id, attachments.c.msg_id, attachments.c.position, attachments.c.kind).where(
        _IS_STORED, attachments.c.sha256 == sha256
    )
    return [(str(row[0]), row[1], row[2], row[3]) for row in tx.conn.execute(query.limit(20))]


def _file(row: sa.Row[Any]) -> FileRow:
    return FileRow(row.app_id, row.msg_id, row.position, row.kind)


def _is(file: FileRow) -> sa.ColumnElement[bool]:
    return sa.and_(
        attachments.c.app_id == file.app_id,
        attachments.c.msg_id == file.msg_id,
        attachments.c.position == file.position,
        attachments.c.kind == file.kind,
    )
