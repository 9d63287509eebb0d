"""The first block ever read: one node's word is not enough to begin with, for it is never taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from openpay.errors import ChainUnavailable
from openpay.store import Store
from tests.faults import faults
from tests.faults.chain import MadeBlock, Tree
from tests.faults.ledger import check_coverage
from tests.faults.node import SimulatedNode, serving_nodes
from tests.faults.server import FaultyServer
from tests.faults.shop import CHAIN_ID, make_chain
from tests.faults.watching import follower_on
from watcher.follower import Follower

FAR = 10**6


@asynccontextmanager
async def beginning(
    tips: list[MadeBlock], database_url: str, start_block: int | None
) -> AsyncIterator[tuple[Store, Follower, list[FaultyServer]]]:
    """A watcher that never read anything, and a node for each tip, asked in this order."""
    store = Store.open(database_url)
    chain = make_chain(start_block=start_block)
    async with serving_nodes(*(SimulatedNode(tip, chain_id=CHAIN_ID) for tip in tips)) as servers:
        urls = [server.url for server in servers]
        async with follower_on(urls, store, chain, timeout_s=5) as follower:
            yield store, follower, servers
    await store.close()


async def test_node_that_invents_the_future_is_not_where_reading_begins(sqlite_url: str) -> None:
    tree = Tree(chain_id=CHAIN_ID)
    tip = tree.grow(tree.root, 40)
    invented = tree.grow(Tree(chain_id=CHAIN_ID, number=FAR).root, 40)
    async with beginning([invented, tip, tip], sqlite_url, None) as (store, follower, servers):
        for _ in range(3):
            with pytest.raises(ChainUnavailable, match="agree on the first block"):
                await follower.step()
        servers[0].faults = [faults.away()]
        while await follower.step():
            pass
        # 12 confirmations: block 29 is the newest that was final.
        await check_coverage(store, tip, chain_id=CHAIN_ID, first=29)


async def test_configured_first_block_on_a_branch_of_one_node_is_not_read(sqlite_url: str) -> None:
    tree = Tree(chain_id=CHAIN_ID)
    tip = tree.grow(tree.root, 40)
    invented = tree.grow(tree.root, 60, salt=1)
    async with beginning([invented, tip, tip], sqlite_url, 1) as (store, follower, servers):
        with pytest.raises(ChainUnavailable, match="agree on the first block"):
            await follower.step()
        servers[0].faults = [faults.away()]
        while await follower.step():
            pass
        await check_coverage(store, tip, chain_id=CHAIN_ID)


@pytest.mark.parametrize("nodes", [1, 2])
async def test_reading_begins_while_no_second_host_answers(sqlite_url: str, nodes: int) -> None:
    tree = Tree(chain_id=CHAIN_ID)
    tip = tree.grow(tree.root, 40)
    async with beginning([tip] * nodes, sqlite_url, None) as (store, follower, servers):
        for server in servers[1:]:
            server.faults = [faults.away()]
        while await follower.step():
            pass
        await check_coverage(store, tip, chain_id=CHAIN_ID, first=29)
