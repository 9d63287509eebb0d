"""Texts that people sign with their wallets (EIP-191, version 0x45: `personal_sign`)."""

from __future__ import annotations

import re

from openpay.domain.keccak import keccak

_SIGNATURE = re.compile(r"0x[0-9a-fA-F]{130}", re.ASCII)
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half the order of secp256k1: above it a signature is another one's mirror image (EIP-2)."""


def recover_signer(text: str, signature: str) -> bytes | None:
    """Whose key signed `text`; None for what is no signature at all. Any well-formed one recovers *some* address: the
    caller compares it with the one expected."""
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    if not _SIGNATURE.fullmatch(signature):
        return None
    raw = bytes.fromhex(signature[2:])
    recovery = raw[64] - 27 if raw[64] >= 27 else raw[64]
    if recovery not in (0, 1) or int.from_bytes(raw[32:64], "big") > _HALF_ORDER:
        return None
    try:
        return (
            Signature(raw[:64] + bytes([recovery]))
            .recover_public_key_from_msg_hash(message_hash(text))
            .to_canonical_address()
        )
    except (BadSignature, ValidationError):
        return None


def message_hash(text: str) -> bytes:
    """The 32 bytes that a wallet signs for `text`."""
    message = text.encode()
    return keccak(b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message)
