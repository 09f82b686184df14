"""Salts of a seal's leaves, from one seed that is kept: the salt of an erased leaf can be destroyed alone. Pure.

The children of a seed are SHA-256(02 ‖ seed ‖ bit); the salt of leaf `i` among `count` is node `i` at the depth
⌈log2 count⌉. Puncturing replaces a seed by the siblings of the nodes on the way to an erased leaf: nothing that is left
leads to its salt, so nobody can test a guess of its text against the leaf.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from archiver.hashing import short_sha256

Seeds = Sequence[tuple[int, int, bytes]]
"""Nodes of the tree that are kept: depth, index at that depth, 32 bytes. A new seal has one: (0, 0, seed)."""

_PACKED = 1 + 4 + 32


def leaf(salt: bytes, fate: str, position: int, raw: bytes) -> bytes:
    """The leaf hash (RFC 6962) of what is sealed.

    `fate`: n new, c changed, q quarantined, or r for rows of other tables. Fate and position are part of it, so that a
    first copy and a revision cannot change places.
    """
    if len(salt) != 32:
        raise ValueError("a salt has 32 bytes; that of an erased leaf is gone")
    if fate not in ("n", "c", "q", "r"):
        raise ValueError(f"no fate {fate!r}")
    return sha256(b"\x00" + salt + fate.encode() + position.to_bytes(4, "big") + raw).digest()


def leaves(salted: Sequence[bytes], contents: Iterable[tuple[int, str, bytes]]) -> list[bytes]:
    """`leaf` of many contents: position, fate and bytes, each under its own salt. A page has a thousand of them."""
    heads, hashes = {fate: fate.encode() for fate in "ncqr"}, []
    for salt, (position, fate, raw) in zip(salted, contents, strict=True):
        if len(salt) != 32:
            raise ValueError("a salt has 32 bytes; that of an erased leaf is gone")
        hashes.append(sha256(b"".join((b"\x00", salt, heads[fate], position.to_bytes(4, "big"), raw))).digest())
    return hashes


def salts(seeds: Seeds, count: int) -> list[bytes]:
    """The salt of each of `count` leaves; b"" where it was punctured."""
    depth, result = _depth(count), [b""] * count
    for at, index, seed in seeds:
        _check(at, index, depth)
        nodes = [seed]
        for _ in range(depth - at):
            nodes = [short_sha256(b"\x02" + node + bit).digest() for node in nodes for bit in (b"\x00", b"\x01")]
        first = index << depth - at
        result[first : first + len(nodes)] = nodes[: max(0, count - first)]
    return result


def puncture(seeds: Seeds, index: int, count: int) -> list[tuple[int, int, bytes]]:
    """The seeds that remain when the salt of leaf `index` is destroyed; all other salts stay as they are."""
    if not 0 <= index < count:
        raise ValueError(f"no leaf {index} among {count}")
    depth, result = _depth(count), []
    for at, node, seed in seeds:
        _check(at, node, depth)
        if index >> depth - at == node:
            result += _siblings(at, seed, index, count)
        else:
            result.append((at, node, seed))
    return result


def _siblings(at: int, seed: bytes, index: int, count: int) -> list[tuple[int, int, bytes]]:
    """The nodes beside the way from a seed at this depth to leaf `index`, those without leaves left out."""
    depth, node, result = _depth(count), seed, []
    for below in range(at + 1, depth + 1):
        children = _children(node)
        child = index >> depth - below
        sibling = child ^ 1
        if sibling << depth - below < count:
            result.append((below, sibling, children[sibling & 1]))
        node = children[child & 1]
    return result


def _children(node: bytes) -> tuple[bytes, bytes]:
    return sha256(b"\x02" + node + b"\x00").digest(), sha256(b"\x02" + node + b"\x01").digest()


def pack(seeds: Seeds) -> bytes:
    """Depth in one byte, index in four, big-endian, seed in 32, for every seed."""
    return b"".join(depth.to_bytes(1, "big") + index.to_bytes(4, "big") + seed for depth, index, seed in seeds)


def unpack(packed: bytes) -> list[tuple[int, int, bytes]]:
    """What `pack` packed. Raises ValueError for bytes that it cannot have made."""
    if len(packed) % _PACKED:
        raise ValueError(f"packed seeds are multiples of {_PACKED} bytes, not {len(packed)}")
    return [_unpacked(packed[start : start + _PACKED]) for start in range(0, len(packed), _PACKED)]


def _unpacked(one: bytes) -> tuple[int, int, bytes]:
    return one[0], int.from_bytes(one[1:5], "big"), one[5:]


def _depth(count: int) -> int:
    return max(0, count - 1).bit_length()


def _check(at: int, index: int, depth: int) -> None:
    if at > depth or index >> at:
        raise ValueError(f"no node {index} at depth {at} of a tree of depth {depth}")
