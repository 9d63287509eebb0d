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
from openpay.chain.blocks import Header, Receipt, Transaction
from openpay.chain.trie import index_trie_root
from openpay.domain.keccak import keccak

CHAIN_ID = 56
TRANSACTIONS = 150
LOGS = 1_000
TRANSFER_TOPIC = "0x" + keccak(b"Transfer(address,address,uint256)").hex()
TOKEN = "0x" + "55" * 20
"""The first log of every transaction is a transfer of this token; the others are of other contracts."""


@dataclass(frozen=True, kw_only=True)
class ServedBlock:
    """A block and its receipts as JSON text, as a node sends them."""

    number: int
    hash: str
    header_json: bytes
    block_json: bytes
    receipts_json: bytes


def make_chain(length: int, *, watched: Sequence[bytes] = ()) -> list[ServedBlock]:
    """Blocks 1 to `length`, linked and whole. Each of `watched` receives one transfer somewhere."""
    chance = random.Random(56)
    chain: list[ServedBlock] = []
    parent = "0x" + "00" * 32
    for number in range(1, length + 1):
        due = watched[number - 1 :: length]
        chain.append(_make_block(chance, number, parent, due))
        parent = chain[-1].hash
    return chain


def _make_block(chance: random.Random, number: int, parent: str, watched: Sequence[bytes]) -> ServedBlock:
    transactions = [_transaction(chance, index) for index in range(TRANSACTIONS)]
    per_transaction = [LOGS // TRANSACTIONS + (index < LOGS % TRANSACTIONS) for index in range(TRANSACTIONS)]
    receipts = [_receipt(chance, count, index) for index, count in enumerate(per_transaction)]
    for receipt, address in zip(receipts, watched, strict=False):
        receipt["logs"][0]["topics"][2] = "0x" + address.rjust(32, b"\0").hex()
    header = _header(chance, number, parent)
    header["transactionsRoot"] = _root(transactions, Transaction, encoding.transaction)
    header["receiptsRoot"] = _root(receipts, Receipt, encoding.receipt)
    block_hash = "0x" + keccak(bytes.fromhex(encoding.header(msgspec.convert(header, Header)))).hex()
    header["hash"] = block_hash
    # What nodes add for convenience is part of what has to be transferred and parsed.
    place = {"blockHash": block_hash, "blockNumber": hex(number)}
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
    return ServedBlock(
        number=number,
        hash=block_hash,
        header_json=_json(header | {"transactions": [], "uncles": [], "size": "0x20000"}),
        block_json=_json(header | {"transactions": transactions, "uncles": [], "size": "0x20000"}),
        receipts_json=_json(receipts),
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
        "logsBloom": _hex(chance, 256),
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
        "logsBloom": _hex(chance, 256),
        "difficulty": "0x2",
        "number": hex(number),
        "gasLimit": hex(55_000_000),
        "gasUsed": hex(20_000_000),
        "timestamp": hex(1_770_000_000 + number),
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
        "transactionsRoot": "",
        "receiptsRoot": "",
    }


def _root(rows: list[dict[str, Any]], kind: Any, encode: Any) -> str:
    return "0x" + index_trie_root((encode(msgspec.convert(row, kind)) for row in rows), count=len(rows)).hex()


def _hex(chance: random.Random, size: int) -> str:
    return "0x" + chance.randbytes(size).hex()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


# --- the node ----------------------------------------------------------------------------------------------------


@contextmanager
def serving(chain: Sequence[ServedBlock]) -> Iterator[str]:
    """The URL of a JSON-RPC node with these blocks, in a process of its own so that serving costs the measured
    process nothing. Its answers are ready-made bytes."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_serve, args=(chain, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/"
    finally:
        process.terminate()
        process.join()


def _serve(chain: Sequence[ServedBlock], ready: Connection) -> None:
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
