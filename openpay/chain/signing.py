"""A private key, and the transactions it signs."""

from __future__ import annotations

from dataclasses import dataclass

from openpay.chain import reads
from openpay.chain.blocks import read_quantity
from openpay.chain.pool import Pool
from openpay.domain.address import to_checksum
from openpay.errors import ConfigurationError

GAS_PRICE_MARGIN_PERCENT = 25
"""Paid on top of what the node asks now, so that a slightly dearer next block still takes the transaction."""


@dataclass(frozen=True, kw_only=True)
class SignedTransaction:
    """`raw` is what nodes take; sending it twice is harmless, because `nonce` can be used once."""

    nonce: int
    hash: bytes
    raw: bytes


class Signer:
    """Signs with one key and never shows it. Raises `ConfigurationError` for anything but 32 bytes in range."""

    def __init__(self, private_key: bytes) -> None:
        # Half a second of imports, spared those processes that hold no key.
        from openpay.chain.account import Account

        try:
            self._account = Account.from_key(private_key)
        except Exception as error:  # noqa: BLE001 - the library's error may quote the key
            raise ConfigurationError(f"not a private key: {type(error).__name__}") from None
        self.address = bytes.fromhex(self._account.address[2:])

    def __repr__(self) -> str:
        return f"Signer({self._account.address})"

    def sign(
        self, *, chain_id: int, nonce: int, to: bytes, gas: int, gas_price: int, data: bytes = b"", value: int = 0
    ) -> SignedTransaction:
        """A legacy transaction, which every EVM chain takes (EIP-155). `gas_price` and `value` in wei."""
        signed = self._account.sign_transaction(
            {
                "chainId": chain_id,
                "nonce": nonce,
                "to": to_checksum(to),
                "gas": gas,
                "gasPrice": gas_price,
                "data": data,
                "value": value,
            }
        )
        return SignedTransaction(nonce=nonce, hash=bytes(signed.hash), raw=bytes(signed.raw_transaction))


@dataclass(frozen=True, kw_only=True)
class SignedCall:
    """What a signed transaction does, read back from its bytes: enough to sign the same at another price."""

    to: bytes
    data: bytes


def read_call(raw: bytes) -> SignedCall:
    """The call in a legacy transaction that `Signer.sign` made (RLP of nonce, price, gas, to, value, data, v, r, s)."""
    import rlp

    _nonce, _price, _gas, to, _value, data, *_signature = rlp.decode(raw)
    return SignedCall(to=to, data=data)


def with_margin(asked: int) -> int:
    """Wei per gas to offer where nodes ask for `asked`."""
    return max(1, asked + asked * GAS_PRICE_MARGIN_PERCENT // 100)


async def gas_price_to_pay(pool: Pool) -> int:
    """Wei per gas that the next blocks should accept. Raises `ChainUnavailable`."""
    return with_margin(read_quantity(await pool.call(reads.gas_price())))
