"""A JSON-RPC endpoint on loopback that answers from any source and fails as told: HTTP, and WebSocket with newHeads."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from tests.faults.faults import Answer, Ask, Fault, Heads, Refusal, Reply

_MAX_REQUEST_BYTES = 2**26


class FaultyServer:
    """One host. `ask` is the honest source: results are JSON values, or `msgspec.Raw` for ready-made JSON text.

    `faults` may be changed at any time; they act from the next question on. `heads` makes an endless iterator of the
    headers that a subscription announces; without it `eth_subscribe` is refused.
    """

    def __init__(self, ask: Ask, *, heads: Callable[[], Heads] | None = None) -> None:
        self.ask = ask
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        """The method of every question, in the order in which they came."""
        self.url = ""
        self._heads = heads
        self._open: set[web.WebSocketResponse] = set()

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    def counts(self) -> Counter[str]:
        """How often each method was asked for."""
        return Counter(self.asked)

    async def drop_sockets(self) -> None:
        """Break every open WebSocket, as a node does that restarts."""
        for socket in list(self._open):
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()

    # --- answering -------------------------------------------------------------------------------------------------

    async def result(self, method: str, params: list[Any]) -> Any:
        """What is served in answer to a question, faults included. Raises `Refusal`."""
        acting = [fault.answer for fault in self.faults if fault.answer is not None]
        if not acting:
            return await self.ask(method, params)
        ask: Ask = self.ask_decoded
        for answer in acting:
            ask = _layered(answer, ask)
        return await ask(method, params)

    async def ask_decoded(self, method: str, params: list[Any]) -> Any:
        """The honest answer as a JSON value."""
        result = await self.ask(method, params)
        return msgspec.json.decode(result) if isinstance(result, msgspec.Raw) else result

    async def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(question["method"])
        answer = {"jsonrpc": "2.0", "id": question["id"]}
        try:
            return answer | {"result": await self.result(question["method"], question.get("params", []))}
        except Refusal as refusal:
            error: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
            if refusal.data is not None:
                error["data"] = refusal.data
            return answer | {"error": error}

    async def _reply(self, body: bytes) -> Reply:
        questions = json.loads(body)
        if isinstance(questions, list):
            answers: Any = [await self._answer(question) for question in questions]
        else:
            answers = await self._answer(questions)
        return _spoiled(Reply(body=msgspec.json.encode(answers)), self.faults)

    # --- HTTP ------------------------------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._handle_socket(request)
        return await _send(request, await self._reply(await request.read()))

    # --- WebSocket -------------------------------------------------------------------------------------------------

    async def _handle_socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=_MAX_REQUEST_BYTES)
        await socket.prepare(request)
        self._open.add(socket)
        announcing: dict[str, asyncio.Task[None]] = {}
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                question = json.loads(message.data)
                if isinstance(question, dict) and question.get("method") in ("eth_subscribe", "eth_unsubscribe"):
                    await self._subscribe(socket, question, announcing)
                elif not await _send_text(socket, await self._reply(message.data.encode())):
                    break
        finally:
            self._open.discard(socket)
            for task in announcing.values():
                task.cancel()
            await asyncio.gather(*announcing.values(), return_exceptions=True)
        return socket

    async def _subscribe(
        self, socket: web.WebSocketResponse, question: dict[str, Any], announcing: dict[str, asyncio.Task[None]]
    ) -> None:
        self.asked.append(question["method"])
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": question["id"]}
        if question["method"] == "eth_unsubscribe":
            task = announcing.pop(question["params"][0], None)
            if task is not None:
                task.cancel()
            answer["result"] = task is not None
        elif question["params"] == ["newHeads"] and self._heads is not None:
            answer["result"] = hex(len(self.asked))
            announcing[answer["result"]] = asyncio.create_task(self._announce(socket, answer["result"]))
        else:
            answer["error"] = {"code": -32601, "message": "no such subscription"}
        # Answered before the first head is announced: a new task does not run before this one waits.
        await socket.send_json(answer)

    async def _announce(self, socket: web.WebSocketResponse, subscription: str) -> None:
        assert self._heads is not None
        heads = self._heads()
        for fault in self.faults:
            if fault.heads is not None:
                heads = fault.heads(heads)
        async for head in heads:
            params = {"subscription": subscription, "result": head}
            with suppress(ConnectionError):
                await socket.send_json({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})


def manner(*faults: Fault) -> Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]:
    """How these faults send a ready body, for servers of another make."""

    async def send(request: web.Request, body: bytes) -> web.StreamResponse:
        return await _send(request, _spoiled(Reply(body=body), faults))

    return send


def _spoiled(reply: Reply, faults: Sequence[Fault]) -> Reply:
    for fault in faults:
        if fault.reply is not None:
            reply = fault.reply(reply)
    return reply


def _layered(answer: Answer, ask: Ask) -> Ask:
    return partial(_put, answer, ask)


async def _put(answer: Answer, ask: Ask, method: str, params: list[Any]) -> Any:
    return await answer(method, params, ask)


async def _send(request: web.Request, reply: Reply) -> web.StreamResponse:
    assert request.transport is not None
    await _wait(reply.delay_s)
    if reply.sent_bytes == 0:
        request.transport.abort()
        return web.Response()
    if reply.sent_bytes is None and not reply.drip_s:
        return web.Response(
            body=reply.body, status=reply.status, headers={"Content-Type": "application/json", **reply.headers}
        )
    response = web.StreamResponse(
        status=reply.status,
        headers={"Content-Type": "application/json", "Content-Length": str(len(reply.body)), **reply.headers},
    )
    await response.prepare(request)
    sent = reply.body[: reply.sent_bytes]
    step = 1 if reply.drip_s else max(1, len(sent))
    with suppress(ConnectionError):
        for at in range(0, len(sent), step):
            await response.write(sent[at : at + step])
            await asyncio.sleep(reply.drip_s)
    if reply.sent_bytes is not None:
        request.transport.abort()
    return response


async def _send_text(socket: web.WebSocketResponse, reply: Reply) -> bool:
    """The same for a socket, where a reply is one message; False when the connection was broken instead.

    There are no HTTP statuses there: 429 becomes the JSON-RPC error that nodes send in its place.
    """
    await _wait(reply.delay_s)
    if reply.sent_bytes is not None:
        assert socket._req is not None
        assert socket._req.transport is not None
        socket._req.transport.abort()
        return False
    body = reply.body
    if reply.status == 429:
        body = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"limit exceeded"}}'
    with suppress(ConnectionError):
        await socket.send_str(body.decode(errors="replace"))
    return True


async def _wait(delay_s: float) -> None:
    if delay_s == math.inf:
        await asyncio.Event().wait()  # until the caller gives up, which cancels this
    elif delay_s:
        await asyncio.sleep(delay_s)


@asynccontextmanager
async def serving(servers: Sequence[FaultyServer]) -> AsyncIterator[None]:
    """Each server on a free port of its own, so that it is a host of its own, for as long as the context lasts."""
    runners: list[web.AppRunner] = []
    try:
        for server in servers:
            app = web.Application(client_max_size=_MAX_REQUEST_BYTES)
            app.router.add_route("*", "/", server.handle)
            # Cancelled when the caller goes away, so that what hangs does not hang for ever.
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            runners.append(runner)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield
    finally:
        for runner in runners:
            await runner.cleanup()
