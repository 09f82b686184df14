"""A record read by its types is the message that comes of looking at it key by key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from archiver.sources.easemob.decode import decode_piece, decode_usual
from archiver.sources.easemob.slices import read_whole

NAMES = st.sampled_from(["ann", "Bob", "", "İ", "退款", "x" * 128, "x" * 129, "é" * 100]) | st.text(max_size=5)
ODD = st.sampled_from([0, -0.0, 1.0, 1e3, 1.5, True, [], {}, ["a"], {"a": 1}, 2**63, -1, "5", "\0", "\ud800", "😀"])
MAYBE_NAME = NAMES | st.none() | ODD
STAMPS = st.integers(0, 2**63 - 1) | st.sampled_from([2**63, -1, 1.0, 1e3, "1790000000000", True, None])
FILES = st.fixed_dictionaries(
    {"type": st.sampled_from(["img", "audio", "video", "file", "odd"]) | ODD},
    optional={
        **dict.fromkeys(
            ["url", "filename", "secret", "thumb", "thumb_secret", "addr", "msg"], st.text(max_size=3) | ODD
        ),
        **dict.fromkeys(["file_length", "length", "lat", "lng"], st.integers(0, 9) | st.just(2**53 + 1) | ODD),
        "size": st.dictionaries(st.sampled_from(["width", "height", "depth"]), st.integers(0, 9) | ODD) | ODD,
        "subType": st.just("sub_combine"),
    },
)
BODIES = FILES | st.sampled_from(
    [
        {"type": "txt", "msg": "hello"},
        {"msg": "\\u0000 is no NUL", "type": "txt"},
        {"type": "txt", "msg": "NUL \0"},
        {"type": "img", "url": "https://h/a", "filename": "a.jpg", "file_length": 5, "size": {"width": 1, "height": 2}},
        {"type": "loc", "lat": 39.9, "lng": 116.4, "addr": "x"},
        {"type": "cmd", "action": "x", "more": [1, {"a": None}]},
        "text",
        None,
    ]
)
CHANGES = st.lists(
    st.tuples(st.just("bodies"), st.lists(BODIES, max_size=3) | ODD)
    | st.tuples(st.sampled_from(["payload.from", "payload.to", "from", "to", "direction", "msg_id"]), MAYBE_NAME)
    | st.tuples(st.just("payload.ext"), st.none() | ODD | st.dictionaries(st.text(max_size=3), ODD, max_size=3))
    | st.tuples(st.just("timestamp"), STAMPS)
    | st.tuples(st.just("chat_type"), st.sampled_from(["groupchat", "chatroom", "odd"]) | MAYBE_NAME)
    | st.tuples(st.sampled_from(["uuid", "payload", "payload.more"]), ODD),
    max_size=4,
)
USUAL = {"msg_id": "1", "timestamp": 1_790_000_000_000, "from": "ann", "to": "bob", "chat_type": "chat"}
BYTES = json.dumps({**USUAL, "uuid": "é", "payload": {"bodies": [{"type": "txt", "msg": "你好"}], "x": [1.5]}}).encode()
TOKENS = ["01", "-", "1.", "1e", "\\q", "\\u12", "\t", "\x01", "tru", "NaN", '"', "\\", "{", "]", ",", "é", "\\ud800"]


def agree(raw: bytes) -> bool:
    """False where it is not the usual."""
    usual = decode_usual(raw, 7)
    if usual is None:
        return False
    by_key = read_whole(raw)
    assert by_key is not None
    assert usual == decode_piece(by_key, 7)
    return True


@pytest.mark.full
@settings(max_examples=1000)
@given(CHANGES, st.booleans())
def test_by_its_types_it_is_the_same(changes: list[tuple[str, Any]], escaped: bool) -> None:
    record = {**USUAL, **{key: value for key, value in changes if "." not in key and key != "bodies"}}
    inner = {key.removeprefix("payload."): value for key, value in changes if "." in key or key == "bodies"}
    record.setdefault("payload", {"bodies": [{"type": "txt", "msg": "你好"}], **inner})
    try:
        raw = json.dumps(record, ensure_ascii=escaped).encode()
    except UnicodeEncodeError:
        assume(False)
    event(str(agree(raw)))


@pytest.mark.full
@settings(max_examples=1000)
@given(st.integers(0, len(BYTES)), st.integers(0, 3), st.sampled_from(TOKENS).map(str.encode) | st.binary(max_size=2))
def test_what_is_not_looked_at_is_json_in_utf8_all_the_same(at: int, instead_of: int, put: bytes) -> None:
    raw = BYTES[:at] + put + BYTES[at + instead_of :]
    if raw.startswith(b"{") and raw.endswith(b"}"):  # as they are cut out
        event(str(agree(raw)))


@pytest.mark.parametrize(
    "members",
    [
        '"msg_id":"2"',
        '"timestamp":-0',
        '"timestamp":9223372036854775807',
        '"from":null',
        '"to":"x","to":null',
        '"payload":{"bodies":[]}',
        '"payload":{"bodies":[{"type":[]},{"type":{}}]}',
        '"payload":{"bodies":[],"bodies":[1]},"chat_type":"groupchat"',
        '"deep":' + "[" * 300 + "]" * 300,
        '"large":' + "1" * 5000 + ',"larger":1e999',
    ],
)
def test_a_key_that_comes_twice_counts_as_it_came_last(members: str) -> None:
    assert agree(BYTES[:-1] + b"," + members.encode() + b"}") != members.startswith(('"deep"', '"large"'))


def test_the_usual_is_usual() -> None:
    assert agree(BYTES)
    assert not agree(BYTES.replace("é".encode("unicode_escape"), b"e").replace(b'"uuid": "', b'"uuid": "\xff'))
