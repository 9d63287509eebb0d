"""Balances that one host reports, that two report, or that are proven: which of them count."""

from __future__ import annotations

import pytest

from openpay.domain.alerts import AlertKind
from openpay.domain.deposit import Source
from openpay.domain.payment import Status
from tests.faults.faults import without
from tests.faults.proxy import Proxy
from tests.watcher.code import forward
from tests.watcher.nodes import behind
from tests.watcher.scene import Scene, due
from tests.watcher.vaults import WEI, balances, lying, states_gone, step, sums


def offering_no_proofs(*nodes: Proxy) -> None:
    for node in nodes:
        node.faults = [*node.faults, without("eth_getProof")]


async def test_node_without_state_delays_internal_deposits_but_not_the_chain(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        payment = await scene.create("BNB")
        node.lie = lying(lambda *_: "0x", "eth_call")
        forward(scene, payment, due(payment, "BNB")[0])
        await scene.mine(2)
        assert (await scene.cursor()).number == scene.anvil.block_number()
        assert await scene.deposits(payment) == []
        node.lie = None
        await scene.mine(1)
        assert await scene.status(payment) is Status.CONFIRMING


@pytest.mark.parametrize("proofs", [True, False])
async def test_balance_that_only_one_of_two_hosts_reports_is_no_deposit(scene: Scene, proofs: bool) -> None:
    async with behind(scene, 2) as (liar, other):
        if not proofs:
            offering_no_proofs(liar, other)
        payment = await scene.create("BNB")
        liar.lie = lying(lambda *_: balances(due(payment, "BNB")[0]), "eth_call")
        await scene.mine(3)
        assert "eth_call" in liar.asked
        assert await scene.deposits(payment) == []
        assert await scene.status(payment) is Status.INITIATED


async def test_two_hosts_suffice_where_none_offers_proofs(scene: Scene) -> None:
    async with behind(scene, 2) as nodes:
        offering_no_proofs(*nodes)
        payment = await scene.create("BNB")
        forward(scene, payment, WEI)
        await scene.watch()
        assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]


async def test_word_of_one_host_waits_for_that_of_the_second_and_is_dated_in_time(scene: Scene) -> None:
    async with behind(scene, 2) as (first, second):
        offering_no_proofs(first, second)
        payment = await scene.create("BNB")
        second.faults = [*second.faults, without("eth_call")]
        forward(scene, payment, WEI)
        at = scene.anvil.block_number()
        await scene.mine(5)
        assert await scene.deposits(payment) == []
        second.faults = second.faults[:1]
        await scene.mine(1)
        (deposit,) = await scene.deposits(payment)
        assert deposit.block_number == at


async def test_one_host_that_proves_it_suffices(scene: Scene) -> None:
    async with behind(scene, 2) as (honest, liar):
        liar.faults = [without("eth_getProof")]
        payment = await scene.create("BNB")
        honest_calls = honest.asked
        liar.lie = lying(lambda *_: balances(0), "eth_call")
        forward(scene, payment, WEI)
        await step(scene)
        assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]
        assert "eth_getProof" in honest_calls


async def test_proof_of_another_state_proves_nothing(scene: Scene) -> None:
    """A liar that shows a real proof, but of an account in another block."""
    payment = await scene.create("BNB")
    forward(scene, payment, WEI)
    rich = scene.anvil.block()["hash"]
    await scene.watch()
    async with behind(scene, 2) as (liar, honest):
        honest.faults = [without("eth_getProof")]
        proof = scene.anvil.rpc("eth_getProof", "0x" + payment.address.hex(), [], {"blockHash": rich})
        liar.lie = lying(
            lambda method, *_: proof if method == "eth_getProof" else balances(2 * WEI), "eth_getProof", "eth_call"
        )
        scene.anvil.mine(1)
        await step(scene)
        assert "eth_getProof" in liar.asked
        assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]


@pytest.mark.parametrize("order", [0, 1])
async def test_host_that_hides_money_hides_it_for_seconds_only(scene: Scene, order: int) -> None:
    async with behind(scene, 2) as nodes:
        payment = await scene.create("BNB")
        nodes[order].lie = lying(lambda *_: balances(0), "eth_call")
        await step(scene)
        forward(scene, payment, WEI)
        await scene.mine(1)
        await step(scene)
        assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]


@pytest.mark.parametrize("trouble", ["refused", "not sure"])
async def test_balances_that_stay_unread_raise_an_alert_until_they_are_read(scene: Scene, trouble: str) -> None:
    kind = (AlertKind.BALANCES_UNREAD, "")
    async with behind(scene, 2) as (first, second):
        offering_no_proofs(first, second)
        payment = await scene.create("BNB", expires_in=600)
        forward(scene, payment, WEI)
        refusing = (first, second) if trouble == "refused" else (second,)
        for node in refusing:
            node.faults = [*node.faults, without("eth_call")]
        await scene.mine(1)
        scene.anvil.increase_time(30)
        await scene.watch()
        assert kind not in scene.alarm.standing
        scene.anvil.increase_time(60)
        await scene.watch()
        assert trouble in scene.alarm.standing[kind]
        for node in refusing:
            node.faults = node.faults[:1]
        await scene.mine(1)
        assert kind not in scene.alarm.standing
        assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]


async def test_states_that_nobody_has_any_more_raise_no_alert(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        await scene.create("BNB")
        scene.anvil.mine(300, interval_s=1)
        node.faults = [states_gone(scene, below=scene.anvil.block_number() - 90)]
        await scene.watch()
        assert scene.alarm.raised == []
