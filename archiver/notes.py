"""Checkpoints of the ledger as C2SP signed notes, and C2SP tlog-proofs: texts that other people's tools verify. Pure.

A note is three lines (origin, size, root), an empty line, and signature lines. The key's name in them is the origin.
Signature lines of unknown keys are skipped, so that two keys can sign while one follows the other.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from archiver import signing

_ED25519 = b"\x01"
_HASH_TEXT = r"[A-Za-z0-9+/]{43}="
_NUMBER = r"0|[1-9][0-9]{0,15}"
_NAME = r"[^\s+\x00-\x1f\x7f]{1,255}"
_NOTE = re.compile(rf"({_NAME})\n({_NUMBER})\n({_HASH_TEXT})\n\n((?:— {_NAME} [A-Za-z0-9+/]+=*\n)+)")
_END = r"[^\S\n]*\n\s*"
_QUOTED = re.compile(
    rf"(?<![^\s>`])({_NAME}){_END}({_NUMBER}){_END}({_HASH_TEXT}){_END}((?:— {_NAME} [A-Za-z0-9+/]+=*(?:\s+|\Z))+)"
)
_SIGNATURE = re.compile(rf"— ({_NAME}) ([A-Za-z0-9+/]+=*)")
_PROOF = re.compile(
    rf"c2sp\.org/tlog-proof@v1\n(?:extra ([A-Za-z0-9+/]*=*)\n)?index ({_NUMBER})\n((?:{_HASH_TEXT}\n)*)\n(.*)",
    re.DOTALL,
)


class NoteRefused(ValueError):
    """A text that is no note, or whose signature is missing or wrong."""


@dataclass(frozen=True)
class Note:
    """The ledger at a size: what a checkpoint signs."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not re.fullmatch(_NAME, self.origin) or self.size < 0 or len(self.root) != 32:
            raise ValueError("a note has an origin without spaces and plus signs, a size, and a root of 32 bytes")

    @property
    def text(self) -> bytes:
        """What is signed, up to and with its last end-of-line."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n".encode()


class Signature(NamedTuple):
    name: str
    hash: bytes
    """The first four bytes of `key_hash`, which is how a line names its key."""
    signature: bytes


@dataclass(frozen=True)
class SignedNote:
    """A note with its signatures, which nobody has checked yet."""

    note: Note
    signatures: tuple[Signature, ...]

    @property
    def data(self) -> bytes:
        lines = (f"— {one.name} {_base64(one.hash + one.signature)}\n" for one in self.signatures)
        return self.note.text + b"\n" + "".join(lines).encode()


def origin(name: str, epoch: int) -> str:
    """The origin of a ledger's notes: its name, from the second epoch on followed by # and the epoch."""
    return name if epoch == 1 else f"{name}#{epoch}"


def epoch(origin: str, name: str) -> int | None:
    """Which epoch of the ledger `name` an origin is of; None: it is another ledger's."""
    if origin == name:
        return 1
    match = re.fullmatch(r"#([2-9]|[1-9][0-9]{1,5})", origin[len(name) :]) if origin.startswith(name) else None
    return int(match[1]) if match else None


def key_hash(name: str, public: bytes) -> bytes:
    """The four bytes by which a signature line names its key."""
    return sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def sign(note: Note, signers: Iterable[tuple[bytes, Callable[[bytes], bytes]]]) -> bytes:
    """The note with one signature line for every signer: public key, and what signs with it."""
    signatures = (Signature(note.origin, key_hash(note.origin, public), make(note.text)) for public, make in signers)
    return SignedNote(note, tuple(signatures)).data


def parse(data: bytes) -> SignedNote:
    """The note that these bytes are, exactly. Raises NoteRefused."""
    try:
        match = _NOTE.fullmatch(data.decode())
    except UnicodeDecodeError:
        match = None
    signed = _signed(match) if match else None
    if signed is None or signed.data != data:
        raise NoteRefused("this is not a signed note of three lines")
    return signed


def find(text: str) -> Iterator[SignedNote]:
    """Every note in a text around them: a file of notes, or a chat that was copied, with other spaces and lines."""
    for match in _QUOTED.finditer(text):
        if (signed := _signed(match)) is not None:
            yield signed


_LONGEST_COPY = 16_384
"""Characters of a note with its signatures, however it was copied."""


def find_in(pieces: Iterable[str]) -> Iterator[SignedNote]:
    """As `find`, in a text that comes in pieces: a note that may go on in the next one waits for it."""
    rest = ""
    for piece in pieces:
        rest += piece
        settled, end = len(rest) - _LONGEST_COPY, 0
        for match in _QUOTED.finditer(rest):
            if match.end() > settled:
                break
            end = match.end()
            if (signed := _signed(match)) is not None:
                yield signed
        rest = rest[max(end, settled - _LONGEST_COPY, 0) :]
    yield from find(rest)


def _signed(match: re.Match[str]) -> SignedNote | None:
    try:
        note = Note(match[1], int(match[2]), _bytes(match[3]))
        lines = [(name, _bytes(text)) for name, text in _SIGNATURE.findall(match[4])]
    except ValueError:
        return None
    return SignedNote(note, tuple(Signature(name, data[:4], data[4:]) for name, data in lines))


def verify(signed: SignedNote, keys: Iterable[bytes]) -> list[bytes]:
    """Which of these public keys signed the note: at least one. Raises NoteRefused, also for a wrong signature of one.

    Whether `origin` is the ledger's is for the caller to say, by `epoch`.
    """
    by_hash = {key_hash(signed.note.origin, public): public for public in keys}
    valid = []
    for line in signed.signatures:
        public = by_hash.get(line.hash)
        if public is None or line.name != signed.note.origin:
            continue
        if not signing.verify(public, signed.note.text, line.signature):
            raise NoteRefused("the note's signature is wrong")
        valid.append(public)
    if not valid:
        raise NoteRefused("no known key has signed the note")
    return valid


class TrustedKey(NamedTuple):
    """A line of a vkey file."""

    name: str
    public: bytes
    until: int | None = None
    """Notes and entries of this key count up to this size of the ledger: it was stolen afterwards."""


def vkey(name: str, public: bytes) -> str:
    """The public key as note verifiers take it: name, hash and key."""
    return f"{name}+{key_hash(name, public).hex()}+{_base64(_ED25519 + public)}"


def parse_vkeys(text: str) -> list[TrustedKey]:
    """The keys in a vkey file, one a line, perhaps with `until SIZE` after it. Raises ValueError naming the line."""
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(rf"\s*({_NAME})\+([0-9a-f]{{8}})\+(\S+)(?:\s+until\s+({_NUMBER}))?\s*", line)
        try:
            data = _bytes(match[3]) if match else b""
        except ValueError:
            data = b""
        if not match or len(data) != 33 or data[:1] != _ED25519 or key_hash(match[1], data[1:]).hex() != match[2]:
            raise ValueError(
                f"line {number} is not a vkey; it should read name+hash+key, as `evidence init` printed it"
            )
        keys.append(TrustedKey(match[1], data[1:], int(match[4]) if match[4] else None))
    return keys


@dataclass(frozen=True)
class Proof:
    """A tlog-proof: the leaf at `index` is in the tree of the note."""

    index: int
    path: list[bytes]
    note: SignedNote
    extra: bytes | None = None


def proof(index: int, path: Sequence[bytes], note: bytes) -> bytes:
    """The text of a tlog-proof. `note` is the signed note, as `sign` returned it."""
    return (
        f"c2sp.org/tlog-proof@v1\nindex {index}\n{''.join(_base64(node) + chr(10) for node in path)}\n".encode() + note
    )


def parse_proof(data: bytes) -> Proof:
    """Raises NoteRefused for what is no tlog-proof."""
    try:
        match = _PROOF.fullmatch(data.decode())
        if not match:
            raise NoteRefused("this is not a tlog-proof")
        path = [_bytes(line) for line in match[3].split()]
        extra = None if match[1] is None else _bytes(match[1])
    except ValueError:
        raise NoteRefused("this is not a tlog-proof") from None
    return Proof(int(match[2]), path, parse(match[4].encode()), extra)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    """Strict: one spelling for the same bytes."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if _base64(data) != text:
        raise ValueError("not canonical base64")
    return data
