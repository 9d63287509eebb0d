"""One node's view of a tree of blocks, and its honest answers. Faults are for the `FaultyServer` in front of it."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from openpay.chain.artifacts import load_artifact
from openpay.chain.blocks import read_bytes
from tests.faults.chain import MadeBlock
from tests.faults.faults import Heads, Refusal
from tests.faults.server import FaultyServer, serving

STATE_DEPTH = 128
"""Blocks below the head whose state a node keeps."""
WORD = 32

Contract = Callable[[MadeBlock, bytes], bytes]
"""What calling a contract answers, given the block after which it is called and the call's data. Raises `Refusal`."""


def accept_everything(_block: MadeBlock, _data: bytes) -> bytes:
    """An escrow that would settle any terms: one word."""
    return bytes(WORD)


class SimulatedNode:
    """Follows the branch that it is told to. Blocks of branches that it left are still known by their hash.

    `finality_lag`: how far below the head the `finalized` tag stands; it never goes back by itself. `contracts`
    answers calls by address.
    """

    def __init__(
        self,
        tip: MadeBlock,
        *,
        chain_id: int,
        finality_lag: int = 2,
        contracts: dict[bytes, Contract] | None = None,
    ) -> None:
        self.chain_id = chain_id
        self.finality_lag = finality_lag
        self.finalized = 0
        self.contracts = contracts or {}
        self._heights: dict[int, MadeBlock] = {}
        self._known: dict[str, MadeBlock] = {}
        self.listeners: set[asyncio.Queue[MadeBlock]] = set()
        """Of the subscriptions that are open: where new blocks are put."""
        self.head = tip
        self.follow(tip)

    def follow(self, tip: MadeBlock) -> None:
        """Make `tip` the newest block: its branch replaces what is above the ancestor they share."""
        fresh: list[MadeBlock] = []
        for block in tip.branch():
            if self._heights.get(block.number) is block:
                break
            fresh.append(block)
        for number in range(tip.number + 1, self.head.number + 1):
            self._heights.pop(number, None)
        self._heights |= {block.number: block for block in fresh}
        self._known |= {block.header.hash: block for block in fresh}
        self.head = tip
        self.finalized = max(self.finalized, tip.number - self.finality_lag)
        for block in reversed(fresh):
            for queue in self.listeners:
                queue.put_nowait(block)

    @property
    def blocks(self) -> Mapping[int, MadeBlock]:
        """The node's branch, by height."""
        return self._heights

    def forget(self, below: int) -> None:
        """Let go of all blocks below this height, of whatever branch."""
        for block_hash in [text for text, block in self._known.items() if block.number < below]:
            block = self._known.pop(block_hash)
            self._heights.pop(block.number, None)
        if below in self._heights:
            self._heights[below].parent = None

    async def heads(self) -> Heads:
        """Headers of new blocks, for ever."""
        queue: asyncio.Queue[MadeBlock] = asyncio.Queue()
        self.listeners.add(queue)
        try:
            while True:
                yield msgspec.json.decode((await queue.get()).header_json)
        finally:
            self.listeners.discard(queue)

    def server(self) -> FaultyServer:
        """A host that serves this node."""
        return FaultyServer(self.ask, heads=self.heads)

    # --- answers ---------------------------------------------------------------------------------------------------

    async def ask(self, method: str, params: list[Any]) -> Any:
        """The honest answer. Raises `Refusal` as geth does."""
        match method, params:
            case "eth_chainId", _:
                return hex(self.chain_id)
            case "net_version", _:
                return str(self.chain_id)
            case "eth_blockNumber", _:
                return self.head.header.number
            case "eth_getBlockByNumber", [name, full]:
                return _served(self._named(name), full)
            case "eth_getBlockByHash", [name, full]:
                return _served(self._known.get(name), full)
            case "eth_getBlockReceipts", [name]:
                block = self._named(name)
                return None if block is None else msgspec.Raw(block.receipts_json)
            case "eth_getLogs", [wanted] if "blockHash" in wanted:
                return self._logs(wanted)
            case "eth_getTransactionReceipt", [name]:
                return self._receipt(name)
            case "eth_getTransactionByHash", [name]:
                return self._transaction(name)
            case "eth_call", [request, at]:
                return self._call(request, self._state(at))
            case "eth_getBalance", [address, at]:
                return hex(self._state(at).coins.get(read_bytes(address), 0))
        raise Refusal(-32601, f"the method {method} does not exist/is not available")

    def _named(self, name: str) -> MadeBlock | None:
        match name:
            case "latest" | "pending":
                return self.head
            case "finalized" | "safe":
                return self._heights.get(self.finalized)
            case "earliest":
                return self._heights.get(0)
        return self._known.get(name) if len(name) == 66 else self._heights.get(int(name, 16))

    def _state(self, name: Any) -> MadeBlock:
        """The block after which state is read (EIP-1898). Raises `Refusal` for one that is not there any more."""
        text = (name.get("blockHash") or name["blockNumber"]) if isinstance(name, dict) else name
        block = self._named(text)
        if block is None:
            raise Refusal(-32000, "header not found")
        if isinstance(name, dict) and name.get("requireCanonical") and self._heights.get(block.number) is not block:
            raise Refusal(-32000, "hash is not currently canonical")
        if block.number < self.head.number - STATE_DEPTH:
            raise Refusal(-32000, "missing trie node")
        return block

    def _logs(self, wanted: dict[str, Any]) -> list[Any]:
        block = self._known.get(wanted["blockHash"])
        if block is None:
            raise Refusal(-32000, "unknown block")
        logs = [log for receipt in msgspec.json.decode(block.receipts_json) for log in receipt["logs"]]
        return [log for log in logs if _passes(log, wanted)]

    def _receipt(self, name: str) -> Any:
        place = self._place(name)
        return None if place is None else msgspec.json.decode(place[0].receipts_json)[place[1]]

    def _transaction(self, name: str) -> Any:
        place = self._place(name)
        return None if place is None else msgspec.json.decode(place[0].block_json)["transactions"][place[1]]

    def _place(self, name: str) -> tuple[MadeBlock, int] | None:
        """Where a transaction is on this node's branch. Searches: for the few that are asked for."""
        wanted = read_bytes(name)
        for block in self.head.branch():
            for index in range(len(block.txs)):
                if block.transaction_hash(index) == wanted:
                    return block, index
        return None

    def _call(self, request: dict[str, Any], block: MadeBlock) -> str:
        data = read_bytes(request.get("data") or request.get("input") or "0x")
        if request.get("to") is None:
            return "0x" + _balances(block, data).hex()
        contract = self.contracts.get(read_bytes(request["to"]))
        return "0x" + (contract(block, data).hex() if contract is not None else "")


def _served(block: MadeBlock | None, full: bool) -> Any:
    if block is None:
        return None
    return msgspec.Raw(block.block_json if full else block.header_json)


def _passes(log: dict[str, Any], wanted: dict[str, Any]) -> bool:
    address = wanted.get("address")
    addresses = [address] if isinstance(address, str) else address
    if addresses and log["address"].lower() not in {each.lower() for each in addresses}:
        return False
    for at, topic in enumerate(wanted.get("topics", ())):
        choices = [topic] if isinstance(topic, str) else topic
        if choices and (at >= len(log["topics"]) or log["topics"][at].lower() not in {c.lower() for c in choices}):
            return False
    return True


def _balances(block: MadeBlock, data: bytes) -> bytes:
    """What the creation code of BalanceReader returns: `abi.encode(uint256[])` for the addresses encoded after it."""
    code = load_artifact("BalanceReader").bytecode
    if not data.startswith(code):
        raise Refusal(-32000, "invalid opcode")
    words = [data[at : at + WORD] for at in range(len(code), len(data), WORD)]
    balances = [block.coins.get(word[12:], 0) for word in words[2:]]
    return b"".join(each.to_bytes(WORD, "big") for each in (WORD, len(balances), *balances))


# --- in a process of its own --------------------------------------------------------------------------------------


@contextmanager
def in_own_process(*nodes: SimulatedNode) -> Iterator[list[str]]:
    """The URLs of these nodes, as they are now, served by a process of their own until the context ends.

    Serving costs the caller nothing then, and a caller may fork or be killed without taking the nodes along.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(nodes, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve(nodes: tuple[SimulatedNode, ...], ready: Connection) -> None:
    async def serve() -> None:
        async with serving_nodes(*nodes) as servers:
            ready.send([server.url for server in servers])
            await asyncio.Event().wait()

    asyncio.run(serve())


@asynccontextmanager
async def serving_nodes(*nodes: SimulatedNode) -> AsyncIterator[list[FaultyServer]]:
    """A host for each node, in this process."""
    servers = [node.server() for node in nodes]
    async with serving(servers):
        yield servers
