"""Customers at the checkout page: a real browser, a camera that reads its QR codes, and wallets that sign for real."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from playwright.async_api import Browser, Locator, Page, ViewportSize, expect

from openpay.chain.account import Account
from openpay.chain.messages import message_hash
from openpay.chain.signing import Signer
from openpay.client import Payment
from tests.e2e.installation import PATIENCE_S
from tests.e2e.line import Line
from tests.support.anvil import Node
from tests.support.browser import scan

PATIENCE_MS = PATIENCE_S * 1000
PHONE = ViewportSize(width=390, height=844)
SHOP = "https://shop.example"
ORDER = {"success_url": SHOP + "/thanks?payment={PAYMENT_ID}", "cancel_url": SHOP + "/basket/{PAYMENT_ID}"}
"""The merchant's own pages, for `payments.create`. The browser is answered for them: nothing leaves the machine."""


# --- the page --------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Visit:
    """A customer's open page. `loads` counts its documents: a page that moves by itself stays at one."""

    page: Page
    loads: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("domcontentloaded", lambda page: self.loads.append(page.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def reads(self, heading: str, *texts: str | re.Pattern[str]) -> None:
        """Wait until the page has this heading and says these, in its moving part."""
        live = self.page.locator("#live")
        await expect(live.get_by_role("heading", level=2)).to_have_text(heading, timeout=PATIENCE_MS)
        for text in texts:
            await expect(live).to_contain_text(text, timeout=PATIENCE_MS, use_inner_text=True)

    async def does_not_say(self, text: str) -> None:
        await expect(self.page.locator("#live")).not_to_contain_text(text, timeout=PATIENCE_MS)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    async def scan(self) -> str:
        """What a wallet's camera reads from the screen."""
        return await scan(self.page)

    async def copied(self, name: str) -> str:
        """What is in the clipboard after a press of this button."""
        await self.button(name).click()
        await expect(self.page.locator("#announcer")).to_have_text("Copied")
        # One clipboard for all pages of the browser: nothing else may happen between the press and this.
        text: str = await self.page.evaluate("navigator.clipboard.readText()")
        return text

    def stayed(self) -> bool:
        """Whether all of it happened on the page as it was opened, without an error."""
        return len(self.loads) == 1 and self.complaints == []


@asynccontextmanager
async def visiting(
    browser: Browser,
    payment: Payment,
    *,
    query: str = "",
    wallet: Wallet | None = None,
    line: Line | None = None,
    clock_off_s: int = 0,
    **options: Any,
) -> AsyncIterator[Visit]:
    """A customer of its own, who has opened the payment's page; `clock_off_s` is how wrong the machine's clock is."""
    # Without motion, which would be drawn sixty times a second while a page waits.
    usual = {"viewport": PHONE, "timezone_id": "UTC", "locale": "en-GB", "reduced_motion": "reduce"}
    context = await browser.new_context(**{**usual, **options})
    await context.route(f"{SHOP}/**", lambda route: route.fulfill(body="the shop", content_type="text/plain"))
    try:
        visit = Visit(page=await context.new_page())
        if wallet is not None:
            await context.expose_function("signText", wallet.sign_text)
            await context.add_init_script(_PROVIDER % wallet.address)
        if clock_off_s:
            await context.clock.install(time=time.time() + clock_off_s)
        url = payment["checkout_url"] if line is None else line.through(payment["checkout_url"])
        await visit.page.goto(url + query)
        yield visit
    finally:
        await context.close()


# --- wallets ---------------------------------------------------------------------------------------------------------

_PROVIDER = """
window.ethereum = {
  request: async ({ method, params }) => {
    if (method === "eth_accounts" || method === "eth_requestAccounts") return ["%s"];
    if (method === "eth_chainId") return "0x7a69";
    if (method === "personal_sign") return window.signText(params[0]);
    throw Object.assign(new Error(`this wallet does not know ${method}`), { code: 4200 });
  },
  on() {},
  removeListener() {},
};
"""
"""A wallet in the page (EIP-1193). Its key is outside of the browser."""


@dataclass(frozen=True, kw_only=True)
class TransferRequest:
    """What a wallet understands from an EIP-681 text. `contract` None: the network's own coin."""

    chain_id: int
    contract: str | None
    to: str
    units: int


def understood(text: str) -> TransferRequest:
    """Read `ethereum:…` by the letter of EIP-681, knowing nothing of who wrote it. Raises `ValueError`."""
    address = "0x[0-9a-fA-F]{40}"
    parsed = re.fullmatch(rf"ethereum:(?:pay-)?({address})@([0-9]+)(/transfer)?\?(\S+)", text)
    if parsed is None:
        raise ValueError(f"no EIP-681 request: {text!r}")
    target, chain_id, function, query = parsed.groups()
    parameters = {name: value for name, (value,) in parse_qs(query, strict_parsing=True).items()}
    if function is None:
        return TransferRequest(chain_id=int(chain_id), contract=None, to=target, units=int(parameters["value"]))
    return TransferRequest(
        chain_id=int(chain_id), contract=target, to=parameters["address"], units=int(parameters["uint256"])
    )


class Wallet:
    """One key on one chain. `nonce` far above a person's makes it look like an exchange's."""

    def __init__(self, node: Node, *, key: str | None = None, nonce: int | None = None) -> None:
        self._node = node
        self._key = secrets.token_bytes(32) if key is None else bytes.fromhex(key[2:])
        self.address: str = Account.from_key(self._key).address
        if key is None:
            node.rpc("anvil_setBalance", self.address, hex(10**20))
        if nonce is not None:
            node.rpc("anvil_setNonce", self.address, hex(nonce))

    def pay(self, request: TransferRequest) -> str:
        """Send exactly what was asked for; the transaction's hash."""
        assert request.chain_id == int(self._node.rpc("eth_chainId"), 16)
        return self.transfer(request.contract, request.to, request.units)

    def transfer(self, contract: str | None, to: str, units: int) -> str:
        """Send base units of a token, or of the network's own coin."""
        if contract is None:
            return self._send(to, value=units)
        # transfer(address,uint256)
        return self._send(contract, data=bytes.fromhex("a9059cbb" + f"{to[2:]:0>64}" + f"{units:064x}"))

    def _send(self, to: str, *, value: int = 0, data: bytes = b"") -> str:
        signed = Signer(self._key).sign(
            chain_id=int(self._node.rpc("eth_chainId"), 16),
            nonce=int(self._node.rpc("eth_getTransactionCount", self.address, "pending"), 16),
            to=bytes.fromhex(to[2:]),
            gas=120_000,
            gas_price=2 * 10**10,
            data=data,
            value=value,
        )
        tx_hash: str = self._node.rpc("eth_sendRawTransaction", "0x" + signed.raw.hex())
        return tx_hash

    def sign_text(self, data: str) -> str:
        """`personal_sign` (EIP-191) of a text given as hex."""
        text = bytes.fromhex(data[2:]).decode()
        return "0x" + bytes(Account.from_key(self._key).unsafe_sign_hash(message_hash(text)).signature).hex()


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait for something outside of the browser, which goes on meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.05)
    assert condition(), what
