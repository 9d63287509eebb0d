"""What a QR code says: EIP-681 requests for the exact transfer."""

from __future__ import annotations

from openpay.domain.address import to_checksum


def transfer_uri(*, chain_id: int, to: bytes, units: int, contract: bytes | None) -> str:
    """An EIP-681 URI asking for `units` base units to `to`; `contract` None asks for the chain's own coin.

    Integers are written out in full: wallets differ in how they read exponents.
    """
    if contract is None:
        return f"ethereum:{to_checksum(to)}@{chain_id}?value={units}"
    return f"ethereum:{to_checksum(contract)}@{chain_id}/transfer?address={to_checksum(to)}&uint256={units}"
