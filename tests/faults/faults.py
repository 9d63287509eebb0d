"""Every way in which a node fails or lies, each a value that a `tests.faults.server.FaultyServer` is told to act on.

A fault acts in up to three places: on the answer to a question (`answer`), on the reply as it goes over the wire
(`reply`), and on the heads that a subscription announces (`heads`). Several together act one after another, the last
one in the list nearest to the caller.

Block hashes and heights are as JSON-RPC writes them; a result is decoded JSON. What a fault does not concern passes
through unchanged, so that every fault can stand in front of every node.
"""

from __future__ import annotations

import asyncio
import copy
import gzip
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

Ask = Callable[[str, list[Any]], Awaitable[Any]]
"""Puts a question, method and parameters, to the node behind; its result, or `Refusal`."""
Answer = Callable[[str, list[Any], Ask], Awaitable[Any]]
Change = Callable[[str, list[Any], Any], Any]
"""(method, params, result) -> the result to serve."""
Heads = AsyncIterator[dict[str, Any]]


class Refusal(Exception):
    """A JSON-RPC error. `data` is hex text or None."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.data = data


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What goes over the wire. `body` may be cut off, and come late or slowly."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    sent_bytes: int | None = None
    """The connection breaks after this much of the body, which was announced whole; None: all of it is sent."""
    delay_s: float = 0.0
    """Before the first byte; `math.inf` for never."""
    drip_s: float = 0.0
    """Between one byte of the body and the next; 0 sends it in one piece."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way to fail. What is None is done honestly."""

    name: str
    change: Change | None = None
    """What `answer` does, for faults that need nothing but the honest result: fits where no question can be asked."""
    answer: Answer | None = None
    reply: Callable[[Reply], Reply] | None = None
    heads: Callable[[Heads], Heads] | None = None

    def __str__(self) -> str:
        return self.name


_BLOCK = ("eth_getBlockByHash", "eth_getBlockByNumber")
_LISTS = ("eth_getBlockReceipts", "eth_getLogs")


def changing(name: str, change: Change) -> Fault:
    """A fault that alters results. `change` may write into the result that it is given."""

    async def answer(method: str, params: list[Any], ask: Ask) -> Any:
        return change(method, params, copy.deepcopy(await ask(method, params)))

    return Fault(name=name, change=change, answer=answer)


# --- what a node leaves out or alters -----------------------------------------------------------------------------


def omit_log(index: int = 0) -> Fault:
    """The index-th log of every block is left out, counted around where a block has fewer."""

    def change(method: str, _params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs" and result:
            del result[index % len(result)]
        elif method == "eth_getBlockReceipts" and result:
            holders = [(receipt, at) for receipt in result for at in range(len(receipt["logs"]))]
            if holders:
                receipt, at = holders[index % len(holders)]
                del receipt["logs"][at]
        return result

    return changing(f"omit_log({index})", change)


def omit_transaction(index: int = 0) -> Fault:
    """The index-th transaction of every block is left out, with its receipt."""

    def change(method: str, _params: list[Any], result: Any) -> Any:
        rows = result["transactions"] if method in _BLOCK and result else result
        if method in (*_BLOCK, "eth_getBlockReceipts") and rows:
            del rows[index % len(rows)]
        return result

    return changing(f"omit_transaction({index})", change)


def reorder_logs() -> Fault:
    """Logs come in the opposite order, across the block's transactions; each still names its own place."""

    def change(method: str, _params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs" and result:
            result.reverse()
        elif method == "eth_getBlockReceipts" and result:
            turned = iter([log for receipt in result for log in receipt["logs"]][::-1])
            for receipt in result:
                receipt["logs"] = [next(turned) for _ in receipt["logs"]]
        return result

    return changing("reorder_logs()", change)


def forge_amount(units: int) -> Fault:
    """Every one-word log moves this many units instead of its own."""

    def change(method: str, _params: list[Any], result: Any) -> Any:
        receipts = result if method == "eth_getBlockReceipts" and result else []
        logs = result if method == "eth_getLogs" and result else [log for each in receipts for log in each["logs"]]
        for log in logs:
            if len(log["data"]) == 66:
                log["data"] = f"0x{units:064x}"
        return result

    return changing(f"forge_amount({units})", change)


def empty_lists() -> Fault:
    """`[]` for a real block's receipts and logs, as lagging nodes answer."""
    return changing("empty_lists()", lambda method, _params, result: [] if method in _LISTS else result)


def null_blocks() -> Fault:
    """`null` for every block asked for by hash, and for its receipts: a node that has headers and no bodies."""
    absent = ("eth_getBlockByHash", "eth_getBlockReceipts")
    return changing("null_blocks()", lambda method, _params, result: None if method in absent else result)


def receipts_pruned() -> Fault:
    """Old receipts are gone, as geth says it (EIP-4444)."""
    return _refusing("receipts_pruned()", _LISTS, Refusal(4444, "pruned history unavailable"))


def without(*methods: str) -> Fault:
    """These methods are not offered."""
    return _refusing(f"without({', '.join(methods)})", methods, Refusal(-32601, "the method does not exist"))


def rejected(*methods: str, status: int = 403, page: bytes = b"<html>Forbidden</html>") -> Fault:
    """A gateway in front of the node lets requests with these methods not pass, and says so in no JSON-RPC."""
    words = "rejected by the gateway"

    def reply(reply: Reply) -> Reply:
        return replace(reply, status=status, body=page) if words.encode() in reply.body else reply

    name = f"rejected({', '.join(methods)}, status={status})"
    return replace(_refusing(name, methods, Refusal(0, words)), reply=reply)


def _refusing(name: str, methods: tuple[str, ...], refusal: Refusal) -> Fault:
    async def answer(method: str, params: list[Any], ask: Ask) -> Any:
        if method in methods:
            raise refusal
        return await ask(method, params)

    return Fault(name=name, answer=answer)


# --- where a node stands ------------------------------------------------------------------------------------------


def stale_head(blocks: int) -> Fault:
    """The node is this many blocks behind: it has never heard of newer ones, by height or by hash."""

    async def answer(method: str, params: list[Any], ask: Ask) -> Any:
        own = max(0, int(await ask("eth_blockNumber", []), 16) - blocks)
        match method, params:
            case "eth_blockNumber", _:
                return hex(own)
            case "eth_getBlockByNumber", [str(name), *rest]:
                return await _at_height(name, own, rest, ask)
            case "eth_getBlockByHash" | "eth_getBlockReceipts" | "eth_getLogs", [name, *_]:
                return None if await _height(name, ask) > own else await ask(method, params)
            case _, [*_, str("latest" | "pending")] if method != "eth_getBlockByNumber":
                return await ask(method, [*params[:-1], hex(own)])
        return await ask(method, params)

    async def _at_height(name: str, own: int, rest: list[Any], ask: Ask) -> Any:
        if name in ("latest", "pending"):
            return await ask("eth_getBlockByNumber", [hex(own), *rest])
        if name.startswith("0x"):
            return None if int(name, 16) > own else await ask("eth_getBlockByNumber", [name, *rest])
        block = await ask("eth_getBlockByNumber", [name, *rest])
        above = block is not None and int(block["number"], 16) > own
        return await ask("eth_getBlockByNumber", [hex(own), *rest]) if above else block

    return Fault(name=f"stale_head({blocks})", answer=answer)


def other_fork(ask_other: Ask) -> Fault:
    """Another node answers everything: its fork may be older, or made up from end to end."""

    async def answer(method: str, params: list[Any], _ask: Ask) -> Any:
        return await ask_other(method, params)

    return Fault(name="other_fork(…)", answer=answer)


def mixed_forks(ask_other: Ask) -> Fault:
    """Headers come from one fork, receipts and logs from what another node has at the same height."""

    async def answer(method: str, params: list[Any], ask: Ask) -> Any:
        if method not in _LISTS:
            return await ask(method, params)
        height = await _height(params[0], ask)
        other = None if height == math.inf else await ask_other("eth_getBlockByNumber", [hex(int(height)), False])
        if other is None:
            return await ask(method, params)
        named = {**params[0], "blockHash": other["hash"]} if isinstance(params[0], dict) else other["hash"]
        return await ask_other(method, [named, *params[1:]])

    return Fault(name="mixed_forks(…)", answer=answer)


async def _height(name: Any, ask: Ask) -> float:
    """The height of a block named by hash, height or log filter; infinity for one that the node does not know."""
    if isinstance(name, dict):
        name = name.get("blockHash", name.get("toBlock", "latest"))
    by_hash = len(name) == 66
    block = await ask("eth_getBlockByHash" if by_hash else "eth_getBlockByNumber", [name, False])
    return math.inf if block is None else int(block["number"], 16)


def wrong_chain_id(chain_id: int = 1) -> Fault:
    """The node says that it serves another chain."""
    return changing(
        f"wrong_chain_id({chain_id})",
        lambda method, _params, result: hex(chain_id) if method == "eth_chainId" else result,
    )


def finality_at(height: int) -> Fault:
    """The `finalized` tag never rises above this height."""
    return _finality(f"finality_at({height})", lambda honest: min(honest, height))


def finality_swinging(blocks: int) -> Fault:
    """The `finalized` tag goes back by this much every second time that it is asked for."""
    turns = count()
    return _finality(
        f"finality_swinging({blocks})", lambda honest: max(0, honest - blocks) if next(turns) % 2 else honest
    )


def finality_ahead(blocks: int) -> Fault:
    """The `finalized` tag stands this far above the honest one, at most at the head."""
    return _finality(f"finality_ahead({blocks})", lambda honest: honest + blocks)


def finality_absent() -> Fault:
    """The node knows no `finalized` tag, as geth says it before there is a first one."""

    async def answer(method: str, params: list[Any], ask: Ask) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == "finalized":
            raise Refusal(-39001, "finalized block not found")
        return await ask(method, params)

    return Fault(name="finality_absent()", answer=answer)


def _finality(name: str, place: Callable[[int], int]) -> Fault:
    async def answer(method: str, params: list[Any], ask: Ask) -> Any:
        if method != "eth_getBlockByNumber" or params[0] != "finalized":
            return await ask(method, params)
        honest = await ask(method, params)
        if honest is None:
            return None
        head = int(await ask("eth_blockNumber", []), 16)
        return await ask(method, [hex(min(place(int(honest["number"], 16)), head)), *params[1:]])

    return Fault(name=name, answer=answer)


# --- the connection -----------------------------------------------------------------------------------------------


def _replying(name: str, **changes: Any) -> Fault:
    return Fault(name=name, reply=lambda reply: replace(reply, **changes))


def away() -> Fault:
    """The connection breaks without an answer, as when a node crashes."""
    return _replying("away()", body=b"", sent_bytes=0)


def hang() -> Fault:
    """The request is taken and never answered."""
    return _replying("hang()", delay_s=math.inf)


def slow(delay_s: float) -> Fault:
    """Every answer is late by this much."""
    return _replying(f"slow({delay_s})", delay_s=delay_s)


def drip(drip_s: float = 0.05) -> Fault:
    """The answer comes byte by byte, so that no single read ever times out."""
    return _replying(f"drip({drip_s})", drip_s=drip_s)


def throttled(retry_after_s: int | None = None) -> Fault:
    """HTTP 429: too many requests."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return _replying("throttled()", status=429, headers=headers, body=b"too many requests")


def server_error(status: int = 500) -> Fault:
    """An HTTP error from a proxy in front of the node."""
    return _replying(f"server_error({status})", status=status, body=b"<html>something went wrong</html>")


def truncated() -> Fault:
    """Half of the JSON, properly announced as if it were all."""
    return Fault(name="truncated()", reply=lambda reply: replace(reply, body=reply.body[: len(reply.body) // 2]))


def cut_off() -> Fault:
    """The connection breaks in the middle of the body."""
    return Fault(name="cut_off()", reply=lambda reply: replace(reply, sent_bytes=len(reply.body) // 2))


def broken_gzip() -> Fault:
    """A compressed body whose second half is missing."""

    def reply(honest: Reply) -> Reply:
        packed = gzip.compress(honest.body)
        return replace(honest, body=packed[: len(packed) // 2], headers={**honest.headers, "Content-Encoding": "gzip"})

    return Fault(name="broken_gzip()", reply=reply)


def oversized(size: int) -> Fault:
    """The answer is followed by blanks up to this many bytes: valid JSON, and too much of it."""
    return Fault(name=f"oversized({size})", reply=lambda reply: replace(reply, body=reply.body.ljust(size)))


# --- announced heads ----------------------------------------------------------------------------------------------


def duplicated_heads() -> Fault:
    """Every head is announced twice."""

    async def heads(honest: Heads) -> Heads:
        async for head in honest:
            yield head
            yield head

    return Fault(name="duplicated_heads()", heads=heads)


def skipped_heads(every: int = 2) -> Fault:
    """Of this many heads only the last is announced."""

    async def heads(honest: Heads) -> Heads:
        turns = count(1)
        async for head in honest:
            if next(turns) % every == 0:
                yield head

    return Fault(name=f"skipped_heads({every})", heads=heads)


def reordered_heads() -> Fault:
    """Of every two heads the newer is announced first."""

    async def heads(honest: Heads) -> Heads:
        held: dict[str, Any] | None = None
        async for head in honest:
            if held is None:
                held = head
            else:
                yield head
                yield held
                held = None

    return Fault(name="reordered_heads()", heads=heads)


def silent_heads() -> Fault:
    """The subscription is accepted and says nothing: the connection stays open."""

    async def heads(_honest: Heads) -> Heads:
        await asyncio.Event().wait()
        yield {}

    return Fault(name="silent_heads()", heads=heads)


# --- only now and then --------------------------------------------------------------------------------------------


def sometimes(fault: Fault, chance: float, seed: int) -> Fault:
    """The fault acts on this share (0 to 1) of answers and replies, drawn anew for each."""
    draw = random.Random(seed)

    async def answer(method: str, params: list[Any], ask: Ask) -> Any:
        if fault.answer is None or draw.random() >= chance:
            return await ask(method, params)
        return await fault.answer(method, params, ask)

    def reply(honest: Reply) -> Reply:
        return fault.reply(honest) if fault.reply is not None and draw.random() < chance else honest

    return replace(
        fault,
        change=None,
        name=f"sometimes({fault}, {chance})",
        answer=None if fault.answer is None else answer,
        reply=None if fault.reply is None else reply,
    )
