"""Paying from a smart account: a contract moves the money, and the wallet names an operation that is no transaction."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, expect

from checkout_web import Deps, build_app
from openpay.app.signals import Signals
from openpay.domain.address import to_checksum
from openpay.domain.deposit import Source
from openpay.http import HttpSettings, new_application
from tests.support.anvil import ACCOUNTS, Anvil
from tests.support.provider import PageWallet, give_wallets
from tests.watcher.beginning import OpenScene
from tests.watcher.scene import CHAIN_ID, UNIT, Scene, due

ACCOUNT = bytes([0x5A]) * 20
# Its input: whom to call, with how much of the coin, and with what. CALLDATACOPY(0, 64, size - 64), then
# CALL(gas, target, value, all of that, no answer).
ACCOUNT_CODE = "0x" + "604036036040600037" + "600060006040360360006020356000355a" + "f100"
BUNDLER = ACCOUNTS[3].address
OPERATION = "0x" + "0b" * 32


@dataclass(kw_only=True)
class SmartWallet(PageWallet):
    """Has a bundler call the account's contract, and answers with the operation's number."""

    chain: Anvil
    share: int = 1
    """It sends this part of what it is asked for: a half, a third."""

    def send(self, transaction: dict[str, str]) -> str:
        self.sent.append(transaction)
        target = bytes.fromhex(transaction["to"][2:]).rjust(32, b"\0").hex()
        value = f"{int(transaction.get('value', '0x0'), 16) // self.share:064x}"
        call = transaction.get("data", "0x")[2:]
        if call:
            call = call[:-64] + f"{int(call[-64:], 16) // self.share:064x}"
        data = "0x" + target + value + call
        receipt = self.chain.receipt(self.chain.send(from_=BUNDLER, to=to_checksum(ACCOUNT), data=data, gas=500_000))
        assert receipt["status"] == "0x1"
        return OPERATION


def fund(scene: Scene) -> None:
    scene.anvil.rpc("anvil_setCode", to_checksum(ACCOUNT), ACCOUNT_CODE)
    scene.send(scene.transfer("USDT", ACCOUNT, 1_000 * UNIT))
    scene.anvil.rpc("anvil_setBalance", to_checksum(ACCOUNT), hex(100 * UNIT))


async def test_tokens_and_coins_of_a_smart_account_pay_in_parts_though_nobody_knows_the_number_it_names(
    browser: Browser, scene_on: OpenScene, sqlite_url: str
) -> None:
    async with scene_on(sqlite_url) as scene:
        await asyncio.to_thread(fund, scene)
        root = new_application(HttpSettings())
        deps = Deps(db=scene.store, payments=scene.service, signals=Signals(), tick_s=0.05)
        root.add_subapp("/checkout", build_app(deps))
        context = await browser.new_context(timezone_id="UTC", locale="en-GB")
        try:
            wallet = SmartWallet(
                chain=scene.anvil, chain_id=CHAIN_ID, knows_chains={CHAIN_ID}, accounts=[to_checksum(ACCOUNT)]
            )
            await give_wallets(context, [wallet])
            async with TestServer(root) as server:
                for token, source in (("USDT", Source.LOG), ("BNB", Source.INTERNAL)):
                    payment = await scene.create(token)
                    page = await context.new_page()
                    await page.goto(str(server.make_url(f"/checkout/{payment.id}")))
                    section, heading = page.locator("[data-wallet]"), page.locator("#state-heading")
                    for wallet.share, found in ((2, "Part of it has arrived"), (1, "Payment found")):
                        await section.get_by_role("button", name="Test Wallet").click()
                        await expect(heading).to_have_text("Your payment is on its way")
                        await scene.watch()
                        await expect(heading).to_have_text(found)
                    deposits = await scene.deposits(payment)
                    assert {deposit.source for deposit in deposits} == {source}
                    assert sum(deposit.units for deposit in deposits) == due(payment, token)[0]
                    await scene.mine(12)
                    await expect(heading).to_have_text("Paid. Thank you!")
        finally:
            await context.close()
    assert len(wallet.sent) == 4
