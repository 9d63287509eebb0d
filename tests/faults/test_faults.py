"""The faults do what they say, through the server that acts on them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from openpay.chain.fetch import fetch_block
from openpay.chain.pool import connect
from openpay.errors import ChainUnavailable
from tests.faults import faults
from tests.faults.chain import MadeBlock, Tree, batch_transfer, native_transfer, read_back, token_transfer
from tests.faults.faults import Fault, Refusal
from tests.faults.node import SimulatedNode, serving_nodes
from tests.faults.server import FaultyServer
from tests.faults.shop import CHAIN_ID, UNIT, USDT
from tests.faults.troubles import LIES

ALICE = b"\xaa" * 20


def made_chain() -> MadeBlock:
    """Ten blocks, with transactions in the newest."""
    tree = Tree(chain_id=CHAIN_ID)
    txs = [
        token_transfer(1, USDT, ALICE, 5 * UNIT),
        native_transfer(2, ALICE, 7),
        batch_transfer(3, [(USDT, ALICE, 1), (USDT, ALICE, 2), (USDT, ALICE, 3)]),
    ]
    return tree.extend(tree.grow(tree.root, 9), txs)


def server_of(tip: MadeBlock) -> FaultyServer:
    return SimulatedNode(tip, chain_id=CHAIN_ID).server()


async def ask(fault: Fault, method: str, *params: Any, tip: MadeBlock | None = None) -> Any:
    """What a node with this fault answers, decoded. Raises `Refusal`."""
    server = server_of(tip or made_chain())
    server.faults = [fault]
    answer = await server.result(method, list(params))
    return msgspec.json.decode(answer) if isinstance(answer, msgspec.Raw) else answer


@pytest.mark.parametrize("fault", LIES, ids=str)
async def test_no_fault_makes_anybody_take_another_block_for_the_real_one(fault: Fault) -> None:
    tip = made_chain()
    node = SimulatedNode(tip, chain_id=CHAIN_ID)
    async with serving_nodes(node) as (server,), connect([server.url], chain_id=CHAIN_ID, timeout_s=0.3) as pool:
        server.faults = [fault]
        try:
            block = await fetch_block(pool, tip.hash)
        except ChainUnavailable:
            return
    header, receipts = read_back(tip)
    assert (block.hash, block.transactions) == (tip.hash, header.transactions)
    assert [receipt.logs for receipt in block.receipts] == [receipt.logs for receipt in receipts]


async def receipts_with(fault: Fault) -> list[dict[str, Any]]:
    tip = made_chain()
    receipts: list[dict[str, Any]] = await ask(fault, "eth_getBlockReceipts", tip.header.hash, tip=tip)
    return receipts


async def test_omitted_log_and_omitted_transaction_are_gone() -> None:
    honest = await receipts_with(faults.slow(0))
    without_log = await receipts_with(faults.omit_log(1))
    assert [len(receipt["logs"]) for receipt in honest] == [1, 0, 3]
    assert [len(receipt["logs"]) for receipt in without_log] == [1, 0, 2]
    assert without_log[2]["logs"] == honest[2]["logs"][1:]
    assert await receipts_with(faults.omit_transaction(1)) == [honest[0], honest[2]]


async def test_reordered_logs_are_the_same_logs() -> None:
    def logs(receipts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [log for receipt in receipts for log in receipt["logs"]]

    honest = logs(await receipts_with(faults.slow(0)))
    assert logs(await receipts_with(faults.reorder_logs())) == honest[::-1]


async def test_stale_node_has_never_heard_of_newer_blocks() -> None:
    tip = made_chain()
    fault = faults.stale_head(3)
    assert await ask(fault, "eth_blockNumber", tip=tip) == hex(7)
    assert (await ask(fault, "eth_getBlockByNumber", "latest", False, tip=tip))["number"] == hex(7)
    assert (await ask(fault, "eth_getBlockByNumber", "finalized", False, tip=tip))["number"] == hex(7)
    assert await ask(fault, "eth_getBlockByNumber", hex(8), False, tip=tip) is None
    assert await ask(fault, "eth_getBlockByHash", tip.header.hash, True, tip=tip) is None
    assert await ask(fault, "eth_getBlockReceipts", tip.header.hash, tip=tip) is None
    older = tip.ancestor(3).header.hash
    assert (await ask(fault, "eth_getBlockByHash", older, False, tip=tip))["hash"] == older


async def test_mixed_forks_serve_the_receipts_of_another_block_at_that_height() -> None:
    tree = Tree(chain_id=CHAIN_ID)
    left = tree.extend(tree.root, [token_transfer(1, USDT, ALICE, 5)])
    right = tree.extend(tree.root, [token_transfer(2, USDT, ALICE, 6)], salt=1)
    fault = faults.mixed_forks(server_of(right).ask_decoded)
    assert (await ask(fault, "eth_getBlockByHash", left.header.hash, False, tip=left))["hash"] == left.header.hash
    receipts = await ask(fault, "eth_getBlockReceipts", left.header.hash, tip=left)
    assert {receipt["blockHash"] for receipt in receipts} == {right.header.hash}


@pytest.mark.parametrize(
    ("fault", "heights"),
    [
        (faults.finality_at(4), [4, 4]),
        (faults.finality_swinging(3), [8, 5, 8]),
        (faults.finality_ahead(1), [9]),
        (faults.finality_ahead(100), [10]),
    ],
    ids=str,
)
async def test_finalized_tag_stands_where_the_fault_puts_it(fault: Fault, heights: list[int]) -> None:
    for height in heights:
        block = await ask(fault, "eth_getBlockByNumber", "finalized", False)
        assert int(block["number"], 16) == height


@pytest.mark.parametrize(
    ("fault", "method"),
    [
        (faults.receipts_pruned(), "eth_getBlockReceipts"),
        (faults.without("eth_chainId"), "eth_chainId"),
    ],
    ids=str,
)
async def test_refused_method_is_a_json_rpc_error(fault: Fault, method: str) -> None:
    with pytest.raises(Refusal):
        await ask(fault, method, made_chain().header.hash)


async def test_faults_act_one_after_another() -> None:
    server = server_of(made_chain())
    server.faults = [faults.wrong_chain_id(1), faults.wrong_chain_id(2)]
    assert await server.result("eth_chainId", []) == "0x2"
    server.faults = []
    assert await server.result("eth_chainId", []) == hex(CHAIN_ID)


async def test_sometimes_is_neither_always_nor_never() -> None:
    server = server_of(made_chain())
    server.faults = [faults.sometimes(faults.wrong_chain_id(1), 0.5, seed=1)]
    answers = [await server.result("eth_chainId", []) for _ in range(50)]
    assert set(answers) == {"0x1", hex(CHAIN_ID)}


# --- over the wire ------------------------------------------------------------------------------------------------

QUESTION = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}


@asynccontextmanager
async def served(fault: Fault) -> AsyncIterator[tuple[FaultyServer, aiohttp.ClientSession]]:
    node = SimulatedNode(made_chain(), chain_id=CHAIN_ID)
    async with serving_nodes(node) as (server,), aiohttp.ClientSession() as session:
        server.faults = [fault]
        yield server, session


async def post(fault: Fault) -> tuple[int, bytes]:
    timeout = aiohttp.ClientTimeout(total=0.3)
    async with served(fault) as (server, session), session.post(server.url, json=QUESTION, timeout=timeout) as response:
        return response.status, await response.read()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.away(), aiohttp.ClientError),
        (faults.cut_off(), aiohttp.ClientError),
        (faults.hang(), TimeoutError),
        (faults.drip(), TimeoutError),
    ],
    ids=str,
)
async def test_connection_that_breaks_or_stalls_gives_no_answer(fault: Fault, error: type[Exception]) -> None:
    with pytest.raises(error):
        await post(fault)


async def test_statuses_and_bodies_are_served_as_told() -> None:
    assert (await post(faults.slow(0)))[0] == 200
    assert (await post(faults.throttled()))[0] == 429
    assert (await post(faults.server_error(503)))[0] == 503
    for fault in (faults.truncated(), faults.broken_gzip()):
        with pytest.raises((json.JSONDecodeError, aiohttp.ClientError)):
            json.loads((await post(fault))[1])
    body = (await post(faults.oversized(10_000)))[1]
    assert len(body) == 10_000
    assert json.loads(body)["result"] == hex(CHAIN_ID)


@pytest.mark.parametrize(
    ("fault", "order"),
    [
        (faults.slow(0), [1, 2, 3, 4]),
        (faults.duplicated_heads(), [1, 1, 2, 2, 3, 3, 4, 4]),
        (faults.skipped_heads(2), [2, 4]),
        (faults.reordered_heads(), [2, 1, 4, 3]),
        (faults.silent_heads(), []),
    ],
    ids=str,
)
async def test_heads_are_announced_as_the_fault_has_it(fault: Fault, order: list[int]) -> None:
    tree = Tree(chain_id=CHAIN_ID)
    node = SimulatedNode(tree.root, chain_id=CHAIN_ID)
    async with serving_nodes(node) as (server,), aiohttp.ClientSession() as session:
        server.faults = [fault]
        async with session.ws_connect(server.ws_url) as socket:
            await socket.send_json({"jsonrpc": "2.0", "id": 7, "method": "eth_subscribe", "params": ["newHeads"]})
            subscription = (await socket.receive_json())["result"]
            await asyncio.sleep(0)
            await until(lambda: bool(node.listeners) or not order)
            node.follow(tree.grow(tree.root, 4))
            heads = [(await socket.receive_json())["params"] for _ in order]
            # Whatever was announced, the socket still answers; and nothing else comes before that answer.
            await socket.send_json(QUESTION)
            assert (await socket.receive_json())["result"] == hex(CHAIN_ID)
    assert [int(head["result"]["number"], 16) for head in heads] == order
    assert {head["subscription"] for head in heads} <= {subscription}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)
