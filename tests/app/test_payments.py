"""Creating, finding, opening, canceling payments, and reporting transactions for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from openpay.app.follow import Committed
from openpay.app.order import CreatePayment
from openpay.app.payments import MAX_REPORTS, PaymentView
from openpay.app.records import PriceQuote
from openpay.domain.chains import Chain
from openpay.domain.payment import Payment, Status
from openpay.domain.terms import payment_key
from openpay.domain.vaults import vault_address
from openpay.errors import ConfigurationError, Conflict, Invalid, NotFound
from tests.app.worlds import BNB, CHAIN, FakeQuotes, World
from tests.domain.builders import LIFE_S, START, make_deposit

SOME_ID = "pay_" + "a" * 24


async def create(world: World, **fields: Any) -> Payment:
    async with world.store.write() as uow:
        return await world.service.create(uow, world.caller, CreatePayment(**{"amount": "25"} | fields))


async def open_page(world: World, payment_id: str) -> Payment:
    async with world.store.write() as uow:
        return await world.service.open(uow, payment_id)


async def cancel(world: World, payment_id: str) -> Payment:
    async with world.store.write() as uow:
        return await world.service.cancel(uow, payment_id)


async def report(world: World, payment_id: str, tx_hash: bytes) -> None:
    async with world.store.write() as uow:
        await world.service.report_transaction(uow, payment_id, tx_hash)


# --- creating ----------------------------------------------------------------------------------------------------


async def test_new_payment_is_stored_as_it_was_planned(world: World) -> None:
    payment = await create(world, description="Order #1042", metadata={"order_id": "1042"}, allow_retry=True)
    assert await world.get(payment.id) == payment
    assert (payment.status, payment.version, payment.amount_usd) == (Status.INITIATED, 1, 25_000_000)
    assert (payment.created_at, payment.expires_at, payment.deadline) == (START, START + LIFE_S, START + LIFE_S)
    assert (payment.chain_id, payment.escrow, payment.required_confirmations) == (56, CHAIN.escrow, 12)
    assert await world.events() == []


async def test_a_server_clock_an_hour_slow_makes_no_payment_that_is_already_past_its_deadline(world: World) -> None:
    await world.mine(1)
    await world.mine(2, final=1)
    async with world.store.read() as uow:
        cursor = await uow.chain.cursor(CHAIN.chain_id)
    assert cursor is not None
    assert cursor.final_time is not None
    world.clock.seconds = cursor.final_time - 3_600

    payment = await create(world, accepted_tokens=("USDT",))

    assert payment.created_at == cursor.final_time
    assert payment.expires_at == cursor.final_time + LIFE_S


async def test_terms_bind_merchant_amount_tokens_and_id_to_the_address(world: World) -> None:
    payment = await create(world)
    terms = payment.terms
    assert (terms.merchant, terms.operator, terms.usd) == (world.merchant.address, bytes([4]) * 20, 25_000_000)
    assert (terms.assets, terms.expiry, terms.payment_key) == (0b111, payment.expires_at, payment_key(payment.id))
    assert payment.address == vault_address(CHAIN.escrow, terms.id())


async def test_offers_are_what_the_escrow_will_ask_for(world: World) -> None:
    offers = {offer.token: (offer.full_units, offer.min_units) for offer in (await create(world)).offers}
    assert offers == {
        "USDT": (25 * 10**18, 25 * 10**18),
        "USDC": (25 * 10**18, 25 * 10**18),
        "BNB": (40826991540647353, 40418721625240880),
    }


async def test_merchants_tolerances_enter_terms_and_offers(world: World) -> None:
    world.merchant = replace(world.merchant, slippage_bps=500, underpayment_bps=200)
    payment = await create(world)
    assert (payment.terms.slippage_bps, payment.terms.underpayment_bps) == (500, 200)
    offers = {offer.token: offer.min_units / offer.full_units for offer in payment.offers}
    assert offers == pytest.approx({"USDT": 0.98, "USDC": 0.98, "BNB": 0.95})


async def test_price_lock_names_the_round_and_is_never_older_than_it(world: World) -> None:
    world.quotes.quote = PriceQuote(round=2**64 + 9, price=1, decimals=8, updated_at=START + 7)
    terms = (await create(world, accepted_tokens=("BNB",))).terms
    assert (terms.round, terms.quoted_at, terms.expiry) == (2**64 + 9, START + 7, START + LIFE_S)
    terms = (await create(world, accepted_tokens=("USDT",))).terms
    assert (terms.round, terms.quoted_at, terms.assets) == (0, START, 0b001)


async def test_token_without_a_price_or_off_its_peg_is_left_out_and_named(world: World) -> None:
    world.quotes = FakeQuotes(quote=None, off_peg=frozenset({"USDC"}))
    payment = await create(world)
    assert [offer.token for offer in payment.offers] == ["USDT"]
    assert payment.unavailable_tokens == ("USDC", "BNB")
    assert payment.terms.assets == 0b001


async def test_payment_in_unavailable_tokens_only_is_refused(world: World) -> None:
    world.quotes.quote = None
    with pytest.raises(Invalid) as refused:
        await create(world, accepted_tokens=("BNB",))
    assert (refused.value.code, refused.value.param) == ("token_unavailable", "accepted_tokens")


def test_chain_with_two_priced_tokens_is_refused_because_terms_name_one_round() -> None:
    with pytest.raises(ConfigurationError, match="BNB, ETH"):
        Chain(chain_id=1, name="Other", escrow=bytes(20), tokens=(BNB, replace(BNB, symbol="ETH", asset_index=3)))


# --- finding -----------------------------------------------------------------------------------------------------


async def test_payment_of_another_merchant_or_mode_or_impossible_id_is_not_found(world: World) -> None:
    mine = await create(world)
    stranger = replace(world.caller, merchant=replace(world.merchant, id="mer_other"))
    async with world.store.read() as uow:
        assert await world.service.find(uow, world.caller, mine.id) == mine
        for caller, payment_id in (
            (stranger, mine.id),
            (replace(world.caller, livemode=False), mine.id),
            (world.caller, SOME_ID),
            (world.caller, "pay_1' OR 1=1 --"),
            (world.caller, "\0"),
        ):
            with pytest.raises(NotFound) as missing:
                await world.service.find(uow, caller, payment_id)
            assert missing.value.code == "payment_not_found"


async def test_view_shows_what_was_received_and_how_deep(world: World) -> None:
    payment = await create(world)

    async def view() -> PaymentView:
        async with world.store.read() as uow:
            return await world.service.view(uow, await world.get(payment.id))

    assert ((await view()).cursor, (await view()).confirmations) == (None, None)
    await world.mine(1, deposits=[make_deposit(10 * 10**18, payment_id=payment.id)])
    tally = (await view()).tallies["USDT"]
    assert (tally.received_units, tally.remaining_units) == (10 * 10**18, 15 * 10**18)
    await world.mine(2, deposits=[make_deposit(15 * 10**18, payment_id=payment.id)])
    await world.mine(3)
    assert ((await view()).tallies["USDT"].remaining_units, (await view()).confirmations) == (0, 2)


# --- opening and canceling ---------------------------------------------------------------------------------------


async def test_opening_the_page_makes_pending_once(world: World) -> None:
    payment = await create(world)
    assert (await open_page(world, payment.id)).status is Status.PENDING
    assert (await open_page(world, payment.id)).version == 2
    assert await world.told(payment.id) == ["pending"]
    with pytest.raises(NotFound):
        await open_page(world, SOME_ID)


@pytest.mark.parametrize("opened", [False, True])
async def test_cancel_ends_a_payment_that_received_nothing_and_may_be_repeated(world: World, opened: bool) -> None:
    payment = await create(world)
    if opened:
        await open_page(world, payment.id)
    canceled = await cancel(world, payment.id)
    assert (canceled.status, canceled.ended_at) == (Status.CANCELED, START)
    assert await cancel(world, payment.id) == canceled
    assert (await world.told(payment.id))[-1:] == ["canceled"]
    assert (await world.told(payment.id)).count("canceled") == 1


@pytest.mark.parametrize("token", ["USDT", "BNB"])
async def test_payment_that_received_anything_cannot_be_canceled(world: World, token: str) -> None:
    payment = await create(world, accepted_tokens=("USDT",))
    await world.mine(1, deposits=[make_deposit(1, token, payment_id=payment.id)])
    with pytest.raises(Conflict) as refused:
        await cancel(world, payment.id)
    assert refused.value.code == "payment_has_deposits"


@pytest.mark.parametrize("status", [Status.CONFIRMING, Status.PAID, Status.FAILED, Status.EXPIRED])
async def test_payment_beyond_waiting_cannot_be_canceled(world: World, status: Status) -> None:
    await world.add(SOME_ID, status=status)
    with pytest.raises(Conflict) as refused:
        await cancel(world, SOME_ID)
    assert refused.value.code == "invalid_state"


# --- reports of the page's wallet ----------------------------------------------------------------------------------


async def test_reports_are_kept_for_open_payments_and_bounded(world: World) -> None:
    await world.add(SOME_ID)
    for number in range(MAX_REPORTS):
        await report(world, SOME_ID, bytes([number]) * 32)
    with pytest.raises(Conflict) as refused:
        await report(world, SOME_ID, bytes([99]) * 32)
    assert refused.value.code == "too_many_reports"
    async with world.store.read() as uow:
        assert len(await uow.attempts.open_reports(56)) == MAX_REPORTS


async def test_reports_for_ended_payments_are_ignored(world: World) -> None:
    await world.add(SOME_ID, status=Status.EXPIRED)
    await report(world, SOME_ID, bytes(32))
    async with world.store.read() as uow:
        assert await uow.attempts.open_reports(56) == []


async def test_nothing_is_believed_of_a_report(world: World) -> None:
    await world.add(SOME_ID)
    await report(world, SOME_ID, bytes(32))
    committed: Committed = await world.mine(1)
    assert committed.changed == ()
    assert (await world.get(SOME_ID)).status is Status.PENDING
