"""The demo shop of `openpay dev`: a page that sells in three ways, and the log of what its webhook endpoint was told.

A shop like any other: it uses the public API by the client, embeds the checkout by openpay.js, and verifies webhooks by
the public key. Only `pay` is no shop's: there the demo customer's key signs.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from openpay.chain.pool import Pool
from openpay.chain.signing import Signer
from openpay.client import AsyncOpenPay, OpenPayError, Payment
from openpay.devnet.customer import pay
from openpay.devnet.receiver import Received, WebhookReceiver
from openpay.devnet.wallet import Wallet
from openpay.errors import Invalid
from openpay.http.bodies import read_json_object

GOODS: Mapping[str, str] = {"4.50": "A cup of coffee", "25.00": "Two bags of beans", "480.00": "An espresso machine"}
"""What is for sale, by its price in USD."""

SHOWN_HEADERS = ("webhook-id", "x-openpay-timestamp", "x-openpay-signature", "openpay-key-id")

_A_SHOPS_WEBHOOKS = re.compile(r"http://127\.0\.0\.1:\d+/demo/webhooks", re.ASCII)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, kw_only=True)
class ShopFacts:
    """`url`: where API, checkout and this shop are. `customer` has test money and nothing else to do."""

    url: str
    api_key: str
    webhook_public_key: str
    pool: Pool
    chain_id: int
    customer: Signer


def build_shop(facts: ShopFacts) -> web.Application:
    """Build the sub-application, to be mounted at `/demo` of a development server only: anybody may pay and look."""
    shop = _Shop(facts)
    app = web.Application()
    app.add_routes(
        [
            web.get("", shop.page),
            web.get("/static/{name}", shop.file),
            web.post("/orders", shop.order),
            web.get("/orders/{payment}", shop.ordered),
            web.post("/pay", shop.pay),
            web.get("/webhooks", shop.log),
            web.post("/webhooks", shop.receiver.handle),
        ]
    )

    async def close_client(app: web.Application) -> AsyncIterator[None]:
        yield
        await shop.client.close()

    app.cleanup_ctx.append(close_client)
    return app


class _Shop:
    def __init__(self, facts: ShopFacts) -> None:
        self._facts = facts
        self.client = AsyncOpenPay(facts.api_key, facts.url)
        self.receiver = WebhookReceiver(facts.webhook_public_key)
        self._wallet = Wallet(facts.pool, chain_id=facts.chain_id, signer=facts.customer)
        # One transaction after the other: each takes the next nonce.
        self._paying = asyncio.Lock()
        directory = Path(__file__).with_name("shop_page")
        self._files = {path.name: path.read_text() for path in directory.iterdir() if path.suffix in _TYPES}

    async def page(self, request: web.Request) -> web.Response:
        """The shop, at the one address whose origin may embed the checkout."""
        here = f"{self._facts.url}/demo"
        if request.host != urlsplit(here).netloc:
            raise web.HTTPTemporaryRedirect(here)
        # Only now: who never looks at the shop has no endpoint that they did not make.
        await self._listen(f"{here}/webhooks")
        return self._answer("index.html", {"Content-Security-Policy": _POLICY})

    async def _listen(self, url: str) -> None:
        """Have webhooks sent to `url`, and no more to the port of an earlier run, where nobody listens."""
        for endpoint in await self.client.webhooks.endpoints():
            if endpoint["url"] != url and _A_SHOPS_WEBHOOKS.fullmatch(endpoint["url"]):
                await self.client.webhooks.delete(endpoint["id"])
        await self.client.webhooks.configure(url)

    async def file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound
        return self._answer(name, {})

    def _answer(self, name: str, headers: Mapping[str, str]) -> web.Response:
        kind, headers = _TYPES[Path(name).suffix], {hdrs.CACHE_CONTROL: "no-cache", **headers}
        return web.Response(text=self._files[name], content_type=kind, headers=headers)

    async def order(self, request: web.Request) -> web.Response:
        """Create the payment: what a shop's server does when somebody orders."""
        amount = (await read_json_object(request, optional=False)).get("amount")
        if amount not in GOODS:
            raise Invalid(f"amount is one of {', '.join(GOODS)}", code="invalid_amount", param="amount")
        number = str(1_000 + secrets.randbelow(9_000))
        here = f"{self._facts.url}/demo"
        params: dict[str, Any] = {
            "amount": amount,
            "currency": "USD",
            "description": f"{GOODS[str(amount)]}, order #{number}",
            "metadata": {"order_id": number},
            "success_url": f"{here}?paid={{PAYMENT_ID}}",
            "cancel_url": here,
        }
        payment = await self.client.payments.create(**params)
        return web.json_response({"sent": params, "answered": payment})

    async def ordered(self, request: web.Request) -> web.Response:
        """What became of an order."""
        return web.json_response(await self._payment(request.match_info["payment"]))

    async def pay(self, request: web.Request) -> web.Response:
        """The demo customer pays what the payment still asks for, by a transaction signed here."""
        body = await read_json_object(request, optional=False)
        payment_id, token = str(body.get("payment")), str(body.get("token", "USDT"))
        payment = await self._payment(payment_id)
        if token not in payment["accepted_tokens"]:
            raise Invalid(f"this payment does not take {token[:20]!r}", code="invalid_token", param="token")
        if payment["status"] not in ("initiated", "pending"):
            raise Invalid(f"this payment is {payment['status']}", code="invalid_state", param="payment")
        async with self._paying:
            tx_hash = await pay(self._wallet, payment, token)
        return web.json_response({"tx_hash": "0x" + tx_hash.hex()})

    async def _payment(self, payment_id: str) -> Payment:
        try:
            return await self.client.payments.retrieve(payment_id)
        except OpenPayError as error:
            raise Invalid(str(error), code="invalid_payment", param="payment") from error

    async def log(self, request: web.Request) -> web.Response:
        """Webhooks received so far, from number `after` on, and why others were refused."""
        after = request.query.get("after", "")
        start = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else 0
        received = [_shown(each) for each in self.receiver.received[start:]]
        return web.json_response({"received": received, "refused": self.receiver.refused[-20:]})


def _shown(received: Received) -> dict[str, object]:
    headers = {name: value for name, value in received.headers.items() if name.lower() in SHOWN_HEADERS}
    return {"event": received.event.get("event"), "headers": headers, "body": received.body}
