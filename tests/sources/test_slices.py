"""Cutting an answer into records: whoever reads them, the values are the standard library's and the bytes verbatim."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.errors import AnswerUnusable
from archiver.model import Json
from archiver.sources.easemob.cursor import make_page
from archiver.sources.easemob.slices import Slice, read_piece, read_whole, split_envelope

SPACE = st.sampled_from(["", "", " ", "\n", "\t\r\n  "])
TEXTS = st.text(st.characters(codec="utf-8"))  # and escapes of their own, by the choice of ensure_ascii
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXTS
    | st.sampled_from(["\ud800", "\udc00\ud800", "\0", "entities"])
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=12)
ODD = st.sampled_from(
    [
        '{"a":1,"b":2,"a":{"c":[]}}',
        "-0",
        "1E400",
        "123456789012345678901234567890",
        "1" * 5000,
        "[1e-400,0.1,9007199254740993.0,5e-324,1.7976931348623157e308,1e16,-0.0]",
        '"\\ud83d\\ude00\\ud83d"',
        "[" * 255 + "]" * 255,
        "[" * 257 + "]" * 257,
        '{"entities":[{"a":1}]}',
        "{ }",
    ]
)


@st.composite
def records(draw: st.DrawFn) -> str:
    if draw(st.integers(0, 4)) == 0:
        return draw(ODD)
    spaced = (f"{draw(SPACE)},{draw(SPACE)}", f"{draw(SPACE)}:{draw(SPACE)}")
    return json.dumps(draw(VALUES), ensure_ascii=True, separators=spaced)


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, list[str]]:
    listed = draw(st.lists(records(), max_size=5))
    space = draw(SPACE)
    members = [f'"count"{space}:{len(listed)}', f'"entities":{space}[{space}{f"{space},".join(listed)}{space}]']
    members += draw(st.lists(st.sampled_from(['"cursor":"x"', '"params":{"ql":["NaN"]}', '"nan":NaN']), max_size=2))
    return f"{space}{{{space}{f',{space}'.join(draw(st.permutations(members)))}{space}}}{space}", listed


def cut(body: str) -> tuple[Json, list[Slice]]:
    """Envelope and records of an answer."""
    envelope, pieces = split_envelope(body.encode(), "entities")
    assert pieces is not None
    return envelope, [read_piece(piece) if isinstance(piece, bytes) else piece for piece in pieces]


def told(piece: Slice) -> tuple[bytes, str]:
    return piece.raw, piece.problem or repr(piece.value)  # repr: NaN equals NaN, 1 is not 1.0, and keys have an order


def of_the_library(text: str) -> tuple[bytes, str]:
    if "[" * 257 in text:
        return text.encode(), "nested too deep"
    try:
        return text.encode(), repr(json.loads(text))
    except ValueError:
        return text.encode(), "a number too long to read"


@pytest.mark.full
@settings(max_examples=400)
@given(answers())
def test_an_answer_is_cut_as_it_came(answer: tuple[str, list[str]]) -> None:
    text, listed = answer
    envelope, slices = cut(text)
    assert [told(piece) for piece in slices] == [of_the_library(record) for record in listed]
    assert envelope["count"] == len(listed)
    assert "entities" not in envelope


@pytest.mark.full
@settings(max_examples=400)
@given(records(), SPACE)
def test_a_line_is_read_as_it_came(record: str, space: str) -> None:
    piece = read_whole((record + space).encode())
    assert piece is None if space else (piece is not None and told(piece) == of_the_library(record))


@pytest.mark.full
@given(VALUES)
def test_plain_is_what_can_be_written_as_it_is(value: Any) -> None:
    piece = read_whole(json.dumps({"a": value}).encode())
    assert piece is not None
    if piece.plain:
        json.dumps(piece.value, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("number", ["1.0", "1e16", "-0.0", "1e-7", "0.00001", "1E2"])
def test_fractions_are_the_librarys(number: str) -> None:
    """Digests are made of them, and must not depend on the version of a library that is in a hurry."""
    piece = read_whole(f'{{"a":["x",{number}]}}'.encode())
    assert piece is not None
    assert not piece.plain


@pytest.mark.parametrize("list_again", ['"entities":[{"a":1}]', '"\\u0065ntities":[{"a":1}]', '"entities" : [{"b":1}]'])
def test_two_lists_are_no_answer(list_again: str) -> None:
    with pytest.raises(AnswerUnusable, match="two lists"):
        split_envelope(f'{{"entities":[{{"a":1}}],{list_again}}}'.encode(), "entities")


@pytest.mark.parametrize("space", ["", " "])
@pytest.mark.parametrize("elsewhere", ['"params":{{"a":{}}}', '"params":{{"entities":{}}}', '"\\"entities":{}'])
def test_a_list_that_stands_elsewhere_too_is_no_matter(elsewhere: str, space: str) -> None:
    listed = '[{"msg_id":"1"},{"msg_id":"2"}]'
    other = elsewhere.format(listed)
    envelope, slices = cut(f'{{{other},"entities":{listed.replace(",", f",{space}")}}}')
    assert [piece.value for piece in slices] == [{"msg_id": "1"}, {"msg_id": "2"}]
    assert envelope == json.loads(f"{{{other}}}")


@pytest.mark.parametrize("body", [b'{"entities":[{"a":"\xff"}]}', b'\xff{"entities":[]}'])
def test_what_is_not_utf8_is_no_answer(body: bytes) -> None:
    with pytest.raises(AnswerUnusable, match="UTF-8"):
        make_page(split_envelope(body, "entities")[1] or [], 0)
    with pytest.raises(UnicodeDecodeError):
        read_whole(b'{"a":"\xff"}')


def test_a_large_record_that_is_not_read_keeps_its_bytes() -> None:
    record = '["' + "中文😀" * 500_000 + '",' + "[" * 300 + "]" * 300 + "]"
    _, slices = cut(f'{{"entities":[{{}},{record}]}}')
    assert [(piece.raw, piece.problem) for piece in slices] == [(b"{}", ""), (record.encode(), "nested too deep")]
