"""How fast blocks are read: proven blocks per second, against web3.py and against the floor.

All contenders fetch the same blocks (150 transactions, 1,000 logs) from the same node over loopback. The floor does the
least that any proof must: fetch, decode, and keccak over exactly the byte strings that the proofs hash.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import aiohttp
import msgspec
import sha3

from openpay.chain import proofs, trie
from openpay.chain.blocks import Block, Receipt, read_bytes
from openpay.chain.digest import Concerns, DigestedBlock
from openpay.chain.http import READ_BUFFER_BYTES
from openpay.chain.memory import keep_freed_memory
from openpay.chain.pool import connect
from openpay.chain.provers import Provers, processor_count
from openpay.domain.keccak import keccak
from scripts.benchmarks.figures import Contender, Figure, Speeds, median_ratio, race
from scripts.benchmarks.samples import CHAIN, CHAIN_ID, ServedBlock, make_chain, serving
from scripts.benchmarks.web3_py import ExtraDataToPOAMiddleware, HTTPProvider, Web3
from watcher.backfill import Backfill
from watcher.flight import FIRST
from watcher.matching import Matcher

CHAIN_LENGTH = 120
ROUNDS = 7
WATCHED = {index.to_bytes(20, "big"): f"pay_{index}" for index in range(1, 10_001)}
PAYING = 4
"""Contents, of 40, that hold a deposit: one block in ten, of which more than a digest is read."""
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


def run(*, length: int = CHAIN_LENGTH, rounds: int = ROUNDS) -> list[Figure]:
    """Race all contenders over a chain of `length` blocks."""
    chain = make_chain(length, watched=list(WATCHED)[:PAYING])
    with serving(chain) as url:
        speeds = asyncio.run(_race(chain, url, rounds))
    proven, every_core, floor, web3, undecoded = (
        speeds[name] for name in ("proven", "every core", "floor", "web3", "web3 without events")
    )
    return [
        Figure(name="proven and matched, one core", value=statistics.median(proven.wall), unit="blocks/s"),
        Figure(name="proven and matched, every core", value=statistics.median(every_core.wall), unit="blocks/s"),
        Figure(name="floor: fetch, decode, keccak", value=statistics.median(floor.wall), unit="blocks/s"),
        Figure(name="web3.py: blocks, receipts, process_log", value=statistics.median(web3.wall), unit="blocks/s"),
        Figure(name="web3.py without process_log", value=statistics.median(undecoded.wall), unit="blocks/s"),
        Figure(name="proven / web3.py", value=median_ratio(proven.wall, web3.wall), unit="×", aim=60),
        Figure(name="proven / web3.py, processor time", value=median_ratio(proven.cpu, web3.cpu), unit="×"),
        Figure(name="proven / web3.py without process_log", value=median_ratio(proven.wall, undecoded.wall), unit="×"),
        Figure(name="proven / floor, one core", value=median_ratio(proven.wall, floor.wall), unit="×", aim=0.6),
        Figure(name="proven / floor, one core, processor time", value=median_ratio(proven.cpu, floor.cpu), unit="×"),
        Figure(name="every core / one core", value=median_ratio(every_core.wall, proven.wall), unit="×"),
        Figure(name="every core / web3.py", value=median_ratio(every_core.wall, web3.wall), unit="×"),
    ]


async def _race(chain: Sequence[ServedBlock], url: str, rounds: int) -> dict[str, Speeds]:
    hashed = hashed_strings(chain[0])
    keep_freed_memory()  # as a catch-up does; it helps all contenders
    web3 = Web3(HTTPProvider(url))
    web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    connector = aiohttp.TCPConnector(limit=0)
    here, elsewhere = Provers(Concerns.of(CHAIN)), Provers(Concerns.of(CHAIN))
    await elsewhere.start(processor_count())
    await elsewhere.ready()
    async with (
        connect([url], chain_id=CHAIN_ID) as pool,
        aiohttp.ClientSession(connector=connector, read_bufsize=READ_BUFFER_BYTES) as session,
    ):
        # Both find out how many in flight are worth it before they are measured.
        one_core, every_core = Backfill(pool, here), Backfill(pool, elsewhere)

        async def floor(count: int) -> None:
            fetching: deque[asyncio.Task[None]] = deque()
            for served in chain[:count]:
                fetching.append(asyncio.create_task(_floor(session, url, served.hash, hashed)))
                if len(fetching) >= FIRST:
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
            "proven": Contender(count=len(chain), run=lambda count: read(one_core, chain[:count])),
            "every core": Contender(count=len(chain), run=lambda count: read(every_core, chain[:count])),
            "floor": Contender(count=len(chain), run=floor),
            "web3": Contender(count=2, run=lambda count: web3_py(count, events=True)),
            "web3 without events": Contender(count=4, run=lambda count: web3_py(count, events=False)),
        }
        speeds = await race(contenders, rounds=rounds)
    await elsewhere.close()
    return speeds


async def read(backfill: Backfill, chain: Sequence[ServedBlock]) -> None:
    """Read and match the blocks of `chain`, as a catch-up does."""
    matcher, found = Matcher(CHAIN), 0
    async with aclosing(backfill.blocks(1, len(chain))) as blocks:
        async for block in blocks:
            if isinstance(block, DigestedBlock):
                if not block.digest.may_concern(WATCHED):
                    continue
                block = block.open()
            found += len(matcher.match(block, WATCHED).deposits)
    expected = sum(served.content.payments for served in chain)
    if found != expected:
        raise RuntimeError(f"{found} deposits found in {len(chain)} blocks that hold {expected}")


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


def hashed_strings(served: ServedBlock) -> list[bytes]:
    """Every byte string that proving this block hashes; other blocks have as many of the same sizes."""
    hashed: list[bytes] = []
    real = keccak

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
