"""What must be known of a proven block to tell whether it can concern any payment: a few kilobytes for a megabyte.

Nearly no block holds money for us. While catching up a block is therefore proven and digested in one go, wherever a
processor is free, and its content let go; only a block that may concern us is decoded once more.
"""

from __future__ import annotations

import struct
from binascii import unhexlify
from collections.abc import Container
from dataclasses import dataclass
from itertools import chain

from msgspec import Struct

from openpay.chain.bodies import body_calls, read_body
from openpay.chain.errors import Part
from openpay.chain.proofs import ProvenBlock
from openpay.chain.rpc import decode
from openpay.domain.chains import Chain
from openpay.errors import ChainUnavailable

_ADDRESS = struct.Struct("20s")


class Concerns(Struct, frozen=True, array_like=True):
    """What of a chain can concern payments: logs of the escrow and of listed tokens, and, where the chain's own coin
    is listed (`native`), transactions that send it."""

    escrow: bytes
    tokens: tuple[bytes, ...]
    native: bool

    @classmethod
    def of(cls, settings: Chain) -> Concerns:
        contracts = tuple(token.contract for token in settings.tokens if token.contract is not None)
        return cls(escrow=settings.escrow, tokens=contracts, native=len(contracts) < len(settings.tokens))


class Digest(Struct, frozen=True, array_like=True):
    """What every block has, and whom this one may have paid. `recipients` are 20-byte addresses, joined: every one that
    a listed token or the chain's own coin may have gone to, and others that got nothing."""

    number: int
    parent_hash: bytes
    timestamp: int
    recipients: bytes
    has_escrow_logs: bool

    @classmethod
    def of(cls, block: ProvenBlock, concerns: Concerns) -> Digest:
        escrow, tokens = concerns.escrow.hex(), frozenset(contract.hex() for contract in concerns.tokens)
        contracts = tokens | {escrow}
        found = [each.to[2:] for each in block.transactions if each.to is not None] if concerns.native else []
        has_escrow_logs = False
        for receipt in block.receipts:
            for log in receipt.logs:
                # Nearly every log is rejected here. The proofs read neither the prefix nor the case: nor does this.
                if (contract := log.address[2:].lower()) in contracts:
                    if contract in tokens and len(log.topics) == 3:
                        found.append(log.topics[2][26:])
                    has_escrow_logs = has_escrow_logs or contract == escrow
        return cls(
            number=block.number,
            parent_hash=block.parent_hash,
            timestamp=block.timestamp,
            recipients=unhexlify("".join(found)),
            has_escrow_logs=has_escrow_logs,
        )

    def may_concern(self, watched: Container[bytes]) -> bool:
        """False only when the block holds nothing for the addresses in `watched` and nothing of the escrow."""
        addresses = chain.from_iterable(_ADDRESS.iter_unpack(self.recipients))
        return self.has_escrow_logs or any(map(watched.__contains__, addresses))


@dataclass(frozen=True, kw_only=True)
class DigestedBlock:
    """A proven block of which only the digest is read. `body` is the answer as it came, None when it was let go, and
    `endpoint` who gave it."""

    hash: bytes
    digest: Digest
    body: bytes | None
    endpoint: str

    @property
    def number(self) -> int:
        return self.digest.number

    @property
    def parent_hash(self) -> bytes:
        return self.digest.parent_hash

    @property
    def timestamp(self) -> int:
        """Block time in Unix seconds."""
        return self.digest.timestamp

    @property
    def agreed(self) -> frozenset[Part]:
        """What hosts agree on instead of a proof: nothing, only a proven block has a digest."""
        return frozenset()

    def open(self) -> ProvenBlock:
        """All of the block, which is still here. The same bytes decode to the same block: they need no second proof."""
        if self.body is None:
            raise ValueError(f"the body of block {self.number} was let go")
        block, receipts = decode(self.body, body_calls(self.hash), endpoint=self.endpoint)
        return ProvenBlock(hash=self.hash, header=block, transactions=block.transactions, receipts=receipts)


def digest_body(body: bytes, block_hash: bytes, concerns: Concerns) -> Digest | None:
    """The digest of the block in `body`; None when that is not, whole and proven, the block with `block_hash`.

    Why not is for `read_body` to find out, where the endpoint can be called to account.
    """
    try:
        block = read_body(body, block_hash=block_hash, endpoint="")
    except ChainUnavailable:
        return None
    return Digest.of(block, concerns)
