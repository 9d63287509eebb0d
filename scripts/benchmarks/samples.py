"""Made-up blocks of the size that BNB Smart Chain makes, and a node that serves them from another process."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import msgspec
from aiohttp import web

from openpay.chain import encoding
from openpay.chain.blocks import Header, Log, Receipt, Transaction, read_bytes
from openpay.chain.bloom import logs_bloom
from openpay.chain.trie import index_trie_root
from openpay.domain.chains import Chain, Token
from openpay.domain.keccak import keccak

CHAIN_ID = 56
TRANSACTIONS = 150
LOGS = 1_000
FIRST_BLOCK_TIME = 1_770_000_001
TRANSFER_TOPIC = "0x" + keccak(b"Transfer(address,address,uint256)").hex()
TOKEN = "0x" + "55" * 20
"""The first log of every transaction is a transfer of this token; the others are of other contracts."""
CHAIN = Chain(
    chain_id=CHAIN_ID,
    name="benchmark",
    escrow=b"\xee" * 20,
    tokens=(
        Token(symbol="USDT", asset_index=0, contract=read_bytes(TOKEN), decimals=18),
        Token(symbol="BNB", asset_index=1, contract=None, decimals=18),
    ),
    start_block=1,
)


CONTENTS = 40
"""How many different contents there are; longer chains repeat them under headers of their own."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """The transactions and receipts of a block as JSON text, and what its header says of them."""

    transactions_json: bytes
    receipts_json: bytes
    commitments: dict[str, str]
    payments: int
    """How many transfers to a watched address it holds."""


@dataclass(frozen=True, kw_only=True)
class ServedBlock:
    """A block as a node sends it. `opening` is the JSON text of its header, not closed."""

    number: int
    hash: str
    opening: bytes
    content: Content

    @property
    def header_json(self) -> bytes:
        return self.opening + b',"transactions":[]}'

    @property
    def block_json(self) -> bytes:
        return b"".join((self.opening, b',"transactions":', self.content.transactions_json, b"}"))

    @property
    def receipts_json(self) -> bytes:
        return self.content.receipts_json


def make_chain(length: int, *, watched: Sequence[bytes] = ()) -> list[ServedBlock]:
    """Blocks 1 to `length`, linked and whole. Of the contents, the first ones hold a transfer to each of `watched`."""
    chance = random.Random(56)
    count = min(length, CONTENTS)
    contents = [_make_content(chance, watched[at::count]) for at in range(count)]
    chain: list[ServedBlock] = []
    parent = "0x" + "00" * 32
    for number in range(1, length + 1):
        chain.append(_make_block(chance, number, parent, contents[number % count]))
        parent = chain[-1].hash
    return chain


class GrowingChain:
    """Whole, linked blocks, made one by one when they are wanted."""

    def __init__(self) -> None:
        self._chance = random.Random(56)
        self._idle = _make_content(self._chance, ())
        self._number, self._parent = 0, "0x" + "00" * 32

    def next_block(self, *paid: bytes) -> ServedBlock:
        """The next block, from number 1 on; each of `paid` receives a transfer in it."""
        content = _make_content(self._chance, paid) if paid else self._idle
        self._number += 1
        block = _make_block(self._chance, self._number, self._parent, content)
        self._parent = block.hash
        return block


def _make_block(chance: random.Random, number: int, parent: str, content: Content) -> ServedBlock:
    header = _header(chance, number, parent) | content.commitments
    block_hash = "0x" + keccak(bytes.fromhex(encoding.header(msgspec.convert(header, Header)))).hex()
    opening = _json(header | {"hash": block_hash, "uncles": [], "size": "0x20000"})
    return ServedBlock(number=number, hash=block_hash, opening=opening[:-1], content=content)


def _make_content(chance: random.Random, watched: Sequence[bytes]) -> Content:
    transactions = [_transaction(chance, index) for index in range(TRANSACTIONS)]
    per_transaction = [LOGS // TRANSACTIONS + (index < LOGS % TRANSACTIONS) for index in range(TRANSACTIONS)]
    receipts = [_receipt(chance, count, index) for index, count in enumerate(per_transaction)]
    for receipt, address in zip(receipts, watched, strict=False):
        receipt["logs"][0]["topics"][2] = "0x" + address.rjust(32, b"\0").hex()
    logs = [msgspec.convert(receipt["logs"], list[Log]) for receipt in receipts]
    for receipt, its_logs in zip(receipts, logs, strict=True):
        receipt["logsBloom"] = "0x" + logs_bloom(its_logs).hex()
    commitments = {
        "transactionsRoot": _root(transactions, Transaction, encoding.transaction),
        "receiptsRoot": _root(receipts, Receipt, encoding.receipt),
        "logsBloom": "0x" + logs_bloom(log for its_logs in logs for log in its_logs).hex(),
    }
    # What nodes add for convenience is part of what has to be transferred and parsed. Nothing reads it, so that it
    # may be that of another block.
    place = {"blockHash": _hex(chance, 32), "blockNumber": "0x3b9aca0"}
    for index, (transaction, receipt) in enumerate(zip(transactions, receipts, strict=True)):
        raw = bytes.fromhex(encoding.transaction(msgspec.convert(transaction, Transaction)))
        place |= {"transactionIndex": hex(index)}
        transaction |= place | {"hash": "0x" + keccak(raw).hex(), "from": _hex(chance, 20)}
        receipt |= place | {
            "transactionHash": transaction["hash"],
            "from": transaction["from"],
            "to": transaction["to"],
        }
        receipt |= {"contractAddress": None, "gasUsed": "0x12345", "effectiveGasPrice": "0x3b9aca00"}
        for log in receipt["logs"]:
            log |= place | {"transactionHash": transaction["hash"], "logIndex": "0x1", "removed": False}
    return Content(
        transactions_json=_json(transactions),
        receipts_json=_json(receipts),
        commitments=commitments,
        payments=len(watched),
    )


def _transaction(chance: random.Random, index: int) -> dict[str, Any]:
    common = {
        "nonce": hex(chance.randrange(1, 100_000)),
        "gas": hex(chance.randrange(21_000, 900_000)),
        "to": _hex(chance, 20),
        "value": hex(chance.choice([0, 0, 10**18])),
        "input": _hex(chance, chance.choice([0, 68, 68, 260, 900])),
        "r": "0x9" + _hex(chance, 32)[3:],
        "s": "0x3" + _hex(chance, 32)[3:],
    }
    if index % 2:
        return common | {"type": "0x0", "gasPrice": "0x3b9aca00", "v": "0x93", "chainId": "0x38"}
    fees = {"maxFeePerGas": "0x3b9aca00", "maxPriorityFeePerGas": "0x3b9aca00", "gasPrice": "0x3b9aca00"}
    return common | fees | {"type": "0x2", "chainId": "0x38", "accessList": [], "yParity": "0x1", "v": "0x1"}


def _receipt(chance: random.Random, logs: int, index: int) -> dict[str, Any]:
    return {
        "type": "0x0" if index % 2 else "0x2",
        "status": "0x1",
        "cumulativeGasUsed": hex(100_000 * (index + 1)),
        "logs": [_transfer(chance, TOKEN if place == 0 else _hex(chance, 20)) for place in range(logs)],
    }


def _transfer(chance: random.Random, token: str) -> dict[str, Any]:
    topics = [TRANSFER_TOPIC, "0x" + "00" * 12 + _hex(chance, 20)[2:], "0x" + "00" * 12 + _hex(chance, 20)[2:]]
    return {"address": token, "topics": topics, "data": "0x" + "00" * 22 + _hex(chance, 10)[2:]}


def _header(chance: random.Random, number: int, parent: str) -> dict[str, Any]:
    word = partial(_hex, chance, 32)
    return {
        "parentHash": parent,
        "sha3Uncles": word(),
        "miner": _hex(chance, 20),
        "stateRoot": word(),
        "difficulty": "0x2",
        "number": hex(number),
        "gasLimit": hex(55_000_000),
        "gasUsed": hex(20_000_000),
        "timestamp": hex(FIRST_BLOCK_TIME + number - 1),
        "extraData": _hex(chance, 97),
        "mixHash": "0x" + "00" * 32,
        "nonce": "0x" + "00" * 8,
        "baseFeePerGas": "0x0",
        "withdrawalsRoot": word(),
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "parentBeaconBlockRoot": "0x" + "00" * 32,
        "requestsHash": word(),
        "hash": "0x" + "00" * 32,
    }


def _root(rows: list[dict[str, Any]], kind: Any, encode: Any) -> str:
    return "0x" + index_trie_root((encode(msgspec.convert(row, kind)) for row in rows), count=len(rows)).hex()


def _hex(chance: random.Random, size: int) -> str:
    return "0x" + chance.randbytes(size).hex()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


# --- the node ----------------------------------------------------------------------------------------------------


@contextmanager
def serving(chain: Sequence[ServedBlock], *, latency_s: float = 0.0) -> Iterator[str]:
    """The URL of a JSON-RPC node with these blocks, in a process of its own so that serving costs the measured
    process nothing. Its answers are ready-made bytes; `latency_s` is how far away it seems to be."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_serve, args=(chain, latency_s, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/"
    finally:
        process.terminate()
        process.join()


def _serve(chain: Sequence[ServedBlock], latency_s: float, ready: Connection) -> None:
    by_hash = {block.hash: block for block in chain}
    by_number = {hex(block.number): block for block in chain} | {"latest": chain[-1], "finalized": chain[-1]}

    def result(question: dict[str, Any]) -> bytes:
        match question["method"], question.get("params", []):
            case "eth_chainId", _:
                return json.dumps(hex(CHAIN_ID)).encode()
            case "eth_getBlockByHash", [block_hash, full]:
                return by_hash[block_hash].block_json if full else by_hash[block_hash].header_json
            case "eth_getBlockByNumber", [number, full]:
                return by_number[number].block_json if full else by_number[number].header_json
            case "eth_getBlockReceipts", [name]:
                return (by_hash.get(name) or by_number[name]).receipts_json
        raise LookupError(question["method"])

    def answer(question: dict[str, Any]) -> bytes:
        return b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (question["id"], result(question))

    async def handle(request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read())
        if latency_s:
            await asyncio.sleep(latency_s)
        body = b"[" + b",".join(map(answer, asked)) + b"]" if isinstance(asked, list) else answer(asked)
        return web.Response(body=body, content_type="application/json")

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ready.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(serve())
