"""Which block is final: by depth, by the chain's tag, by other hosts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpay.chain.words import Agreement, HostWord
from openpay.domain.chains import Chain
from watcher.finality import Candidate, final_candidate, stall_of, vouched_number

CHAIN = Chain(chain_id=1, name="test", escrow=bytes(20), tokens=())
A, D, N, S = HostWord.AGREES, HostWord.DISAGREES, HostWord.NOT_YET, HostWord.SILENT


@pytest.mark.parametrize(
    ("finalized", "final", "stalled"),
    [
        (1000, 989, False),  # the tag is above: 12 confirmations decide, the head counting as the first
        (989, 989, False),
        (988, 988, False),  # the tag is below: it decides
        (761, 761, False),
        (760, 761, True),  # 240 confirmations take the place of a tag that stands still
        (0, 761, True),
    ],
)
def test_both_depth_and_the_finalized_tag_are_needed(finalized: int, final: int, stalled: bool) -> None:
    assert final_candidate(CHAIN, head=1000, finalized=finalized) == Candidate(number=final, stalled=stalled)


def test_chain_without_a_tag_is_final_by_depth_alone() -> None:
    assert final_candidate(CHAIN, head=1000, finalized=None) == Candidate(number=989, stalled=False)


def test_more_required_confirmations_than_the_stalled_depth_are_still_required() -> None:
    chain = Chain(chain_id=1, name="test", escrow=bytes(20), tokens=(), confirmations=500)
    assert final_candidate(chain, head=1000, finalized=0).number == 501


@pytest.mark.parametrize(
    ("finalized", "words"),
    [
        (None, None),
        (989, None),
        (881, None),  # behind, as a tag may be for a while
        (880, "payments wait"),
        (761, "payments wait"),
        (760, "depth takes its place"),
        (0, "depth takes its place"),
    ],
)
def test_tag_that_stands_still_is_told_at_half_the_depth_that_takes_its_place(
    finalized: int | None, words: str | None
) -> None:
    candidate = final_candidate(CHAIN, head=1000, finalized=finalized)
    stall = stall_of(CHAIN, candidate, head=1000, finalized=finalized)
    assert (stall is None) if words is None else (stall is not None and words in stall)


@given(
    head=st.integers(0, 2_000),
    finalized=st.none() | st.integers(0, 2_000),
    confirmations=st.integers(1, 300),
    depth=st.integers(1, 300),
    words=st.lists(st.sampled_from(HostWord), min_size=1, max_size=4),
)
def test_final_is_never_above_what_depth_tag_and_hosts_allow(
    head: int, finalized: int | None, confirmations: int, depth: int, words: list[HostWord]
) -> None:
    chain = replace(CHAIN, confirmations=confirmations, stalled_finality_confirmations=depth)
    candidate = final_candidate(chain, head=head, finalized=finalized)
    agreement = Agreement(words={f"host{i}": word for i, word in enumerate(words)})
    final = vouched_number(chain, candidate, agreement, head=head)
    if final is None:
        return
    assert head - final + 1 >= confirmations
    assert not agreement.contradicted
    very_deep = head - final + 1 >= depth
    assert very_deep or finalized is None or final <= finalized
    assert very_deep or agreement.confirmed


@given(head=st.integers(0, 2_000), tags=st.lists(st.integers(0, 2_000), min_size=2, max_size=2).map(sorted))
def test_tag_that_goes_back_makes_nothing_final_that_was_not(head: int, tags: list[int]) -> None:
    back, forth = (final_candidate(CHAIN, head=head, finalized=min(tag, head)).number for tag in tags)
    assert back <= forth


@pytest.mark.parametrize(
    ("words", "final"),
    [
        ([A], 989),
        ([N], None),
        ([A, A], 989),
        ([A, A, S], 989),
        ([A, N], None),  # the second host is behind: wait for it
        ([N, N], None),
        ([A, S], 761),  # an outage slows payments down
        ([S, S], 761),
        ([A, S, S], 761),
        ([A, D], None),  # a disagreement stops them
        ([A, A, D], None),
        ([S, D], None),
    ],
)
def test_hosts_vouch_for_the_candidate(words: list[HostWord], final: int | None) -> None:
    agreement = Agreement(words={f"host{i}": word for i, word in enumerate(words)})
    candidate = Candidate(number=989, stalled=False)
    assert vouched_number(CHAIN, candidate, agreement, head=1000) == final
