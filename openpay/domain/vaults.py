"""Deposit and treasury addresses, computed without a node.

A vault is an EIP-1167 clone that the escrow deploys with CREATE2 (EIP-1014), so its address follows from the escrow's
address and a salt. The clone's target is the first contract the escrow created, hence known from the same address.
"""

from __future__ import annotations

from openpay.domain.keccak import keccak

_CLONE_HEAD = bytes.fromhex("3d602d80600a3d3981f3363d3d373d3d3d363d73")
_CLONE_TAIL = bytes.fromhex("5af43d82803e903d91602b57fd5bf3")


def vault_implementation(escrow: bytes) -> bytes:
    """The address of the escrow's first CREATE (nonce 1): keccak256(rlp([escrow, 1]))[12:]."""
    return keccak(b"\xd6\x94" + escrow + b"\x01")[12:]


def vault_address(escrow: bytes, terms_id: bytes) -> bytes:
    """The deposit address of the payment with these terms: `Escrow.vaultOf`."""
    return _clone_address(escrow, terms_id)


def treasury_address(escrow: bytes, merchant: bytes) -> bytes:
    """Where a merchant's settled money stays: `Escrow.treasuryOf`. The salt is the hash of the merchant's address as a
    word: never a payment's, which is the hash of ten words."""
    return _clone_address(escrow, keccak(merchant.rjust(32, b"\0")))


def create2_address(deployer: bytes, salt: bytes, init_code: bytes) -> bytes:
    """Where `deployer` puts a contract by CREATE2 (EIP-1014). `salt` has 32 bytes."""
    return keccak(b"\xff" + deployer + salt + keccak(init_code))[12:]


def _clone_address(escrow: bytes, salt: bytes) -> bytes:
    return create2_address(escrow, salt, _CLONE_HEAD + vault_implementation(escrow) + _CLONE_TAIL)
