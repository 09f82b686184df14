"""Merkle trees of RFC 6962: root, inclusion path, and a tree that grows one leaf at a time. Pure.

Every function takes hashes of leaves, 32 bytes each; `leaf_hash` makes one. A ledger keeps the roots of its complete
subtrees of 256, 256² ... leaves, so that a path in a ledger of millions of leaves reads a few thousand hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from archiver.hashing import short_sha256

HASH_BYTES = 32
SUBTREE = 256
"""Leaves of a stored subtree of level 1; one of level 2 has 256 of those, and so on. Level 0 are the leaves."""

Stored = Callable[[int, int, int], Sequence[bytes]]
"""(level, first, count) to the roots of that many neighbouring complete subtrees of the level, in order."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf with this content."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over hashes of leaves; without any, the SHA-256 of nothing."""
    return _levels(leaves)[-1][0] if leaves else sha256().digest()


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """What `root_from_path` needs beside the leaf at this index, from the leaf's sibling upwards."""
    return Tree(leaves).path(index)


class Tree:
    """A whole tree, computed once for many paths."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = _levels(leaves)

    @property
    def root(self) -> bytes:
        return self._levels[-1][0] if self._levels[-1] else sha256().digest()

    def path(self, index: int) -> list[bytes]:
        """As `path`."""
        if not 0 <= index < len(self._levels[0]):
            raise ValueError(f"no leaf {index} among {len(self._levels[0])}")
        result = []
        for level in self._levels[:-1]:
            if index ^ 1 < len(level):
                result.append(level[index ^ 1])
            index >>= 1
        return result


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root of a tree with `size` leaves that has `leaf` at `index`. Raises ValueError where the path cannot fit."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} among {size}")
    node, last, result = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ValueError("the path is longer than the tree is high")
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1:  # a last node without a sibling rises unchanged
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ValueError("the path is shorter than the tree is high")
    return result


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """The tree level by level, leaves first. A node without a sibling rises unchanged, which is RFC 6962's split."""
    levels = [list(leaves)]
    while len(level := levels[-1]) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        parents = [short_sha256(b"\x01" + left + right).digest() for left, right in pairs]
        levels.append(parents + level[-1:] if len(level) & 1 else parents)
    return levels


class Frontier:
    """A tree that grows: the roots of its complete subtrees, largest first, are all that the next leaf needs."""

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        """`nodes`: one hash for every 1 in the binary digits of `size`, the largest subtree's first."""
        self._size, self._nodes = size, list(nodes)
        if size < 0 or len(self._nodes) != size.bit_count() or any(len(node) != HASH_BYTES for node in self._nodes):
            raise ValueError(f"{len(self._nodes)} nodes cannot be those of a tree with {size} leaves")

    @property
    def size(self) -> int:
        return self._size

    @property
    def nodes(self) -> tuple[bytes, ...]:
        return tuple(self._nodes)

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Add the hash of a leaf; returns the subtrees to store that it completed, as (level, n, hash), level 1 first.

        Subtree `n` of a level covers the leaves from `n * 256 ** level`.
        """
        completed, height, node = [], 0, leaf
        while self._size >> height & 1:
            node = node_hash(self._nodes.pop(), node)
            height += 1
            if height % 8 == 0:
                completed.append((height // 8, self._size >> height, node))
        self._nodes.append(node)
        self._size += 1
        return completed

    def root(self) -> bytes:
        if not self._nodes:
            return sha256().digest()
        result = self._nodes[-1]
        for node in reversed(self._nodes[:-1]):
            result = node_hash(node, result)
        return result

    def pack(self) -> bytes:
        """The size in 8 bytes, big-endian, and the nodes."""
        return self._size.to_bytes(8, "big") + b"".join(self._nodes)

    @classmethod
    def unpack(cls, packed: bytes) -> Frontier:
        rest = packed[8:]
        return cls(
            int.from_bytes(packed[:8], "big"),
            [rest[start : start + HASH_BYTES] for start in range(0, len(rest), HASH_BYTES)],
        )


def stored_frontier(size: int, stored: Stored) -> Frontier:
    """The frontier of the first `size` leaves of a stored tree, which may have grown further since."""
    nodes, lo = [], 0
    for height in reversed(range(size.bit_length())):
        if size >> height & 1:
            nodes.append(_span(lo, lo + (1 << height), stored))
            lo += 1 << height
    return Frontier(size, nodes)


def stored_path(index: int, size: int, stored: Stored) -> list[bytes]:
    """The path of leaf `index` in the first `size` leaves of a stored tree."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} among {size}")
    result, lo, hi = [], 0, size
    while hi - lo > 1:
        middle = lo + (1 << (hi - lo - 1).bit_length() - 1)
        if index < middle:
            result.append(_span(middle, hi, stored))
            hi = middle
        else:
            result.append(_span(lo, middle, stored))
            lo = middle
    return result[::-1]


def stored_consistency(old: int, new: int, stored: Stored) -> list[bytes]:
    """The proof of RFC 6962 that the first `old` leaves of a stored tree are the beginning of its first `new`."""
    if not 0 < old <= new:
        raise ValueError(f"a tree of {new} leaves has no beginning of {old}")
    result, lo, hi, whole = [], 0, new, True
    while old != hi:
        middle = lo + (1 << (hi - lo - 1).bit_length() - 1)
        if old <= middle:
            result.append(_span(middle, hi, stored))
            hi = middle
        else:
            result.append(_span(lo, middle, stored))
            lo, whole = middle, False
    return [*([] if whole else [_span(lo, hi, stored)]), *result[::-1]]


def _span(lo: int, hi: int, stored: Stored) -> bytes:
    """The root over leaves `lo` up to `hi`; `lo` is a multiple of a power of two that is at least `hi - lo`."""
    level = 0
    while SUBTREE ** (level + 1) <= hi - lo:
        level += 1
    width = SUBTREE**level
    first, end = lo // width, hi // width
    nodes = list(stored(level, first, end - first))
    if len(nodes) != end - first:
        raise ValueError(f"{end - first - len(nodes)} stored subtrees of level {level} are missing from {first} on")
    return root([*nodes, _span(end * width, hi, stored)] if end * width < hi else nodes)
