"""Every way in which a wallet refuses has its own words and a way on; and nothing a wallet says can harm the page."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, expect

from checkout_web.words.wallet_words import WALLET_WORDS
from openpay.domain.chains import Chain
from openpay.domain.payment import Payment
from tests.checkout_web.checkout_visits import Street, Visit
from tests.checkout_web.scenes import CHAIN, open_shop
from tests.support.provider import NEVER, PageWallet, Refused, emit, error

STATIC = Path(__file__).parents[2] / "checkout_web" / "static"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def street(browser: Browser, module_sqlite_url: str) -> AsyncIterator[Street]:
    """One shop for all tests here."""
    async with open_shop(module_sqlite_url) as shop, TestServer(shop.application()) as server:
        yield Street(shop=shop, server=server, browser=browser)


WALLET = PageWallet()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def open_visit(street: Street) -> AsyncIterator[tuple[Visit, Payment]]:
    payment = await street.shop.create()
    async with street.visit(payment, WALLET) as visit:
        await visit.page.clock.install()
        # What an earlier test sent is forgotten with each load, however late it was written down.
        await visit.page.add_init_script("localStorage.clear()")
        yield visit, payment


@pytest_asyncio.fixture(loop_scope="session")
async def visit(street: Street, open_visit: tuple[Visit, Payment]) -> Visit:
    """One page for all, reloaded: the wallet as at first."""
    visit, payment = open_visit
    fresh = PageWallet(uuid=WALLET.uuid)
    for name in ("answers", "asked", "sent", "accounts", "knows_chains"):
        setattr(WALLET, name, getattr(fresh, name))
    WALLET.chain_id, WALLET.token_units, WALLET.coin_wei = fresh.chain_id, fresh.token_units, fresh.coin_wei
    await visit.page.goto(street.url(payment))
    return visit


REFUSALS: list[tuple[str, Any, str]] = [
    ("eth_requestAccounts", error(4001, "User rejected the request."), "You refused in Test Wallet. Nothing was sent."),
    ("eth_requestAccounts", error(4100), "does not let this page use that account"),
    (
        "eth_requestAccounts",
        error(-32002, "Already processing"),
        "request of this page is already open in Test Wallet",
    ),
    ("eth_requestAccounts", [], "Test Wallet is locked, or shows this page no account"),
    ("eth_requestAccounts", None, "Test Wallet is locked"),
    ("eth_requestAccounts", ["<b>0x</b>"], "Test Wallet is locked"),
    ("eth_chainId", error(4900), "Test Wallet is not connected to any network"),
    ("eth_chainId", "bsc", "gave an answer that cannot be understood"),
    ("eth_sendTransaction", error(4001), "You refused in Test Wallet. Nothing was sent."),
    ("eth_sendTransaction", error("ACTION_REJECTED"), "You refused in Test Wallet. Nothing was sent."),
    ("eth_sendTransaction", error(-32603, "x", data={"originalError": {"code": 4001}}), "You refused in Test Wallet."),
    ("eth_sendTransaction", Refused("User denied transaction signature"), "You refused in Test Wallet."),
    ("eth_sendTransaction", error(4200), "Test Wallet cannot do this. Use the QR code"),
    ("eth_sendTransaction", error(-32601), "Test Wallet cannot do this. Use the QR code"),
    ("eth_sendTransaction", error(4901), "Test Wallet cannot reach this network at the moment"),
    (
        "eth_sendTransaction",
        error(-32000, "insufficient funds for gas * price + value"),
        "has too little for the transfer",
    ),
    ("eth_sendTransaction", error(-32000, "nonce too low"), "has an earlier transaction that still waits"),
    (
        "eth_sendTransaction",
        error(-32000, "gas too low"),
        "refused what Test Wallet sent. The wallet’s own words: gas too low",
    ),
    ("eth_sendTransaction", error(-32005), "Test Wallet was asked too often"),
    ("eth_sendTransaction", error(-1, "Hmm\u202e\n<img src=x>"), "Its own words: Hmm <img src=x>"),
    ("eth_sendTransaction", Refused(None), "reports an error and does not say which"),
    ("eth_sendTransaction", Refused(17), "reports an error and does not say which"),
    ("eth_sendTransaction", Refused({"code": {"a": 1}, "message": ["b"]}), "reports an error and does not say which"),
]


@pytest.mark.parametrize(("method", "answer", "words"), REFUSALS)
async def test_a_refusal_has_words_and_a_way_on(visit: Visit, method: str, answer: Any, words: str) -> None:
    WALLET.answers[method] = answer
    await visit.press("Test Wallet")
    await visit.says(words)
    assert WALLET.sent == []
    await expect(visit.section.locator("img[src=x]")).to_have_count(0)
    WALLET.answers.clear()
    await visit.press("Try again")
    await visit.says("Sent. 25.00 USDT")
    assert len(WALLET.sent) == 1


@pytest.mark.parametrize("code", [-1, 4900, -32000])
async def test_where_something_may_have_been_sent_the_customer_is_told_to_look(visit: Visit, code: int) -> None:
    WALLET.answers["eth_sendTransaction"] = error(code, "connection reset")
    await visit.press("Test Wallet")
    await visit.says("Before you try again, look into the wallet’s list of activity")


# --- networks --------------------------------------------------------------------------------------------------------


async def test_refusing_to_change_the_network(visit: Visit) -> None:
    WALLET.chain_id = 1
    WALLET.answers["wallet_switchEthereumChain"] = error(4001)
    await visit.press("Test Wallet")
    await visit.says("You refused in Test Wallet.")


async def test_a_wallet_that_cannot_change_networks_or_does_not_although_it_says_so(visit: Visit) -> None:
    WALLET.chain_id = 1
    for answer in (error(4200), None):
        WALLET.answers["wallet_switchEthereumChain"] = answer
        await visit.page.reload()
        await visit.press("Test Wallet")
        await visit.page.clock.run_for(5_000)
        await visit.says("Test Wallet is on another network. Choose BNB Smart Chain in it, then try again.")
    assert WALLET.sent == []


@pytest.mark.parametrize("code", [4902, "4902"])
async def test_a_network_that_cannot_be_added_is_described_for_adding_by_hand(visit: Visit, code: int | str) -> None:
    WALLET.chain_id, WALLET.knows_chains = 1, {1}
    WALLET.answers["wallet_switchEthereumChain"] = error(-32603, "", data={"originalError": {"code": code}})
    WALLET.answers["wallet_addEthereumChain"] = error(-32602, "May not specify default chain")
    await visit.press("Test Wallet")
    await visit.says("Add the network in Test Wallet by hand, then try again: BNB Smart Chain, chain id 56, coin BNB.")


async def test_without_a_public_endpoint_the_network_is_added_by_hand(
    visit: Visit, street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains = cast(dict[bool, Chain], street.shop.service.chains)
    monkeypatch.setitem(chains, True, replace(CHAIN, public_rpc_urls=(), explorer_url=None))
    WALLET.chain_id, WALLET.knows_chains = 1, {1}
    await visit.page.reload()
    await visit.press("Test Wallet")
    await visit.says("Add the network in Test Wallet by hand")
    assert "wallet_addEthereumChain" not in WALLET.methods()


async def test_an_account_or_network_changed_meanwhile_sends_nothing(visit: Visit) -> None:
    def swap_account(_params: object) -> str:
        WALLET.accounts = ["0x" + "cd" * 20]
        return hex(10**8)

    WALLET.answers["eth_gasPrice"] = swap_account
    await visit.press("Test Wallet")
    await visit.says("The account in Test Wallet was changed meanwhile. Nothing was sent.")

    def swap_chain(_params: object) -> str:
        WALLET.chain_id = 1
        return hex(10**8)

    WALLET.answers["eth_gasPrice"] = swap_chain
    await visit.press("Try again")
    await visit.says("Test Wallet is on another network.")
    assert WALLET.sent == []


async def test_a_change_while_the_request_is_open_is_said(visit: Visit) -> None:
    WALLET.answers["eth_sendTransaction"] = NEVER
    await visit.press("Test Wallet")
    await visit.says("Approve the transfer")
    await emit(visit.page, WALLET, "accountsChanged", ["0x" + "cd" * 20])
    await visit.says("Your wallet was changed to another account or network.")


# --- money -----------------------------------------------------------------------------------------------------------


async def test_too_little_of_the_token_is_said_before_the_wallet_is_asked(visit: Visit) -> None:
    WALLET.token_units = 3_500_000_000_000_000_000
    await visit.press("Test Wallet")
    await visit.says("This account holds 3.50 USDT, and 25.00 USDT are asked for.")
    assert "eth_sendTransaction" not in WALLET.methods()


async def test_without_coins_for_the_fee_there_is_a_warning_that_may_be_overruled(visit: Visit) -> None:
    WALLET.coin_wei = 1_000
    await visit.press("Test Wallet")
    await visit.says("The network fee is paid in BNB, and this account holds 0.00 BNB: probably too little.")
    assert WALLET.sent == []
    await visit.press("Go on anyway")
    await visit.says("Sent.")


async def test_a_wallet_that_does_not_tell_balances_can_still_pay(visit: Visit) -> None:
    for method in ("eth_call", "eth_getBalance", "eth_gasPrice"):
        WALLET.answers[method] = error(4200)
    await visit.press("Test Wallet")
    await visit.says("Sent.")


# --- silence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["eth_requestAccounts", "eth_sendTransaction"])
async def test_a_wallet_that_waits_for_its_owner_may_take_long_and_is_looked_for(visit: Visit, method: str) -> None:
    WALLET.answers[method] = NEVER
    await visit.press("Test Wallet")
    await visit.says(
        "Approve the transfer" if method == "eth_sendTransaction" else "allow this page to see your account"
    )
    await visit.page.clock.run_for(50_000)
    await visit.says("Test Wallet has not answered yet. Its window may be behind this one")
    WALLET.answers.clear()
    await visit.press("Start over")
    await visit.press("Test Wallet")
    await visit.says("Sent.")


async def test_a_wallet_that_does_not_answer_what_needs_nobody(visit: Visit) -> None:
    WALLET.answers["eth_chainId"] = NEVER
    await visit.press("Test Wallet")
    async with asyncio.timeout(30):
        while "eth_chainId" not in WALLET.methods():
            await asyncio.sleep(0.02)
    await visit.page.clock.run_for(20_000)
    await visit.says("Test Wallet does not answer.")


async def test_without_the_server_nothing_is_sent(visit: Visit) -> None:
    await visit.page.route("**/state?*", lambda route: route.abort())
    await visit.press("Test Wallet")
    await visit.says("This page cannot ask how much remains to be paid. Nothing was sent.")
    await visit.page.unroute("**/state?*")
    assert WALLET.sent == []


# --- hostile wallets -------------------------------------------------------------------------------------------------

HOSTILE_SVG = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9' onload='top.hacked=1'>"
    "<script>top.hacked=1;fetch('http://evil.test/')</script><image href='http://evil.test/x' width='9' height='9'/>"
    "<foreignObject><iframe xmlns='http://www.w3.org/1999/xhtml' src='http://evil.test/'/></foreignObject></svg>"
)


async def test_an_icon_runs_nothing_and_loads_nothing(street: Street) -> None:
    payment = await street.shop.create()
    async with street.visit(payment, PageWallet(icon=HOSTILE_SVG)) as visit:
        await expect(visit.section.locator("img")).to_have_count(1)
        await visit.page.wait_for_function("document.querySelector('[data-wallet] img').complete")
        assert await visit.page.evaluate("window.hacked") is None
        assert visit.hosts == {f"{street.server.host}:{street.server.port}"}


NO_ICONS: list[Any] = [
    "https://evil.test/icon.png",
    "javascript:alert(1)",
    "data:text/html,<script>top.hacked=1</script>",
    "data:image/svg+xml-and-more,x",
    "data:image/png;base64," + "A" * 200_000,
    "//evil.test/icon.png",
    "x' onerror='top.hacked=1",
    "data:image/png;base64,bm8gcGljdHVyZQ==",
    7,
    None,
    {"toString": "x"},
]


async def test_other_icons_are_left_out(street: Street) -> None:
    wallets = [PageWallet(name=f"Wallet {index}", icon=icon) for index, icon in enumerate(NO_ICONS)]
    async with street.visit(await street.shop.create(), *wallets) as visit:
        await expect(visit.section.get_by_role("listitem")).to_have_count(len(wallets))
        await expect(visit.section.locator("img")).to_have_count(0)
        assert await visit.page.evaluate("window.hacked") is None
        assert visit.hosts == {f"{street.server.host}:{street.server.port}"}


async def test_names_are_text_of_one_short_line(street: Street) -> None:
    names = ["<b>Bold</b>", "W" * 4_000, "Pay\u202eecin\u0000\n\there", "", None, ["list"]]
    wallets = [PageWallet(name=name, rdns=f"wallet.n{index}") for index, name in enumerate(names)]
    async with street.visit(await street.shop.create(), *wallets, size={"width": 320, "height": 640}) as visit:
        items = visit.section.get_by_role("listitem")
        await expect(items).to_have_text(
            ["<b>Bold</b>", "W" * 31 + "…", "Pay ecin here", "wallet.n3", "wallet.n4", "wallet.n5"]
        )
        assert await visit.page.evaluate("document.documentElement.scrollWidth") <= 320


FLOOD = """
for (let n = 0; n < 1000; n += 1) {
  const info = { uuid: `u${n}`, name: `Wallet ${n}`, icon: "", rdns: "a.b" };
  const provider = { request() { throw new Error("no"); } };
  addEventListener("eip6963:requestProvider", () =>
    dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail: { info, provider } })));
}
const hostile = [null, 7, {}, { info: null }, { info: {}, provider: null },
  { get info() { throw new Error("trap"); } },
  { info: new Proxy({}, { get() { throw new Error("trap"); } }), provider: { request() {} } }];
addEventListener("eip6963:requestProvider", () => {
  for (const detail of hostile) dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
});
Object.defineProperty(window, "ethereum", { get() { throw new Error("trap"); } });
"""


async def test_a_flood_of_announcements_and_broken_ones_leave_a_usable_page(street: Street) -> None:
    payment = await street.shop.create()
    async with street.visit(payment) as visit:
        await visit.page.add_init_script(FLOOD)
        await visit.page.reload()
        await expect(visit.section.get_by_role("listitem")).to_have_count(12)
        await visit.press("Wallet 3")
        await visit.says("Wallet 3 reports an error. Its own words: no")
        assert visit.complaints == []


async def test_every_kind_of_refusal_and_every_step_has_words() -> None:
    source = "\n".join(path.read_text() for path in STATIC.glob("wallet*.js"))
    kinds = set(re.findall(r'Refusal\("(\w+)"', source)) | set(re.findall(r', "(\w+)"\],', source))
    steps = set(re.findall(r'step\("(\w+)"', source)) - {"send_moved"}
    asked = set(re.findall(r'(?:say|remark)\("(wallet_\w+)"', source))
    needed = asked | {f"wallet_{kind}" for kind in kinds - {"given_up"}} | {f"wallet_step_{step}" for step in steps}
    assert len(kinds) > 20
    assert needed == set(WALLET_WORDS)
