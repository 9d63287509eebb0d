"""A scene's watcher behind nodes of a test's own making, and lies that several tests tell."""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec

from openpay.chain import encoding
from openpay.chain.blocks import Header
from openpay.chain.pool import connect
from openpay.chain.reads import RECEIPTS
from openpay.chain.trie import EMPTY_ROOT
from openpay.domain.keccak import keccak
from openpay.domain.payment import Payment
from tests.faults.faults import Refusal
from tests.faults.proxy import Lie, Proxy, proxies
from tests.watcher.scene import CHAIN_ID, Scene, due


@asynccontextmanager
async def behind(scene: Scene, hosts: int) -> AsyncIterator[list[Proxy]]:
    """The scene's watcher, restarted behind that many hosts."""
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(proxies(*[scene.anvil] * hosts))
        pool = await stack.enter_async_context(connect([proxy.url for proxy in made], chain_id=CHAIN_ID))
        scene.restart(pool=pool)
        yield made


async def paid_up(scene: Scene) -> Payment:
    """A payment in USDT whose full amount is in a block nobody read yet."""
    payment = await scene.create("USDT")
    scene.pay(payment, "USDT", due(payment, "USDT")[0])
    return payment


async def reorg_for_all_but(node: Proxy, scene: Scene) -> None:
    """Blocks are replaced down to below the final one, which this node goes on to serve as it was."""
    final_number = (await scene.cursor()).final_number
    assert final_number is not None
    original = scene.anvil.block(final_number)
    node.lie = lambda method, params, result: (
        original if method == "eth_getBlockByNumber" and params[0] == original["number"] else result
    )
    scene.anvil.reorg(14)
    scene.anvil.mine(1)


def other_hashes(method: str, params: list[Any], result: Any) -> Any:
    """A host on another branch: every height has another hash."""
    if method == "eth_getBlockByNumber" and params[0].startswith("0x"):
        return {**result, "hash": "0x" + "77" * 32}
    return result


def child(parent: dict[str, Any], **fields: str) -> dict[str, Any]:
    """An empty block on `parent` that any proof accepts."""
    block = {
        **parent,
        "parentHash": parent["hash"],
        "number": hex(int(parent["number"], 16) + 1),
        "timestamp": hex(int(parent["timestamp"], 16) + 1),
        "transactionsRoot": "0x" + EMPTY_ROOT.hex(),
        "receiptsRoot": "0x" + EMPTY_ROOT.hex(),
        "transactions": [],
        **fields,
    }
    # Not through the limits of our own types: a node has none.
    header = Header(**{name: block.get(key) for name, key in _header_fields()})
    return {**block, "hash": "0x" + keccak(unhexlify(encoding.header(header))).hex()}


def _header_fields() -> Sequence[tuple[str, str]]:
    return [(field.name, field.encode_name) for field in msgspec.structs.fields(Header)]


def serving(*invented: dict[str, Any]) -> Lie:
    """Serve these blocks on top of the real ones, the last as the head."""
    known = {block[key]: block for block in invented for key in ("hash", "number")} | {"latest": invented[-1]}

    def lie(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getBlockReceipts" and params[0] in known:
            return []
        return known.get(params[0], result) if method.startswith("eth_getBlockBy") else result

    return lie


def without_receipts(method: str, params: list[Any], result: Any) -> Any:
    if method == RECEIPTS:
        raise Refusal(-32601, f"the method {method} does not exist/is not available")
    return result


def everywhere(nodes: list[Proxy], lie: Lie | None) -> None:
    for node in nodes:
        node.lie = lie
