"""A node between Open Pay and anvil that can be away, lag, lie, or answer in a bad manner.

Each proxy is a host of its own, over HTTP (`url`) and WebSocket (`ws_url`), in front of the same chain or of another.
What it does wrong is set while it runs: `lie` changes what it says, `manner` how it says it, `heads` which new blocks
it announces. With none of them it passes everything on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, WSMsgType, web
from aiohttp.test_utils import TestServer

from tests.support.anvil import Anvil

Lie = Callable[[str, list[Any], Any], Any]
"""From method, parameters and the true result to the result that is served. Raise `Refusal` to serve an error."""
Manner = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]
"""From a request and its ready answer to what goes over the wire."""
Heads = Callable[[dict[str, Any]], Iterable[dict[str, Any]]]
"""From an announcement (a JSON-RPC notification of `newHeads`) to those that are sent in its place."""

_JSON = {"Content-Type": "application/json"}


class Refusal(Exception):
    """A JSON-RPC error in place of a result."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}


class Proxy:
    """One host in front of `anvil`."""

    def __init__(self, anvil: Anvil, session: ClientSession) -> None:
        self.anvil = anvil
        self.is_away = False
        self.lie: Lie | None = None
        self.manner: Manner | None = None
        self.heads: Heads | None = None
        self.asked: list[str] = []
        self.connections = 0
        """WebSockets opened so far."""
        self.url = self.ws_url = ""
        self._session = session

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a POST."""
        if self.is_away:
            return _hang_up(request)
        body = await request.read()
        async with self._session.post(self.anvil.rpc_url, data=body, headers=_JSON) as response:
            answers = await response.json()
        questions = json.loads(body)
        if isinstance(questions, list):
            answers = [self._served(question, answer) for question, answer in zip(questions, answers, strict=True)]
        else:
            answers = self._served(questions, answers)
        ready = json.dumps(answers).encode()
        if self.manner is not None:
            return await self.manner(request, ready)
        return web.Response(body=ready, headers=_JSON)

    async def converse(self, request: web.Request) -> web.StreamResponse:
        """Serve a WebSocket for as long as both sides hold it."""
        if self.is_away:
            return _hang_up(request)
        self.connections += 1
        ours = web.WebSocketResponse(max_msg_size=2**26)
        await ours.prepare(request)
        asked: dict[Any, dict[str, Any]] = {}
        async with self._session.ws_connect(self.anvil.ws_url, max_msg_size=2**26) as theirs:

            async def forward_questions() -> None:
                async for message in ours:
                    questions = json.loads(message.data)
                    for question in questions if isinstance(questions, list) else [questions]:
                        asked[question["id"]] = question
                    await theirs.send_str(message.data)

            async def forward_answers() -> None:
                async for message in theirs:
                    if message.type is not WSMsgType.TEXT:
                        continue
                    if self.is_away:
                        break
                    for each in self._spoken(json.loads(message.data), asked):
                        await ours.send_str(json.dumps(each))

            pumps = [asyncio.create_task(forward_questions()), asyncio.create_task(forward_answers())]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        await ours.close()
        return ours

    def _spoken(self, message: Any, asked: dict[Any, dict[str, Any]]) -> Iterable[Any]:
        if isinstance(message, list):
            return [[self._served(asked.pop(each["id"]), each) for each in message]]
        if message.get("method") == "eth_subscription":
            return [message] if self.heads is None else self.heads(message)
        return [self._served(asked.pop(message["id"]), message)]

    def _served(self, question: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(question["method"])
        if self.lie is None or "result" not in answer:
            return answer
        try:
            return {**answer, "result": self.lie(question["method"], question.get("params", []), answer["result"])}
        except Refusal as refusal:
            return {"jsonrpc": "2.0", "id": answer["id"], "error": refusal.error}


def _hang_up(request: web.Request) -> web.Response:
    """As a crashed node does: the connection breaks without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def proxies(*chains: Anvil) -> AsyncIterator[list[Proxy]]:
    """A host in front of each of `chains`; name one chain twice for two hosts that serve it."""
    servers: list[TestServer] = []
    async with ClientSession() as session:
        made = [Proxy(anvil, session) for anvil in chains]
        try:
            for proxy in made:
                app = web.Application(client_max_size=2**26)
                app.router.add_post("/", proxy.handle)
                app.router.add_get("/", proxy.converse)
                server = TestServer(app)
                await server.start_server(shutdown_timeout=0.1)  # some of them hang on purpose
                servers.append(server)
                proxy.url = str(server.make_url("/"))
                proxy.ws_url = proxy.url.replace("http", "ws", 1)
            yield made
        finally:
            for server in servers:
                await server.close()
