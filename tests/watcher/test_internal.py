"""BNB from inside contracts: found by balance, dated, never counted twice, and looked for after a payment's end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from openpay.app.records import BalanceRound
from openpay.chain.escrow_abi import sweep_data
from openpay.domain.alerts import AlertKind
from openpay.domain.assessment import is_late
from openpay.domain.deposit import Source
from openpay.domain.payment import LATE_WINDOW_S, Payment, Status
from tests.faults.faults import Fault, Refusal, without
from tests.faults.proxy import Proxy
from tests.watcher.code import deploy_forwarder, deploy_testament, forward
from tests.watcher.scene import CHAIN_ID, Scene, Unsigned, due
from tests.watcher.test_nodes import behind
from watcher import dating, internal, naming
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


async def step(scene: Scene) -> None:
    """Let the time of one step of the rounds pass, and read the block that shows it."""
    scene.anvil.increase_time(STEP_S)
    await scene.watch()


def lying(answer: Callable[[str, list[Any], Any], Any], *methods: str) -> Callable[[str, list[Any], Any], Any]:
    return lambda method, params, result: answer(method, params, result) if method in methods else result


def balances(*wei: int) -> Any:
    """As the contract that reads balances answers them."""
    return "0x" + b"".join(number.to_bytes(32, "big") for number in (32, len(wei), *wei)).hex()


# --- found ---------------------------------------------------------------------------------------------------------


async def test_bnb_sent_from_inside_a_contract_is_found_by_balance(either_scene: Scene) -> None:
    scene = either_scene
    payment = await scene.create("BNB")
    full = due(payment, "BNB")[0]
    forward(scene, payment, full)
    await scene.watch()
    confirming = await scene.now(payment)
    assert confirming.status is Status.CONFIRMING
    assert confirming.completion is not None
    assert confirming.completion.tx_hash is None
    assert await sums(scene, payment) == [(Source.INTERNAL, full)]
    await scene.mine(11)
    assert await scene.status(payment) is Status.PAID
    assert len(await scene.deposits(payment)) == 1


async def test_bnb_from_inside_a_contract_adds_to_what_was_sent_directly(scene: Scene) -> None:
    payment = await scene.create("BNB")
    full = due(payment, "BNB")[0]
    scene.pay(payment, "BNB", full // 4)
    forward(scene, payment, full // 4)
    await scene.mine(3)
    forward(scene, payment, full)
    await scene.watch()
    assert await sums(scene, payment) == [
        (Source.TRANSACTION, full // 4),
        (Source.INTERNAL, full // 4),
        (Source.INTERNAL, full),
    ]


async def test_both_kinds_in_one_block_are_told_apart(scene: Scene) -> None:
    payment = await scene.create("BNB")
    forwarder = deploy_forwarder(scene, payment)
    scene.send(Unsigned(to=forwarder, value=3 * WEI), scene.transfer("BNB", payment.address, 5 * WEI))
    await scene.mine(2)
    assert await sums(scene, payment) == [(Source.TRANSACTION, 5 * WEI), (Source.INTERNAL, 3 * WEI)]


async def test_what_a_destroyed_contract_leaves_is_found(scene: Scene) -> None:
    payment = await scene.create("BNB")
    scene.send(Unsigned(to=deploy_testament(scene, payment), value=WEI))
    await scene.watch()
    assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]


async def test_settled_in_its_own_block_it_is_found(scene: Scene) -> None:
    payment = await scene.create("BNB")
    full = due(payment, "BNB")[0]
    forwarder = deploy_forwarder(scene, payment)
    scene.send(Unsigned(to=forwarder, value=full), scene.settle(payment, "BNB"))
    await scene.mine(11)
    assert await scene.status(payment) is Status.PAID
    assert await scene.received(payment, "BNB") == full
    assert scene.anvil.balance("0x" + payment.address.hex()) == 0


# --- after the end -------------------------------------------------------------------------------------------------


async def test_after_the_end_it_is_found_and_late(either_scene: Scene) -> None:
    scene = either_scene
    payment = await ended(scene)
    forward(scene, payment, due(payment, "BNB")[0])
    await step(scene)
    (deposit,) = await scene.deposits(payment)
    now = await scene.now(payment)
    assert (deposit.source, now.status, is_late(now, deposit)) == (Source.INTERNAL, Status.EXPIRED, True)
    assert (await scene.events(payment))[-1] == "late_deposit"
    await scene.mine(30)
    assert len(await scene.deposits(payment)) == 1


async def test_it_is_dated_at_its_own_block_though_it_is_found_later(scene: Scene) -> None:
    payment = await ended(scene)
    await step(scene)
    forward(scene, payment, WEI)
    at = scene.anvil.block()
    await scene.mine(6)
    assert await scene.deposits(payment) == []
    await step(scene)
    (deposit,) = await scene.deposits(payment)
    assert (deposit.block_number, deposit.block_hash.hex()) == (int(at["number"], 16), at["hash"][2:])


async def test_sent_before_the_end_and_found_after_it_counts_from_the_end(scene: Scene) -> None:
    """The verdict is final: what nobody saw in time is late, and told as such."""
    async with behind(scene, 1) as (node,):
        payment = await scene.create("BNB", expires_in=300)
        node.faults = [without("eth_call", "eth_getProof")]
        forward(scene, payment, due(payment, "BNB")[0])
        scene.anvil.increase_time(400)
        await scene.mine(12)
        assert await scene.status(payment) is Status.EXPIRED
        node.faults = []
        scene.restart(pool=scene.pool)
        await step(scene)
        (deposit,) = await scene.deposits(payment)
        now = await scene.now(payment)
        assert now.ended_at is not None
        assert deposit.block_time > now.ended_at
        assert is_late(now, deposit)


async def test_what_comes_after_a_payment_was_paid_is_excess(scene: Scene) -> None:
    payment = await scene.create("BNB")
    scene.pay(payment, "BNB", due(payment, "BNB")[0])
    scene.send(scene.settle(payment, "BNB"))
    await scene.mine(25)
    scene.anvil.increase_time(1)
    assert await scene.status(payment) is Status.PAID
    forward(scene, payment, WEI)
    await step(scene)
    (_, deposit) = await scene.deposits(payment)
    assert (deposit.source, deposit.units) == (Source.INTERNAL, WEI)
    async with scene.store.read() as uow:
        (excess,) = await uow.excess.of_chain(CHAIN_ID, limit=10)
    assert (excess.payment_id, excess.token, excess.units) == (payment.id, "BNB", WEI)


async def test_what_comes_after_a_payment_was_canceled_is_late(scene: Scene) -> None:
    payment = await scene.create("BNB")
    async with scene.store.write() as uow:
        await scene.service.cancel(uow, payment.id)
    scene.anvil.increase_time(5)
    forward(scene, payment, WEI)
    await step(scene)
    (deposit,) = await scene.deposits(payment)
    assert is_late(await scene.now(payment), deposit)


@pytest.mark.parametrize("is_open", [True, False])
async def test_payment_that_accepts_no_bnb_is_looked_at_too(scene: Scene, is_open: bool) -> None:
    payment = await scene.create("USDT") if is_open else await ended(scene, "USDT")
    forward(scene, payment, WEI)
    await step(scene)
    assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]
    assert await scene.status(payment) is (Status.INITIATED if is_open else Status.EXPIRED)


async def test_thirty_days_after_the_end_nobody_looks_any_more(scene: Scene) -> None:
    payment = await ended(scene)
    until = (await scene.now(payment)).watched_until
    assert until is not None
    scene.anvil.increase_time(until - scene.anvil.timestamp() - 60)
    forward(scene, payment, WEI)
    await step(scene)
    assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]
    scene.anvil.increase_time(LATE_WINDOW_S)
    forward(scene, payment, WEI)
    await step(scene)
    assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]


async def test_money_that_a_stranger_swept_in_its_own_block_is_on_record(scene: Scene) -> None:
    payment = await scene.create("BNB")
    scene.pay(payment, "BNB", due(payment, "BNB")[0])
    scene.send(scene.settle(payment, "BNB"))
    await scene.mine(25)
    scene.anvil.increase_time(1)
    forwarder = deploy_forwarder(scene, payment)
    sweep = Unsigned(to=payment.escrow, data=sweep_data(payment.terms, None), gas=300_000)
    scene.send(Unsigned(to=forwarder, value=WEI), sweep)
    await scene.watch()
    assert scene.anvil.balance("0x" + payment.address.hex()) == 0
    assert (await sums(scene, payment))[1:] == [(Source.INTERNAL, WEI)]


# --- the rounds ----------------------------------------------------------------------------------------------------


async def test_rounds_reach_every_vault_a_few_at_a_time_whatever_restarts(
    either_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = either_scene
    monkeypatch.setattr(internal, "ADDRESSES_PER_CALL", 2)
    payments = [await scene.create("BNB", expires_in=300) for _ in range(3)]
    scene.anvil.increase_time(400)
    await scene.mine(12)
    payments += [await scene.create("USDT") for _ in range(2)]
    for payment in payments:
        forward(scene, payment, WEI)
    found = []
    for _ in range(4):
        scene.restart()
        await step(scene)
        found.append(sum([len(await scene.deposits(payment)) for payment in payments]))
    assert found[-1] == 5
    assert all(later - earlier <= 2 for earlier, later in zip([0, *found], found, strict=False))


async def test_rounds_ask_once_in_ten_seconds_however_many_blocks_there_are(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        await ended(scene)
        await step(scene)
        node.asked.clear()
        scene.anvil.mine(25, interval_s=1)
        await scene.watch()
        assert node.asked.count("eth_call") == 2
        node.asked.clear()
        scene.anvil.mine(5, interval_s=0)
        await scene.watch()
        assert node.asked.count("eth_call") == 0


async def test_a_step_that_no_node_answers_is_taken_again(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        payment = await ended(scene)
        forward(scene, payment, WEI)
        node.faults = [without("eth_call")]
        await step(scene)
        async with scene.store.read() as uow:
            before = await uow.vault_looks.round_(CHAIN_ID)
        assert await scene.deposits(payment) == []
        node.faults = []
        await step(scene)
        assert await sums(scene, payment) == [(Source.INTERNAL, WEI)]
        async with scene.store.read() as uow:
            assert await uow.vault_looks.round_(CHAIN_ID) != before


async def test_more_arrivals_than_are_dated_at_once_are_dated_by_and_by(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends dust to many vaults makes no search longer, and no money is passed over."""
    monkeypatch.setattr(internal, "MOST_AT_ONCE", 2)
    payments = [await scene.create("USDT") for _ in range(5)]
    for payment in payments:
        forward(scene, payment, WEI)
    found = []
    for _ in range(3):
        await step(scene)
        found.append(sum([len(await scene.deposits(payment)) for payment in payments]))
    assert found == [2, 4, 5]


async def test_search_ends_after_so_many_looks_and_dates_money_as_well_as_it_can(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dating, "MOST_LOOKS", 3)
    payment = await scene.create("BNB")
    forward(scene, payment, WEI)
    at = scene.anvil.block_number()
    scene.anvil.mine(200)
    await scene.watch()
    (deposit,) = await scene.deposits(payment)
    assert at < deposit.block_number < at + 60


async def test_dating_late_money_takes_few_looks(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it came it is late: dust in ended payments holds up nobody who waits."""
    monkeypatch.setattr(dating, "LOOKS_FOR_ENDED", 2)
    payment = await ended(scene)
    await step(scene)
    forward(scene, payment, WEI)
    at = scene.anvil.block_number()
    scene.anvil.mine(6)
    await step(scene)
    (deposit,) = await scene.deposits(payment)
    assert deposit.block_number == scene.anvil.block_number() - 1 > at


async def test_chain_whose_coin_is_not_listed_is_asked_for_no_balances(scene: Scene) -> None:
    tokens = tuple(token for token in scene.chain.tokens if token.contract is not None)
    async with behind(scene, 1) as (node,):
        scene.restart(chain=replace(scene.chain, tokens=tokens))
        payment = await scene.create("USDT")
        forward(scene, payment, WEI)
        await step(scene)
        assert node.asked.count("eth_call") == 0
        assert await scene.deposits(payment) == []


# --- what is sure ----------------------------------------------------------------------------------------------------


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


# --- dated -----------------------------------------------------------------------------------------------------------


def states_gone(scene: Scene, *, below: int) -> Fault:
    """As a node that keeps the state of its newest blocks only."""
    old = {scene.anvil.block(number)["hash"] for number in range(below)}

    async def answer(method: str, params: list[Any], ask: Any) -> Any:
        if method in ("eth_call", "eth_getProof") and params[-1].get("blockHash") in old:
            raise Refusal(-32000, "missing trie node")
        return await ask(method, params)

    return Fault(name="states gone", answer=answer)


async def test_money_of_a_block_far_behind_is_dated_there_and_in_time(either_scene: Scene) -> None:
    """A watcher that was down: blocks share a transaction, and the deadline passes while it catches up."""
    scene = either_scene
    payment = await scene.create("BNB", expires_in=300)
    scene.anvil.mine(20, interval_s=1)
    forward(scene, payment, due(payment, "BNB")[0])
    at = scene.anvil.block_number()
    scene.anvil.mine(200, interval_s=3)
    scene.restart()
    await scene.watch()
    (deposit,) = await scene.deposits(payment)
    assert deposit.block_number == at
    assert await scene.status(payment) is Status.PAID


async def test_where_states_are_gone_money_is_dated_at_the_oldest_that_is_left(scene: Scene) -> None:
    payment = await scene.create("BNB")
    async with behind(scene, 1) as (node,):
        forward(scene, payment, WEI)
        scene.anvil.mine(150, interval_s=1)
        oldest = scene.anvil.block_number() - 20
        node.faults = [states_gone(scene, below=oldest)]
        await scene.watch()
        (deposit,) = await scene.deposits(payment)
        assert deposit.block_number == oldest


async def test_what_cannot_be_dated_before_the_deadline_is_late(scene: Scene) -> None:
    payment = await scene.create("BNB", expires_in=300)
    async with behind(scene, 1) as (node,):
        forward(scene, payment, due(payment, "BNB")[0])
        scene.anvil.mine(150, interval_s=4)
        node.faults = [states_gone(scene, below=scene.anvil.block_number() - 20)]
        await scene.watch()
        await step(scene)
        (deposit,) = await scene.deposits(payment)
        now = await scene.now(payment)
        assert now.status is Status.EXPIRED
        assert is_late(now, deposit)


@pytest.mark.parametrize("blocks", [30, 400], ids=["within what every node keeps", "as only archives keep them"])
async def test_blocks_whose_balances_were_not_read_are_looked_at_later(scene: Scene, blocks: int) -> None:
    payment = await scene.create("BNB")
    async with behind(scene, 1) as (node,):
        node.faults = [without("eth_call")]
        await scene.mine(5)
        forward(scene, payment, WEI)
        at = scene.anvil.block_number()
        await scene.mine(blocks)
        node.faults = []
        scene.restart(pool=scene.pool)
        await scene.mine(1)
        (deposit,) = await scene.deposits(payment)
        assert deposit.block_number == at


async def test_two_arrivals_found_together_are_dated_apart(scene: Scene) -> None:
    payment = await scene.create("BNB")
    forward(scene, payment, WEI)
    first = scene.anvil.block_number()
    scene.anvil.mine(10)
    scene.pay(payment, "BNB", 7)
    forward(scene, payment, 2 * WEI)
    second = scene.anvil.block_number()
    scene.anvil.mine(100)
    scene.restart()
    await scene.watch()
    found = [each for each in await scene.deposits(payment) if each.source is Source.INTERNAL]
    assert [(each.block_number, each.units) for each in found] == [(first, WEI), (second, 2 * WEI)]


# --- named by traces -----------------------------------------------------------------------------------------------


async def test_trace_names_the_transaction_and_its_sender_but_no_payer(scene: Scene) -> None:
    payment = await scene.create("BNB")
    tx_hash = forward(scene, payment, WEI)
    await scene.watch()
    (deposit,) = await scene.deposits(payment)
    assert (deposit.tx_hash, deposit.sender) == (tx_hash, scene.customer)
    assert (deposit.payer, deposit.sender_nonce) == (None, None)


async def test_transfers_of_one_block_are_a_deposit_each(scene: Scene) -> None:
    payment = await scene.create("BNB")
    forwarder = deploy_forwarder(scene, payment)
    hashes = scene.send(Unsigned(to=forwarder, value=WEI), Unsigned(to=forwarder, value=2 * WEI))
    await scene.watch()
    found = {each.tx_hash: (each.units, each.position) for each in await scene.deposits(payment)}
    assert {units for units, _ in found.values()} == {WEI, 2 * WEI}
    assert {position for _, position in found.values()} == {0, 1}
    assert set(found) == {bytes.fromhex(each[2:]) for each in hashes}


async def test_trace_that_does_not_add_up_names_nothing(scene: Scene) -> None:
    def invented(method: str, params: list[Any], result: Any) -> Any:
        return [*result, *result]

    async with behind(scene, 1) as (node,):
        payment = await scene.create("BNB")
        node.lie = lying(invented, "debug_traceBlockByHash")
        forward(scene, payment, WEI)
        await scene.watch()
        (deposit,) = await scene.deposits(payment)
        assert (deposit.units, deposit.tx_hash) == (WEI, None)


@pytest.mark.parametrize("broken", [[without("debug_traceBlockByHash", "trace_block")], []])
async def test_without_a_usable_trace_the_deposit_is_there_all_the_same(scene: Scene, broken: list[Fault]) -> None:
    async with behind(scene, 1) as (node,):
        payment = await scene.create("BNB")
        node.faults = broken
        node.lie = lying(lambda *_: [{"result": 7}], "debug_traceBlockByHash")
        forward(scene, payment, WEI)
        await scene.watch()
        (deposit,) = await scene.deposits(payment)
        assert (deposit.units, deposit.tx_hash, deposit.sender) == (WEI, None, None)


async def test_trace_that_takes_for_ever_holds_up_nothing_for_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naming, "NAMING_S", 0.2)

    async def hang(method: str, params: list[Any], ask: Any) -> Any:
        if "trace" in method:
            await asyncio.Event().wait()
        return await ask(method, params)

    async with behind(scene, 1) as (node,):
        payment = await scene.create("BNB")
        node.faults = [Fault(name="hanging traces", answer=hang)]
        forward(scene, payment, WEI)
        forward(scene, payment, WEI)
        scene.anvil.mine(100)
        await scene.watch()
        assert [(each.units, each.tx_hash) for each in await scene.deposits(payment)] == [(WEI, None), (WEI, None)]
        assert node.asked.count("debug_traceBlockByHash") == 1


# --- reorgs ----------------------------------------------------------------------------------------------------------


async def test_it_is_retracted_like_any_deposit(scene: Scene) -> None:
    payment = await scene.create("BNB")
    forward(scene, payment, due(payment, "BNB")[0])
    await scene.mine(2)
    assert await scene.status(payment) is Status.CONFIRMING
    scene.anvil.reorg(3)
    await scene.watch()
    assert await scene.status(payment) is Status.PENDING
    assert await scene.deposits(payment) == []


async def test_late_money_that_a_reorg_moved_is_found_again_at_once(either_scene: Scene) -> None:
    """Not when the rounds come by again: a hundred thousand vaults may stand before it in them."""
    scene = either_scene
    payment = await ended(scene)
    forwarder = deploy_forwarder(scene, payment)
    raw = scene.sign(Unsigned(to=forwarder, value=WEI))
    scene.anvil.rpc("evm_setAutomine", False)
    scene.anvil.rpc("eth_sendRawTransaction", raw)
    scene.anvil.mine()
    scene.anvil.rpc("evm_setAutomine", True)
    await step(scene)
    await scene.mine(2)
    (before,) = await scene.deposits(payment)
    async with scene.store.write() as uow:
        # As if the rounds had just come by.
        at = scene.anvil.timestamp()
        await uow.vault_looks.move_round(BalanceRound(chain_id=CHAIN_ID, watched_until=None, seq=10**9, looked_at=at))
    depth = scene.anvil.block_number() - before.block_number + 1
    scene.anvil.reorg(depth, [(raw, depth - 2)])
    scene.anvil.increase_time(1)
    scene.restart()
    await scene.watch()
    (after,) = await scene.deposits(payment)
    assert after.block_hash != before.block_hash
    assert after.units == WEI
    await scene.mine(110)
    async with scene.store.read() as uow:
        assert await uow.vault_looks.doubted(CHAIN_ID) == []


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happened_all_that_came_in_is_on_record_once(scene: Scene, seed: int) -> None:
    """Random transfers of both kinds, settlements and sweeps by strangers, reorgs and restarts: in the end each vault's
    deposits are its balance and what went out of it."""
    chance = random.Random(seed)
    payments = [await scene.create(*tokens, amount="1.00") for tokens in (("BNB",), ("BNB",), ("USDT",))]
    forwarders = [deploy_forwarder(scene, payment) for payment in payments]
    actions = ["inside", "inside", "direct", "mine", "read", "reorg", "restart", "out", "time"]
    for _ in range(30):
        index = chance.randrange(len(payments))
        payment, units = payments[index], chance.randint(1, 100) * 10**13
        match chance.choice(actions):
            case "inside":
                scene.send(*[Unsigned(to=forwarders[index], value=units)] * chance.randint(1, 2))
            case "direct":
                scene.send(scene.transfer("BNB", payment.address, units))
            case "mine":
                scene.anvil.mine(chance.randint(1, 4))
            case "read":
                await scene.watch()
            case "reorg":
                final = (await scene.cursor()).final_number or 0
                scene.anvil.reorg(min(chance.randint(1, 9), scene.anvil.block_number() - max(final, 0)))
            case "restart":
                scene.restart()
            case "out":
                calls = [scene.settle(payments[0], "BNB"), *(sweep(payment) for payment in payments)]
                scene.send(chance.choice(calls))
            case "time":
                scene.anvil.increase_time(chance.choice([3, STEP_S, 600]))
    scene.anvil.mine(12)
    for _ in range(3):
        await step(scene)
    for payment in payments:
        async with scene.store.read() as uow:
            logs = (await uow.chain.escrow_logs_of([payment.id])).get(payment.id, [])
        went_out = sum(log.units for log in logs if log.token == "BNB")
        assert await scene.received(payment, "BNB") == went_out + scene.anvil.balance("0x" + payment.address.hex())


def sweep(payment: Payment) -> Unsigned:
    return Unsigned(to=payment.escrow, data=sweep_data(payment.terms, None), gas=300_000)
