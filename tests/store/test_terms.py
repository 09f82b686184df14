"""What a search compares: the tricks that hide a text are gone, and PostgreSQL folds exactly as Python does."""

from __future__ import annotations

import json
import unicodedata

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.store.search import text as terms
from tests.fixtures.databases import Database

pytestmark = pytest.mark.one_server("a distributed archive has no holds, terms and deletion: the commands refuse")

TRICKS = {
    "退\ufffd款": "退款",
    "退\0款": "退款",
    "退\u200b款": "退款",
    "退\u200d\u2060\ufeff款": "退款",
    "\u202e退款\u202c": "退款",
    "退" + chr(0xD800) + "款": "退款",
    "退\x1b\x07款": "退款",
    "退\u00ad款": "退款",
    "退\U000e0041款": "退款",
    "退款": "退款",
    "⽀付": "支付",
    "ＲＥＦＵＮＤ　１００": "refund 100",
    "Straße": "strasse",
    "ﬁne": "fine",
    "İstanbul": "i\u0307stanbul",
    "ΣΊΣΥΦΟΣ": "σίσυφοσ",
    "cafe\u0301": "café",
    "❤\ufe0f": "❤",
    "👨\u200d👩\u200d👧": "👨👩👧",
    " a \t\r\n\u3000 b ": "a b",
    "①②": "12",
    "㍻": "平成",
    "": "",
    "\u200b": "",
}


def test_what_hides_a_text_is_gone() -> None:
    for told, found in TRICKS.items():
        assert terms.normal(told) == found, ascii(told)


def test_every_unseen_character_is_gone_and_every_space_is_one() -> None:
    for code in range(0x110000):
        kind = unicodedata.category(chr(code))
        if kind in ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp"):
            assert terms.normal(f"a{chr(code)}b") in (("a b",) if kind[0] == "Z" else ("ab", "a b")), hex(code)


@given(st.text())
def test_what_was_folded_stays_as_it_is(text: str) -> None:
    once = terms.normal(text)
    assert terms.normal(once) == once


@given(st.text(alphabet="ab 退款\n", max_size=12), st.integers(0, 12), st.integers(1, 6))
def test_a_text_has_all_that_is_asked_for_its_pieces(text: str, at: int, length: int) -> None:
    piece = terms.normal(text[at : at + length])
    held = terms.bigrams(terms.normal(text))
    pairs, beginnings = terms.asked(piece)
    assert set(pairs) <= set(held)
    assert all(any(each.startswith(beginning) for each in held) for beginning in beginnings)


def test_the_parts_of_a_long_text_hold_every_piece_of_it() -> None:
    text = "".join(chr(0x4E00 + number % 20_000) for number in range(40_000))
    held = list(terms.parts(text))
    assert len(held) == 5
    for at in range(0, len(text), 37):
        piece = text[at : at + terms.LONGEST_QUERY]
        assert any(piece in part for part in held), at


EXTRA = {
    "secret": "hush",
    "list": [{"thumb_secret": "hush", "note": "退款"}, ["Ｘ", 5, None, True]],
    "secretary": "Ann",
}


def test_secrets_are_not_searched_wherever_they_lie() -> None:
    assert terms.searchable("A", None, "B", json.dumps(EXTRA)) == "a\nb\n退款\nx\nann"
    assert terms.searchable(None, "退\0款.pdf", None, '"alone"') == "退款.pdf\nalone"
    deep = "[" * 100_000 + '"x"' + "]" * 100_000
    assert '"x"' in terms.searchable(None, None, None, deep), "as it is, where it nests too deeply"


CHUNK = 32


def in_chunks(codes: list[int]) -> list[str]:
    """Every character between others, and between spaces."""
    return [
        "".join(f"a{chr(code)}B {chr(code)} " for code in codes[at : at + CHUNK]) for at in range(0, len(codes), CHUNK)
    ]


def check_same(database: Database, texts: list[str]) -> None:
    with psycopg.connect(database.url) as conn:
        rows = conn.execute("SELECT t, archive_normal(t) FROM unnest(%s::text[]) t", (texts,)).fetchall()
    assert len(rows) == len(texts)
    for text, found in rows:
        assert found == terms.normal(text), [hex(ord(char)) for char in text]


def assigned() -> list[int]:
    """Every character that Python's Unicode knows: PostgreSQL's may be newer."""
    return [code for code in range(1, 0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]


@pytest.mark.full
def test_postgresql_folds_as_python_does(postgres_database: Database) -> None:
    check_same(postgres_database, [*(told for told in TRICKS if told.isprintable() and told), "退\u200b款", "ΐ"])
    check_same(postgres_database, in_chunks(assigned()))


def test_postgresql_makes_the_same_bigrams_and_searches_the_same(postgres_database: Database) -> None:
    texts = ["退款", "a b", "退 款项\n订单 1", "x", "", "it's \\ 'a:*'", "👍🏽👍", *map(terms.normal, TRICKS)]
    with psycopg.connect(postgres_database.url) as conn:
        for text in texts:
            row = conn.execute("SELECT archive_bigrams(%s)", (text,)).fetchone()
            assert row == (terms.bigrams(text),), text
        for text, extra in (("A", EXTRA), ("退", "alone"), ("b", [["x"]]), ("c", 5), ("d", None)):
            told = None if extra is None else json.dumps(extra)
            row = conn.execute("SELECT archive_searchable(%s, NULL, 'Ｂ', %s)", (text, told)).fetchone()
            assert row is not None
            assert set(row[0].split("\n")) == set(terms.searchable(text, None, "Ｂ", told).split("\n"))
