"""How fast the watcher catches up: proven blocks per second, against web3.py and against the floor.

All contenders fetch the same blocks (150 transactions, 1,000 logs) from the same node over loopback. The floor does the
least that any proof must: fetch, decode, and keccak over exactly the byte strings that the proofs hash.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections import deque
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import sha3
from web3 import HTTPProvider, Web3
from web3.middleware import ExtraDataToPOAMiddleware

from openpay.app.follow import BlockFacts, commit_blocks
from openpay.app.records import Block as BlockRow
from openpay.chain import proofs, trie
from openpay.chain.blocks import Block, Receipt, read_bytes
from openpay.chain.http import READ_BUFFER_BYTES
from openpay.chain.pool import connect
from openpay.domain.chains import Chain, Token
from openpay.store import Store
from openpay.store.migrate import upgrade
from scripts.benchmarks.figures import Contender, Figure, Speeds, median_ratio, race
from scripts.benchmarks.samples import CHAIN_ID, TOKEN, ServedBlock, make_chain, serving
from watcher.backfill import BLOCKS_IN_FLIGHT, read_blocks
from watcher.matching import Matcher

CHAIN_LENGTH = 40
ROUNDS = 7
WATCHED = {index.to_bytes(20, "big"): f"pay_{index}" for index in range(1, 10_001)}
PAYING = list(WATCHED)[:CHAIN_LENGTH]
CHAIN = Chain(
    chain_id=CHAIN_ID,
    name="benchmark",
    escrow=b"\xee" * 20,
    tokens=(
        Token(symbol="USDT", asset_index=0, contract=read_bytes(TOKEN), decimals=18),
        Token(symbol="BNB", asset_index=1, contract=None, decimals=18),
    ),
)
TRANSFER_ABI = {
    "type": "event",
    "name": "Transfer",
    "anonymous": False,
    "inputs": [
        {"name": "from", "type": "address", "indexed": True},
        {"name": "to", "type": "address", "indexed": True},
        {"name": "value", "type": "uint256", "indexed": False},
    ],
}


def run() -> list[Figure]:
    """Race all contenders, then time commits apart."""
    chain = make_chain(CHAIN_LENGTH, watched=PAYING)
    with serving(chain) as url:
        speeds = asyncio.run(_race(chain, url))
    single, shared = asyncio.run(_commits())
    proven, floor, web3, undecoded = (speeds[name] for name in ("proven", "floor", "web3", "web3 without events"))
    return [
        Figure(name="proven blocks, matched", value=statistics.median(proven.wall), unit="blocks/s"),
        Figure(name="floor: fetch, decode, keccak", value=statistics.median(floor.wall), unit="blocks/s"),
        Figure(name="web3.py: blocks, receipts, process_log", value=statistics.median(web3.wall), unit="blocks/s"),
        Figure(name="web3.py without process_log", value=statistics.median(undecoded.wall), unit="blocks/s"),
        Figure(name="proven / web3.py", value=median_ratio(proven.wall, web3.wall), unit="×", aim=50),
        Figure(name="proven / web3.py without process_log", value=median_ratio(proven.wall, undecoded.wall), unit="×"),
        Figure(name="proven / floor", value=median_ratio(proven.wall, floor.wall), unit="×", aim=0.5),
        Figure(name="proven / web3.py, processor time", value=median_ratio(proven.cpu, web3.cpu), unit="×"),
        Figure(name="proven / floor, processor time", value=median_ratio(proven.cpu, floor.cpu), unit="×"),
        Figure(name="commit, one block each (not in the above)", value=single, unit="ms/block"),
        Figure(name="commit, 50 blocks together (not in the above)", value=shared, unit="ms/block"),
    ]


async def _race(chain: list[ServedBlock], url: str) -> dict[str, Speeds]:
    hashed = _hashed_strings(chain[0])
    web3 = Web3(HTTPProvider(url))
    web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        connect([url], chain_id=CHAIN_ID) as pool,
        aiohttp.ClientSession(connector=connector, read_bufsize=READ_BUFFER_BYTES) as session,
    ):
        matcher = Matcher(CHAIN)

        async def proven(count: int) -> None:
            found = 0
            async with aclosing(read_blocks(pool, 1, count)) as blocks:
                async for block in blocks:
                    found += len(matcher.match(block, WATCHED).deposits)
            if found != count:
                raise RuntimeError(f"{found} deposits found in {count} blocks with one each")

        async def floor(count: int) -> None:
            fetching: deque[asyncio.Task[None]] = deque()
            for served in chain[:count]:
                fetching.append(asyncio.create_task(_floor(session, url, served.hash, hashed)))
                if len(fetching) >= BLOCKS_IN_FLIGHT:
                    await fetching.popleft()
            await asyncio.gather(*fetching)

        async def web3_py(count: int, *, events: bool) -> None:
            transfer = web3.eth.contract(abi=[TRANSFER_ABI]).events.Transfer()
            for number in range(1, count + 1):
                web3.eth.get_block(number, full_transactions=True)
                for receipt in web3.eth.get_block_receipts(number):
                    for log in receipt["logs"] if events else ():
                        transfer.process_log(log)

        contenders = {
            "proven": Contender(count=CHAIN_LENGTH, run=proven),
            "floor": Contender(count=CHAIN_LENGTH, run=floor),
            "web3": Contender(count=2, run=lambda count: web3_py(count, events=True)),
            "web3 without events": Contender(count=4, run=lambda count: web3_py(count, events=False)),
        }
        return await race(contenders, rounds=ROUNDS)


class _BlockAnswer(msgspec.Struct, gc=False):
    result: Block


class _ReceiptsAnswer(msgspec.Struct, gc=False):
    result: list[Receipt]


_decode_answers = msgspec.json.Decoder(tuple[_BlockAnswer, _ReceiptsAnswer]).decode


async def _floor(session: aiohttp.ClientSession, url: str, block_hash: str, hashed: list[bytes]) -> None:
    asked = [
        {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByHash", "params": [block_hash, True]},
        {"jsonrpc": "2.0", "id": 2, "method": "eth_getBlockReceipts", "params": [block_hash]},
    ]
    async with session.post(url, data=msgspec.json.encode(asked)) as response:
        body = await response.read()
    _decode_answers(body)
    for data in hashed:
        sha3.keccak_256(data).digest()


def _hashed_strings(served: ServedBlock) -> list[bytes]:
    """Every byte string that proving this block hashes; other blocks have as many of the same sizes."""
    hashed: list[bytes] = []
    real = trie.keccak

    def noting(data: bytes) -> bytes:
        hashed.append(bytes(data))
        return real(data)

    modules: list[Any] = [trie, proofs]
    for module in modules:
        module.keccak = noting
    try:
        block = msgspec.json.decode(served.block_json, type=Block)
        receipts = msgspec.json.decode(served.receipts_json, type=list[Receipt])
        proofs.prove(block, receipts, block_hash=read_bytes(served.hash), endpoint="benchmark")
    finally:
        for module in modules:
            module.keccak = real
    return hashed


async def _commits() -> tuple[float, float]:
    """Milliseconds per block that committing costs on SQLite (synchronous=FULL): each alone, and 50 together."""
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory) / 'bench.db'}"
        await asyncio.to_thread(upgrade, url)
        store = Store.open(url)
        facts = [BlockFacts(block=_row(number)) for number in range(1, 502)]
        await _commit(store, facts[:1])

        began = time.perf_counter()
        for fact in facts[1:101]:
            await _commit(store, [fact])
        single = (time.perf_counter() - began) / 100

        began = time.perf_counter()
        for start in range(101, 501, 50):
            await _commit(store, facts[start : start + 50])
        shared = (time.perf_counter() - began) / 400
        await store.close()
    return single * 1000, shared * 1000


async def _commit(store: Store, facts: list[BlockFacts]) -> None:
    last = facts[-1].block.number
    await commit_blocks(store, facts, final_number=last - 11, seen_head=last, answers={}, wall_now=0)


def _row(number: int) -> BlockRow:
    return BlockRow(
        chain_id=CHAIN_ID,
        number=number,
        hash=number.to_bytes(32, "big"),
        parent_hash=(number - 1).to_bytes(32, "big"),
        time=number,
    )
