"""Traces in both forms that nodes offer: which frames move money, and what no trace may break."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from openpay.chain.errors import JsonRpcError, Missing
from openpay.chain.pool import connect
from openpay.chain.traces import InnerTransfer, _of_entries, inner_transfers
from tests.faults.faults import Fault, without
from tests.faults.proxy import proxies
from tests.support.anvil import Anvil

TO, OTHER = b"\x11" * 20, b"\x22" * 20
HASH = b"\x99" * 32
Ask = Callable[[dict[str, Any]], Awaitable[list[InnerTransfer]]]


def text(address: bytes) -> str:
    return "0x" + address.hex()


def frame(*calls: dict[str, Any], to: bytes = TO, wei: int = 5, kind: str = "CALL", **more: Any) -> dict[str, Any]:
    return {"type": kind, "from": text(OTHER), "to": text(to), "value": hex(wei), "calls": list(calls), **more}


def entry(*path: int, to: bytes = TO, wei: int = 5, kind: str = "call", **more: Any) -> dict[str, Any]:
    action = {"callType": kind, "from": text(OTHER), "to": text(to), "value": hex(wei)}
    return {
        "type": "call",
        "action": action,
        "result": {},
        "traceAddress": list(path),
        "transactionPosition": 0,
        "blockHash": "0x" + HASH.hex(),
        **more,
    }


@pytest.fixture
def ask(anvil: Anvil) -> Ask:
    """Asks an endpoint that answers each method as told; one it was not told of, it does not have."""

    async def ask(answers: dict[str, Any]) -> list[InnerTransfer]:
        async with proxies(anvil) as (node,), connect([node.url], chain_id=31337) as pool:
            node.faults = [without(*{"debug_traceBlockByHash", "trace_block"} - set(answers))]
            node.lie = lambda method, params, result: answers.get(method, result)
            question = partial(inner_transfers, block_hash=_hash(anvil), number=anvil.block_number(), to={TO})
            return await pool.ask(question)

    return ask


def _hash(anvil: Anvil) -> bytes:
    return bytes.fromhex(anvil.block()["hash"][2:])


def trees(*outermost: dict[str, Any]) -> dict[str, Any]:
    return {"debug_traceBlockByHash": [{"txHash": "0x00", "result": each} for each in outermost]}


async def test_calls_at_any_depth_are_transfers_and_the_outermost_is_none(ask: Ask) -> None:
    found = await ask(trees(frame(), frame(frame(wei=7), frame(frame(wei=8), to=OTHER))))
    assert sorted((each.index, each.wei) for each in found) == [(1, 7), (1, 8)]


@pytest.mark.parametrize(
    "inner",
    [
        frame(wei=0),
        frame(to=OTHER),
        frame(kind="DELEGATECALL"),
        frame(kind="STATICCALL"),
        frame(kind="CALLCODE"),
        frame(error="out of gas"),
        frame(frame(), to=OTHER, error="execution reverted"),
    ],
    ids=["nothing", "to another", "delegated", "static", "callcode", "failed", "within a call that failed"],
)
async def test_frames_that_move_nothing_here_are_left_out(ask: Ask, inner: dict[str, Any]) -> None:
    assert await ask(trees(frame(inner, to=OTHER))) == []


async def test_transaction_that_failed_moved_nothing(ask: Ask) -> None:
    assert await ask(trees(frame(frame(), to=OTHER, error="execution reverted"))) == []


async def test_contract_that_destroys_itself_moves_its_money(ask: Ask) -> None:
    (found,) = await ask(trees(frame(frame(kind="SELFDESTRUCT", wei=9), to=OTHER)))
    assert found == InnerTransfer(index=0, to=TO, wei=9)


async def test_flat_lists_take_the_place_of_trees(ask: Ask, anvil: Anvil) -> None:
    at = {"blockHash": anvil.block()["hash"]}
    suicide = {"type": "suicide", "action": {"refundAddress": text(TO), "balance": "0x9"}}
    create = {"type": "create", "action": {"value": "0x4"}, "result": {"address": text(TO)}}
    found = await ask(
        {
            "trace_block": [
                entry(wei=1, **at),
                entry(0, wei=2, **at),
                entry(1, wei=3, kind="delegatecall", **at),
                entry(2, wei=5, to=OTHER, error="Reverted", **at),
                entry(2, 0, wei=6, **at),
                entry(3, **at) | suicide,
                entry(4, **at) | create,
                {"type": "reward", "blockHash": at["blockHash"], "action": {"author": text(TO), "value": "0x7"}},
            ]
        }
    )
    assert sorted(each.wei for each in found) == [2, 4, 9]


async def test_calls_below_a_failed_one_are_undone_at_any_depth(ask: Ask, anvil: Anvil) -> None:
    at = {"blockHash": anvil.block()["hash"]}
    found = await ask(
        {
            "trace_block": [
                entry(error="Reverted", **at),
                entry(0, wei=1, **at),
                entry(0, 0, wei=2, **at),
                entry(**at) | {"transactionPosition": 1},
                entry(0, to=OTHER, error="Out of gas", **at) | {"transactionPosition": 1},
                entry(0, 0, to=OTHER, **at) | {"transactionPosition": 1},
                entry(0, 0, 0, wei=3, **at) | {"transactionPosition": 1},
                entry(1, wei=4, **at) | {"transactionPosition": 1},
            ]
        }
    )
    assert [(each.index, each.wei) for each in found] == [(1, 4)]


def test_many_failed_calls_are_not_compared_with_each_other() -> None:
    """Whoever pays a vault can have as many fail in the same block as its gas allows."""

    class Counted(int):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return int(self) == other

        __hash__ = int.__hash__

    calls = [entry(Counted(number), error="Out of gas", blockHash="0x") for number in range(300)]
    assert list(_of_entries([entry(blockHash="0x"), *calls], "0x")) == []
    assert Counted.compared < 2 * len(calls)


async def test_flat_list_of_another_block_is_not_taken(ask: Ask) -> None:
    with pytest.raises(Exception, match="answered about"):
        await ask({"trace_block": [entry(0)]})


async def test_endpoint_without_traces_says_so_and_is_not_asked_again(anvil: Anvil) -> None:
    async with proxies(anvil) as (node,), connect([node.url], chain_id=31337) as pool:
        node.faults = [without("debug_traceBlockByHash", "trace_block")]
        for _ in range(3):
            with pytest.raises(JsonRpcError):
                await pool.ask(partial(inner_transfers, block_hash=_hash(anvil), number=0, to={TO}))
        assert (node.asked.count("debug_traceBlockByHash"), node.asked.count("trace_block")) == (1, 1)


@pytest.mark.parametrize(
    "answer",
    [7, {}, [7], [{}], [{"result": None}], [{"result": frame({"type": "CALL", "value": "0xzz"})}], [{"error": "x"}]],
)
async def test_trace_that_cannot_be_read_is_missing_and_no_fault_of_the_endpoint(anvil: Anvil, answer: Any) -> None:
    async with proxies(anvil) as (node,), connect([node.url], chain_id=31337) as pool:
        node.lie = lambda method, params, result: answer if method == "debug_traceBlockByHash" else result
        (word,) = (await pool.ask_hosts(partial(inner_transfers, block_hash=_hash(anvil), number=0, to={TO}))).values()
        assert isinstance(word, Missing)


@pytest.mark.usefixtures("recursion_limit_of_the_program")
async def test_calls_nested_too_deep_to_read_are_missing_and_no_fault_of_the_endpoint(anvil: Anvil) -> None:
    """Whoever pays can nest calls a thousand levels deep, and a node may invent more: that puts no endpoint aside."""
    deep = b'{"result":' + b'{"type":"CALL","calls":[' * 20_000 + b"]}" * 20_000 + b"}"
    async with proxies(anvil) as (node,), connect([node.url], chain_id=31337) as pool:
        node.lie = lambda method, params, result: ["deep"] if method == "debug_traceBlockByHash" else result
        node.faults = [Fault(name="deep", reply=lambda reply: replace(reply, body=reply.body.replace(b'"deep"', deep)))]
        (word,) = (await pool.ask_hosts(partial(inner_transfers, block_hash=_hash(anvil), number=0, to={TO}))).values()
        assert isinstance(word, Missing)
