"""Files to records: every shape a file can take, and what must not pass for a whole one."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tempfile
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.errors import AnswerUnusable, WalkFailed
from archiver.model import Page
from archiver.sources.easemob import hour_files
from archiver.sources.easemob.hour_files import read_pages, salvage, verify

Put = Callable[[bytes], IO[bytes]]


@pytest.fixture
def put() -> Iterator[Put]:
    """A temporary file with these bytes, as a download leaves it."""
    with tempfile.TemporaryFile() as file:

        def fill(data: bytes) -> IO[bytes]:
            file.seek(0)
            file.truncate()
            file.write(data)
            return file

        yield fill


def line(number: int | str, **more: Any) -> bytes:
    payload = {"ext": {}, "bodies": [{"type": "txt", "msg": f"嗨 {number}"}], "from": "ada", "to": "hugo"}
    record = {"chat_type": "chat", "payload": payload, "msg_id": str(number), "timestamp": 1_789_000_000_000}
    return json.dumps(record | more, ensure_ascii=False, separators=(",", ":")).encode()


def read(file: IO[bytes], page_size: int = 1000, **more: Any) -> list[Page]:
    verify(file, framed=True)
    return list(read_pages(file, page_size=page_size, server_ms=7, **more))


def ids(pages: list[Page]) -> list[str]:
    return [message.msg_id for page in pages for message in page.messages]


def rejects(pages: list[Page]) -> list[tuple[bytes, str]]:
    return [(reject.raw, reject.reason) for page in pages for reject in page.rejects]


LINES = [line(number) for number in range(10)]
TEXT = b"\n".join(LINES) + b"\n"
ALL = [str(number) for number in range(10)]


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(TEXT),
        b"".join(gzip.compress(TEXT[at : at + 100]) for at in range(0, len(TEXT), 100)),
        gzip.compress(TEXT) + gzip.compress(b"") + bytes(5000),
        gzip.compress(gzip.compress(TEXT)),
        gzip.compress(TEXT.removesuffix(b"\n")),
        gzip.compress(TEXT.replace(b"\n", b"\r\n")),
        gzip.compress(b"\xef\xbb\xbf" + TEXT),
        gzip.compress(b"\n\r\n \t\n" + TEXT.replace(b"\n", b"\n\n  \r\n")),
        gzip.compress(b"".join(LINES)),
        gzip.compress(b"".join(LINES[:5]) + b"\n" + b" ".join(LINES[5:])),
        gzip.compress(TEXT.replace(b"\n", b"  \t\n ")),
        TEXT,
        b"\xef\xbb\xbf" + TEXT.replace(b"\n", b"\r\n"),
        b"".join(LINES),
    ],
    ids=[
        *("plain", "members", "padded", "packed_twice", "no_last_newline", "crlf", "bom", "blank"),
        *("glued", "half_glued", "spaces", "inflated", "inflated_bom_crlf", "inflated_glued"),
    ],
)
def test_every_shape_gives_the_same_records(put: Put, data: bytes) -> None:
    pages = read(put(data), page_size=4)
    assert ids(pages) == ALL
    assert [message.raw for page in pages for message in page.messages] == LINES
    assert [page.received for page in pages] == [4, 4, 2]
    assert [message.position for page in pages for message in page.messages] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert [page.sha256 for page in pages] == [
        hashlib.sha256(b"".join(LINES[at : at + 4])).hexdigest() for at in (0, 4, 8)
    ]
    assert {page.server_ms for page in pages} == {7}


def test_a_packed_file_without_records_is_an_empty_hour(put: Put) -> None:
    assert read(put(gzip.compress(b""))) == []
    assert read(put(gzip.compress(b"\n\r\n"))) == []


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_cut_file_is_an_error(put: Put, keep: float) -> None:
    packed = gzip.compress(TEXT)
    with pytest.raises(AnswerUnusable, match="cut off"):
        read(put(packed[: int(len(packed) * keep)]))


def test_every_missing_byte_is_noticed(put: Put) -> None:
    packed = gzip.compress(TEXT)
    for size in range(1, len(packed)):
        with pytest.raises(AnswerUnusable):
            read(put(packed[:size]))


def test_a_cut_second_member_is_an_error(put: Put) -> None:
    packed = gzip.compress(TEXT) + gzip.compress(TEXT)
    with pytest.raises(AnswerUnusable, match="cut off"):
        read(put(packed[:-5]))


@pytest.mark.parametrize("tail", [b"x", b"\0\0garbage", b"<Error>", TEXT])
def test_garbage_behind_the_last_member_is_an_error(put: Put, tail: bytes) -> None:
    with pytest.raises(AnswerUnusable, match="damaged"):
        read(put(gzip.compress(TEXT) + tail))


def test_a_damaged_file_is_an_error(put: Put) -> None:
    packed = bytearray(gzip.compress(TEXT))
    for at in (len(packed) // 2, len(packed) - 6, len(packed) - 1):  # the data, the checksum, the size
        broken = packed.copy()
        broken[at] ^= 0x55
        with pytest.raises(AnswerUnusable):
            read(put(bytes(broken)))


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"<html><body>Login</body></html>", b'<?xml version="1.0"?><Error/>', b"\x1f", b"[]", b"null"],
)
def test_what_is_not_packed_must_look_like_records(put: Put, data: bytes) -> None:
    with pytest.raises(AnswerUnusable, match="neither packed nor plainly whole"):
        verify(put(data), framed=True)


def test_an_error_envelope_is_no_hour(put: Put) -> None:
    with pytest.raises(AnswerUnusable, match="no record in it can be read"):
        read(put(b'{"error":"web_application","timestamp":1789000000000}'))


def test_an_unpacked_file_without_a_known_end_is_not_believed(put: Put) -> None:
    with pytest.raises(AnswerUnusable, match="neither packed nor plainly whole"):
        verify(put(TEXT), framed=False)
    verify(put(gzip.compress(TEXT)), framed=False)


def test_several_members_without_a_known_end_are_not_believed(put: Put) -> None:
    one, two = gzip.compress(TEXT), gzip.compress(b"")
    verify(put(one + two), framed=True)
    verify(put(one + bytes(600_000)), framed=False)
    for data in (one + two, one + bytes(600_000) + two, two + one):
        with pytest.raises(AnswerUnusable, match="several members"):
            verify(put(data), framed=False)


@pytest.mark.parametrize("cut", [1, 2, 30, len(LINES[-1]) - 1])
def test_an_unpacked_file_that_ends_within_a_record_is_an_error(put: Put, cut: int) -> None:
    with pytest.raises(AnswerUnusable, match="ends within a record"):
        read(put(TEXT.removesuffix(b"\n")[:-cut]))


@pytest.mark.parametrize(
    "bad",
    [
        b'{"chat_type":"chat","payload":{"bodies":[{"msg":"cut of',
        b"hello world, no record",
        b'{"a":1,}',
        b'{"msg_id":"1"}}',
        b"}{",
        b'{"a":} {"b":}',
        b"\x00\x00",
        b"\xef\xbb\xbf{}",
    ],
)
def test_a_bad_line_is_one_reject_with_its_bytes(put: Put, bad: bytes) -> None:
    text = b"\r\n".join([*LINES[:5], bad, *LINES[5:]])
    pages = read(put(gzip.compress(text)))
    assert ids(pages) == ALL
    found = pages[0].rejects
    assert b"".join(reject.raw for reject in found) == bad
    assert len(found) == (2 if bad == b'{"msg_id":"1"}}' else 1)
    assert found[0].position == 5


def test_a_scalar_is_a_record_that_is_none(put: Put) -> None:
    pages = read(put(gzip.compress(TEXT + b'123\n"text"\n[{"msg_id":"1"}]\nnull\n')))
    assert {reason for _, reason in rejects(pages)} == {"the record is not an object"}
    assert len(rejects(pages)) == 4


def test_a_line_that_is_not_utf8_keeps_its_bytes(put: Put) -> None:
    bad = '{"msg_id":"1","timestamp":1,"payload":{"bodies":[{"msg":"你好"}]}}'.encode("gb18030")
    surrogate = b'{"msg_id":"2","timestamp":1,"from":"\xed\xa0\x80"}'
    pages = read(put(gzip.compress(LINES[0] + b"\n" + bad + b"\r\n" + surrogate + b"\n" + LINES[1])))
    assert rejects(pages) == [(bad, "not UTF-8"), (surrogate, "not UTF-8")]
    assert ids(pages) == ["0", "1"]


def test_good_records_on_a_bad_line_are_kept(put: Put) -> None:
    glued = LINES[0] + LINES[1] + b'{"a":nothing}' + LINES[2] + b'{"cut":"of'
    pages = read(put(gzip.compress(glued + b"\n" + LINES[3])))
    assert ids(pages) == ["0", "1", "2", "3"]
    assert rejects(pages) == [(b'{"a":nothing}', "not valid JSON"), (b'{"cut":"of', "not valid JSON")]


def test_records_beyond_the_library_reject_themselves_alone(put: Put) -> None:
    deep = b'{"msg_id":"1","timestamp":1,"ext":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    long = b'{"msg_id":"1","timestamp":' + b"1" * 5000 + b"}"
    pages = read(put(gzip.compress(LINES[0] + b"\n" + deep + b"\n" + long + b"\n" + LINES[1])))
    assert ids(pages) == ["0", "1"]
    assert rejects(pages) == [(deep, "nested too deep"), (long, "a number too long to read")]


def test_braces_in_texts_are_no_borders(put: Put) -> None:
    odd = [line(number, **{"from": '}{"msg_id":"x"}{' * 5}) for number in range(3000)]
    for end in (b"", b"\n"):
        pages = read(put(gzip.compress(end.join(odd))))
        assert [message.raw for page in pages for message in page.messages] == odd


def test_a_text_without_newlines_may_be_longer_than_a_line(put: Put) -> None:
    many = [line(number, ext="x" * 2000) for number in range(1500)]
    data = put(gzip.compress(b"".join(many), 1))
    pages = read(data, line_limit=1 << 21)
    assert len(b"".join(many)) > 1 << 21
    assert [message.raw for page in pages for message in page.messages] == many


def test_a_long_record_is_read_and_a_longer_one_fails_the_file(put: Put) -> None:
    long = line("long", ext="你" * 1_000_000)
    file = put(gzip.compress(TEXT + long + b"\n" + LINES[0], 1))
    pages = read(file)
    assert ids(pages) == [*ALL, "long", "0"]
    with pytest.raises(WalkFailed, match="a record of the file is larger than 2000000 bytes"):
        read(file, line_limit=2_000_000)


@pytest.mark.full
def test_large_records_make_small_pages(put: Put) -> None:
    large = b"\n".join(line(number, ext="x" * 3_000_000) for number in range(7))
    assert [page.received for page in read(put(gzip.compress(large, 1)))] == [3, 3, 1]


def test_string_timestamps_and_outer_names(put: Put) -> None:
    text = line(1, timestamp="1789000000123", **{"from": "admin", "to": "org#app_hugo@easemob.com"})
    message = read(put(gzip.compress(text)))[0].messages[0]
    assert (message.timestamp_ms, message.sender, message.recipient) == (1_789_000_000_123, "ada", "hugo")


def test_a_bomb_is_stopped_at_its_limit(put: Put) -> None:
    bomb = gzip.compress(b" " * (1 << 20)) * 64
    file = put(bomb)
    told: list[int] = []
    tracemalloc.start()
    with pytest.raises(WalkFailed, match="inflates to more than"):
        verify(file, framed=True, limit=32 << 20, progress=told.append)
    with pytest.raises(WalkFailed, match="a record of the file is larger"):
        list(read_pages(file, page_size=10, server_ms=None, line_limit=1 << 22))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 << 20
    verify(file, framed=True, progress=told.append)
    assert told == [64 << 20]


@pytest.mark.full
def test_memory_does_not_grow_with_the_file(put: Put) -> None:
    text = b"\n".join(line(number, ext="x" * 5000) for number in range(4000))
    file = put(gzip.compress(text, 1))
    tracemalloc.start()
    verify(file, framed=True)
    received = sum(page.received for page in read_pages(file, page_size=50, server_ms=None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert received == 4000
    assert peak < 4 << 20 < len(text) / 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
records = st.dictionaries(st.text(), json_values, max_size=4).map(lambda value: value | {"msg_id": "1"})
gaps = st.sampled_from([b"", b"\n", b"\r\n", b" ", b"\n\n", b"\t\r\n \n"])


@pytest.mark.full
@settings(max_examples=50)
@given(
    st.lists(st.tuples(records, gaps, st.booleans())),
    st.integers(1, 4),
    st.sampled_from([hour_files._BLOCK, 1, 7, 64]),
    st.booleans(),
)
def test_any_records_come_out_verbatim(
    made: list[tuple[dict[str, Any], bytes, bool]], page_size: int, block: int, glue: bool
) -> None:
    """Whatever lies between them, and wherever the blocks of reading end."""
    raws = [json.dumps(record, ensure_ascii=ascii_only).encode(errors="replace") for record, _, ascii_only in made]
    text = b"".join(raw + gap for raw, (_, gap, _) in zip(raws, made, strict=True))
    file = io.BytesIO(zlib.compress(text, wbits=31))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hour_files, "_BLOCK", block)
        patch.setattr(hour_files, "_GLUED", 16 if glue else hour_files._GLUED)
        verify(file, framed=True)
        pages = list(read_pages(file, page_size=page_size, server_ms=None))
    found = sorted(
        (record.position, number, record.raw) for number, page in enumerate(pages) for record in page.rejects
    )
    assert [raw for _, _, raw in sorted(found, key=lambda each: (each[1], each[0]))] == raws
    assert all(page.received <= page_size for page in pages)


def lines_of(count: int) -> list[bytes]:
    return [json.dumps({"msg_id": f"m{n}", "timestamp": 1_790_000_000_000 + n}).encode() for n in range(count)]


@pytest.mark.full
def test_what_can_be_read_of_a_damaged_file_is_whole_records_and_none_that_may_have_been_changed() -> None:
    lines = lines_of(2000)
    text = b"\n".join(lines)
    one, other = gzip.compress(text, mtime=0), gzip.compress(b"\n" + b"\n".join(lines[:5]), mtime=0)
    assert len(list(salvage(one))) == 2000
    assert len(list(salvage(one + b"rubbish"))) == 2000
    for before in (b"\xef\xbb\xbf", b"\r\n", b"%x\r\n" % len(one), b"HTTP/1.1 200 OK\r\n\r\n"):
        assert len(list(salvage(before + one + b"\r\n0\r\n\r\n"))) == 2000
    assert len(list(salvage(one + other[:-9]))) >= 2000, "the first member is whole, of the second what comes"
    flipped = bytearray(one)
    flipped[len(one) - 6] ^= 1  # within the checksum: every record may be the wrong one
    assert list(salvage(bytes(flipped))) == []
    assert list(salvage(b"")) == list(salvage(b"\x1f\x8b")) == list(salvage(b"<html>")) == []
    for cut in (10, 100, len(one) // 2, len(one) - 1):
        read = [each.raw for each in salvage(one[:cut])]
        assert read == lines[: len(read)]
    assert [each.raw for each in salvage(text[:200])] == lines[: len(text[:200].split(b"\n")) - 1]
    bomb = gzip.compress(bytes(200 << 20), mtime=0)
    assert list(salvage(bomb)) == []
