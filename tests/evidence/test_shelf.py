"""The notes of sinks, of which there is one a minute for years."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from archiver import notes
from archiver.evidence.verify.notes import GivenNote
from archiver.evidence.verify.shelf import NoteShelf
from archiver.notes import Note, Signature, SignedNote
from tests.fixtures.evidence import KEY, NAME


def of(size: int, origin: str = NAME) -> SignedNote:
    return SignedNote(Note(origin, size, size.to_bytes(32, "big")), (Signature(origin, b"hash", bytes(64)),))


def sizes(given: Iterator[GivenNote]) -> list[tuple[str, int]]:
    return [(one.table, one.size) for one in given]


def test_notes_come_in_order_of_size_whatever_place_they_stand_in() -> None:
    shelf = NoteShelf()
    shelf.add("file: a", map(of, (30, 10, 20)))
    shelf.add("s3: b", map(of, (15, 10**15)))
    assert sizes(shelf.until(15)) == [("file: a", 10), ("s3: b", 15)]
    assert sizes(shelf.until(15)) == []
    assert sizes(shelf.rest()) == [("file: a", 20), ("file: a", 30), ("s3: b", 10**15)]
    assert shelf.has("file: a", NAME, 20)
    assert not any((shelf.has("s3: b", NAME, 20), shelf.has("file: a", f"{NAME}#2", 20), shelf.has("x", NAME, 20)))


def test_a_note_out_of_a_chat_is_as_it_was_signed() -> None:
    text = notes.sign(Note(NAME, 7, bytes(32)), [(KEY.public, KEY.sign)])
    (copied,) = notes.find(f"Ann, 10:02\n  {text.decode().replace(chr(10), chr(10) + '  ')}")
    assert notes.verify(copied, [KEY.public]) == [KEY.public]


@pytest.mark.parametrize("size", [100, 20_000, 50_000])
def test_a_text_in_pieces_has_the_notes_that_it_has_as_a_whole(size: int) -> None:
    talk = "Ann, 10:02: so much for today\n\n" * 900
    text = talk.join(of(number).data.decode() for number in range(3)) + of(9).data.decode() * 40 + talk
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert [one.data for one in notes.find_in(pieces)] == [one.data for one in notes.find(text)]
    assert len(list(notes.find(text))) == 43


@pytest.mark.full
def test_the_notes_of_a_sink_take_less_than_64_bytes_of_memory_each() -> None:
    """So a million of them, two years' worth, take less than 64 MiB."""
    count = 50_000
    tracemalloc.start()
    try:
        shelf = NoteShelf()
        shelf.add("file: a", map(of, range(count)))
        assert sum(1 for _ in shelf.until(count // 2)) == count // 2 + 1
        assert all(shelf.has("file: a", NAME, size) for size in range(0, count, 1000))
        assert sum(1 for _ in shelf.rest()) == count // 2 - 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / count < 64
