"""Paying by a wallet in the browser for real: it announces itself, signs with its key and sends to the chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, expect

from openpay.chain.signing import Signer, read_call
from openpay.client import Payment
from tests.e2e.customer import PATIENCE_MS, Visit
from tests.e2e.market import Market
from tests.support.provider import NEVER, SigningWallet, give_wallets


def wallet_of(market: Market) -> SigningWallet:
    """The customer's wallet, which has never heard of this chain."""
    wallet = SigningWallet(key=market.dev.facts["customer"]["private_key"], rpc=market.chain)
    wallet.chain_id, wallet.knows_chains = 1, {1}
    return wallet


@asynccontextmanager
async def visiting(browser: Browser, payment: Payment, wallet: SigningWallet, query: str = "") -> AsyncIterator[Visit]:
    context = await browser.new_context(locale="en-GB", timezone_id="UTC")
    try:
        await give_wallets(context, [wallet])
        visit = Visit(page=await context.new_page())
        await visit.page.goto(payment["checkout_url"] + query)
        yield visit
    finally:
        await context.close()


async def test_wallets_pay_in_a_token_and_in_the_networks_coin(market: Market, browser: Browser) -> None:
    token, coin = market.order("USDT"), market.order("BNB", "USDT")
    for payment, query, contract in ((token, "", market.contract("USDT")), (coin, "?token=BNB", None)):
        wallet = wallet_of(market)
        async with visiting(browser, payment, wallet, query) as visit:
            with market.blocks.held():
                await visit.button("Test Wallet").click()
                await visit.reads("Your payment is on its way", "Sent.")
                (sent,) = wallet.sent
                assert sent["to"] == (contract or payment["deposit"]["address"])
                (added,) = [params[0] for method, params in wallet.asked if method == "wallet_addEthereumChain"]
                assert added["rpcUrls"] == [market.chain.rpc_url]
                assert wallet.chain_id == market.dev.facts["chain_id"]
                # Said before any block, and over a reload.
                await visit.page.reload()
                await visit.reads("Your payment is on its way", "Sent.")
                market.chain.mine()
                await visit.reads("Payment found", "1 of 12")
            await visit.reads("Paid. Thank you!")
            assert visit.complaints == []


async def test_a_transfer_replaced_by_one_with_a_higher_fee_pays(market: Market, browser: Browser) -> None:
    payment, wallet = market.order("USDT"), wallet_of(market)
    async with visiting(browser, payment, wallet) as visit:
        with market.blocks.held():
            await visit.button("Test Wallet").click()
            await visit.reads("Your payment is on its way", "Sent.")
            first = await visit.page.locator("[data-wallet] [data-copy]").get_attribute("data-copy")
            assert first is not None
            raw = market.chain.rpc("eth_getRawTransactionByHash", first)
            nonce = int(market.chain.rpc("eth_getTransactionByHash", first)["nonce"], 16)
            call = read_call(bytes.fromhex(raw[2:]))
            dearer = Signer(bytes.fromhex(wallet.key[2:])).sign(
                chain_id=wallet.chain_id,
                nonce=nonce,
                to=call.to,
                gas=120_000,
                gas_price=3 * wallet.gas_price,
                data=call.data,
            )
            second = market.chain.rpc("eth_sendRawTransaction", "0x" + dearer.raw.hex())
            assert second != first
            market.chain.mine()
            assert market.chain.is_mined(second)
            assert not market.chain.is_mined(first)
            await visit.reads("Payment found", "1 of 12")
        await visit.reads("Paid. Thank you!")


async def test_two_wallets_at_one_payment_the_second_is_warned_and_what_it_sends_is_shown(
    market: Market, browser: Browser
) -> None:
    payment = market.order("USDT")
    quick, slow = wallet_of(market), wallet_of(market)
    slow.answers["eth_sendTransaction"] = NEVER
    async with visiting(browser, payment, slow) as late, visiting(browser, payment, quick) as early:
        await late.button("Test Wallet").click()
        await late.reads("Waiting for your payment", "Approve the transfer")
        with market.blocks.held():
            await early.button("Test Wallet").click()
            await early.reads("Your payment is on its way", "Sent.")
            market.chain.mine()
            await late.reads("Payment found")
            await expect(late.page.get_by_role("alert")).to_contain_text(
                "approved, it would pay a second time", timeout=PATIENCE_MS
            )
            # Its owner approves all the same.
            slow.send(dict(quick.sent[0]))
            market.chain.mine()
        await late.reads("Paid. Thank you!", "more than was asked for")
