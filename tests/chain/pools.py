"""Pools over fake nodes, with a clock that a test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from openpay.chain.pool import Pool
from openpay.chain.rpc import Call, Endpoint
from openpay.chain.standing import Place
from tests.chain.fake_node import FakeNode, serve
from tests.chain.manual_clock import ManualClock

CHAIN_ID = 56
NUMBER = Call(str, "eth_blockNumber")
"""A question that every fake node answers."""


def node(number: Any = "0x1", **results: Any) -> FakeNode:
    """A node that answers `NUMBER` so."""
    return FakeNode(eth_blockNumber=number, **results)


def name_of(served: FakeNode) -> str:
    return served.url.removeprefix("http://").rstrip("/")


def places(pool: Pool) -> list[Place]:
    return [state.place for state in pool.states()]


@asynccontextmanager
async def pool_of(
    *nodes: FakeNode, clock: Callable[[], float] | None = None, timeout_s: float = 2, **options: Any
) -> AsyncIterator[Pool]:
    """A pool over `nodes`, that nothing probes."""
    async with serve(*nodes) as urls, aiohttp.ClientSession() as session:
        endpoints = [Endpoint(url, session, timeout_s=timeout_s) for url in urls]
        yield Pool(endpoints, chain_id=CHAIN_ID, clock=clock or ManualClock(), **options)
