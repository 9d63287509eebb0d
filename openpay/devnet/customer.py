"""The demo customer: opens the page like a browser, and pays by transactions it signs itself."""

from __future__ import annotations

from typing import Any

import aiohttp

from openpay.chain.escrow_abi import WORD, address_word, selector
from openpay.client import Payment
from openpay.devnet.wallet import Wallet
from openpay.domain.address import parse_address

BROWSER_HEADERS = {"Accept": "text/html,application/xhtml+xml", "User-Agent": "Mozilla/5.0 (demo customer)"}


async def open_page(checkout_url: str) -> int:
    """Load the checkout page as a browser does; how many bytes came. Raises `aiohttp.ClientError`."""
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.get(checkout_url, headers=BROWSER_HEADERS) as response,
    ):
        return len(await response.read())


async def pay(wallet: Wallet, payment: Payment, token: str) -> bytes:
    """Send exactly what the payment asks for in `token`; the transaction's hash. Raises `ChainUnavailable`."""
    amount: Any = next(each for each in payment["deposit"]["amounts"] if each["token"] == token)
    address = parse_address(payment["deposit"]["address"])
    units = int(amount["remaining_units"])
    if amount["contract"] is None:
        return await wallet.send(to=address, value=units)
    data = selector("transfer", "TestToken") + address_word(address) + units.to_bytes(WORD, "big")
    return await wallet.send(to=parse_address(amount["contract"]), data=data)
