"""Many blocks at once, in order, within bounds, and every endpoint answering for what it served."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from openpay.chain.digest import Concerns, DigestedBlock
from openpay.chain.errors import NoEndpointAnswered, ProofFailed
from openpay.chain.pool import Pool, connect
from openpay.chain.proofs import ProvenBlock
from openpay.chain.provers import Provers
from openpay.chain.room import AnswerRoom
from tests.chain.bodies import CHAIN, body_of, made_blocks
from tests.faults.chain import MadeBlock
from tests.faults.faults import Fault, Refusal, omit_log
from tests.faults.node import SimulatedNode, serving_nodes
from tests.faults.server import FaultyServer
from watcher.backfill import MOST_AHEAD, WHOLE_TIMES, Backfill, ReadBlock
from watcher.catch_up import CatchUp
from watcher.flight import FIRST, Flight

BLOCKS = made_blocks(120)


@asynccontextmanager
async def pool_over(
    *faults: Fault | None, blocks: list[MadeBlock] = BLOCKS
) -> AsyncIterator[tuple[Pool, list[FaultyServer]]]:
    """A pool with one host for each of `faults`, all with the same blocks."""
    nodes = [SimulatedNode(blocks[-1], chain_id=CHAIN.chain_id) for _ in faults]
    async with serving_nodes(*nodes) as servers:
        for server, fault in zip(servers, faults, strict=True):
            server.faults = [fault] if fault is not None else []
        async with connect([server.url for server in servers], chain_id=CHAIN.chain_id) as pool:
            yield pool, servers


@pytest.fixture
async def provers() -> AsyncIterator[Provers]:
    made = Provers(Concerns.of(CHAIN))
    yield made
    await made.close()


async def read(backfill: Backfill, first: int, last: int) -> list[ReadBlock]:
    async with aclosing(backfill.blocks(first, last)) as blocks:
        return [block async for block in blocks]


def late(server: FaultyServer, chance: random.Random) -> None:
    """Each answer takes its own time, so that they come in another order."""
    honest = server.ask

    async def ask(method: str, params: list[Any]) -> Any:
        await asyncio.sleep(chance.random() / 50)
        return await honest(method, params)

    server.ask = ask


def bodies_in_flight(server: FaultyServer) -> list[int]:
    """How many blocks were being served each time that one was asked for."""
    honest, counts, now = server.ask, [0], 0

    async def ask(method: str, params: list[Any]) -> Any:
        nonlocal now
        if method != "eth_getBlockReceipts":
            return await honest(method, params)
        now += 1
        counts.append(now)
        await asyncio.sleep(0.01)
        now -= 1
        return await honest(method, params)

    server.ask = ask
    return counts


async def test_blocks_come_in_order_whatever_order_they_are_served_and_proven_in(provers: Provers) -> None:
    async with pool_over(None) as (pool, (server,)):
        late(server, random.Random(1))
        await provers.start(2)
        await provers.ready()
        blocks = await read(Backfill(pool, provers, flight=Flight(size=16)), 3, 80)
    assert [block.number for block in blocks] == list(range(3, 81))
    assert [block.hash for block in blocks] == [block.hash for block in BLOCKS[2:80]]
    assert all(isinstance(block, DigestedBlock) for block in blocks)


async def test_body_is_kept_only_of_a_block_that_is_of_concern(provers: Provers) -> None:
    paid = BLOCKS[6].txs[1].to
    async with pool_over(None) as (pool, _):
        blocks = await read(Backfill(pool, provers, watched={paid}), 1, 20)
        kept = await read(Backfill(pool, provers), 1, 20)
    digested = [block for block in blocks if isinstance(block, DigestedBlock)]
    assert [block.number for block in digested if block.body is not None] == [7]
    assert all(isinstance(block, DigestedBlock) and block.body for block in kept)
    with pytest.raises(ValueError, match="let go"):
        digested[0].open()


async def test_without_provers_blocks_are_whole() -> None:
    async with pool_over(None) as (pool, _):
        blocks = await read(Backfill(pool), 1, 10)
    assert all(isinstance(block, ProvenBlock) for block in blocks)


async def test_no_more_is_held_than_fits_however_many_would_be_worth_it(provers: Provers) -> None:
    size = max(len(body_of(block)) for block in BLOCKS)
    held: dict[int, int] = {}
    for room in (3, 100):
        async with pool_over(None) as (pool, (server,)):
            counts = bodies_in_flight(server)
            backfill = Backfill(pool, provers, flight=Flight(size=20), budget_bytes=room * size + size // 2)
            await read(backfill, 1, 40)  # sizes are learned from the first ones
            counts.clear()
            await read(backfill, 1, 40)
            held[room] = max(counts)
    assert held[3] <= 3
    assert held[100] > 3


async def test_blocks_that_are_read_whole_take_several_times_their_body() -> None:
    size = max(len(body_of(block)) for block in BLOCKS)
    async with pool_over(None) as (pool, (server,)):
        counts = bodies_in_flight(server)
        backfill = Backfill(pool, flight=Flight(size=20), budget_bytes=2 * WHOLE_TIMES * size + size)
        await read(backfill, 1, 40)
        counts.clear()
        await read(backfill, 1, 40)
    assert max(counts) == 2


async def test_block_that_was_read_whole_weighs_in_a_transaction_what_it_weighs_ahead_of_it() -> None:
    async with pool_over(None) as (pool, _):
        catch_up = CatchUp(CHAIN, pool)
        async with aclosing(catch_up.blocks(1, 60)) as reading:
            blocks = [block async for block in reading]
        batch = catch_up.batch()
        for block in blocks[-3:]:
            batch.add(block)
    size = 3 * WHOLE_TIMES * max(len(body_of(block)) for block in BLOCKS[28:60])
    assert size <= batch.size < 1.1 * size  # bodies differ in the ids of their requests


async def test_body_has_given_back_its_room_when_its_block_is_handed_out(provers: Provers) -> None:
    room = AnswerRoom(2**30)
    async with pool_over(None) as (pool, _), aclosing(Backfill(pool, provers).blocks(1, 40)) as reading:
        for member in pool.members:
            member.endpoint._room = room
        async for _block in reading:
            pass
        assert room.taken == 0


async def test_block_larger_than_the_room_for_all_is_read_alone(provers: Provers) -> None:
    async with pool_over(None) as (pool, (server,)):
        counts = bodies_in_flight(server)
        blocks = await read(Backfill(pool, provers, budget_bytes=1), 1, 10)
    assert [block.number for block in blocks] == list(range(1, 11))
    assert max(counts) == 1


async def test_next_heights_are_asked_for_while_the_present_blocks_are_read(provers: Provers) -> None:
    async with (
        pool_over(None) as (pool, (server,)),
        aclosing(Backfill(pool, provers, flight=Flight(size=1)).blocks(1, 80)) as blocks,
        asyncio.timeout(10),
    ):
        await anext(blocks)
        while server.counts()["eth_getBlockByNumber"] < 80:
            await asyncio.sleep(0.01)


async def test_reading_goes_on_while_what_was_read_is_being_committed(provers: Provers) -> None:
    async with (
        pool_over(None) as (pool, (server,)),
        aclosing(Backfill(pool, provers, watched=(), flight=Flight(size=2, rest=99)).blocks(1, 120)) as blocks,
        asyncio.timeout(20),
    ):
        counts = bodies_in_flight(server)
        assert (await anext(blocks)).number == 1
        while server.counts()["eth_getBlockReceipts"] < MOST_AHEAD:
            await asyncio.sleep(0.01)  # nothing is taken meanwhile
        await asyncio.sleep(0.05)
        assert server.counts()["eth_getBlockReceipts"] <= MOST_AHEAD + 1
        assert max(counts) <= 2
        assert [block.number async for block in blocks] == list(range(2, 121))


async def test_blocks_below_a_height_that_no_node_has_are_handed_out_first(provers: Provers) -> None:
    async with pool_over(None) as (pool, _), aclosing(Backfill(pool, provers).blocks(71, 200)) as blocks:
        numbers = [(await anext(blocks)).number for _ in range(50)]
        with pytest.raises(NoEndpointAnswered):
            await anext(blocks)
    assert numbers == list(range(71, 121))


async def test_liar_is_found_by_a_process_named_and_asked_no_more(provers: Provers) -> None:
    await provers.start(1)
    await provers.ready()
    async with pool_over(omit_log(), None) as (pool, (liar, honest)):
        blocks = await read(Backfill(pool, provers), 1, 80)
    assert [block.hash for block in blocks] == [block.hash for block in BLOCKS[:80]]
    assert 1 <= liar.counts()["eth_getBlockReceipts"] < 20
    assert honest.counts()["eth_getBlockReceipts"] >= 60


async def test_liar_alone_is_told_by_what_did_not_prove(provers: Provers) -> None:
    await provers.start(1)
    await provers.ready()
    async with pool_over(omit_log()) as (pool, (liar,)):
        with pytest.raises(NoEndpointAnswered) as caught:
            await read(Backfill(pool, provers), 1, 10)
    assert any(isinstance(fault, ProofFailed) for fault in caught.value.faults.values())
    assert liar.url.split("/")[2] in str(caught.value)


async def test_process_killed_in_the_middle_costs_nothing(provers: Provers) -> None:
    await provers.start(2)
    await provers.ready()
    seen = []
    async with (
        pool_over(None) as (pool, _),
        aclosing(Backfill(pool, provers, flight=Flight(size=8)).blocks(1, 80)) as blocks,
    ):
        async for block in blocks:
            seen.append(block.hash)
            if block.number in {10, 30}:
                os.kill(provers.pids[0], signal.SIGKILL)
    assert seen == [block.hash for block in BLOCKS[:80]]
    assert provers.pids == []


async def test_reading_that_is_left_early_leaves_nothing_running(provers: Provers) -> None:
    await provers.start(1)
    await provers.ready()
    async with pool_over(None) as (pool, _):
        before = asyncio.all_tasks()
        async with aclosing(Backfill(pool, provers, flight=Flight(size=16)).blocks(1, 80)) as blocks:
            await anext(blocks)
        await provers.close()
        left = {task for task in asyncio.all_tasks() - before if not task.done()}
        await asyncio.wait(left, timeout=5) if left else None
        assert [task for task in left if "_fetch" in repr(task) or "hashes_at" in repr(task)] == []


async def test_number_in_flight_is_felt_out_and_halved_when_the_node_has_enough(
    provers: Provers, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, bool]] = []
    after = Flight.after

    def noted(flight: Flight, *, rate: float, troubled: bool) -> Flight:
        told.append((flight.size, troubled))
        return after(flight, rate=rate, troubled=troubled)

    monkeypatch.setattr(Flight, "after", noted)
    async with pool_over(None) as (pool, (server,)):
        honest = server.ask

        async def ask(method: str, params: list[Any]) -> Any:
            if method == "eth_getBlockReceipts" and len(told) == 2:
                server.ask = honest
                raise Refusal(-32005, "limit exceeded")
            return await honest(method, params)

        server.ask = ask
        blocks = await read(Backfill(pool, provers), 1, 120)
    assert [block.number for block in blocks] == list(range(1, 121))
    assert told[0] == (FIRST, False)
    assert told[1][0] > FIRST
    refused = next(at for at, (_, troubled) in enumerate(told) if troubled)
    assert told[refused + 1][0] == told[refused][0] // 2
