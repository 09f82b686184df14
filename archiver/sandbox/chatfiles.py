"""Attachments: their bytes, lengths and secrets follow from their uuid, so nothing has to be kept."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import TYPE_CHECKING

from archiver.sandbox import pictures
from archiver.sandbox.tokens import refusal
from archiver.sandbox.wire import SandboxAnswer, SandboxRequest

if TYPE_CHECKING:
    from archiver.sandbox.service import Service

DAY_MS = 86_400_000
FILE_NODE = 0x0242AC110300
HEADS = (
    ("", b""),
    (".jpg", pictures.JPEG),
    (".png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"),
    (".gif", pictures.GIF),
    (".amr", b"#!AMR\n"),
    (".mp4", b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00"),
    (".pdf", b"%PDF-1.7\n"),
    (".jpeg", pictures.JPEG_EXIF),
    (".webp", pictures.WEBP),
    (".xlsx", b"PK\x03\x04" + bytes(26) + b"xl/workbook.xml"),
    (".docx", b"PK\x03\x04" + bytes(26) + b"word/document.xml"),
    (".pptx", b"PK\x03\x04" + bytes(26) + b"ppt/presentation.xml"),
    (".gz", b"\x1f\x8b\x08\x00"),
)
"""How files of a name begin; an archive that looks at the bytes can tell them apart. Pictures are whole."""


def fetch_file(service: Service, request: SandboxRequest, rest: list[str]) -> SandboxAnswer:
    """`GET /chatfiles/{uuid}`. A token is checked where one is sent, and needed where files are restricted."""
    faults = service.faults
    if request.method != "GET" or len(rest) != 2:
        return service.not_found(request)
    if (faults.file_restricted or "authorization" in request.headers) and (refused := refusal(service, request)):
        return refused
    stamp = service.shelf.files.get(rest[1])
    if stamp is None or service.hits("file_missing", request):
        return service.error(request, 404, "entity_not_found", "file may not exists")
    if faults.file_kept_days and service.true_ms() > stamp + faults.file_kept_days * DAY_MS:
        return service.error(request, 404, "file_expired", f"file {rest[1]} is expired")
    uuid = int(rest[1].replace("-", ""), 16)
    secret = request.headers.get("share-secret") or request.query.get("share-secret")
    if faults.file_restricted and secret != file_secret(uuid):
        return service.error(request, 403, "forbidden_op", "share-secret is missing or wrong")
    if faults.file_redirect:
        where = faults.redirect_to or service.files_url
        return SandboxAnswer(302, headers={"Location": f"{where}/chatfiles/{rest[1]}"})
    return SandboxAnswer(200, file_content(uuid), "application/octet-stream")


def redirected_file(service: Service, request: SandboxRequest, segments: list[str]) -> SandboxAnswer:
    """The same file on the other host, which knows no token and no secret."""
    if len(segments) != 2 or segments[1] not in service.shelf.files:
        return service.error(request, 404, "entity_not_found", "file may not exists")
    return SandboxAnswer(200, file_content(int(segments[1].replace("-", ""), 16)), "application/octet-stream")


def file_secret(uuid: int) -> str:
    """The share-secret of a file."""
    return base64.urlsafe_b64encode(hashlib.sha256(b"secret %d" % uuid).digest()).decode().rstrip("=")


def file_length(url: str) -> int:
    """The number of bytes that the file at this url has."""
    return len(file_content(int(url.rpartition("/")[2].replace("-", ""), 16)))


def file_content(uuid: int) -> bytes:
    """The bytes of a file: 200 to 3,000 of them. The last byte of a seeded uuid says what kind of file it is."""
    block = hashlib.sha256(b"file %d" % uuid).digest()
    suffix, head = (
        HEADS[uuid & 0xFF] if (uuid & 0xFFFFFFFFFF00) == FILE_NODE and uuid & 0xFF < len(HEADS) else ("", b"")
    )
    if suffix == ".png":
        head = _png(block)
    size = max(200 + int.from_bytes(block[:2], "big") % 2800, len(head) + len(block))
    return head + (block * 94)[len(head) : size]  # no two files are the same


def _png(seed: bytes) -> bytes:
    """A picture that browsers show: 64 by 48 pixels, bands of three colours. What follows its end is not looked at."""
    colours = seed[0:3], seed[3:6], seed[6:9]
    rows = b"".join(b"\0" + colours[row // 16] * 64 for row in range(48))
    header = (64).to_bytes(4, "big") + (48).to_bytes(4, "big") + b"\x08\x02\0\0\0"
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return HEADS[2][1][:8] + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big") for kind, data in parts
    )
