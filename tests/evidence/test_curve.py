"""The signatures that verify.py checks by itself: published vectors, and the same answers as OpenSSL's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver import merkle, signing
from archiver.evidence.offline import curve

LINES = (Path(__file__).parents[1] / "corpus/ed25519.txt").read_text().splitlines()
VECTORS = [line.split() for line in LINES if not line.startswith("#")]


def decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def test_every_vector_of_the_rfc_and_of_wycheproof_is_judged_right() -> None:
    judged = [
        (curve.ed25519_verify(*map(decoded, (key, message, signature))), result)
        for key, message, signature, result in VECTORS
    ]
    assert len(judged) == 154
    assert [(got, result) for got, result in judged if got != (result == "valid")] == []


@settings(max_examples=15)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 511))
def test_signatures_of_openssl_are_accepted_and_refused_with_a_changed_bit(
    seed: bytes, message: bytes, bit: int
) -> None:
    key = signing.from_seed(seed)
    signature = key.sign(message)
    assert curve.ed25519_verify(key.public, message, signature)
    damaged = bytearray(signature)
    damaged[bit // 8] ^= 1 << bit % 8
    assert not curve.ed25519_verify(key.public, message, bytes(damaged))
    assert not curve.ed25519_verify(key.public, message + b"x", signature)


@pytest.mark.parametrize("public", [b"", bytes(31), b"\xff" * 32, (2).to_bytes(32, "little")])
def test_what_is_no_key_verifies_nothing(public: bytes) -> None:
    signature = signing.from_seed(bytes(32)).sign(b"x")
    assert not curve.ed25519_verify(public, b"x", signature)
    assert not signing.verify(public, b"x", signature)


@settings(max_examples=30)
@given(st.integers(1, 600), st.data())
def test_paths_and_beginnings_of_ours_are_accepted_and_no_others(size: int, data: st.DataObject) -> None:
    leaves = [merkle.leaf_hash(b"%d" % number) for number in range(size)]

    def stored(level: int, first: int, count: int) -> list[bytes]:
        width = merkle.SUBTREE**level
        return [merkle.root(leaves[n * width : (n + 1) * width]) for n in range(first, first + count)]

    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    root, old_root = merkle.root(leaves), merkle.root(leaves[:old])
    assert curve.root_from_path(leaves[index], index, size, merkle.path(leaves, index)) == root
    assert curve.root_from_path(leaves[index], index, size + 300, merkle.path(leaves, index)) != root
    proof = merkle.stored_consistency(old, size, stored)
    assert curve.is_beginning(old, old_root, size, root, proof)
    assert not curve.is_beginning(old, bytes(32), size, root, proof)
    assert not curve.is_beginning(old, old_root, size, bytes(32), proof)
    if proof:
        assert not curve.is_beginning(old, old_root, size, root, proof[:-1])
        assert not curve.is_beginning(old, old_root, size, root, [bytes(32), *proof[1:]])
    assert not curve.is_beginning(old, old_root, size, root, [*proof, bytes(32)])
    assert not curve.is_beginning(size + 1, old_root, size, root, proof)
    assert not curve.is_beginning(0, old_root, size, root, proof)
