"""Money that reached a payment's deposit address in a canonical block."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """Where in a block a deposit was seen, and so what identifies it there."""

    LOG = "log"
    """A BEP-20 Transfer; `position` is the log's index in the block."""
    TRANSACTION = "transaction"
    """BNB sent by the transaction itself; `position` is the transaction's index in the block."""
    INTERNAL = "internal"
    """BNB sent from inside a contract, found by a balance read; `position` counts those of one payment and block.
    `tx_hash`, and `sender` with it, only where a trace names them: for showing, proven by nothing."""


@dataclass(frozen=True, kw_only=True)
class Deposit:
    """One transfer to a deposit address. `units` > 0 in the token's base unit; `block_time` in Unix seconds.

    Identity: (payment, block hash, source, position), so that two logs of one transaction stay two deposits, and the
    same transaction in another branch is another deposit. `sender` is the account that signed the transaction, proven
    from its signature, or None where no transaction is known; `sender_nonce` that transaction's nonce, None for
    internal transfers.
    """

    payment_id: str
    token: str
    units: int
    source: Source
    position: int
    tx_hash: bytes | None
    sender: bytes | None
    sender_nonce: int | None
    payer: bytes | None
    """Whose balance fell: the `from` of a Transfer log, the sender of BNB; None for internal transfers."""
    block_number: int
    block_hash: bytes
    block_time: int

    @property
    def order(self) -> tuple[int, int, int]:
        """Chain order: block, then position; a plain transaction before the logs of the same block's position."""
        rank = {Source.TRANSACTION: 0, Source.LOG: 1, Source.INTERNAL: 2}[self.source]
        return (self.block_number, rank, self.position)

    @property
    def key(self) -> str:
        """A stable text naming this deposit in events."""
        return f"{self.block_hash.hex()}:{self.source}:{self.position}"


@dataclass(frozen=True, kw_only=True)
class RevertedAttempt:
    """A transaction for this payment that was mined and failed, reported by the wallet on the checkout page."""

    payment_id: str
    token: str
    tx_hash: bytes
    block_number: int
    block_hash: bytes
    block_time: int
