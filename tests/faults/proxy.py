"""Hosts in front of a real node: anvil, behind endpoints that fail and lie as told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession

from tests.faults.faults import Heads, Refusal, away
from tests.faults.server import FaultyServer, serving
from tests.support.anvil import Anvil

Lie = Callable[[str, list[Any], Any], Any]
"""From method, parameters and what would be served to what is served instead. May raise `Refusal`."""

_AWAY = away()


class Proxy(FaultyServer):
    """One host in front of `anvil`. `lie` is a fault made on the spot, nearer to the caller than all others."""

    def __init__(self, anvil: Anvil, session: ClientSession) -> None:
        super().__init__(self._ask, heads=self._new_heads)
        self.anvil = anvil
        self.lie: Lie | None = None
        self._session = session

    @property
    def is_away(self) -> bool:
        return _AWAY in self.faults

    @is_away.setter
    def is_away(self, is_away: bool) -> None:
        self.faults = [fault for fault in self.faults if fault is not _AWAY] + [_AWAY] * is_away

    async def result(self, method: str, params: list[Any]) -> Any:
        result = await super().result(method, params)
        return result if self.lie is None else self.lie(method, params, result)

    async def _ask(self, method: str, params: list[Any]) -> Any:
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._session.post(self.anvil.rpc_url, json=question) as response:
            answer = await response.json()
        if "error" in answer:
            error = answer["error"]
            raise Refusal(error["code"], error["message"], error.get("data"))
        return answer["result"]

    async def _new_heads(self) -> Heads:
        async with self._session.ws_connect(self.anvil.ws_url) as socket:
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
            async for message in socket:
                told = json.loads(message.data)
                if told.get("method") == "eth_subscription":
                    yield told["params"]["result"]
        await asyncio.Event().wait()  # anvil is gone, and so says nothing more


@asynccontextmanager
async def proxies(*chains: Anvil) -> AsyncIterator[list[Proxy]]:
    """A host in front of each of `chains`; name one chain twice for two hosts that serve it."""
    async with ClientSession() as session:
        made = [Proxy(anvil, session) for anvil in chains]
        async with serving(made):
            yield made
