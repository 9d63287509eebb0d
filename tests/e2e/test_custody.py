"""Who may move what: our decision table against the contract, which lets exactly those callers through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from openpay.chain import reads
from openpay.chain.errors import JsonRpcError
from openpay.chain.escrow_abi import refund_data, sweep_data
from openpay.chain.survey import VaultFinding, call_data, survey
from openpay.domain.custody import OPEN_AGAIN_AFTER_S, REFUND_ALL_AFTER_S, EscrowState, Move, Step, Who
from openpay.domain.payment import Payment
from tests.support.anvil import ACCOUNTS
from tests.watcher.beginning import OpenScene
from tests.watcher.scene import UNIT, Scene

STRANGER = bytes.fromhex(ACCOUNTS[0].address[2:])
RECEIVER = b"\x42" * 20


@dataclass
class Court:
    """A payment's vault, and the three who may ask the escrow for what is in it."""

    scene: Scene

    async def look(self, payment: Payment) -> tuple[VaultFinding, int]:
        found = await survey(self.scene.pool, payment.escrow, [payment.terms])
        return found.vaults[0], found.time

    async def may(self, caller: bytes, data: bytes) -> bool:
        call = reads.eth_call(to=self.scene.chain.escrow, data=data, at="latest", sender=caller)
        try:
            await self.scene.pool.call(call)
        except JsonRpcError as refusal:
            if not refusal.is_revert:
                raise
            return False
        return True

    async def allowed(self, payment: Payment, data: bytes) -> set[str]:
        callers = {"stranger": STRANGER, "operator": payment.terms.operator, "merchant": payment.terms.merchant}
        return {name for name, caller in callers.items() if await self.may(caller, data)}

    async def agree(self, payment: Payment) -> list[Step]:
        """Each step is open to exactly those we say, and a holding that has another move is not refundable."""
        vault, now = await self.look(payment)
        settles_first = any(step.move is Move.SETTLE for step in vault.steps)
        for step in vault.steps:
            if step.move is Move.SWEEP and settles_first:
                continue  # not before that one is settled
            data = call_data(payment.terms, step, to=RECEIVER)
            assert await self.allowed(payment, data) == _expected(step), (step, now)
        return list(vault.steps)

    async def merchant_refunds(self, payment: Payment, token: str, units: int) -> None:
        anvil, merchant = self.scene.anvil, "0x" + payment.terms.merchant.hex()
        data = refund_data(payment.terms, self.scene.deployment.tokens[token], RECEIVER, units)
        anvil.rpc("anvil_setBalance", merchant, hex(10**18))
        anvil.rpc("anvil_impersonateAccount", merchant)
        anvil.send(from_=merchant, to="0x" + payment.escrow.hex(), data="0x" + data.hex())

    def until(self, time: int) -> None:
        """The newest block gets this time."""
        self.scene.anvil.rpc("evm_setNextBlockTimestamp", time)
        self.scene.anvil.mine()


def _expected(step: Step) -> set[str]:
    return {
        Who.ANYONE: {"stranger", "operator", "merchant"},
        Who.OPERATOR: {"operator", "merchant"},
        Who.MERCHANT: {"merchant"},
    }[step.who]


@pytest.fixture
async def court(scene_on: OpenScene, sqlite_url: str) -> AsyncIterator[Court]:
    async with scene_on(sqlite_url) as scene:
        yield Court(scene)


Time = Callable[[Payment], int]
TIMES: list[tuple[str, Time]] = [
    ("the last second", lambda payment: payment.terms.expiry),
    ("the second after", lambda payment: payment.terms.expiry + 1),
    ("a second before 24 hours", lambda payment: payment.terms.expiry + REFUND_ALL_AFTER_S - 1),
    ("24 hours", lambda payment: payment.terms.expiry + REFUND_ALL_AFTER_S),
    ("a second before 30 days", lambda payment: payment.terms.expiry + OPEN_AGAIN_AFTER_S - 1),
    ("30 days", lambda payment: payment.terms.expiry + OPEN_AGAIN_AFTER_S),
]


async def test_contract_lets_through_exactly_those_we_name_at_every_time(court: Court) -> None:
    scene = court.scene
    enough, partial, foreign, both, begun = [await scene.create("USDT", "BNB") for _ in range(5)]
    scene.pay(enough, "USDT", 25 * UNIT)
    scene.pay(partial, "USDT", 24 * UNIT)
    scene.pay(foreign, "USDC", 25 * UNIT)
    scene.pay(both, "USDT", 25 * UNIT)
    scene.pay(both, "BNB", 1)
    scene.pay(begun, "USDT", 9 * UNIT)
    await court.merchant_refunds(begun, "USDT", UNIT)
    seen: dict[str, list[list[tuple[Move, Who]]]] = {}
    for name, time in TIMES:
        court.until(max(time(payment) for payment in (enough, partial, foreign, both, begun)))
        seen[name] = []
        for payment in (enough, partial, foreign, both, begun):
            # They were made seconds apart: each is looked at with the others' times in mind.
            steps = await court.agree(payment)
            seen[name].append([(step.move, step.who) for step in steps])
    settle, refund, sweep = Move.SETTLE, Move.REFUND, Move.SWEEP
    assert seen["a second before 24 hours"] == [
        [(settle, Who.OPERATOR)],
        [(refund, Who.OPERATOR)],
        [(refund, Who.OPERATOR)],
        [(settle, Who.OPERATOR), (sweep, Who.ANYONE)],
        [(refund, Who.MERCHANT)],
    ]
    assert seen["30 days"][0] == [(settle, Who.ANYONE)]


async def test_payment_that_still_runs_is_refundable_by_the_merchant_alone(court: Court) -> None:
    partial = await court.scene.create("USDT")
    court.scene.pay(partial, "USDT", 9 * UNIT)
    court.until(partial.terms.expiry)
    (step,) = await court.agree(partial)
    assert (step.move, step.who, step.operator_from) == (Move.REFUND, Who.MERCHANT, partial.terms.expiry + 1)
    court.until(partial.terms.expiry + 1)
    (step,) = await court.agree(partial)
    assert (step.who, step.operator_from) == (Who.OPERATOR, None)


async def test_coin_whose_price_is_gone_waits_a_day_for_the_operator(court: Court) -> None:
    scene = court.scene
    payment = await scene.create("BNB")
    scene.pay(payment, "BNB", UNIT)
    scene.anvil.rpc("anvil_setCode", "0x" + scene.deployment.feeds["BNB/USD"].hex(), "0x5f5ffd")
    court.until(payment.terms.expiry + 1)
    (step,) = await court.agree(payment)
    day_after = payment.terms.expiry + REFUND_ALL_AFTER_S
    assert (step.move, step.who, step.operator_from) == (Move.REFUND, Who.MERCHANT, day_after)
    court.until(day_after)
    (step,) = await court.agree(payment)
    assert step.who is Who.OPERATOR


async def test_settled_payment_is_swept_by_anyone_and_refunded_by_nobody(court: Court) -> None:
    scene = court.scene
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", 25 * UNIT)
    scene.send(scene.settle(payment, "USDT"))
    vault, _ = await court.look(payment)
    assert (vault.state, vault.holdings) == (EscrowState.SETTLED, ())
    usdc = scene.deployment.tokens["USDC"]
    assert await court.allowed(payment, sweep_data(payment.terms, usdc)) == set(), "there is nothing to sweep"
    scene.pay(payment, "USDC", UNIT)
    (step,) = await court.agree(payment)
    assert step.move is Move.SWEEP
    assert await court.allowed(payment, refund_data(payment.terms, usdc, RECEIVER, UNIT)) == set()
