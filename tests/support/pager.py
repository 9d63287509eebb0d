"""The operator's receiver of alerts, on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class Pager:
    """Keeps what it was sent, oldest first."""

    url: str = ""
    received: list[dict[str, object]] = field(default_factory=list)

    async def receive(self, request: web.Request) -> web.StreamResponse:
        self.received.append(json.loads(await request.read()))
        return web.Response(status=204)

    @property
    def told(self) -> list[tuple[str, str]]:
        """The event and the alert's kind of each."""
        return [(str(event["event"]), str(event["data"]["kind"])) for event in self.received]  # type: ignore[index]


@asynccontextmanager
async def open_pager() -> AsyncIterator[Pager]:
    opened = Pager()
    app = web.Application()
    app.router.add_post("/alerts", opened.receive)
    async with TestServer(app) as server:
        opened.url = str(server.make_url("/alerts"))
        yield opened
