"""Pools over fake nodes, with a clock that a test moves and an alarm that remembers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from openpay.chain.pool import Pool
from openpay.chain.rpc import Endpoint
from openpay.domain.alerts import AlertKind
from tests.chain.fake_node import FakeNode, serve
from tests.chain.manual_clock import ManualClock


class Alarms:
    """What is raised now, by kind and subject, with its detail."""

    def __init__(self) -> None:
        self.raised: dict[tuple[AlertKind, str], str] = {}

    def raise_(self, kind: AlertKind, chain_id: int, *, subject: str = "", detail: str) -> None:
        assert chain_id == 56
        self.raised[kind, subject] = detail

    def clear(self, kind: AlertKind, chain_id: int, *, subject: str = "") -> None:
        assert chain_id == 56
        self.raised.pop((kind, subject), None)


@asynccontextmanager
async def pool_of(
    *nodes: FakeNode, clock: Callable[[], float] | None = None, timeout_s: float = 2, **options: Any
) -> AsyncIterator[Pool]:
    """A pool of chain 56 over `nodes`, that nothing probes."""
    async with serve(*nodes) as urls, aiohttp.ClientSession() as session:
        endpoints = [Endpoint(url, session, timeout_s=timeout_s) for url in urls]
        yield Pool(endpoints, chain_id=56, clock=clock or ManualClock(), **options)
