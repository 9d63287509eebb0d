"""Which transaction moved money inside contracts, as a node tells it that runs a block again.

Nothing proves a trace: it is fit for showing where money came from, not for deciding how much of it there is. No
failure is held against an endpoint, because whoever pays can make a block that is too much to trace.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from openpay.chain.errors import BadAnswer, EndpointFault, JsonRpcError, Missing
from openpay.chain.optional import optional
from openpay.chain.reads import hex_text
from openpay.chain.rpc import Call, Endpoint

_MOVES = frozenset({"CALL", "CREATE", "CREATE2", "SELFDESTRUCT"})
"""Frames whose value changes hands. A delegated call repeats its caller's value, and moves nothing."""
_UNREADABLE = (msgspec.MsgspecError, LookupError, TypeError, ValueError, AttributeError, RecursionError)
_WHOLE_TREES = "debug_traceBlockByHash"
_FLAT_LISTS = "trace_block"


@dataclass(frozen=True, kw_only=True)
class InnerTransfer:
    """`wei` that transaction `index` of a block moved to `to` from inside a contract."""

    index: int
    to: bytes
    wei: int


async def inner_transfers(
    endpoint: Endpoint, *, block_hash: bytes, number: int, to: Collection[bytes]
) -> list[InnerTransfer]:
    """The inner transfers of a block to some addresses, in no particular order.

    Raises `JsonRpcError` where the endpoint offers no traces, `Missing` where it has none to give of this block.
    """
    try:
        try:
            trees = await _ask(endpoint, _WHOLE_TREES, hex_text(block_hash), {"tracer": "callTracer"})
            return [move for move in _of_trees(trees) if move.to in to]
        except JsonRpcError:
            entries = await _ask(endpoint, _FLAT_LISTS, hex(number))
            return [move for move in _of_entries(entries, hex_text(block_hash)) if move.to in to]
    except EndpointFault as fault:
        raise Missing(endpoint.name, f"no trace of block {number}: {fault.detail}") from fault
    except _UNREADABLE as error:
        raise Missing(endpoint.name, f"the trace of block {number} is not readable: {error!r}") from error


async def _ask(endpoint: Endpoint, method: str, *params: object) -> list[dict[str, Any]]:
    async with optional(endpoint, method):
        # Decoded apart: what is nested too deep is then no fault of the endpoint.
        answer = await endpoint.call(Call(Raw, method, params))
    rows = msgspec.json.decode(answer)
    if not isinstance(rows, list):
        raise BadAnswer(endpoint.name, f"{method} answered with no list")
    return rows


def _of_trees(transactions: list[dict[str, Any]]) -> Iterator[InnerTransfer]:
    """Geth's `callTracer`: a tree of calls for each transaction, in the order of the block."""
    for index, transaction in enumerate(transactions):
        outermost = transaction["result"]
        below = [] if outermost.get("error") else list(outermost.get("calls", ()))
        while below:
            frame = below.pop()
            if frame.get("error"):
                continue  # it was undone, with all that it called
            below += frame.get("calls", ())
            wei = int(frame.get("value") or "0x0", 16)
            if wei > 0 and frame["type"].upper() in _MOVES:
                yield InnerTransfer(index=index, to=bytes.fromhex(frame["to"][2:]), wei=wei)


def _of_entries(entries: list[dict[str, Any]], block_hash: str) -> Iterator[InnerTransfer]:
    """OpenEthereum's `trace_block`: all calls of a block in one list, each before those that it makes."""
    undone: set[tuple[int, tuple[int, ...]]] = set()
    """Looked up and never gone through: whoever pays can have a hundred thousand calls fail in one block."""
    for entry in entries:
        if entry["blockHash"].lower() != block_hash:
            raise ValueError(f"asked for block {block_hash}, answered about {entry['blockHash']}")
        if entry["type"] == "reward":
            continue
        index, path = entry["transactionPosition"], tuple(entry["traceAddress"])
        if entry.get("error") or (path and (index, path[:-1]) in undone):
            undone.add((index, path))
            continue
        action = entry["action"]
        match entry["type"]:
            case "call" if action.get("callType") == "call":
                to, value = action["to"], action["value"]
            case "create":
                to, value = entry["result"]["address"], action["value"]
            case "suicide":
                to, value = action["refundAddress"], action["balance"]
            case _:
                continue
        wei = int(value, 16)
        if wei > 0 and path:
            yield InnerTransfer(index=index, to=bytes.fromhex(to[2:]), wei=wei)
