"""Entries of the ledger: their one spelling, their signature, and what is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import entries, signing
from archiver.errors import ConfigurationError

NAME = "archive.example.com/acme"
KEY = signing.from_seed(bytes(range(32)))
KEYS = {KEY.id: KEY.public}
PAGE: dict[str, Any] = {"kind": "page", "at": 1_790_000_000_000, "app": "acme#客服", "counts": [3, 2, 1, 0, 0], "n": 2}

texts = st.text(st.characters(exclude_categories=["Cs"]))
whole_numbers = st.integers(-(2**53) + 1, 2**53 - 1)
values = st.recursive(
    st.none() | st.booleans() | whole_numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="ascii")), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "x"]}, b'{"a":[true,null,"x"],"b":1}'),
        ('中\U0001f600\x7f\n\x00/"\\', b'"\\u4e2d\\ud83d\\ude00\\u007f\\n\\u0000/\\"\\\\"'),
        ({"B": 0, "a": 0, "_": 0, "1": 0}, b'{"1":0,"B":0,"_":0,"a":0}'),
        ([-(2**53) + 1, 2**53 - 1, 0], b"[-9007199254740991,9007199254740991,0]"),
        ({}, b"{}"),
        ((), b"[]"),
    ],
)
def test_a_value_has_one_spelling(value: object, text: bytes) -> None:
    assert entries.canonical(value) == text


@pytest.mark.parametrize(
    "value", [1.0, float("nan"), 2**53, -(2**53), {1: 0}, {"é": 0}, b"x", [[{"a": {"b": 0.5}}]], {"a": {1, 2}}]
)
def test_what_other_libraries_may_read_differently_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="canonical JSON has"):
        entries.canonical(value)


@pytest.mark.full
@given(values)
def test_the_spelling_is_the_same_after_reading(value: object) -> None:
    text = entries.canonical(value)
    assert json.loads(text) == value
    assert entries.canonical(json.loads(text)) == text
    assert text.isascii()


def test_an_entry_is_signed_and_checked() -> None:
    line = entries.signed(PAGE, NAME, KEY.sign, KEY.id)
    assert b"\n" not in line
    entry = entries.check(line, NAME, KEYS)
    assert {key: value for key, value in entry.items() if key not in ("by", "sig")} == PAGE
    assert entry["by"] == entries.key_id(KEY.public) == KEY.id == "56475aa7"
    assert line == entries.signed(dict(reversed(PAGE.items())), NAME, KEY.sign, KEY.id)


def test_the_signature_is_over_a_header_the_name_and_the_entry_without_it() -> None:
    line = entries.signed(PAGE, NAME, KEY.sign, KEY.id)
    entry = json.loads(line)
    message = b"archiver-entry-v1\narchive.example.com/acme\n" + entries.canonical({**PAGE, "by": KEY.id})
    assert signing.verify(KEY.public, message, base64.b64decode(entry["sig"]))


def test_every_changed_byte_of_an_entry_is_noticed() -> None:
    line = entries.signed(PAGE, NAME, KEY.sign, KEY.id)
    for place in range(len(line)):
        damaged = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
        with pytest.raises(entries.EntryRefused):
            entries.check(damaged, NAME, KEYS)


def test_entries_of_other_ledgers_and_keys_are_refused() -> None:
    line = entries.signed(PAGE, NAME, KEY.sign, KEY.id)
    other = signing.from_seed(bytes(32))
    with pytest.raises(entries.EntryRefused, match="signature is wrong"):
        entries.check(line, "archive.example.com/other", KEYS)
    with pytest.raises(entries.EntryRefused, match="names a key that is not valid here"):
        entries.check(line, NAME, {other.id: other.public})
    with pytest.raises(entries.EntryRefused, match="signature is wrong"):
        entries.check(line, NAME, {KEY.id: other.public})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"at": 1}', "canonical"),
        (b'{"at":1,"at":1}', "canonical"),
        (b'{"at":1.0}', "canonical"),
        (b'{"at":9007199254740992}', "canonical"),
        (b"[" * 50_000, "canonical"),
        (b"\xff", "canonical"),
        (b"[]", "canonical"),
        (b"", "canonical"),
        (b'{"a":"' + b"x" * 65_535 + b'"}', "more than 65535 bytes"),
        (b'{"at":1}', "no kind"),
        (b'{"by":"56475aa7","kind":"page"}', "no sig"),
        (b'{"by":"56475aa7","kind":"page","sig":"~"}', "not base64"),
        (b'{"by":"56475aa7","kind":"page","sig":"\\u4e2d"}', "not base64"),
        (b'{"by":"56475aa7","kind":"page","sig":"AAAA"}', "signature is wrong"),
    ],
)
def test_what_is_no_entry_is_refused_with_the_reason(line: bytes, problem: str) -> None:
    with pytest.raises(entries.EntryRefused, match=problem):
        entries.check(line, NAME, KEYS)


def test_an_entry_that_is_too_long_is_not_made() -> None:
    with pytest.raises(ValueError, match="at most 65535 bytes, not"):
        entries.signed({**PAGE, "holes": list(range(20_000))}, NAME, KEY.sign, KEY.id)


def test_a_key_is_made_once_and_read_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "key"
    key = signing.create(file)
    again = signing.load(file)
    assert (file.stat().st_mode & 0o777, caplog.records) == (0o600, [])
    assert (again.public, again.sign(b"x")) == (key.public, key.sign(b"x"))
    assert key.fingerprint.startswith(key.id)
    assert file.read_text().strip() not in repr(key)
    with pytest.raises(ConfigurationError, match=r"cannot be made: File exists"):
        signing.create(file)


def test_a_key_file_that_others_may_read_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signing.create(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    signing.load(tmp_path / "key")
    assert "chmod 0600" in caplog.text


@pytest.mark.parametrize("content", [b"", b"secret", b"AAAA\n", b"A" * 43 + b"=\nmore"])
def test_a_file_without_a_key_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigurationError, match="key holds no key; it should be one line of 44 characters"):
        signing.load(tmp_path / "key")
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        signing.load(tmp_path / "absent")
