"""`I already paid` on a real chain: real transactions are named, and the watcher reads its blocks when told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from checkout_web import Deps, build_app
from openpay.app.signals import Signals
from openpay.chain.bep20 import TRANSFER_TOPIC
from openpay.chain.looking import NodeTransactions
from openpay.chain.pool import Pool, connect
from openpay.domain.payment import Payment, Status
from openpay.http import HttpSettings, new_application
from tests.checkout_web.lookups import SCRIPT, kind, text
from tests.support.anvil import Anvil
from tests.watcher.beginning import OpenScene
from tests.watcher.scene import CHAIN_ID, UNIT, Scene, Unsigned, hex_address, transfer_data

Client = TestClient[web.Request, web.Application]
Connect = Callable[[web.Application], Awaitable[Client]]
Ask = Callable[[Payment, str], Awaitable[str]]

STRANGER = bytes([0x77]) * 20
FAKE_TOKEN = bytes([0xFA]) * 20
FAKE_TOKEN_CODE = "0x" + "602435600052" + "600435" + "33" + "7f" + TRANSFER_TOPIC.hex() + "60206000a300"
"""Logs a `Transfer` of whatever it is asked for, as anybody's token may."""
FORWARDER = bytes([0xF0]) * 20
FORWARDER_CODE = "0x" + "600060006000600034600035" + "5af100"
"""Sends what it is sent on to the address in its call."""


@pytest.fixture
async def scene(scene_on: OpenScene, sqlite_url: str) -> AsyncIterator[Scene]:
    async with scene_on(sqlite_url) as opened:
        yield opened


@pytest.fixture
async def ask(scene: Scene, aiohttp_client: Connect) -> Ask:
    return await asking(scene, scene.pool, aiohttp_client)


async def asking(scene: Scene, pool: Pool, connect_to: Connect) -> Ask:
    """A page that asks the nodes of `pool`, and the question put to it."""
    root = new_application(HttpSettings())
    deps = Deps(
        db=scene.store,
        payments=scene.service,
        signals=Signals(),
        transactions=NodeTransactions({CHAIN_ID: pool}),
    )
    root.add_subapp("/checkout", build_app(deps))
    client = await connect_to(root)

    async def post(payment: Payment, pasted: str) -> str:
        answer = await client.post(f"/checkout/{payment.id}/lookup", data={"transaction": pasted}, headers=SCRIPT)
        html = (await answer.json())["html"]
        assert isinstance(html, str)
        return html

    return post


def hold(scene: Scene, unsigned: Unsigned) -> str:
    """Send a transaction that is not mined until told."""
    scene.anvil.rpc("evm_setAutomine", False)
    sent: str = scene.anvil.rpc("eth_sendRawTransaction", scene.sign(unsigned))
    return sent


@pytest.mark.parametrize("token", ["USDT", "BNB"])
async def test_a_payment_is_followed_from_the_pool_to_the_record(scene: Scene, ask: Ask, token: str) -> None:
    payment = await scene.create()
    offer = payment.offer(token)
    assert offer is not None
    sent = hold(scene, scene.transfer(token, payment.address, offer.full_units))
    assert kind(await ask(payment, sent)) == "pending"
    async with scene.store.read() as uow:
        assert await uow.attempts.reported(payment.id) == 1

    # The answer is given again for a few seconds; a link to the same transaction is the same question.
    scene.anvil.mine()
    assert kind(await ask(payment, f"https://bscscan.com/tx/{sent}")) == "pending"

    await scene.watch()
    html = await ask(payment, sent)
    assert kind(html) == "counted"
    assert "It has 1 confirmation;" in text(html)
    assert await scene.status(payment) is Status.CONFIRMING


async def test_a_transfer_in_a_block_that_was_not_read_yet_is_on_its_way(scene: Scene, ask: Ask) -> None:
    payment = await scene.create()
    assert kind(await ask(payment, scene.pay(payment, "USDT", 25 * UNIT))) == "on_its_way"
    assert kind(await ask(payment, scene.pay(payment, "USDT", 10 * UNIT))) == "too_little"


async def test_a_token_of_the_same_name_is_told_by_its_contract(scene: Scene, ask: Ask) -> None:
    payment = await scene.create()
    scene.anvil.rpc("anvil_setCode", hex_address(FAKE_TOKEN), FAKE_TOKEN_CODE)
    (sent,) = scene.send(Unsigned(to=FAKE_TOKEN, data=transfer_data(payment.address, 25 * UNIT)))
    await scene.watch()
    html = await ask(payment, sent)
    assert kind(html) == "unlisted"
    assert hex_address(FAKE_TOKEN) in text(html).lower()


async def test_a_transfer_that_failed_is_told_and_does_not_end_the_payment(scene: Scene, ask: Ask) -> None:
    payment = await scene.create()
    (sent,) = scene.send(scene.transfer("USDT", payment.address, 10**30))
    assert kind(await ask(payment, sent)) == "reverted"
    await scene.mine(12)
    assert await scene.status(payment) is Status.INITIATED


async def test_another_address_is_a_strangers_whosever_it_is(scene: Scene, ask: Ask) -> None:
    payment, other = await scene.create(), await scene.create()
    theirs = scene.pay(other, "USDT", 25 * UNIT)
    (strangers,) = scene.send(scene.transfer("USDT", STRANGER, 25 * UNIT))
    await scene.watch()
    told = [
        text(await ask(payment, sent)).lower().replace(hex_address(address), "…")
        for sent, address in ((theirs, other.address), (strangers, STRANGER))
    ]
    assert told[0] == told[1]
    assert other.id not in told[0]


async def test_money_sent_to_the_tokens_own_contract_is_told_as_such(scene: Scene, ask: Ask) -> None:
    payment = await scene.create()
    (sent,) = scene.send(scene.transfer("USDT", scene.deployment.tokens["USDT"], 25 * UNIT))
    assert kind(await ask(payment, sent)) == "at_contract"


async def test_coins_from_inside_a_contract_may_take_longer_and_are_counted_once_read(scene: Scene, ask: Ask) -> None:
    payment = await scene.create()
    offer = payment.offer("BNB")
    assert offer is not None
    scene.anvil.rpc("anvil_setCode", hex_address(FORWARDER), FORWARDER_CODE)
    call = payment.address.rjust(32, b"\0")
    (sent,) = scene.send(Unsigned(to=FORWARDER, data=call, value=offer.full_units))
    html = await ask(payment, sent)
    assert kind(html) == "elsewhere"
    assert "may take a little longer to show" in text(html)
    await scene.mine(12)
    assert await scene.received(payment, "BNB") == offer.full_units
    assert kind(await ask(payment, sent)) == "counted"


async def test_a_late_transfer_is_late_before_and_after_it_was_read(scene: Scene, ask: Ask) -> None:
    payment = await scene.create("USDT", expires_in=300)
    scene.anvil.increase_time(400)
    await scene.mine(12)
    assert await scene.status(payment) is Status.EXPIRED
    sent = scene.pay(payment, "USDT", 25 * UNIT)
    assert kind(await ask(payment, sent)) == "late"
    await scene.watch()
    assert kind(await ask(payment, sent)) == "late"


async def test_a_hash_of_nothing_is_unknown_and_nodes_that_are_gone_are_no_answer(
    scene: Scene, ask: Ask, start_anvil: Callable[..., Anvil], aiohttp_client: Connect
) -> None:
    payment = await scene.create()
    assert kind(await ask(payment, "0x" + "ab" * 32)) == "unknown"
    other = start_anvil()
    async with connect([other.rpc_url], chain_id=CHAIN_ID) as pool:
        ask_there = await asking(scene, pool, aiohttp_client)
        assert kind(await ask_there(payment, "0x" + "ab" * 32)) == "unknown"
        other.kill()
        assert kind(await ask_there(payment, "0x" + "cd" * 32)) == "unreadable"
