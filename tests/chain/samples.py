"""JSON of blocks as nodes serve them, for tests that need no real chain."""

from __future__ import annotations

from typing import Any


def header(*, number: int, block_hash: bytes, parent_hash: bytes = bytes(32), timestamp: int = 0) -> dict[str, Any]:
    """A header that claims `block_hash` (and does not hash to it)."""
    word = "0x" + "00" * 32
    return {
        "hash": "0x" + block_hash.hex(),
        "parentHash": "0x" + parent_hash.hex(),
        "sha3Uncles": word,
        "miner": "0x" + "00" * 20,
        "stateRoot": word,
        "transactionsRoot": word,
        "receiptsRoot": word,
        "logsBloom": "0x" + "00" * 256,
        "difficulty": "0x0",
        "number": hex(number),
        "gasLimit": "0x0",
        "gasUsed": "0x0",
        "timestamp": hex(timestamp),
        "extraData": "0x",
        "mixHash": word,
        "nonce": "0x" + "00" * 8,
    }
