"""The number that a wallet names for what it has sent: looked after, missed, replaced, or none at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from playwright.async_api import expect

from openpay.domain.payment import Payment
from tests.checkout_web.checkout_visits import Street, Visit
from tests.checkout_web.scenes import WHOLE
from tests.support.provider import PageWallet

LOOK = "eth_getTransactionByHash"


@asynccontextmanager
async def sent_by(street: Street, payment: Payment, wallet: PageWallet) -> AsyncIterator[Visit]:
    """A page with a clock of ours, whose wallet has just sent."""
    async with street.visitor(wallets=[wallet]) as visit:
        await visit.page.clock.install()
        await visit.open(payment)
        await visit.press("Test Wallet")
        await visit.says("Sent.")
        yield visit


async def looks(visit: Visit, wallet: PageWallet) -> None:
    """Let the page ask once more for what the wallet has sent. Not before it has its last answer: time that is moved
    on meanwhile would make that one come too late."""
    before = wallet.answered.count(LOOK)
    if before:
        await visit.page.clock.fast_forward(16_000)
    async with asyncio.timeout(30):
        while wallet.answered.count(LOOK) == before:
            await asyncio.sleep(0.02)


async def test_nothing_arrives_for_minutes(street: Street) -> None:
    payment = await street.shop.create()
    async with sent_by(street, payment, PageWallet()) as visit:
        await expect(visit.section).not_to_contain_text("Nothing has arrived")
        await visit.page.clock.fast_forward("05:20")
        await visit.says("Nothing has arrived after 5 minutes. Look into your wallet")


async def test_a_number_that_vanishes_was_replaced_and_the_page_does_not_depend_on_it(street: Street) -> None:
    payment = await street.shop.create()
    wallet = PageWallet(answers={LOOK: {"nonce": "0x1"}})
    async with sent_by(street, payment, wallet) as visit:
        await looks(visit, wallet)
        wallet.answers[LOOK] = None
        async with asyncio.timeout(60):
            while "no longer knows this transaction" not in await visit.section.inner_text():
                await looks(visit, wallet)
        # Its replacement pays, under a number that nobody reported; and too little, which has to be seen.
        short = replace(street.shop.deposit(payment, 10 * WHOLE), payer=bytes.fromhex(wallet.accounts[0][2:]))
        await street.shop.mine(deposits=[short])
        await visit.reads("Part of it has arrived")
        await street.shop.pay(payment, 15 * WHOLE)
        await visit.reads("Payment found")


async def test_a_number_that_was_never_known_is_not_called_wrong(street: Street) -> None:
    """A smart account answers with the number of its own operation, which no node knows as a transaction's."""
    payment = await street.shop.create()
    wallet = PageWallet()
    async with sent_by(street, payment, wallet) as visit:
        for _ in range(4):
            await looks(visit, wallet)
        await expect(visit.section).not_to_contain_text("no longer knows")


@pytest.mark.parametrize(
    "answer",
    [None, pytest.param({"id": "0x12"}, marks=pytest.mark.nightly), pytest.param("0x12", marks=pytest.mark.nightly)],
)
async def test_an_answer_without_a_number_is_sent_all_the_same(street: Street, answer: object) -> None:
    payment = await street.shop.create()
    async with street.visit(payment, PageWallet(answers={"eth_sendTransaction": answer})) as visit:
        await visit.press("Test Wallet")
        await visit.says("The wallet named no transaction. It is found all the same, by the address.")
        await visit.page.reload()
        await visit.says("The wallet named no transaction.")
    assert await street.shop.reported(payment) == 0
