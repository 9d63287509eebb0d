"""Where the time of a block goes: each stage by itself, with all that it works on warm in the processor's cache.

Processor time per block, the least of many rounds. In the race against the floor the same work takes a third more,
because every block arrives in memory that no cache holds.
"""

from __future__ import annotations

import time
from binascii import unhexlify
from collections.abc import Callable, Sequence

from openpay.chain import encoding
from openpay.chain.blocks import read_bytes
from openpay.chain.bodies import body_calls, read_body
from openpay.chain.digest import Concerns, Digest
from openpay.chain.rpc import decode
from openpay.chain.trie import index_trie_root
from openpay.domain.keccak import keccak
from scripts.benchmarks.figures import Figure
from scripts.benchmarks.reading import hashed_strings
from scripts.benchmarks.samples import CHAIN, ServedBlock, make_chain

BLOCKS = 10
ROUNDS = 30


def run(*, blocks: int = BLOCKS, rounds: int = ROUNDS) -> list[Figure]:
    """Every stage over the same blocks."""
    chain = make_chain(blocks)
    hashes = [read_bytes(served.hash) for served in chain]
    bodies = [_body(served) for served in chain]
    calls = [body_calls(each) for each in hashes]
    proven = [read_body(body, block_hash=each, endpoint="") for body, each in zip(bodies, hashes, strict=True)]
    receipts = [list(map(encoding.receipt, block.receipts)) for block in proven]
    transactions = [list(map(encoding.transaction, block.transactions)) for block in proven]
    hashed = [hashed_strings(served) for served in chain]
    concerns = Concerns.of(CHAIN)

    def roots(at: int) -> None:
        for values in (receipts[at], transactions[at]):
            index_trie_root(values, count=len(values))

    stages: dict[str, Callable[[int], object]] = {
        "decode JSON": lambda at: decode(bodies[at], calls[at], endpoint=""),
        "receipts to RLP, as hex": lambda at: list(map(encoding.receipt, proven[at].receipts)),
        "transactions to RLP, as hex": lambda at: list(map(encoding.transaction, proven[at].transactions)),
        "hex to bytes": lambda at: [unhexlify(value) for value in (*receipts[at], *transactions[at])],
        "keccak": lambda at: [keccak(value) for value in hashed[at]],
        "tries, hex to bytes and keccak included": roots,
        "digest": lambda at: Digest.of(proven[at], concerns),
        "all of it": lambda at: Digest.of(read_body(bodies[at], block_hash=hashes[at], endpoint=""), concerns),
    }
    return [
        Figure(name=f"stage: {name}", value=_least_ms(stage, blocks, rounds), unit="ms/block")
        for name, stage in stages.items()
    ]


def _least_ms(stage: Callable[[int], object], blocks: int, rounds: int) -> float:
    times: list[float] = []
    for _ in range(rounds):
        began = time.process_time()
        for at in range(blocks):
            stage(at)
        times.append(time.process_time() - began)
    return min(times) / blocks * 1000


def _body(served: ServedBlock) -> bytes:
    parts: Sequence[bytes] = (served.block_json, served.receipts_json)
    return b"[%b]" % b",".join(
        b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (number, part) for number, part in enumerate(parts, start=1)
    )
