"""How a token's transfers look on the chain (BEP-20, the same as ERC-20)."""

from __future__ import annotations

from openpay.domain.keccak import keccak

TRANSFER_TOPIC = keccak(b"Transfer(address,address,uint256)")
TRANSFER_SELECTOR = keccak(b"transfer(address,uint256)")[:4]
