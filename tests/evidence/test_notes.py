"""Checkpoints and proofs as texts: their exact form, their signatures, and what chats and rotations do to them."""

from __future__ import annotations

import base64

import pytest

from archiver import merkle, notes, signing
from archiver.notes import Note, NoteRefused

NAME = "archive.example.com/acme"
KEY, OTHER = signing.from_seed(bytes(range(32))), signing.from_seed(bytes(32))
ROOT = merkle.leaf_hash(b"one entry")
NOTE = Note(NAME, 1, ROOT)


def signed(note: Note = NOTE, *keys: signing.Key) -> bytes:
    return notes.sign(note, [(key.public, key.sign) for key in keys or (KEY,)])


def test_a_note_is_three_lines_an_empty_one_and_a_signature() -> None:
    lines = signed().decode().split("\n")
    assert lines[:4] == [NAME, "1", base64.b64encode(ROOT).decode(), ""]
    assert lines[4].startswith(f"— {NAME} ")
    assert len(lines) == 6
    assert lines[5] == ""


def test_a_note_is_read_back_and_verified() -> None:
    parsed = notes.parse(signed())
    assert (parsed.note, parsed.data) == (NOTE, signed())
    assert notes.verify(parsed, [OTHER.public, KEY.public]) == [KEY.public]


def test_signature_lines_of_unknown_keys_are_skipped() -> None:
    both = notes.parse(signed(NOTE, OTHER, KEY))
    assert notes.verify(both, [KEY.public]) == [KEY.public]
    assert notes.verify(both, [KEY.public, OTHER.public]) == [OTHER.public, KEY.public]
    foreign = notes.SignedNote(NOTE, (notes.Signature("witness.example", b"1234", b"x" * 80), *both.signatures))
    assert notes.verify(notes.parse(foreign.data), [KEY.public]) == [KEY.public]
    with pytest.raises(NoteRefused, match="no known key"):
        notes.verify(notes.parse(signed(NOTE, OTHER)), [KEY.public])


def test_a_known_keys_wrong_signature_is_refused_even_beside_a_right_one() -> None:
    right, wrong = notes.parse(signed(NOTE, KEY, OTHER)).signatures
    forged = notes.SignedNote(NOTE, (right, wrong._replace(signature=bytes(64))))
    with pytest.raises(NoteRefused, match="signature is wrong"):
        notes.verify(forged, [KEY.public, OTHER.public])


def test_every_changed_byte_of_a_note_is_refused() -> None:
    data = signed()
    for place in range(len(data)):
        damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(NoteRefused):
            notes.verify(notes.parse(damaged), [KEY.public])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1],
        lambda text: text + "\n",
        lambda text: text.replace("\n1\n", "\n01\n"),
        lambda text: text.replace("\n\n", "\nextension\n\n"),
        lambda text: text.replace("—", "-"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.partition("—")[0],
    ],
)
def test_another_form_is_no_note(change: object) -> None:
    assert callable(change)
    with pytest.raises(NoteRefused):
        notes.parse(change(signed().decode()).encode())


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "a\nb", "a\u2028b", "a\tb"])
def test_an_origin_that_would_break_the_text_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="an origin without spaces"):
        Note(origin, 1, ROOT)


def test_notes_are_recognized_in_a_file_and_in_what_was_copied_from_a_chat() -> None:
    second = Note(NAME, 2, merkle.leaf_hash(b"x"))
    file = signed() + signed(second) + signed()[:70]
    assert [one.note for one in notes.find(file.decode())] == [NOTE, second]
    chat = (
        "Bot 10:00\n> " + signed(second).decode().replace("\n", " \r\n") + "Bot 10:01:\n" + signed().decode().rstrip()
    )
    copied = list(notes.find(chat))
    assert [one.note for one in copied] == [second, NOTE]
    assert all(notes.verify(one, [KEY.public]) for one in copied)
    squeezed = signed().decode().replace("\n\n", "\n")
    assert [one.note for one in notes.find(squeezed)] == [NOTE]


def test_hostile_texts_are_searched_in_linear_time() -> None:
    for text in ("a" * 300_000, "a\n" * 100_000, "a\n1\n" * 50_000, "— a A" * 50_000, " \n" * 100_000):
        assert list(notes.find(text)) == []


def test_epochs_are_told_by_the_origin() -> None:
    assert [notes.origin(NAME, epoch) for epoch in (1, 2, 12)] == [NAME, f"{NAME}#2", f"{NAME}#12"]
    assert [notes.epoch(notes.origin(NAME, epoch), NAME) for epoch in (1, 2, 12)] == [1, 2, 12]
    assert [notes.epoch(text, NAME) for text in ("other", f"{NAME}#1", f"{NAME}#02", f"{NAME}x", f"{NAME}#2x")] == [
        None
    ] * 5


def test_a_key_is_written_and_read_as_verifiers_take_it() -> None:
    # the example of the specification of signed notes, and of Go's package
    known = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    name, public, until = notes.parse_vkeys(known)[0]
    assert (name, until, notes.vkey(name, public)) == ("PeterNeumann", None, known)


def test_a_vkey_file_may_end_a_stolen_key() -> None:
    vkey = notes.vkey(NAME, KEY.public)
    text = f"# kept by the audit office\n\n{vkey}\n{notes.vkey(NAME, OTHER.public)}  until 4711 \n"
    assert notes.parse_vkeys(text) == [(NAME, KEY.public, None), (NAME, OTHER.public, 4711)]
    for wrong in (vkey[:-4], vkey + " until", vkey + " until 01", vkey.replace("+A", "+B"), f"x{vkey}", "hello"):
        with pytest.raises(ValueError, match="line 2 is not a vkey"):
            notes.parse_vkeys(f"\n{wrong}\n")


def test_go_s_published_note_is_verified() -> None:
    # https://pkg.go.dev/golang.org/x/mod/sumdb/note: a key, and what it signed, which is no checkpoint
    _, public, _ = notes.parse_vkeys("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[0]
    text = b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    line = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    signature = base64.b64decode(line)
    assert signature[:4] == notes.key_hash("PeterNeumann", public)
    assert signing.verify(public, text, signature[4:])


def test_a_tlog_proof_is_written_and_read_back() -> None:
    leaves = [merkle.leaf_hash(b"%d" % number) for number in range(100)]
    note = signed(Note(NAME, 100, merkle.root(leaves)))
    text = notes.proof(70, merkle.path(leaves, 70), note)
    assert text.startswith(b"c2sp.org/tlog-proof@v1\nindex 70\n")
    proof = notes.parse_proof(text)
    assert proof == notes.Proof(70, merkle.path(leaves, 70), notes.parse(note))
    extra = notes.parse_proof(text.replace(b"\nindex", b"\nextra YWJj\nindex"))
    assert extra.extra == b"abc"
    assert merkle.root_from_path(leaves[70], 70, proof.note.note.size, proof.path) == proof.note.note.root


def test_a_proof_of_the_only_entry_has_no_path() -> None:
    assert notes.parse_proof(notes.proof(0, [], signed())).path == []


@pytest.mark.parametrize(
    "change",
    [(b"v1", b"v2"), (b"index 0", b"index 00"), (b"index 0\n", b""), (b"index", b"extra ?\nindex"), (b"\n\n", b"\n")],
)
def test_another_form_is_no_proof(change: tuple[bytes, bytes]) -> None:
    with pytest.raises(NoteRefused):
        notes.parse_proof(notes.proof(0, [], signed()).replace(*change, 1))
