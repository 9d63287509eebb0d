"""Vaults that receive BNB from inside contracts, and nodes that tell untruths of their balances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openpay.chain.escrow_abi import sweep_data
from openpay.domain.deposit import Source
from openpay.domain.payment import Payment, Status
from tests.faults.faults import Fault, Refusal
from tests.watcher.scene import Scene, Unsigned, due
from watcher.internal import STEP_S

WEI = 10**16
"""0.01 BNB: worth more than its own sweep or refund."""


async def sums(scene: Scene, payment: Payment) -> list[tuple[Source, int]]:
    return [(each.source, each.units) for each in sorted(await scene.deposits(payment), key=lambda each: each.order)]


async def ended(scene: Scene, *tokens: str) -> Payment:
    """A payment that expired with nothing received."""
    payment = await scene.create(*(tokens or ("BNB",)), expires_in=300)
    scene.anvil.increase_time(400)
    await scene.mine(12)
    assert await scene.status(payment) is Status.EXPIRED
    # What comes in the second of the end counts as before it.
    scene.anvil.increase_time(1)
    return payment


async def settled(scene: Scene) -> Payment:
    """A payment that was paid and settled, both of which is final."""
    payment = await scene.create("BNB")
    scene.pay(payment, "BNB", due(payment, "BNB")[0])
    scene.send(scene.settle(payment, "BNB"))
    await scene.mine(25)
    assert await scene.status(payment) is Status.PAID
    # What comes in the second of the end counts as before it.
    scene.anvil.increase_time(1)
    return payment


async def step(scene: Scene) -> None:
    """Let the time of one step of the rounds pass, and read the block that shows it."""
    scene.anvil.increase_time(STEP_S)
    await scene.watch()


def lying(answer: Callable[[str, list[Any], Any], Any], *methods: str) -> Callable[[str, list[Any], Any], Any]:
    return lambda method, params, result: answer(method, params, result) if method in methods else result


def balances(*wei: int) -> Any:
    """As the contract that reads balances answers them."""
    return "0x" + b"".join(number.to_bytes(32, "big") for number in (32, len(wei), *wei)).hex()


def states_gone(scene: Scene, *, below: int) -> Fault:
    """As a node that keeps the state of its newest blocks only."""
    old = {scene.anvil.block(number)["hash"] for number in range(below)}

    async def answer(method: str, params: list[Any], ask: Any) -> Any:
        if method in ("eth_call", "eth_getProof") and params[-1].get("blockHash") in old:
            raise Refusal(-32000, "missing trie node")
        return await ask(method, params)

    return Fault(name="states gone", answer=answer)


def sweep(payment: Payment) -> Unsigned:
    """What anyone may send once the payment is settled."""
    return Unsigned(to=payment.escrow, data=sweep_data(payment.terms, None), gas=300_000)
