"""Blocks that prove nowhere stop no payment while hosts agree on them, and one host alone moves no money with them."""

from __future__ import annotations

from typing import Any

import pytest

from openpay.chain.errors import NotAgreed
from openpay.chain.reads import RECEIPTS
from openpay.chain.standing import Place
from openpay.domain.alerts import AlertKind
from openpay.domain.payment import Status
from openpay.errors import ChainUnavailable
from tests.faults.faults import rejected
from tests.faults.proxy import Lie
from tests.watcher.code import forward
from tests.watcher.nodes import behind, child, everywhere, paid_up, serving, without_receipts
from tests.watcher.scene import Scene, due

NOT_PROVEN = AlertKind.BLOCK_NOT_PROVEN


def told(scene: Scene) -> list[str]:
    """What was not proven, once for each time that an alert began."""
    return [subject for kind, subject in scene.alarm.raised if kind is NOT_PROVEN]


def standing(scene: Scene) -> set[str]:
    return {subject for kind, subject in scene.alarm.standing if kind is NOT_PROVEN}


def then(*lies: Lie) -> Lie:
    def lie(method: str, params: list[Any], result: Any) -> Any:
        for each in lies:
            result = each(method, params, result)
        return result

    return lie


def later_header(method: str, params: list[Any], result: Any) -> Any:
    """The headers of a later fork: a field that the hash covers has a name that nobody knows yet."""
    if not method.startswith("eth_getBlockBy") or result is None:
        return result
    fields = dict(result)
    fields["fieldOfALaterFork"] = fields.pop("requestsHash")
    return fields


def later_transactions(method: str, params: list[Any], result: Any) -> Any:
    """Every transaction is of a type that nobody knows yet."""
    if method == "eth_getBlockByHash" and params[1]:
        return {**result, "transactions": [{"type": "0x6", "hash": each["hash"]} for each in result["transactions"]]}
    return result


def without_last_log(method: str, params: list[Any], result: Any) -> Any:
    return result[:-1] if method == "eth_getLogs" else result


# --- formats that are not known ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hosts", [2, 3])
async def test_fork_that_adds_header_fields_stops_no_payment_and_is_told_once(scene: Scene, hosts: int) -> None:
    async with behind(scene, hosts) as nodes:
        everywhere(nodes, later_header)
        payment = await paid_up(scene)
        await scene.watch()
        assert await scene.status(payment) is Status.CONFIRMING
        for _ in range(11):
            await scene.mine(1)
        assert await scene.status(payment) is Status.PAID
        assert (told(scene), standing(scene)) == (["header"], {"header"})
        everywhere(nodes, None)
        await scene.mine(1)
        assert standing(scene) == set()
        everywhere(nodes, later_header)
        await scene.mine(1)
        assert told(scene) == ["header", "header"]


async def test_fork_is_caught_up_with_and_its_reorgs_are_followed(scene: Scene) -> None:
    async with behind(scene, 2) as nodes:
        everywhere(nodes, later_header)
        payment = await paid_up(scene)
        await scene.mine(80)
        assert await scene.status(payment) is Status.PAID
        late = await paid_up(scene)
        await scene.watch()
        scene.anvil.reorg(3)
        scene.anvil.mine(1)
        await scene.watch()
        assert (await scene.cursor()).number == scene.anvil.block_number()
        assert await scene.status(late) is Status.PENDING


async def test_alert_of_an_earlier_process_is_cleared_by_the_first_block_that_proves(scene: Scene) -> None:
    scene.alarm.raise_(NOT_PROVEN, scene.chain.chain_id, subject="header", detail="before the restart")
    scene.restart()
    await scene.mine(1)
    assert standing(scene) == set()


async def test_only_host_is_not_followed_on_its_word_and_the_alarm_says_so(scene: Scene) -> None:
    async with behind(scene, 1) as (node,):
        payment = await paid_up(scene)
        before = await scene.cursor()
        node.lie = later_header
        with pytest.raises(NotAgreed):
            await scene.watch()
        assert await scene.cursor() == before
        assert "the only host configured" in scene.alarm.standing[NOT_PROVEN, "header"]
        node.lie = None
        await scene.watch()
        assert await scene.status(payment) is Status.CONFIRMING
        assert standing(scene) == set()


async def test_coins_from_inside_a_contract_are_found_and_dated_under_a_later_fork(scene: Scene) -> None:
    """Dating them reads the headers of older blocks."""
    async with behind(scene, 2) as nodes:
        everywhere(nodes, later_header)
        payment = await scene.create("BNB")
        await scene.mine(2)
        scene.anvil.mine(90)
        forward(scene, payment, due(payment, "BNB")[0])
        number = scene.anvil.block_number()
        scene.anvil.mine(85)
        await scene.watch()
        (deposit,) = await scene.deposits(payment)
        assert (deposit.units, deposit.block_number) == (due(payment, "BNB")[0], number)
        assert await scene.status(payment) is Status.PAID


async def test_transactions_of_a_later_type_that_move_listed_tokens_are_paid(scene: Scene) -> None:
    async with behind(scene, 2) as nodes:
        everywhere(nodes, later_transactions)
        payment = await scene.create("USDT")
        tx_hash = scene.pay(payment, "USDT", due(payment, "USDT")[0])
        await scene.mine(11)
        assert await scene.status(payment) is Status.PAID
        (deposit,) = await scene.deposits(payment)
        assert (deposit.tx_hash, deposit.sender, deposit.sender_nonce) == (bytes.fromhex(tx_hash[2:]), None, None)
        assert deposit.payer == scene.customer
        assert told(scene) == ["transactions"]


async def test_coins_that_come_by_a_transaction_of_a_later_type_are_found_by_the_balance(scene: Scene) -> None:
    async with behind(scene, 2) as nodes:
        everywhere(nodes, later_transactions)
        payment = await scene.create("BNB")
        scene.pay(payment, "BNB", due(payment, "BNB")[0])
        for _ in range(12):
            await scene.mine(1)
        assert await scene.status(payment) is Status.PAID
        assert await scene.received(payment, "BNB") == due(payment, "BNB")[0]


# --- one liar ------------------------------------------------------------------------------------------------------


def moved(field: str, value: str) -> Lie:
    return lambda method, params, result: (
        {**result, field: value} if method.startswith("eth_getBlockBy") and result is not None else result
    )


@pytest.mark.parametrize("lie", [moved("timestamp", "0x7fffffff"), moved("parentHash", "0x" + "77" * 32)])
@pytest.mark.parametrize("hosts", [2, 3])
async def test_liar_under_a_later_fork_gets_no_block_through(scene: Scene, lie: Lie, hosts: int) -> None:
    async with behind(scene, hosts) as (liar, *honest):
        everywhere(honest, later_header)
        liar.lie = then(lie, later_header)
        payment, idle = await paid_up(scene), await scene.create("USDT")
        before = await scene.cursor()
        with pytest.raises(NotAgreed, match="differ in"):
            await scene.watch()
        assert await scene.cursor() == before
        assert await scene.status(idle) is Status.INITIATED
        liar.lie = later_header
        await scene.watch()
        assert await scene.status(payment) is Status.CONFIRMING


async def test_unprovable_branch_that_one_of_two_hosts_invents_is_followed_by_nobody(scene: Scene) -> None:
    """Self-consistent, in a format of its own, while the honest host serves what proves, or nothing."""
    async with behind(scene, 2) as (liar, honest):
        payment = await scene.create("USDT")
        invented = [scene.anvil.block()]
        for _ in range(30):
            invented.append(child(invented[-1]))
        liar.lie = then(serving(*invented[1:]), later_header)
        await scene.watch()
        assert (await scene.cursor()).number == scene.anvil.block_number()
        honest.is_away = True
        with pytest.raises(ChainUnavailable):
            await scene.watch()
        assert (await scene.cursor()).number == scene.anvil.block_number()
        assert await scene.status(payment) is Status.INITIATED


# --- endpoints without receipts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hosts", [1, 2])
@pytest.mark.parametrize("token", ["USDT", "BNB"])
async def test_payment_is_paid_behind_nodes_that_offer_no_receipts(scene: Scene, token: str, hosts: int) -> None:
    async with behind(scene, hosts) as nodes:
        everywhere(nodes, without_receipts)
        payment = await scene.create(token)
        scene.pay(payment, token, due(payment, token)[0])
        await scene.watch()
        assert await scene.status(payment) is Status.CONFIRMING
        for _ in range(11):
            await scene.mine(1)
        assert await scene.status(payment) is Status.PAID
        assert await scene.received(payment, token) == due(payment, token)[0]
        assert [node.asked.count(RECEIPTS) for node in nodes] == [1] * hosts
        assert (told(scene), standing(scene)) == (["logs"], {"logs"})
        assert "eth_getBlockReceipts" in scene.alarm.standing[NOT_PROVEN, "logs"]


@pytest.mark.parametrize("hosts", [1, 2])
@pytest.mark.parametrize(
    ("status", "page"), [(403, b"<html>Forbidden</html>"), (405, b""), (501, b"no"), (403, b'{"message":"Forbidden"}')]
)
async def test_payment_is_paid_behind_gateways_that_reject_receipts(
    scene: Scene, hosts: int, status: int, page: bytes
) -> None:
    """Not refused by the node, in JSON-RPC, but by what stands in front of it."""
    async with behind(scene, hosts) as nodes:
        for node in nodes:
            node.faults = [rejected(RECEIPTS, "eth_getProof", status=status, page=page)]
        payments = [await scene.create(token) for token in ("USDT", "BNB")]
        scene.pay(payments[0], "USDT", due(payments[0], "USDT")[0])
        forward(scene, payments[1], due(payments[1], "BNB")[0])
        await scene.mine(1)
        asked_once = [node.counts()[RECEIPTS] for node in nodes]
        for _ in range(11):
            await scene.mine(1)
        assert [await scene.status(payment) for payment in payments] == [Status.PAID] * 2
        assert (told(scene), standing(scene)) == (["logs"], {"logs"})
        assert [node.counts()[RECEIPTS] for node in nodes] == asked_once
        assert [(state.place, state.faults) for state in scene.pool.states()] == [(Place.IN_SERVICE, {})] * hosts


async def test_reverted_transfer_of_coins_is_no_deposit_behind_nodes_that_offer_no_receipts(scene: Scene) -> None:
    async with behind(scene, 2) as nodes:
        everywhere(nodes, without_receipts)
        payment = await scene.create("BNB")
        vault = scene.transfer("BNB", payment.address, due(payment, "BNB")[0])
        scene.anvil.rpc("anvil_setCode", "0x" + payment.address.hex(), "0x60006000fd")
        (tx_hash,) = scene.send(vault)
        await scene.report(payment, tx_hash)
        await scene.mine(1)
        assert await scene.deposits(payment) == []
        assert await scene.status(payment) is Status.CONFIRMING  # as the reported attempt that it is
        assert nodes[0].asked.count("eth_getTransactionReceipt") > 0


async def test_outcome_that_hosts_tell_differently_holds_the_block(scene: Scene) -> None:
    def reverted(method: str, params: list[Any], result: Any) -> Any:
        return {**result, "status": "0x0"} if method == "eth_getTransactionReceipt" else result

    async with behind(scene, 2) as (liar, honest):
        honest.lie = without_receipts
        liar.lie = then(without_receipts, reverted)
        payment = await scene.create("BNB")
        scene.pay(payment, "BNB", due(payment, "BNB")[0])
        before = await scene.cursor()
        with pytest.raises(NotAgreed):
            await scene.watch()
        assert await scene.cursor() == before
        liar.lie = without_receipts
        await scene.watch()
        assert await scene.status(payment) is Status.CONFIRMING


async def test_log_that_one_of_two_hosts_omits_is_waited_for(scene: Scene) -> None:
    async with behind(scene, 2) as (liar, honest):
        honest.lie = without_receipts
        liar.lie = then(without_receipts, without_last_log)
        payment = await paid_up(scene)
        with pytest.raises(NotAgreed):
            await scene.watch()
        assert standing(scene) == {"logs"}
        liar.lie = without_receipts
        await scene.watch()
        assert await scene.status(payment) is Status.CONFIRMING


async def test_host_that_offers_receipts_proves_what_the_other_cannot(scene: Scene) -> None:
    async with behind(scene, 2) as (without, whole):
        without.lie = without_receipts
        payment = await paid_up(scene)
        for _ in range(12):
            await scene.mine(1)
        assert await scene.status(payment) is Status.PAID
        assert told(scene) == []
        assert "eth_getLogs" not in whole.asked


async def test_pruned_receipts_of_old_blocks_are_replaced_while_catching_up(scene: Scene) -> None:
    async with behind(scene, 2) as nodes:
        payment = await paid_up(scene)
        scene.anvil.mine(100)
        recent = scene.anvil.block_number() - 20
        old = {scene.anvil.block(number)["hash"] for number in range(recent)}
        everywhere(nodes, lambda method, params, result: None if method == RECEIPTS and params[0] in old else result)
        await scene.watch()
        assert await scene.status(payment) is Status.PAID
        assert (told(scene), standing(scene)) == (["logs"], set())


async def test_internal_transfer_is_found_behind_nodes_that_offer_no_receipts(scene: Scene) -> None:
    async with behind(scene, 2) as nodes:
        everywhere(nodes, without_receipts)
        payment = await scene.create("BNB")
        forward(scene, payment, due(payment, "BNB")[0])
        await scene.mine(2)
        assert await scene.received(payment, "BNB") == due(payment, "BNB")[0]


# --- reports -------------------------------------------------------------------------------------------------------


async def test_reported_transaction_whose_block_no_node_gives_holds_up_nothing(scene: Scene) -> None:
    """Whoever knows a page's address may report a transaction of years ago, of a block that nodes let go of."""
    payment = await scene.create("USDT")
    old = scene.pay(payment, "USDT", 1)
    block_hash = scene.anvil.block()["hash"]
    await scene.mine(20)
    async with behind(scene, 2) as nodes:
        everywhere(nodes, lambda method, params, result: None if params[:1] == [block_hash] else result)
        await scene.report(payment, old)
        await scene.mine(3)
        assert (await scene.cursor()).number == scene.anvil.block_number()
