"""What holds for every payment, whatever arrives, in whatever order, and whatever is taken back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from openpay.domain.assessment import Accepted, EscrowAnswer, Evidence, Head, Outcome, Refused, advance, tally
from openpay.domain.deposit import Deposit, RevertedAttempt
from openpay.domain.events import EventType
from openpay.domain.payment import ENDED, TRANSITIONS, Payment, Status
from tests.domain.builders import block_time, head_at, make_attempt, make_deposit, make_payment, make_settled

BLOCKS = 24
FINAL_DEPTH = 4
STATUS_EVENTS = {
    EventType.PENDING,
    EventType.CONFIRMING,
    EventType.COMPLETED,
    EventType.FAILED,
    EventType.EXPIRED,
    EventType.CANCELED,
    EventType.REVERSED,
}


@dataclass(frozen=True, kw_only=True)
class Story:
    """A payment and all that a chain of `BLOCKS` blocks will ever say of it."""

    payment: Payment
    deposits: tuple[Deposit, ...]
    attempts: tuple[RevertedAttempt, ...]
    settled_in: int | None
    answers: tuple[EscrowAnswer, ...]

    def evidence(self, number: int) -> Evidence:
        """What the blocks up to `number` say."""
        settled = self.settled_in is not None and self.settled_in <= number
        return Evidence(
            deposits=[deposit for deposit in self.deposits if deposit.block_number <= number],
            attempts=[attempt for attempt in self.attempts if attempt.block_number <= number],
            settled=make_settled(block=self.settled_in) if settled and self.settled_in is not None else None,
            escrow_answer=self.answers[number],
        )

    def follow(self, payment: Payment, numbers: Sequence[int]) -> Iterator[tuple[Payment, Outcome]]:
        """Read these blocks one by one: each time the payment before, and what came of it."""
        for number in numbers:
            outcome = advance(payment, self.evidence(number), head(number))
            yield payment, outcome
            payment = outcome.payment

    def read(self, payment: Payment, numbers: Sequence[int]) -> Payment:
        for _, outcome in self.follow(payment, numbers):
            payment = outcome.payment
        return payment


def head(number: int) -> Head:
    return head_at(number, final=number - FINAL_DEPTH if number >= FINAL_DEPTH else None)


@st.composite
def stories(draw: st.DrawFn, *, deadline_block: int | None = None) -> Story:
    """The deadline is any block's time unless given. Sometimes one deposit suffices, or two or three, or none."""
    places = draw(st.lists(st.integers(1, BLOCKS - 1), max_size=6))
    tokens = {"USDT": [1, 30, 50, 99, 100, 250], "USDC": [40, 55, 94, 95], "BNB": [400, 590, 989, 990]}
    deposits = []
    for position, block in enumerate(places):
        token = draw(st.sampled_from(sorted(tokens)))
        deposits.append(make_deposit(draw(st.sampled_from(tokens[token])), token, block=block, position=position))
    reverted = draw(st.lists(st.integers(1, BLOCKS - 1), max_size=2, unique=True))
    deadline = block_time(draw(st.integers(0, BLOCKS)) if deadline_block is None else deadline_block)
    accepted_tokens = draw(st.integers(1, 3))
    answer = st.sampled_from([None, Accepted(), Accepted(), Refused(error="PriceTooOld")])
    return Story(
        payment=make_payment(
            status=draw(st.sampled_from([Status.INITIATED, Status.PENDING])),
            deadline=deadline,
            expires_at=deadline,
            offers=make_payment().offers[:accepted_tokens],
        ),
        deposits=tuple(deposits),
        attempts=tuple(make_attempt(block=block) for block in reverted),
        settled_in=draw(st.none() | st.integers(1, BLOCKS - 1)),
        answers=tuple(draw(st.lists(answer, min_size=BLOCKS, max_size=BLOCKS))),
    )


EVERYTHING = range(BLOCKS)


@given(story=stories(), data=st.data())
def test_order_in_which_deposits_are_listed_means_nothing(story: Story, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, BLOCKS - 1))
    told = story.evidence(number)
    shuffled = replace(
        told,
        deposits=data.draw(st.permutations(told.deposits)),
        attempts=data.draw(st.permutations(told.attempts)),
    )
    assert advance(story.payment, shuffled, head(number)) == advance(story.payment, told, head(number))


@given(story=stories())
def test_deciding_again_changes_nothing_and_says_nothing_new(story: Story) -> None:
    payment = story.payment
    for number, (_, outcome) in zip(EVERYTHING, story.follow(payment, EVERYTHING), strict=True):
        again = advance(outcome.payment, story.evidence(number), head(number))
        assert again.payment == outcome.payment
        # What may be said again has a name by which the store knows it.
        assert all(draft.subject is not None and draft in outcome.events for draft in again.events)


@given(story=stories())
def test_status_moves_along_the_table_and_every_move_is_told(story: Story) -> None:
    for before, outcome in story.follow(story.payment, EVERYTHING):
        kinds = [draft.type for draft in outcome.events if draft.type in STATUS_EVENTS]
        after = outcome.payment
        changed = (before.status, before.completion, before.reversed_at) != (
            after.status,
            after.completion,
            after.reversed_at,
        )
        assert bool(kinds) == changed
        if changed and after.reversed_at == before.reversed_at:
            last = {Status.PAID: EventType.COMPLETED}.get(after.status, f"payment.{after.status}")
            assert kinds[-1] == last
        steps = {(was, then) for (was, _), then in TRANSITIONS.items()}
        reachable = {before.status}
        for _ in kinds:
            reachable |= {then for was, then in steps if was in reachable}
        assert after.status in reachable


@given(story=stories())
def test_paid_only_by_the_least_amount_of_one_accepted_token(story: Story) -> None:
    payment = story.read(story.payment, EVERYTHING)
    sums: dict[str, int] = defaultdict(int)
    for deposit in story.deposits:
        sums[deposit.token] += deposit.units
    enough = {offer.token for offer in payment.offers if sums[offer.token] >= offer.min_units}
    if payment.status is Status.PAID:
        assert payment.completion is not None
        assert payment.completion.token in enough
        assert not payment.completion.reverted
        assert payment.settlement is not None
        assert payment.paid_confirmations is not None
        assert payment.paid_confirmations > FINAL_DEPTH
    else:
        assert payment.settlement is None
        assert payment.paid_at is None


@given(story=stories())
def test_each_tokens_tally_is_its_own(story: Story) -> None:
    tallies = tally(story.payment, story.deposits)
    assert set(tallies) == {offer.token for offer in story.payment.offers}
    for offer in story.payment.offers:
        mine = [deposit for deposit in story.deposits if deposit.token == offer.token]
        assert tallies[offer.token] == tally(story.payment, mine)[offer.token]
        assert tallies[offer.token].received_units == sum(deposit.units for deposit in mine)
        assert tallies[offer.token].on_time_units <= tallies[offer.token].received_units
        assert 0 <= tallies[offer.token].remaining_units <= offer.full_units


@given(story=stories(), other=stories(), data=st.data())
def test_ends_are_final_whatever_comes_after(story: Story, other: Story, data: st.DataObject) -> None:
    ended = story.read(story.payment, EVERYTHING)
    if ended.status not in ENDED:
        return
    numbers = data.draw(st.lists(st.integers(0, BLOCKS - 1), max_size=5))
    after = other.read(ended, numbers)
    moved = {"reversed_at": ended.reversed_at, "settlement": ended.settlement, "completion": ended.completion}
    assert replace(after, **moved) == ended
    if ended.status is not Status.PAID:
        assert after == ended


@given(story=stories())
def test_every_payment_ends_once_time_has_passed_and_the_escrow_has_answered(story: Story) -> None:
    # Time enough after the last block for everything to be decided, and the escrow accepts all it is asked.
    final = replace(story, answers=(Accepted(),) * BLOCKS).evidence(BLOCKS - 1)
    payment = story.read(story.payment, EVERYTHING)
    for number in (BLOCKS + 10, BLOCKS + 20):
        payment = advance(payment, final, head_at(number, final=number - FINAL_DEPTH)).payment
    assert payment.status in ENDED


@given(story=stories(deadline_block=10 * BLOCKS), data=st.data())
def test_undoing_blocks_and_reading_them_again_is_as_if_nothing_was_undone(story: Story, data: st.DataObject) -> None:
    top = data.draw(st.integers(FINAL_DEPTH, BLOCKS - 1))
    depth = data.draw(st.integers(1, FINAL_DEPTH))
    straight = story.read(story.payment, range(top + 1))

    payment = straight
    final = top - FINAL_DEPTH
    for number in range(top - 1, top - depth - 1, -1):
        undone = replace(story.evidence(number), escrow_answer=None)
        payment = advance(payment, undone, head_at(number, final=final, tip=top)).payment
    for number in range(top - depth + 1, top + 1):
        # What the escrow answers is no part of a block: asked again at a lower one, while finality stays where it was,
        # it could decide what it had not yet been asked when that block was first read.
        told = story.evidence(number) if number == top else replace(story.evidence(number), escrow_answer=None)
        payment = advance(payment, told, head_at(number, final=final)).payment

    # The customer keeps the time that the retraction gave; nobody forgets that money was once seen.
    assert payment.deadline >= straight.deadline
    kept = {name: getattr(straight, name) for name in ("deadline", "confirming_since", "retracted_at")}
    assert replace(payment, **kept) == straight


@given(story=stories(), data=st.data())
def test_undoing_never_ends_a_payment_and_never_shortens_its_time(story: Story, data: st.DataObject) -> None:
    top = data.draw(st.integers(FINAL_DEPTH, BLOCKS - 1))
    payment = story.read(story.payment, range(top + 1))
    for number in range(top - 1, top - FINAL_DEPTH - 1, -1):
        undone = replace(story.evidence(number), escrow_answer=None)
        after = advance(payment, undone, head_at(number, final=top - FINAL_DEPTH, tip=top)).payment
        assert after.status == payment.status or after.status not in ENDED
        assert after.deadline >= payment.deadline
        payment = after
