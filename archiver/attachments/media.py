"""What bytes are, by their first few: a file's name and what a server calls it are anybody's claim."""

from __future__ import annotations

import codecs

HEAD_BYTES = 4096
UNKNOWN = "application/octet-stream"

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"#!AMR-WB\n", "audio/amr-wb"),
    (0, b"#!AMR\n", "audio/amr"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"#!SILK_V3", "audio/silk"),
    (0, b"\x02#!SILK_V3", "audio/silk"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),  # Office before 2007
    (0, b"\x7fELF", "application/x-elf"),
    (0, b"{\\rtf", "application/rtf"),
)
_FORMS = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"avif": "image/avif",
    b"3gp4": "video/3gpp",
    b"3gp5": "video/3gpp",
    b"3gp6": "video/3gpp",
}
_OFFICE = "application/vnd.openxmlformats-officedocument."
_IN_ZIP = (
    (b"word/", _OFFICE + "wordprocessingml.document"),
    (b"xl/", _OFFICE + "spreadsheetml.sheet"),
    (b"ppt/", _OFFICE + "presentationml.presentation"),
    (b"META-INF/MANIFEST.MF", "application/java-archive"),
)


def media_type(head: bytes) -> str:
    """The media type of a file that begins with `head`, its first `HEAD_BYTES`; UNKNOWN where nothing fits."""
    for at, magic, name in _MAGIC:
        if head.startswith(magic, at):
            return name
    if head[:4] == b"RIFF" and head[8:12] in _FORMS:
        return _FORMS[head[8:12]]
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _packed(head)
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and len(head) >= 26:
        return "image/bmp"
    if len(head) > 3 and head[0] == 0xFF and _is_audio_frame(head[1], head[2]):
        return "audio/aac" if head[1] & 0x06 == 0 else "audio/mpeg"
    return "text/plain" if _is_text(head) else UNKNOWN


def _packed(head: bytes) -> str:
    """Office documents and others are zip files; OpenDocument and EPUB name themselves in their first entry."""
    if head[30:38] == b"mimetype" and head[38:50] == b"application/":
        name = head[38:100].split(b"PK", 1)[0]
        if name.isascii() and all(0x21 <= byte < 0x7F for byte in name):
            return name.decode()
    return next((name for part, name in _IN_ZIP if part in head), "application/zip")


def _is_audio_frame(second: int, third: int) -> bool:
    """A frame's sync word. AAC (ADTS): layer bits 0; MPEG audio: neither layer nor bit rate may be a reserved one."""
    if second & 0xF6 == 0xF0:
        return True
    return second & 0xE0 == 0xE0 and second & 0x18 != 0x08 and second & 0x06 != 0 and third & 0xF0 != 0xF0


def _is_text(head: bytes) -> bool:
    """UTF-8 without control characters but those of layout; the last character may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and not any(ord(char) < 32 and char not in "\t\n\r\f\x1b" for char in text)
