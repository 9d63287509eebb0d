"""How a block that a node serves relates to the blocks that were recorded. Pure: no node, no database.

Invariant: the recorded blocks are one unbroken line. Each names the one before it as its parent, from the newest final
block (the floor, which is never taken back) to the tip. A block is recorded only when it `Extends` the tip, and taken
back only down to the ancestor of a `Reorg`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Link:
    """What makes a block part of a chain."""

    number: int
    hash: bytes
    parent_hash: bytes


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The blocks on record from `floor` to `tip`, both included, as hashes by number."""

    hashes: Mapping[int, bytes]
    floor: int
    tip: int


@dataclass(frozen=True, kw_only=True)
class Known:
    """On record already: the node has nothing new, or lags behind what others served."""


@dataclass(frozen=True, kw_only=True)
class Extends:
    """The child of the tip: the next to record."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Ahead of the tip by more than one: read `first` to `last`, both included, one after another."""

    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class Unlinked:
    """Not on record at its height, and where its branch left the record is not known yet: look at its parent."""

    number: int
    parent_hash: bytes


@dataclass(frozen=True, kw_only=True)
class Reorg:
    """The branch left the record after block `ancestor`: take back everything above it, then read the branch."""

    ancestor: int


@dataclass(frozen=True, kw_only=True)
class TooDeep:
    """The branch does not contain the floor: at that height it has `branch_hash` instead."""

    floor: int
    floor_hash: bytes
    branch_hash: bytes


Relation = Known | Extends | Gap | Unlinked | Reorg | TooDeep


def relate(recorded: Recorded, branch: Sequence[Link]) -> Relation:
    """Say how a node's block relates to the record.

    `branch` is the block, then its parent, grandparent and so on, as far as they were looked up: at first the block
    alone, and one more after each `Unlinked`. At most tip - floor + 1 look-ups lead to another answer.
    """
    newest, oldest = branch[0], branch[-1]
    if newest.number > recorded.tip + 1:
        return Gap(first=recorded.tip + 1, last=newest.number)
    if recorded.hashes.get(newest.number) == newest.hash:
        return Known()
    if newest.number <= recorded.floor:
        # At or below the floor there is no record to compare with but the floor itself; a node that far behind has
        # nothing to say about the tip.
        if newest.number == recorded.floor:
            return TooDeep(floor=recorded.floor, floor_hash=recorded.hashes[recorded.floor], branch_hash=newest.hash)
        return Known()
    parent = oldest.number - 1
    if recorded.hashes[parent] == oldest.parent_hash:
        return Extends() if parent == recorded.tip else Reorg(ancestor=parent)
    if parent == recorded.floor:
        return TooDeep(floor=parent, floor_hash=recorded.hashes[parent], branch_hash=oldest.parent_hash)
    return Unlinked(number=parent, parent_hash=oldest.parent_hash)
