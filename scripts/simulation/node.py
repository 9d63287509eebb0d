"""A local chain that makes blocks only when told, and does to its history what it is told."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import aiohttp


class NodeError(Exception):
    """The node refused a call."""


class Node:
    """JSON-RPC over one connection pool. `lock` is held by whoever makes blocks or undoes them."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.lock = asyncio.Lock()
        self.jumped_at = 0
        """The block after which chain time was last moved."""
        self._session = session
        self._ids = itertools.count(1)

    async def call(self, method: str, *params: Any) -> Any:
        """The result. Raises `NodeError`."""
        return (await self.batch([(method, *params)]))[0]

    async def batch(self, calls: Sequence[tuple[Any, ...]], *, size: int = 200) -> list[Any]:
        """The results in order, `size` calls to a request. Raises `NodeError` for the first that failed."""
        results: list[Any] = []
        for start in range(0, len(calls), size):
            part = [
                {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
                for method, *params in calls[start : start + size]
            ]
            async with self._session.post(self.url, json=part) as response:
                answers = {answer["id"]: answer for answer in await response.json()}
            for request in part:
                answer = answers[request["id"]]
                if "error" in answer:
                    raise NodeError(f"{request['method']}: {answer['error'].get('message')}")
                results.append(answer["result"])
        return results

    async def head(self) -> int:
        return int(await self.call("eth_blockNumber"), 16)

    async def time(self) -> int:
        """Of the newest block, Unix seconds."""
        return int((await self.call("eth_getBlockByNumber", "latest", False))["timestamp"], 16)

    async def mine(self, blocks: int = 1) -> None:
        await self.call("anvil_mine", hex(blocks))

    async def jump(self, seconds: int) -> None:
        """Let chain time pass, and mine a block that shows it."""
        async with self.lock:
            await self.call("evm_increaseTime", hex(seconds))
            await self.mine()
            self.jumped_at = await self.head()

    async def transactions(self, first: int, last: int) -> list[list[str]]:
        """Hashes of the transactions of each block from `first` to `last`, inclusive."""
        blocks = await self.batch([("eth_getBlockByNumber", hex(number), False) for number in range(first, last + 1)])
        return [block["transactions"] for block in blocks]
