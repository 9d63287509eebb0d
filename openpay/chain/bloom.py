"""The bloom filter over a block's logs, which its header carries (Yellow Paper, section 4.3.1).

Every address and topic sets three of 2,048 bits. A log that is left out usually leaves bits unset that the header
has, and one that is made up sets bits that it has not.
"""

from __future__ import annotations

from collections.abc import Iterable

from openpay.chain.blocks import Log, read_bytes
from openpay.domain.keccak import keccak

BLOOM_BYTES = 256


def logs_bloom(logs: Iterable[Log]) -> bytes:
    """The filter of 256 bytes over `logs`. Raises `ValueError` for text that is no hex."""
    values = {text for log in logs for text in (log.address, *log.topics)}
    bits = 0
    for value in values:
        digest = keccak(read_bytes(value))
        for at in (0, 2, 4):
            bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") % (BLOOM_BYTES * 8))
    return bits.to_bytes(BLOOM_BYTES, "big")
