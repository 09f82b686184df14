"""The media type is that of the bytes, whatever a name or a server says."""

from __future__ import annotations

import gzip
import io
import random
import wave
import zipfile

import pytest

from archiver.attachments.media import UNKNOWN, media_type


def packed(*names: str) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as file:
        for name in names:
            file.writestr(name, "application/epub+zip" if name == "mimetype" else "<xml/>")
    return into.getvalue()


def sound() -> bytes:
    into = io.BytesIO()
    with wave.open(into, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(100))
    return into.getvalue()


OFFICE = "application/vnd.openxmlformats-officedocument."
FILES = [
    (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image/png"),
    (b"GIF89a\x01\x00\x01\x00", "image/gif"),
    (b"GIF87a\x01\x00", "image/gif"),
    (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"),
    (b"BM\x36\x00\x0c\x00\x00\x00\x00\x00\x36\x00\x00\x00" + bytes(20), "image/bmp"),
    (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", "video/mp4"),
    (b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
    (b"\x00\x00\x00\x14ftypqt  ", "video/quicktime"),
    (b"\x00\x00\x00\x20ftypM4A \x00\x00", "audio/mp4"),
    (b"\x00\x00\x00\x18ftypheic", "image/heic"),
    (b"\x00\x00\x00\x18ftyp3gp5", "video/3gpp"),
    (b"#!AMR\n\x3c\x91", "audio/amr"),
    (b"#!AMR-WB\n\x04", "audio/amr-wb"),
    (b"ID3\x04\x00\x00\x00\x00\x00\x23", "audio/mpeg"),
    (b"\xff\xfb\x90\x64\x00", "audio/mpeg"),
    (b"\xff\xf1\x50\x80\x02", "audio/aac"),
    (b"\xff\xf9\x50\x80\x02", "audio/aac"),
    (sound(), "audio/wav"),
    (b"OggS\x00\x02" + bytes(10), "audio/ogg"),
    (b"%PDF-1.7\n", "application/pdf"),
    (packed("a.txt"), "application/zip"),
    (packed(), "application/zip"),
    (packed("[Content_Types].xml", "word/document.xml"), OFFICE + "wordprocessingml.document"),
    (packed("[Content_Types].xml", "xl/workbook.xml"), OFFICE + "spreadsheetml.sheet"),
    (packed("[Content_Types].xml", "ppt/slides/1.xml"), OFFICE + "presentationml.presentation"),
    (packed("mimetype", "META-INF/container.xml"), "application/epub+zip"),
    (gzip.compress(b"hello"), "application/gzip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(50), "application/x-ole-storage"),
    (b"\x1aE\xdf\xa3\x01", "video/webm"),
    ("你好, world\n".encode(), "text/plain"),
    ("你好".encode()[:5], "text/plain"),
    (b"<html><script>alert(1)</script>", "text/plain"),
    (b"", UNKNOWN),
    (b"\x00\x01\x02", UNKNOWN),
    (b"\xff\xff\xff\xff", UNKNOWN),
    (b"BM and so on, a sentence", "text/plain"),
    (b"RIFF", "text/plain"),
    (b"\xff\xd8", UNKNOWN),
    (b"a\x00b", UNKNOWN),
    ("ä".encode("latin-1") + b"bc", UNKNOWN),
]


@pytest.mark.parametrize(("head", "wanted"), FILES, ids=[f"{n} {kind}" for n, (_, kind) in enumerate(FILES)])
def test_the_type_of_bytes(head: bytes, wanted: str) -> None:
    assert media_type(head) == wanted


def test_any_bytes_have_a_plain_type() -> None:
    draw = random.Random(1)
    heads = [head for head, _ in FILES]
    for _ in range(20_000):
        head = bytearray(draw.choice(heads)[:64] + draw.randbytes(draw.randrange(40)))
        if head:
            head[draw.randrange(len(head))] = draw.randrange(256)
        found = media_type(bytes(head))
        assert found.isascii()
        assert found.isprintable()
        assert " " not in found
        assert len(found) < 100
