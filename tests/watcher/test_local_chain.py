"""Every way in which a node's block can relate to the record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.local_chain import Extends, Gap, Known, Link, Recorded, Relation, Reorg, TooDeep, Unlinked, relate


def name(number: int, branch: str = "a") -> bytes:
    return f"{branch}{number}".encode()


def link(number: int, branch: str = "a", parent_branch: str | None = None) -> Link:
    parent = name(number - 1, parent_branch or branch)
    return Link(number=number, hash=name(number, branch), parent_hash=parent)


RECORDED = Recorded(hashes={number: name(number) for number in range(10, 21)}, floor=10, tip=20)


def test_child_of_the_tip_extends() -> None:
    assert relate(RECORDED, [link(21)]) == Extends()


@pytest.mark.parametrize("number", [10, 15, 20])
def test_block_on_record_is_known(number: int) -> None:
    assert relate(RECORDED, [link(number)]) == Known()


def test_block_far_ahead_leaves_a_gap_to_read_whatever_its_branch() -> None:
    assert relate(RECORDED, [link(25)]) == Gap(first=21, last=25)
    assert relate(RECORDED, [link(25, "b")]) == Gap(first=21, last=25)
    assert relate(RECORDED, [link(22)]) == Gap(first=21, last=22)


def test_other_block_at_the_tip_is_a_reorg_to_their_parent() -> None:
    assert relate(RECORDED, [link(20, "b", "a")]) == Reorg(ancestor=19)


def test_branch_that_left_earlier_is_followed_down_to_the_ancestor() -> None:
    branch = [link(21, "b"), link(20, "b"), link(19, "b"), link(18, "b", "a")]
    assert relate(RECORDED, branch[:1]) == Unlinked(number=20, parent_hash=name(20, "b"))
    assert relate(RECORDED, branch[:2]) == Unlinked(number=19, parent_hash=name(19, "b"))
    assert relate(RECORDED, branch[:3]) == Unlinked(number=18, parent_hash=name(18, "b"))
    assert relate(RECORDED, branch) == Reorg(ancestor=17)


def test_shorter_branch_is_a_reorg_too() -> None:
    assert relate(RECORDED, [link(15, "b", "a")]) == Reorg(ancestor=14)


def test_branch_from_the_floor_is_the_deepest_reorg() -> None:
    assert relate(RECORDED, [link(11, "b", "a")]) == Reorg(ancestor=10)


def test_branch_without_the_floor_is_too_deep() -> None:
    expected = TooDeep(floor=10, floor_hash=name(10), branch_hash=name(10, "b"))
    assert relate(RECORDED, [link(11, "b")]) == expected
    assert relate(RECORDED, [link(10, "b")]) == expected


def test_node_below_the_floor_has_nothing_to_say() -> None:
    assert relate(RECORDED, [link(9)]) == Known()
    assert relate(RECORDED, [link(3, "b")]) == Known()


def test_record_of_one_block_knows_all_cases() -> None:
    single = Recorded(hashes={10: name(10)}, floor=10, tip=10)
    assert relate(single, [link(11)]) == Extends()
    assert relate(single, [link(10)]) == Known()
    assert isinstance(relate(single, [link(11, "b")]), TooDeep)


@given(fork=st.integers(9, 20), head=st.integers(1, 30), floor=st.integers(9, 20))
def test_following_parents_always_ends_at_the_fork_and_never_below_the_floor(fork: int, head: int, floor: int) -> None:
    """Branch b leaves branch a after block `fork`; whatever its head, the answer is the one that the fork implies."""
    recorded = Recorded(hashes={number: name(number) for number in range(floor, 21)}, floor=floor, tip=20)

    def block(number: int) -> Link:
        return link(number, "b" if number > fork else "a", "b" if number - 1 > fork else "a")

    branch = [block(head)]
    relation: Relation = relate(recorded, branch)
    while isinstance(relation, Unlinked):
        assert relation.number > floor
        branch.append(block(relation.number))
        relation = relate(recorded, branch)
    if head > 21:
        assert relation == Gap(first=21, last=head)
    elif head < floor or head <= fork:
        assert relation == (Extends() if head == 21 else Known())
    elif fork < floor:
        assert isinstance(relation, TooDeep)
    elif head == 21 and fork == 20:
        assert relation == Extends()
    else:
        assert relation == Reorg(ancestor=fork)
