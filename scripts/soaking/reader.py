"""The watcher in a process of its own, forked from one that has its modules loaded: 200 starts cost little."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import structlog

from openpay.app.clock import SystemClock
from openpay.app.signals import Signals
from openpay.chain.escrow import EscrowClient
from openpay.chain.pool import connect_to
from openpay.domain.chains import Chain
from openpay.store import Store
from tests.faults.shop import OPERATOR
from watcher.daemon import Watcher

TIMEOUT_S = 1.0
"""Short: a node that hangs shall cost the soak little time."""


def start(database_url: str, urls: Sequence[str], chain: Chain, log: Path) -> BaseProcess:
    """A watcher that runs until it is killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=(database_url, list(urls), chain, log))
    process.start()
    return process


def _run(database_url: str, urls: list[str], chain: Chain, log: Path) -> None:
    # In a session of its own, so that what it starts can be found; its words go into the log.
    os.setsid()
    with log.open("a", buffering=1) as file:
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            logger_factory=structlog.PrintLoggerFactory(file),
        )
        asyncio.run(_watch(database_url, urls, chain))


async def _watch(database_url: str, urls: list[str], chain: Chain) -> None:
    store = Store.open(database_url)
    async with connect_to(chain, urls, timeout_s=TIMEOUT_S) as pool:
        escrow = EscrowClient(pool, chain, operator=OPERATOR)
        await Watcher(chain, pool, store, escrow, signals=Signals(), wall=SystemClock()).run(asyncio.Event())
