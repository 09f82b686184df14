"""Merkle trees and the tree of salts, against published vectors and against the definitions, word by word."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver import merkle, salts

LEAVES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The test data of Certificate Transparency: roots over the first 0, 1 ... 8 of the leaves above."""
SEED = bytes(range(32))


def numbered(count: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % number) for number in range(count)]


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written there."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = naive_split(len(leaves))
    return sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def naive_path(leaves: list[bytes], index: int) -> list[bytes]:
    """RFC 6962, section 2.1.1, as it is written there."""
    if len(leaves) == 1:
        return []
    split = naive_split(len(leaves))
    if index < split:
        return [*naive_path(leaves[:split], index), naive_root(leaves[split:])]
    return [*naive_path(leaves[split:], index - split), naive_root(leaves[:split])]


def naive_split(size: int) -> int:
    """The largest power of two below `size`."""
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def naive_salt(seed: bytes, depth: int, index: int) -> bytes:
    for digit in f"{index:0{depth}b}" if depth else "":
        seed = sha256(b"\x02" + seed + bytes([int(digit)])).digest()
    return seed


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparencys_test_data(size: int) -> None:
    hashes = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES[:size]]
    frontier = merkle.Frontier()
    for leaf in hashes:
        frontier.append(leaf)
    assert merkle.root(hashes).hex() == frontier.root().hex() == ROOTS[size]


@settings(max_examples=30)
@given(st.integers(1, 300), st.data())
def test_root_and_path_are_those_of_the_rfcs_recursion(size: int, data: st.DataObject) -> None:
    leaves, index = numbered(size), data.draw(st.integers(0, size - 1))
    path = merkle.path(leaves, index)
    assert (merkle.root(leaves), path) == (naive_root(leaves), naive_path(leaves, index))
    assert merkle.Tree(leaves).path(index) == path
    assert merkle.root_from_path(leaves[index], index, size, path) == merkle.root(leaves)


@settings(max_examples=30)
@given(st.integers(2, 200), st.data())
def test_a_path_proves_nothing_at_another_place_or_with_another_node(size: int, data: st.DataObject) -> None:
    leaves, index = numbered(size), data.draw(st.integers(0, size - 1))
    root, path = merkle.root(leaves), merkle.path(leaves, index)
    elsewhere = data.draw(st.integers(0, size - 1).filter(lambda other: other != index))
    damaged = list(path)
    where = data.draw(st.integers(0, len(path) - 1))
    damaged[where] = bytes([damaged[where][0] ^ 1]) + damaged[where][1:]
    assert merkle.root_from_path(leaves[index], index, size, damaged) != root
    assert merkle.root_from_path(leaves[elsewhere], index, size, path) != root
    for wrong in (path[:-1], [*path, leaves[0]]):
        with pytest.raises(ValueError, match="the path is"):
            merkle.root_from_path(leaves[index], index, size, wrong)


def test_a_path_outside_of_the_tree_is_an_error() -> None:
    for index in (-1, 3):
        with pytest.raises(ValueError, match=f"no leaf {index} among 3"):
            merkle.path(numbered(3), index)
        with pytest.raises(ValueError, match=f"no leaf {index} among 3"):
            merkle.root_from_path(merkle.leaf_hash(b""), index, 3, [])


@settings(max_examples=30)
@given(st.integers(0, 700), st.integers(0, 700))
def test_a_frontier_goes_on_after_it_was_stored(first: int, more: int) -> None:
    leaves, frontier = numbered(first + more), merkle.Frontier()
    for leaf in leaves[:first]:
        frontier.append(leaf)
    restored = merkle.Frontier.unpack(frontier.pack())
    again = merkle.Frontier(frontier.size, frontier.nodes)
    for leaf in leaves[first:]:
        restored.append(leaf)
        again.append(leaf)
    assert restored.size == again.size == len(leaves)
    assert restored.root() == again.root() == merkle.root(leaves)


def test_a_frontier_that_cannot_be_is_refused() -> None:
    packed = merkle.Frontier(3, numbered(2)).pack()
    for damaged in (packed[:-1], packed[:-32], packed + bytes(32), (4).to_bytes(8, "big") + packed[8:]):
        with pytest.raises(ValueError, match="cannot be those of a tree"):
            merkle.Frontier.unpack(damaged)


class Ledger:
    """A ledger's stored hashes: what `Frontier.append` reported, and the leaves."""

    def __init__(self, size: int) -> None:
        self.leaves = numbered(size)
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.read = 0
        frontier = merkle.Frontier()
        for leaf in self.leaves:
            for level, n, node in frontier.append(leaf):
                self.nodes[level, n] = node

    def stored(self, level: int, first: int, count: int) -> list[bytes]:
        self.read += count
        if level == 0:
            return self.leaves[first : first + count]
        return [self.nodes[level, n] for n in range(first, first + count)]


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return Ledger(256 * 256 + 1000)


def test_complete_subtrees_of_256_leaves_are_reported_once_as_their_last_leaf_arrives(ledger: Ledger) -> None:
    assert sorted(ledger.nodes) == [*((1, n) for n in range(259)), (2, 0)]
    assert ledger.nodes[1, 258] == merkle.root(ledger.leaves[258 * 256 : 259 * 256])
    assert ledger.nodes[2, 0] == merkle.root(ledger.leaves[:65536])


@pytest.mark.parametrize(
    "size",
    [1, 255, 256, 257, 511, 65537, *(pytest.param(size, marks=pytest.mark.full) for size in (65535, 65536, 66536))],
)
def test_roots_and_paths_at_earlier_sizes_come_from_stored_subtrees(ledger: Ledger, size: int) -> None:
    leaves = ledger.leaves[:size]
    frontier = merkle.stored_frontier(size, ledger.stored)
    assert frontier.root() == merkle.root(leaves)
    for index in {0, size // 3, size - 1}:
        ledger.read = 0
        assert merkle.stored_path(index, size, ledger.stored) == merkle.path(leaves, index)
        assert ledger.read <= 256 * 3


def test_a_stored_subtree_that_is_missing_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 stored subtrees of level 1 are missing from 0 on"):
        merkle.stored_frontier(256, lambda *_: [])


@settings(max_examples=30)
@given(st.integers(0, 300))
def test_salts_are_the_nodes_at_the_depth_of_the_leaves(count: int) -> None:
    depth = next(depth for depth in range(12) if 2**depth >= count)
    assert salts.salts([(0, 0, SEED)], count) == [naive_salt(SEED, depth, index) for index in range(count)]


@settings(max_examples=30)
@given(st.integers(1, 200), st.data())
def test_a_puncture_destroys_one_salt_and_keeps_the_others(count: int, data: st.DataObject) -> None:
    before = salts.salts([(0, 0, SEED)], count)
    erased = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=8))
    seeds: list[tuple[int, int, bytes]] = [(0, 0, SEED)]
    for index in sorted(erased, key=lambda index: (index * 7) % 11):
        seeds = salts.puncture(salts.unpack(salts.pack(seeds)), index, count)
    assert salts.salts(seeds, count) == [b"" if index in erased else salt for index, salt in enumerate(before)]
    assert salts.puncture(seeds, min(erased), count) == seeds
    ancestors = {(depth - up, index >> up) for depth in [max(0, count - 1).bit_length()] for index in erased
                 for up in range(depth + 1)}  # fmt: skip
    assert not ancestors & {(depth, index) for depth, index, _ in seeds}


def test_one_puncture_among_a_thousand_leaves_ten_seeds() -> None:
    seeds = salts.puncture([(0, 0, SEED)], 500, 1000)
    assert len(seeds) == 10
    assert len(salts.pack(seeds)) == 370


def test_a_seal_whose_only_leaf_is_erased_keeps_no_seed() -> None:
    assert salts.puncture([(0, 0, SEED)], 0, 1) == []
    assert salts.salts([], 1) == [b""]


def test_seeds_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 37 bytes, not 36"):
        salts.unpack(bytes(36))
    for wrong in ((3, 0, SEED), (1, 2, SEED)):
        with pytest.raises(ValueError, match="no node"):
            salts.salts([wrong], 4)
    with pytest.raises(ValueError, match="no leaf 4 among 4"):
        salts.puncture([(0, 0, SEED)], 4, 4)


def test_a_leaf_is_the_rfcs_hash_of_salt_fate_position_and_bytes() -> None:
    content = SEED + b"c" + b"\x00\x00\x01\x02" + b'{"a":1}'
    assert salts.leaf(SEED, "c", 258, b'{"a":1}') == merkle.leaf_hash(content)
    leaves = {salts.leaf(SEED, fate, place, raw) for fate in "ncqr" for place in (0, 1) for raw in (b"", b"x")}
    assert len(leaves) == 16
    with pytest.raises(ValueError, match="that of an erased leaf is gone"):
        salts.leaf(b"", "n", 0, b"x")
    with pytest.raises(ValueError, match="no fate 'x'"):
        salts.leaf(SEED, "x", 0, b"x")


def test_neighbouring_salts_differ() -> None:
    assert all(one != other for one, other in pairwise(salts.salts([(0, 0, SEED)], 1000)))
