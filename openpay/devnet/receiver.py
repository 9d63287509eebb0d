"""The demo merchant's server: receives webhooks and trusts none whose signature it cannot verify."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from openpay.client import WebhookVerificationError, verify_webhook


@dataclass(frozen=True, kw_only=True)
class Received:
    """A webhook whose signature was verified, with the headers that carried it."""

    event: dict[str, Any]
    headers: dict[str, str]
    body: str
    """What was signed, as it arrived."""


class WebhookReceiver:
    """Knows nothing of Open Pay but the merchant's public key, as `GET /v1/webhooks/public-key` answers it."""

    def __init__(self, public_key: str) -> None:
        self._public_key = public_key
        self._news = asyncio.Condition()
        self.received: list[Received] = []
        self.refused: list[str] = []
        """Why webhooks were not accepted."""

    async def expect(self, event: str, payment_id: str, *, timeout_s: float) -> Received:
        """The first verified webhook of this event for this payment. Raises `TimeoutError`."""

        async with asyncio.timeout(timeout_s), self._news:
            while True:
                for received in self.received:
                    if (received.event.get("event"), received.event.get("payment_id")) == (event, payment_id):
                        return received
                await self._news.wait()

    async def handle(self, request: web.Request) -> web.Response:
        """Take a delivery; 400 for one that the merchant's key did not sign."""
        body = await request.read()
        try:
            event = verify_webhook(body, request.headers, self._public_key)
        except WebhookVerificationError as error:
            self.refused.append(str(error))
            return web.Response(status=400, text=str(error))
        async with self._news:
            self.received.append(Received(event=event, headers=dict(request.headers), body=body.decode()))
            self._news.notify_all()
        return web.Response(status=204)


@asynccontextmanager
async def receive_webhooks(public_key: str) -> AsyncIterator[tuple[str, WebhookReceiver]]:
    """Listen on a free loopback port until the context ends; yields the URL to configure, and the receiver."""
    receiver = WebhookReceiver(public_key)
    app = web.Application()
    app.router.add_post("/webhooks", receiver.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks", receiver
    finally:
        await runner.cleanup()
