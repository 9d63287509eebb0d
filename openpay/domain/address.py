"""Twenty-byte account addresses and their written form (EIP-55)."""

from __future__ import annotations

import re
from functools import lru_cache

from openpay.domain.keccak import keccak
from openpay.errors import Invalid

ZERO_ADDRESS = bytes(20)

_HEX_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@lru_cache(maxsize=1024)
def to_checksum(address: bytes) -> str:
    """Write a 20-byte address with its EIP-55 capitals."""
    digits = address.hex()
    capitals = keccak(digits.encode()).hex()
    return "0x" + "".join(d.upper() if int(c, 16) >= 8 else d for d, c in zip(digits, capitals, strict=False))


def parse_address(text: str, *, param: str = "address") -> bytes:
    """Read `0x` and 40 hex digits. Mixed case must be a correct EIP-55 checksum.

    Raises `Invalid` (code `invalid_address`).
    """
    if not _HEX_ADDRESS.fullmatch(text):
        raise Invalid(
            f"{text[:60]!r} is not an address: write 0x and 40 hex digits", code="invalid_address", param=param
        )
    address = bytes.fromhex(text[2:])
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and to_checksum(address) != text:
        raise Invalid(
            f"{text} has a wrong EIP-55 checksum: a character is mistyped", code="invalid_address", param=param
        )
    return address
