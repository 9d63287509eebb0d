"""Keccak-256 as Ethereum uses it (the padding of the Keccak submission, not of FIPS 202)."""

from __future__ import annotations

import sha3


def keccak(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 digest of `data`."""
    digest: bytes = sha3.keccak_256(data).digest()
    return digest
