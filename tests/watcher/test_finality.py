"""Which block is final: by depth, by the chain's tag, by other hosts."""

from __future__ import annotations

import pytest

from openpay.chain.pool import Agreement, HostWord
from openpay.domain.chains import Chain
from watcher.finality import Candidate, final_candidate, vouched_number

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
