"""An Easemob record to the archive's message: pure, and shared by every way of reading records.

Shapes of records and bodies: the provider's pages on message history and callbacks (2014 to 2024). Users control
nearly every value, so no key is relied upon, and what a column cannot hold is substituted and marked as lossy.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Annotated, Any

import msgspec

from archiver.jsontext import canonical, canonical_of_plain, compact_of_plain
from archiver.model import Message, Page, Reject
from archiver.sources.easemob.bodies import read_body, read_usual_body
from archiver.sources.easemob.columns import INDEXED_BYTES, Columns
from archiver.sources.easemob.slices import Piece, Slice, is_shallow, quick_reader, read_piece

_INT64 = range(-(2**63), 2**63)
_new = tuple.__new__
_DIGITS = re.compile(r"-?[0-9]{1,19}")
_BACKSLASH = ord("\\")  # as a number it is searched for without an exception inside
_no_bytes = sha256().copy  # to begin from, in three quarters of the time
# Only these escapes can put a NUL or half a surrogate pair into a text; a record without them is plainly storable.
_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


_Party = Annotated[str, msgspec.Meta(min_length=1, max_length=INDEXED_BYTES // 4)]
"""A text that its column takes as it is: a character has four bytes at most."""


class _UsualPayload(msgspec.Struct, rename={"from_": "from"}, gc=False):
    bodies: list[Any]
    from_: _Party | None = None
    to: _Party | None = None
    ext: Any = None


class _Usual(msgspec.Struct, rename={"from_": "from"}, gc=False):
    """A record as nearly all are: read by its types in one go, there is nothing in it to ask about again."""

    msg_id: _Party
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    payload: _UsualPayload
    from_: _Party | None = None
    to: _Party | None = None
    chat_type: _Party | None = None
    direction: _Party | None = None


_USUAL_BYTES = 4_000
"""No number in it can be longer than the library reads: what is passed over may be read later."""
_usual = quick_reader(_Usual)


def decode_piece(piece: Piece, position: int) -> Message | Reject:
    """Read one record. `position` is its place in its page. Raises AnswerUnusable for bytes that are not UTF-8."""
    if isinstance(piece, bytes):
        usual = decode_usual(piece, position)
        if usual is not None:
            return usual
        piece = read_piece(piece)
    try:
        return _message(piece, position)
    except _Unreadable as error:
        return Reject(piece.raw, str(error), position)
    except RecursionError:
        return Reject(piece.raw, "nested too deep", position)


def decode_usual(raw: bytes, position: int) -> Message | None:
    """What `decode` makes of a record as nearly all are; None where it is another, or none. No space is around it."""
    if len(raw) > _USUAL_BYTES or (_BACKSLASH in raw and _SUSPICIOUS.search(raw)) or not is_shallow(raw):
        return None
    try:
        if not raw.isascii():
            raw.decode()  # what has no field is passed over, in whatever bytes it is
        record: _Usual = _usual(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    payload, chat_type = record.payload, record.chat_type
    sender, recipient = payload.from_ or record.from_, payload.to or record.to
    elements, ext = payload.bodies, payload.ext
    conversation, lossy = conversation_of(chat_type, sender, recipient), False
    bodies = tuple(map(read_usual_body, elements))
    if None in bodies or (conversation is not None and len(conversation) * 4 > INDEXED_BYTES):
        columns = Columns(clean=True, plain=True)
        conversation = columns.indexed(conversation)
        bodies = tuple([read_body(element, columns) for element in elements])
        lossy = columns.lossy
    digest = _no_bytes()
    digest.update(
        canonical_of_plain((record.timestamp, sender, recipient, chat_type, elements, None if ext == {} else ext))
    )
    values = (
        record.msg_id,
        record.timestamp,
        sender,
        recipient,
        conversation,
        chat_type,
        record.direction,
        bodies,
        None if ext is None else compact_of_plain(ext).decode(),
        raw,
        digest.digest(),
        lossy,
        position,
    )
    return _new(Message, values)  # by its own, it would check and copy all of them


class _Unreadable(Exception):
    """Says, without any of the record's text, what keeps a record from being a message."""


def _message(piece: Slice, position: int) -> Message:
    record = piece.value
    if piece.problem:
        raise _Unreadable(piece.problem)
    if not isinstance(record, dict):
        raise _Unreadable("the record is not an object")
    msg_id, timestamp_ms = _msg_id(record.get("msg_id")), _timestamp_ms(record.get("timestamp"))

    columns = Columns(_BACKSLASH not in piece.raw or _SUSPICIOUS.search(piece.raw) is None, piece.plain)
    payload = record.get("payload")
    if not isinstance(payload, dict):
        columns.lossy |= payload is not None
        payload = {}
    sender, recipient = _party(payload, record, "from"), _party(payload, record, "to")
    chat_type, direction = record.get("chat_type"), record.get("direction")
    elements = _elements(payload.get("bodies"), columns)
    ext = payload.get("ext")
    content = (timestamp_ms, sender, recipient, chat_type, elements, None if ext == {} else ext)

    return Message(
        msg_id,
        timestamp_ms,
        columns.indexed(sender),
        columns.indexed(recipient),
        columns.indexed(conversation_of(chat_type, sender, recipient)),
        columns.indexed(chat_type),
        columns.indexed(direction),
        tuple([read_body(element, columns) for element in elements]),
        columns.json(ext),
        piece.raw,
        # In one canonical form, so that both sources give one digest for one message.
        sha256(canonical(content, plain=piece.plain)).digest(),
        columns.lossy,
        position,
    )


def _msg_id(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _Unreadable("msg_id is missing" if value is None else "msg_id is neither text nor an integer")
    if value.isascii() and 1 <= len(value) <= INDEXED_BYTES and "\0" not in value:
        return value
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise _Unreadable("msg_id holds half a surrogate pair") from None
    if not 1 <= size <= INDEXED_BYTES:
        raise _Unreadable(f"msg_id has {size} bytes, not 1 to {INDEXED_BYTES}")
    if "\0" in value:
        raise _Unreadable("msg_id holds U+0000")
    return value


def _timestamp_ms(value: Any) -> int:
    if type(value) is int and 0 <= value < 2**63:
        return value
    if (isinstance(value, str) and _DIGITS.fullmatch(value)) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Unreadable("timestamp is missing" if value is None else "timestamp is not a whole number")
    if value not in _INT64:
        raise _Unreadable("timestamp is beyond 64 bits")
    return value


def _party(payload: dict[str, Any], record: dict[str, Any], key: str) -> str | None:
    """The provider calls the outer from and to internal (documentation of 2024-10): payload's come first."""
    value = payload.get(key)
    if not isinstance(value, str) or not value:
        value = record.get(key)
    return value if isinstance(value, str) and value else None


def conversation_of(chat_type: Any, sender: str | None, recipient: str | None) -> str | None:
    """The group or room, or both users, whose ids are case-insensitive."""
    if chat_type in ("groupchat", "chatroom"):
        return recipient
    if sender is None or recipient is None:
        return None
    one, other = sender.lower(), recipient.lower()
    return f"{one}|{other}" if one <= other else f"{other}|{one}"


def _elements(value: Any, columns: Columns) -> list[Any]:
    if isinstance(value, list):
        return value
    if value is None:
        return []
    columns.lossy = True
    return [value]


def page_of(records: list[Message | Reject], server_ms: int | None) -> Page:
    """A page of these records, which lie in its order."""
    whole = sha256()
    for record in records:
        whole.update(record.raw)
    rejects = tuple([record for record in records if isinstance(record, Reject)])
    messages = tuple([record for record in records if isinstance(record, Message)])
    return Page(messages, rejects, server_ms, whole.hexdigest())
