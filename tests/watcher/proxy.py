"""A node between the watcher and anvil that can be away, lag, or lie. Each proxy is a host of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from tests.support.anvil import Anvil

Lie = Callable[[str, list[Any], Any], Any]


class Proxy:
    """Passes requests on to anvil. `lie(method, params, result)` returns what is served instead of `result`."""

    def __init__(self, anvil: Anvil) -> None:
        self._anvil = anvil
        self.is_away = False
        self.lie: Lie | None = None
        self.asked: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.is_away:
            # As a crashed node does: the connection breaks without an answer.
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        body = await request.read()
        questions = json.loads(body)
        async with ClientSession() as session, session.post(self._anvil.rpc_url, data=body, headers=_JSON) as response:
            answers = await response.json()
        together = isinstance(questions, list)
        pairs = list(zip(questions, answers, strict=True)) if together else [(questions, answers)]
        for question, answer in pairs:
            self.asked.append(question["method"])
            if self.lie is not None and "result" in answer:
                answer["result"] = self.lie(question["method"], question["params"], answer["result"])
        return web.json_response(answers)


_JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def proxies(anvil: Anvil, count: int) -> AsyncIterator[list[Proxy]]:
    """That many hosts in front of one chain."""
    made = [Proxy(anvil) for _ in range(count)]
    servers = []
    for proxy in made:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/", proxy.handle)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        proxy.url = str(server.make_url("/"))
    try:
        yield made
    finally:
        for server in servers:
            await server.close()
