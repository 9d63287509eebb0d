"""Open pages while the chain, the program, the network or the customer's own machine misbehaves. All of it real."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect
from typer.testing import CliRunner

from openpay.cli import app
from tests.e2e.customer import PATIENCE_MS, SHOP, Visit, understood, visiting
from tests.e2e.installation import UNIT
from tests.e2e.line import line_to
from tests.e2e.market import Market


async def test_reorg_takes_two_open_tabs_back_to_waiting_and_another_transfer_pays(
    market: Market, browser: Browser
) -> None:
    payment = market.order("USDT")
    async with visiting(browser, payment) as visit, visiting(browser, payment) as other:
        request = understood(await visit.scan())
        with market.blocks.held():
            market.customer.pay(request)
            market.chain.mine(3)
            for each in (visit, other):
                await each.reads("Payment found", "3 of 12")
            market.chain.reorg(3)
            market.chain.mine()
            for each in (visit, other):
                await each.reads("Waiting for your payment", "The network has taken your transfer back for now.")
                await expect(each.page.get_by_role("timer")).to_be_visible()
            assert understood(await other.scan()) == request
            market.customer.pay(request)
            market.chain.mine()
            for each in (visit, other):
                await each.reads("Payment found", "1 of 12")
        for each in (visit, other):
            await each.reads("Paid. Thank you!")
            assert each.stayed()


async def test_clock_of_the_customer_may_be_an_hour_wrong(market: Market, browser: Browser) -> None:
    payment = market.order("USDT")
    async with visiting(browser, payment) as right:
        for minutes in (-60, 60):
            async with visiting(browser, payment, clock_off_s=minutes * 60) as wrong:
                seen = [await _seconds_left(each) for each in (right, wrong)]
                assert abs(seen[0] - seen[1]) <= 5
                assert 1500 < seen[1] <= 1800
                assert wrong.stayed()


async def test_money_arrives_while_the_connection_is_lost(market: Market, browser: Browser) -> None:
    payment = market.order("USDT")
    async with line_to(payment["checkout_url"]) as line, visiting(browser, payment, line=line) as visit:
        request = understood(await visit.scan())
        await visit.page.context.set_offline(True)
        line.cut()
        offline = visit.page.locator("[data-offline]")
        await expect(offline).to_contain_text("If you have sent the payment, it still counts", timeout=PATIENCE_MS)
        await expect(offline).to_be_visible()
        market.customer.pay(request)
        await asyncio.to_thread(market.dev.until, payment, "paid")
        await visit.reads("Waiting for your payment")
        assert understood(await visit.scan()) == request  # what is needed to pay stays on the screen
        line.mend()
        await visit.page.context.set_offline(False)
        await visit.reads("Paid. Thank you!")
        await expect(offline).to_be_hidden(timeout=PATIENCE_MS)
        assert visit.stayed()


async def test_node_that_hangs_is_said_on_open_pages_and_a_page_without_javascript_pays_meanwhile(
    market: Market, browser: Browser
) -> None:
    """The node is stopped for half a minute, after which a view counts as old. Meanwhile a page without JavaScript
    reloads by itself, twice: to what it can read, and to the shop."""
    waiting, confirming, plain = market.order("USDT"), market.order("USDT"), market.order("USDT")
    async with (
        visiting(browser, plain, java_script_enabled=False) as without,
        visiting(browser, waiting) as first,
        visiting(browser, confirming) as second,
    ):
        await without.reads("Waiting for your payment")
        await without.page.get_by_role("link", name="Address only").click()
        await expect(without.page.locator("#qr-address")).to_have_attribute("aria-current", "true")
        market.customer.transfer(market.contract("USDT"), await without.scan(), 25 * UNIT)
        await asyncio.to_thread(market.dev.until, plain, "paid")
        request = understood(await second.scan())
        with market.blocks.held():
            market.customer.pay(request)
            market.chain.mine(2)
            await second.reads("Payment found", "2 of 12")
            market.chain.pause()
            try:
                await without.reads("Paid. Thank you!")
                assert len(without.loads) >= 3  # opened, the other code, and by itself
                await without.page.wait_for_url(f"{SHOP}/thanks?payment={plain['id']}", timeout=PATIENCE_MS)
                behind = "Catching up with the network"
                await first.reads("Waiting for your payment", behind)
                await second.reads("Payment found", behind, "2 of 12")
            finally:
                market.chain.resume()
        for each in (first, second):
            await each.does_not_say(behind)
            assert each.stayed()
        await second.reads("Paid. Thank you!")


async def test_program_is_killed_and_the_chain_rewound_below_its_open_pages(
    market: Market, browser: Browser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SIGKILL while one page waits and another is paid. Until the program is back, on the same port, money comes for
    the first, and the chain takes that of the second away below what was final."""
    waiting, paid = market.order("USDT"), market.order("USDT", success_url=f"{SHOP}/")
    async with visiting(browser, waiting) as first, visiting(browser, paid) as second:
        before = market.chain.block_number()
        market.customer.pay(understood(await second.scan()))
        request = understood(await first.scan())
        await second.reads("Paid. Thank you!")
        await second.button("Stay here").click()
        market.dev.end(signal.SIGKILL)
        with market.blocks.held():
            market.chain.reorg(market.chain.block_number() - before)
            market.chain.mine(12)
        market.customer.pay(request)
        monkeypatch.chdir(tmp_path)  # no .env of this machine
        rewound = await asyncio.to_thread(rewind, market, before - 12)
        assert rewound == 0
        await first.reads("Waiting for your payment")
        await expect(first.page.locator("[data-offline]")).to_be_visible(timeout=PATIENCE_MS)

        await asyncio.to_thread(market.start, "--port", market.dev.facts["api_url"].rpartition(":")[2])
        await first.reads("Paid. Thank you!")
        await first.button("Stay here").click()
        await second.reads("This payment needs a closer look", "Please do not pay again", paid["id"])
        await expect(first.page.locator("[data-offline]")).to_be_hidden(timeout=PATIENCE_MS)
        assert first.stayed()
        assert second.stayed()


def rewind(market: Market, block: int) -> int:
    """`openpay rewind` on what the program left behind; its exit status."""
    settings = {
        "OPENPAY_DATABASE_URL": f"sqlite:///{market.state_dir / 'openpay.db'}",
        "OPENPAY_LIVE_CHAIN": str(market.state_dir / "local-chain.json"),
        "OPENPAY_LIVE_RPC_URLS": market.chain.rpc_url,
    }
    result = CliRunner(env=settings).invoke(app, ("rewind", str(block), "--yes"))
    assert result.exit_code == 0, result.output
    return result.exit_code


async def _seconds_left(visit: Visit) -> int:
    timer = visit.page.get_by_role("timer")
    await expect(timer).to_be_visible()
    minutes, seconds = (await timer.inner_text()).split(":")
    return int(minutes) * 60 + int(seconds)
