"""Paying by a wallet in the browser, from choosing it to *sent*; wallets here are told what to answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from checkout_web.content.view import Part
from openpay.app.merchants import change_page
from openpay.domain.address import to_checksum
from openpay.domain.payment import Payment
from tests.checkout_web.checkout_visits import Street, Visit
from tests.checkout_web.scenes import USDT, WHOLE, Shop
from tests.checkout_web.watching import violations
from tests.support.provider import NEVER, PageWallet, emit


def transfer_of(payment: Payment, units: int) -> str:
    return f"0xa9059cbb{payment.address.hex():0>64}{units:064x}"


async def until_reported(shop: Shop, payment: Payment, count: int = 1) -> None:
    async with asyncio.timeout(30):
        while await shop.reported(payment) < count:
            await asyncio.sleep(0.02)


# --- the way through -------------------------------------------------------------------------------------------------


async def test_one_press_connects_checks_the_balance_and_sends_exactly_what_is_asked(street: Street) -> None:
    payment = await street.shop.create()
    wallet = PageWallet()
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await visit.says("Sent. 25.00 USDT from Test Wallet.")
        (sent,) = wallet.sent
        assert USDT.contract is not None
        assert sent == {
            "from": wallet.accounts[0],
            "to": to_checksum(USDT.contract),
            "value": "0x0",
            "data": transfer_of(payment, 25 * WHOLE),
            "chainId": "0x38",
        }
        asked = wallet.methods()
        assert asked[0] == "eth_requestAccounts"
        assert "wallet_switchEthereumChain" not in asked  # it was there already
        await until_reported(street.shop, payment)

        # Before any block, over a reload, and until the payment itself tells more.
        await expect(visit.section.locator(".hex")).to_have_count(1)
        await visit.page.reload()
        await visit.says("Sent. 25.00 USDT from Test Wallet.")
        await expect(visit.section.get_by_role("button", name="Test Wallet")).to_have_count(0)
        await street.shop.pay(payment)
        await visit.reads("Payment found")
        await expect(visit.section).to_have_count(0)
        assert visit.nothing_was_wrong()
    assert await street.shop.reported(payment) == 1


async def test_the_networks_own_coin_is_sent_as_value(street: Street) -> None:
    payment = await street.shop.create()
    offer = payment.offer("BNB")
    assert offer is not None
    wallet = PageWallet()
    async with street.visit(payment, wallet, query="?token=BNB") as visit:
        await visit.press("Test Wallet")
        await visit.says("Sent.")
    (sent,) = wallet.sent
    assert (sent["to"], int(sent["value"], 16)) == (to_checksum(payment.address), offer.full_units)
    assert "data" not in sent
    assert "eth_call" not in wallet.methods()


async def test_what_the_account_holds_is_shown_while_the_wallet_asks(street: Street) -> None:
    payment = await street.shop.create()
    wallet = PageWallet(token_units=1_234_500_000_000_000_000_000, answers={"eth_sendTransaction": NEVER})
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await visit.says("Approve the transfer of 25.00 USDT in Test Wallet.")
        await visit.says("Account 0xabab…abab holds 1234.50 USDT.")


async def test_a_wallets_figure_has_never_three_decimals(street: Street) -> None:
    payment = await street.shop.create(amount="25.125")
    wallet = PageWallet()
    async with street.visit(payment, wallet, query="?lang=es") as visit:
        await visit.press("Test Wallet")
        await visit.says("25,1250 USDT")
    assert wallet.sent[0]["data"] == transfer_of(payment, 25_125 * WHOLE // 1_000)


async def test_a_wallet_elsewhere_is_brought_to_the_network(street: Street) -> None:
    payment = await street.shop.create()
    wallet = PageWallet(chain_id=1)
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await visit.says("Sent.")
    assert ("wallet_switchEthereumChain", [{"chainId": "0x38"}]) in wallet.asked
    assert len(wallet.sent) == 1


async def test_a_network_that_the_wallet_does_not_know_is_added(street: Street) -> None:
    payment = await street.shop.create()
    wallet = PageWallet(chain_id=1, knows_chains={1})
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await visit.says("Sent.")
    (added,) = [params[0] for method, params in wallet.asked if method == "wallet_addEthereumChain"]
    assert added == {
        "chainId": "0x38",
        "chainName": "BNB Smart Chain",
        "nativeCurrency": {"name": "BNB", "symbol": "BNB", "decimals": 18},
        "rpcUrls": ["https://rpc.example"],
        "blockExplorerUrls": ["https://explorer.example"],
    }
    assert wallet.methods().count("wallet_switchEthereumChain") == 2  # adding is not yet using


# --- what may change meanwhile ---------------------------------------------------------------------------------------


async def test_after_a_partial_payment_only_the_rest_is_sent(street: Street) -> None:
    payment = await street.shop.scene(Part.UNDERPAID)
    wallet = PageWallet()
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await visit.says("Sent. 15.00 USDT")
    assert wallet.sent[0]["data"] == transfer_of(payment, 15 * WHOLE)


@asynccontextmanager
async def without_news(street: Street, payment: Payment, wallet: PageWallet) -> AsyncIterator[Visit]:
    """A page that hears of nothing by itself."""
    async with street.visitor(wallets=[wallet]) as visit:
        await visit.page.route("**/events?*", lambda route: route.abort())
        await visit.open(payment)
        yield visit


async def test_a_page_that_missed_a_partial_payment_asks_again_before_it_sends(street: Street) -> None:
    payment = await street.shop.create()
    wallet = PageWallet()
    async with without_news(street, payment, wallet) as visit:
        await street.shop.pay(payment, 10 * WHOLE)
        await visit.press("Test Wallet")
        await visit.says("The amount has changed meanwhile: now 15.00 USDT remain. Nothing was sent.")
        assert wallet.sent == []
        await visit.press("Try again")
        await visit.says("Sent. 15.00 USDT")
    assert wallet.sent[0]["data"] == transfer_of(payment, 15 * WHOLE)


async def test_a_page_that_missed_the_payment_sends_nothing(street: Street) -> None:
    payment = await street.shop.create()
    wallet = PageWallet()
    async with without_news(street, payment, wallet) as visit:
        await street.shop.pay(payment)
        await visit.press("Test Wallet")
        await visit.reads("Payment found")
    assert wallet.sent == []


@pytest.mark.parametrize("arrives", [25, 10])
async def test_money_that_arrives_while_the_balance_is_read_leaves_nothing_or_the_rest_to_send(
    street: Street, arrives: int
) -> None:
    payment = await street.shop.create()
    loop = asyncio.get_running_loop()
    looked, arrived = asyncio.Event(), asyncio.Event()

    async def read() -> None:
        looked.set()
        await arrived.wait()

    def slow_balance(_params: object) -> str:
        asyncio.run_coroutine_threadsafe(read(), loop).result(20)
        return hex(10**18)

    wallet = PageWallet(answers={"eth_getBalance": slow_balance})
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await asyncio.wait_for(looked.wait(), 20)
        await street.shop.pay(payment, arrives * WHOLE)
        heading = "Payment found" if arrives == 25 else "Part of it has arrived"
        await visit.reads(heading)
        arrived.set()
        if arrives == 25:
            await visit.page.wait_for_timeout(500)  # for what must not happen
        else:
            await visit.says("The amount has changed meanwhile: now 15.00 USDT remain. Nothing was sent.")
    assert "eth_sendTransaction" not in wallet.methods()


async def test_the_second_wallet_is_warned_when_the_first_has_paid_or_part_of_it(street: Street) -> None:
    payment = await street.shop.create()
    wallet = PageWallet(answers={"eth_sendTransaction": NEVER})
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await visit.says("Approve the transfer of 25.00 USDT")
        await street.shop.pay(payment, 10 * WHOLE)
        await visit.says("Money has arrived meanwhile: now 15.00 USDT remain. Refuse the open request in your wallet")
        await street.shop.pay(payment, 15 * WHOLE)
        warning = visit.page.get_by_role("alert")
        await expect(warning).to_contain_text("approved, it would pay a second time")


async def test_two_tabs_of_one_browser_do_not_both_ask(street: Street) -> None:
    payment = await street.shop.create()
    wallet = PageWallet(answers={"eth_sendTransaction": NEVER})
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await visit.says("Approve the transfer")
        second = await visit.page.context.new_page()
        await second.goto(street.url(payment))
        section = second.locator("[data-wallet]")
        await section.get_by_role("button", name="Test Wallet").click()
        await expect(section).to_contain_text("Another tab is just asking a wallet for this payment.")
        del wallet.answers["eth_sendTransaction"]
        await section.get_by_role("button", name="Go on anyway").click()
        await expect(section).to_contain_text("Sent.")
        await visit.press("Start over")
        await visit.says("Sent. 25.00 USDT")  # told by the other tab


async def test_what_was_sent_is_not_offered_again_without_a_warning(street: Street) -> None:
    payment = await street.shop.create()
    wallet = PageWallet()
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await visit.says("Sent.")
        await visit.section.get_by_text("Send again", exact=True).click()
        await visit.says("If the first transfer arrives as well, you have paid twice")
        await visit.press("Send again anyway")
        await visit.says("If the first transfer arrives as well, you have paid twice")
        await visit.press("Back")
        await visit.says("Sent.")
        await visit.section.get_by_text("Send again", exact=True).click()
        await visit.press("Send again anyway")
        await visit.press("Test Wallet")
        await visit.says("Sent.")
    assert len(wallet.sent) == 2


async def test_an_answer_that_comes_after_giving_up_still_counts_as_sent(street: Street) -> None:
    payment = await street.shop.create()
    approved = asyncio.Event()
    loop = asyncio.get_running_loop()

    def approve_late(_params: object) -> str:
        asyncio.run_coroutine_threadsafe(approved.wait(), loop).result(20)
        return "0x" + "5e" * 32

    wallet = PageWallet(answers={"eth_sendTransaction": approve_late})
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await visit.says("Approve the transfer")
        await visit.press("Start over")
        await visit.says("A request may still be open in your wallet. Refuse it there first")
        approved.set()
        await visit.says("Sent. 25.00 USDT")
        await until_reported(street.shop, payment)


# --- which wallets there are -----------------------------------------------------------------------------------------


async def test_without_a_wallet_there_is_no_button(street: Street) -> None:
    async with street.visit(await street.shop.create()) as visit:
        await expect(visit.section).to_be_hidden()


async def test_the_wallet_of_before_eip_6963_is_used_where_none_announces_itself(street: Street) -> None:
    payment = await street.shop.create()
    old, announced = PageWallet(injected=True), PageWallet(name="Announced")
    async with street.visit(payment, old) as visit:
        await visit.press("Browser wallet")
        await visit.says("Sent.")
    async with street.visit(payment, old, announced) as visit:
        await expect(visit.section.get_by_role("listitem")).to_have_text(["Announced"])


async def test_wallets_of_one_name_are_told_apart_and_none_appears_twice(street: Street) -> None:
    wallets = [
        PageWallet(name="Twin", rdns="com.first"),
        PageWallet(name="Twin", rdns="com.second"),
        PageWallet(name="Other", rdns="com.other"),
    ]
    copycat = PageWallet(name="Impostor", uuid=wallets[2].uuid)
    async with street.visit(await street.shop.create(), *wallets, copycat) as visit:
        items = visit.section.get_by_role("listitem")
        await expect(items).to_have_text(["Twin com.first", "Twin com.second", "Other"])
        await visit.press("com.second")
        await visit.says("Sent.")
    assert [len(wallet.sent) for wallet in wallets] == [0, 1, 0]


async def test_in_a_frame_the_button_is_a_link_to_the_hosted_page(street: Street) -> None:
    payment = await street.shop.create()
    body = ""

    async def show(_request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="text/html")

    front = web.Application()
    front.router.add_get("/", show)
    async with TestServer(front) as site, street.visit(payment, PageWallet()) as visit:
        origin = str(site.make_url("/")).rstrip("/")
        async with street.shop.store.write() as uow:
            await change_page(uow, street.shop.merchant.id, embed_origins=[origin])
        framed = street.url(payment, f"?token=USDC&embed={origin}")
        body = f'<iframe src="{framed}" width="900" height="900"></iframe>'
        await visit.page.goto(origin)
        section = visit.page.frame_locator("iframe").locator("[data-wallet]")
        link = section.get_by_role("link", name="Open this payment in a new tab")
        await expect(link).to_be_visible()
        await expect(section.get_by_role("button")).to_have_count(0)
        async with visit.page.context.expect_page() as opened:
            await link.click()
        hosted = await opened.value
        await hosted.locator("[data-wallet]").get_by_role("button", name="Test Wallet").click()
        await expect(hosted.locator("[data-wallet]")).to_contain_text("Sent. 25.00 USDC")


async def test_focus_stays_in_the_section_while_news_arrive(street: Street) -> None:
    payment = await street.shop.create()
    async with street.visit(payment, PageWallet()) as visit:
        button = visit.section.get_by_role("button", name="Test Wallet")
        await button.focus()
        await street.shop.pay(payment, 10 * WHOLE)
        await visit.reads("Part of it has arrived")
        await expect(button).to_be_focused()


# --- for everybody ---------------------------------------------------------------------------------------------------


async def test_axe_finds_nothing_wrong_in_any_state_of_the_section(street: Street) -> None:
    payment = await street.shop.create()
    wallet, other = (
        PageWallet(answers={"eth_sendTransaction": NEVER}),
        PageWallet(name="Test Wallet", icon=None, rdns="b.c"),
    )
    found = {}
    async with street.visit(payment, wallet, other) as visit:
        found["choose"] = await violations(visit.page)
        await visit.press("Test Wallet")
        await visit.says("Approve the transfer")
        found["working"] = await violations(visit.page)
        await emit(visit.page, wallet, "chainChanged", "0x1")
        await visit.says("Your wallet was changed to another account or network.")
        await visit.press("Start over")
        wallet.token_units = 0
        await visit.press("Test Wallet")
        await visit.says("This account holds 0.00 USDT")
        found["trouble"] = await violations(visit.page)
        wallet.token_units = 10**21
        del wallet.answers["eth_sendTransaction"]
        await visit.press("Try again")
        await visit.says("Sent.")
        await visit.section.get_by_text("Send again", exact=True).click()
        found["sent"] = await violations(visit.page)
        # Narrow pages do not scroll sideways.
        await visit.page.set_viewport_size({"width": 320, "height": 640})
        assert await visit.page.evaluate("document.documentElement.scrollWidth") <= 320
    assert found == {"choose": [], "working": [], "trouble": [], "sent": []}
