"""`GET /chatmessages/{yyyyMMddHH}`: signed links, and the hourly files behind them on the other host."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import re
import zlib
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from archiver.sandbox.shelf import Stored, render
from archiver.sandbox.trouble import bomb, too_often
from archiver.sandbox.wire import SandboxAnswer, SandboxRequest

if TYPE_CHECKING:
    from archiver.sandbox.service import Service

HOUR_MS = 3_600_000
_LINE_ENDS = re.compile(rb"[\r\n]+")


class Hour(NamedTuple):
    """One hour of the provider's zone."""

    name: str
    lo_ms: int

    @property
    def hi_ms(self) -> int:
        return self.lo_ms + HOUR_MS


def link_hour(service: Service, request: SandboxRequest, name: str) -> SandboxAnswer:
    """A signed link to the file of an hour, or why there is none."""
    faults, now = service.faults, service.true_ms()
    often = faults.hour_requests_per_minute
    if often and service.recent.too_many("hour", request.started_ms, often, 60_000):
        return too_often(service, request, "429")
    hour = _hour(name, faults.hour_zone)
    if hour is None:
        return service.error(request, 400, "illegal_argument", "This chatmessage request is not supported")
    early = now < hour.hi_ms + faults.hour_delay_min * 60_000
    old = now > hour.hi_ms + faults.hour_retention_h * HOUR_MS
    unstored = name in faults.hour_unstored.split(",")
    if unstored or old or (early and not faults.hour_early_404):
        where = f"appkey: {service.org}#{service.app}, time: {name}"
        words = f"illegal arguments: {where}, maybe chat message history is expired or unstored"
        return service.error(request, 400, "illegal_argument", words)
    if early or not _rows(service, hour):
        where = f"appkey: {service.org}#{service.app}, time: {name}"
        words = f"Failed to find chat message history download url for {where}"
        return service.error(request, 404, "storage_object_not_found", words)
    path = f"/history/3D/{service.org}/{service.app}/{name}.gz"
    expires = int(now / 1000 + faults.hour_link_seconds)
    signed = (
        f"Expires={expires}&OSSAccessKeyId=LTAIsandbox&Signature={quote(_signature(service, path, expires), safe='')}"
    )
    parts = {"uri": service.uri(f"/chatmessages/{name}"), "data": [{"url": f"{service.files_url}{path}?{signed}"}]}
    return service.reply(request, parts, named=request.segments[0] != "app-id")


def fetch_hour(service: Service, request: SandboxRequest, segments: list[str]) -> SandboxAnswer:
    """The file behind a link. This host knows signatures only: a token is an error here."""
    if "authorization" in request.headers:
        return _xml(400, "InvalidArgument", "The Authorization header and a signature in the query exclude each other.")
    expires = request.query.get("Expires", "")
    if not expires.isdigit() or not hmac.compare_digest(
        request.query.get("Signature", "").encode(), _signature(service, request.path, int(expires)).encode()
    ):
        return _xml(403, "SignatureDoesNotMatch", "The signature we calculated does not match the one you provided.")
    if service.true_ms() >= int(expires) * 1000:
        return _xml(403, "AccessDenied", "Request has expired.")
    hour = _hour(segments[-1].removesuffix(".gz"), service.faults.hour_zone)
    rows = _rows(service, hour) if hour else []
    if not rows:
        return _xml(404, "NoSuchKey", "The specified key does not exist.")
    return _file(service, request, _text(service, rows))


def _hour(name: str, zone: str) -> Hour | None:
    sign, hours, minutes = zone[0], int(zone[1:3]), int(zone[-2:])
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if sign == "-" else 1)
    try:
        start = datetime.strptime(name, "%Y%m%d%H").replace(tzinfo=timezone(offset))
    except ValueError:
        return None
    return Hour(name, int(start.timestamp()) * 1000) if len(name) == 10 else None


def _rows(service: Service, hour: Hour) -> list[Stored]:
    """The records that the file holds now: a share of them is added only a day later."""
    now = service.true_ms()
    if service.faults.hour_by_ingest:
        rows = [row for row in service.shelf.all() if hour.lo_ms <= row.created_ms < hour.hi_ms]
    else:
        rows = service.shelf.within(hour.lo_ms, hour.hi_ms)
    late = int(service.faults.hour_growth * 2**32) if now < hour.hi_ms + 24 * HOUR_MS else 0
    return [row for row in rows if row.visible_ms <= now and zlib.crc32(row.uuid.to_bytes(16, "big")) >= late]


def _text(service: Service, rows: list[Stored]) -> bytes:
    faults = service.faults
    lines = [_line(service, row) for row in rows]
    if faults.hour_duplicates:
        lines += lines[::7]
    if faults.hour_bad_line:
        lines.insert(len(lines) // 2, b'{"chat_type":"chat","payload":{"bodies":[{"msg":"cut of')
    end = b"" if faults.hour_glued else b"\r\n" if faults.hour_crlf else b"\n"
    if faults.hour_blank_lines:
        lines = [part for line in lines for part in (line, b"")]
    return (b"\xef\xbb\xbf" if faults.hour_bom else b"") + b"".join(line + end for line in lines)


def _line(service: Service, row: Stored) -> bytes:
    """A record in the shape of the files. What is no record, or has this shape already, stands there as it is."""
    record, faults = row.record, service.faults
    if not record or "direction" in record:
        return _LINE_ENDS.sub(b" ", row.raw)
    people: dict[str, Any] = {name: record[name] for name in ("from", "to") if name in record}
    shaped: dict[str, Any] = {name: record[name] for name in ("chat_type", "payload") if name in record}
    if isinstance(shaped.get("payload"), dict):
        payload = {"ext": {}, **shaped["payload"], **people}
        if faults.hour_ext_absent and not payload["ext"]:
            del payload["ext"]
        shaped["payload"] = payload
    if faults.hour_outer_from:
        people = {"from": "admin", "to": f"{service.org}#{service.app}_{people.get('to')}@easemob.com"}
    shaped |= people
    shaped |= {name: record[name] for name in ("msg_id", "timestamp") if name in record}
    if faults.hour_string_timestamps and "timestamp" in shaped:
        shaped["timestamp"] = str(shaped["timestamp"])
    return render(shaped | {"direction": "outgoing"})


def _file(service: Service, request: SandboxRequest, text: bytes) -> SandboxAnswer:
    faults = service.faults
    size = max(1, -(-len(text) // 3)) if faults.hour_members else len(text)
    packed = b"".join(gzip.compress(text[at : at + size], 6, mtime=0) for at in range(0, len(text), size))
    if faults.hour_inflated:
        packed = text
    if service.hits("hour_bomb", request):
        packed = bomb(service)
    if service.hits("hour_cut", request):
        packed = packed[: len(packed) // 2]
    if service.hits("hour_trailing", request):
        packed += b"rubbish behind the end"
    if service.hits("hour_empty", request):
        packed = b""
    digest = hashlib.md5(packed, usedforsecurity=False).hexdigest().upper()
    changed = datetime.fromtimestamp(service.true_ms() // 1000, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"ETag": f'"{digest}"', "Last-Modified": changed, "x-oss-request-id": digest[:24]}
    if faults.hour_encoded and not faults.hour_inflated:
        headers["Content-Encoding"] = "gzip"
    return SandboxAnswer(200, packed, "text/plain" if faults.hour_inflated else "application/gzip", headers)


def _signature(service: Service, path: str, expires: int) -> str:
    words = f"GET\n\n\n{expires}\n{path}".encode()
    return base64.b64encode(hmac.digest(service.client_secret.encode(), words, "sha1")).decode()


def _xml(status: int, code: str, message: str) -> SandboxAnswer:
    inner = f"  <Code>{code}</Code>\n  <Message>{message}</Message>\n"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n{inner}</Error>\n'
    return SandboxAnswer(status, body.encode(), "application/xml")
