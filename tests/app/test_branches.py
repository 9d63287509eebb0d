"""A watcher that was led down any number of wrong branches ends where one that read only the right one does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openpay.app.follow import BlockFacts
from openpay.domain.assessment import Accepted, Evidence, Head, advance
from openpay.domain.deposit import Deposit
from openpay.domain.payment import Payment, Status
from tests.app.worlds import World
from tests.domain.builders import block_time, make_deposit

CONFIRMATIONS = 3
FAR = block_time(10_000)
"""Retractions move deadlines. Here none is ever near, so that two readings can be compared."""
PAYMENTS = ("a", "b")

_chain_ids = count(1_000)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Take back up to `undone` blocks, then read one block for each item of `blocks`."""

    undone: int
    blocks: tuple[tuple[Deposit, ...], ...]


@st.composite
def contents(draw: st.DrawFn) -> tuple[Deposit, ...]:
    """The deposits of one block. With these amounts one suffices, or two or three do."""
    return tuple(
        make_deposit(
            draw(st.sampled_from([30, 50, 70, 100, 990])),
            draw(st.sampled_from(["USDT", "USDT", "USDC", "BNB"])),
            position=position,
            payment_id=draw(st.sampled_from(PAYMENTS)),
        )
        for position in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3])))
    )


turns = st.lists(
    st.builds(
        Turn,
        undone=st.integers(0, CONFIRMATIONS - 1),
        blocks=st.lists(contents(), min_size=1, max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=4,
)


def final_at(number: int) -> int | None:
    return number - CONFIRMATIONS + 1 if number >= CONFIRMATIONS else None


async def read(world: World, chain_id: int, story: Sequence[Turn]) -> Sequence[BlockFacts]:
    """Follow the story as a watcher does, until the chain is longer than it ever was; answers what is left of it."""
    ids = {name: f"{name}_{chain_id}" for name in PAYMENTS}
    highest = 0

    async def mine(number: int, branch: int, deposits: Sequence[Deposit]) -> None:
        await world.mine(
            number,
            chain_id=chain_id,
            branch=f"{chain_id} {branch}",
            deposits=[replace(deposit, payment_id=ids[deposit.payment_id]) for deposit in deposits],
            final=final_at(number),
            answers=dict.fromkeys(ids.values(), Accepted()),
        )

    await mine(0, 0, ())
    for branch, turn in enumerate([*story, Turn(undone=0, blocks=((),) * CONFIRMATIONS)]):
        number = len(world.read[chain_id]) - 1
        lowest = final_at(highest) or 0
        for _ in range(min(turn.undone, number - lowest)):
            await world.undo(chain_id=chain_id)
            number -= 1
        for deposits in turn.blocks:
            number += 1
            await mine(number, branch, deposits)
        highest = max(highest, number)
    while (number := len(world.read[chain_id])) <= highest:
        await mine(number, len(story), ())
    return world.read[chain_id]


def judged(payment: Payment, chain: Sequence[BlockFacts]) -> Payment:
    """What this chain, read straight through, makes of a payment: no database, nothing undone."""
    deposits: list[Deposit] = []
    for facts in chain:
        deposits += [deposit for deposit in facts.deposits if deposit.payment_id == payment.id]
        final = final_at(facts.block.number)
        head = Head(
            number=facts.block.number,
            time=facts.block.time,
            tip_time=facts.block.time,
            final_number=final,
            final_time=None if final is None else block_time(final),
        )
        payment = advance(payment, Evidence(deposits=deposits, escrow_answer=Accepted()), head).payment
    return payment


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=turns)
async def test_wrong_branches_leave_no_trace(world: World, story: Sequence[Turn]) -> None:
    chain_id = next(_chain_ids)  # a fresh chain each time, in one database
    payments = [await world.add(f"{name}_{chain_id}", chain_id=chain_id, deadline=FAR) for name in PAYMENTS]
    chain = await read(world, chain_id, story)

    for payment in payments:
        stored = await world.get(payment.id)
        straight = judged(payment, chain)
        # What a retraction is meant to leave: more time for the customer, and a new version for whoever looks.
        names = ("deadline", "confirming_since", "retracted_at", "version")
        assert stored == replace(straight, **{name: getattr(stored, name) for name in names})
        assert stored.deadline >= payment.deadline

        async with world.store.read() as uow:
            kept = (await uow.deposits.of([payment.id])).get(payment.id, [])
            assert await uow.chain.covered(chain_id) == (0, len(chain) - 1)
        said = [deposit for facts in chain for deposit in facts.deposits if deposit.payment_id == payment.id]
        assert sorted(kept, key=lambda deposit: deposit.order) == sorted(said, key=lambda deposit: deposit.order)

        told = Counter(await world.told(payment.id))
        assert told["completed"] == (stored.status is Status.PAID)
        assert told["confirming"] >= told["completed"]
        named = [(event.type, event.subject) for event in await world.events(payment.id) if event.subject is not None]
        assert len(named) == len(set(named))
