"""What a transfer that is found later changes of the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.deposit import Deposit, Source
from openpay.domain.rescanning import Correction, correct
from tests.domain.builders import make_deposit
from tests.domain.rescanning import corrected


def internal(units: int, *, block: int) -> Deposit:
    return replace(
        make_deposit(units, "BNB", block=block), source=Source.INTERNAL, tx_hash=None, sender=None, payer=None
    )


def test_what_is_on_record_is_not_added_again() -> None:
    recorded = [make_deposit(40, block=3), make_deposit(60, block=4)]
    assert correct(recorded, recorded) == Correction()


def test_missed_transfer_is_added() -> None:
    missed = make_deposit(60, block=4)
    assert correct([make_deposit(40, block=3)], [missed]) == Correction(new=(missed,))


def test_transfer_that_was_taken_for_money_from_inside_a_contract_is_on_record_once() -> None:
    seen = internal(100, block=7)
    missed = make_deposit(100, "BNB", block=5)
    correction = correct([seen], [missed])
    assert missed.payer is not None
    explained = {seen.key: ((missed.payer, 100),)}
    assert correction == Correction(new=(missed,), reduced=((seen, 0),), explained=explained)
    assert corrected([seen], correction) == [missed]


def test_money_that_did_come_from_inside_a_contract_stays() -> None:
    seen = internal(130, block=7)
    missed = make_deposit(100, "BNB", block=5)
    assert correct([seen], [missed]).reduced == ((seen, 30),)


def test_balance_that_was_read_before_the_transfer_did_not_hold_it() -> None:
    seen = internal(100, block=4)
    missed = make_deposit(100, "BNB", block=5)
    assert correct([seen], [missed]).reduced == ()


def test_tokens_are_not_mixed() -> None:
    assert correct([internal(100, block=7)], [make_deposit(100, "USDT", block=5)]).reduced == ()


@dataclass(frozen=True, kw_only=True)
class Story:
    """BNB that reached a vault. `direct` by transactions, of which those in `missed` were not read; `inner` from inside
    contracts; the balance was looked at in the blocks `looks`, and each time by what was known then."""

    direct: tuple[Deposit, ...]
    missed: frozenset[int]
    inner: tuple[tuple[int, int], ...]
    looks: tuple[int, ...]

    def record(self) -> list[Deposit]:
        """As a watcher keeps it that overlooked some transfers."""
        known = [each for at, each in enumerate(self.direct) if at not in self.missed]
        recorded = list(known)
        for block in self.looks:
            balance = sum(each.units for each in self.direct if each.block_number <= block)
            balance += sum(units for number, units in self.inner if number <= block)
            seen = sum(each.units for each in recorded if each.block_number <= block)
            if balance > seen:
                recorded.append(internal(balance - seen, block=block))
        return recorded


@st.composite
def stories(draw: st.DrawFn) -> Story:
    blocks = draw(st.lists(st.integers(1, 30), max_size=6))
    direct = tuple(
        make_deposit(draw(st.integers(1, 50)), "BNB", block=block, position=at) for at, block in enumerate(blocks)
    )
    inner = draw(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 50)), max_size=4))
    return Story(
        direct=direct,
        missed=frozenset(draw(st.lists(st.integers(0, 5), max_size=6))),
        inner=tuple(inner),
        looks=(*sorted(draw(st.sets(st.integers(1, 29), max_size=5))), 30),
    )


def total(deposits: Sequence[Deposit]) -> int:
    return sum(each.units for each in deposits)


@given(story=stories(), cuts=st.lists(st.integers(1, 30), max_size=4))
def test_however_the_range_is_cut_everything_is_on_record_once(story: Story, cuts: list[int]) -> None:
    recorded = story.record()
    assert total(recorded) == total(story.direct) + sum(units for _, units in story.inner)
    edges = [0, *sorted(cuts), 30]
    for first, last in pairwise(edges):
        found = [each for each in story.direct if first < each.block_number <= last]
        recorded = corrected(recorded, correct(recorded, found))
        assert correct(recorded, found) == Correction()
    came_inside = [each for each in recorded if each.source is Source.INTERNAL]
    assert total(came_inside) == sum(units for _, units in story.inner)
    key = {each.key for each in recorded}
    assert {each.key for each in story.direct} <= key
    assert len(key) == len(recorded)
    assert all(each.units > 0 for each in recorded)
