"""The root of a Merkle Patricia trie whose keys are the list positions 0, 1, 2, … (Yellow Paper, appendix D).

That is how headers commit to transactions and receipts. With such keys the shape of the trie depends on the number of
values alone, so the shape is planned once per count; per block there is only hashing left to do.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from openpay.chain import rlp_hex
from openpay.domain.keccak import keccak

EMPTY_ROOT = keccak(b"\x80")


def index_trie_root(values: Iterable[str], *, count: int) -> bytes:
    """Return the 32-byte root over `count` values, each given as hex digits without `0x` and not empty.

    Values are taken one by one and let go, so that a generator keeps no second copy of a block in memory. Raises
    `ValueError` when a value is not hex, or their number is not `count`.
    """
    plan = _plan(count)
    leaves: list[bytes] = []
    for path, value in zip(plan.leaf_paths, values, strict=True):
        leaf = unhexlify(_leaf_prefix(path, len(value) // 2, value[0] < "8") + value)
        leaves.append(leaf if len(leaf) < 32 else b"\xa0" + keccak(leaf))
    if plan.root is None:
        return EMPTY_ROOT
    if isinstance(plan.root, int):
        return keccak(leaf)
    return keccak(_inner_node(plan.root, leaves))


@dataclass(frozen=True, slots=True)
class _Branch:
    """Sixteen children by nibble: the position of a leaf, another node, or None."""

    children: tuple[int | _Branch | _Extension | None, ...]


@dataclass(frozen=True, slots=True)
class _Extension:
    """A path shared by everything below. `path` is its hex-prefix encoding as RLP."""

    path: bytes
    child: _Branch


@dataclass(frozen=True, slots=True)
class _Plan:
    root: int | _Branch | _Extension | None
    leaf_paths: tuple[str, ...]
    """The encoded rest of the key that each leaf holds, by position, as hex digits."""


@lru_cache(maxsize=8192)
def _leaf_prefix(path: str, size: int, starts_low: bool) -> str:
    """All of a leaf's encoding before its value of `size` bytes. `starts_low`: the first byte is below 0x80."""
    string = "" if size == 1 and starts_low else rlp_hex.string_header(size)
    return rlp_hex.list_header((len(path) + len(string)) // 2 + size) + path + string


def _inner_node(node: _Branch | _Extension, leaves: Sequence[bytes]) -> bytes:
    """The encoding of a node that is no leaf, given the references to all leaves by position."""

    def reference(child: int | _Branch | _Extension | None) -> bytes:
        if isinstance(child, int):
            return leaves[child]
        return b"\x80" if child is None else _reference(_inner_node(child, leaves))

    if isinstance(node, _Extension):
        return _list(node.path + reference(node.child))
    return _list(b"".join([reference(child) for child in node.children]) + b"\x80")


def _reference(node: bytes) -> bytes:
    """How a parent names a child: by hash, or by the child itself when that is shorter than a hash."""
    return node if len(node) < 32 else b"\xa0" + keccak(node)


def _list(payload: bytes) -> bytes:
    return bytes.fromhex(rlp_hex.list_header(len(payload))) + payload


@lru_cache(maxsize=512)
def _plan(count: int) -> _Plan:
    leaf_paths: dict[int, str] = {}

    def build(entries: Entries) -> int | _Branch | _Extension:
        if len(entries) == 1:
            ((rest, position),) = entries
            leaf_paths[position] = rlp_hex.data("0x" + _hex_prefix(rest, is_leaf=True))
            return position
        shared = _shared_prefix(entries[0][0], entries[-1][0])
        if shared == 0:
            return branch(entries)
        path = rlp_hex.data("0x" + _hex_prefix(entries[0][0][:shared], is_leaf=False))
        return _Extension(bytes.fromhex(path), branch([(key[shared:], position) for key, position in entries]))

    def branch(entries: Entries) -> _Branch:
        children: list[int | _Branch | _Extension | None] = [None] * 16
        for nibble, group in groupby(entries, key=lambda entry: entry[0][0]):
            children[int(nibble, 16)] = build([(key[1:], position) for key, position in group])
        return _Branch(tuple(children))

    keys = sorted((rlp_hex.quantity(hex(position)), position) for position in range(count))
    root = build(keys) if keys else None
    return _Plan(root, tuple(leaf_paths[position] for position in range(count)))


Entries = list[tuple[str, int]]
"""What is left of each key below a node, as hex digits, with its position; sorted by key."""


def _shared_prefix(first: str, last: str) -> int:
    """How many digits all keys between `first` and `last` share."""
    return next(length for length, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)


def _hex_prefix(nibbles: str, *, is_leaf: bool) -> str:
    """The compact encoding of a path (Yellow Paper, appendix C), as hex digits."""
    flag = 2 * is_leaf + len(nibbles) % 2
    return f"{flag:x}{nibbles}" if len(nibbles) % 2 else f"{flag:x}0{nibbles}"
