"""What the page decides to say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checkout_web.content.reader import load, present_now
from checkout_web.content.view import CATCHING_UP_AFTER_S, Checkout, Part, Selection, return_url, view_age
from checkout_web.deps import Deps
from openpay.app.records import Cursor
from openpay.domain.payment import Payment
from tests.checkout_web.scenes import CHAIN, START, WHOLE, Shop


async def show(shop: Shop, payment: Payment) -> Checkout:
    deps = Deps(db=shop.store, payments=shop.service, signals=shop.signals)
    async with shop.store.read() as uow:
        loaded = await load(deps, uow, payment.id)
    assert loaded is not None
    return present_now(deps, loaded)


async def test_transfer_that_a_reorg_removed_is_spoken_of_until_another_counts(shop: Shop) -> None:
    payment = await shop.create()
    assert not (await show(shop, payment)).taken_back
    await shop.retract(payment)
    assert (await show(shop, payment)).taken_back
    await shop.pay(payment)
    assert not (await show(shop, payment)).taken_back


@pytest.mark.parametrize("part", list(Part))
async def test_each_situation_has_its_own_part(shop: Shop, part: Part) -> None:
    assert (await show(shop, await shop.scene(part))).part is part


async def test_a_partial_deposit_asks_for_the_rest_of_that_token_and_all_of_any_other(shop: Shop) -> None:
    payment = await shop.scene(Part.UNDERPAID)
    choices = {choice.token: choice for choice in (await show(shop, payment)).choices}
    assert (choices["USDT"].ask, choices["USDT"].received) == ("15.00", "10.00")
    assert f"uint256={15 * WHOLE}" in choices["USDT"].uri
    assert (choices["USDC"].ask, choices["USDC"].received) == ("25.00", None)


async def test_the_token_that_was_begun_with_is_preferred(shop: Shop) -> None:
    payment = await shop.create()
    assert (await show(shop, payment)).preferred_token == "USDT"
    await shop.pay(payment, WHOLE, "USDC")
    assert (await show(shop, payment)).preferred_token == "USDC"


async def test_bnb_asks_for_the_exact_quote_rounded_up(shop: Shop) -> None:
    payment = await shop.create(accepted_tokens=("BNB",))
    checkout = await show(shop, payment)
    units = payment.offers[0].full_units
    assert checkout.choice(Selection()).ask == f"0.{units:018d}"
    assert checkout.choice(Selection()).uri == f"ethereum:{checkout.address}@56?value={units}"


async def test_an_unknown_token_in_the_query_shows_the_preferred_one(shop: Shop) -> None:
    checkout = await show(shop, await shop.create())
    assert checkout.choice(Selection(token="DOGE")).token == "USDT"
    assert checkout.choice(Selection(token="BNB")).token == "BNB"


async def test_a_token_that_is_not_accepted_is_received_but_counts_for_nothing(shop: Shop) -> None:
    payment = await shop.create(accepted_tokens=("USDT",))
    await shop.pay(payment, 5 * WHOLE, "USDC")
    checkout = await show(shop, payment)
    assert [(sum_.amount, sum_.token) for sum_ in checkout.received] == [("5.00", "USDC")]
    assert checkout.choices[0].ask == "25.00"


async def test_excess_in_another_token_is_told_to_the_customer(shop: Shop) -> None:
    payment = await shop.scene(Part.PAID)
    await shop.pay(payment, 3 * WHOLE, "USDC")
    checkout = await show(shop, payment)
    assert checkout.part is Part.OVERPAID
    assert [(sum_.amount, sum_.token) for sum_ in checkout.excess] == [("3.00", "USDC")]


async def test_confirmations_never_exceed_what_is_required_while_the_network_finalizes(shop: Shop) -> None:
    payment = await shop.scene(Part.CONFIRMING)
    checkout = await show(shop, payment)
    assert (checkout.confirmations, checkout.required_confirmations, checkout.wait_s) == (5, 12, 4)
    for _ in range(15):
        await shop.mine()
    checkout = await show(shop, payment)
    assert (checkout.confirmations, checkout.wait_s) == (12, None)


async def test_a_payment_that_received_something_cannot_be_canceled_by_its_page(shop: Shop) -> None:
    payment = await shop.create()
    assert (await show(shop, payment)).can_cancel
    await shop.pay(payment, 1)
    assert not (await show(shop, payment)).can_cancel


CURRENT = Cursor(
    chain_id=56,
    number=100,
    hash=bytes(32),
    time=START,
    tip_time=START,
    final_number=None,
    final_time=None,
    seen_head=100,
    read_at=START,
)


@pytest.mark.parametrize(
    ("cursor", "late"),
    [
        (CURRENT, False),
        (None, True),
        (replace(CURRENT, read_at=START - CATCHING_UP_AFTER_S - 1), True),
        (replace(CURRENT, time=START - CATCHING_UP_AFTER_S - 1), True),
        (replace(CURRENT, time=START - CATCHING_UP_AFTER_S), False),
        (replace(CURRENT, seen_head=100 + 67), True),
        (replace(CURRENT, seen_head=100 + 66), False),
    ],
)
def test_the_view_is_catching_up_when_reading_stopped_blocks_are_old_or_many_are_unread(
    cursor: Cursor | None, late: bool
) -> None:
    catching_up, behind_s = view_age(cursor, CHAIN, now=START, wall_now=START)
    assert catching_up is late
    assert (behind_s is not None) is (late and cursor is not None)


@pytest.mark.parametrize(("age_s", "behind_s"), [(31, 40), (40, 40), (89, 90), (90, 120), (121, 180), (3_601, 3_660)])
def test_age_of_the_view_moves_in_steps(age_s: int, behind_s: int) -> None:
    """Viewers are sent what changes on their page, and need not be sent every second."""
    assert view_age(CURRENT, CHAIN, now=START + age_s, wall_now=START) == (True, behind_s)


@pytest.mark.parametrize(
    ("template", "url"),
    [
        (None, None),
        ("https://shop.example/thanks?p={PAYMENT_ID}", "https://shop.example/thanks?p=pay_1"),
        ("https://shop.example/{PAYMENT_ID}/{PAYMENT_ID}", "https://shop.example/pay_1/pay_1"),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("//shop.example/", None),
    ],
)
def test_return_urls_carry_the_payments_id_and_lead_to_the_web_only(template: str | None, url: str | None) -> None:
    assert return_url(template, "pay_1") == url
