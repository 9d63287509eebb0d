"""The fake node, over WebSocket: every answer and announcement is what a test tells it to send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from tests.chain.fake_node import FakeNode

Script = Callable[[web.WebSocketResponse, Any], Any]


class SocketNode(FakeNode):
    """Answers as `FakeNode` does, one message each. `script(socket, question)` replaces the answer when set.

    `sockets` are the connections now open, `accepted` counts all there were; `refuse_with` is an HTTP status that
    takes the place of the handshake.
    """

    def __init__(self, **results: Any) -> None:
        super().__init__(eth_subscribe="0xabc", **results)
        self.script: Script | None = None
        self.sockets: list[web.WebSocketResponse] = []
        self.accepted = 0
        self.answers_pings = True
        self.refuse_with: int | None = None
        self.headers: dict[str, str] = {}

    async def converse(self, request: web.Request) -> web.StreamResponse:
        if self.refuse_with is not None:
            return web.Response(status=self.refuse_with, headers=self.headers)
        socket = web.WebSocketResponse(max_msg_size=2**26, autoping=self.answers_pings)
        await socket.prepare(request)
        self.accepted += 1
        self.sockets.append(socket)
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                question = json.loads(message.data)
                many = question if isinstance(question, list) else [question]
                self.requests += 1
                self.asked += [each["method"] for each in many]
                if self.script is not None:
                    await self.script(socket, question)
                elif not self.hang:
                    answers = [self.answer(each) for each in many]
                    await socket.send_str(json.dumps(answers if isinstance(question, list) else answers[0]))
        finally:
            self.sockets.remove(socket)
        return socket

    async def announce(self, *numbers: int, subscription: str = "0xabc") -> None:
        """Send a notification of `newHeads` for each height, to everyone who is connected."""
        for number in numbers:
            await self.say({"subscription": subscription, "result": {"number": hex(number), "hash": "0x00"}})

    async def say(self, params: Any) -> None:
        notification = {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
        for socket in list(self.sockets):
            await socket.send_str(json.dumps(notification))

    async def hang_up(self) -> None:
        """Break all connections without a goodbye."""
        for socket in list(self.sockets):
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()
        while self.sockets:
            await asyncio.sleep(0)


@asynccontextmanager
async def serve_sockets(*nodes: SocketNode) -> AsyncIterator[list[str]]:
    """The ws:// URLs of `nodes`, each on a port of its own that speaks HTTP too."""
    servers = []
    try:
        for node in nodes:
            app = web.Application()
            app.router.add_get("/", node.converse)
            app.router.add_post("/", node.handle)
            node.server = TestServer(app)
            await node.server.start_server(shutdown_timeout=0.1)
            servers.append(node.server)
            node.url = str(node.server.make_url("/"))
        yield [node.url.replace("http", "ws", 1) for node in nodes]
    finally:
        for server in servers:
            await server.close()
