"""`GET /chatmessages`: the listing, page by page, with the ways in which a page can be wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from archiver.sandbox.cursors import Position, decode, encode
from archiver.sandbox.ql import QueryParse, QueryRange, parse
from archiver.sandbox.shelf import Index, Stored
from archiver.sandbox.wire import SandboxAnswer, SandboxRequest

if TYPE_CHECKING:
    from archiver.sandbox.service import Service

DEFAULT_LIMIT, MAX_LIMIT = 10, 1000
_FAR = 2**62


def list_messages(service: Service, request: SandboxRequest) -> SandboxAnswer:
    try:
        asked = parse(request.query.get("ql", ""), lower_only=service.faults.lower_only)
    except QueryParse as problem:
        return service.error(request, 400, "query_parse", str(problem))
    if service.faults.always_descending:
        asked = QueryRange(asked.index, True, asked.low, asked.high)
    sent = request.query.get("cursor", "")
    if sent and service.hits("dead_cursor", request):
        return service.error(request, service.faults.dead_cursor_status, "illegal_argument", "cursor is invalid")
    if sent and service.hits("lost_cursor", request):
        sent = ""
    after = decode(sent, asked.hash) if sent else None
    rows, cursor = _read(service, request, asked, after)
    poison = set(filter(None, service.faults.poison.split(",")))
    if poison and any(row.msg_id in poison for row in rows):
        return service.error(request, 500, "web_application", "internal error")
    if cursor and sent and service.hits("loop_cursor", request):
        cursor = sent
    return _page(service, request, _spoilt(service, request, rows), cursor)


def _limit(service: Service, request: SandboxRequest) -> int:
    if service.faults.limit_ignored > 0:
        return service.faults.limit_ignored
    try:
        limit = int(request.query.get("limit", DEFAULT_LIMIT))
    except ValueError:
        return DEFAULT_LIMIT
    return min(limit, MAX_LIMIT) if limit > 0 else DEFAULT_LIMIT


def _read(
    service: Service, request: SandboxRequest, asked: QueryRange, after: Position | None
) -> tuple[list[Stored], str]:
    """The rows behind `after`, and the cursor of the next page: there is one exactly where the page is full."""
    limit = _limit(service, request)
    full = limit
    if service.hits("empty_pages", request):
        full = 0
    elif service.hits("short_pages", request):
        full = limit // 2
    with service.shelf.lock:
        rows, positions, spent = _positions(service, asked, after)
        page = _visible(rows, positions, full, service.true_ms())
    cut = service.faults.truncate_after
    if cut and spent + len(page) >= cut:
        return page[: max(0, cut - spent)], ""
    if len(page) < full:
        return page, ""
    again = not page or service.hits("repeat_pages", request)
    return page, _cursor(service, asked, after if again else _behind(asked, page[-1]), again)


def _positions(service: Service, asked: QueryRange, after: Position | None) -> tuple[Sequence[Stored], range, int]:
    """The rows of the index, where in it the slice goes on behind `after`, and how many of its rows came before."""
    index = service.shelf.by_uuid if asked.index == "uuid" else service.shelf.by_time
    lo, hi = asked.lo_ms, asked.hi_ms
    inside = index.between(None if lo is None else (lo, 0, 0), None if hi is None else (hi, 0, 0))
    if service.faults.order_ignored:
        index = Index(lambda row: row.scrambled_key, index.rows[inside.start : inside.stop])
        inside = index.between(None, None)
    if after is None or abs(after.timestamp_ms or 0) == _FAR:
        rest = inside
    elif asked.descending:
        rest = range(inside.start, min(inside.stop, index.between(_key(index, after), None).start))
    else:
        rest = range(max(inside.start, index.between(None, _next(_key(index, after))).stop), inside.stop)
    return index.rows, rest[::-1] if asked.descending else rest, len(inside) - len(rest)


def _visible(rows: Sequence[Stored], positions: range, limit: int, now_ms: int) -> list[Stored]:
    page: list[Stored] = []
    for position in positions:
        if len(page) >= limit:
            break
        if rows[position].visible_ms <= now_ms:
            page.append(rows[position])
    return page


def _key(index: Index, after: Position) -> tuple[int, int, int]:
    """Where a row with this position stands in the index, whether it exists or not."""
    return index.key(Stored(after.timestamp_ms or 0, 0, b"", {}, after.uuid))


def _next(key: tuple[int, int, int]) -> tuple[int, int, int]:
    return key[0], key[1], key[2] + 1


def _behind(asked: QueryRange, row: Stored) -> Position:
    return Position(None if asked.index == "uuid" else row.timestamp_ms, row.uuid)


def _cursor(service: Service, asked: QueryRange, position: Position | None, again: bool) -> str:
    if position is None:
        position = Position(_FAR if asked.descending else -_FAR, 0)
    return encode(asked.hash, position, service.dice.between(1, 2**31) if again else 0)


def _spoilt(service: Service, request: SandboxRequest, page: list[Stored]) -> list[Stored]:
    """The page with rows too many or too few, where a fault says so."""
    if len(page) > 2 and service.hits("lost_rows", request):
        gone = service.dice.between(1, len(page) - 2)
        page = page[:gone] + page[gone + 1 :]
    if page and service.hits("duplicate_rows", request):
        page = [*page, *page[: max(1, len(page) // 5)]]
    if page and service.hits("outside_rows", request):
        stamps = [row.timestamp_ms for row in page]
        others = [row for row in service.shelf.all() if row.visible_ms <= service.true_ms()]
        before = [row for row in others if row.timestamp_ms < min(stamps)][-2:]
        behind = [row for row in others if row.timestamp_ms > max(stamps)][:2]
        page = [*before, *page, *behind]
    return page


def _page(service: Service, request: SandboxRequest, rows: list[Stored], cursor: str) -> SandboxAnswer:
    """The envelope in the provider's order of keys, around the records as they were rendered once."""
    timestamp, duration = service.times(request)
    head = {
        "action": "get",
        "application": service.application,
        "params": {name: [value] for name, value in request.query.items()},
        "path": "/chatmessages",
        "uri": service.uri("/chatmessages"),
    }
    tail: dict[str, object] = {} if service.faults.timestamp_missing else {"timestamp": timestamp, "duration": duration}
    tail |= {"organization": service.org, "applicationName": service.app}
    if cursor or service.faults.last_cursor != "absent":
        tail["cursor"] = cursor or (None if service.faults.last_cursor == "null" else "")
    tail["count"] = len(rows)
    parts = [json.dumps(head, separators=(",", ":"), ensure_ascii=True).encode()[:-1], b","]
    if not service.hits("empty_entities_missing", request):
        parts += [b'"entities":[', b",".join(row.raw for row in rows), b"],"]
    parts.append(json.dumps(tail, separators=(",", ":")).encode()[1:])
    return SandboxAnswer(200, b"".join(parts))
