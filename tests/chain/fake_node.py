"""A JSON-RPC server that answers what a test tells it to, however wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


class FakeNode:
    """Serves `results` by method: a value, or a function of the parameters. `requests` counts HTTP requests.

    `respond` replaces the whole HTTP answer when set; `hang` never answers.
    """

    def __init__(self, **results: Any) -> None:
        self.results: dict[str, Any] = {"eth_chainId": "0x38"} | results
        self.respond: Callable[[Any], web.Response] | None = None
        self.hang = False
        self.asked: list[str] = []
        self.requests = 0
        self.url = ""
        self.server: TestServer | None = None

    async def handle(self, request: web.Request) -> web.Response:
        self.requests += 1
        question = await request.json()
        self.asked += [each["method"] for each in (question if isinstance(question, list) else [question])]
        if self.hang:
            await asyncio.sleep(30)
        if self.respond is not None:
            return self.respond(question)
        answer = [self.answer(each) for each in question] if isinstance(question, list) else self.answer(question)
        return web.Response(text=json.dumps(answer), content_type="application/json")

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        result = self.results[question["method"]]
        if callable(result):
            result = result(*question["params"])
        if isinstance(result, Exception):
            return {"jsonrpc": "2.0", "id": question["id"], "error": result.args[0]}
        return {"jsonrpc": "2.0", "id": question["id"], "result": result}


@asynccontextmanager
async def serve(*nodes: FakeNode) -> AsyncIterator[list[str]]:
    """The URLs of `nodes`, each on a port of its own."""
    servers = []
    for node in nodes:
        app = web.Application()
        app.router.add_post("/", node.handle)
        node.server = TestServer(app)
        await node.server.start_server()
        node.url = str(node.server.make_url("/"))
        servers.append(node.server)
    try:
        yield [node.url for node in nodes]
    finally:
        for server in servers:
            await server.close()
